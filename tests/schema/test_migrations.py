"""The migration runner: what it applies, records and refuses."""

import re
import shutil
import threading
from pathlib import Path

import psycopg
import pytest

from api.database.migrations import MIGRATIONS, Status, migrate, read_migrations, status
from api.errors import PortalError
from api.settings import ROOT
from tests.support import npm


def history(url: str) -> list[dict[str, object]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select to_jsonb(m) from supabase_migrations.schema_migrations m order by version"
        ).fetchall()
    return [row[0] for row in rows]


def table_exists(url: str, name: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("select to_regclass(%s) is not null", [name]).fetchone() == (True,)


def write(folder: Path, **files: str) -> Path:
    """Writes migrations, numbered in the given order."""
    for number, (name, text) in enumerate(files.items(), 1):
        (folder / f"{20260101000000 + number}_{name}.sql").write_text(text)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as the Supabase CLI expects it, with two migrations."""
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "supabase" / "config.toml", folder.parent)
    write(folder, one="create table one ();\n\n-- ';'\ncreate table two ();\n", bom="\ufeffselect 'a;b'; select 1;;\n")
    return tmp_path


def cli(folder: Path, *arguments: str, url: str) -> str:
    """What the Supabase CLI prints."""
    result = npm.run_cli(*arguments, "--yes", f"--db-url={npm.cli_url(url)}", folder=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_cli_agrees_with_the_recorded_migrations(empty_database: str, project: Path) -> None:
    migrate(empty_database, project / "supabase" / "migrations")
    listed = cli(project, "migration", "list", url=empty_database)
    assert re.findall(r"`(\d{14})` *\| *`(\d{14})`", listed) == [("20260101000001",) * 2, ("20260101000002",) * 2]
    assert "up to date" in cli(project, "db", "push", url=empty_database)
    cli(project, "migration", "repair", "--status", "reverted", "20260101000002", url=empty_database)
    assert [row["name"] for row in history(empty_database)] == ["one"]


@pytest.mark.slow
def test_migrations_applied_by_the_cli_are_not_applied_again(empty_database: str, project: Path) -> None:
    cli(project, "db", "push", url=empty_database)
    folder = project / "supabase" / "migrations"
    assert [row.state for row in status(empty_database, folder)] == ["applied", "applied"]
    assert migrate(empty_database, folder) == []


def test_the_table_equals_that_of_the_cli(empty_database: str, tmp_path: Path) -> None:
    migrate(empty_database, tmp_path)
    with psycopg.connect(empty_database) as connection:
        columns = connection.execute(
            "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute"
            " where attrelid = 'supabase_migrations.schema_migrations'::regclass and attnum > 0"
            " order by attnum"
        ).fetchall()
        keys = connection.execute(
            "select conname, pg_get_constraintdef(oid) from pg_constraint"
            " where conrelid = 'supabase_migrations.schema_migrations'::regclass and contype = 'p'"
        ).fetchall()
    assert columns == [("version", "text", True), ("statements", "text[]", False), ("name", "text", False)]
    assert keys == [("schema_migrations_pkey", "PRIMARY KEY (version)")]


def test_a_second_run_applies_nothing(empty_database: str) -> None:
    assert migrate(empty_database) == read_migrations(MIGRATIONS)
    before = history(empty_database)
    assert migrate(empty_database) == []
    assert history(empty_database) == before


def test_only_pending_migrations_are_applied(empty_database: str, tmp_path: Path) -> None:
    migrate(empty_database, write(tmp_path, one="create table one ()"))
    applied = migrate(empty_database, write(tmp_path, one="create table one ()", two="create table two ()"))
    assert [migration.file for migration in applied] == ["20260101000002_two.sql"]


def test_postgrest_is_notified_of_a_new_schema(empty_database: str, tmp_path: Path) -> None:
    folder = write(tmp_path, one="create table one ()")
    with psycopg.connect(empty_database, autocommit=True) as listening:
        listening.execute("listen pgrst")
        migrate(empty_database, folder)
        [notification] = listening.notifies(timeout=30, stop_after=1)
        assert notification.payload == "reload schema"
        # nothing is applied again
        migrate(empty_database, folder)
        assert list(listening.notifies(timeout=0)) == []


def test_a_failing_file_is_rolled_back(empty_database: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        good="create table good ()",
        bad="create table bad (); select 1/0",
        later="create table later ()",
    )
    with pytest.raises(PortalError, match=r"20260101000002_bad\.sql.*division by zero"):
        migrate(empty_database, tmp_path)
    assert [row["name"] for row in history(empty_database)] == ["good"]
    assert [table_exists(empty_database, name) for name in ("good", "bad", "later")] == [True, False, False]


def test_the_line_of_an_error_is_named(empty_database: str, tmp_path: Path) -> None:
    with pytest.raises(PortalError, match=r"_typo\.sql failed in line 3 and left nothing: syntax error"):
        migrate(empty_database, write(tmp_path, typo="create table one ();\n\ncreate tabel two ();\n"))


@pytest.mark.parametrize("ending", ["commit", "-- done\nROLLBACK", "/* done */ end"])
def test_a_file_cannot_end_its_transaction(empty_database: str, tmp_path: Path, ending: str) -> None:
    with pytest.raises(PortalError, match=r"_sly\.sql failed and left nothing: .* transaction commands"):
        migrate(empty_database, write(tmp_path, sly=f"create table sly (); {ending}; select 1/0"))
    assert not table_exists(empty_database, "sly")


def test_settings_of_a_file_do_not_affect_the_next(empty_database: str, tmp_path: Path) -> None:
    migrate(
        empty_database,
        write(tmp_path, one="create schema other; set search_path = other", two="create table t ()"),
    )
    assert table_exists(empty_database, "public.t")


def test_two_concurrent_runs_apply_each_file_once(empty_database: str) -> None:
    start, counts = threading.Barrier(4), []

    def run() -> None:
        start.wait()
        counts.append(len(migrate(empty_database)))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len(read_migrations(MIGRATIONS))


def test_status_compares_files_and_database(empty_database: str, tmp_path: Path) -> None:
    write(tmp_path, same="select 1", edited="select 2", missing="select 3")
    migrate(empty_database, tmp_path)
    (tmp_path / "20260101000003_missing.sql").unlink()
    (tmp_path / "20260101000002_edited.sql").write_text("select 'something else'")
    (tmp_path / "20260101000004_new.sql").write_text("select 4")
    assert status(empty_database, tmp_path) == [
        Status("20260101000001", "same", "applied"),
        Status("20260101000002", "edited", "edited"),
        Status("20260101000003", "missing", "missing"),
        Status("20260101000004", "new", "pending"),
    ]


def test_status_changes_nothing(empty_database: str) -> None:
    assert {row.state for row in status(empty_database)} == {"pending"}
    assert not table_exists(empty_database, "supabase_migrations.schema_migrations")


def test_two_files_of_one_version_are_refused(tmp_path: Path) -> None:
    for name in ("20260101000001_one.sql", "20260101000001_other.sql", "20260101000002_third.sql"):
        (tmp_path / name).write_text("select 1")
    with pytest.raises(PortalError, match=r"_one\.sql and 20260101000001_other\.sql have the same version"):
        read_migrations(tmp_path)


def test_an_invalid_file_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2026_short.sql").write_text("select 1")
    with pytest.raises(PortalError, match=r"2026_short\.sql is no migration"):
        read_migrations(tmp_path)


def test_an_existing_supabase_platform_is_kept(empty_database: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("create schema auth")
        connection.execute("create function auth.uid() returns uuid language sql as $$ select null::uuid $$")
    migrate(empty_database, tmp_path)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select to_regprocedure('auth.role()')").fetchone() == (None,)
