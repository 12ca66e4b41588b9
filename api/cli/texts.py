"""Texts that strangers may have chosen, made safe for terminals and spreadsheets."""

import json
import re
from collections.abc import Container, Mapping

# letters and marks that are printable by their category, but have no shape
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# at the beginning of a cell, or of what a program takes for one because its separator is another
_FORMULA = re.compile(r"(^|[\t\r\n,;|])([\s\"]*)([=+\-@\uff1d\uff0b\uff0d\uff20])")

# the words that a number, a date or a time may have, in English and German
_WORD = re.compile(
    r"(?<![^\W\d_])(e|t|z|[ap]m?|jan(uary?)?|jän(ner)?|feb(ruary?)?|mar(ch)?|mär(z)?|mrz|apr(il)?|may"
    r"|mai|june?|juni|july?|juli|aug(ust)?|sept?(ember)?|o[ck]t(ober)?|nov(ember)?|de[cz](ember)?)(?![^\W\d_])",
    re.IGNORECASE,
)
# no month has four digits: as the portal numbers invoices; and no number has the form of a UUID
_NUMBERED = re.compile(r"[0-9]{4}-[0-9]{4,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRUTHS = {"true", "false", "wahr", "falsch"}

# the separators of other programs before a formula; json.dumps escapes tabs and line breaks itself
_SEPARATOR = re.compile(r"[;|](?= *[=+\-@])")


def visible(text: str) -> str:
    r"""The text with control, invisible and direction characters, and spaces other than the usual one, as \u200b."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() and not _SHAPELESS.match(c) else c.encode("unicode_escape").decode("ascii") for c in text
    )


def visible_line(text: str) -> str:
    """The same in one line, with a space for white space of any kind: no text begins a line of its own."""
    return visible(" ".join(text.split()))


def cell(value: object) -> object:
    """The value for a cell of a CSV file in a column of texts: a text is never a formula, a number or a date."""
    if not isinstance(value, str):
        return value
    text = _FORMULA.sub(r"\1'\2\3", visible(value))
    return f"'{text}" if text == value and _is_value(text) else text


def cells(record: Mapping[str, object], values: Container[str]) -> dict[str, object]:
    """The record for a line of a CSV file; the columns `values` have no texts, and stay as they are."""
    return {name: value if name in values else cell(value) for name, value in record.items()}


def _is_value(text: str) -> bool:
    """Whether a spreadsheet may read a number, a date, a time or a truth in the text, and show another one."""
    if _NUMBERED.fullmatch(text):
        return False
    is_number = any(c.isdigit() for c in text) and not any(c.isalpha() for c in _WORD.sub("", text))
    return is_number or text.strip().lower() in _TRUTHS


def json_cell(value: object) -> str:
    """The value as JSON for a cell of a CSV file: the same value for a reader of JSON, and never a formula."""
    return _SEPARATOR.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value))
