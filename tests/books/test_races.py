"""Two operators at the same moment: the second waits for the first, and cannot do what that has made impossible."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from api.actor import SERVER
from tests.fees.scene import book, cancel, charge, issue, settle, thinker_named
from tests.support.acting import call, call_or_reason, connections, one
from tests.support.charging import violations
from tests.support.parallel import at_once
from tests.support.waiting import wait_for_row, wait_until

Act = Callable[[psycopg.Connection, "Books"], Any]

CHARGED = 100
LOST = "could not serialize"


class Books:
    """One charge of a beneficiary of its own, in a settlement."""

    def __init__(self, connection: psycopg.Connection) -> None:
        """Settles the charge; the settlement is open."""
        self.uid = f"beneficiary-{uuid4()}"
        self.beneficiary = thinker_named(connection, self.uid)
        self.charge = charge(connection, CHARGED, beneficiary=self.beneficiary)
        [made] = [s for s in settle(connection) if s["beneficiary_uid"] == self.uid]
        self.settlement = UUID(made["id"])


@pytest.fixture
def opened(shared_database: str) -> Iterator[list[psycopg.Connection]]:
    """Three connections."""
    with connections(shared_database, 3) as opened:
        yield opened


def moves(function: str, **arguments: object) -> Act:
    """Returns a call for the settlement."""
    return lambda connection, books: call_or_reason(
        connection, SERVER, function, settlement_id=books.settlement, **arguments
    )


def corrects(function: str, **arguments: object) -> Act:
    """Returns a call for the charge."""
    return lambda connection, books: call_or_reason(
        connection, SERVER, function, fee_event_id=books.charge, reason="a test", **arguments
    )


invoice, void = moves("invoice_settlement"), moves("void_settlement")
pay, pay_60 = moves("pay_settlement"), moves("pay_settlement", amount_cents=60)
write_off = moves("write_off_settlement", reason="a test")
credit_60, reverse = corrects("adjust_fee", amount_cents=-60), corrects("reverse_fee")

# what was before, what happens first, what waits for it, and what becomes of that
RACES: dict[str, tuple[list[Act], Act, Act, str]] = {
    "an invoice, a void": ([], invoice, void, "voided"),
    "a void, an invoice": ([], void, invoice, "settlement_move_refused"),
    "an invoice, an invoice": ([], invoice, invoice, "settlement_move_refused"),
    "a payment, a payment": ([invoice], pay, pay, "settlement_move_refused"),
    "a part, the other part": ([invoice], pay_60, moves("pay_settlement", amount_cents=40), "paid"),
    "a part, too large a part": ([invoice], pay_60, pay_60, "payment_too_high"),
    "a part, the rest": ([invoice], pay_60, pay, "paid"),
    "a part, a void": ([invoice], pay_60, void, "settlement_has_payments"),
    "a void, a part": ([invoice], void, pay_60, "settlement_move_refused"),
    "a payment, a write-off": ([invoice], pay, write_off, "settlement_move_refused"),
    "a write-off, a payment": ([invoice], write_off, pay_60, "settlement_move_refused"),
    "two credits": ([], credit_60, credit_60, "adjustment_refused"),
    "a reversal, a credit": ([], reverse, credit_60, "fee_already_reversed"),
    "two reversals": ([], reverse, reverse, "fee_already_reversed"),
}


def what_became(answer: Any) -> str:
    """Returns the status of a settlement, or why it was refused."""
    return answer if isinstance(answer, str) else answer["status"]


def one_waits_for_the_other(
    opened: list[psycopg.Connection], first: Callable[[], object], second: Callable[[], Any]
) -> Any:
    """Does the first, and commits when the second waits for it. Returns what came of the second."""
    before, after, watching = opened
    with ThreadPoolExecutor(1) as threads:
        with before.transaction():
            first()
            later = threads.submit(second)
            wait_for_row(
                watching,
                f"select from pg_stat_activity where pid = {after.info.backend_pid} and wait_event_type = 'Lock'",
            )
        return later.result()


@pytest.mark.parametrize("race", RACES)
def test_the_second_sees_what_the_first_has_done(opened: list[psycopg.Connection], race: str) -> None:
    history, first, second, outcome = RACES[race]
    books = Books(opened[0])
    for step in history:
        step(opened[0], books)
    answer = one_waits_for_the_other(opened, partial(first, opened[0], books), partial(second, opened[1], books))
    assert what_became(answer) == outcome
    assert violations(opened[0]) == {}


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize("race", RACES)
def test_no_isolation_level_loses_what_the_first_has_done(
    opened: list[psycopg.Connection], race: str, isolation: LiteralString
) -> None:
    history, first, second, outcome = RACES[race]
    books = Books(opened[0])
    for step in history:
        step(opened[0], books)
    opened[1].execute(f"set default_transaction_isolation = '{isolation}'")

    def second_or_lost() -> str:
        try:
            return what_became(second(opened[1], books))
        except errors.SerializationFailure:
            return LOST

    answer = one_waits_for_the_other(opened, partial(first, opened[0], books), second_or_lost)
    assert answer in (LOST, outcome)
    assert violations(opened[0]) == {}


def test_a_reversal_after_a_credit_takes_back_what_it_left(opened: list[psycopg.Connection]) -> None:
    books = Books(opened[0])
    answer = one_waits_for_the_other(opened, partial(credit_60, opened[0], books), partial(reverse, opened[1], books))
    assert answer["amount_cents"] == -40


def test_a_cancellation_comes_before_a_credit_of_its_charge(opened: list[psycopg.Connection]) -> None:
    voucher = f"voucher-{uuid4()}"
    booking = book(opened[0], issue(opened[0], voucher))
    event = one(opened[0], "select id from public.fee_events where subject_id = %s", booking)
    answer = one_waits_for_the_other(
        opened,
        partial(cancel, opened[0], booking),
        lambda: call_or_reason(opened[1], SERVER, "adjust_fee", fee_event_id=event, amount_cents=-1, reason="a test"),
    )
    assert answer == "fee_already_reversed"


def test_a_credit_and_a_settlement_do_not_wait_for_each_other(opened: list[psycopg.Connection]) -> None:
    first, second, _ = opened
    books = Books(first)
    void(first, books)
    with first.transaction():
        credit_60(first, books)
        made = [s["total_cents"] for s in settle(second) if s["beneficiary_uid"] == books.uid]
    assert made == [CHARGED]
    # carried until something is charged
    assert [s for s in settle(second) if s["beneficiary_uid"] == books.uid] == []
    other = charge(first, 70, beneficiary=books.beneficiary)
    with first.transaction():
        made = [s["total_cents"] for s in settle(first) if s["beneficiary_uid"] == books.uid]
        call(second, SERVER, "adjust_fee", fee_event_id=other, amount_cents=-1, reason="a test")
    assert made == [10]
    assert violations(first) == {}


def test_an_invoice_waits_for_a_settlement_run(opened: list[psycopg.Connection]) -> None:
    books = Books(opened[0])
    answer = one_waits_for_the_other(opened, partial(settle, opened[0]), partial(invoice, opened[1], books))
    assert what_became(answer) == "invoiced"
    assert violations(opened[0]) == {}


def test_numbers_of_sixteen_have_no_gap_whatever_is_rolled_back_or_killed(shared_database: str) -> None:
    """Each of sixteen invoices five settlements of one beneficiary; some transactions are rolled back or killed."""
    with connections(shared_database, 18) as [*clerks, killer, planner]:
        beneficiary = thinker_named(planner, f"beneficiary-{uuid4()}")
        settlements = []
        for _ in range(16 * 5):
            charge(planner, CHARGED, beneficiary=beneficiary)
            settlements += [UUID(s["id"]) for s in settle(planner) if s["beneficiary_id"] == str(beneficiary)]

        def clerk(connection: psycopg.Connection, own: list[UUID]) -> list[UUID]:
            done = []
            for n, settlement in enumerate(own):
                with connection.transaction(force_rollback=n == 1):
                    call(connection, SERVER, "invoice_settlement", settlement_id=settlement)
                if n != 1:
                    done.append(settlement)
            return done

        def die(connection: psycopg.Connection, settlement: UUID) -> None:
            """Gets a number, and is killed before the commit."""
            with connection.transaction():
                call(connection, SERVER, "invoice_settlement", settlement_id=settlement)
                killer.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
                wait_until(lambda: not one(planner, ALIVE, connection.info.backend_pid))

        def victim(connection: psycopg.Connection, own: list[UUID]) -> list[UUID]:
            with pytest.raises(psycopg.OperationalError):
                die(connection, own[0])
            return []

        shares = [settlements[n::16] for n in range(16)]
        done = at_once(
            [
                partial(victim if n == 0 else clerk, connection, share)
                for n, (connection, share) in enumerate(zip(clerks, shares, strict=True))
            ]
        )
        invoiced = planner.execute(
            "select id, right(number, 4)::integer from public.settlements"
            " where beneficiary_id = %s and number is not null order by invoiced_at, number",
            (beneficiary,),
        ).fetchall()
        assert Counter(id_ for id_, _ in invoiced) == Counter(id_ for ids in done for id_ in ids)
        assert sorted(number for _, number in invoiced) == list(range(1, 15 * 4 + 1))
        assert violations(planner) == {}


ALIVE: LiteralString = "select exists (select from pg_stat_activity where pid = %s)"
