"""Each figure by day uses an index: thirty days of a large portal are found without reading all of it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.acting import one, unchecked
from tests.support.databases import Server
from tests.support.days import use_portal_zone

pytestmark = [pytest.mark.clock, pytest.mark.slow]

ROWS = 30_000
DAYS = 400

FILL = f"""
    insert into public.thinkers (id, public_id, created_at)
    select private.thinker_id('thinker-' || n), 'thinker-' || n, now() - n % {DAYS} * interval '1 day'
    from generate_series(1, 2000) n;

    insert into public.events (type, actor_id, created_at)
    select (array['presence.heartbeat', 'presence.match', 'voucher.book', 'transfer.logged'])[1 + n % 4],
      private.thinker_id('thinker-' || 1 + n % 50), now() - n::float / {ROWS} * {DAYS} * interval '1 day'
    from generate_series(1, {ROWS}) n;

    insert into public.telemetry_events (type, created_at)
    select 'page.view', now() - n::float / {ROWS} * {DAYS} * interval '1 day' from generate_series(1, {ROWS}) n;

    -- an hour to three days long
    insert into public.vouchers (
      id, issuer_id, valid_from, valid_until, price_amount, price_currency, created_at, terms
    )
    select 'v' || n, t.id, begins, begins + (1 + n % 72) * interval '1 hour', n, 'EUR', begins,
      '{{"template": "viewing"}}'
    from generate_series(1, {ROWS}) n,
      lateral (select now() - n::float / {ROWS} * {DAYS} * interval '1 day') b (begins),
      (select id from public.thinkers limit 1) t;

    insert into private.named_templates (voucher_id, template_id) select id, 'viewing' from public.vouchers;

    insert into public.voucher_bookings (
      id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at, status, cancelled_at, price_amount,
      price_currency
    )
    select 'b' || v.id, v.id, v.issuer_id, private.thinker_id('thinker-7'), v.valid_from,
      v.valid_from + interval '1 hour',
      v.created_at,
      case when cancelled then 'cancelled' else 'booked' end, case when cancelled then v.created_at end,
      v.price_amount, v.price_currency
    from public.vouchers v, lateral (select v.price_amount % 5 = 0) c (cancelled);

    insert into public.mortgage_applications (id, borrower_id, desired_loan, currency, created_at)
    select 'a' || n, t.id, n, 'EUR', now() - n::float / {ROWS} * {DAYS} * interval '1 day'
    from generate_series(1, {ROWS}) n, (select id from public.thinkers limit 1) t;

    insert into public.mortgage_offers (id, application_id, lender_id, interest_rate, room_refs, created_at, status)
    select 'o' || a.id, a.id, a.borrower_id, 0.03, '{{}}', a.created_at, 'accepted' from public.mortgage_applications a;

    insert into public.mortgage_contracts (id, offer_id, created_at)
    select 'c' || o.id, o.id, o.created_at from public.mortgage_offers o;

    insert into public.transfers (
      id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, network, created_at, updated_at
    )
    select 't' || n, 'in', 1, 'ETH', n, 'EUR', '', 'Polygon', at, at
    from generate_series(1, {ROWS}) n, lateral (select now() - n::float / {ROWS} * {DAYS} * interval '1 day') a (at);

    insert into public.fee_events (
      fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, base_cents, rate, fixed_cents,
      unrounded, created_at
    )
    select 'transfer.logged', 'transfer', t.id, 1, 'EUR', private.thinker_id('togethersystems'), 0, 0, 1,
      1, t.created_at
    from public.transfers t;
"""

LARGE = {
    "vouchers",
    "named_templates",
    "voucher_bookings",
    "transfers",
    "fee_events",
    "mortgage_offers",
    "mortgage_applications",
    "mortgage_contracts",
    "telemetry_events",
    "thinkers",
}
VIEWS = {
    "bookings_by_day": {"vouchers", "voucher_bookings"},
    "errors_by_day": {"telemetry_events"},
    "events_by_day": {"events"},
    "fees_by_day": {"fee_events"},
    "mortgages_by_day": {"mortgage_offers", "mortgage_applications", "mortgage_contracts"},
    "offers_by_day": {"mortgage_offers"},
    "presence_by_day": {"events", "thinkers"},
    "requested_by_day": {"mortgage_applications"},
    "revenue_by_day": {"voucher_bookings"},
    "transfers_by_day": {"transfers"},
    "utilisation_by_day": {"vouchers", "named_templates", "voucher_bookings"},
}
"""What each view reads, besides the first row of everything."""

Node = dict[str, Any]


@pytest.fixture(scope="module")
def large(server: Server, migrated: str) -> Iterator[psycopg.Connection]:
    """As superuser in autocommit mode, on a large portal whose tables autovacuum has visited."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        with unchecked(connection):
            connection.execute(FILL.encode())
        connection.execute("select private.make_event_partitions()")
        connection.execute("vacuum analyze")
        use_portal_zone(connection)
        yield connection


def nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def scans(connection: psycopg.Connection, query: str) -> list[tuple[str, str]]:
    """Returns how a query reads its tables: (node type, table)."""
    [explained] = one(connection, f"explain (format json) {query}")
    # a month of a few days, the first or the last, may be read whole; the coming ones are empty
    short = one(
        connection, "select array_agg(relname::text) from pg_class where relname ~ '^events_' and reltuples < 500"
    )
    costly = (node for node in nodes(explained["Plan"]) if node.get("Relation Name") not in short)
    return [(node["Node Type"], _table(node)) for node in costly if _table(node)]


def _table(node: Node) -> str:
    name: str = node.get("Relation Name", "")
    # the index of a bitmap belongs to the scan above it
    return "events" if name.startswith("events_") else name


def test_every_view_by_day_is_tested_here(large: psycopg.Connection) -> None:
    views = large.execute(r"select viewname from pg_views where schemaname = 'stats' and viewname like '%\_by\_day'")
    assert {name for (name,) in views} == VIEWS.keys()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "period",
    [
        "v.day between current_date - 29 and current_date",
        "v.day between date '2000-01-01' + (current_date - date '2000-01-01') - 29 and current_date",
        "v.day = current_date - 100",
        "v.day > current_date - 30",
    ],
    ids=["30 days", "30 days, worked out", "a day", "no end"],
)
def test_thirty_days_are_found_by_an_index(large: psycopg.Connection, view: str, period: str) -> None:
    found = scans(large, f"select * from stats.{view} v where {period}")
    assert {table for _, table in found} >= VIEWS[view]
    # fees name each beneficiary; beneficiaries are few, and thinkers fewer than everything else
    whole = {table for kind, table in found if kind == "Seq Scan"} - ({"thinkers"} if view == "fees_by_day" else set())
    assert not whole & (LARGE | {"events"})
    assert {kind for kind, table in found if table == "events"} == {"Index Only Scan"}


@pytest.mark.parametrize("view", VIEWS)
def test_a_function_finds_its_days_by_an_index(large: psycopg.Connection, view: str) -> None:
    """As functions do: the days are not known when the query is planned."""
    with large.transaction(force_rollback=True):
        large.execute("set local plan_cache_mode = force_generic_plan")
        large.execute(
            sql.SQL("prepare figures (date, date) as select * from stats.{} v where v.day between $1 and $2").format(
                sql.Identifier(view)
            )
        )
        found = scans(large, "execute figures ('2026-01-01', '2026-01-30')")
        large.execute("deallocate figures")
    assert not {table for kind, table in found if kind == "Seq Scan"} & (LARGE | {"events"}) - {"thinkers"}
    assert {kind for kind, table in found if table == "events"} == {"Index Only Scan"}


def test_the_first_day_is_found_without_reading_the_rows(large: psycopg.Connection) -> None:
    found = scans(large, "select * from stats.days")
    assert {table for _, table in found} == LARGE - {"named_templates"} | {"events", "settings"}
    assert {kind for kind, table in found if table != "settings"} == {"Index Only Scan"}


def test_the_plans_return_rows(large: psycopg.Connection) -> None:
    """The plans above belong to views that return rows."""
    for view in VIEWS:
        rows = one(large, f"select count(*) from stats.{view} v where v.day between current_date - 29 and current_date")
        assert rows >= 29, view


def test_the_dashboard_counts_the_log_once(large: psycopg.Connection) -> None:
    """Its figures are made of the counts of days and types, not of all events again for each figure."""
    source = one(large, "select prosrc from pg_proc where oid = 'public.dashboard'::regproc")
    _, body = source.split(";", 1)
    [explained] = one(large, f"explain (analyze, format json) {body}")
    reads = [node for node in nodes(explained["Plan"]) if node["Node Type"] == "CTE Scan"]
    groups = max(node["Actual Rows"] * node["Actual Loops"] for node in reads)
    assert 100 < groups < one(large, "select count(*) from events where created_at > now() - interval '30 days'") / 10


def test_each_voucher_of_a_day_is_named_once(large: psycopg.Connection) -> None:
    query = "select * from stats.utilisation_by_day v where v.day = current_date - 100"
    [explained] = one(large, f"explain (analyze, format json) {query}")
    found = list(nodes(explained["Plan"]))
    vouchers, names, bookings = (
        sum(node["Actual Rows"] * node["Actual Loops"] for node in found if node.get("Relation Name") == table)
        for table in ("vouchers", "named_templates", "voucher_bookings")
    )
    assert bookings > 0
    assert 0 < names <= vouchers


def test_the_decimals_of_a_currency_are_not_looked_up_for_each_network(large: psycopg.Connection) -> None:
    with large.transaction(force_rollback=True):
        with unchecked(large):
            large.execute("update public.transfers t set network = t.id")
        large.execute("set local track_functions = 'pl'")
        assert one(large, "select count(decimals) from stats.transfers_by_day v where v.day > current_date - 30") > 1000
        assert one(large, "select pg_stat_get_xact_function_calls('private.currency_exponent'::regproc)") is None
