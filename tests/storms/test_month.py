"""A month of bookings and cancellations is settled in one call: 100,000 of them with STRESS=full."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
import pytest
from psycopg import errors

from api.actor import SERVER
from tests.storms.scene import backdate_prices
from tests.support.acting import call, one
from tests.support.charging import rounded, violations
from tests.support.databases import Server
from tests.support.stress import sized
from tests.support.waiting import wait_for_row

BOOKINGS = sized(usual=9_000, full=90_000)
CANCELLED = BOOKINGS // 9
BENEFICIARIES = ("togethersystems", "partner", "operator")

VOUCHERS = """
    insert into public.vouchers (id, issuer_id, valid_from, valid_until, price_amount, price_currency)
    select 'voucher-' || i, private.thinker_id('issuer'), '2030-01-01', '2031-01-01', i * 37 % 90000,
      (array['EUR', 'CHF', 'USD', 'JPY', 'KWD'])[1 + i % 5]
    from generate_series(0, 999) i
"""

# one batch for each beneficiary; each voucher's bookings one after the other, made in the course of the last month
BOOK = """
    insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at)
    select 'booking-' || i, v.id, v.issuer_id, private.thinker_id('holder-' || i %% 500),
      slot, slot + interval '1 hour', now() - interval '1 month' * (i::float / %(bookings)s)
    from generate_series(%(first)s::int, %(bookings)s - 1, %(step)s) i
    join public.vouchers v on v.id = 'voucher-' || i %% 1000,
      lateral (select timestamptz '2030-01-01' + i / 1000 * interval '1 hour' as slot) s
"""


@pytest.fixture(scope="module")
def month(server: Server, migrated: str) -> Iterator[str]:
    """The name of a database with the month, a template for copies; all rows were inserted directly."""
    name = server.create(template=migrated)
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        backdate_prices(connection)
        connection.execute(
            "insert into public.thinkers (id, public_id) select private.thinker_id(uid), uid"
            " from (select 'issuer' as uid union all select unnest(%s::text[]) union all"
            " select 'holder-' || i from generate_series(0, 499) i) uids on conflict do nothing",
            (list(BENEFICIARIES),),
        )
        connection.execute(VOUCHERS)
        for first, uid in enumerate(BENEFICIARIES):
            connection.execute(
                "update public.fees set beneficiary_id = private.thinker_id(%s) where id = 'voucher.booking'", (uid,)
            )
            connection.execute(BOOK, {"bookings": BOOKINGS, "first": first, "step": len(BENEFICIARIES)})
        connection.execute(
            "update public.voucher_bookings set status = 'cancelled', cancelled_at = clock_timestamp() where id in"
            " (select id from public.voucher_bookings order by md5(id) limit %s)",
            (CANCELLED,),
        )
        connection.execute(
            "update public.vouchers v set status = 'booked', holder_id = (select b.holder_id"
            " from public.voucher_bookings b where b.voucher_id = v.id and b.status = 'booked' limit 1)"
        )
        # as autovacuum would do in the meantime
        connection.execute("analyze")
    yield name
    server.drop(name)


@pytest.fixture
def database(server: Server, month: str) -> Iterator[str]:
    """The URL, as superuser, of a database with the month."""
    with server.database(template=month) as url:
        yield url


def settle(connection: psycopg.Connection) -> dict[tuple[str, str], int]:
    """Settles this month and the last, which hold all charges; returns the totals by beneficiary and currency."""
    first_days = connection.execute(
        "select (date_trunc('month', today) - interval '1 month')::date,"
        " (date_trunc('month', today) + interval '1 month')::date"
        " from (select now() at time zone time_zone as today from private.settings) s"
    ).fetchone()
    assert first_days
    made = call(connection, SERVER, "settle_fees", period_from=first_days[0], period_to=first_days[1])
    return {(s["beneficiary_uid"], s["currency"]): s["total_cents"] for s in made}


def owed(connection: psycopg.Connection) -> Counter[tuple[str, str]]:
    """Returns what Python computes: 2 percent of every valid booking."""
    totals: Counter[tuple[str, str]] = Counter()
    for id_, price, currency in connection.execute(
        "select b.id, v.price_amount, v.price_currency from public.voucher_bookings b"
        " join public.vouchers v on v.id = b.voucher_id where b.status = 'booked'"
    ):
        number = int(id_.removeprefix("booking-"))
        totals[BENEFICIARIES[number % len(BENEFICIARIES)], currency] += rounded(price * Decimal("0.02"))
    return totals


def test_a_month_is_settled_in_one_call(database: str, figures: list[str]) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        began = time.monotonic()
        totals = settle(connection)
        seconds = time.monotonic() - began

        assert totals == owed(connection)
        assert len(totals) == 15
        assert settle(connection) == {}
        assert violations(connection) == {}
        assert one(connection, "select count(*) from public.voucher_bookings where status = 'cancelled'") == CANCELLED
        events = one(connection, "select count(*) from public.fee_events")
        assert events == one(connection, "select count(*) from public.fee_events where settlement_id is not null")
        figures.append(f"a month: {BOOKINGS} bookings, {CANCELLED} cancelled: {events} fee events in {seconds:.1f} s")


def test_a_killed_run_settles_nothing_and_the_next_run_settles_everything(database: str) -> None:
    with (
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(database, autocommit=True) as settling,
        psycopg.connect(database) as holding,
        psycopg.connect(database, autocommit=True) as watching,
    ):
        # the settlement reaches this event after it has linked half of the others
        holding.execute("select from public.fee_events offset %s limit 1 for update", (BOOKINGS * 5 // 9,))
        settled = thread.submit(settle, settling)
        wait_for_row(
            watching,
            f"select from pg_stat_activity where pid = {settling.info.backend_pid} and wait_event_type = 'Lock'"
            " and backend_xid is not null",
        )
        assert one(watching, "select pg_terminate_backend(%s, 10000)", settling.info.backend_pid)
        with pytest.raises(errors.AdminShutdown):
            settled.result()
        holding.rollback()

        assert one(watching, "select count(*) from public.fee_events where settlement_id is not null") == 0
        assert one(watching, "select count(*) from public.settlements") == 0
        assert settle(watching) == owed(watching)
        assert violations(watching) == {}
