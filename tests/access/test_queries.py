"""A statement of the Data API is small: what no timeout can end is not begun (private.is_valid_request)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from api.actor import Actor
from tests.support.acting import act, act_or_reason, call, one, thinker, unchecked
from tests.support.databases import Server

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


def casts(number: int, cast: LiteralString = "CAST( {} AS {} )", kind: LiteralString = "tsquery") -> sql.Composed:
    """A select as PostgREST sends it for select=a0:description::tsquery,a1:...; up to version 11 with another space."""
    column = sql.SQL(cast).format(sql.SQL('"vouchers"."description"'), sql.SQL(kind))
    columns = (sql.SQL("{} AS {}").format(column, sql.Identifier(f"a{n}")) for n in range(number))
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
@pytest.mark.parametrize("cast", ["CAST( {} AS {} )", "CAST ({} AS {})"])
def test_casts_are_refused_before_a_row_is_read(session: psycopg.Connection, actor: Actor, cast: LiteralString) -> None:
    # three minutes, if they were begun
    assert ask(session, actor, casts(1_000, cast)) == "query_too_large"
    assert ask(session, actor, casts(1, cast)) == "query_too_large"


def test_no_cast_fails_and_writes_what_it_cannot_cast_into_the_log(session: psycopg.Connection) -> None:
    assert ask(session, ANON, casts(1, kind="int")) == "query_too_large"


def test_long_statements_are_refused(session: psycopg.Connection) -> None:
    def select(size: int) -> sql.Composed:
        return sql.SQL("select from public.voucher_templates where id <> {}").format(sql.Literal("x" * size))

    assert ask(session, ANON, select(16_000)) is None
    assert ask(session, ANON, select(17_000)) == "query_too_large"


def test_a_function_that_reads_tables_as_its_caller_refuses_too(session: psycopg.Connection) -> None:
    query = sql.SQL("select CAST( list_vouchers[1]->>'description' AS tsquery ) from public.list_vouchers()")
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


@pytest.mark.parametrize("operator", ["~", "~*", "~ ANY", "~* ALL"])
def test_no_regular_expression_is_compiled(session: psycopg.Connection, operator: str) -> None:
    # as PostgREST sends description=match.x, or imatch(all); a connection keeps megabytes of each
    right = "(%s)" if operator[-1].isalpha() else " %s"
    query = sql.SQL('SELECT FROM "vouchers" WHERE "vouchers"."description" {}').format(sql.SQL(operator + right))
    assert ask(session, ANON, query, ["b"]) == "query_too_large"


@pytest.mark.parametrize("search", ["to_tsquery", "plainto_tsquery", "websearch_to_tsquery"])
def test_no_text_is_searched(session: psycopg.Connection, search: LiteralString) -> None:
    # as PostgREST sends description=fts.x; with some texts of strangers it takes minutes, or fails
    query = sql.SQL('SELECT FROM "vouchers" WHERE "vouchers"."description" @@ {}(%s)').format(sql.SQL(search))
    assert [ask(session, actor, query, ["b"]) for actor in (ANON, ANN)] == ["query_too_large"] * 2


def test_no_query_is_hidden_in_graphql(session: psycopg.Connection) -> None:
    session.execute("""
        create schema graphql_public;
        grant usage on schema graphql_public to anon, authenticated;
        create function graphql_public.graphql(query text) returns bigint language sql
          return (select count(*) from public.vouchers);
        grant execute on function graphql_public.graphql to anon, authenticated;
    """)
    call = sql.SQL("""SELECT "graphql_public"."graphql"('{}')""")
    try:
        assert [ask(session, actor, call) for actor in (ANON, ANN)] == ["query_too_large"] * 2
    finally:
        session.execute("drop schema graphql_public cascade")


def test_few_tables_are_embedded(session: psycopg.Connection) -> None:
    def nested(tables: int) -> sql.SQL:
        # as PostgREST sends select=*,thinkers!issuer_id(*,vouchers!issuer_id(*,...)), where each row holds all others
        rows = 'SELECT row_to_json("v".*)::jsonb AS r FROM "public"."vouchers" AS "v"'
        for _ in range(tables):
            rows = (
                f'SELECT json_agg("i")::jsonb AS r FROM "public"."vouchers" LEFT JOIN LATERAL ({rows}) AS "i" ON TRUE'
            )
        return sql.SQL(rows)

    assert ask(session, ANN, nested(3)) is None
    assert ask(session, ANN, nested(4)) == "query_too_large"


def test_every_table_with_policies_asks(session: psycopg.Connection) -> None:
    [asking, all_tables] = (
        session.execute(
            "select array_agg(distinct tablename) filter (where permissive = 'RESTRICTIVE'"
            " and qual like '%private.is_valid_request()%'), array_agg(distinct tablename) from pg_policies"
        ).fetchone()
        or ()
    )
    assert asking == all_tables


@pytest.mark.parametrize(
    ("method", "headers", "is_refused"),
    [
        ("GET", {}, False),
        ("DELETE", {}, False),
        ("POST", {"content-length": "0"}, False),
        ("POST", {"content-length": "262144"}, False),
        ("POST", {"content-length": "262145"}, True),
        ("POST", {"content-length": "99999999999999999999"}, True),
        ("POST", {"content-length": "2, 262145"}, True),
        ("GET", {"content-length": "-1"}, True),
        # of HTTP/2, which needs no length
        ("POST", {}, True),
        ("PATCH", {}, True),
        ("PUT", {}, True),
        ("POST", {"transfer-encoding": "chunked"}, True),
        # the encoding counts, not the length
        ("POST", {"transfer-encoding": "chunked", "content-length": "2"}, True),
    ],
)
def test_a_body_says_its_size_and_is_small(
    session: psycopg.Connection, method: str, headers: dict[str, str], is_refused: bool
) -> None:
    check = sql.SQL("select public.check_request()")
    session.execute(
        "select set_config('request.method', %s, false), set_config('request.headers', %s, false)",
        (method, json.dumps(headers)),
    )
    answers = [ask(session, actor, check) for actor in (ANON, ANN, Actor("service_role"))]
    session.execute("reset request.method; reset request.headers")
    expected = "too_large" if is_refused else None
    assert answers == [expected, expected, None]


def test_what_is_no_request_has_no_body(session: psycopg.Connection) -> None:
    check = sql.SQL("select public.check_request()")
    assert [ask(session, actor, check) for actor in (ANON, ANN)] == [None, None]
    session.execute(check)


def test_trusted_servers_may_ask_as_they_like(session: psycopg.Connection) -> None:
    assert ask(session, Actor("service_role"), casts(11, kind="text")) is None


def test_who_is_in_most_rows_makes_no_plan_of_others(migrated: str, server: Server) -> None:
    # a join would ask no other function where one has no rows
    names = (
        "select (select count(*) from private.held_vouchers()), (select count(*) from private.my_contacts()),"
        " (select count(*) from private.my_contract_links()), (select count(*) from private.my_bookings()),"
        " (select count(*) from private.my_transfers()), (select count(*) from private.my_charges())"
    )
    scans = (
        "select sum(pg_stat_get_xact_numscans(('public.' || name)::regclass))"
        " from unnest('{vouchers,voucher_bookings,transfers,fee_events}'::text[]) name"
    )
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        call(connection, ANN, "issue_voucher")
        with unchecked(connection):
            connection.execute(
                "insert into public.vouchers (id, issuer_id, holder_id, issued_to, status, valid_from, valid_until)"
                " select 'v' || n, id, id, id, 'booked', now(), now() + interval '1 hour'"
                " from public.thinkers, generate_series(1, 5000) n where public_id = 'ann'"
            )
            connection.execute(
                "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end)"
                " select id, id, issuer_id, issuer_id, valid_from, valid_until from public.vouchers"
                " where holder_id is not null"
            )
            connection.execute(
                "insert into public.transfers (id, thinker_id, direction, crypto_amount, crypto_symbol, fiat_amount,"
                " fiat_currency, label) select id, issuer_id, 'in', 1, 'ETH', 1, 'EUR', '' from public.vouchers"
            )
            connection.execute(
                "insert into public.fee_events (fee_id, subject_type, subject_id, base_cents, rate, fixed_cents,"
                " unrounded, amount_cents, currency, beneficiary_id, payer_id)"
                " select f.id, 'voucher_booking', v.id, 0, 0, 1, 1, 1, 'EUR', v.issuer_id, v.issuer_id"
                " from public.vouchers v, (select id from public.fees limit 1) f"
            )
        connection.execute("analyze")
        # plans are made for the first caller
        for caller in (ANN, thinker("eve")):
            with connection.transaction():
                connection.execute(
                    "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                    (caller.role, json.dumps(caller.claims())),
                )
                before = one(connection, scans)
                connection.execute(names)
                scanned = one(connection, scans) - before
    assert scanned == 0


def test_properties_are_read_without_the_applications_and_imports_of_others(migrated: str, server: Server) -> None:
    read = (
        "select sum(pg_stat_get_xact_tuples_returned(t) + pg_stat_get_xact_tuples_fetched(t)) from unnest("
        "'{public.mortgage_applications,private.import_rows}'::regclass[]) t"
    )
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("insert into public.properties (id) values ('open')")
        call(connection, ANN, "apply_for_mortgage", property_id="open")
        with unchecked(connection):
            connection.execute("insert into public.properties (id) select 'p' || n from generate_series(1, 5000) n")
            connection.execute(
                "insert into public.mortgage_applications"
                " select (jsonb_populate_record(a, jsonb_build_object('id', p.id, 'property_id', p.id,"
                " 'borrower_id', private.ensure_thinker('eve')))).*"
                " from public.mortgage_applications a, public.properties p where p.id <> 'open'"
            )
            connection.execute(
                "insert into private.import_rows (legacy_table, id, source, shown_by, hash, digest, run)"
                " select 'properties', id, 'd1', '{d1}', gen_random_uuid(), 1, 1 from public.properties"
                " where id <> 'open'"
            )
        connection.execute("analyze")
        with connection.transaction():
            before = one(connection, read)
            connection.execute(
                "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
                (ANN.role, json.dumps(ANN.claims())),
            )
            assert connection.execute("select id from public.properties").fetchall() == [("open",)]
            connection.execute("reset role")
            assert one(connection, read) - before < 10


def test_a_list_of_vouchers_reads_no_row_that_its_reader_may_not_see(migrated: str, server: Server) -> None:
    read = "select pg_stat_get_xact_tuples_returned(t) + pg_stat_get_xact_tuples_fetched(t) from (values (%s)) v (t)"
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        call(connection, ANN, "issue_voucher")
        call(connection, thinker("eve"), "issue_voucher", voucher_id="mine")
        with unchecked(connection):
            connection.execute(
                "insert into public.vouchers (id, issuer_id, issued_to, status, valid_from, valid_until, created_at)"
                " select 'v' || n, id, case when n % 2 = 0 then id end, case when n % 2 = 0 then 'issued' else"
                " 'cancelled' end, now(), now() + interval '1 hour', now() + n * interval '1 second'"
                " from public.thinkers, generate_series(1, 5000) n where public_id = 'ann'"
            )
        connection.execute("analyze")
        table = one(connection, "select 'public.vouchers'::regclass::oid")
        for filters in ({}, {"status": "cancelled"}, {"status": "issued"}):
            with connection.transaction():
                before = one(connection, read, table)
                act(connection, thinker("eve"), "list_vouchers", **filters)
                assert one(connection, read, table) - before < 100, filters


@contextmanager
def documents(migrated: str, server: Server, reserved_for: str | None) -> Iterator[psycopg.Connection]:
    """Yields a connection to 5,000 vouchers with documents and rooms. z is reserved for eve, and its room is hers."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        call(connection, ANN, "issue_voucher", voucher_id="z", holder_uid="eve")
        with unchecked(connection):
            connection.execute(
                "insert into public.vouchers (id, issuer_id, issued_to, status, valid_from, valid_until)"
                " select 'v' || n, issuer_id, private.thinker_id(%s), 'issued', valid_from, valid_until"
                " from public.vouchers, generate_series(1, 5000) n where id = 'z'",
                (reserved_for,),
            )
            connection.execute(
                "insert into public.rooms (id, type, owner_id) select 'room of ' || id, 'contract',"
                " case id when 'z' then private.thinker_id('eve') else issuer_id end from public.vouchers"
            )
            connection.execute(
                "insert into public.contracts (id, name, byte_size, storage_url, hash_sha256, created_by)"
                " select md5(id)::uuid, 'a', 1, 'contracts/x/' || id, repeat('0', 64), issuer_id from public.vouchers"
            )
            connection.execute(
                "insert into public.contract_links (contract_id, voucher_id, room_id)"
                " select md5(id)::uuid, id, 'room of ' || id from public.vouchers"
            )
            connection.execute(
                "insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)"
                " select id, issuer_id, private.thinker_id('ben'), now(), now() + interval '1 hour'"
                " from public.vouchers where id <> 'z'"
            )
        connection.execute("analyze")
        yield connection


