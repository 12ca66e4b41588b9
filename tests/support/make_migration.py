"""`make migration NAME=...`: writes into `supabase/migrations/` what `sql/` says, and the access rules beside it."""

import re
import sys
import tomllib
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import typer

from api.database import rules
from api.database.migrations import MIGRATIONS, apply_platform, migrate, run_file
from api.settings import ROOT
from tests.support import npm
from tests.support.databases import run_server

RELEASED = False
"""True from the first release on: then the migrations that are there stay as they are, and a new one follows."""

SQL = ROOT / "sql"
CONFIG = ROOT / "supabase" / "config.toml"
FIRST = MIGRATIONS / "20261126000000_schema.sql"

GENERATED = "-- Generated from sql/ by `make migration`. Do not edit.\n"
DRAFTED = """\
-- Drafted by `make migration` from the difference between the migrations before this one and sql/.
-- Read it and complete it: it leaves out changes of data and `set statistics`. Remove grants to the owner (postgres).
-- tests/schema/test_migrations_equal_sql.py shows what is still missing.

-- who waits for a lock holds up all that come after it
set lock_timeout = '2s';

"""


def main(name: str) -> None:
    """Writes the first migration anew or, after the first release, the draft of the next one."""
    if not RELEASED:
        FIRST.write_text(first_migration())
        typer.echo(f"Wrote {FIRST.relative_to(ROOT)}.")
        _write_rules()
        return
    if not re.fullmatch(r"\w+", name):
        sys.exit("Name the migration: make migration NAME=add_notes.")
    with run_server() as server, server.database() as before, server.database() as after:
        migrate(before)
        load_sql(after)
        difference = draft(before, after)
    file = MIGRATIONS / f"{datetime.now(UTC):%Y%m%d%H%M%S}_{name}.sql"
    file.write_text(DRAFTED + difference)
    typer.echo(f"Drafted {file.relative_to(ROOT)}: read it, complete it, and run the tests of tests/schema.")
    _write_rules()


def _write_rules() -> None:
    """Writes the access rules that the migrations make."""
    with run_server() as server, server.database() as url:
        migrate(url)
        rules.write_declared(url)
    typer.echo(f"Wrote {rules.DECLARED.relative_to(ROOT)}.")


def schema_files() -> list[Path]:
    """Returns the files of `sql/` in load order, which is `schema_paths` of `supabase/config.toml`."""
    patterns = tomllib.loads(CONFIG.read_text())["db"]["migrations"]["schema_paths"]
    found = (sorted(SQL.glob(pattern.removeprefix("../sql/"))) for pattern in patterns)
    # a file counts where it is named first
    return list(dict.fromkeys(chain.from_iterable(found)))


def first_migration() -> str:
    """Returns the files of `sql/` as one text, each under its path."""
    return "\n".join([GENERATED, *(f"-- {file.relative_to(ROOT)}\n{file.read_text()}" for file in schema_files())])


def load_sql(url: str) -> None:
    """Loads `sql/` into an empty database."""
    with psycopg.connect(url, autocommit=True) as connection:
        apply_platform(connection)
        with connection.transaction():
            for file in schema_files():
                run_file(connection, file)


def draft(before: str, after: str) -> str:
    """Returns the SQL that makes the schema of one database that of another one, as the Supabase CLI writes it."""
    with TemporaryDirectory() as folder:
        databases = ["--from", npm.cli_url(before), "--to", npm.cli_url(after)]
        result = npm.run_cli("db", "diff", *databases, folder=Path(folder))
    if result.returncode != 0:
        sys.exit(result.stderr)
    return result.stdout


if __name__ == "__main__":
    main(*sys.argv[1:] or [""])
