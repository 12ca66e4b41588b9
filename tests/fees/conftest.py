"""What the tests of money share: books that are closed again."""

from collections.abc import Iterator

import psycopg
import pytest


@pytest.fixture
def books(shared_database: str) -> Iterator[psycopg.Connection]:
    """A session of the superuser within one transaction, which is taken back at the end of the test."""
    with psycopg.connect(shared_database) as connection, connection.transaction(force_rollback=True):
        yield connection
