"""An accountant who has only the files of the command line rebuilds every figure of the dashboards.

These are the lines of all settlements, their statements, and the trial balance. The month that is open is settled too.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.cli.books import COLUMNS
from tests.books.story import ADMIN, PARTNER, PORTAL, Story, money, tell
from tests.cli.running import portal
from tests.support.acting import act
from tests.support.spreadsheets import in_libreoffice

pytestmark = [pytest.mark.clock, pytest.mark.slow]

ZERO = Decimal(0)
Line = dict[str, str]


@dataclass
class Files:
    """The files, read as texts."""

    story: Story
    lines: list[Line]
    balance: list[Line]
    payments: dict[str, list[tuple[str | None, Decimal]]] = field(default_factory=dict)

    @property
    def valid(self) -> list[Line]:
        """The lines that count: those of no voided settlement."""
        return [line for line in self.lines if line["status"] != "voided"]

    def of_days(self, first: date, last: date) -> list[Line]:
        return [line for line in self.valid if str(first) <= day(line) <= str(last)]

    def settlements(self) -> dict[str, list[Line]]:
        """The lines of each settlement."""
        return grouped(self.lines, "settlement")

    def paid(self, settlement: str) -> Decimal:
        return sum((amount for _, amount in self.payments[settlement]), ZERO)

    def is_overdue(self, line: Line) -> bool:
        return line["status"] == "invoiced" and line["due_on"] < str(self.story.today)


def day(line: Line) -> str:
    return line["created_at"][:10]


def amount(lines: Iterable[Line], kind: str | None = None) -> Decimal:
    """Returns the sum of the lines, or of those of a kind."""
    return sum((Decimal(line["amount"]) for line in lines if kind in (None, line["kind"])), ZERO)


def grouped(lines: Iterable[Line], *columns: str) -> dict[Any, list[Line]]:
    """Returns the lines by the value of a column, or by the values of several ones."""
    found: dict[Any, list[Line]] = defaultdict(list)
    for line in lines:
        values = tuple(line[column] for column in columns)
        found[values if len(values) > 1 else values[0]].append(line)
    return found


def file(database: str, *arguments: str) -> list[Line]:
    """Returns the rows of a CSV file that the command line writes."""
    return list(csv.DictReader(portal(*arguments, "--format", "csv", DATABASE_URL=database).splitlines()))


@pytest.fixture(scope="module")
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """A superuser's session of the database with the story."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def files(connection: psycopg.Connection, shared_database: str) -> Files:
    """The files of the story, after the open month is settled, too."""
    story = tell(connection)
    # else her credit would wait
    act(connection, ADMIN, "pay_settlement", settlement_id=story.settlements[PARTNER, "EUR"], payer_uid="dora")
    portal("settle", f"{story.today:%Y-%m}", DATABASE_URL=shared_database)
    files = Files(story, file(shared_database, "settlements"), file(shared_database, "balance"))
    for settlement, [line, *_] in files.settlements().items():
        statement = json.loads(portal("statement", settlement, "--format", "json", DATABASE_URL=shared_database))
        files.payments[settlement] = [
            (payment["payerUid"], money(payment["amountCents"], line["currency"]))
            for payment in statement["settlement"]["payments"]
        ]
    return files


@pytest.fixture(params=["the month", "the open month"])
def period(request: pytest.FixtureRequest, files: Files) -> tuple[date, date]:
    """The first and the last day of a month."""
    story = files.story
    return (story.first, story.last) if request.param == "the month" else (story.today.replace(day=1), story.today)


def figures(rows: list[dict[str, Any]], keys: tuple[str, ...], *columns: str) -> dict[Any, tuple[Any, ...]]:
    """Returns the rows of a figure by their keys; amounts in minor units become decimals."""
    return {
        tuple(row[key] for key in keys): tuple(
            money(row[column], row["currency"]) if column.endswith("_cents") else row[column] for column in columns
        )
        for row in rows
    }


