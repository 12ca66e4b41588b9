"""What the tests of figures share."""

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import psycopg
import pytest
from psycopg.types.json import set_json_loads

from tests.stats.world import fill
from tests.support.databases import Server


@pytest.fixture(scope="module")
def world_url(server: Server, migrated: str) -> Iterator[str]:
    """The URL, as superuser, of a database with the world."""
    with server.database(template=migrated) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
            connection.execute("analyze")
        yield url


@pytest.fixture
def world(world_url: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection in autocommit mode; tests roll back what they do."""
    with psycopg.connect(world_url, autocommit=True) as connection:
        # fractions as they are written
        set_json_loads(partial(json.loads, parse_float=Decimal), connection)
        yield connection


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """As superuser, in autocommit mode, on a migrated database of the test's own."""
    with psycopg.connect(database, autocommit=True) as connection:
        # fractions as they are written
        set_json_loads(partial(json.loads, parse_float=Decimal), connection)
        yield connection
