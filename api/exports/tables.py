"""The tables of an export, from the catalog, and what must be the same on both sides."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from api.exports.manifest import Sequence, Totals

LEFT_OUT = {
    "private.request_counts": "the requests of this minute and the uploads of this day, for rate limits",
    "private.import_staging": "the batch that an import is writing",
}
"""The tables that are not exported, and what they hold."""

_TABLES = """
    select format('%I.%I', n.nspname, c.relname), n.nspname, c.relname,
      (
        select json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod) order by a.attnum)
        from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      ),
      array(
        select a.attname::text
        from pg_index i cross join unnest(i.indkey) with ordinality as k (attnum, position)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
        where i.indrelid = c.oid and i.indisprimary
        order by k.position
      ),
      array(
        select format('%I.%I', fn.nspname, f.relname)
        from pg_constraint r join pg_class f on f.oid = r.confrelid join pg_namespace fn on fn.oid = f.relnamespace
        where r.conrelid = c.oid and r.contype = 'f' and r.confrelid <> c.oid
      )
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'private') and c.relkind in ('r', 'p') and not c.relispartition
    order by 1
"""

_SEQUENCES = """
    select format('%I.%I', n.nspname, c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'private') and c.relkind = 'S'
    order by 1
"""

# what the text of a value depends on; a table of any size takes as long as it takes; rows that a policy would hide from
# the role are an error
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


@dataclass(frozen=True)
class Table:
    """A table; its columns are those that are not generated, each with its type."""

    schema: str
    table: str
    columns: dict[str, str]
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name with its schema, for people and files."""
        return f"{self.schema}.{self.table}"

    @property
    def identifier(self) -> sql.Identifier:
        """The name with its schema, for SQL."""
        return sql.Identifier(self.schema, self.table)

    @property
    def column_list(self) -> sql.Composed:
        """The columns, for SQL."""
        return sql.SQL(", ").join(map(sql.Identifier, self.columns))

    @property
    def order(self) -> sql.Composable:
        """The order of the rows: by the primary key; by the whole row in an operator's table without one."""
        if not self.key:
            return sql.SQL("format('%s', {}) collate \"C\"").format(sql.Identifier(self.table))
        return sql.SQL(", ").join(map(sql.Identifier, self.key))

    @property
    def amounts(self) -> list[str]:
        """The columns that are added up: whole numbers, as amounts are."""
        return [name for name, kind in self.columns.items() if kind == "bigint"]

    @property
    def currency(self) -> str | None:
        """The column with the currency of the amounts."""
        return next((name for name in self.columns if name == "currency" or name.endswith("_currency")), None)


def read_tables(connection: psycopg.Connection) -> list[Table]:
    """Every table but those of LEFT_OUT, each after those to which it refers."""
    found: dict[str, Table] = {}
    references: dict[str, list[str]] = {}
    for name, schema, table, columns, key, others in connection.execute(_TABLES).fetchall():
        if name not in LEFT_OUT:
            found[name] = Table(schema, table, columns, tuple(key))
            references[name] = sorted(set(others))
    return [found[name] for name in TopologicalSorter(references).static_order()]


def read_sequences(connection: psycopg.Connection) -> dict[str, Sequence]:
    """The position of each sequence."""
    positions = {}
    for (name,) in connection.execute(_SEQUENCES).fetchall():
        query = sql.SQL("select last_value, is_called from {}").format(sql.SQL(name))
        positions[name] = Sequence(*_row(connection, query))
    return positions


def read_version(connection: psycopg.Connection) -> str:
    """The version of the schema: the last migration."""
    query: LiteralString = "select max(version) from supabase_migrations.schema_migrations"
    version: str = _row(connection, query)[0]
    return version


def read_event_months(connection: psycopg.Connection) -> list[datetime]:
    """The months for which public.events has a partition."""
    rows = connection.execute("select starts_at from private.event_partitions() where starts_at is not null").fetchall()
    return [month.astimezone(UTC) for (month,) in rows]


def measure(connection: psycopg.Connection, table: Table, checksum: str | None = None) -> Totals:
    """The number of rows, the sums of amounts by currency, and the SHA-256 of the table as CSV, if it is not known."""
    currency = sql.SQL("''") if table.currency is None else sql.Identifier(table.currency)
    sums = sql.SQL(", ").join(sql.SQL("sum({})").format(sql.Identifier(name)) for name in table.amounts)
    query = sql.SQL("select coalesce({}, ''), count(*), array[{}]::numeric[] from {} group by 1 order by 1").format(
        currency, sums, table.identifier
    )
    totals = Totals(0, {}, checksum or _checksum(connection, table))
    for name, rows, amounts in connection.execute(query).fetchall():
        totals.rows += rows
        for column, amount in zip(table.amounts, amounts, strict=True):
            totals.sums.setdefault(column, {})[name] = int(amount or 0)
    return totals


def read_csv(connection: psycopg.Connection, table: Table) -> Iterator[bytes]:
    """The table as CSV, in the order of its key."""
    query = sql.SQL("copy (select {} from {} order by {}) to stdout (format csv, header)").format(
        table.column_list, table.identifier, table.order
    )
    return copy_out(connection, query)


def copy_out(connection: psycopg.Connection, query: sql.Composed) -> Iterator[bytes]:
    """What a COPY writes, as it comes."""
    with connection.cursor().copy(query) as copy:
        for block in copy:
            yield bytes(block)


@contextmanager
def exact_values(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction in which values have the same text whatever the settings of server and role are."""
    with connection.transaction():
        # for this transaction only: behind a transaction pooler the next one may have another connection
        for name, value in _SETTINGS.items():
            connection.execute("select set_config(%s, %s, true)", (name, value))
        yield


def _checksum(connection: psycopg.Connection, table: Table) -> str:
    digest = hashlib.sha256()
    for block in read_csv(connection, table):
        digest.update(block)
    return digest.hexdigest()


def _row(connection: psycopg.Connection, query: LiteralString | sql.Composed) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row
    return row
