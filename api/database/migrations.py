"""Applies `supabase/migrations/`, and records each file where the Supabase CLI records it."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.rows import class_row

from api.database import connect
from api.errors import PortalError
from api.settings import ROOT

PLATFORM = ROOT / "sql" / "00_platform"
MIGRATIONS = ROOT / "supabase" / "migrations"
SEED = ROOT / "supabase" / "seed.sql"

# An arbitrary key of an advisory lock; only migrations use it.
_LOCK = 3_207_171_958

_ATTEMPTS = 10
"""Of a migration that waits too long for a lock."""

_PAUSE_SECONDS = 1.0
"""Between two of them: those that waited behind it go on."""

# The statements of the Supabase CLI, so that both create the same table.
_HISTORY = (
    "create schema if not exists supabase_migrations",
    "create table if not exists supabase_migrations.schema_migrations (version text not null primary key)",
    "alter table supabase_migrations.schema_migrations add column if not exists statements text[]",
    "alter table supabase_migrations.schema_migrations add column if not exists name text",
)

# One `execute`, so that PostgreSQL itself refuses a file that commits or rolls back.
_RUN = "do $$ begin execute current_setting('portal.migration'); end $$"


@dataclass(frozen=True)
class Migration:
    """One file of `supabase/migrations/`."""

    version: str
    name: str
    text: str

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.version}_{self.name}.sql"


@dataclass(frozen=True)
class Status:
    """How the database and the file of one migration agree.

    `edited`: the file says something else than was applied. `missing`: applied, but there is no such file.
    """

    version: str
    name: str
    state: Literal["applied", "pending", "edited", "missing"]


def migrate(url: str, folder: Path = MIGRATIONS) -> list[Migration]:
    """Applies what is pending, oldest first, and returns it.

    A plain database first gets what Supabase provides (`sql/00_platform`). Waits for concurrent migrations of the same
    database. Raises PortalError with the name of the file that failed: its changes are rolled back, the files before
    it stay applied.
    """
    migrations = read_migrations(folder)
    with connect(url) as connection:
        with _locked(connection):
            for statement in _HISTORY:
                connection.execute(statement)
            apply_platform(connection)
        return [migration for migration in migrations if _apply(connection, migration)]


def status(url: str, folder: Path = MIGRATIONS) -> list[Status]:
    """Every migration that the folder or the database knows, oldest first. Changes nothing."""
    with connect(url) as connection:
        applied = {migration.version: migration for migration in _read_history(connection)}
    files = {migration.version: migration for migration in read_migrations(folder)}
    return [_compare(files.get(version), applied.get(version)) for version in sorted(files | applied)]


def seed(url: str, file: Path = SEED) -> None:
    """Runs the demo data in one transaction. Raises PortalError, and leaves nothing, where it fails."""
    with connect(url) as connection:
        run_file(connection, file)


def apply_platform(connection: psycopg.Connection) -> None:
    """Adds the roles and functions of a Supabase project where they are missing."""
    found = connection.execute("select to_regprocedure('auth.uid()') is not null").fetchone()
    if found == (True,):
        return
    with connection.transaction():
        for file in sorted(PLATFORM.glob("*.sql")):
            run_file(connection, file)


def run_file(connection: psycopg.Connection, file: Path) -> None:
    """Runs a SQL file as a whole, in a transaction of its own or as part of the open one."""
    try:
        with connection.transaction():
            connection.execute(file.read_bytes())
    except psycopg.Error as error:
        raise PortalError(f"{file.name} failed: {error}".strip()) from error


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """The folder's migrations, oldest first.

    Raises PortalError for a .sql file with another kind of name, and where two have the same version.
    """
    migrations = []
    for file in sorted(folder.glob("*.sql")):
        parts = re.fullmatch(r"(\d{14})_(.+)\.sql", file.name)
        if parts is None:
            raise PortalError(f"{file.name} is no migration: name it <14 digits>_<name>.sql.")
        # utf-8-sig: a byte order mark is no SQL
        migrations.append(Migration(parts[1], parts[2], file.read_text("utf-8-sig")))
    for one, other in pairwise(migrations):
        if one.version == other.version:
            raise PortalError(f"{one.file} and {other.file} have the same version.")
    return migrations


@contextmanager
def _locked(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction that holds the lock of migrations; waits for concurrent ones.

    Not a lock of the session: behind a transaction pooler it would stay with a connection that others use next.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        yield


def _read_history(connection: psycopg.Connection) -> list[Migration]:
    """What was applied; nothing where the database was never migrated."""
    found = connection.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    if found != (True,):
        return []
    with connection.cursor(row_factory=class_row(Migration)) as cursor:
        return cursor.execute(
            "select version, coalesce(name, '') as name, coalesce(array_to_string(statements, ';'), '') as text"
            " from supabase_migrations.schema_migrations"
        ).fetchall()


def _apply(connection: psycopg.Connection, migration: Migration) -> bool:
    """Applies a migration, unless it is recorded as applied. Returns whether it was applied now.

    Tries again where the migration's own lock_timeout has ended it: others have a table, and go on meanwhile.
    """
    for attempt in count(1):
        try:
            return _apply_once(connection, migration)
        except psycopg.errors.LockNotAvailable as error:
            if attempt == _ATTEMPTS:
                raise _failed(migration, error) from error
            time.sleep(_PAUSE_SECONDS)
        except psycopg.Error as error:
            raise _failed(migration, error) from error
    raise AssertionError


def _apply_once(connection: psycopg.Connection, migration: Migration) -> bool:
    with _locked(connection):
        if migration.version in {applied.version for applied in _read_history(connection)}:
            return False
        connection.execute("select set_config('portal.migration', %s, true)", [migration.text])
        connection.execute(_RUN)
        # what a migration sets for its session is not for others that use this connection of a pooler
        connection.execute("reset all")
        connection.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
            [migration.version, migration.name, [migration.text]],
        )
        # PostgREST reads the schema when it starts, and when it is notified
        connection.execute("notify pgrst, 'reload schema'")
        return True


def _failed(migration: Migration, error: psycopg.Error) -> PortalError:
    line = _failed_line(error.diag, migration.text)
    return PortalError(f"{migration.file} failed{line} and left nothing: {error.diag.message_primary}")


def _failed_line(diagnostic: psycopg.errors.Diagnostic, text: str) -> str:
    """` in line 3` where PostgreSQL names a position in the text, else nothing."""
    position = diagnostic.internal_position
    if position is None or diagnostic.internal_query != text:
        return ""
    return f" in line {text.count(chr(10), 0, int(position)) + 1}"


def _compare(file: Migration | None, applied: Migration | None) -> Status:
    if applied is None:
        assert file is not None
        return Status(file.version, file.name, "pending")
    if file is None:
        return Status(applied.version, applied.name, "missing")
    same = file.name == applied.name and _bare(file.text) == _bare(applied.text)
    return Status(file.version, file.name, "applied" if same else "edited")


def _bare(text: str) -> str:
    """The text without blanks and semicolons: the CLI records statements without those between them."""
    return re.sub(r"[\s;]+", "", text)
