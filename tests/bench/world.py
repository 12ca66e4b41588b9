"""The data that is measured: 400 days of a portal, and what fill.sql adds."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from api.database.migrations import migrate
from api.settings import ROOT

FOLDER = Path(__file__).parent
HISTORY = ROOT / "tests" / "storms" / "busy_year.sql"

_SECONDARY_INDEXES = """
select format('alter table %s drop constraint %I', r.name, c.conname),
  format('alter table %s add constraint %I %s', r.name, c.conname, pg_get_constraintdef(c.oid))
from pg_constraint c
cross join lateral (select c.conrelid::regclass as name) r
where c.contype = 'x' and c.connamespace in ('public'::regnamespace, 'private'::regnamespace)
union all
-- an index of a partition goes and comes with its parent's, whose definition says `on only`
select format('drop index %s', i.indexrelid::regclass), replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
from pg_index i
join pg_class c on c.oid = i.indexrelid
where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
  and not i.indisunique and not i.indisexclusion and not c.relispartition
"""
"""How to drop, and to make again, the indexes that the rows are inserted without: made at once they cost a fraction."""

DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Size:
    """How many vouchers the last 400 days had, and ten times as many events; and how many thinkers are online."""

    vouchers: int
    # so many that none sends two heartbeats in ten seconds: of those only the first leaves an event
    thinkers: int = 100_000


SMALL, MEDIUM, LARGE = Size(1_000), Size(100_000), Size(5_000_000)


class World:
    """A database with the data of a size, and the numbers of the next requests to it."""

    def __init__(self, server_url: str, name: str, size: Size) -> None:
        """Makes the database on the server, migrates and fills it."""
        self.size = size
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        self.url = server_url.replace("/postgres?", f"/{name}?")
        self._measured = Counter[str]()
        # the first whole hour after a day, so that no slot starts while it is measured
        self._begins = int(time.time()) // DAY * DAY + 2 * DAY
        migrate(self.url)
        self._fill()

    def variables(self, route: str = "") -> dict[str, str]:
        """What routes.py and requests.lua need for one measurement: `first` is the number of its first request."""
        # no slot is booked twice: a thousand vouchers have 8,760 each, enough for eight measurements
        self._measured[route] += 1
        return {
            "thinkers": str(self.size.thinkers),
            "holders": str(self._holders),
            "begins": str(self._begins),
            "first": str((self._measured[route] - 1) * 1_000_000),
        }

    @property
    def _holders(self) -> int:
        # of twenty bookings each
        return self.size.vouchers // 20

    def _fill(self) -> None:
        values = {
            "busy_year.thinkers": self._holders,
            "busy_year.rows": self.size.vouchers,
            "busy_year.events": self.size.vouchers * 10,
            "bench.thinkers": self.size.thinkers,
            "bench.begins": self._begins,
        }
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name, value in values.items():
                connection.execute("select set_config(%s, %s, false)", (name, str(value)))
            # nothing else runs
            connection.execute("set work_mem = '1GB'")
            connection.execute("set maintenance_work_mem = '1GB'")
            secondary = connection.execute(_SECONDARY_INDEXES).fetchall()
            for drop, _ in secondary:
                connection.execute(drop)
            connection.execute(HISTORY.read_bytes())
            _run(connection, FOLDER / "fill.sql")
            for _, create in secondary:
                connection.execute(create)
            connection.execute("vacuum analyze")

    def make_bare(self) -> None:
        """Copies the rows into the tables without rules."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            _run(connection, FOLDER / "bare.sql")


def _run(connection: psycopg.Connection, file: Path) -> None:
    # one by one, because `vacuum` cannot be in a transaction
    for statement in file.read_text().split(";\n"):
        connection.execute(statement.encode())
