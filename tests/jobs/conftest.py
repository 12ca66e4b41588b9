"""What the tests of the jobs share."""

from collections.abc import Iterator

import psycopg
import pytest


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """As the schema's owner, in autocommit mode, on a migrated database of the test's own."""
    with psycopg.connect(database, autocommit=True) as connection:
        # the copied database may be old, which would make jobs late
        connection.execute("update private.jobs set added_at = now()")
        yield connection
