"""Texts of strangers on a terminal and in a spreadsheet."""

import csv
import os
import subprocess
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from rich.text import Text

from api.cli.tables import Row, Table
from api.cli.texts import cell, visible
from tests.cli.running import PORTAL
from tests.support.acting import call, thinker
from tests.support.spreadsheets import ENGLISH, GERMAN, in_libreoffice

SHOWN = {
    "Anna Müller, 日本, 😀": "Anna Müller, 日本, 😀",
    "EUR\u200b": r"EUR\u200b",
    "EUR\u00a0": r"EUR\xa0",
    "\x1b[31mred\x07": r"\x1b[31mred\x07",
    "\x9b2J\x7f": r"\x9b2J\x7f",
    "two\nlines\tand\r": r"two\nlines\tand\r",
    "\u202egnp.exe\u2066": r"\u202egnp.exe\u2066",
    "\ufeff\u3164\ufe0f\U000e0041": r"\ufeff\u3164\ufe0f\U000e0041",
    "\u2028\ud800": r"\u2028\ud800",
}

CELLS = {
    "=1+1": "'=1+1",
    "+1-1": "'+1-1",
    "-1+1": "'-1+1",
    "@SUM(1)": "'@SUM(1)",
    "  =1+1": "'  =1+1",
    "\uff1d1+1": "'\uff1d1+1",
    "\uff0b1": "'\uff0b1",
    "a;=1+1": "a;'=1+1",
    "a, -b": "a,' -b",
    'a;"=1+1': "a;'\"=1+1",
    "\t=1+1": "\\t=1+1",
    "\r=1+1": "\\r=1+1",
    "-12": "'-12",
    "goodwill - 5 = 4": "goodwill - 5 = 4",
    "thinker-0123456789ab": "thinker-0123456789ab",
    "01234567-89ab-8000-9012-3456789012ef": "01234567-89ab-8000-9012-3456789012ef",
    "01a2226e-1234-8123-9123-01234567890e": "01a2226e-1234-8123-9123-01234567890e",
    "2026-0001": "2026-0001",
    "dora5": "dora5",
    "€\xa05": "€\\xa05",
}

VALUES = [
    "012", "1E5", "1e-5", "12.50", ".5", "(5)", "50%", "$5", "1-2", "1/2", "1.2.", "5. März 2026", "Jan 5", "5 okt",
    "Mrz.8", "Jänner/29", "2026-11-26", "12:30", "5 PM", "2026-11-26T10:00:00Z", "TRUE", " wahr", "１２",
]  # fmt: skip
"""Texts in which spreadsheets see a number, a date, a time or a truth."""


@pytest.mark.parametrize(("text", "shown"), SHOWN.items(), ids=[ascii(text) for text in SHOWN])
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(("text", "written"), CELLS.items(), ids=[ascii(text) for text in CELLS])
def test_no_text_is_a_formula_and_numbers_stay(text: str, written: str) -> None:
    assert cell(text) == written
    file = StringIO()
    csv.writer(file).writerow([cell(text), cell(-5), cell(None)])
    assert next(csv.reader(StringIO(file.getvalue()))) == [written, "-5", ""]


@pytest.mark.parametrize("text", VALUES)
def test_no_text_is_a_number(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.slow
@pytest.mark.parametrize("language", [ENGLISH, GERMAN])
def test_libreoffice_shows_each_text_as_it_is_written(tmp_path: Path, language: int) -> None:
    file = tmp_path / "texts.csv"
    written = [[str(cell(text)), text] for text in [*VALUES, *CELLS]]
    with file.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows(written)
    shown = in_libreoffice(file, tmp_path, language=language)
    assert [row[0] for row in shown] == [row[0] for row in written]
    # without the protection it does not
    assert {"012", "1E5", "12:30", "50%", "(5)"}.isdisjoint(row[1] for row in shown)


LINES = "x\n\nportal:\x85all\u2028is\x0bwell\x1b[2J"
"""A uid that would write lines of its own, by each character at which Python, terminals or editors break one."""


def test_an_error_is_one_line_whatever_it_quotes(shared_database: str) -> None:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        window = {"valid_from": "2090-01-01", "valid_until": "2090-01-02"}
        call(
            connection, thinker("anna"), "issue_voucher", voucher_id="v-1", holder_uid=LINES, status="issued", **window
        )
    command = [*PORTAL, "erase", "thinker", "anna", "--yes"]
    environment = os.environ | {"DATABASE_URL": shared_database}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    [line] = Text.from_ansi(result.stderr).plain.splitlines()
    assert line.startswith("portal: not erased, because")
    assert r"reserved for x portal: all is well\x1b[2J" in line


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_row_is_one_line_whatever_it_quotes(*, is_terminal: bool) -> None:
    file = StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=100, markup=False, emoji=False, highlight=False)
    Table(console, "uid", note="what").print([Row((LINES,), LINES)])
    shown = [line.split() for line in Text.from_ansi(file.getvalue()).plain.splitlines()]
    words = ["x", "portal:", "all", "is", r"well\x1b[2J"]
    assert shown[1:] == ([words, words] if is_terminal else [words + words])