def test_the_file_of_a_month_is_a_part_of_the_file_of_all(files: Files, shared_database: str) -> None:
    month = f"{files.story.first:%Y-%m}"
    lines = file(shared_database, "settlements", "--month", month)
    assert lines == [line for line in files.lines if line["period_from"] == f"{month}-01"]
    assert 0 < len(lines) < len(files.lines)


def test_the_lines_are_those_of_the_story(files: Files) -> None:
    assert Counter(
        (day(line), line["kind"], line["beneficiary"], line["payer"], line["currency"],
         line["base"], Decimal(line["rate"] or 0), Decimal(line["amount"]))
        for line in files.valid
    ) == Counter(
        (str(e.on), e.kind, e.beneficiary, e.payer, e.currency,
         "" if e.base is None else f"{e.base:f}", e.rate or ZERO, e.amount)
        for e in files.story.entries
    )  # fmt: skip
    # what was taken back after the month was invoiced belongs to it
    assert {
        line["month"] for line in files.valid if line["kind"] == "reversal" and day(line) == str(files.story.today)
    } == {f"{files.story.first:%Y-%m}"}


def test_fees(connection: psycopg.Connection, files: Files, period: tuple[date, date]) -> None:
    fees = act(connection, ADMIN, "fee_stats", from_day=period[0], to_day=period[1])
    lines = files.of_days(*period)
    assert figures(
        fees["charged"], ("beneficiary_uid", "currency"), "fee_events", "accrued_cents", "settled_cents", "open_cents"
    ) == {
        of: (len(found), amount(found), amount(found), ZERO)
        for of, found in grouped(lines, "beneficiary", "currency").items()
    }
    assert figures(fees["fees"], ("fee_id", "currency"), "fee_events", "amount_cents") == {
        of: (len(found), amount(found)) for of, found in grouped(lines, "fee", "currency").items()
    }
    kinds = ("charge", "reversal", "adjustment")
    names = ("charged_cents", "reversed_cents", "adjusted_cents", "accrued_cents")
    assert figures(fees["days"], ("day", "currency"), "fee_events", *names) == {
        of: (len(found), *(amount(found, kind) for kind in kinds), amount(found))
        for of, found in grouped([line | {"day": day(line)} for line in lines], "day", "currency").items()
    }


def test_revenue(connection: psycopg.Connection, files: Files, period: tuple[date, date]) -> None:
    """The base of the charges is the price of the bookings; one that was cancelled late keeps its charge."""
    revenue = act(connection, ADMIN, "voucher_stats", from_day=period[0], to_day=period[1])
    bookings = [
        line | {"day": day(line)}
        for line in files.of_days(*period)
        if line["kind"] == "charge" and line["beneficiary"] == PORTAL
    ]

    def sums(lines: list[Line]) -> tuple[int, Decimal]:
        return len(lines), sum((Decimal(line["base"]) for line in lines), ZERO)

    def standing(lines: list[Line]) -> list[Line]:
        return [line for line in lines if not line["cancelled_at"]]

    columns = ("bookings", "amount_cents", "booked", "booked_cents")
    assert figures(revenue["revenue_days"], ("day", "currency"), *columns) == {
        of: (*sums(standing(found)), *sums(found)) for of, found in grouped(bookings, "day", "currency").items()
    }
    assert figures(revenue["revenue"], ("currency",), *columns[:2]) == {
        (currency,): sums(standing(found)) for currency, found in grouped(bookings, "currency").items()
    }
    assert revenue["bookings"] == len(bookings)


def test_settlements(connection: psycopg.Connection, files: Files) -> None:
    rows = connection.execute(
        "select id::text, beneficiary_uid, currency, status, coalesce(number, ''), coalesce(due_on::text, ''),"
        " is_overdue, total_cents / power(10::numeric, decimals), paid_cents / power(10::numeric, decimals)"
        " from stats.settlements"
    ).fetchall()
    expected = []
    for settlement, [line, *more] in files.settlements().items():
        columns = (line[name] for name in ("beneficiary", "currency", "status", "number", "due_on"))
        expected.append((settlement, *columns, files.is_overdue(line), amount([line, *more]), files.paid(settlement)))
    assert sorted(rows) == sorted(expected)


