"""`sql/`, which people read, and `supabase/migrations/`, which is applied, give the same database."""

import re
from collections import Counter
from difflib import unified_diff
from pathlib import Path

import psycopg

from api.database.migrations import PLATFORM, apply_platform, migrate, run_file
from api.settings import ROOT
from tests.support.databases import Server

SQL = ROOT / "sql"
REFERENCE_TABLES = (
    "public.voucher_templates",
    "public.fees",
    "private.settings",
    "(select name, schedule, late_after, does from private.jobs)",
)


def included_files() -> list[Path]:
    r"""The files that `sql/schema.sql` includes (`\ir file`), in load order."""
    return [SQL / name for name in re.findall(r"^\\ir (\S+)$", (SQL / "schema.sql").read_text(), re.MULTILINE)]


def description(server: Server, database: str) -> list[str]:
    """Schema and reference data of a database as lines that two equal databases share."""
    dump = server.dump_schema(database).splitlines()
    lines = [line for line in dump if line and not re.match(r"\\(un)?restrict|--", line)]
    with psycopg.connect(server.url(database)) as connection:
        for table in REFERENCE_TABLES:
            rows = connection.execute(f"select to_jsonb(t)::text from {table} t order by 1")
            lines += [f"{table}: {row[0]}" for row in rows]
    return lines


def test_every_file_is_included_once() -> None:
    files = [file for file in SQL.rglob("*.sql") if file != SQL / "schema.sql" and file.parent != PLATFORM]
    assert sorted(included_files()) == sorted(files)


def test_files_are_loaded_by_folder_and_then_tables_functions_triggers() -> None:
    kinds = ["tables", "facts", "views", "functions", "triggers"]
    files = [file.relative_to(SQL).parts for file in included_files()]
    order = [(parts[0], kinds.index(parts[1])) for parts in files if len(parts) == 3]
    assert order == sorted(order)
    folders = [parts[0] for parts in files]
    assert folders == sorted(folders)


def test_no_two_files_have_one_name() -> None:
    names = Counter(file.name for file in included_files())
    assert [name for name, count in names.items() if count > 1] == []


def test_migrations_and_sql_build_the_same_database(server: Server) -> None:
    read, applied = server.create(), server.create()
    try:
        with psycopg.connect(server.url(read), autocommit=True) as connection:
            apply_platform(connection)
            with connection.transaction():
                for file in included_files():
                    run_file(connection, file)
        migrate(server.url(applied))
        with psycopg.connect(server.url(applied)) as connection:
            connection.execute("drop schema supabase_migrations cascade")
        difference = unified_diff(
            description(server, read),
            description(server, applied),
            "sql/",
            "supabase/migrations/",
            lineterm="",
            n=8,
        )
        assert "\n".join(difference) == ""
    finally:
        server.drop(read)
        server.drop(applied)
