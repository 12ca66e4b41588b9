"""Times of requests and responses."""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema
from pydantic.config import JsonDict

from api.errors import ApiError
from api.legacy import javascript
from api.models.base import FALSY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d))?)?"
    r"([T ](?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)([.,](?P<fraction>\d+))?)?"
    r"(?P<zone>Z|[+-]\d\d:?[0-5]\d)?)?",
    re.ASCII,
)

_WHOLE_SECOND = len("2030-01-07T09:00:00+00:00")

ISO_PATTERN = r"^\d{4}(-\d{2}(-\d{2})?)?([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
"""JSON Schema's pattern of what `iso_time` reads; a match may still be no date of the calendar."""


def iso_time(text: str) -> datetime | None:
    """The time of an ISO 8601 text, in the forms that JavaScript knows: a date is midnight; no zone means UTC.

    As in PostgreSQL, 24:00:00 is the next midnight, and second 60 (a leap second) the next minute. Times keep
    milliseconds. None where the text is no date of the calendar.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    parts = match.groupdict()
    zone = parts["zone"] or "Z"
    offset = timedelta()
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    hour, minute, second = (int(parts[part] or 0) for part in ("hour", "minute", "second"))
    thousandths = int((parts["fraction"] or "0")[:3].ljust(3, "0"))
    if (hour, minute, second, thousandths) > (24, 0, 0, 0) or minute > 59 or (second, thousandths) > (60, 0):
        return None
    try:
        day = datetime(int(parts["year"]), int(parts["month"] or 1), int(parts["day"] or 1), tzinfo=timezone(offset))
        since_midnight = timedelta(hours=hour, minutes=minute, seconds=second, milliseconds=thousandths)
        return (day + since_midnight).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def iso_millis(text: str) -> str:
    """A time of PostgreSQL's as the legacy API writes it: ISO 8601 with milliseconds and Z."""
    # nearly always: made thousands of times for one answer
    if text[-6:] == "+00:00":
        if len(text) == _WHOLE_SECOND:
            return f"{text[:19]}.000Z"
        second, _, fraction = text[:-6].partition(".")
        return f"{second}.{(fraction + '000')[:3]}Z"
    time = datetime.fromisoformat(text).astimezone(UTC)
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def query_time(text: str | None, name: str) -> datetime | None:
    """The time of a query parameter; None where it is missing or empty. Raises ApiError: date_invalid."""
    time = iso_time(text) if text else None
    if text and time is None:
        raise ApiError("date_invalid", name)
    return time


def epoch_ms(text: str) -> int:
    """A time of PostgreSQL's in epoch milliseconds."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


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


_MOMENT: JsonDict = {
    "description": "ISO 8601 as JavaScript reads it (a date is midnight, no zone is UTC), or epoch milliseconds.",
    "anyOf": [
        {"type": "string", "pattern": ISO_PATTERN},
        {"type": "number", "minimum": -62_135_596_800_000, "maximum": 253_402_300_799_999},
        FALSY,
    ],
}

Moment = Annotated[datetime, BeforeValidator(_read_moment), WithJsonSchema(_MOMENT)]
"""An ISO 8601 text, or epoch milliseconds as a number. Raises ApiError: date_invalid."""

Millis = Annotated[str, BeforeValidator(lambda time: iso_millis(time) if isinstance(time, str) else time)]
"""A time as ISO 8601 with milliseconds and Z, from a time of PostgreSQL's."""

EpochMs = Annotated[int, BeforeValidator(lambda time: epoch_ms(time) if isinstance(time, str) else time)]
"""A time in epoch milliseconds, from a time of PostgreSQL's."""
