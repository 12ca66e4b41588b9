"""The database that the expectations describe."""

from collections.abc import Iterator

import psycopg
import pytest

from api.settings import ROOT
from tests.support.databases import Server


@pytest.fixture(scope="package")
def world(server: Server, migrated: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a database with the rows of the pgTAP tests; each test is rolled back."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        with connection.transaction():
            for file in ("helpers.psql", "world.psql"):
                connection.execute((ROOT / "supabase" / "tests" / file).read_bytes())
        yield connection
