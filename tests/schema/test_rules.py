"""The access rules that a database is compared with before it is served, and by `portal check`."""

from collections.abc import Iterator

import psycopg
import pytest

from api.database.rules import DECLARED, differences, opened_by_others, read_rules, refuse_other_rules
from api.errors import PortalError
from tests.support.supabase import STORAGE

RUN_IT = "sql/ and supabase/access_rules.txt differ: run make migration"

OPENED: list[tuple[str, str]] = [
    # change, what is then found
    ("grant select on public.transfers to anon", "not declared: public.transfers: grant select to anon"),
    ("grant select on public.contracts to public", "not declared: public.contracts: grant select to anon"),
    (
        "grant update (roles) on public.thinkers to authenticated",
        "public.thinkers: grant update of some columns to authenticated",
    ),
    (
        "grant insert on private.job_runs to service_role",
        "not declared: private.job_runs: grant insert to service_role",
    ),
    (
        "grant select on public.vouchers to authenticated with grant option",
        "public.vouchers: may grant select to others: authenticated",
    ),
    (
        "grant execute on function public.book_voucher to authenticated with grant option",
        "may grant execute to others: authenticated",
    ),
    ("create rule forget as on delete to public.rooms do instead nothing", "public.rooms: rewrite rule forget"),
    ("grant usage on sequence private.job_runs_id_seq to anon", "private.job_runs_id_seq: grant usage to anon"),
    ("grant usage on schema private to anon", "not declared: schema private: grant usage to anon"),
    ("grant create on schema public to authenticated", "not declared: schema public: grant create to authenticated"),
    (
        "grant execute on function public.count_request to anon",
        "not declared: function public.count_request(text,integer,interval): grant execute to anon",
    ),
    ("grant execute on function private.charge to public", "grant execute to authenticated"),
    (
        "grant select on private.events_default to anon",
        "not declared: partition of public.events: grant select to anon (not in every one)",
    ),
    ("grant pg_read_all_data to anon", "not declared: role anon: member of pg_read_all_data"),
    ("grant service_role to authenticated", "not declared: role authenticated: member of service_role"),
    ("alter role anon bypassrls", "not declared: role anon: bypasses row level security"),
    ("alter role authenticated reset statement_timeout", "missing: role authenticated: has a statement_timeout"),
    ("alter role anon set lock_timeout = 0", "missing: role anon: has a lock_timeout"),
    ("alter role stats_reader superuser", "not declared: role stats_reader: superuser"),
    ("alter role service_role nobypassrls", "missing: role service_role: bypasses row level security"),
    ("alter table public.vouchers disable row level security", "missing: public.vouchers: row level security"),
    (
        "alter table private.events_default disable row level security",
        "missing: partition of public.events: row level security",
    ),
    (
        'drop policy "thinkers see what they did" on public.events',
        'missing: public.events: permissive policy "thinkers see what',
    ),
    (
        'alter policy "thinkers see what they did" on public.events using (true)',
        "not declared: public.events: permissive policy",
    ),
    (
        "create policy everything on public.thinkers for select to authenticated using (true)",
        "not declared: public.thinkers: permissive policy everything select to authenticated using (true)",
    ),
    (
        "drop trigger tg_fee_events__refuse on public.fee_events",
        "missing: public.fee_events: trigger CREATE TRIGGER tg_fee_events__refuse",
    ),
    (
        "alter table public.events disable trigger tg_events__refuse",
        "not declared: public.events: disabled trigger CREATE",
    ),
    (
        "alter table private.events_default disable trigger tg_events__refuse_row",
        "not declared: partition of public.events: disabled trigger",
    ),
    ("alter table public.voucher_bookings disable trigger all", "disabled trigger of a foreign key"),
    ("alter table public.fee_events enable replica trigger tg_fee_events__refuse", "changed trigger"),
    (
        "alter table public.thinkers drop constraint roles_are_known",
        "missing: public.thinkers: constraint roles_are_known",
    ),
    (
        "alter table public.contract_links drop constraint contract_links_voucher_id_fkey",
        "missing: public.contract_links: constraint",
    ),
    ("drop index public.one_offer_of_an_application_is_accepted", "missing: public.mortgage_offers: index"),
    ("alter table public.vouchers alter issuer_id drop not null", "missing: public.vouchers: not null issuer_id"),
    ("set session_replication_role = replica", "missing: sessions: run triggers and check references"),
    ("alter view stats.owed reset (security_invoker)", "missing: stats.owed: runs with the rights of its reader"),
    (
        "alter function public.get_transfer security definer",
        "not declared: function public.get_transfer(text): runs with the rights of its owner",
    ),
    ("alter function public.book_voucher reset search_path", "not declared: function public.book_voucher"),
    ("alter function public.book_voucher owner to service_role", "another owner"),
    ("drop function public.ping", "missing: function public.ping(): grant execute to anon"),
    ("alter role anon rename to someone", "missing: role anon: exists"),
    (
        "create table private.copy as select * from public.transfers; grant select on private.copy to authenticated",
        "not declared: private.copy: grant select to authenticated",
    ),
    (
        "create schema if not exists auth; create table auth.users (id uuid)",
        "missing: users of Supabase Auth: become thinkers",
    ),
    (STORAGE, "missing: documents in Supabase Storage: are read as public.contracts"),
    (
        f"{STORAGE}; select private.open_bucket();"
        ' alter policy "nobody else reads documents" on storage.objects using (true)',
        "missing: documents in Supabase Storage: are read as public.contracts",
    ),
    (
        f"{STORAGE}; select private.open_bucket(); alter table storage.objects disable row level security",
        "missing: documents in Supabase Storage: are read as public.contracts",
    ),
]

