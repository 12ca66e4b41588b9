"""Measures an import of many bookings, beside a bare COPY of the same rows into a table like theirs.

Prints the rows in a second and the peak memory of `portal import d1`, and the rate of the COPY: with all indexes,
checks and foreign keys, without and with the two triggers that fill columns, which an import needs, too.
"""

import os
import resource
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from api.database.migrations import migrate
from tests.cli.running import PORTAL
from tests.imports.legacy import SCHEMA
from tests.support.databases import run_server

BOOKINGS_OF_A_VOUCHER = 20

START = datetime(2020, 1, 1, tzinfo=UTC)


def measure(bookings: int) -> None:
    """Makes the databases, imports so many bookings, copies, prints."""
    with tempfile.TemporaryDirectory() as folder, run_server() as server, server.database() as url:
        migrate(url)
        file = Path(folder) / "d1.sqlite"
        generate(file, bookings)
        for name in ("import", "again"):
            started = time.monotonic()
            subprocess.run([*PORTAL, "import", "d1", str(file)], check=True, env=os.environ | {"DATABASE_URL": url})
            report(name, bookings + bookings // BOOKINGS_OF_A_VOUCHER, started)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"peak memory of the command: {peak / 1024:.0f} MiB")  # noqa: T201
        with psycopg.connect(url, autocommit=True) as connection:
            bare_copy(connection, Path(folder) / "rows", bookings)


def bare_copy(connection: psycopg.Connection, file: Path, bookings: int) -> None:
    """Copies the bookings into an empty table like theirs, twice."""
    with file.open("wb") as rows, connection.cursor().copy("copy public.voucher_bookings to stdout") as copy:
        for part in copy:
            rows.write(part)
    for name, triggers in {"bare copy": (), "bare copy, filled": ("copy_price", "copy_no_overlap")}.items():
        with connection.transaction(force_rollback=True):
            connection.execute("create table public.bare (like public.voucher_bookings including all)")
            connection.execute(
                "alter table public.bare add foreign key (voucher_id) references public.vouchers,"
                " add foreign key (issuer_id) references public.thinkers,"
                " add foreign key (holder_id) references public.thinkers"
            )
            for trigger in triggers:
                connection.execute(
                    f"create trigger {trigger} before insert on public.bare for each row"
                    f" execute function private.tg_voucher_bookings__{trigger}()".encode()
                )
            started = time.monotonic()
            with file.open("rb") as rows, connection.cursor().copy("copy public.bare from stdin") as copy:
                while part := rows.read(2**20):
                    copy.write(part)
            report(name, bookings, started)


def report(name: str, rows: int, started: float) -> None:
    """Prints a rate."""
    seconds = time.monotonic() - started
    print(f"{name}: {rows} rows in {seconds:.1f} s, {rows / seconds:.0f} rows/s")  # noqa: T201


def generate(file: Path, bookings: int) -> None:
    """Makes a database of this many bookings, a fifth of them cancelled."""
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(SCHEMA)
        vouchers = bookings // BOOKINGS_OF_A_VOUCHER
        database.executemany(f"insert into vouchers values ({', '.join('?' * 15)})", map(voucher, range(vouchers)))
        database.executemany(f"insert into voucher_bookings values ({', '.join('?' * 11)})", booked(vouchers))


def voucher(n: int) -> tuple[str | int | float, ...]:
    """A booked voucher."""
    begin = START + timedelta(hours=n % 20_000)
    return (
        f"v-mws0{n:08x}-{n % 46656:06x}", f"issuer-{n % 500}", f"thinker-{n % 5000:012x}", "consulting.session",
        "Beratung", "", 60, iso(begin), iso(begin + timedelta(days=1)), 12000.0, "EUR", "booked", 1,
        '{"template":"consulting"}', iso(begin - timedelta(days=1)),
    )  # fmt: skip


def booked(vouchers: int) -> Iterator[tuple[str | None, ...]]:
    """The bookings of the vouchers."""
    for n in range(vouchers):
        v = voucher(n)
        for hour in range(BOOKINGS_OF_A_VOUCHER):
            start = START + timedelta(hours=n % 20_000 + hour)
            is_cancelled = hour % 5 == 4
            yield (
                f"b-mws0{n:08x}-{hour:06x}", str(v[0]), str(v[1]), str(v[2]), f"slot-{iso(start)}", iso(start),
                iso(start + timedelta(hours=1)), "cancelled" if is_cancelled else "booked",
                "krank" if is_cancelled else None, iso(start - timedelta(hours=30)),
                iso(start - timedelta(hours=2)) if is_cancelled else None,
            )  # fmt: skip


def iso(time_: datetime) -> str:
    """A time as the legacy servers wrote it."""
    return time_.strftime("%Y-%m-%dT%H:%M:%S.000Z")
