"""`sql/`, which is handwritten, and `supabase/migrations/`, which is applied, build the same database."""

import re
from collections import Counter
from difflib import unified_diff

import psycopg
import pytest

from api.database.migrations import MIGRATIONS, PLATFORM, migrate
from tests.support.databases import Server
from tests.support.make_migration import FIRST, RELEASED, SQL, draft, first_migration, load_sql, schema_files

REFERENCE_TABLES = (
    "public.voucher_templates",
    "public.fees",
    "private.settings",
    "private.currencies",
    "(select name, schedule, late_after, description from private.jobs)",
)
RUN_IT = "sql/ and supabase/migrations/ differ: run make migration"


def description(server: Server, url: str) -> list[str]:
    """Returns schema and reference data of a database as lines that two equal databases share."""
    with psycopg.connect(url) as connection:
        dump = server.dump_schema(connection.info.dbname).splitlines()
        lines = [line for line in dump if line and not re.match(r"\\(un)?restrict|--", line)]
        for table in REFERENCE_TABLES:
            rows = connection.execute(f"select to_jsonb(t)::text from {table} t order by 1".encode())
            lines += [f"{table}: {row[0]}" for row in rows]
    return lines


def difference(server: Server, one: str, other: str) -> str:
    lines = unified_diff(
        description(server, one), description(server, other), "sql/", "supabase/migrations/", lineterm="", n=8
    )
    return "\n".join(lines)


def test_every_file_is_loaded() -> None:
    assert set(schema_files()) == {file for file in SQL.rglob("*.sql") if file.parent != PLATFORM}


def test_no_two_files_have_one_name() -> None:
    names = Counter(file.name for file in schema_files())
    assert [name for name, count in names.items() if count > 1] == []


def test_files_are_loaded_by_folder_and_then_tables_functions_triggers() -> None:
    kinds = ["tables", "facts", "views", "functions", "triggers"]
    files = [file.relative_to(SQL).parts for file in schema_files()]
    order = [(parts[0], kinds.index(parts[1])) for parts in files if len(parts) == 3]
    assert order == sorted(order)
    folders = [parts[0] for parts in files]
    assert folders == sorted(folders)


def test_until_the_release_there_is_one_generated_migration() -> None:
    if not RELEASED:
        assert list(MIGRATIONS.iterdir()) == [FIRST]
        assert FIRST.read_text() == first_migration(), RUN_IT


def test_migrations_and_sql_build_the_same_database(server: Server) -> None:
    with server.database() as written, server.database() as applied:
        load_sql(written)
        migrate(applied)
        with psycopg.connect(applied) as connection:
            connection.execute("drop schema supabase_migrations cascade")
        assert difference(server, written, applied) == "", RUN_IT


# a change to sql/, as it could be made after the release
CHANGE = """
alter table public.vouchers add column note text default '' constraint note_is_short check (length(note) < 100);
create index vouchers_note_idx on public.vouchers (note);
comment on column public.vouchers.note is 'A note.';
create policy "admins see every template" on public.voucher_templates for select to authenticated using (false);
create or replace function public.ping() returns boolean language sql stable set search_path = '' as 'select 1 = 1';
create function private.twice(number bigint) returns bigint language sql set search_path = '' as 'select 2 * number';
comment on function private.twice is 'Twice the number.';
grant execute on function private.twice to service_role;
create view stats.notes with (security_invoker = true) as select 1 as notes;
comment on view stats.notes is 'How many notes there are.';
drop function public.error_summary;
"""


@pytest.mark.slow
def test_a_drafted_migration_makes_the_difference(server: Server) -> None:
    with server.database() as before, server.database() as after:
        load_sql(before)
        load_sql(after)
        with psycopg.connect(after) as connection:
            connection.execute(CHANGE)
        drafted = draft(before, after)
        with psycopg.connect(before) as connection:
            connection.execute(drafted.encode())
        assert difference(server, after, before) == ""
