"""The legacy form of ids that are UUIDs in the database: documents, their links, events."""

import re
import time
from secrets import token_bytes
from uuid import UUID

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TWO_DIGITS = [first + second for first in _DIGITS for second in _DIGITS]
_ID = re.compile(r"([a-z]+)-([0-9a-z]{0,10})-([0-9a-f]{20})")


def new_uuid() -> UUID:
    """A UUID of version 7, whose first 48 bits are milliseconds: the same rule as SQL's `private.new_uuid`."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(
        int=(milliseconds << 80) | int.from_bytes(token_bytes(10)) & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62
    )


def legacy_id(prefix: str, uuid: UUID | str) -> str:
    """A UUID of version 7, or its text, as `<prefix>-<milliseconds in base 36>-<the other 80 bits in hex>`."""
    bits = str(uuid).replace("-", "")
    milliseconds, digits = int(bits[:12], 16), ""
    while milliseconds:
        milliseconds, two = divmod(milliseconds, 36 * 36)
        digits = _TWO_DIGITS[two] + digits
    return f"{prefix}-{digits.lstrip('0')}-{bits[12:]}"


def uuid_of(prefix: str, text: str) -> UUID | None:
    """The UUID whose `legacy_id` a text is; None if it is none."""
    match = _ID.fullmatch(text)
    if match is None or match[1] != prefix:
        return None
    milliseconds = int(match[2] or "0", 36)
    return UUID(int=milliseconds << 80 | int(match[3], 16)) if milliseconds < 2**48 else None
