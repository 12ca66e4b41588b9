"""The files for accountants: the lines of all settlements, and the trial balance."""

import csv
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from openpyxl import load_workbook

from api.cli import books
from api.cli.main import app
from tests.cli.running import portal, rows, run
from tests.support.charging import charge, reverse
from tests.support.databases import empty

pytestmark = pytest.mark.clock

HOSTILE = ["=1+1", "<r><t>x</t></r>", "<r></r>", "https://a.b", "a\x1b[31m\nb", "_x0041_", "1.5", "é" * 2_000]
"""Reasons that a spreadsheet might take for something else."""


@pytest.fixture(scope="module")
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """A connection to the database that the commands work on: a voided, a replacing and an invoiced settlement."""
    empty(shared_database)
    with psycopg.connect(shared_database, autocommit=True) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", shared_database)
        charge(connection, "2025-03-05", base=12025, rate="0.0250", payer="anna")
        charge(connection, "2025-03-05", base=9007199254740991, rate="1", payer="anna")
        charge(connection, "2025-03-05", base=9007199254740991, rate="1", currency="KWD", payer="ben")
        reverse(connection, charge(connection, "2025-03-06", 5, "JPY", payer="ben"), "2025-03-07")
        [first, *_] = [row[6] for row in rows(portal("settle", "2025-03"))]
        portal("invoice", first)
        portal("void", first)
        for row in rows(portal("settle", "2025-03")):
            portal("invoice", row[6])
            portal("pay", row[6], "--amount", "1.01")
        for reason in HOSTILE:
            charged = str(charge(connection, "2025-04-05", 100, payer="anna"))
            run("adjust", charged, "--credit", "0.01", "--reason", reason)
        yield connection


@pytest.fixture(autouse=True)
def _settings(connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, shared_database: str) -> None:
    monkeypatch.setenv("DATABASE_URL", shared_database)
    monkeypatch.setattr(books, "PAGE", 2)


def stored(connection: psycopg.Connection) -> list[tuple[str, str, Decimal]]:
    """The lines of all settlements: status, currency and amount in major units."""
    return connection.execute(
        "select s.status, s.currency, e.amount_cents / 10::numeric ^ private.currency_exponent(s.currency)"
        " from public.settlements s join public.settlement_lines l on l.settlement_id = s.id"
        " join public.fee_events e on e.id = l.fee_event_id order by s.period_from, s.created_at, s.id, e.id"
    ).fetchall()


def csv_lines(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(portal("settlements", "--format", "csv", *arguments).splitlines()))


def sheets(file: Path, *arguments: str) -> list[list[tuple[Any, ...]]]:
    """The rows of each sheet, cell by cell."""
    assert portal("settlements", "--format", "xlsx", "--output", str(file), *arguments) == ""
    return [list(sheet.iter_rows()) for sheet in load_workbook(file).worksheets]


def test_csv_and_json_have_every_line_exactly(connection: psycopg.Connection) -> None:
    lines = csv_lines()
    assert tuple(lines[0]) == books.COLUMNS
    assert [(line["status"], line["currency"], Decimal(line["amount"])) for line in lines] == stored(connection)
    assert {line["amount"] for line in lines} >= {"3.01", "90071992547409.91", "9007199254740.991", "5", "-5"}
    items = json.loads(portal("settlements", "--format", "json"))["items"]
    assert [tuple((item[name] or "") for name in ("number", "amount", "periodFrom", "kind")) for item in items] == [
        tuple(line[name] for name in ("number", "amount", "period_from", "kind")) for line in lines
    ]


def test_a_line_names_who_owes_and_what_took_it_back(connection: psycopg.Connection) -> None:
    [voided, *_] = [line for line in csv_lines() if line["status"] == "voided" and line["amount"] == "3.01"]
    assert (voided["base"], voided["rate"], voided["payer"]) == ("120.25", "0.0250", "anna")
    assert (voided["beneficiary"], voided["month"], voided["kind"]) == ("togethersystems", "2025-03", "charge")
    [charged, reversal] = [line for line in csv_lines() if line["currency"] == "JPY"]
    assert charged["reversed_by"] == reversal["corrects"] == charged["settlement"]
    assert (reversal["kind"], reversal["charge"]) == ("reversal", charged["fee_event"])


