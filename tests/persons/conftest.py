"""A database in which every table has rows of two groups of thinkers that have nothing to do with each other."""

from collections.abc import Iterator

import psycopg
import pytest

from api.settings import ROOT
from tests.support.databases import Server


@pytest.fixture(scope="package")
def world_url(server: Server, migrated: str) -> Iterator[str]:
    """The URL of a database with the rows of the pgTAP tests, and rows that only an import makes."""
    with server.database(template=migrated) as url:
        with psycopg.connect(url) as connection:
            for file in ("helpers.psql", "world.psql"):
                connection.execute((ROOT / "supabase" / "tests" / file).read_bytes())
            connection.execute(
                "insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, run)"
                """ values ('d1', 'vouchers', 'v-1', gen_random_uuid(), '{"issuer_uid": "anna"}', 'value_missing', 1)"""
            )
        yield url


@pytest.fixture
def world(world_url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to it, in a transaction that is rolled back."""
    with psycopg.connect(world_url) as connection:
        yield connection
        connection.rollback()
