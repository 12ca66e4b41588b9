"""A database server that is away for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.databases import Server


def stop(server: Server) -> None:
    """Ends it as an operator would."""
    server.stop()


def kill(server: Server) -> None:
    """Ends all its processes at once."""
    server.kill()


@contextmanager
def away(server: Server, end: Callable[[Server], None] = stop) -> Iterator[None]:
    """The server is down during the block."""
    end(server)
    try:
        yield
    finally:
        server.start()
