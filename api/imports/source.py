"""What an import reads: rows of the legacy tables, whatever the store."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

TABLES = (
    "transfers", "vouchers", "voucher_bookings", "properties", "mortgage_applications", "mortgage_offers", "contracts",
    "contract_links", "events", "telemetry_events",
)  # fmt: skip
"""The legacy tables, each after those to which it refers."""


class Source(Protocol):
    """A store to import from."""

    @property
    def name(self) -> str:
        """The name under which its rows are remembered: `d1`, or the address of a server."""

    @property
    def input(self) -> Mapping[str, object]:
        """What is read, for the report: such as the name of a file and its hash."""

    def count(self, table: str) -> int:
        """The number of rows of a table; 0 where the store does not have it."""

    def rows(self, table: str) -> Iterable[Mapping[str, object]]:
        """The rows of a table, oldest first: its columns by name, in texts, numbers, bytes, None, or JSON."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A row as private.import_staging takes it."""

    id: str | None
    hash: str
    content: bytes
    is_unreadable: bool
    mends: str | None = None


def stage(row: Mapping[str, object], mends: str | None = None) -> Staged:
    """A row with each value as its text or null; bytes and texts that PostgreSQL cannot store as {"base64": ...}."""
    values: dict[str, object] = {
        name: value if value is None or type(value) is str else _text(value) for name, value in row.items()
    }
    try:
        content = msgspec.json.encode(values)
        is_unreadable = b"\\u0000" in content or any(type(value) in (bytes, dict) for value in values.values())
    except UnicodeEncodeError:
        is_unreadable = True
    if is_unreadable:
        values = {name: _readable(value) for name, value in values.items()}
        content = msgspec.json.encode(values)
        is_unreadable = any(isinstance(value, dict) for value in values.values())
    identity = values.get("id")
    return Staged(
        identity if isinstance(identity, str) else None,
        hashlib.blake2b(content, digest_size=16).hexdigest(),
        content,
        is_unreadable,
        mends,
    )


def _text(value: object) -> str | bytes | dict[str, str]:
    """The text of a value that is none: a double as the shortest decimal that reads as the same double."""
    match value:
        case bytes():
            return value
        case {"base64": str(code), **others} if not others:
            # of a reject that nobody mended
            return {"base64": code}
        case {"cut": str(start), "bytes": int(size), **others} if not others:
            # a part of a value that private.import_kept has cut, which nobody replaced
            return {"cut": start, "bytes": str(size)}
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case int():
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()


def _readable(value: object) -> object:
    """The value, or its bytes as an object, if it is a text that PostgreSQL cannot store."""
    if isinstance(value, str):
        if "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value):
            return value
        value = value.encode("utf-8", "surrogateescape" if _is_escaped(value) else "surrogatepass")
    return {"base64": b64encode(value).decode()} if isinstance(value, bytes) else value


def _is_escaped(text: str) -> bool:
    """Whether the only surrogates are bytes that are no UTF-8, as sqlite3 returns them here."""
    return all("\udc80" <= c <= "\udcff" for c in text if "\ud800" <= c <= "\udfff")
