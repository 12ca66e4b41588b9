"""The file manifest.json of an export: what is in it, and by what it is verified."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from api.errors import PortalError

NAME = "manifest.json"

LAYOUT = 1
"""The version of the layout of exports."""


class Format(StrEnum):
    """The format of the files, and the ending of their names."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Totals(msgspec.Struct):
    """What must be the same on both sides."""

    rows: int
    sums: dict[str, dict[str, int]]
    """Of each column with amounts, by currency; the name of no currency is empty."""
    checksum: str
    """The SHA-256 of the table as CSV, in the order of its key, whatever the format of the file."""


class TableFile(msgspec.Struct):
    """The file of a table."""

    file: str
    bytes: int
    sha256: str
    columns: dict[str, str]
    """The type of each column."""
    key: list[str]
    """The columns in whose order the rows are."""
    totals: Totals


class Sequence(msgspec.Struct):
    """The position of a sequence."""

    last_value: int
    is_called: bool


class Documents(msgspec.Struct):
    """The stored documents: each is a file of the folder documents, named after its id."""

    count: int = 0
    bytes: int = 0
    missing: list[str] = []
    """The ids of documents that the store did not have as their rows say."""


class Manifest(msgspec.Struct, rename="camel"):
    """The whole file."""

    layout: int
    format: Format
    schema_version: str
    exported_at: datetime
    tables: dict[str, TableFile]
    """In the order in which they can be read in: each after those to which it refers."""
    sequences: dict[str, Sequence]
    event_months: list[datetime]
    """The months for which the table public.events has a partition."""
    documents: Documents


def encode_manifest(manifest: Manifest) -> bytes:
    """The content of the file."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Reads the file of a folder. Raises PortalError where there is none, or it is none of ours."""
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError as error:
        raise PortalError(f"{folder} has no {NAME}: it is no export, or one that was interrupted.") from error
    except OSError as error:
        raise PortalError(f"Cannot read {folder / NAME} ({error.strerror}).") from error
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise PortalError(f"{folder / NAME} is damaged ({error}).") from error
    if manifest.layout != LAYOUT:
        raise PortalError(f"{folder} has the layout {manifest.layout} of another version of the portal.")
    return manifest
