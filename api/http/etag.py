"""Entity tags: a client that sends the tag of what it has gets 304 instead of the body."""

import hashlib


def weak_etag(body: bytes) -> str:
    """The weak entity tag of a body, by its SHA-256."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(if_none_match: str, etag: str) -> bool:
    """Whether the header If-None-Match names this tag (or `*`); weak and strong tags compare as equal."""
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in if_none_match
