"""Rules of the books that hold against plain SQL, as the owner of the tables could write it."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from api.actor import SERVER
from tests.fees.conftest import books as books
from tests.fees.scene import PORTAL, booked, cancel, charge, fee_events, settle, settled, thinker_named
from tests.support.acting import act, act_or_reason, be_operator, one, thinker, unchecked
from tests.support.charging import violations
from tests.support.days import portal_today

pytestmark = pytest.mark.clock

CORRECTION: LiteralString = """
    insert into public.fee_events
      (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, adjusts, reverses, reason)
    select
      r.fee_id, r.subject_type, r.subject_id, r.amount_cents, r.currency, r.beneficiary_id, r.payer_id, r.adjusts,
      r.reverses, r.reason
    from public.fee_events c
    cross join jsonb_populate_record(
      null::public.fee_events,
      jsonb_build_object(
        'fee_id', c.fee_id, 'subject_type', c.subject_type, 'subject_id', c.subject_id, 'amount_cents', -1,
        'currency', c.currency, 'beneficiary_id', c.beneficiary_id, 'payer_id', c.payer_id, 'adjusts', c.id,
        'reason', 'a test'
      ) || %s::jsonb
    ) r
    where c.id = %s
"""


def day(text: str) -> datetime:
    """Returns noon of a day."""
    return datetime.fromisoformat(f"{text}T12:00:00").replace(tzinfo=UTC)


def adjust(connection: psycopg.Connection, event: UUID, amount: int | None) -> Any:
    return act_or_reason(connection, SERVER, "adjust_fee", fee_event_id=event, amount_cents=amount, reason="a test")


def move(connection: psycopg.Connection, function: str, settlement: str, **arguments: object) -> Any:
    """Returns the settlement, or why the function refuses."""
    return act_or_reason(connection, SERVER, f"{function}_settlement", settlement_id=UUID(settlement), **arguments)


def month(connection: psycopg.Connection, first: str) -> list[dict[str, Any]]:
    """Settles a month, and returns the settlements."""
    begins = date.fromisoformat(first)
    return settle(connection, first, str((begins + timedelta(days=31)).replace(day=1)))


def owe(books: psycopg.Connection, uid: str, amount: int, on: str) -> UUID:
    """Charges a payer, and returns the fee event's id."""
    event, payer = charge(books, amount, day(on)), thinker_named(books, uid)
    with unchecked(books):
        books.execute("update public.fee_events set payer_id = %s where id = %s", (payer, event))
    return event


# corrections


def test_after_a_credit_a_cancellation_takes_back_the_rest(books: psycopg.Connection) -> None:
    booking = booked(books)
    [event] = fee_events(books, booking)
    assert adjust(books, event.id, -100)["operator"] == "service_role"
    cancel(books, booking)
    assert [e.amount_cents for e in fee_events(books, booking)] == [-140, -100, 240]
    assert adjust(books, event.id, 1) == "fee_already_reversed"
    assert violations(books) == {}


def test_a_waived_charge_is_reversed_by_nothing(books: psycopg.Connection) -> None:
    booking = booked(books)
    [event] = fee_events(books, booking)
    assert adjust(books, event.id, None)["amount_cents"] == -240
    assert adjust(books, event.id, None) == "adjustment_refused"
    cancel(books, booking)
    assert [e.amount_cents for e in fee_events(books, booking)] == [-240, 0, 240]
    assert violations(books) == {}


def test_a_correction_that_is_repeated_with_its_key_counts_once(books: psycopg.Connection) -> None:
    [event] = fee_events(books, booked(books))
    credit = {"fee_event_id": event.id, "amount_cents": -100, "reason": "a test", "idempotency_key": "k"}
    first, again = (act(books, SERVER, "adjust_fee", **credit) for _ in range(2))
    assert first == again
    assert act_or_reason(books, SERVER, "adjust_fee", **credit | {"amount_cents": -99}) == "idempotency_key_reused"
    assert one(books, "select sum(amount_cents) from public.fee_events") == 140


