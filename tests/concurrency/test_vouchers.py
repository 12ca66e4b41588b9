"""Concurrent bookings, cancellations and issues: a slot is booked at most once."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event

import psycopg
import pytest
from psycopg import errors

from api.actor import SERVER
from tests.support.acting import call, call_or_reason, connections, one, thinker
from tests.support.parallel import ask_at_once, at_once
from tests.support.serving import Answer, Connection
from tests.support.waiting import wait_for_row

NINE = datetime(2030, 5, 1, 9, tzinfo=UTC)
SLOT = "slot-2030-05-01T09:00:00.000Z"
TAKEN = Answer(400, {"ok": False, "error": "Slot nicht verfügbar"}, {})

DISAGREEING = """
    select count(*)
    from public.vouchers v
    left join lateral (
      select count(*) as active, array_agg(b.holder_id) as holders
      from public.voucher_bookings b
      where b.voucher_id = v.id and b.status = 'booked'
    ) b on true
    where (v.status = 'booked') <> (b.active > 0)
      or v.status not in ('issued', 'booked')
      or (v.holder_id is null) <> (b.active = 0)
      or v.holder_id <> all (b.holders)
"""


@pytest.fixture
def voucher(database: str) -> str:
    """The id of a voucher with eight slots of an hour."""
    return issue(database, "voucher", hours=8)


def issue(database: str, voucher_id: str, *, hours: int, minutes: int = 60) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        call(
            connection,
            thinker("issuer"),
            "issue_voucher",
            voucher_id=voucher_id,
            valid_from=NINE,
            valid_until=NINE + timedelta(hours=hours),
            duration_minutes=minutes,
        )
    return voucher_id


def active_bookings(database: str) -> int:
    with psycopg.connect(database) as connection:
        count: int = one(connection, "select count(*) from public.voucher_bookings where status = 'booked'")
        return count


def test_one_of_fifty_bookings_of_a_slot_succeeds_in_sql(database: str, voucher: str) -> None:
    with connections(database, 50) as opened:
        outcomes = at_once(
            [
                partial(call_or_reason, c, thinker(f"holder-{i}"), "book_voucher", voucher_id=voucher, slot_start=NINE)
                for i, c in enumerate(opened)
            ]
        )
    refused = Counter(outcome for outcome in outcomes if isinstance(outcome, str))
    assert refused == {"slot_taken": 49}
    assert active_bookings(database) == 1


def test_one_of_many_bookings_of_a_slot_succeeds_over_http(portal: str, database: str, voucher: str) -> None:
    def book(connection: Connection, holder: str) -> Answer:
        return connection.post("/api/voucher/book", {"voucherId": voucher, "slotId": SLOT, "holderUid": holder})

    answers = ask_at_once(portal, *(partial(book, holder=f"holder-{i}") for i in range(16)))

    assert Counter(answer.status for answer in answers) == {200: 1, 400: 15}
    assert all(answer.body == TAKEN.body for answer in answers if answer.status == 400)
    assert active_bookings(database) == 1


def test_one_of_overlapping_slots_booked_at_once_succeeds(database: str) -> None:
    voucher = issue(database, "long", hours=3, minutes=90)  # the slot at 10:00 begins within the one at 9:00
    with connections(database, 20) as opened:
        outcomes = at_once(
            [
                partial(
                    call_or_reason,
                    connection,
                    thinker(f"holder-{i}"),
                    "book_voucher",
                    voucher_id=voucher,
                    slot_start=NINE + timedelta(hours=i % 2),
                )
                for i, connection in enumerate(opened)
            ]
        )
    assert Counter(outcome for outcome in outcomes if isinstance(outcome, str)) == {"slot_taken": 19}
    assert active_bookings(database) == 1


def test_one_of_the_vouchers_of_an_exclusive_issuer_is_booked_at_an_hour(database: str) -> None:
    vouchers = [issue(database, f"v{i}", hours=2) for i in range(20)]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update public.thinkers set no_overlap_across_vouchers = true")
    with connections(database, 20) as opened:
        outcomes = at_once(
            [
                partial(call_or_reason, c, thinker(f"holder-{v}"), "book_voucher", voucher_id=v, slot_start=NINE)
                for v, c in zip(vouchers, opened, strict=True)
            ]
        )
    # not a deadlock
    assert Counter(outcome for outcome in outcomes if isinstance(outcome, str)) == {"slot_taken": 19}
    assert active_bookings(database) == 1


def test_an_issuer_becomes_exclusive_before_or_after_a_booking(database: str) -> None:
    first, second = (issue(database, voucher, hours=2) for voucher in ("first", "second"))
    holder = thinker("holder")
    with connections(database, 3) as (booking, choosing, watching), ThreadPoolExecutor(2) as threads:
        with booking.transaction():
            call(booking, holder, "book_voucher", voucher_id=first, slot_start=NINE)
            chosen = threads.submit(
                choosing.execute,
                "update public.thinkers set no_overlap_across_vouchers = true where public_id = 'issuer'",
            )
            wait_for_row(watching, "select from pg_stat_activity where wait_event_type = 'Lock'")
        chosen.result()
        assert call_or_reason(watching, holder, "book_voucher", voucher_id=second, slot_start=NINE) == "slot_taken"


def test_not_even_the_superuser_can_insert_overlapping_bookings_at_once(database: str, voucher: str) -> None:
    def insert(connection: psycopg.Connection, minutes: int) -> bool:
        start = NINE + timedelta(minutes=minutes)
        try:
            connection.execute(
                "insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)"
                " select id, issuer_id, issuer_id, %s, %s from public.vouchers",
                (start, start + timedelta(hours=1)),
            )
        # each of two waits for the other: PostgreSQL cancels one of them
        except (errors.ExclusionViolation, errors.DeadlockDetected):
            return False
        return True

    with connections(database, 8) as opened:
        won = at_once([partial(insert, connection, 7 * i) for i, connection in enumerate(opened)])
    assert won.count(True) == 1
    assert active_bookings(database) == 1


def test_adjacent_bookings_do_not_overlap(database: str, voucher: str) -> None:
    with connections(database, 8) as opened:
        at_once(
            [
                partial(
                    call,
                    connection,
                    thinker(f"holder-{i}"),
                    "book_voucher",
                    voucher_id=voucher,
                    slot_start=NINE + timedelta(hours=i),
                )
                for i, connection in enumerate(opened)
            ]
        )
    assert active_bookings(database) == 8


def test_one_of_two_cancellations_of_the_only_booking_succeeds(portal: str, database: str, voucher: str) -> None:
    def cancel(connection: Connection) -> Answer:
        return connection.post("/api/voucher/cancel", {"voucherId": voucher})

    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(20):
            call(connection, thinker("holder"), "book_voucher", voucher_id=voucher, slot_start=NINE)
            answers = ask_at_once(portal, cancel, cancel)
            assert sorted(answer.status for answer in answers) == [200, 404]
            assert active_bookings(database) == 0


@pytest.mark.slow
def test_a_voucher_agrees_with_its_bookings_at_every_moment_of_a_storm(database: str, voucher: str) -> None:
    over = Event()

    def storm(connection: psycopg.Connection, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(40):
            if dice.random() < 0.6:
                start = NINE + timedelta(hours=dice.randrange(4))
                actor = thinker(f"holder-{seed}")
                call_or_reason(connection, actor, "book_voucher", voucher_id=voucher, slot_start=start)
            else:
                call_or_reason(connection, SERVER, "cancel_booking", voucher_id=voucher)

    def watch(connection: psycopg.Connection) -> list[int]:
        seen = []
        while not over.is_set():
            seen.append(one(connection, DISAGREEING))
        return seen

    def storms(opened: list[psycopg.Connection]) -> list[int]:
        try:
            at_once([partial(storm, connection, seed) for seed, connection in enumerate(opened)])
        finally:
            over.set()
        return []

    with connections(database, 13) as opened:
        _, seen = at_once([partial(storms, opened[1:]), partial(watch, opened[0])])
        assert set(seen) == {0}
        assert one(opened[0], DISAGREEING) == 0
        assert one(opened[0], "select count(*) from public.voucher_bookings where status = 'cancelled'") > 10


def test_one_of_twenty_issues_of_a_voucher_id_succeeds(portal: str, database: str) -> None:
    def issue_same(connection: Connection, issuer: str) -> Answer:
        return connection.post("/api/voucher/issue", {"issuerUid": issuer, "voucherId": "the-same"})

    answers = ask_at_once(portal, *(partial(issue_same, issuer=f"issuer-{i}") for i in range(20)))

    assert Counter(answer.status for answer in answers) == {200: 1, 409: 19}
    [winner] = [answer.body["voucher"]["issuerUid"] for answer in answers if answer.status == 200]
    with psycopg.connect(database) as connection:
        assert one(connection, "select private.uid_of(issuer_id) from public.vouchers") == winner


def test_two_thinkers_who_name_each_other_first_at_once_both_succeed(database: str) -> None:
    def issue_for(connection: psycopg.Connection, issuer: str, holder: str) -> object:
        return call_or_reason(connection, thinker(issuer), "issue_voucher", holder_uid=holder)

    with connections(database, 2) as (first, second):
        for i in range(100):
            outcomes = at_once(
                [partial(issue_for, first, f"a{i}", f"b{i}"), partial(issue_for, second, f"b{i}", f"a{i}")]
            )
            assert [outcome for outcome in outcomes if not isinstance(outcome, dict)] == []
