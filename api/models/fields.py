"""The field types of requests and responses."""

import math
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic.config import JsonDict, JsonValue

from api.errors import ApiError
from api.legacy import javascript
from api.models.base import FALSY, FALSY_VALUES

NO_NUL = r"^[^\u0000]*$"
"""JSON Schema's pattern of every text that PostgreSQL can store."""

CURRENCY = "[A-Za-z][A-Za-z0-9]{2,11}"
"""The form of a currency's code; SQL knows which there are (`private.currencies`)."""

TEXT = {"pattern": NO_NUL}
"""For a parameter's `schema_extra`."""


def _read_text(value: object, info: ValidationInfo) -> str | None:
    if value is None:
        return None
    if isinstance(value, (str, bool, int, float, Decimal)):
        return javascript.text(value)
    raise ApiError("text_expected", info.field_name or "")


def _read_count(value: object, info: ValidationInfo) -> int | None:
    number = javascript.number(value)
    if math.isnan(number) or number == 0:
        return None
    if math.isinf(number) or abs(number) >= 2**31:
        raise ApiError("duration_out_of_range")
    if not number.is_integer():
        raise ApiError("whole_number_expected", info.field_name or "")
    return int(number)


def read_number(value: object) -> Decimal | None:
    """A JSON number as it was sent; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    return Decimal(value)


def minor_units(number: Decimal) -> int:
    """A whole, not negative amount that a double holds exactly. Raises ApiError: amount_out_of_range."""
    if not 0 <= number <= 2**53 - 1 or number != number.to_integral_value():
        raise ApiError("amount_out_of_range")
    return int(number)


def _read_money(value: object, code: str) -> dict[str, object]:
    number = read_number(value.get("amount")) if isinstance(value, dict) else None
    if not isinstance(value, dict) or number is None:
        raise ApiError(code)
    currency = value.get("currency")
    if not javascript.truthy(currency):
        currency = "EUR"
    if not isinstance(currency, str):
        raise ApiError("currency_unknown")
    return {"amount": minor_units(number), "currency": currency}


class Money(BaseModel):
    """An amount in the currency's minor unit (cents)."""

    amount: int = Field(ge=0, le=2**53 - 1)
    currency: str


def money(amount: int | None, currency: str | None) -> dict[str, object] | None:
    """The fields of Money, from two columns; None where they are null."""
    return None if amount is None or currency is None else {"amount": amount, "currency": currency}


def text_schema(max_length: int | None = None) -> JsonDict:
    """JSON Schema of a text without NUL, the one character that PostgreSQL cannot store."""
    schema: JsonDict = {"type": ["string", "number", "boolean"], "pattern": NO_NUL}
    return schema if max_length is None else schema | {"maxLength": max_length}


def word_schema(*words: str) -> JsonDict:
    """JSON Schema of one of these words; what is falsy counts as missing."""
    return {"enum": [*words, *FALSY_VALUES]}


def _count_schema(maximum: int, *, depth: int = 2) -> JsonDict:
    """JSON Schema of Count: whole numbers up to the maximum, and values that are no number, which count as missing."""
    bad_text = rf"^(-[0-9]*[1-9][0-9]*|[+-]?[0-9]+\.[0-9]*[1-9]|[1-9][0-9]{{{len(str(maximum))},}}|[+-]?Infinity)$"
    inner: JsonDict = {"items": _count_schema(maximum, depth=depth - 1)} if depth else {}
    alternatives: list[JsonValue] = [
        {"type": "integer", "minimum": 0, "maximum": maximum},
        {"type": "string", "not": {"pattern": bad_text}},
        {"type": ["boolean", "null", "object"]},
        {"type": "array", "minItems": 2},
        {"type": "array", "maxItems": 1, **inner},
    ]
    return {"anyOf": alternatives}


_AMOUNT: JsonDict = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
_MONEY: JsonDict = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": _AMOUNT, "currency": {"anyOf": [{"type": "string", "pattern": f"^{CURRENCY}$"}, FALSY]}},
}
_COUNT: JsonDict = {
    "description": "A whole number in any form that JavaScript reads; what is no number counts as missing."
}

Text = Annotated[str, BeforeValidator(_read_text), WithJsonSchema(text_schema())]
"""A text; a number or a boolean is taken as its text. Raises ApiError: text_expected."""

Id = Annotated[str, BeforeValidator(_read_text), WithJsonSchema(text_schema(255))]
"""A text of at most 255 characters, which SQL checks: a uid, an id."""

Count = Annotated[int | None, BeforeValidator(_read_count)]
"""A whole number in any form that JavaScript reads ("30", "0x10", [25]); None for zero and words.
Raises ApiError: whole_number_expected, duration_out_of_range."""

Minutes = Annotated[Count, WithJsonSchema(_COUNT | _count_schema(525_600))]
"""A Count of at most a year, which SQL checks."""

Years = Annotated[Count, WithJsonSchema(_COUNT | _count_schema(100))]
"""A Count of at most 100, which SQL checks."""

Number = Annotated[Decimal | None, BeforeValidator(read_number)]
"""A JSON number, exactly as it was sent; None for anything else."""

Interest = Annotated[Number, WithJsonSchema({"minimum": 0, "maximum": 99.9999, "multipleOf": 0.0001})]
"""A Number that is a fraction with at most four decimals, which SQL checks."""

Cents = Annotated[Number, WithJsonSchema({"minimum": 0, "maximum": 2**53 - 1, "multipleOf": 1})]
"""A Number of whole minor units."""

Price = Annotated[
    Money | None,
    BeforeValidator(lambda sent: _read_money(sent, "price_invalid")),
    WithJsonSchema({"anyOf": [_MONEY, FALSY]}),
]
"""An object with a numeric `amount` in minor units. Raises ApiError: price_invalid, amount_out_of_range,
currency_unknown."""

Loan = Annotated[
    Money | None,
    BeforeValidator(lambda sent: _read_money(sent, "loan_invalid")),
    WithJsonSchema({"anyOf": [_MONEY, FALSY]}),
]
"""The same. Raises ApiError: loan_invalid, amount_out_of_range, currency_unknown."""