READ = (
    "select sum(pg_stat_get_xact_tuples_returned(t) + pg_stat_get_xact_tuples_fetched(t)) from unnest(%s::regclass[]) t"
)


def test_a_holder_reads_no_documents_of_others(migrated: str, server: Server) -> None:
    tables = ["contracts", "contract_links", "vouchers", "voucher_bookings"]
    seen = (
        "select (select count(distinct id) from private.my_contract_links() as id),"
        " (select count(distinct id) from private.my_contracts() as id)"
    )
    with documents(migrated, server, reserved_for=None) as connection, connection.transaction():
        eve = thinker("eve")
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (eve.role, json.dumps(eve.claims())),
        )
        before = one(connection, READ, tables)
        assert connection.execute(seen).fetchone() == (1, 1)
        assert one(connection, READ, tables) - before < 100


def test_one_document_is_found_without_those_of_other_reserved_vouchers(migrated: str, server: Server) -> None:
    tables = ["contracts", "contract_links"]
    with documents(migrated, server, reserved_for="eve") as connection, connection.transaction():
        before = one(connection, READ, tables)
        [listed] = act(connection, thinker("eve"), "list_contracts", voucher_id="z")
        found = act(connection, thinker("eve"), "get_contract", contract_id=listed["id"])
        assert found["storage_url"] == "contracts/x/z"
        assert one(connection, READ, tables) - before < 100