WRONG: dict[str, tuple[str, str]] = {
    "more than the charge": ('{"amount_cents": -999999}', "an_adjusted_charge_is_a_safe_amount"),
    "more than a safe amount": ('{"amount_cents": 9007199254740991}', "an_adjusted_charge_is_a_safe_amount"),
    "of nothing": ('{"amount_cents": 0}', "a_charge_is_not_negative_and_a_reversal_not_positive"),
    "for another payer": ('{"payer_id": null}', "a_correction_agrees_with_its_charge"),
    "in another currency": ('{"currency": "USD"}', "a_correction_agrees_with_its_charge"),
    "of another fee": ('{"fee_id": "transfer.logged"}', "a_correction_agrees_with_its_charge"),
    "of another subject": ('{"subject_id": "x"}', "a_correction_agrees_with_its_charge"),
    "without a reason": ('{"reason": null}', "an_adjustment_has_a_reason"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_correction_is_refused(books: psycopg.Connection, wrong: str) -> None:
    [event] = fee_events(books, booked(books))
    changes, constraint = WRONG[wrong]
    with pytest.raises(psycopg.errors.CheckViolation) as refused, books.transaction():
        books.execute(CORRECTION, (changes, event.id))
    assert refused.value.diag.constraint_name == constraint
    books.execute(CORRECTION, ("{}", event.id))


def test_a_correction_for_another_beneficiary_is_refused(books: psycopg.Connection) -> None:
    [event] = fee_events(books, booked(books))
    with pytest.raises(psycopg.errors.CheckViolation, match="a_correction_agrees_with_its_charge"):
        books.execute(CORRECTION, (f'{{"beneficiary_id": "{thinker_named(books, "anna")}"}}', event.id))


def test_a_correction_is_not_corrected(books: psycopg.Connection) -> None:
    booking = booked(books)
    [event] = fee_events(books, booking)
    credit = UUID(adjust(books, event.id, -1)["id"])
    assert adjust(books, credit, -1) == "fee_event_not_found"
    with pytest.raises(psycopg.errors.CheckViolation, match="a_correction_names_a_charge"):
        books.execute(CORRECTION, ("{}", credit))


@pytest.mark.parametrize("amount", [-239, 0])
def test_a_reversal_of_another_amount_is_refused(books: psycopg.Connection, amount: int) -> None:
    [event] = fee_events(books, booked(books))
    changes = f'{{"adjusts": null, "reverses": "{event.id}", "amount_cents": {amount}}}'
    with pytest.raises(psycopg.errors.CheckViolation, match="a_reversal_takes_back_what_is_left"):
        books.execute(CORRECTION, (changes, event.id))


# settlements, their lines and payments


@pytest.fixture
def invoice(books: psycopg.Connection) -> str:
    """The id of an invoiced settlement of 100."""
    charge(books, 100)
    [made] = settle(books)
    assert move(books, "invoice", made["id"])["status"] == "invoiced"
    return str(made["id"])


@pytest.mark.parametrize(
    "statement",
    [
        "update public.settlements set number = '2026-9999'",
        "update public.settlements set due_on = '2099-01-01'",
        "update public.settlements set status = 'paid'",
        "update public.settlements set status = 'paid', paid_at = now(), paid_by = 'me'",
        "update public.settlement_lines set month = '2020-01-01'",
        "delete from public.settlement_lines",
        "truncate public.settlement_lines",
        "update public.settlement_payments set amount_cents = 1",
        "delete from public.settlement_payments",
        "insert into public.settlement_payments (settlement_id, amount_cents, paid_on)"
        " select id, 100, '2026-01-01' from public.settlements",
        "insert into public.settlement_payments (settlement_id, amount_cents, paid_on)"
        " select id, 0, '2026-01-01' from public.settlements",
        "update public.fee_events set amount_cents = 1",
        "update public.fee_events set settlement_id = null",
    ],
)
def test_the_owner_changes_no_invoice(books: psycopg.Connection, invoice: str, statement: LiteralString) -> None:
    move(books, "pay", invoice, amount_cents=60)
    with pytest.raises(psycopg.Error), books.transaction():
        books.execute(statement)
    assert violations(books) == {}


def test_an_open_settlement_is_not_paid_by_the_owner(books: psycopg.Connection) -> None:
    charge(books, 100)
    settle(books)
    with pytest.raises(psycopg.Error, match="settlement_move_refused"):
        books.execute(
            "insert into public.settlement_payments (settlement_id, amount_cents, paid_on)"
            " select id, 100, '2026-01-01' from public.settlements"
        )


def test_a_payment_is_of_today_or_before(books: psycopg.Connection, invoice: str) -> None:
    today = portal_today(books)
    assert move(books, "pay", invoice, amount_cents=1, paid_on=today + timedelta(days=1)) == "payment_invalid"
    assert move(books, "pay", invoice, amount_cents=1, paid_on=today - timedelta(days=400))["paid_cents"] == 1
    assert move(books, "pay", invoice, amount_cents=1, paid_on=today)["paid_cents"] == 2
    for amount in (0, -1):
        assert move(books, "pay", invoice, amount_cents=amount) == "payment_invalid"
    assert move(books, "pay", invoice, amount_cents=99) == "payment_too_high"
    assert move(books, "pay", invoice)["status"] == "paid"
    assert violations(books) == {}


def test_a_payment_that_is_repeated_with_its_key_counts_once(books: psycopg.Connection, invoice: str) -> None:
    first, again = (move(books, "pay", invoice, amount_cents=100, idempotency_key="k") for _ in range(2))
    assert first == again
    assert first["paid_cents"] == 100
    assert move(books, "pay", invoice, amount_cents=101, idempotency_key="k") == "idempotency_key_reused"
    assert one(books, "select sum(amount_cents) from public.settlement_payments") == 100


def test_a_payment_that_names_nobody_pays_the_oldest_debts(books: psycopg.Connection) -> None:
    owe(books, "anna", 100, "2026-01-10")
    owe(books, "ben", 50, "2026-01-20")
    [made] = month(books, "2026-01-01")
    move(books, "invoice", made["id"])
    owed: LiteralString = "select payer_uid, owed_cents from stats.receivables order by payer_uid"
    for amount, rest in ((30, [("anna", 70), ("ben", 50)]), (90, [("ben", 30)])):
        move(books, "pay", made["id"], amount_cents=amount)
        assert books.execute(owed).fetchall() == rest


READ: LiteralString = """
    select (seq_tup_read + coalesce(idx_tup_fetch, 0))::integer from pg_stat_xact_user_tables where relname = %s
"""
"""The number of rows that the transaction has read of a table."""

COPY: LiteralString = """
    insert into public.fee_events
    select (jsonb_populate_record(e, jsonb_build_object('id', k, 'subject_id', k) || %s::jsonb)).*
    from public.fee_events e, (select gen_random_uuid() from generate_series(1, %s)) r (k)
    where e.id = %s
"""


def test_a_page_of_a_statement_reads_each_line_once(books: psycopg.Connection) -> None:
    charge(books, 100)
    [made] = settle(books)
    with unchecked(books):
        books.execute(
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
            " settlement_id, base_cents, rate, fixed_cents, unrounded)"
            " select e.fee_id, e.subject_type, 't' || n, 1, e.currency, e.beneficiary_id, e.settlement_id, 0, 0, 1, 1"
            " from public.fee_events e, generate_series(1, 2000) n where e.settlement_id = %s",
            (UUID(made["id"]),),
        )
        books.execute(
            "insert into public.settlement_lines (settlement_id, fee_event_id, month)"
            " select e.settlement_id, e.id, '2026-01-01' from public.fee_events e where e.subject_id ~ '^t[0-9]+$'"
        )
    books.execute("analyze public.settlement_lines, public.fee_events")
    before = one(books, READ, "settlement_lines")
    statement = act(books, SERVER, "get_settlement", settlement_id=UUID(made["id"]), max_rows=10)
    assert (statement["fee_events"], len(statement["items"])) == (2001, 10)
    assert 2001 <= one(books, READ, "settlement_lines") - before < 2 * 2001
    # only admins get larger pages
    for actor, function, lines in (
        (SERVER, "get_settlement", 2001),
        (thinker("togethersystems"), "get_statement", 1000),
    ):
        page = act(books, actor, function, settlement_id=UUID(made["id"]), max_rows=10_000)
        assert (page["fee_events"], len(page["items"])) == (2001, lines)


def test_the_statement_of_what_was_written_off_reads_the_lines_of_its_payer_only(books: psycopg.Connection) -> None:
    owe(books, "anna", 200, "2026-01-10")
    of_ben = owe(books, "ben", 200, "2026-01-10")
    with unchecked(books):
        books.execute(COPY, ("{}", 2000, of_ben))
    [made] = month(books, "2026-01-01")
    books.execute("analyze public.fee_events, public.settlement_lines")
    move(books, "invoice", made["id"])
    move(books, "write_off", made["id"], reason="a test")
    before = one(books, READ, "fee_events")
    statement = act(books, thinker("anna"), "get_statement", settlement_id=UUID(made["id"]))
    assert (statement["write_off_reason"], statement["fee_events"]) == ("a test", 1)
    assert one(books, READ, "fee_events") - before < 100


def test_a_total_of_zero_needs_no_invoice(books: psycopg.Connection) -> None:
    event = charge(books, 100)
    adjust(books, event, None)
    [made] = settle(books)
    assert made["total_cents"] == 0
    assert move(books, "invoice", made["id"]) == "nothing_to_invoice"


def carried(books: psycopg.Connection, carries: bool) -> list[dict[str, Any]]:
    """Settles a credit of 60 after its charge of 100 was invoiced."""
    books.execute("update private.settings set carries_negative_totals = %s", (carries,))
    event = charge(books, 100, day("2026-01-15"))
    [made] = month(books, "2026-01-01")
    assert move(books, "invoice", made["id"])["status"] == "invoiced"
    adjust(books, event, -60)
    return settle(books)


def test_a_negative_total_is_carried_into_the_next_settlement(books: psycopg.Connection) -> None:
    assert carried(books, True) == []
    assert one(books, "select count(*) from private.due_months()") == 0
    charge(books, 100)
    [made] = settle(books)
    assert made["total_cents"] == 40
    # the credit says to which month it belongs
    statement = act(books, SERVER, "get_settlement", settlement_id=UUID(made["id"]))
    assert {line["month"] for line in statement["items"] if line["adjusts"]} == {"2026-01-01"}


@pytest.mark.parametrize("carries", [True, False])
def test_the_credit_of_one_payer_pays_no_debt_of_another(books: psycopg.Connection, carries: bool) -> None:
    books.execute("update private.settings set carries_negative_totals = %s", (carries,))
    large = owe(books, "mallory", 4_000_000_000_000_000, "2026-01-10")
    [january] = month(books, "2026-01-01")
    move(books, "invoice", january["id"])
    move(books, "pay", january["id"])
    adjust(books, large, None)
    owe(books, "anna", 100, "2026-02-10")
    owe(books, "mallet", 50, "2026-02-10")
    with unchecked(books):
        books.execute("update public.fee_events set created_at = '2026-02-20' where adjusts is not null")
    [february, *credit] = sorted(month(books, "2026-02-01"), key=lambda made: -made["total_cents"])
    assert (february["total_cents"], [c["total_cents"] for c in credit]) == (
        150,
        [] if carries else [-4_000_000_000_000_000],
    )
    move(books, "invoice", february["id"])
    assert move(books, "pay", february["id"], payer_uid="anna")["status"] == "invoiced"
    assert move(books, "pay", february["id"], payer_uid="anna", amount_cents=1) == "nothing_to_pay"
    assert move(books, "pay", february["id"], payer_uid="mallet")["status"] == "paid"
    assert violations(books) == {}


def test_the_extreme_amounts_of_one_payer_are_apart(books: psycopg.Connection) -> None:
    # together more than a bigint
    largest, number = 9_007_199_254_740_991, 1100
    books.execute(
        "with logged as ("
        "  insert into public.transfers"
        "    (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label)"
        "  select 'in-' || i, 'in', 1, 'ETH', 1, 'EUR', '' from generate_series(1, %s) i returning id"
        ")"
        " insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
        "   beneficiary_id, payer_id, base_cents, rate, fixed_cents, unrounded)"
        " select 'transfer.logged', 'transfer', id, %s, 'EUR', %s, %s, %s, 0, 0, %s, %s from logged",
        (number, largest, day("2026-01-10"), PORTAL, thinker_named(books, "mallory"), largest, largest),
    )
    for uid in ("anna", "ben", "zoe"):
        owe(books, uid, 100, "2026-01-10")
    made = month(books, "2026-01-01")
    assert min(m["total_cents"] for m in made) == 300
    assert sum(m["total_cents"] for m in made) == number * largest + 300
    assert violations(books) == {}


def test_the_extreme_amounts_of_one_payer_are_settled_with_what_takes_them_back(books: psycopg.Connection) -> None:
    largest, number = 9_007_199_254_740_991, 500
    with unchecked(books):
        books.execute(
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
            "   beneficiary_id, payer_id, base_cents, rate, fixed_cents, unrounded)"
            " select 'transfer.logged', 'transfer', 'in-' || i, %s, 'EUR', %s, %s, %s, 0, 0, %s, %s"
            " from generate_series(1, %s) i",
            (largest, day("2026-01-10"), PORTAL, thinker_named(books, "mallory"), largest, largest, number),
        )
        books.execute(
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
            "   beneficiary_id, payer_id, reverses)"
            " select c.fee_id, c.subject_type, c.subject_id, -c.amount_cents, c.currency, c.created_at,"
            "   c.beneficiary_id, c.payer_id, c.id"
            " from public.fee_events c"
        )
    made = month(books, "2026-01-01")
    assert {m["total_cents"] for m in made} == {0}
    assert sum(m["fee_events"] for m in made) == 2 * number


def test_a_negative_total_that_is_not_carried_cannot_be_paid(books: psycopg.Connection) -> None:
    [made] = carried(books, False)
    assert made["total_cents"] == -60
    assert move(books, "invoice", made["id"])["status"] == "invoiced"
    assert move(books, "pay", made["id"]) == "nothing_to_pay"
    assert move(books, "pay", made["id"], amount_cents=60) == "nothing_to_pay"
    assert move(books, "write_off", made["id"], reason="a test") == "nothing_to_pay"
    assert violations(books) == {}


OWED: LiteralString = "select payer_uid, owed_cents from stats.receivables order by payer_uid"


def invoiced(books: psycopg.Connection, **owed: int) -> tuple[str, dict[str, UUID]]:
    """Invoices what these payers owe for January, and returns the settlement and the charges."""
    charges = {uid: owe(books, uid, amount, "2026-01-10") for uid, amount in owed.items()}
    [made] = month(books, "2026-01-01")
    move(books, "invoice", made["id"])
    return str(made["id"]), charges


def test_what_was_given_back_is_taken_off_before_the_rest_is_written_off(books: psycopg.Connection) -> None:
    january, charges = invoiced(books, anna=200, mallory=100)
    adjust(books, charges["mallory"], -30)
    adjust(books, charges["mallory"], None)
    assert move(books, "pay", january, payer_uid="anna")["status"] == "invoiced"
    # nothing is given up, because nothing is left
    assert move(books, "write_off", january, reason="a test")["status"] == "paid"
    assert move(books, "write_off", january, reason="a test") == "settlement_move_refused"
    assert books.execute(OWED).fetchall() == []
    payments = (
        "select amount_cents, payer_id = private.thinker_id('mallory') from public.settlement_payments order by 1"
    )
    assert books.execute(payments).fetchall() == [(-100, True), (100, True), (200, False)]
    # and no later charge is paid by it
    owe(books, "mallory", 100, "2026-02-10")
    assert [made["total_cents"] for made in month(books, "2026-02-01")] == [100]
    [balance] = act(books, SERVER, "get_balance")["items"]
    assert [balance[f"{state}_cents"] for state in ("paid", "written_off", "open", "total")] == [200, 0, 100, 300]
    assert violations(books) == {}


def test_a_credit_is_taken_off_as_far_as_something_is_owed(books: psycopg.Connection) -> None:
    january, charges = invoiced(books, anna=200, mallory=100)
    move(books, "pay", january, payer_uid="mallory", amount_cents=1)
    adjust(books, charges["mallory"], None)
    made = move(books, "write_off", january, reason="a test")
    assert (made["status"], made["paid_cents"]) == ("written_off", 100)
    # what mallory paid is owed to her, and anna's debt is given up
    assert books.execute(OWED).fetchall() == [("mallory", -1)]
    [balance] = act(books, SERVER, "get_balance")["items"]
    assert [balance[f"{state}_cents"] for state in ("paid", "written_off", "invoiced", "total")] == [1, 200, -1, 200]
    assert violations(books) == {}


def test_credits_are_taken_off_by_key_where_statistics_expect_that_all_is_settled(books: psycopg.Connection) -> None:
    charge = owe(books, "mallory", 200, "2026-01-10")
    with unchecked(books):
        books.execute(COPY, ("{}", 400, charge))
    [made] = month(books, "2026-01-01")
    move(books, "invoice", made["id"])
    books.execute("analyze public.fee_events, public.settlement_lines")
    with unchecked(books):
        books.execute(COPY, ('{"payer_id": null, "settlement_id": null}', 400, charge))
        books.execute(
            "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
            " payer_id, reverses) select fee_id, subject_type, subject_id, -amount_cents, currency, beneficiary_id,"
            " payer_id, id from public.fee_events where settlement_id is not null"
        )
    plans: list[str] = []
    books.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    books.execute(
        "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on;"
        " set auto_explain.log_nested_statements = on; set client_min_messages = log"
    )
    assert move(books, "write_off", made["id"], reason="a test")["status"] == "paid"
    books.execute("reset client_min_messages")
    [linked] = [plan for plan in plans if "Update on fee_events" in plan]
    removed = re.findall(r"Rows Removed by (?:Join Filter|Filter): (\d+)", linked)
    assert max(map(int, removed), default=0) < 2000


def test_the_lines_of_a_settlement_are_written_without_reading_all_fee_events(books: psycopg.Connection) -> None:
    charge = owe(books, "mallory", 200, "2026-01-10")
    with unchecked(books):
        books.execute(COPY, ("{}", 4000, charge))
    [made] = month(books, "2026-01-01")
    books.execute("analyze public.fee_events")
    # as older versions plan a query of a function
    books.execute("set local plan_cache_mode = force_generic_plan")
    before = one(books, READ, "fee_events")
    books.execute("select private.write_settlement_lines(array[gen_random_uuid()])")
    assert one(books, READ, "fee_events") == before
    assert one(books, "select count(*) from public.settlement_lines where settlement_id = %s", made["id"]) == 4001


def test_the_credit_of_one_payer_is_not_taken_off_the_debt_of_another(books: psycopg.Connection) -> None:
    january, charges = invoiced(books, anna=100, ben=50)
    # of anna, whose debt is the oldest
    move(books, "pay", january, amount_cents=100)
    adjust(books, charges["anna"], None)
    assert move(books, "write_off", january, reason="a test")["paid_cents"] == 100
    assert books.execute(OWED).fetchall() == [("anna", -100)]
    assert violations(books) == {}


def credited(books: psycopg.Connection) -> str:
    """Invoices what two payers owe for January; one gets it back, and has a new charge."""
    january, charges = invoiced(books, anna=50, mallory=100)
    adjust(books, charges["mallory"], None)
    owe(books, "mallory", 100, "2026-02-10")
    with unchecked(books):
        books.execute("update public.fee_events set created_at = '2026-02-20' where adjusts is not null")
    return january


@pytest.mark.parametrize("carries", [True, False])
def test_the_credit_of_a_debt_pays_no_later_charge(books: psycopg.Connection, carries: bool) -> None:
    books.execute("update private.settings set carries_negative_totals = %s", (carries,))
    january = credited(books)
    assert [str(due) for (due,) in books.execute("select private.due_months()")] == ["2026-02-01"]
    [planned] = act(
        books, SERVER, "settle_fees", period_from=date(2026, 2, 1), period_to=date(2026, 3, 1), dry_run=True
    )
    assert planned["total_cents"] == 100
    assert [made["total_cents"] for made in month(books, "2026-02-01")] == [100]
    assert one(books, "select count(*) from private.due_months()") == 0
    # it is taken off its own invoice
    move(books, "write_off", january, reason="a test")
    assert month(books, "2026-02-01") == []
    assert violations(books) == {}


def test_the_credit_of_what_is_paid_pays_later_charges(books: psycopg.Connection) -> None:
    january = credited(books)
    owe(books, "mallory", 20, "2026-02-11")
    # although another owes its part of that invoice
    assert move(books, "pay", january, payer_uid="mallory")["status"] == "invoiced"
    assert [made["total_cents"] for made in month(books, "2026-02-01")] == [20]
    assert violations(books) == {}


def test_a_payer_reads_of_the_settlements_that_have_its_own_lines(books: psycopg.Connection) -> None:
    paid = owe(books, "ben", 80, "2025-12-10")
    [made] = month(books, "2025-12-01")
    move(books, "invoice", str(made["id"]))
    move(books, "pay", str(made["id"]))
    owe(books, "anna", 100, "2026-01-10")
    owe(books, "ben", 50, "2026-01-11")
    [first] = month(books, "2026-01-01")
    move(books, "void", str(first["id"]), reason="wrong")
    # more than ben owes for January, which waits with it
    adjust(books, paid, None)
    [second] = settle(books, "2026-01-01", "2100-01-01")
    assert second["total_cents"] == 100
    readers = {
        uid: act(books, thinker(uid), "get_statement", settlement_id=UUID(str(first["id"])))["replaced_by"]
        for uid in ("anna", "ben", "togethersystems")
    }
    named = [{"id": str(second["id"]), "number": None, "status": "open"}]
    assert readers == {"anna": named, "ben": [], "togethersystems": named}


def test_the_reason_of_a_write_off_is_for_those_whose_debt_it_is(books: psycopg.Connection) -> None:
    for n, (uid, amount) in enumerate({"anna": 100, "ben": 50, "clara": 60, "dora": 70}.items()):
        owe(books, uid, amount, f"2026-01-1{n}")
    [made] = month(books, "2026-01-01")
    january = str(made["id"])
    move(books, "invoice", january)
    move(books, "pay", january, payer_uid="anna")
    move(books, "pay", january, payer_uid="dora", amount_cents=69)
    # of ben and clara, whose debts are older
    move(books, "pay", january, amount_cents=110)
    assert move(books, "write_off", january, reason="Dora is bankrupt")["write_off_reason"] == "Dora is bankrupt"

    readers = {
        uid: act(books, thinker(uid), "get_statement", settlement_id=UUID(january))["write_off_reason"]
        for uid in ("anna", "ben", "clara", "dora", "togethersystems")
    }
    assert readers == dict.fromkeys(("anna", "ben", "clara")) | dict.fromkeys(
        ("dora", "togethersystems"), "Dora is bankrupt"
    )
    exported = "select item ->> 'write_off_reason' from private.thinker_data(%s) where section = 'settlements'"
    assert {uid: one(books, exported, uid) for uid in readers} == readers
    # they read no row with it, neither the settlement nor its event
    for uid in ("anna", "dora"):
        for table in ("settlements", "events"):
            query = sql.SQL("select from public.{} t where t::text like '%bankrupt%'").format(sql.Identifier(table))
            books.execute(
                "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                (json.dumps(thinker(uid).claims()),),
            )
            assert books.execute(query).fetchall() == []
            be_operator(books)
            assert len(books.execute(query).fetchall()) == 1
    assert books.execute(OWED).fetchall() == []
    assert violations(books) == {}


# numbers


@pytest.mark.parametrize(
    "pattern", ["{year}", "{number}", "{year}-{number}-{number}", "", "{year}-{number}\n", "{year}{number}" + "x" * 60]
)
def test_a_pattern_has_a_year_and_a_number(books: psycopg.Connection, pattern: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="invoice_number_has_a_year_and_a_number"):
        books.execute("update private.settings set invoice_number = %s", (pattern,))


def test_numbers_go_on_beyond_four_digits(books: psycopg.Connection) -> None:
    books.execute("update private.settings set invoice_number = 'INV/{year}/{number}'")
    numbers = []
    for last in (None, 9998, 9999):
        if last:
            books.execute("update private.invoice_numbers set last = %s", (last,))
        numbers.append(one(books, "select private.next_invoice_number(%s, 2026)", PORTAL))
    assert numbers == ["INV/2026/0001", "INV/2026/9999", "INV/2026/10000"]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_year_of_a_number_is_that_of_the_portals_zone(books: psycopg.Connection, zone: str) -> None:
    """The settlement is made as late as in a year where it is another year in the zone; an invoice is not earlier."""
    books.execute("update private.settings set time_zone = %s", (zone,))
    charge(books, 100)
    [made] = settle(books)
    created = "2040-12-31 12:00Z" if zone == "Pacific/Kiritimati" else "2041-01-01 09:00Z"
    with unchecked(books):
        books.execute("update public.settlements set created_at = %s where id = %s", (created, UUID(made["id"])))
    number = {"Pacific/Kiritimati": "2041-0001", "Pacific/Pago_Pago": "2040-0001"}[zone]
    assert move(books, "invoice", made["id"])["number"] == number


def test_numbers_begin_with_1_for_each_beneficiary_and_year(books: psycopg.Connection) -> None:
    anna = thinker_named(books, "anna")
    calls = [(PORTAL, 2026), (PORTAL, 2026), (PORTAL, 2027), (anna, 2026)]
    assert [one(books, "select private.next_invoice_number(%s, %s)", *call) for call in calls] == [
        "2026-0001", "2026-0002", "2027-0001", "2026-0001",
    ]  # fmt: skip


# closed months


def test_what_comes_late_counts_in_the_open_month_and_names_its_own(books: psycopg.Connection) -> None:
    first = charge(books, 100, day("2026-01-15"))
    [january] = month(books, "2026-01-01")
    move(books, "invoice", january["id"])
    late = charge(books, 7, day("2026-01-20"))
    # January is closed, and February is the first open month
    assert month(books, "2026-01-01") == []
    assert [m for (m,) in books.execute("select private.due_months()")] == [date(2026, 2, 1)]
    [february] = month(books, "2026-02-01")
    assert february["total_cents"] == 7
    assert settled(books, first, late) == [UUID(january["id"]), UUID(february["id"])]
    assert one(books, "select month from public.settlement_lines where fee_event_id = %s", late) == date(2026, 1, 1)


def test_a_later_month_that_is_invoiced_is_closed_too(books: psycopg.Connection) -> None:
    for on in ("2026-01-15", "2026-02-15"):
        charge(books, 100, day(on))
        [made] = month(books, f"{on[:8]}01")
        move(books, "invoice", made["id"])
    charge(books, 7, day("2026-01-20"))
    assert [m for (m,) in books.execute("select private.due_months()")] == [date(2026, 3, 1)]


def test_a_voided_month_is_open_again(books: psycopg.Connection) -> None:
    charge(books, 100, day("2026-01-15"))
    [made] = month(books, "2026-01-01")
    move(books, "invoice", made["id"])
    charge(books, 7, day("2026-01-20"))
    move(books, "void", made["id"], reason="a test")
    [anew] = month(books, "2026-01-01")
    assert anew["total_cents"] == 107
    assert move(books, "invoice", anew["id"])["number"].endswith("-0002")
    assert violations(books) == {}


def test_a_month_is_due_once_the_sum_until_then_is_not_negative(books: psycopg.Connection) -> None:
    event = charge(books, 100, day("2026-01-15"))
    [january] = month(books, "2026-01-01")
    move(books, "invoice", january["id"])
    credit = UUID(adjust(books, event, -100)["id"])
    with unchecked(books):
        books.execute("update public.fee_events set created_at = '2026-02-10' where id = %s", (credit,))
    charge(books, 30, day("2026-03-10"))
    assert [m for (m,) in books.execute("select private.due_months()")] == []
    charge(books, 80, day("2026-04-10"))
    assert [m for (m,) in books.execute("select private.due_months()")] == [date(2026, 4, 1)]
    one(books, "select private.settle_due_months()")
    totals = books.execute("select total_cents from public.settlements where period_from = '2026-04-01'").fetchall()
    assert totals == [(10,)]
