"""A statement of the Data API is small: what no timeout can end is not begun (private.is_small_query)."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from api.actor import Actor
from tests.support.acting import call, thinker

ANON = Actor("anon")
ANN = thinker("ann")
# of 32 KiB; a sixth of a second each
SLOW = "!a&" * 10_900 + "a"


@pytest.fixture(scope="module")
def session(shared_database: str) -> Iterator[psycopg.Connection]:
    """A session in a database with an open offer, whose description is slow to cast."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        call(connection, ANN, "issue_voucher", voucher_id="offer", description=SLOW, valid_until="2100-01-01T00:00:00Z")
        yield connection


def casts(number: int, kind: str = "tsquery") -> sql.Composed:
    """A select as PostgREST sends it for select=a0:description::tsquery,a1:..."""
    columns = (
        sql.SQL('CAST( "vouchers"."description" AS {} ) AS {}').format(sql.SQL(kind), sql.Identifier(f"a{n}"))
        for n in range(number)
    )
    return sql.SQL('SELECT {} FROM "public"."vouchers"').format(sql.SQL(", ").join(columns))


def ask(session: psycopg.Connection, actor: Actor, query: sql.SQL | sql.Composed, *parameters: list[str]) -> str | None:
    """Returns the error of a query as this actor."""
    with session.transaction():
        session.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (actor.role, json.dumps(actor.claims())),
        )
        try:
            session.execute(query, parameters)
        except psycopg.Error as error:
            return error.diag.message_primary
    return None


@pytest.mark.parametrize("actor", [ANON, ANN])
def test_many_casts_are_refused_before_a_row_is_read(session: psycopg.Connection, actor: Actor) -> None:
    assert ask(session, actor, casts(10, "text")) is None
    # three minutes, if they were begun
    assert ask(session, actor, casts(1_000)) == "query_too_large"
    assert ask(session, actor, casts(11)) == "query_too_large"


def test_long_statements_are_refused(session: psycopg.Connection) -> None:
    def select(size: int) -> sql.Composed:
        return sql.SQL("select from public.voucher_templates where id <> {}").format(sql.Literal("x" * size))

    assert ask(session, ANON, select(16_000)) is None
    assert ask(session, ANON, select(17_000)) == "query_too_large"


def test_a_function_that_reads_tables_as_its_caller_refuses_too(session: psycopg.Connection) -> None:
    pages = sql.SQL("CAST( list_vouchers[1]->>'description' AS tsquery )")
    query = sql.SQL("select {} from public.list_vouchers()").format(sql.SQL(", ").join([pages] * 11))
    assert ask(session, ANN, query) == "query_too_large"


@pytest.mark.parametrize("function", ["list_vouchers()", "available_slots('offer')"])
def test_the_result_of_a_function_is_not_repeated_often(session: psycopg.Connection, function: str) -> None:
    def repeated(times: int) -> sql.Composed:
        # as PostgREST sends select=a0:pgrst_scalar,a1:...
        names = (sql.SQL('"pgrst_scalar" AS {}').format(sql.Identifier(f"a{n}")) for n in range(times))
        source = sql.SQL(f"SELECT public.{function} AS result")
        return sql.SQL('SELECT {} FROM ({}) AS "source" ("pgrst_scalar")').format(sql.SQL(", ").join(names), source)

    assert ask(session, ANN, repeated(29)) is None
    assert ask(session, ANN, repeated(30)) == "query_too_large"


@pytest.mark.parametrize("operator", ["LIKE ANY(", "ilike all ("])
def test_one_text_is_not_compared_with_many_patterns(session: psycopg.Connection, operator: str) -> None:
    query = sql.SQL('SELECT FROM "vouchers" WHERE "description" {} %s)').format(sql.SQL(operator))
    assert ask(session, ANON, query, ["b"] * 2_000) == "query_too_large"


def test_the_result_of_a_function_that_writes_is_not_searched_for_long(session: psycopg.Connection) -> None:
    # what it has locked would stay locked
    query = sql.SQL("SELECT FROM public.send_heartbeat() AS result WHERE result ->> 'x' ILIKE ANY(%s)")
    assert ask(session, ANN, query, ["b"] * 2_000) == "query_too_large"


def test_every_table_with_policies_asks(session: psycopg.Connection) -> None:
    [asking, all_tables] = (
        session.execute(
            "select array_agg(distinct tablename) filter (where permissive = 'RESTRICTIVE'"
            " and qual like '%private.is_small_query()%'), array_agg(distinct tablename) from pg_policies"
        ).fetchone()
        or ()
    )
    assert asking == all_tables


def test_trusted_servers_may_ask_as_they_like(session: psycopg.Connection) -> None:
    assert ask(session, Actor("service_role"), casts(11, "text")) is None
