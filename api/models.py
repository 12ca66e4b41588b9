"""What the legacy requests and responses are made of."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from api.errors import ApiError
from api.gateway import Row
from api.legacy import javascript

T = TypeVar("T")

_FALSY: list[JsonValue] = ["", 0, False, None]
FALSY: JsonDict = {"enum": _FALSY}
TRUTHY: JsonDict = {"minLength": 1, "not": {"enum": [0, False, None]}}
_NO_NUMBER: JsonDict = {"type": ["string", "boolean", "null", "array", "object"]}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d))?)?"
    r"([T ](?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)([.,](?P<fraction>\d+))?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)


ISO_PATTERN = r"^\d{4}(-\d{2}(-\d{2})?)?([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
"""The texts of which `iso_time` makes a time, if they are in the calendar; for JSON Schema."""

NO_NUL = r"^[^\u0000]*$"
"""Every text that PostgreSQL can store, for JSON Schema."""

TEXT = {"pattern": NO_NUL}
"""For a parameter's `schema_extra`."""


class ApiModel(BaseModel):
    """A JSON object with the field names of the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The shape of a row, whose keys are the fields' Python names."""
        return cls.model_validate(row, by_name=True, by_alias=False)


@dataclass(frozen=True)
class Required:
    """Marks a field that must be there; the reason refuses a request without it."""

    reason: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What the type takes, but nothing falsy."""
        return handler(schema) | TRUTHY


class RequestModel(ApiModel):
    """A request's body. A field that is falsy in JavaScript counts as missing, but where `zero_counts`."""

    zero_counts: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, body: object, read: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(body, dict):
            raise ApiError("invalid_json")
        sent = {key: value for key, value in body.items() if key in cls.zero_counts or javascript.truthy(value)}
        cls.refuse_incomplete(sent)
        try:
            return read(sent)
        except ApiError as refused:
            # the validators know a field by its Python name
            named = {name: field.alias or name for name, field in cls.model_fields.items()}
            raise ApiError(refused.code, named.get(refused.detail, refused.detail)) from None

    @classmethod
    def refuse_incomplete(cls, sent: Mapping[str, object]) -> None:
        """Refuse, before any value is looked at, a body without a field that is needed."""
        for name, field in cls.model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, Required) and (field.alias or name) not in sent:
                    raise ApiError(mark.reason)


def one_needed(*names: str) -> JsonDict:
    """For a model's `json_schema_extra`: at least one of these fields must be there."""
    return {"anyOf": [{"required": [name], "properties": {name: dict(TRUTHY)}} for name in names]}


def required(value: T | None, reason: str) -> T:
    """The value; refuses with the reason where it is missing."""
    if value is None:
        raise ApiError(reason)
    return value


def iso_time(text: str) -> datetime | None:
    """The time of an ISO 8601 text, in the forms that JavaScript knows: a date is midnight; no zone means UTC.

    Times keep milliseconds. None where the text is no date of the calendar.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    parts = match.groupdict()
    zone = parts["zone"] or "Z"
    offset = timedelta()
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    try:
        return datetime(
            int(parts["year"]),
            int(parts["month"] or 1),
            int(parts["day"] or 1),
            int(parts["hour"] or 0),
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            int((parts["fraction"] or "0")[:3].ljust(3, "0")) * 1000,
            timezone(offset),
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def iso_millis(text: str) -> str:
    """A time of PostgreSQL's as the legacy API writes it: ISO 8601 with milliseconds and Z."""
    time = datetime.fromisoformat(text).astimezone(UTC)
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _read_text(value: object, info: ValidationInfo) -> str | None:
    if value is None:
        return None
    if isinstance(value, (str, bool, int, float, Decimal)):
        return javascript.text(value)
    raise ApiError("text_expected", info.field_name or "")