ALLOWED = [
    f"{STORAGE}; select private.open_bucket()",
    "create table public.notes (id int); grant all on public.notes to anon",
    "create role metabase_of_a_test; grant usage on schema stats to metabase_of_a_test",
    "create trigger hook after insert on public.rooms for each row execute function private.tg_append_only__refuse()",
    "alter table public.vouchers add constraint titles_are_short check (length(title) < 500)",
    "alter table public.vouchers add column color text not null default ''",
    "select private.make_event_partition('2031-01-01Z')",
    "alter role stats_reader set statement_timeout = '5min'",
    "alter role authenticated set statement_timeout = '8s'",
    "alter role authenticator set pgrst.db_prepared_statements = 'true'",
]

CHANGED = [
    (
        "create or replace function private.may_act_as(role text) returns boolean language plpgsql stable"
        " security definer set search_path = '' as $$ begin return true; end $$",
        "function private.may_act_as(text): body ",
    ),
    (
        "create or replace function public.ping() returns boolean language sql set search_path = '' return true",
        "function public.ping(): body ",
    ),
    (
        "create or replace view private.booking_facts as select b.voucher_id, b.status, b.slot_start, b.slot_end,"
        " b.created_at, b.cancelled_at, b.price_amount, b.price_currency from public.voucher_bookings b",
        "private.booking_facts: reads ",
    ),
    (
        "create table public.voucher_copies (like public.voucher_bookings);"
        "create or replace view private.booking_facts as select b.voucher_id, b.status, b.slot_start, b.slot_end,"
        " b.created_at, b.cancelled_at, b.price_amount, b.price_currency from public.voucher_copies b"
        " where b.holder_id <> b.issuer_id",
        "private.booking_facts: reads ",
    ),
]
"""Changes of what our functions and views do: `portal check` finds them."""

OTHERS = [
    # what an operator adds, what clients may do with it past row level security
    (
        "create table public.notes (id int); grant select on public.notes to anon",
        ["public.notes: grant select to anon"],
    ),
    (
        "create table public.notes (id int); grant update (id) on public.notes to authenticated",
        ["public.notes: grant update of some columns to authenticated"],
    ),
    (
        "create view public.notes as select * from public.transfers; grant select on public.notes to public",
        ["public.notes: grant select to anon", "public.notes: grant select to authenticated"],
    ),
    (
        "create materialized view public.notes as select 1; grant select on public.notes to anon",
        ["public.notes: grant select to anon"],
    ),
    (
        "create function public.notes() returns int language sql security definer return 1;"
        "revoke all on function public.notes from public; grant execute on function public.notes to anon",
        ["function public.notes(): grant execute to anon"],
    ),
    ("create function public.notes() returns int language sql return 1", []),
    (
        "create table public.notes (id int); alter table public.notes enable row level security;"
        "grant all on public.notes to anon",
        [],
    ),
    (
        "create view public.notes with (security_invoker = on) as select * from public.transfers;"
        "grant select on public.notes to anon",
        [],
    ),
    ("create table public.notes (id int); grant select on public.notes to stats_reader", []),
]


