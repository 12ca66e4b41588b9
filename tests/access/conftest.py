"""The world of which the expectations speak."""

from collections.abc import Iterator

import psycopg
import pytest

from api.settings import ROOT
from tests.support.databases import Server


@pytest.fixture(scope="package")
def world(server: Server, migrated: str) -> Iterator[psycopg.Connection]:
    """As superuser, on a database with the world of the pgTAP tests; what a test does there it takes back."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        with connection.transaction():
            for file in ("helpers.psql", "world.psql"):
                connection.execute((ROOT / "supabase" / "tests" / file).read_bytes())
        yield connection
