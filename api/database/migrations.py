"""Applies `supabase/migrations/` and records each file exactly as the Supabase CLI does."""

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
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

# Any number will do, as long as nobody else locks it.
_LOCK = 3_207_171_958

# The statements of the Supabase CLI, so that the table is the same whoever came first.
_HISTORY = (
    "create schema if not exists supabase_migrations",
    "create table if not exists supabase_migrations.schema_migrations (version text not null primary key)",
    "alter table supabase_migrations.schema_migrations add column if not exists statements text[]",
    "alter table supabase_migrations.schema_migrations add column if not exists name text",
)

_TOKEN = re.compile(
    r"""
      (?P<blank>   \s+ | --[^\r\n]* )
    | (?P<comment> /\* )
    | (?P<quoted>  e'(?: [^'\\] | \\. | '' )*' | '(?: [^'] | '' )*' | "(?: [^"] | "" )*"
                 | (?P<tag> \$ (?: [a-z_\x80-\U0010ffff] [\w\x80-\U0010ffff]* )? \$ ) .*? (?P=tag) )
    | (?P<atomic>  begin\s+atomic\b )
    | (?P<word>    [\w$\x80-\U0010ffff]+ )
    | (?P<mark>    . )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL | re.ASCII,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_TRANSACTION_END = re.compile(r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:commit|end|rollback|abort)\b")


@dataclass(frozen=True)
class Migration:
    """One file of `supabase/migrations/`."""

    version: str
    name: str
    statements: list[str]

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

    A plain database first gets what Supabase provides (`sql/00_platform`). Whoever else migrates the same
    database meanwhile is waited for. Raises PortalError naming the file that failed; it leaves nothing of
    itself, while the files before it stay applied.
    """
    migrations = read_migrations(folder)
    with connect(url) as connection, _alone(connection):
        for statement in _HISTORY:
            connection.execute(statement)
        apply_platform(connection)
        applied = {migration.version for migration in _read_history(connection)}
        pending = [migration for migration in migrations if migration.version not in applied]
        for migration in pending:
            _apply(connection, migration)
        return pending


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


def read_migrations(folder: Path) -> list[Migration]:
    """The folder's migrations, oldest first.

    Raises PortalError for a .sql file with another kind of name, and where two have the same version.
    """
    migrations = []
    for file in sorted(folder.glob("*.sql")):
        parts = re.fullmatch(r"(\d{14})_(.+)\.sql", file.name)
        if parts is None:
            raise PortalError(f"{file.name} is no migration: name it <14 digits>_<name>.sql.")
        # utf-8-sig: the CLI ignores a byte order mark; bytes: line ends stay as they are
        migrations.append(Migration(parts[1], parts[2], split_statements(file.read_bytes().decode("utf-8-sig"))))
    for one, other in pairwise(migrations):
        if one.version == other.version:
            raise PortalError(f"{one.file} and {other.file} have the same version.")
    return migrations


def split_statements(sql: str) -> list[str]:
    """Splits as the Supabase CLI splits: at each semicolon that is not quoted, in a comment, in parentheses
    or in the body of a `begin atomic` function. Comments stay with the statement that follows.
    """
    statements: list[str] = []
    start = position = 0
    in_parentheses = in_body = starts_in_body = False
    while token := _TOKEN.match(sql, position):
        kind, text = token.lastgroup, token[0]
        position = token.end()
        if kind == "comment":
            position = _end_of_comment(sql, position)
        elif kind == "atomic":
            in_body = starts_in_body = True
        elif text == ";" and not in_parentheses and not in_body:
            statements.append(sql[start:position])
            start = position
        elif kind != "blank":
            if text == "(":
                in_parentheses = True
            elif text == ")":
                # as the CLI: the first one closes them all
                in_parentheses = False
            elif starts_in_body and text.lower() == "end":
                in_body = False
            starts_in_body = in_body and text == ";" and not in_parentheses
    statements.append(sql[start:])
    return [text for statement in statements if (text := statement.rstrip(";").strip())]


def _end_of_comment(sql: str, position: int) -> int:
    """Where the block comment ends that was opened before `position`; block comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


@contextmanager
def _alone(connection: psycopg.Connection) -> Iterator[None]:
    """Waits until nobody else migrates this database, and keeps others waiting."""
    connection.execute("select pg_advisory_lock(%s)", [_LOCK])
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def _read_history(connection: psycopg.Connection) -> list[Migration]:
    """What was applied; nothing where the database was never migrated."""
    found = connection.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    if found != (True,):
        return []
    with connection.cursor(row_factory=class_row(Migration)) as cursor:
        return cursor.execute(
            "select version, coalesce(name, '') as name, coalesce(statements, '{}') as statements"
            " from supabase_migrations.schema_migrations"
        ).fetchall()


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    statement = ""
    try:
        # what a migration sets for its session is not for the next one
        connection.execute("reset all")
        with connection.transaction():
            for statement in migration.statements:
                if _TRANSACTION_END.match(statement):
                    raise PortalError(f"{migration.file} ends its own transaction, and each file is one: {statement}")
                connection.execute(statement.encode())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
                [migration.version, migration.name, migration.statements],
            )
    except psycopg.Error as error:
        where = textwrap.shorten(statement, 200)
        raise PortalError(f"{migration.file} failed and left nothing: {error}\nIn: {where}") from error


def _compare(file: Migration | None, applied: Migration | None) -> Status:
    if applied is None:
        assert file is not None
        return Status(file.version, file.name, "pending")
    if file is None:
        return Status(applied.version, applied.name, "missing")
    return Status(file.version, file.name, "applied" if file == applied else "edited")