@pytest.fixture
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """As superuser; everything is rolled back."""
    with psycopg.connect(shared_database) as connection:
        yield connection
        connection.rollback()


def test_the_declared_rules_are_those_of_the_migrations(connection: psycopg.Connection) -> None:
    assert DECLARED.read_text().splitlines() == [str(rule) for rule in sorted(read_rules(connection))], RUN_IT
    assert differences(connection) == []
    assert opened_by_others(connection) == []


def test_the_settings_of_a_session_make_no_difference(connection: psycopg.Connection) -> None:
    connection.execute(
        "set TimeZone = 'Asia/Tokyo'; set DateStyle = 'German'; set IntervalStyle = 'iso_8601';"
        "set quote_all_identifiers = on; set search_path = private, public"
    )
    assert differences(connection) == []


@pytest.mark.parametrize(("change", "expected"), OPENED)
def test_a_weaker_rule_is_found(connection: psycopg.Connection, change: str, expected: str) -> None:
    connection.execute(change.encode())
    found = [str(difference) for difference in differences(connection) if not difference.is_served]
    assert [line for line in found if expected in line], found


@pytest.mark.parametrize("change", ALLOWED)
def test_what_an_operator_adds_weakens_no_rule(connection: psycopg.Connection, change: str) -> None:
    connection.execute(change.encode())
    assert [str(difference) for difference in differences(connection) if not difference.is_served] == []


def test_missing_settings_of_postgrest_are_found_and_served(connection: psycopg.Connection) -> None:
    connection.execute("alter role authenticator reset all")
    found = differences(connection)
    assert [str(difference) for difference in found] == [
        "missing: role authenticator: has a constraint_exclusion=off",
        "missing: role authenticator: has a jit=off",
        "missing: role authenticator: has a pgrst.db_pre_request=public.check_request",
        "missing: role authenticator: has a pgrst.db_prepared_statements",
        "missing: role authenticator: has a plan_cache_mode=force_generic_plan",
    ]
    assert all(difference.is_served for difference in found)


def test_another_function_that_postgrest_calls_before_requests_is_found(connection: psycopg.Connection) -> None:
    connection.execute("alter role authenticator set pgrst.db_pre_request = 'public.another'")
    [found] = differences(connection)
    assert str(found) == "missing: role authenticator: has a pgrst.db_pre_request=public.check_request"


@pytest.mark.parametrize(("change", "expected"), CHANGED)
def test_a_changed_function_or_view_is_found_and_served(
    connection: psycopg.Connection, change: str, expected: str
) -> None:
    connection.execute(change.encode())
    found = differences(connection)
    assert [
        str(difference).startswith(f"{kind}: {expected}")
        for kind, difference in zip(
            ("missing", "not declared"), sorted(found, key=lambda d: not d.is_missing), strict=True
        )
    ] == [True, True]
    assert all(difference.is_served for difference in found)


@pytest.mark.parametrize(("change", "expected"), OTHERS)
def test_what_others_open_is_found_and_served(connection: psycopg.Connection, change: str, expected: list[str]) -> None:
    connection.execute(change.encode())
    assert [str(rule) for rule in opened_by_others(connection)] == expected
    assert differences(connection) == []


def test_a_database_with_other_rules_is_refused(database: str) -> None:
    refuse_other_rules(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("grant execute on function public.record_contract to anon")
    with pytest.raises(PortalError, match=r"not those of the schema \(1 difference, .* execute to anon"):
        refuse_other_rules(database)
