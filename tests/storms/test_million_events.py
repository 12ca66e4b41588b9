"""The figures of the dashboards over the events of 400 days of a busy portal: a million of them with STRESS=full."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from api.actor import SERVER
from tests.support.acting import call, one
from tests.support.charging import violations
from tests.support.databases import Server
from tests.support.days import use_portal_zone
from tests.support.stress import sized

SHARE = sized(usual=8, full=1)
"""By what the full numbers are divided."""

SIZES = {"thinkers": 20_000 // SHARE, "rows": 100_000 // SHARE, "events": 1_000_000 // SHARE}

ALL: dict[LiteralString, LiteralString] = {
    "select sum(events) from stats.events_by_day": "select count(*) from public.events",
    "select sum(heartbeats) from stats.presence_by_day": (
        "select count(*) from public.events where type = 'presence.heartbeat'"
    ),
    "select sum(new_thinkers) from stats.presence_by_day": "select count(*) from public.thinkers",
    "select sum(bookings) from stats.bookings_by_day": "select count(*) from public.voucher_bookings",
    "select sum(amount_cents) from stats.revenue_by_day": (
        "select sum(v.price_amount) from public.voucher_bookings b join public.vouchers v on v.id = b.voucher_id"
        " where b.status = 'booked'"
    ),
    "select sum(in_cents + out_cents) from stats.transfers_by_day": "select sum(fiat_amount) from public.transfers",
    "select sum(accrued_cents) from stats.fees_by_day": "select sum(amount_cents) from public.fee_events",
}


@pytest.fixture(scope="module")
def busy_year(server: Server, migrated: str) -> Iterator[psycopg.Connection]:
    """A function that queries, as an operator, a database with 400 days of a busy portal."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        for name, size in SIZES.items():
            connection.execute("select set_config(%s, %s, false)", (f"busy_year.{name}", str(size)))
        connection.execute(Path(__file__).with_name("busy_year.sql").read_bytes())
        # as autovacuum would do in the meantime
        connection.execute("vacuum analyze")
        use_portal_zone(connection)
        yield connection


@pytest.mark.parametrize("figure", ALL)
def test_no_row_is_lost_between_two_days(busy_year: psycopg.Connection, figure: LiteralString) -> None:
    assert one(busy_year, figure) == one(busy_year, ALL[figure])


def test_no_rule_is_violated(busy_year: psycopg.Connection) -> None:
    assert violations(busy_year) == {}


def test_a_month_of_figures_reads_a_month_of_rows(busy_year: psycopg.Connection, figures: list[str]) -> None:
    views = busy_year.execute("select viewname from pg_views where schemaname = 'stats' and viewname ~ '_by_day$'")
    for (view,) in views.fetchall():
        query = sql.SQL(
            "explain (analyze, buffers, format json) select * from {} where day > current_date - %s"
        ).format(sql.Identifier("stats", view))
        plans = [busy_year.execute(query, (days,)).fetchall()[0][0][0] for days in (30, 400)]
        pages, all_pages = (plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan in plans)
        seconds, all_seconds = (plan["Execution Time"] / 1000 for plan in plans)
        figures.append(
            f"stats.{view}: 30 days {seconds * 1000:.0f} ms and {pages} pages,"
            f" 400 days {all_seconds * 1000:.0f} ms and {all_pages} pages"
        )
        # a thirteenth, and the reads that find the first day
        assert pages < all_pages / 5 + sized(usual=100, full=200), (view, json.dumps(plans[0]))


def test_every_dashboard_answers(busy_year: psycopg.Connection, figures: list[str]) -> None:
    days = {name: one(busy_year, f"select current_date - {number}") for name, number in (("30", 29), ("365", 364))}
    for function in ("presence", "voucher", "mortgage", "telbank", "fee", "system"):
        for name, first in days.items():
            began = time.monotonic()
            answer = call(busy_year, SERVER, f"{function}_stats", from_day=first)
            figures.append(f"{function}_stats, {name} days: {(time.monotonic() - began) * 1000:.0f} ms")
            assert len({day["day"] for day in answer["days"]}) <= int(name)
            assert answer["from_day"] == first.isoformat()
