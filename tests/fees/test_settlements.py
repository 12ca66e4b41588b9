"""Settlements: months in a time zone; each fee event is in one of them, also after repeated or aborted runs."""

import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from api.actor import SERVER, Actor
from tests.fees.scene import PORTAL, book, booked, cancel, charge, fee_events, issue, settle, settled, thinker_named
from tests.support.acting import act, act_or_reason, call, connections, one, thinker, unchecked
from tests.support.charging import violations
from tests.support.databases import Server
from tests.support.parallel import at_once

pytestmark = pytest.mark.clock

MICROSECOND = timedelta(microseconds=1)
ADMIN = Actor("authenticated", "root", {"role": "admin"})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def use_zone(connection: psycopg.Connection, zone: str) -> None:
    connection.execute("update private.settings set time_zone = %s", (zone,))


def stored(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Returns the settlements: period, total, currency, status."""
    return connection.execute(
        "select period_from::text, period_to::text, total_cents, currency, status from public.settlements"
        ' order by period_from, total_cents, currency collate "C", id'
    ).fetchall()


# periods

PERIODS = [
    # time zone, period, and its end
    ("Europe/Berlin", "2026-01-01", "2026-02-01", "2026-01-31T23:00"),
    ("Europe/Berlin", "2026-02-01", "2026-03-01", "2026-02-28T23:00"),
    # the clocks go forward on the 29th of March, and back on the 25th of October
    ("Europe/Berlin", "2026-03-01", "2026-04-01", "2026-03-31T22:00"),
    ("Europe/Berlin", "2026-03-28", "2026-03-29", "2026-03-28T23:00"),
    ("Europe/Berlin", "2026-03-29", "2026-03-30", "2026-03-29T22:00"),
    ("Europe/Berlin", "2026-10-01", "2026-11-01", "2026-10-31T23:00"),
    ("Europe/Berlin", "2026-10-25", "2026-10-26", "2026-10-25T23:00"),
    ("America/Los_Angeles", "2026-03-01", "2026-04-01", "2026-04-01T07:00"),
    ("America/Los_Angeles", "2026-10-01", "2026-11-01", "2026-11-01T07:00"),
    ("America/Los_Angeles", "2026-11-01", "2026-11-02", "2026-11-02T08:00"),
    ("Pacific/Kiritimati", "2026-01-01", "2026-02-01", "2026-01-31T10:00"),
    ("UTC", "2024-02-01", "2024-03-01", "2024-03-01T00:00"),
]


@pytest.mark.parametrize(("zone", "period_from", "period_to", "end"), PERIODS)
@pytest.mark.parametrize("session_zone", ["UTC", "Asia/Tokyo"])
def test_a_period_ends_at_midnight_of_the_portals_time_zone(
    books: psycopg.Connection, zone: str, period_from: str, period_to: str, end: str, session_zone: LiteralString
) -> None:
    books.execute(f"set local time zone '{session_zone}'")
    use_zone(books, zone)
    last = charge(books, 1, at(end) - MICROSECOND)
    first_of_the_next = charge(books, 2, at(end))
    [settlement] = settle(books, period_from, period_to)
    assert (settlement["total_cents"], settlement["period_from"], settlement["period_to"]) == (
        1,
        period_from,
        period_to,
    )
    assert settled(books, last, first_of_the_next) == [UUID(settlement["id"]), None]


@pytest.mark.parametrize(
    ("zone", "boundary"),
    [
        ("Europe/Berlin", "2025-02-28T23:00"),
        ("Europe/Berlin", "2025-03-31T22:00"),
        ("Europe/Berlin", "2025-10-31T23:00"),
        ("America/Los_Angeles", "2025-04-01T07:00"),
        ("Pacific/Kiritimati", "2025-01-31T10:00"),
    ],
)
def test_each_moment_belongs_to_one_month(books: psycopg.Connection, zone: str, boundary: str) -> None:
    use_zone(books, zone)
    charge(books, 1, at(boundary) - MICROSECOND)
    charge(books, 2, at(boundary))
    assert one(books, "select private.settle_due_months()") == 2
    [first, second] = stored(books)
    assert (first[2], second[2]) == (1, 2)
    # half-open: the end of one is the begin of the next
    assert first[1] == second[0]


def test_what_was_given_back_before_it_is_settled_is_not_owed(books: psycopg.Connection) -> None:
    booking = booked(books)
    books.execute("set local session_replication_role = replica")
    books.execute("update public.fee_events set created_at = '2025-01-31T12:00Z'")
    books.execute("set local session_replication_role = origin")
    # in a later month
    cancel(books, booking)
    assert one(books, "select private.settle_due_months()") == 1
    assert stored(books) == [("2025-01-01", "2025-02-01", 0, "EUR", "open")]
    assert violations(books) == {}


def test_a_month_is_read_by_key_where_statistics_expect_that_all_is_settled(books: psycopg.Connection) -> None:
    charge(books, 1, at("2025-01-15T12:00"))
    copies = (
        "insert into public.fee_events select (jsonb_populate_record(e,"
        " jsonb_build_object('id', gen_random_uuid(), 'subject_id', %s::text || n))).*"
        " from public.fee_events e, generate_series(1, %s) as n"
    )
    assert one(books, "select private.settle_due_months()") == 1
    with unchecked(books):
        books.execute(copies, ("settled", 5000))
    books.execute("analyze public.fee_events")
    with unchecked(books):
        books.execute("update public.fee_events set settlement_id = null where subject_id like 'settled1%'")
    plan = books.execute("explain analyze select * from private.unsettled_fee_events").fetchall()
    removed = re.findall(r"Rows Removed by Join Filter: (\d+)", "\n".join(line for (line,) in plan))
    assert max(map(int, removed), default=0) < 5000


def test_missed_months_are_settled_separately(books: psycopg.Connection) -> None:
    for moment, amount in [("2025-01-15T12:00", 1), ("2025-02-10T12:00", 2), ("2025-02-20T12:00", 3)]:
        charge(books, amount, at(moment))
    charge(books, 4, at("2025-05-01T12:00"))
    months = [month for (month,) in books.execute("select private.due_months()").fetchall()]
    assert months == [date(2025, 1, 1), date(2025, 2, 1), date(2025, 5, 1)]
    assert one(books, "select private.settle_due_months()") == 3
    assert stored(books) == [
        ("2025-01-01", "2025-02-01", 1, "EUR", "open"),
        ("2025-02-01", "2025-03-01", 5, "EUR", "open"),
        ("2025-05-01", "2025-06-01", 4, "EUR", "open"),
    ]
    assert one(books, "select private.settle_due_months()") == 0
    assert violations(books) == {}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_a_month_is_due_when_it_is_over(books: psycopg.Connection, zone: str) -> None:
    use_zone(books, zone)
    this_month = one(
        books,
        "select date_trunc('month', now() at time zone s.time_zone) at time zone s.time_zone from private.settings s",
    )
    now = charge(books, 1)
    at_its_beginning = charge(books, 2, this_month)
    assert one(books, "select private.settle_due_months()") == 0
    before = charge(books, 4, this_month - MICROSECOND)
    assert one(books, "select private.settle_due_months()") == 1
    assert [s is None for s in settled(books, now, at_its_beginning, before)] == [True, True, False]


def test_a_late_commit_belongs_to_the_next_settlement(database: str) -> None:
    with connections(database, 2) as (late, settling):
        in_time = charge(settling, 1, at("2025-01-10T00:00"))
        with late.transaction():
            after_all = charge(late, 2, at("2025-01-20T00:00"))
            assert [s["total_cents"] for s in settle(settling, "2025-01-01", "2025-02-01")] == [1]
        in_february = charge(settling, 4, at("2025-02-20T00:00"))
        assert [s["total_cents"] for s in settle(settling, "2025-02-01", "2025-03-01")] == [6]
        [first, second, third] = settled(settling, in_time, after_all, in_february)
        assert first != second == third
        assert violations(settling) == {}


def test_a_late_commit_makes_its_month_due_again(database: str) -> None:
    with connections(database, 2) as (late, settling):
        charge(settling, 1, at("2025-01-10T00:00"))
        with late.transaction():
            charge(late, 2, at("2025-01-20T00:00"))
            assert one(settling, "select private.settle_due_months()") == 1
        assert one(settling, "select private.settle_due_months()") == 1
        assert stored(settling) == [
            ("2025-01-01", "2025-02-01", 1, "EUR", "open"),
            ("2025-01-01", "2025-02-01", 2, "EUR", "open"),
        ]


def test_a_booking_that_commits_late_belongs_to_the_next_settlement(database: str) -> None:
    with connections(database, 2) as (late, settling):
        issue(settling)
        with late.transaction():
            book(late)
            assert settle(settling) == []
        assert [s["total_cents"] for s in settle(settling)] == [240]
        assert violations(settling) == {}


def test_a_booking_does_not_wait_for_a_settlement(database: str) -> None:
    with connections(database, 2) as (booking, settling):
        booking.execute("set lock_timeout = '5s'")
        issue(settling)
        first = book(settling)
        with settling.transaction():
            assert [s["total_cents"] for s in settle(settling)] == [240]
            book(booking, slot=1)
            # a charge that is being settled can be reversed
            cancel(booking, first)
        assert [s["total_cents"] for s in settle(settling)] == [0]
        assert violations(settling) == {}


# the content of a settlement


def test_there_is_one_settlement_a_beneficiary_and_currency(books: psycopg.Connection) -> None:
    anna = thinker_named(books, "anna")
    for amount, currency, beneficiary in [
        (1, "EUR", PORTAL),
        (2, "EUR", PORTAL),
        (4, "JPY", PORTAL),
        (8, "EUR", anna),
        (16, "KWD", anna),
    ]:
        charge(books, amount, currency=currency, beneficiary=beneficiary)
    made = settle(books)
    assert [(s["beneficiary_uid"], s["currency"], s["total_cents"], s["fee_events"]) for s in made] == [
        ("anna", "EUR", 8, 1),
        ("anna", "KWD", 16, 1),
        ("togethersystems", "EUR", 3, 2),
        ("togethersystems", "JPY", 4, 1),
    ]
    assert {s["status"] for s in made} == {"open"}
    assert violations(books) == {}


def test_a_total_may_be_zero_or_negative(books: psycopg.Connection) -> None:
    booking = booked(books)
    assert [s["total_cents"] for s in settle(books)] == [240]
    cancel(books, booking)
    assert settle(books) == []
    books.execute("update private.settings set carries_negative_totals = false")
    assert [(s["total_cents"], s["fee_events"], s["reversals"]) for s in settle(books)] == [(-240, 1, 1)]
    cancel(books, book(books))
    assert [(s["total_cents"], s["fee_events"], s["reversals"]) for s in settle(books)] == [(0, 2, 1)]
    booked(books, 1, voucher_id="of next to nothing")
    assert [(s["total_cents"], s["fee_events"], s["reversals"]) for s in settle(books)] == [(0, 1, 0)]
    assert violations(books) == {}


def test_nothing_due_makes_no_settlement(books: psycopg.Connection) -> None:
    assert settle(books) == settle(books, dry_run=True) == []
    charge(books, 1, at("2026-06-01T00:00"))
    assert settle(books, "2026-01-01", "2026-02-01") == []
    assert stored(books) == []


def test_a_second_run_settles_nothing(books: psycopg.Connection) -> None:
    charge(books)
    assert len(settle(books)) == 1
    assert settle(books) == []
    assert settle(books, dry_run=True) == []
    assert len(stored(books)) == 1


@pytest.mark.parametrize("number", [2, 8])
def test_concurrent_runs_settle_once(database: str, number: int) -> None:
    with connections(database, number) as opened:
        for _ in range(5):
            charges = [charge(opened[0], 1, currency=currency) for currency in ("EUR", "JPY") * 10]
            made = at_once([partial(settle, connection) for connection in opened])
            assert sorted(len(settlements) for settlements in made) == [0] * (number - 1) + [2]
            [winner] = [settlements for settlements in made if settlements]
            assert [s["total_cents"] for s in winner] == [10, 10]
            assert Counter(settled(opened[0], *charges)) == {UUID(s["id"]): 10 for s in winner}
        assert violations(opened[0]) == {}


def test_runs_beside_bookings_and_cancellations_lose_and_repeat_nothing(database: str) -> None:
    def trade(connection: psycopg.Connection, voucher: str) -> None:
        for slot in range(8):
            booking = book(connection, voucher, slot)
            if slot % 2:
                cancel(connection, booking)

    def settle_often(connection: psycopg.Connection) -> None:
        for _ in range(15):
            settle(connection)

    with connections(database, 6) as opened:
        # a cancellation after the last run would wait for later charges
        opened[0].execute("update private.settings set carries_negative_totals = false")
        for i in range(4):
            issue(opened[0], f"v{i}", 1000 * (i + 1))
        at_once([partial(trade, opened[i], f"v{i}") for i in range(4)] + [partial(settle_often, c) for c in opened[4:]])
        settle(opened[0])
        events = fee_events(opened[0])
        # eight charges for each voucher, four of them reversed
        assert len(events) == 4 * 12
        assert None not in {event.settlement_id for event in events}
        assert sum(total for _, _, total, _, _ in stored(opened[0])) == 4 * (20 + 40 + 60 + 80)
        assert violations(opened[0]) == {}


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_nothing_is_settled_twice_at_any_isolation_level(database: str, isolation: LiteralString) -> None:
    with connections(database, 2) as (first, second):
        charged = charge(first)
        with second.transaction(force_rollback=True):
            second.execute(f"set transaction isolation level {isolation}")
            assert len(fee_events(second)) == 1  # takes its snapshot
            [settlement] = settle(first)
            if isolation == "read committed":
                assert settle(second) == []
            else:
                with pytest.raises(errors.SerializationFailure), second.transaction():
                    settle(second)
        assert settled(first, charged) == [UUID(settlement["id"])]


# dry runs


def test_a_dry_run_predicts_the_run_and_writes_nothing(books: psycopg.Connection) -> None:
    anna = thinker_named(books, "anna")
    booking = booked(books)
    booked(books, 500, "KWD", "w")
    cancel(books, booking)
    charge(books, 7, beneficiary=anna)
    charge(books, 9, at("2099-12-31T22:59:59"))
    charge(books, 10, at("2100-01-01T00:00"))
    events = one(books, "select count(*) from public.events")

    with books.transaction(force_rollback=True):
        books.execute("set transaction read only")
        expected = settle(books, "2026-01-01", "2100-01-01", dry_run=True)
    assert (stored(books), one(books, "select count(*) from public.events")) == ([], events)
    assert {event.settlement_id for event in fee_events(books)} == {None}

    assert len(expected) == 3
    made = settle(books, "2026-01-01", "2100-01-01")
    assert [{name: s[name] for name in expected[0]} | {"id": None} for s in made] == expected
    rows = [(s["period_from"], s["period_to"], s["total_cents"], s["currency"], s["status"]) for s in made]
    assert sorted(rows) == sorted(stored(books))


# interrupted runs


def wait_until_blocked(watching: psycopg.Connection, blocked: psycopg.Connection) -> None:
    """Waits until that connection waits for a lock; the deadline ends a failing test."""
    waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
    deadline = time.monotonic() + 20
    while not one(watching, waits, blocked.info.backend_pid):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_terminated_run_has_settled_nothing(database: str) -> None:
    with connections(database, 3) as (settling, holding, watching), ThreadPoolExecutor(1) as thread:
        charges = [charge(holding, 1) for _ in range(10)]
        with holding.transaction():
            holding.execute("select from public.fee_events where id = %s for update", (charges[5],))
            run = thread.submit(settle, settling)
            wait_until_blocked(watching, settling)
            watching.execute("select pg_terminate_backend(%s)", (settling.info.backend_pid,))
            with pytest.raises(psycopg.OperationalError):
                run.result()
        assert (settled(watching, *charges), stored(watching)) == ([None] * 10, [])
        assert one(watching, "select count(*) from public.events where type like 'settlement.%%'") == 0
        assert [s["total_cents"] for s in settle(watching)] == [10]
        assert violations(watching) == {}


@pytest.mark.slow
def test_a_server_killed_during_a_run_has_settled_nothing(database: str, server: Server) -> None:
    with connections(database, 3) as (settling, holding, watching), ThreadPoolExecutor(1) as thread:
        charges = [charge(holding, 1) for _ in range(10)]
        holding.execute("begin")
        holding.execute("select from public.fee_events where id = %s for update", (charges[5],))
        run = thread.submit(settle, settling)
        wait_until_blocked(watching, settling)
        server.kill()
        try:
            with pytest.raises(psycopg.OperationalError):
                run.result()
        finally:
            server.start()
            holding.close()
    with connections(database, 1) as [connection]:
        assert (settled(connection, *charges), stored(connection)) == ([None] * 10, [])
        assert [s["total_cents"] for s in settle(connection)] == [10]
        assert violations(connection) == {}


@pytest.mark.slow
def test_a_server_killed_before_the_commit_has_settled_nothing_and_after_it_everything(
    database: str, server: Server
) -> None:
    with connections(database, 2) as (committed, uncommitted):
        kept = charge(committed, 1, currency="EUR")
        [settlement] = settle(committed)
        lost = charge(committed, 2, currency="JPY")
        uncommitted.execute("begin")
        assert len(settle(uncommitted)) == 1
        server.kill()
        server.start()
        uncommitted.close()
    with connections(database, 1) as [connection]:
        assert settled(connection, kept, lost) == [UUID(settlement["id"]), None]
        assert [s["total_cents"] for s in settle(connection)] == [2]
        assert violations(connection) == {}


# the status of a settlement

STATUSES = ("open", "invoiced", "paid", "voided")
FUNCTIONS = {"invoiced": "invoice_settlement", "paid": "pay_settlement", "voided": "void_settlement"}
MOVES = {("open", "invoiced"), ("invoiced", "paid"), ("open", "voided"), ("invoiced", "voided")}
ALL_MOVES = [(before, after) for before in STATUSES for after in STATUSES]
WAY = {"open": [], "invoiced": ["invoiced"], "paid": ["invoiced", "paid"], "voided": ["voided"]}


def settlement_with_status(connection: psycopg.Connection, status: str) -> UUID:
    """Returns the id of a settlement with this status."""
    charge(connection)
    [settlement] = settle(connection)
    for step in WAY[status]:
        act(connection, ADMIN, FUNCTIONS[step], settlement_id=settlement["id"])
    return UUID(settlement["id"])


def row(connection: psycopg.Connection) -> dict[str, Any]:
    found: dict[str, Any] = one(connection, "select to_jsonb(s) from public.settlements s")
    return found


def set_moments(settlement: dict[str, Any]) -> set[str]:
    """Returns which moments are set."""
    return {name for name in ("invoiced_at", "paid_at", "voided_at") if settlement[name]}


TIMES = {
    ("open", "invoiced"): {"invoiced_at"},
    ("invoiced", "paid"): {"invoiced_at", "paid_at"},
    ("open", "voided"): {"voided_at"},
    ("invoiced", "voided"): {"invoiced_at", "voided_at"},
}


@pytest.mark.parametrize(("before", "after"), [move for move in ALL_MOVES if move[1] != "open"])
def test_the_functions_allow_four_transitions_and_refuse_the_others(
    books: psycopg.Connection, before: str, after: str
) -> None:
    settlement = settlement_with_status(books, before)
    was = row(books)
    if (before, after) in MOVES:
        answer = act(books, ADMIN, FUNCTIONS[after], settlement_id=settlement)
        computed = {"beneficiary_uid": "togethersystems", "is_overdue": False, "paid_cents": 100 * (after == "paid")}
        assert answer == row(books) | computed
        assert (answer["status"], set_moments(answer)) == (after, TIMES[before, after])
    else:
        with pytest.raises(psycopg.Error) as raised, books.transaction():
            act(books, ADMIN, FUNCTIONS[after], settlement_id=settlement)
        diagnosis = raised.value.diag
        assert (raised.value.sqlstate, diagnosis.message_primary) == ("PT409", "settlement_move_refused")
        assert diagnosis.message_detail == before
        assert row(books) == was
    assert violations(books) == {}


@pytest.mark.parametrize(("before", "after"), ALL_MOVES)
def test_plain_sql_allows_the_same_four_transitions(books: psycopg.Connection, before: str, after: str) -> None:
    settlement_with_status(books, before)
    was = row(books)
    if (before, after) in MOVES:
        if after == "paid":
            pay = (
                "insert into public.settlement_payments (settlement_id, amount_cents, paid_on) values (%s, 100, now())"
            )
            books.execute(pay, (was["id"],))
        else:
            books.execute("update public.settlements set status = %s", (after,))
        assert set_moments(row(books)) == TIMES[before, after]
    else:
        with pytest.raises(psycopg.Error, match="settlement_move_refused"), books.transaction():
            books.execute("update public.settlements set status = %s", (after,))
        assert row(books) == was
    assert violations(books) == {}


@pytest.mark.parametrize("before", ["open", "invoiced"])
def test_a_void_releases_fee_events_and_keeps_the_row(books: psycopg.Connection, before: str) -> None:
    settlement = settlement_with_status(books, before)
    [event] = fee_events(books)
    assert event.settlement_id == settlement
    answer = act(books, ADMIN, "void_settlement", settlement_id=settlement, reason="wrong address")
    assert (answer["total_cents"], answer["status"], answer["void_reason"]) == (100, "voided", "wrong address")
    assert [e.settlement_id for e in fee_events(books)] == [None]
    assert violations(books) == {}
    late = charge(books, 11)
    [anew] = settle(books)
    assert anew["total_cents"] == 111
    assert settled(books, event.id, late) == [UUID(anew["id"])] * 2
    assert sorted((total, status) for _, _, total, _, status in stored(books)) == [(100, "voided"), (111, "open")]
    assert violations(books) == {}


def test_several_are_voided_by_one_statement(books: psycopg.Connection) -> None:
    for currency in ("EUR", "JPY"):
        charge(books, currency=currency)
    settle(books)
    charge(books, 5)
    [kept] = settle(books)
    books.execute("update public.settlements set status = 'voided' where id <> %s", (kept["id"],))
    assert Counter(e.settlement_id for e in fee_events(books)) == {None: 2, UUID(kept["id"]): 1}
    assert violations(books) == {}


def test_a_voided_month_is_due_again(books: psycopg.Connection) -> None:
    charge(books, 1, at("2025-01-10T00:00"))
    assert one(books, "select private.settle_due_months()") == 1
    books.execute("update public.settlements set status = 'voided'")
    assert one(books, "select private.settle_due_months()") == 1
    assert [status for *_, status in stored(books)].count("open") == 1


def test_one_of_two_concurrent_voids_succeeds(database: str) -> None:
    with connections(database, 2) as opened:
        for _ in range(10):
            settlement = settlement_with_status(opened[0], "open")
            answers = at_once(
                [partial(act_or_reason, c, ADMIN, "void_settlement", settlement_id=settlement) for c in opened]
            )
            assert [answer for answer in answers if isinstance(answer, str)] == ["settlement_move_refused"]
            settle(opened[0])


def test_a_void_during_a_run_leaves_nothing_inconsistent(database: str) -> None:
    with connections(database, 2) as (voiding, settling):
        for _ in range(10):
            settlement = settlement_with_status(voiding, "open")
            charge(voiding)
            at_once(
                [
                    partial(call, voiding, ADMIN, "void_settlement", settlement_id=settlement),
                    partial(call, settling, ADMIN, "settle_fees", period_from="2026-01-01", period_to="9999-01-01"),
                ]
            )
            assert violations(voiding) == {}
        settle(voiding)
        assert None not in {event.settlement_id for event in fee_events(voiding)}
        assert violations(voiding) == {}


@pytest.mark.parametrize(
    "change",
    [
        "id = gen_random_uuid()",
        "beneficiary_id = private.ensure_thinker('anna')",
        "period_from = period_from - 1",
        "period_to = period_to + 1",
        "total_cents = total_cents + 1",
        "currency = 'USD'",
        "created_at = created_at - interval '1 day'",
        "total_cents = 0, status = 'voided'",
        "period_to = period_to + 1, status = 'invoiced'",
    ],
)
def test_only_the_status_of_a_settlement_changes(books: psycopg.Connection, change: LiteralString) -> None:
    settlement_with_status(books, "open")
    with pytest.raises(psycopg.Error) as raised:
        books.execute(f"update public.settlements set {change}")
    assert (raised.value.sqlstate, raised.value.diag.message_primary) == ("PT403", "append_only")


@pytest.mark.parametrize(
    "change", ["void_reason = 'why'", "invoiced_at = now()", "status = status", "status = 'open', voided_at = now()"]
)
def test_an_update_without_a_new_status_changes_nothing(books: psycopg.Connection, change: LiteralString) -> None:
    settlement_with_status(books, "open")
    with pytest.raises(psycopg.Error, match="settlement_move_refused"):
        books.execute(f"update public.settlements set {change}")


def test_nobody_chooses_when_a_settlement_was_invoiced(books: psycopg.Connection) -> None:
    settlement_with_status(books, "open")
    books.execute(
        "update public.settlements set status = 'invoiced', invoiced_at = '2020-01-01', paid_at = '2020-01-01'"
    )
    assert one(books, "select invoiced_at = now() and paid_at is null from public.settlements")


@pytest.mark.parametrize("statement", ["delete from public.settlements", "truncate public.settlements cascade"])
def test_a_settlement_is_never_deleted(books: psycopg.Connection, statement: LiteralString) -> None:
    settlement_with_status(books, "voided")
    with pytest.raises(psycopg.Error, match="append_only"):
        books.execute(statement)


TOTAL = "total_is_the_sum_of_its_fee_events"


@pytest.mark.parametrize("status", STATUSES)
def test_no_fee_event_is_linked_to_a_settlement_by_hand(books: psycopg.Connection, status: str) -> None:
    settlement = settlement_with_status(books, status)
    another = charge(books, 5)
    with pytest.raises(errors.CheckViolation) as raised:
        books.execute("update public.fee_events set settlement_id = %s where id = %s", (settlement, another))
    assert raised.value.diag.constraint_name == TOTAL


@pytest.mark.parametrize("status", ["open", "invoiced", "paid"])
def test_no_fee_event_is_taken_out_of_a_settlement_by_hand(books: psycopg.Connection, status: str) -> None:
    settlement_with_status(books, status)
    with pytest.raises(errors.CheckViolation) as raised:
        books.execute("update public.fee_events set settlement_id = null")
    assert raised.value.diag.constraint_name == TOTAL


def test_no_fee_event_is_moved_from_one_settlement_to_another(books: psycopg.Connection) -> None:
    first = settlement_with_status(books, "paid")
    settlement_with_status(books, "open")
    with pytest.raises(errors.CheckViolation) as raised:
        books.execute("update public.fee_events set settlement_id = %s", (first,))
    assert raised.value.diag.constraint_name == TOTAL


def test_a_voided_settlement_accepts_not_even_a_charge_of_zero(books: psycopg.Connection) -> None:
    settlement = settlement_with_status(books, "voided")
    nothing = charge(books, 0)
    with pytest.raises(errors.CheckViolation) as raised:
        books.execute("update public.fee_events set settlement_id = %s where id = %s", (settlement, nothing))
    assert raised.value.diag.constraint_name == TOTAL


def test_a_fee_event_is_settled_for_its_beneficiary_in_its_currency(books: psycopg.Connection) -> None:
    settlement = settlement_with_status(books, "open")
    others = [charge(books, 0, currency="USD"), charge(books, 0, beneficiary=thinker_named(books, "anna"))]
    for other in others:
        with pytest.raises(errors.ForeignKeyViolation), books.transaction():
            books.execute("update public.fee_events set settlement_id = %s where id = %s", (settlement, other))


def insert_settlement(connection: psycopg.Connection, total: int, status: str) -> None:
    connection.execute(
        "insert into public.settlements (beneficiary_id, period_from, period_to, total_cents, currency, status)"
        " values (%s, '2026-01-01', '2026-02-01', %s, 'EUR', %s)",
        (PORTAL, total, status),
    )


def test_a_settlement_made_by_hand_totals_its_fee_events_too(books: psycopg.Connection) -> None:
    charge(books)
    with pytest.raises(errors.CheckViolation) as raised, books.transaction():
        insert_settlement(books, 100, "open")
    assert raised.value.diag.constraint_name == TOTAL
    insert_settlement(books, 0, "open")
    assert violations(books) == {}


@pytest.mark.parametrize("status", ["invoiced", "paid", "voided"])
def test_a_settlement_begins_open(books: psycopg.Connection, status: str) -> None:
    with pytest.raises(psycopg.Error, match="settlement_move_refused"):
        insert_settlement(books, 0, status)


# privileges

ASKED: dict[str, Callable[[UUID], dict[str, object]]] = {
    "settle_fees": lambda _: {"period_from": "2026-01-01", "period_to": "9999-01-01"},
    "invoice_settlement": lambda settlement: {"settlement_id": settlement},
    "pay_settlement": lambda settlement: {"settlement_id": settlement},
    "void_settlement": lambda settlement: {"settlement_id": settlement},
    "get_settlement": lambda settlement: {"settlement_id": settlement},
    "list_settlements": lambda _: {},
    "list_fees": lambda _: {},
}


@pytest.mark.parametrize("function", ASKED)
@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        (Actor("anon"), None),
        (thinker("togethersystems"), "not_an_admin"),
        (thinker("lender", "lender"), "not_an_admin"),
        (Actor("authenticated"), "not_an_admin"),
        (ADMIN, ""),
        (thinker("root", "admin"), ""),
        (SERVER, ""),
    ],
)
def test_only_admins_and_servers_settle(
    books: psycopg.Connection, function: str, actor: Actor, reason: str | None
) -> None:
    settlement = settlement_with_status(books, "invoiced" if function == "pay_settlement" else "open")
    arguments = ASKED[function](settlement)
    if reason is None:
        with pytest.raises(errors.InsufficientPrivilege):
            call(books, actor, function, **arguments)
    elif reason:
        with pytest.raises(psycopg.Error) as raised:
            call(books, actor, function, **arguments)
        assert (raised.value.sqlstate, raised.value.diag.message_primary) == ("PT403", reason)
    else:
        assert act(books, actor, function, **arguments) is not None


OPERATIONS: list[LiteralString] = [
    "public.settle_fees('2026-01-01', '2100-01-01')",
    "public.settle_fees('2026-01-01', '2100-01-01', true)",
    "public.invoice_settlement(id)",
    "public.pay_settlement(id)",
    "public.void_settlement(id, 'error')",
    "public.get_settlement(id)",
    "public.list_settlements()",
    "public.list_fees()",
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operator_settles_in_a_plain_session(books: psycopg.Connection, operation: LiteralString) -> None:
    settlement_with_status(books, "invoiced" if "pay" in operation else "open")
    assert one(books, f"select {operation} from public.settlements") is not None


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operator_in_another_role_has_only_its_privileges(
    books: psycopg.Connection, operation: LiteralString
) -> None:
    settlement_with_status(books, "open")
    # row level security hides all settlements here
    call_it = operation.replace("(id", "(gen_random_uuid()")
    books.execute("set local role authenticated")
    with pytest.raises(psycopg.Error, match="not_an_admin"):
        books.execute(f"select {call_it}".encode())


@pytest.mark.parametrize(("membership", "may"), [("authenticated", False), ("service_role", False), ("postgres", True)])
def test_only_the_owner_of_the_schema_is_an_operator(
    books: psycopg.Connection, membership: LiteralString, may: bool
) -> None:
    books.execute("create role clerk login")
    books.execute(f"grant {membership} to clerk")
    books.execute("set session authorization clerk")
    if may:
        assert settle(books) == []
    else:
        with pytest.raises(psycopg.Error, match="not_an_admin"):
            settle(books)


PERIODS_REFUSED: list[tuple[str | None, str | None]] = [
    (None, "2026-02-01"),
    ("2026-01-01", None),
    (None, None),
    ("2026-02-01", "2026-02-01"),
    ("2026-02-01", "2026-01-01"),
    ("-infinity", "2026-02-01"),
    ("2026-01-01", "infinity"),
    ("-infinity", "infinity"),
    ("infinity", "infinity"),
    ("0001-12-31 BC", "2026-02-01"),
    ("4713-01-01 BC", "2026-02-01"),
    ("2026-01-01", "10000-01-01"),
    ("2026-01-01", "294277-01-01"),
    ("2026-01-01", "5874897-12-31"),
    ("5874896-12-31", "5874897-12-31"),
]


@pytest.mark.parametrize("flags", [{}, {"dry_run": True}], ids=["run", "dry run"])
@pytest.mark.parametrize(("period_from", "period_to"), PERIODS_REFUSED)
@pytest.mark.parametrize("session_zone", ["UTC", "Pacific/Kiritimati"])
def test_an_invalid_period_is_refused(
    books: psycopg.Connection,
    period_from: str,
    period_to: str,
    flags: dict[str, bool],
    session_zone: LiteralString,
) -> None:
    books.execute(f"set local time zone '{session_zone}'")
    charge(books)
    with pytest.raises(psycopg.Error) as raised:
        settle(books, period_from, period_to, **flags)
    assert (raised.value.sqlstate, raised.value.diag.message_primary) == ("PT400", "period_invalid")


def test_the_longest_period_is_settled(books: psycopg.Connection) -> None:
    charge(books)
    [settlement] = settle(books, "0001-01-01", "9999-12-31")
    assert (settlement["period_from"], settlement["period_to"]) == ("0001-01-01", "9999-12-31")


def test_an_unknown_settlement_is_refused(books: psycopg.Connection) -> None:
    for function in (*FUNCTIONS.values(), "get_settlement"):
        for settlement in ("6f1a8f5e-0000-4000-8000-000000000001", None):
            with pytest.raises(psycopg.Error) as raised, books.transaction():
                call(books, ADMIN, function, settlement_id=settlement)
            assert (raised.value.sqlstate, raised.value.diag.message_primary) == ("PT404", "settlement_not_found")


# events


def test_every_transition_of_a_settlement_leaves_its_event(books: psycopg.Connection) -> None:
    thinker_named(books, "root")
    charge(books, 7)
    period = {"period_from": "2026-01-01", "period_to": "2100-02-01"}
    [paid] = act(books, ADMIN, "settle_fees", **period)
    act(books, ADMIN, "invoice_settlement", settlement_id=paid["id"])
    act(books, ADMIN, "pay_settlement", settlement_id=paid["id"], reference="r")
    charge(books, 9, currency="JPY")
    [voided] = act(books, SERVER, "settle_fees", **period)
    act(books, ADMIN, "void_settlement", settlement_id=voided["id"], reason="twice")
    charge(books, 11, currency="KWD")
    settle(books, dry_run=True)

    events = books.execute(
        "select type, private.uid_of(actor_id), subject_id, meta from public.events"
        " where subject_type = 'settlement' order by id"
    ).fetchall()
    of = {"beneficiary": "togethersystems", "periodFrom": "2026-01-01", "periodTo": "2100-02-01"}
    seven, nine = of | {"totalCents": 7, "currency": "EUR"}, of | {"totalCents": 9, "currency": "JPY"}
    number, due, today, payment = (
        books.execute(
            "select s.number, s.due_on::text, p.paid_on::text, p.id::text"
            " from public.settlements s join public.settlement_payments p on p.settlement_id = s.id"
        ).fetchone()
        or [None] * 4
    )
    invoiced = seven | {"number": number, "dueOn": due, "by": "root"}
    part = {"payment": payment, "amountCents": 7, "paidOn": today, "reference": "r", "by": "root"}
    assert events == [
        ("settlement.created", "root", paid["id"], seven | {"by": "root"}),
        ("settlement.invoiced", "root", paid["id"], invoiced),
        ("settlement.paid", "root", paid["id"], invoiced),
        ("settlement.payment", "root", paid["id"], part),
        ("settlement.created", None, voided["id"], nine | {"by": "service_role"}),
        ("settlement.voided", "root", voided["id"], nine | {"reason": "twice", "by": "root"}),
    ]


def test_a_refused_transition_leaves_no_event(books: psycopg.Connection) -> None:
    settlement = settlement_with_status(books, "paid")
    assert act_or_reason(books, ADMIN, "void_settlement", settlement_id=settlement) == "settlement_move_refused"
    assert one(books, "select count(*) from public.events where type = 'settlement.voided'") == 0


def test_totals_that_overflow_do_not_block_other_beneficiaries(books: psycopg.Connection) -> None:
    most, number = 2**53 - 1, 1100
    assert most * number > 2**63
    books.execute(
        "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
        " base_cents, rate, fixed_cents, unrounded)"
        " select 'transfer.logged', 'transfer', 'absurd-' || i, %s, 'EUR', private.thinker_id('togethersystems'),"
        " 0, 0, %s, %s from generate_series(1, %s) as i",
        (most, most, most, number),
    )
    charge(books, 7, currency="CHF")

    announced = settle(books, dry_run=True)
    made = settle(books)

    assert [s["total_cents"] for s in made if s["currency"] == "CHF"] == [7]
    in_euros = [s["total_cents"] for s in made if s["currency"] == "EUR"]
    assert len(in_euros) == 3
    assert sum(in_euros) == most * number
    assert Counter(s["total_cents"] for s in announced) == Counter(s["total_cents"] for s in made)
    assert settle(books) == []
    assert violations(books) == {"every_charge_has_its_subject": number}


def test_the_price_of_a_voucher_stays_while_it_is_booked(books: psycopg.Connection) -> None:
    booking = booked(books, 500, "EUR", "v")
    for change in ("price_amount = 600", "price_currency = 'USD'", "price_amount = null, price_currency = null"):
        with pytest.raises(psycopg.Error, match="voucher_is_booked"), books.transaction():
            books.execute(f"update public.vouchers set {change} where id = 'v'".encode())
    books.execute("update public.vouchers set price_amount = 500, title = 'another' where id = 'v'")
    cancel(books, booking)
    books.execute("update public.vouchers set price_amount = 600 where id = 'v'")
    assert violations(books) == {}


def test_more_settlements_at_once_read_the_fee_events_no_more_often(books: psycopg.Connection) -> None:
    """One charge in each of many currencies costs those nothing who make them."""
    # not scans: how many a plan has depends on what autovacuum has seen of the tables
    books.execute("set local track_functions = 'all'")
    calls = (
        "select coalesce(sum(pg_stat_get_xact_function_calls(oid)), 0) from pg_proc"
        " where prosrc ~ 'public[.]fee_events'"
    )
    read = []
    for currencies in (10, 40):
        for currency in one(books, "select (array_agg(code))[:%s] from private.currencies", currencies):
            charge(books, currency=currency)
        before = one(books, calls)
        assert len(settle(books)) == currencies
        read.append(one(books, calls) - before)
    assert read[0] == read[1] > 0
