"""Moves the rows of a source into the database: COPY into private.import_staging, then SQL, a batch a transaction."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, TypeAlias, TypeVar

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from api.imports.source import TABLES, Source, Staged, stage
from api.models.times import iso_time

BATCH = 2000, 2**20
"""The rows of a batch, and its bytes: others wait for what it has locked, and all JSON is checked meanwhile."""

PIECE = 50, 2**15
"""The same of a transaction where a batch has a bad row, and each is checked several times. A row with more bytes is a
piece by itself."""

VOUCHERS = 200
"""The vouchers of a transaction that sets their status and holder."""

BY_OTHERS = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""The errors by which others make a transaction fail."""

ATTEMPTS = 5
"""How often such a transaction is begun."""

T = TypeVar("T")

Report: TypeAlias = dict[str, dict[str, Any]]
"""By table: what was read, written and rejected, and how source and target compare (private.import_report)."""


@dataclass
class Counts:
    """The rows of one table in one run."""

    read: int = 0
    written: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0


@dataclass
class Loaded:
    """What a run has done."""

    run: int
    source: str
    counts: dict[str, Counts] = field(default_factory=lambda: {table: Counts() for table in TABLES})
    states_set: int = 0
    """Vouchers whose status or holder now follows from their bookings."""
    report: Report = field(default_factory=dict)
    seconds: float = 0

    @property
    def is_balanced(self) -> bool:
        """Whether every row was taken and is there."""
        return not any(part["rejected"] or part["missing"] for part in self.report.values())


def load(
    connection: psycopg.Connection,
    source: Source,
    *,
    dry_run: bool = False,
    charge_from: date | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Loaded:
    """Imports all tables of a source, and reports. A dry run is one transaction that is rolled back."""
    with connection.transaction(force_rollback=True) if dry_run else nullcontext():
        loaded = begin(connection, source.name, source.input, charge_from)
        started = time.monotonic()
        for table in TABLES:
            load_table(connection, loaded, table, map(stage, source.rows(table)), advance, with_partitions=not dry_run)
        finish(connection, loaded, time.monotonic() - started)
    return loaded


def begin(
    connection: psycopg.Connection, source: str, read: Mapping[str, object], charge_from: date | None = None
) -> Loaded:
    """Begins a run."""
    row = connection.execute(
        "insert into private.import_runs (source, input, charge_from)"
        " select %s, %s, %s::date::timestamp at time zone s.time_zone from private.settings s returning id",
        (source, Jsonb(dict(read)), charge_from),
    ).fetchone()
    assert row
    return Loaded(row[0], source)


def load_table(
    connection: psycopg.Connection,
    loaded: Loaded,
    table: str,
    rows: Iterable[Staged],
    advance: Callable[[int], None] = lambda _: None,
    *,
    with_partitions: bool = True,
) -> None:
    """Imports rows of one table, a batch a transaction, or several where a row is refused.

    A caller with a transaction of its own makes no partitions, whose locks would keep others from signing in until it
    ends: events without a partition go to the default one.
    """
    counts = loaded.counts[table]
    months: set[str] = set()
    for batch in _parts(rows, *BATCH):
        if table == "events" and with_partitions:
            _make_partitions(connection, batch, months)
        load_part = partial(_load_batch, connection, loaded.run, table)
        try:
            parts = [_repeat(partial(load_part, batch, as_one=True))]
        except (*BY_OTHERS, psycopg.errors.QueryCanceled):
            raise
        except psycopg.DatabaseError:
            # an error that is none of a row comes again
            parts = [_repeat(partial(load_part, piece, as_one=False)) for piece in _parts(batch, *PIECE)]
        for written, updated, unchanged, rejected in parts:
            counts.written += written
            counts.updated += updated
            counts.unchanged += unchanged
            counts.rejected += rejected
        counts.read += len(batch)
        advance(len(batch))


def finish(connection: psycopg.Connection, loaded: Loaded, seconds: float) -> None:
    """Lets vouchers follow their bookings, compares both sides, and keeps the report with the run."""
    wrong = _wrong_vouchers(connection)
    loaded.states_set = sum(
        _repeat(partial(_set_states, connection, wrong[start : start + VOUCHERS]))
        for start in range(0, len(wrong), VOUCHERS)
    )
    # in a transaction of its own: nobody waits for a voucher while a million rows are compared
    _repeat(partial(_report, connection, loaded, seconds))


def _wrong_vouchers(connection: psycopg.Connection) -> list[str]:
    with connection.transaction():
        connection.execute("select set_config('statement_timeout', '0', true)")
        return [
            voucher for (voucher,) in connection.execute("select id from private.import_wrong_vouchers order by id")
        ]


def _set_states(connection: psycopg.Connection, vouchers: list[str]) -> int:
    with connection.transaction():
        row = connection.execute("select private.import_voucher_states(%s)", (vouchers,)).fetchone()
        assert row
        number: int = row[0]
        return number


def _report(connection: psycopg.Connection, loaded: Loaded, seconds: float) -> None:
    with connection.transaction():
        connection.execute("select set_config('statement_timeout', '0', true)")
        row = connection.execute(
            "select private.import_report(r.source) from private.import_runs r where r.id = %s", (loaded.run,)
        ).fetchone()
        assert row
        loaded.report = {table: vars(loaded.counts[table]) | row[0][table] for table in TABLES}
        loaded.seconds = round(seconds, 1)
        connection.execute(
            "update private.import_runs set finished_at = clock_timestamp(), report = %s where id = %s",
            (Jsonb({"tables": loaded.report, "statesSet": loaded.states_set, "seconds": loaded.seconds}), loaded.run),
        )


def _repeat(transaction: Callable[[], T]) -> T:
    """Carries out a transaction, again where others made it fail: nothing of it is left then."""
    for _ in range(ATTEMPTS - 1):
        with suppress(*BY_OTHERS):
            return transaction()
    return transaction()


def _parts(rows: Iterable[Staged], most_rows: int, most_bytes: int) -> Iterator[list[Staged]]:
    part: list[Staged] = []
    size = 0
    for row in rows:
        if len(part) == most_rows or (part and size + len(row.content) > most_bytes):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row.content)
    if part:
        yield part


def _load_batch(
    connection: psycopg.Connection, run: int, table: str, batch: list[Staged], *, as_one: bool
) -> tuple[int, int, int, int]:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("select private.begin_import_batch()")
        with cursor.copy("copy private.import_staging (n, id, hash, content, unreadable, mends) from stdin") as copy:
            for n, row in enumerate(batch):
                copy.write_row((n, row.id, row.hash, row.content.decode(), row.is_unreadable, row.mends))
        cursor.execute("select (b).* from private.import_batch(%s, %s, %s) b", (table, run, as_one))
        counts = cursor.fetchone()
    assert counts
    return counts


def _make_partitions(connection: psycopg.Connection, batch: list[Staged], known: set[str]) -> None:
    """Makes the partitions of the months of events that no batch had before, where no other session is in the way."""
    months = {month for row in batch if (month := _month(row))} - known
    known |= months
    for month in sorted(months):
        # without a partition of its own a month is in the default partition, until a job makes one
        with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.DataError):
            # each by itself: until the end of the transaction nobody signs in
            connection.execute("select private.make_import_partitions(%s::text[])", ([month],))


def _month(row: Staged) -> str | None:
    """The month of a row (UTC), such as 2026-10, if it has a time."""
    created = msgspec.json.decode(row.content).get("created_at")
    time = iso_time(created) if isinstance(created, str) else None
    return None if time is None else f"{time:%Y-%m}"
