"""Databases with the demo data of `supabase/seed.sql`."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from api.database.migrations import SEED, seed
from tests.support.databases import Server
from tests.support.usage import tables

Connect = Callable[[str], psycopg.Connection]


@pytest.fixture(scope="session")
def seeded(server: Server, migrated: str) -> str:
    """The name of a database with the demo data, a template for copies: do not connect to it."""
    name = server.create(template=migrated)
    seed(server.url(name))
    return name


@pytest.fixture(scope="module")
def demo(server: Server, seeded: str) -> Iterator[str]:
    """The URL, as superuser, of a database with the demo data, for all tests of a module: change nothing there."""
    with server.database(template=seeded) as url:
        yield url


@pytest.fixture
def connection(demo: str) -> Iterator[psycopg.Connection]:
    """A connection to the database of `demo`; each test is rolled back."""
    with psycopg.connect(demo) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection
        connection.rollback()


def seed_at(url: str, moment: datetime, folder: Path, text: str = SEED.read_text()) -> None:
    """Seeds as if now() were another moment. Triggers use the real time, except for rows with an explicit date."""
    # no other clock is used
    assert not re.search(r"\b(current_|local|clock_|statement_|transaction_)(time|date)", text)
    # Ben books appointments of the day after the moment, which a server may do when that is over
    text = text.replace("""ben   jsonb := '{"role": "authenticated\"""", """ben   jsonb := '{"role": "service_role\"""")
    past_bookings = (
        "set session_replication_role = replica; update private.settings set past_bookings = {};"
        " set session_replication_role = origin;\n"
    )
    file = folder / "seed.sql"
    file.write_text(
        past_bookings.format("true")
        + "--"
        + text.replace("now()", f"timestamptz '{moment.isoformat()}'")
        + past_bookings.format("false")
    )
    seed(url, file)


def dump(url: str, since: datetime | None = None) -> dict[str, list[str]]:
    """All rows of all tables, sorted.

    Since a time: without what each run makes anew, which are the times since then, and generated ids.
    """
    with psycopg.connect(url) as connection:
        connection.execute("set timezone = 'UTC'")
        rows = {
            table: [row for (row,) in connection.execute(f"select to_jsonb(t)::text from {table} t".encode())]
            for table in tables(connection)
        }
    if since is not None:
        rows = {
            table: [_canonical(row, since, datetime.now(UTC)) for row in of_table] for table, of_table in rows.items()
        }
    return {table: sorted(of_table) for table, of_table in rows.items()}


def _canonical(row: str, since: datetime, until: datetime) -> str:
    def canonical_time(match: re.Match[str]) -> str:
        return "<now>" if since <= datetime.fromisoformat(match[0]) <= until else match[0]

    row = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z)", canonical_time, row)
    # of version 7, and those of the legacy form
    row = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>", row)
    return re.sub(r"\b(b|in|out|app|mort-contract)-[0-9a-z]{8}-[0-9a-f]{20}\b", "<id>", row)
