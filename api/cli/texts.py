"""Texts that strangers may have chosen, made safe for terminals and spreadsheets."""

import json
import re

# letters and marks that are printable by their category, but have no shape
_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# at the beginning of a cell, or of what a program takes for one because its separator is another
_FORMULA = re.compile(r"(^|[\t\r\n,;|])([\s\"]*)([=+\-@\uff1d\uff0b\uff0d\uff20])")

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
    """The value for a cell of a CSV file: a number stays one, and a text is never a formula."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _FORMULA.sub(r"\1'\2\3", visible(value))


def json_cell(value: object) -> str:
    """The value as JSON for a cell of a CSV file: the same value for a reader of JSON, and never a formula."""
    return _SEPARATOR.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value))
