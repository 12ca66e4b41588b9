"""Writes an export: one state of the database, and the stored documents."""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import IsolationLevel

from api.errors import PortalError
from api.exports.documents import export_documents
from api.exports.formats import write_file, write_rows
from api.exports.manifest import LAYOUT, NAME, Documents, Format, Manifest, TableFile, encode_manifest
from api.exports.tables import (
    Table,
    exact_values,
    measure,
    read_event_months,
    read_sequences,
    read_tables,
    read_version,
)
from api.storage import Storage


def write_export(
    connection: psycopg.Connection,
    storage: Storage,
    folder: Path,
    format: Format,  # noqa: A002
    advance: Callable[[int, int], None] = lambda _done, _of: None,
) -> Manifest:
    """Writes everything into a new or empty folder, and the manifest last: a folder without one is no export.

    Reads one state of the database without locking others out. `advance` gets the number of tables that are done, and
    of all. Raises PortalError where the folder is not empty or cannot be written, and ApiError: storage_away.
    """
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with _new_folder(folder), exact_values(connection):
        tables = read_tables(connection)
        manifest = Manifest(
            layout=LAYOUT,
            format=format,
            schema_version=read_version(connection),
            exported_at=datetime.now(UTC),
            tables={},
            sequences=read_sequences(connection),
            event_months=read_event_months(connection),
            documents=Documents(),
        )
        for done, table in enumerate(tables):
            advance(done, len(tables))
            manifest.tables[table.name] = _write_table(connection, table, format, folder)
        advance(len(tables), len(tables))
        manifest.documents = asyncio.run(export_documents(connection, storage, folder))
        write_file(folder / NAME, [encode_manifest(manifest)])
    return manifest


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """The folder to fill, which is empty again after an error."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise PortalError(f"{folder} is not empty: name another folder.")
        try:
            yield
        except BaseException:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise
    except OSError as error:
        raise PortalError(f"Cannot write {folder} ({error.strerror}).") from error


def _write_table(connection: psycopg.Connection, table: Table, format: Format, folder: Path) -> TableFile:  # noqa: A002
    file = folder / f"{table.name}.{format}"
    write_rows(connection, table, format, file)
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return TableFile(
        file=file.name,
        bytes=file.stat().st_size,
        sha256=sha256,
        columns=table.columns,
        key=list(table.key),
        totals=measure(connection, table, sha256 if format is Format.CSV else None),
    )
