"""The roles of the Data API have timeouts of their own, because PostgREST applies those of the caller's role."""

from collections.abc import Iterator

import psycopg
import pytest

from api.gateway.direct import LOCK_PATIENCE
from api.settings import ROOT

TIMEOUTS = (ROOT / "sql" / "10_core" / "timeouts.sql").read_bytes()


@pytest.fixture
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """As superuser; everything is rolled back."""
    with psycopg.connect(shared_database) as connection:
        yield connection
        connection.rollback()


def settings(connection: psycopg.Connection) -> dict[str, dict[str, str]]:
    rows = connection.execute("select rolname, rolconfig from pg_roles where rolname in ('anon', 'authenticated')")
    return {role: dict(line.split("=") for line in lines) for role, lines in rows}


def test_both_roles_end_before_others_give_up(connection: psycopg.Connection) -> None:
    found = settings(connection)
    timeouts = {"statement_timeout": "2s", "lock_timeout": "1900ms"}
    assert found == {"anon": timeouts, "authenticated": timeouts}
    assert connection.execute("select '2s'::interval < %s::interval", (LOCK_PATIENCE,)).fetchone() == (True,)


def test_what_an_operator_or_supabase_has_set_stays(connection: psycopg.Connection) -> None:
    connection.execute("alter role anon set statement_timeout = '3s'; alter role authenticated reset all")
    connection.execute(TIMEOUTS)
    assert {role: found["statement_timeout"] for role, found in settings(connection).items()} == {
        "anon": "3s",
        "authenticated": "2s",
    }