def test_a_list_of_offers_reads_no_offer_for_the_applications_of_others(migrated: str, server: Server) -> None:
    read = (
        "select (seq_tup_read + coalesce(idx_tup_fetch, 0))::integer"
        " from pg_stat_xact_user_tables where relname = 'mortgage_offers'"
    )
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        for uid in ("ann", "eve"):
            call(connection, thinker(uid), "apply_for_mortgage", application_id=uid, desired_loan=1, currency="EUR")
        with unchecked(connection):
            connection.execute(
                "insert into public.mortgage_applications (id, borrower_id, desired_loan, currency)"
                " select id || n, borrower_id, 1, 'EUR' from public.mortgage_applications,"
                " generate_series(1, case id when 'ann' then 10000 else 50 end) n"
            )
            connection.execute(
                "insert into public.mortgage_offers (id, application_id, lender_id, interest_rate, room_refs)"
                " select id, id, borrower_id, 0.03, '{}' from public.mortgage_applications"
            )
        connection.execute("analyze")
        # plans are made for the first caller
        connection.execute("set plan_cache_mode = force_generic_plan")
        for role in ("borrower", "lender"):
            act(connection, ANN, "list_mortgage_offers", role=role)
            with connection.transaction():
                before = one(connection, read)
                assert len(act(connection, thinker("eve"), "list_mortgage_offers", role=role)) == 51
                assert one(connection, read) - before < 500, role


def test_who_has_many_bookings_makes_no_plan_of_others(migrated: str, server: Server) -> None:
    scans = "select pg_stat_get_xact_numscans('public.voucher_bookings'::regclass)"
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        call(connection, ANN, "issue_voucher", voucher_id="v")
        with unchecked(connection):
            connection.execute(
                "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end)"
                " select 'b' || n, 'v' || n, id, id, now(), now() + interval '1 hour'"
                " from public.thinkers, generate_series(1, 5000) n where public_id = 'ann'"
            )
        connection.execute("analyze")
        # as PostgREST has it: the plan is made for the first caller
        connection.execute("set plan_cache_mode = force_generic_plan")
        for caller in (ANN, thinker("eve")):
            with connection.transaction():
                before = one(connection, scans)
                assert act_or_reason(connection, caller, "cancel_booking", booking_id="none") == "booking_not_found"
                scanned = one(connection, scans) - before
    assert scanned == 0
