"""Fills an empty database from an export, in one transaction, and verifies every table."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from api.errors import PortalError
from api.exports.documents import import_documents
from api.exports.formats import load_rows
from api.exports.manifest import Manifest, TableFile, read_manifest
from api.exports.tables import Table, exact_values, measure, read_event_months, read_tables, read_version
from api.storage import Storage

BY_MIGRATION = {
    "private.currencies": "true",
    "private.jobs": "true",
    # the jobs of the new database may have run
    "private.job_runs": "true",
    "private.job_servers": "true",
    "private.settings": "true",
    "public.fees": "true",
    "public.fee_versions": "true",
    "public.thinkers": "public_id = 'togethersystems'",
    "public.voucher_templates": "true",
}
"""The rows that an empty database may have: those of the migration, which the export replaces."""


def read_export(
    connection: psycopg.Connection,
    storage: Storage,
    folder: Path,
    advance: Callable[[int, int], None] = lambda _done, _of: None,
) -> Manifest:
    """Writes the rows and the documents of an export, all or none, and returns its manifest.

    `advance` gets the number of tables that are done, and of all. Raises PortalError where the files are not those of
    the manifest, where the database has another schema or rows, where it refuses a row, and where a table is not the
    same afterwards; and ApiError: storage_full, storage_away.
    """
    manifest = read_manifest(folder)
    for file in manifest.tables.values():
        _verify_file(folder, file)
    with exact_values(connection):
        _refuse_other_schema(connection, manifest)
        tables = read_tables(connection)
        # before the locks too, which would stop a portal in use
        _refuse_rows(connection, tables)
        _lock(connection, tables)
        _refuse_rows(connection, tables)
        _make_partitions(connection, manifest)
        _set_triggers(connection, tables, "disable")
        for table in reversed(tables):
            connection.execute(sql.SQL("delete from {}").format(table.identifier))
        for done, table in enumerate(tables):
            advance(done, len(tables))
            _load(connection, table, manifest, folder)
        advance(len(tables), len(tables))
        _set_triggers(connection, tables, "enable")
        asyncio.run(import_documents(connection, storage, folder, manifest.documents))
        # last, because no rollback takes it back
        for name, sequence in manifest.sequences.items():
            connection.execute("select setval(%s, %s, %s)", (name, sequence.last_value, sequence.is_called))
    connection.execute("select private.install_jobs()")
    connection.execute("analyze")
    return manifest


def _verify_file(folder: Path, table: TableFile) -> None:
    """Raises PortalError where a file is not the one that was written."""
    file = folder / table.file
    try:
        if file.parent != folder:
            raise PortalError(f"{folder} has a file outside of it.")
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise PortalError(f"Cannot read {file} ({error.strerror}).") from error
    if sha256 != table.sha256:
        raise PortalError(f"{file} was changed since the export: it has another SHA-256 than the manifest says.")


def _refuse_other_schema(connection: psycopg.Connection, manifest: Manifest) -> None:
    version = read_version(connection)
    if version != manifest.schema_version:
        raise PortalError(
            f"The export has the schema version {manifest.schema_version}, and the database {version}: use the version"
            " of the portal that exported it, and migrate afterwards."
        )
    here = {table.name: table.columns for table in read_tables(connection)}
    there = {name: table.columns for name, table in manifest.tables.items()}
    if differing := sorted(name for name in here | there if here.get(name) != there.get(name)):
        raise PortalError(f"The export and the database have other tables or columns: {', '.join(differing)}.")


def _refuse_rows(connection: psycopg.Connection, tables: list[Table]) -> None:
    """Raises PortalError where there are other rows than those of the migration."""
    for table in tables:
        known = sql.SQL(BY_MIGRATION.get(table.name, "false"))
        query = sql.SQL("select from {} where not ({}) limit 1").format(table.identifier, known)
        if connection.execute(query).fetchone() is not None:
            raise PortalError(
                f"The database is not empty (there are rows in {table.name}): import into a new one, after"
                " `portal migrate` and before `portal run`."
            )


def _lock(connection: psycopg.Connection, tables: list[Table]) -> None:
    """Locks the tables until the end of the transaction. Raises PortalError where others do not let it."""
    names = sql.SQL(", ").join(table.identifier for table in tables)
    try:
        connection.execute("select set_config('lock_timeout', '2s', true)")
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(names))
    except psycopg.errors.LockNotAvailable as error:
        raise PortalError("Another session uses the database: stop the portal, and import again.") from error


def _make_partitions(connection: psycopg.Connection, manifest: Manifest) -> None:
    for month in sorted(set(manifest.event_months) - set(read_event_months(connection))):
        connection.execute("select private.make_event_partition(%s)", (month,))


def _set_triggers(connection: psycopg.Connection, tables: list[Table], state: str) -> None:
    """Disables or enables the triggers, but for foreign keys: what they would write is in the export."""
    for table in tables:
        connection.execute(sql.SQL("alter table {} {} trigger user").format(table.identifier, sql.SQL(state)))


def _load(connection: psycopg.Connection, table: Table, manifest: Manifest, folder: Path) -> None:
    """Writes the rows of one table. Raises PortalError where it is not the same as it was."""
    expected = manifest.tables[table.name]
    try:
        load_rows(connection, table, manifest.format, folder / expected.file)
    except psycopg.Error as error:
        raise PortalError(f"{expected.file} is refused: {error.diag.message_primary or error}.") from error
    found = measure(connection, table)
    if found != expected.totals:
        differing = [
            name for name in ("rows", "sums", "checksum") if getattr(found, name) != getattr(expected.totals, name)
        ]
        raise PortalError(f"{table.name} is not as it was exported: other {' and '.join(differing)}.")
