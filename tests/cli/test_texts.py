"""Texts of strangers on a terminal and in a spreadsheet."""

import csv
from io import StringIO

import pytest

from api.cli.texts import cell, visible

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
    "-12": "-12",
    "12.50": "12.50",
    "2026-11-26": "2026-11-26",
    "goodwill - 5 = 4": "goodwill - 5 = 4",
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.items(), ids=[ascii(text) for text in SHOWN])
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(("text", "written"), CELLS.items(), ids=[ascii(text) for text in CELLS])
def test_no_cell_is_a_formula_and_numbers_stay(text: str, written: str) -> None:
    assert cell(text) == written
    file = StringIO()
    csv.writer(file).writerow([cell(text), cell(-5), cell(None)])
    assert next(csv.reader(StringIO(file.getvalue()))) == [written, "-5", ""]