def _read_moment(value: object, info: ValidationInfo) -> datetime | None:
    moment = None
    if isinstance(value, str):
        moment = iso_time(value)
    elif isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        try:
            moment = _EPOCH + timedelta(milliseconds=int(javascript.number(value)))
        except (ValueError, OverflowError):
            moment = None
    if moment is None:
        raise ApiError("date_invalid", info.field_name or "")
    return moment


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
    """A whole, not negative amount that a double holds exactly. Refuses: amount_out_of_range."""
    if not 0 <= number <= 2**53 - 1 or number != number.to_integral_value():
        raise ApiError("amount_out_of_range")
    return int(number)


def _read_money(value: object) -> dict[str, object] | None:
    number = read_number(value.get("amount")) if isinstance(value, dict) else None
    if not isinstance(value, dict) or number is None:
        return None
    currency = value.get("currency")
    return {
        "amount": minor_units(number),
        "currency": currency if isinstance(currency, str) and currency else "EUR",
    }


def _read_loan(value: object) -> dict[str, object]:
    return required(_read_money(value), "loan_invalid")


class Money(BaseModel):
    """An amount in the currency's minor unit (cents)."""

    amount: int = Field(ge=0, le=2**53 - 1)
    currency: str


def money(amount: int | None, currency: str | None) -> Money | None:
    """The two columns of an amount in one piece; None where there is none."""
    return None if amount is None or currency is None else Money(amount=amount, currency=currency)


def text_schema(max_length: int | None = None) -> JsonDict:
    """JSON Schema of a text: NUL is the one character that PostgreSQL cannot store."""
    schema: JsonDict = {"type": ["string", "number", "boolean"], "pattern": NO_NUL}
    return schema if max_length is None else schema | {"maxLength": max_length}


def word_schema(*words: str) -> JsonDict:
    """JSON Schema of one of these words; what is falsy counts as missing."""
    return {"enum": [*words, *_FALSY]}


def _count_schema(maximum: int, *, depth: int = 2) -> JsonDict:
    """JSON Schema of Count: what makes no number is missing, what makes one is a whole one up to the maximum."""
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
    "properties": {"amount": _AMOUNT, "currency": {"pattern": r"^\S{0,32}$"}},
}
_COUNT: JsonDict = {
    "description": "A whole number in any form that JavaScript reads; what makes none counts as missing."
}
_MOMENT: JsonDict = {
    "description": "ISO 8601 as JavaScript reads it (a date is midnight, no zone is UTC), or epoch milliseconds.",
    "anyOf": [
        {"type": "string", "pattern": ISO_PATTERN},
        {"type": "number", "minimum": -62_135_596_800_000, "maximum": 253_402_300_799_999},
        FALSY,
    ],
}

Text = Annotated[str, BeforeValidator(_read_text), WithJsonSchema(text_schema())]
"""A text; a number or a boolean is taken as its text. Refuses: text_expected."""

Id = Annotated[str, BeforeValidator(_read_text), WithJsonSchema(text_schema(255))]
"""A text of at most 255 characters, which SQL checks: a uid, an id."""

Moment = Annotated[datetime, BeforeValidator(_read_moment), WithJsonSchema(_MOMENT)]
"""An ISO 8601 text, or epoch milliseconds as a number. Refuses: date_invalid."""

Count = Annotated[int | None, BeforeValidator(_read_count)]
"""A whole number in any form that JavaScript reads ("30", "0x10", [25]); None for zero and words.
Refuses: whole_number_expected, duration_out_of_range."""

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
    BeforeValidator(_read_money),
    WithJsonSchema(
        {
            "anyOf": [
                _MONEY,
                {"type": "object", "properties": {"amount": _NO_NUMBER}},
                {"type": ["string", "number", "boolean", "null", "array"]},
            ]
        }
    ),
]
"""An object with a numeric `amount` in minor units; None for anything else. Refuses: amount_out_of_range."""

Loan = Annotated[Money | None, BeforeValidator(_read_loan), WithJsonSchema({"anyOf": [_MONEY, FALSY]})]
"""An object with a numeric `amount` in minor units. Refuses: loan_invalid, amount_out_of_range."""

Millis = Annotated[str, BeforeValidator(lambda shown: iso_millis(shown) if isinstance(shown, str) else shown)]
"""A time: ISO 8601 with milliseconds and Z."""
