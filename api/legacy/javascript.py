"""JavaScript's coercions, by which the legacy servers read what they were sent."""

import math
import re
from decimal import Decimal

# digits can be matched in one way only: otherwise a long text of them takes minutes, and the server does nothing else
_DECIMAL = re.compile(r"[+-]?(Infinity|(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)", re.ASCII)
_PREFIXED = {"0x": 16, "0o": 8, "0b": 2}


def truthy(value: object) -> bool:
    """JavaScript's `Boolean(value)` of parsed JSON: null, "", 0 and false are falsy, {} and [] are not."""
    return isinstance(value, (dict, list)) or bool(value)


def number(value: object) -> float:
    """JavaScript's `Number(value)` of parsed JSON; NaN where it makes none. An array counts as its only element."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    match value:
        case None:
            return 0.0
        case bool() | int() | float() | Decimal():
            return _double(value)
        case str():
            return _number_of_text(value.strip())
        case [] | [None]:
            return 0.0
        case [str() | int() | float() | Decimal() as one] if not isinstance(one, bool):
            return number(one)
        case _:
            return math.nan


def text(value: str | bool | int | float | Decimal) -> str:
    """JavaScript's `String(value)` of a JSON string, boolean or number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    double = _double(value)
    if math.isinf(double) or math.isnan(double):
        return "NaN" if math.isnan(double) else "Infinity" if double > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(double)).normalize().as_tuple()
    assert isinstance(exponent, int)
    shown = "".join(map(str, digits))
    point = len(shown) + exponent
    if -6 < point <= 21:
        if exponent >= 0:
            shown = shown + "0" * exponent
        elif point > 0:
            shown = f"{shown[:point]}.{shown[point:]}"
        else:
            shown = f"0.{'0' * -point}{shown}"
    else:
        fraction = f".{shown[1:]}" if len(shown) > 1 else ""
        shown = f"{shown[0]}{fraction}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"-{shown}" if sign and double else shown


def _double(value: bool | int | float | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _number_of_text(trimmed: str) -> float:
    if not trimmed:
        return 0.0
    base = _PREFIXED.get(trimmed[:2].lower())
    if base is not None:
        try:
            return _double(int(trimmed[2:], base)) if trimmed[2:].isalnum() else math.nan
        except ValueError:
            return math.nan
    return float(trimmed.replace("Infinity", "inf")) if _DECIMAL.fullmatch(trimmed) else math.nan
