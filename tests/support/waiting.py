"""Waiting for what happens elsewhere. The deadlines are for what never happens: they decide no test that passes."""

import time
from collections.abc import Callable

import psycopg


def wait_until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Returns as soon as it happens. Raises AssertionError after this number of seconds."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def wait_for_row(connection: psycopg.Connection, query: str) -> None:
    """Returns as soon as the query finds a row; the connection is in autocommit mode."""
    exists = f"select exists ({query})".encode()
    wait_until(lambda: connection.execute(exists).fetchone() == (True,))