def test_a_month_has_the_settlements_that_begin_in_it() -> None:
    assert len(csv_lines("--month", "2025-03")) == len(csv_lines())
    assert csv_lines("--month", "2025-04") == []


def test_xlsx_has_numbers_where_they_are_exact(connection: psycopg.Connection, tmp_path: Path) -> None:
    [[head, *found]] = sheets(tmp_path / "lines.xlsx")
    assert tuple(cell.value.replace(" ", "_") for cell in head) == books.COLUMNS
    amount = books.COLUMNS.index("amount")
    assert [Decimal(str(row[amount].value)) for row in found] == [cents for *_, cents in stored(connection)]
    types = {Decimal(str(row[amount].value)): (row[amount].data_type, row[amount].number_format) for row in found}
    assert types[Decimal("3.01")] == ("n", "#,##0.00")
    assert types[Decimal(5)] == ("n", "#,##0")
    # sixteen digits: a spreadsheet would change the last one
    assert types[Decimal("90071992547409.91")][0] == types[Decimal("9007199254740.991")][0] == "s"


def test_a_sheet_that_is_full_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = len(csv_lines())
    monkeypatch.setattr(books, "SHEET_ROWS", 3)
    found = sheets(tmp_path / "lines.xlsx")
    assert sum(len(sheet) - 1 for sheet in found) == number
    assert {len(sheet) for sheet in found[:-1]} == {3}


def test_a_month_without_settlements_is_a_sheet_with_a_head(tmp_path: Path) -> None:
    [[head]] = sheets(tmp_path / "lines.xlsx", "--month", "2024-01")
    assert len(head) == len(books.COLUMNS)


@pytest.mark.parametrize("format", books.FileFormat)
def test_only_its_owner_reads_a_new_file(tmp_path: Path, format: books.FileFormat) -> None:  # noqa: A002
    file = tmp_path / "lines"
    usual = os.umask(0o022)
    try:
        portal("settlements", "--format", format, "--output", str(file))
    finally:
        os.umask(usual)
    assert file.stat().st_mode & 0o777 == 0o600


def test_xlsx_needs_a_file(tmp_path: Path) -> None:
    result = run("settlements", "--format", "xlsx")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "needs --output FILE" in result.stderr
    with pytest.raises(Exception, match="Cannot write"):
        app(["settlements", "--format", "xlsx", "--output", str(tmp_path / "none" / "x")], standalone_mode=False)


def test_the_balance_adds_up(connection: psycopg.Connection) -> None:
    balances = json.loads(portal("balance", "--format", "json"))["items"]
    assert {balance["currency"] for balance in balances} == {"EUR", "JPY", "KWD"}
    for balance in balances:
        parts = [Decimal(balance[name]) for name in ("unsettled", "open", "invoiced", "paid", "writtenOff")]
        assert sum(parts) == Decimal(balance["total"])
    lines = list(csv.DictReader(portal("balance", "--format", "csv").splitlines()))
    assert [line["total"] for line in lines] == [balance["total"] for balance in balances]
    assert json.loads(portal("balance", "--as-of", "2020-01-31", "--format", "json")) == {
        "asOf": "2020-01-31", "items": []
    }  # fmt: skip


def test_a_reason_is_a_text_in_every_file(connection: psycopg.Connection, tmp_path: Path) -> None:
    """Runs last: it settles what the other tests leave."""
    charge(connection, "now", 100)  # a negative sum would wait
    portal(
        "settle", connection.execute("select to_char(now() at time zone 'Europe/Berlin', 'YYYY-MM')").fetchall()[0][0]
    )
    reason = books.COLUMNS.index("reason")
    [[_, *found]] = sheets(tmp_path / "lines.xlsx")
    cells = [row[reason] for row in found if row[reason].value is not None]
    assert len(cells) == len(HOSTILE)
    assert {cell.data_type for cell in cells} == {"s"}
    assert {cell.value for cell in cells} >= {
        "=1+1", "<r><t>x</t></r> ", "<r></r> ", "https://a.b", "1.5", "é" * 2_000
    }  # fmt: skip
    assert not any(line["reason"].startswith("=") for line in csv_lines())
