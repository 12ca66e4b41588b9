"""What may go wrong without being a bug."""


class PortalError(Exception):
    """An expected failure. Its message is one sentence for the person at the keyboard."""
