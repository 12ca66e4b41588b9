"""What the tests of money share: a session that is rolled back."""

from collections.abc import Iterator

import psycopg
import pytest


@pytest.fixture
def books(shared_database: str) -> Iterator[psycopg.Connection]:
    """A superuser's session within one transaction, which is rolled back at the end of the test."""
    with psycopg.connect(shared_database) as connection, connection.transaction(force_rollback=True):
        yield connection
