r"""The rows of a table as a file: JSON lines, CSV or Parquet, so that each value comes back exactly.

CSV is PostgreSQL's own: null is an empty field without quotation marks. A line of JSON is an object without the columns
that are null. Parquet is made of the CSV by DuckDB.
"""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg import sql

from api.errors import PortalError
from api.exports.manifest import Format
from api.exports.tables import Table, copy_out, read_csv

CHUNK = 2**20

# JSON has neither of these characters, so that a line is written as it is
_LINES = sql.SQL(r"(format csv, delimiter e'\x02', quote e'\x01')")

_PARQUET = {
    "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp with time zone": "TIMESTAMPTZ", "uuid": "UUID",
}  # fmt: skip
"""The types that Parquet has, too; what is of another type is a text, as PostgreSQL writes it."""

_LONGEST_ROW = 2**30


def write_rows(connection: psycopg.Connection, table: Table, format: Format, file: Path) -> None:  # noqa: A002
    """Writes the rows in the order of the key. Raises PortalError where a value does not fit into Parquet."""
    match format:
        case Format.JSONL:
            write_file(file, copy_out(connection, _lines_query(table)))
        case Format.CSV:
            write_file(file, read_csv(connection, table))
        case Format.PARQUET:
            # in a folder that nobody else can open, because DuckDB writes files that others can read
            with tempfile.TemporaryDirectory(dir=file.parent) as folder:
                csv, parquet = Path(folder) / "csv", Path(folder) / "parquet"
                write_file(csv, read_csv(connection, table))
                _csv_to_parquet(csv, table, parquet)
                parquet.chmod(0o600)
                parquet.rename(file)


def load_rows(connection: psycopg.Connection, table: Table, format: Format, file: Path) -> None:  # noqa: A002
    """Writes the rows of a file into the table. Raises what the database raises, and PortalError for a broken file."""
    match format:
        case Format.JSONL:
            connection.execute("create temporary table if not exists exported_lines (line json) on commit drop")
            _copy_in(connection, sql.SQL("copy pg_temp.exported_lines from stdin {}").format(_LINES), file)
            connection.execute(_insert_query(table))
            connection.execute("truncate pg_temp.exported_lines")
        case Format.CSV:
            query = sql.SQL("copy {} ({}) from stdin (format csv, header match)")
            _copy_in(connection, query.format(table.identifier, table.column_list), file)
        case Format.PARQUET:
            with tempfile.TemporaryDirectory(prefix="portal-import-") as folder:
                _parquet_to_csv(file, Path(folder) / "csv")
                load_rows(connection, table, Format.CSV, Path(folder) / "csv")


def write_file(file: Path, blocks: Iterable[bytes]) -> None:
    """Writes a file that only its owner can read, and that has its name when it is complete."""
    part = file.with_name(f"{file.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", CHUNK) as target:
        target.writelines(blocks)
    part.rename(file)


def _lines_query(table: Table) -> sql.Composed:
    # concat_ws leaves out nulls: so a null of JSON, which is written, differs from a null of SQL
    pairs = sql.SQL(", ").join(
        sql.SQL("{} || to_json({})").format(sql.Literal(f"{json.dumps(name)}:"), sql.Identifier(name))
        for name in table.columns
    )
    return sql.SQL("copy (select '{{' || concat_ws(',', {}) || '}}' from {} order by {}) to stdout {}").format(
        pairs, table.identifier, table.order, _LINES
    )


def _insert_query(table: Table) -> sql.Composed:
    values = sql.SQL(", ").join(
        # the text keeps a null of JSON, which json_populate_record takes for one of SQL
        (sql.SQL("(l.line -> {})::text::{}").format(sql.Literal(name), sql.SQL(kind)))
        if kind in ("json", "jsonb")
        else sql.Identifier("r", name)
        for name, kind in table.columns.items()
    )
    return sql.SQL(
        "insert into {table} ({columns}) overriding system value select {values}"
        " from pg_temp.exported_lines l cross join json_populate_record(null::{table}, l.line) r"
    ).format(table=table.identifier, columns=table.column_list, values=values)


def _copy_in(connection: psycopg.Connection, query: sql.Composed, file: Path) -> None:
    with file.open("rb") as rows, connection.cursor().copy(query) as copy:
        while chunk := rows.read(CHUNK):
            copy.write(chunk)


def _csv_to_parquet(csv: Path, table: Table, parquet: Path) -> None:
    texts = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in table.columns)
    values = ", ".join(
        "cast({0} as {1}) as {0}".format('"' + name.replace('"', '""') + '"', _PARQUET.get(kind, "VARCHAR"))
        for name, kind in table.columns.items()
    )
    source = (
        f"read_csv({_quoted(csv)}, columns = {{{texts}}}, header = true, auto_detect = false, delim = ',',"
        " quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, parallel = false,"
        f" max_line_size = {_LONGEST_ROW})"
    )
    query = f"copy (select {values} from {source}) to {_quoted(parquet)} (format parquet, compression zstd)"  # noqa: S608
    _duckdb(query, f"{table.name} does not fit into Parquet")


def _parquet_to_csv(parquet: Path, csv: Path) -> None:
    query = (
        f"copy (select * from read_parquet({_quoted(parquet)})) to {_quoted(csv)} (format csv, header, force_quote *)"  # noqa: S608
    )
    _duckdb(query, f"{parquet.name} cannot be read")


def _duckdb(query: str, failure: str) -> None:
    """Executes a query of DuckDB in one thread, so that the rows stay in their order, and without the internet."""
    try:
        import duckdb  # imported late: only this format needs it
    except ImportError as error:
        raise PortalError("Parquet needs DuckDB: install the extra `parquet` (docs/export.md).") from error
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False,
    }  # fmt: skip
    try:
        with duckdb.connect(config=config) as connection:
            connection.execute("set TimeZone = 'UTC'")
            # it would let the reader of CSV do the casts, which reads a date before Christ as one after
            connection.execute("pragma disable_optimizer")
            connection.execute(query)
    except duckdb.Error as error:
        # what follows an empty line is advice for users of DuckDB
        reason = " ".join(str(error).partition("\n\n")[0].split())
        raise PortalError(f"{failure} ({reason}).") from error


def _quoted(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
