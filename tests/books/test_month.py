"""The month of tests/books/story.py: every figure of the database is what the accountant computes from the story.

In the end the portal has four invoices and one that was replaced, its partner three and a settlement that is not sent:

    togethersystems  EUR  paid in part    anna in two parts, ben nothing
                     CHF  voided, then paid
                     JPY  invoiced
                     KWD  invoiced, and overdue
    partner          EUR  invoiced
                     CHF  paid
                     JPY  written off
                     KWD  open
"""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.books.story import ADMIN, DECIMALS, FEES, PARTNER, PORTAL, Entry, Story, money, tell, total
from tests.support.acting import act, act_or_reason, thinker
from tests.support.charging import violations

pytestmark = pytest.mark.clock

ZERO = Decimal(0)
SETTLEMENTS = [(beneficiary, currency) for beneficiary in (PORTAL, PARTNER) for currency in DECIMALS]

STATUS = {
    (PORTAL, "EUR"): "invoiced", (PORTAL, "CHF"): "paid", (PORTAL, "JPY"): "invoiced", (PORTAL, "KWD"): "invoiced",
    (PARTNER, "EUR"): "invoiced", (PARTNER, "CHF"): "paid", (PARTNER, "JPY"): "written_off", (PARTNER, "KWD"): "open",
}  # fmt: skip

# the order in which the invoices went out; the portal's first one was replaced
NUMBERS = {
    (PORTAL, "EUR"): 2, (PORTAL, "JPY"): 3, (PORTAL, "KWD"): 4, (PORTAL, "CHF"): 5,
    (PARTNER, "EUR"): 1, (PARTNER, "JPY"): 2, (PARTNER, "CHF"): 3,
}  # fmt: skip

# what an accountant writes below the month: the totals of the settlements
TOTALS = {
    (PORTAL, "EUR"): "18.43", (PORTAL, "CHF"): "6.90", (PORTAL, "JPY"): "675", (PORTAL, "KWD"): "0.703",
    (PARTNER, "EUR"): "4.20", (PARTNER, "CHF"): "1.60", (PARTNER, "JPY"): "225", (PARTNER, "KWD"): "0.186",
}  # fmt: skip


