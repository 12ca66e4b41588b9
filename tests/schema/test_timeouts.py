"""The roles of the Data API have timeouts of their own, because PostgREST applies those of the caller's role."""

import re
from collections.abc import Iterator
from typing import LiteralString

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
    roles = ["anon", "authenticated", "authenticator"]
    rows = connection.execute("select rolname, rolconfig from pg_roles where rolname = any(%s)", (roles,))
    return {role: dict(line.split("=") for line in lines) for role, lines in rows}


def test_both_roles_end_before_others_give_up(connection: psycopg.Connection) -> None:
    found = settings(connection)
    timeouts = {"statement_timeout": "2s", "lock_timeout": "1900ms"}
    # each choice of columns is a statement of its own, which would stay in PostgREST's connection
    of_postgrest = {
        "pgrst.db_prepared_statements": "false",
        "pgrst.db_pre_request": "public.check_request",
        "constraint_exclusion": "off",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
    }
    assert found == {"anon": timeouts, "authenticated": timeouts, "authenticator": of_postgrest}
    assert connection.execute("select '2s'::interval < %s::interval", (LOCK_PATIENCE,)).fetchone() == (True,)


def test_what_an_operator_or_supabase_has_set_stays(connection: psycopg.Connection) -> None:
    connection.execute("alter role anon set statement_timeout = '3s'; alter role authenticated reset all")
    connection.execute("alter role authenticator set pgrst.db_prepared_statements = 'true'")
    connection.execute(TIMEOUTS)
    found = settings(connection)
    assert found["anon"]["statement_timeout"] == "3s"
    assert found["authenticated"]["statement_timeout"] == "2s"
    assert found["authenticator"]["pgrst.db_prepared_statements"] == "true"


def test_an_owner_who_may_not_alter_the_roles_is_told(connection: psycopg.Connection) -> None:
    told: list[str | None] = []
    connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
    connection.execute(
        "alter role authenticator reset all; create role owner_of_a_test; set local role owner_of_a_test"
    )
    connection.execute(TIMEOUTS)
    of_postgrest = (
        "constraint_exclusion = off",
        "jit = off",
        "pgrst.db_pre_request = public.check_request",
        "pgrst.db_prepared_statements = false",
        "plan_cache_mode = force_generic_plan",
    )
    assert sorted(told, key=str) == [
        f"set {setting} for the role authenticator, as a superuser" for setting in of_postgrest
    ]


@pytest.fixture
def as_postgrest(connection: psycopg.Connection) -> psycopg.Connection:
    """With the settings of authenticator, as which PostgREST connects: they hold for its whole connection."""
    connection.execute(
        "select set_config(split_part(line, '=', 1), split_part(line, '=', 2), true)"
        " from pg_roles, unnest(rolconfig) as line where rolname = 'authenticator'"
    )
    return connection


@pytest.mark.parametrize("operator", ["~", "~*"])
def test_the_planner_compiles_no_regular_expression(as_postgrest: psycopg.Connection, operator: LiteralString) -> None:
    as_postgrest.execute("set local role anon")
    # one that cannot be compiled, bound as PostgREST binds the value of a filter; no row is there to be asked
    query = f"select from public.vouchers where id = 'none' and description {operator} %s"
    assert as_postgrest.execute(query.encode(), ["("]).fetchall() == []


def test_nested_filters_on_the_log_are_planned_at_once_and_partitions_are_found(
    as_postgrest: psycopg.Connection,
) -> None:
    connection = as_postgrest
    connection.execute("set local role authenticated; set local statement_timeout = '20s'")
    # with constraint_exclusion some 2 s for 34 levels, twice as much for 36
    nested = "type > 'a'"
    for level in range(51):
        nested = f"({nested} {('or', 'and')[level % 2]} type > 'a{level}')"
    connection.execute(f"explain select id from public.events where {nested}".encode())
    assert len(partitions(connection, "true")) > 1
    assert len(partitions(connection, "created_at = now()")) == 1


def partitions(connection: psycopg.Connection, condition: LiteralString) -> set[str]:
    """The partitions of the log that a query with this condition reads."""
    plan = connection.execute(f"explain select id from public.events where {condition}").fetchall()
    return {
        word for [line] in plan for word in line.split() if re.fullmatch("events_(default|[0-9]{4}_[0-9]{2})", word)
    }


def test_what_thinkers_read_ends_as_soon_as_their_tables(connection: psycopg.Connection) -> None:
    # PostgREST takes the timeout of a function in place of the role's; those of admins refuse others at once
    found = connection.execute(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace "
        "and 'statement_timeout=10s' = any (proconfig) "
        "and prosrc !~ 'private\\.(require_admin|move_settlement)\\('"
    ).fetchall()
    assert found == []