def test_what_is_owed(connection: psycopg.Connection, files: Files) -> None:
    names = ("unsettled", "open", "invoiced", "paid", "written_off")
    columns = (*(f"{name}_cents" for name in names), "owed_cents", "overdue_cents")
    overdue: Counter[tuple[str, str]] = Counter()
    for settlement, [line, *more] in files.settlements().items():
        if files.is_overdue(line):
            overdue[line["beneficiary"], line["currency"]] += amount([line, *more]) - files.paid(settlement)  # type: ignore[assignment]
    expected = {}
    for row in files.balance:
        of, parts = (row["beneficiary"], row["currency"]), [Decimal(row[name]) for name in names]
        expected[of] = (*parts, sum(parts[:3]), overdue[of])
        assert sum(parts) == Decimal(row["total"]) == amount(grouped(files.valid, "beneficiary", "currency")[of])
    owed = act(connection, ADMIN, "fee_stats")["owed"]
    assert figures(owed, ("beneficiary_uid", "currency"), *columns) == expected


def test_receivables(connection: psycopg.Connection, files: Files) -> None:
    due: dict[tuple[str, str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    since: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for settlement, lines in files.settlements().items():
        status = lines[0]["status"]
        if status not in ("open", "invoiced"):
            continue
        named: Counter[str | None] = Counter()
        for payer, paid in files.payments[settlement]:
            # in the story, an invoice that is not paid in full has no payment of nobody
            assert payer is not None
            named[payer] += paid  # type: ignore[assignment]
        for (payer, beneficiary, currency), part in grouped(lines, "payer", "beneficiary", "currency").items():
            of, left = (payer, beneficiary, currency), amount(part) - named[payer]
            due[of][status] += left
            due[of]["overdue"] += left if files.is_overdue(part[0]) else 0
            if left > 0:
                since[of].append(min(map(day, part)))
    expected = {
        of: (
            ZERO,
            cents["open"],
            cents["invoiced"],
            cents["overdue"],
            cents["open"] + cents["invoiced"],
            min(since[of]),
        )
        for of, cents in due.items()
        if cents["open"] or cents["invoiced"]
    }
    assert sum(1 for cents in expected.values() if cents[3]) == 1
    columns = ("unsettled_cents", "open_cents", "invoiced_cents", "overdue_cents", "owed_cents", "since")
    found = act(connection, ADMIN, "fee_stats")["receivables"]
    assert figures(found, ("payer_uid", "beneficiary_uid", "currency"), *columns) == expected


# the other formats


def test_json_has_the_same_lines(files: Files, shared_database: str) -> None:
    items = json.loads(portal("settlements", "--format", "json", DATABASE_URL=shared_database))["items"]
    assert [["" if value is None else value for value in item.values()] for item in items] == [
        list(line.values()) for line in files.lines
    ]


def test_xlsx_has_the_same_lines_in_libreoffice(files: Files, shared_database: str, tmp_path: Path) -> None:
    portal("settlements", "--format", "xlsx", "--output", str(tmp_path / "lines.xlsx"), DATABASE_URL=shared_database)
    head, *shown = in_libreoffice(tmp_path / "lines.xlsx", tmp_path)
    assert [name.replace(" ", "_") for name in head] == list(COLUMNS)
    numbers = {"base", "rate", "fixed", "amount"}

    def read(name: str, value: str) -> Decimal | str:
        return Decimal(value.replace(",", "")) if value and name in numbers else value

    assert [[read(name, value) for name, value in zip(COLUMNS, row, strict=True)] for row in shown] == [
        [read(name, value) for name, value in line.items()] for line in files.lines
    ]