@pytest.fixture(scope="module")
def told(shared_database: str) -> Iterator[tuple[psycopg.Connection, Story]]:
    """A superuser's session of a database with the month, and what the accountant knows."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection, tell(connection)


@pytest.fixture
def connection(told: tuple[psycopg.Connection, Story]) -> psycopg.Connection:
    return told[0]


@pytest.fixture
def story(told: tuple[psycopg.Connection, Story]) -> Story:
    return told[1]


def rows(connection: psycopg.Connection, view: str, *columns: str) -> list[tuple[Any, ...]]:
    """Returns these columns of all rows of a view of `stats`; names that end in _cents become decimals."""
    decimals = (f"{c} / power(10::numeric, decimals)" if c.endswith("_cents") else c for c in columns)
    return connection.execute(f"select {', '.join(decimals)} from stats.{view}".encode()).fetchall()


def by_kind(entries: list[Entry]) -> tuple[Decimal, Decimal, Decimal]:
    """Returns what was charged, reversed and adjusted."""
    sums = [total(e for e in entries if e.kind == kind) for kind in ("charge", "reversal", "adjustment")]
    return sums[0], sums[1], sums[2]


def paid(story: Story, beneficiary: str, currency: str, payer: str | None = None) -> Decimal:
    """Returns what was paid of a settlement: in the name of a payer, or in all."""
    settled = story.of(beneficiary, currency, payer, in_month=True)
    if (beneficiary, currency) == (PORTAL, "EUR"):
        return total(e for e in settled if e.payer == "anna")
    if STATUS[beneficiary, currency] == "paid" and (payer is None or beneficiary == PORTAL):
        return total(settled)
    return ZERO


def test_the_accountants_totals_are_those_of_the_story(story: Story) -> None:
    assert {of: total(story.of(*of, in_month=True)) for of in SETTLEMENTS} == {
        of: Decimal(amount) for of, amount in TOTALS.items()
    }
    assert len(story.bookings) == 20
    assert len([b for b in story.bookings.values() if b.cancelled]) == 4


def test_no_rule_is_broken(connection: psycopg.Connection) -> None:
    assert violations(connection) == {}


# statements


def check_statement(story: Story, statement: dict[str, Any], entries: list[Entry]) -> None:
    """Asserts that figures, payers and lines of a statement are those of the entries."""
    [currency] = {e.currency for e in entries}
    figures = [money(statement[f"{kind}_cents"], currency) for kind in ("charged", "reversed", "adjusted")]
    assert tuple(figures) == by_kind(entries)
    assert statement["fee_events"] == len(entries)
    assert money(statement["total_cents"], currency) == total(entries)
    assert {p["payer_uid"]: (money(p["total_cents"], currency), p["fee_events"]) for p in statement["payers"]} == {
        payer: (total(e for e in entries if e.payer == payer), len([e for e in entries if e.payer == payer]))
        for payer in {e.payer for e in entries}
    }
    numbers = {booking.id: number for number, booking in story.bookings.items()}
    lines = Counter(
        (
            numbers[line["subject_id"]],
            "reversal" if line["reverses"] else "adjustment" if line["adjusts"] else "charge",
            line["payer_uid"],
            money(line["amount_cents"], currency),
            None if line["base_cents"] is None else money(line["base_cents"], currency),
            None if line["rate"] is None else Decimal(str(line["rate"])),
            line["month"],
        )
        for line in statement["items"]
    )
    assert lines == Counter((e.booking, e.kind, e.payer, e.amount, e.base, e.rate, str(story.first)) for e in entries)


@pytest.mark.parametrize(("beneficiary", "currency"), SETTLEMENTS)
def test_a_statement_explains_its_total(
    connection: psycopg.Connection, story: Story, beneficiary: str, currency: str
) -> None:
    settlement = story.settlements[beneficiary, currency]
    statement = act(connection, ADMIN, "get_settlement", settlement_id=settlement)
    check_statement(story, statement, story.of(beneficiary, currency, in_month=True))

    number = NUMBERS.get((beneficiary, currency))
    assert statement["number"] == (number and f"{story.today.year}-{number:04}")
    assert statement["status"] == STATUS[beneficiary, currency]
    assert (statement["period_from"], statement["period_to"]) == (
        str(story.first),
        str(story.last + timedelta(days=1)),
    )
    due = story.due.get((beneficiary, currency))
    assert statement["due_on"] == (due and str(due))
    assert statement["is_overdue"] == ((beneficiary, currency) == (PORTAL, "KWD"))
    assert money(statement["paid_cents"], currency) == paid(story, beneficiary, currency)
    assert sum(p["amount_cents"] for p in statement["payments"]) == statement["paid_cents"]
    # the beneficiary reads the same
    assert act(connection, thinker(beneficiary), "get_statement", settlement_id=settlement) == statement


def test_a_payment_in_two_parts_names_its_payer(connection: psycopg.Connection, story: Story) -> None:
    statement = act(connection, ADMIN, "get_settlement", settlement_id=story.settlements[PORTAL, "EUR"])
    anna = total(story.of(PORTAL, "EUR", "anna", in_month=True))
    assert [(p["payer_uid"], money(p["amount_cents"], "EUR"), p["reference"], p["recorded_by"], p["paid_on"])
            for p in statement["payments"]] == [
        ("anna", Decimal("5.00"), "first part", "ada", str(story.today)),
        ("anna", anna - 5, "second part", "ada", str(story.today)),
    ]  # fmt: skip


def test_a_voided_statement_keeps_its_lines_and_names_what_replaced_it(
    connection: psycopg.Connection, story: Story
) -> None:
    voided = act(connection, ADMIN, "get_settlement", settlement_id=story.voided)
    replacing = act(connection, ADMIN, "get_settlement", settlement_id=story.settlements[PORTAL, "CHF"])
    check_statement(story, voided, story.of(PORTAL, "CHF", in_month=True))
    assert (voided["status"], voided["void_reason"], voided["number"], voided["invoiced_by"], voided["voided_by"]) == (
        "voided", "the wrong address", f"{story.today.year}-0001", "ada", "ada",
    )  # fmt: skip
    of_replacing = {"id": replacing["id"], "number": replacing["number"], "status": "paid"}
    assert (voided["replaces"], voided["replaced_by"]) == ([], [of_replacing])
    assert replacing["replaces"] == [{"id": voided["id"], "number": voided["number"], "status": "voided"}]
    assert replacing["replaced_by"] == []


def test_a_payer_reads_its_own_part_and_nothing_else(connection: psycopg.Connection, story: Story) -> None:
    for payer in ("anna", "ben", "dora"):
        for beneficiary, currency in SETTLEMENTS:
            settlement = story.settlements[beneficiary, currency]
            entries = story.of(beneficiary, currency, payer, in_month=True)
            if not entries:
                answer = act_or_reason(connection, thinker(payer), "get_statement", settlement_id=settlement)
                assert answer == "settlement_not_found"
                continue
            statement = act(connection, thinker(payer), "get_statement", settlement_id=settlement)
            check_statement(story, statement, entries)
            assert money(statement["paid_cents"], currency) == paid(story, beneficiary, currency, payer)


# balances


def test_the_balance_of_each_day_adds_up(connection: psycopg.Connection, story: Story) -> None:
    days = [story.first.replace(day=day) for day in (9, 10, 20)] + [story.last, story.today]
    for day in days:
        balance = act(connection, ADMIN, "get_balance", as_of=day)
        found = {
            (item["beneficiary_uid"], item["currency"]): tuple(
                money(item[f"{name}_cents"], item["currency"])
                for name in ("unsettled", "open", "invoiced", "paid", "written_off", "total")
            )
            for item in balance["items"]
        }
        assert balance["as_of"] == str(day)
        assert found == {
            of: parts_of(story, *of) if day == story.today else (sum_, ZERO, ZERO, ZERO, ZERO, sum_)
            for of in SETTLEMENTS
            if any(e.on <= day for e in story.of(*of))
            for sum_ in [total(e for e in story.of(*of) if e.on <= day)]
        }, day


def parts_of(story: Story, beneficiary: str, currency: str) -> tuple[Decimal, ...]:
    """Returns what is unsettled, open, invoiced, paid, written off, and the sum, on the day of the books."""
    settled, status = total(story.of(beneficiary, currency, in_month=True)), STATUS[beneficiary, currency]
    by_payment = paid(story, beneficiary, currency)
    return (
        total(story.of(beneficiary, currency, in_month=False)),
        settled if status == "open" else ZERO,
        settled - by_payment if status in ("invoiced", "paid") else ZERO,
        by_payment,
        settled if status == "written_off" else ZERO,
        total(story.of(beneficiary, currency)),
    )


# dashboards


def test_what_is_owed_is_the_balance(connection: psycopg.Connection, story: Story) -> None:
    names = ("unsettled_cents", "open_cents", "invoiced_cents", "paid_cents", "written_off_cents")
    found = rows(connection, "owed", "beneficiary_uid", "currency", *names, "owed_cents", "overdue_cents")
    parts = {of: parts_of(story, *of) for of in SETTLEMENTS}
    assert sorted(found) == sorted(
        (*of, *p[:5], sum(p[:3], ZERO), p[2] if of == (PORTAL, "KWD") else ZERO) for of, p in parts.items()
    )


def test_receivables_say_who_owes_what_since_when(connection: psycopg.Connection, story: Story) -> None:
    found = rows(
        connection, "receivables", "payer_uid", "beneficiary_uid", "currency", "unsettled_cents", "open_cents",
        "invoiced_cents", "overdue_cents", "owed_cents", "since",
    )  # fmt: skip
    day = story.first.replace
    due = {
        # what anna owes of the month is paid; she booked once more, and one charge was taken back
        ("anna", PORTAL, "EUR"): ("0.60", "0", "0", story.today),
        ("anna", PORTAL, "JPY"): ("0", "0", "675", day(day=4)),
        ("ben", PORTAL, "EUR"): ("0", "0", "5.23", day(day=2)),
        ("ben", PORTAL, "KWD"): ("0", "0", "0.703", day(day=5)),
        ("dora", PARTNER, "EUR"): ("0", "0", "4.20", day(day=1)),
        ("dora", PARTNER, "KWD"): ("0", "0.186", "0", day(day=5)),
    }
    assert {row[:3]: row[3:] for row in found} == {
        of: (
            Decimal(u),
            Decimal(o),
            Decimal(i),
            Decimal(i) if of == ("ben", PORTAL, "KWD") else ZERO,
            Decimal(u) + Decimal(o) + Decimal(i),
            since,
        )
        for of, (u, o, i, since) in due.items()
    }
    for beneficiary, currency in SETTLEMENTS:
        parts = parts_of(story, beneficiary, currency)
        assert sum((r[7] for r in found if r[1:3] == (beneficiary, currency)), ZERO) == sum(parts[:3])


def test_the_fees_of_each_day_are_those_of_the_story(connection: psycopg.Connection, story: Story) -> None:
    names = ("charged_cents", "reversed_cents", "adjusted_cents", "accrued_cents", "settled_cents", "open_cents")
    found = rows(connection, "fees_by_day", "day", "beneficiary_uid", "currency", "fee_id", "fee_events", *names)
    days = {(e.on, e.beneficiary, e.currency) for e in story.entries}
    expected = []
    for day, beneficiary, currency in days:
        entries = [e for e in story.of(beneficiary, currency) if e.on == day]
        settled = total(e for e in entries if e.in_month)
        sums = (*by_kind(entries), total(entries), settled, total(entries) - settled)
        expected.append((day, beneficiary, currency, FEES[beneficiary], len(entries), *sums))
    assert sorted(found) == sorted(expected)


def test_the_revenue_of_each_day_as_booked_and_as_it_stands(connection: psycopg.Connection, story: Story) -> None:
    found = rows(connection, "revenue_by_day", "day", "currency", "bookings", "amount_cents", "booked", "booked_cents")
    expected = []
    for day, currency in {(b.on, b.currency) for b in story.bookings.values()}:
        booked = [b for b in story.bookings.values() if (b.on, b.currency) == (day, currency)]
        active = [b for b in booked if not b.cancelled]
        sums = [sum((b.price for b in bookings), ZERO) for bookings in (active, booked)]
        expected.append((day, currency, len(active), sums[0], len(booked), sums[1]))
    assert sorted(found) == sorted(expected)
