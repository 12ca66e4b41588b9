"""`portal backup` and `portal restore`: a restored database has the rows and the access rules of the first one."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.database.programs import find_programs
from api.errors import PortalError
from api.settings import ROOT
from tests.cli.running import PORTAL, portal
from tests.support.acting import call_or_reason, thinker
from tests.support.databases import EMBEDDED, Server, run_server
from tests.support.supabase import STORAGE
from tests.support.usage import rows, use
from tests.support.waiting import wait_for_row

ROLES = "anon, authenticated, service_role, authenticator, stats_reader, metabase, supabase_admin"

# another schema `auth` than the platform's, with a table of users, and privileges that open every new object
SUPABASE = """
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges grant all on tables to anon;
grant usage on schema public to anon, authenticated, service_role;
create schema extensions;
create schema auth;
grant usage on schema auth, extensions to anon, authenticated, service_role;
create table auth.users (id uuid primary key);
create function auth.jwt() returns jsonb language sql stable
as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;
create function auth.role() returns text language sql stable as $$ select auth.jwt() ->> 'role' $$;
"""


@pytest.fixture(scope="module")
def used(server: Server, migrated: str) -> Iterator[str]:
    """A database in use, with a role of its operator."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        use(connection)
        connection.execute(
            "create role metabase login connection limit 3; alter role metabase set statement_timeout = '7s';"
            "do $$ begin execute format("
            "'alter role metabase in database %I set search_path = stats, public', current_database()); end $$;"
            "grant usage on schema stats to metabase; grant select on stats.owed to metabase;"
            # texts that look like parts of a dump
            "insert into public.vouchers (id, issuer_id, title, valid_from, valid_until)"
            " select '-- Name: x; Type: TABLE; Schema: auth; Owner: -', id, E'\\\\.\\nCOPY x FROM stdin;\\n"
            "-- Name: x; Type: TABLE; Schema: auth; Owner: -\\n\\n--\\n-- PostgreSQL database dump complete\\n',"
            " now(), now() from public.thinkers limit 1"
        )
        yield url
        connection.execute("drop owned by metabase; drop role metabase")


@pytest.fixture(scope="module")
def dumps(used: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dumps, each named after its format."""
    folder = tmp_path_factory.mktemp("dumps")
    portal("backup", str(folder / "portal"), DATABASE_URL=used)
    pg_dump = EMBEDDED / "pg_dump"
    for name in ("plain", "directory", "tar"):
        subprocess.run([pg_dump, f"--format={name}", f"--file={folder / name}", used], check=True)
    inserts = ["--clean", "--if-exists", "--create", "--inserts", "--rows-per-insert=10"]
    names = ["--quote-all-identifiers", "--use-set-session-authorization"]
    subprocess.run([pg_dump, *inserts, *names, f"--file={folder / 'inserts'}", used], check=True)
    whole = (folder / "plain").read_bytes()
    (folder / "until its rows").write_bytes(whole[: whole.rindex(b"; Type: TABLE DATA; Schema: public")])
    (folder / "until its end").write_bytes(whole[: whole.rindex(b"-- PostgreSQL database dump complete")])
    for part in ("data", "schema"):
        subprocess.run([pg_dump, "--format=custom", f"--{part}-only", f"--file={folder / part}", used], check=True)
    (folder / "text").write_text("no dump")
    return folder


@pytest.fixture(scope="module")
def other_server() -> Iterator[Server]:
    """Another server."""
    with run_server() as server:
        yield server


@pytest.fixture
def target(other_server: Server) -> Iterator[str]:
    """An empty database on a server without any role of ours."""
    with other_server.database() as url:
        yield url
    with psycopg.connect(other_server.url(), autocommit=True) as connection:
        connection.execute(f"drop role if exists {ROLES}".encode())


def check(target: str, source: str) -> None:
    """Asserts that a restored database serves on: with the same rows, and under the same rules."""
    with psycopg.connect(target, autocommit=True) as restored, psycopg.connect(source) as before:
        assert rows(restored) == rows(before)
        assert call_or_reason(restored, thinker("clara"), "book_voucher", voucher_id="kept",
                              slot_start="2030-01-07 09:00Z") == "slot_taken"  # fmt: skip
    assert "rules hold." in portal("check", DATABASE_URL=target)


@pytest.mark.parametrize("name", ["portal", "plain", "directory", "tar", "inserts"])
def test_a_dump_is_restored_into_another_cluster(target: str, used: str, dumps: Path, name: str) -> None:
    with psycopg.connect(target, autocommit=True) as connection:
        if name != "portal":
            # pg_dump leaves the roles out; the portal's own are known
            connection.execute("create role metabase")
        assert "restored and verified" in portal("restore", str(dumps / name), DATABASE_URL=target)
        if name == "portal":
            role = "select rolcanlogin, rolconnlimit from pg_roles where rolname = 'metabase'"
            assert connection.execute(role).fetchall() == [(True, 3)]
            settings = (
                "select datname = current_database(), setconfig from pg_db_role_setting"
                " left join pg_database d on d.oid = setdatabase where setrole = 'metabase'::regrole order by 1"
            )
            assert connection.execute(settings).fetchall() == [
                (True, ["search_path=stats, public"]),
                (None, ["statement_timeout=7s"]),
            ]
        assert connection.execute("select has_table_privilege('metabase', 'stats.owed', 'select')").fetchone() == (
            True,
        )
    check(target, used)


def test_a_dump_is_restored_into_a_supabase_project(target: str, used: str, dumps: Path) -> None:
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute(f"{SUPABASE};{STORAGE}")
        portal("restore", str(dumps / "portal"), DATABASE_URL=target)
        # the table of the host has the portal's trigger
        with connection.transaction(force_rollback=True):
            connection.execute("insert into auth.users values (gen_random_uuid())")
            new = "select from public.thinkers t join auth.users u on u.id = t.id"
            assert connection.execute(new).rowcount == 1
    check(target, used)


def test_the_plain_commands_of_the_documentation_restore(
    target: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [commands] = re.findall(r"```sh\n(pg_dump.*?)```", (ROOT / "docs" / "backup.md").read_text(), re.DOTALL)
    commands = commands.replace("portal.dump", f"{tmp_path}/portal.dump").replace(
        "portal.list", f"{tmp_path}/portal.list"
    )
    monkeypatch.setenv("PATH", os.pathsep.join([str(EMBEDDED), str(Path(sys.executable).parent), os.environ["PATH"]]))
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("create role metabase")
        connection.execute(SUPABASE.replace("alter default privileges grant all on tables to anon;", ""))
        connection.execute(STORAGE)
    environment = os.environ | {"OLD": used, "NEW": target}
    result = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    check(target, used)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("data", "without --data-only"),
        ("schema", "without --schema-only"),
        ("text", "is no dump of one database"),
        ("until its rows", "was cut off"),
        ("until its end", "was cut off"),
        ("missing", "Cannot read"),
    ],
)
def test_what_is_no_whole_dump_is_refused(target: str, dumps: Path, name: str, sentence: str) -> None:
    with pytest.raises(PortalError, match=sentence):
        portal("restore", str(dumps / name), DATABASE_URL=target)


def test_a_failed_restore_leaves_nothing(target: str, dumps: Path) -> None:
    with pytest.raises(PortalError, match=r'psql failed: .* role "metabase" does not exist'):
        portal("restore", str(dumps / "tar"), DATABASE_URL=target)
    with psycopg.connect(target) as connection:
        assert connection.execute("select to_regnamespace('private')").fetchone() == (None,)


def test_a_killed_restore_leaves_nothing(target: str, dumps: Path) -> None:
    psql = "from pg_stat_activity where datname = current_database() and application_name = 'psql'"
    with psycopg.connect(target) as blocking, psycopg.connect(target, autocommit=True) as connection:
        blocking.execute("create schema private")
        with subprocess.Popen(
            [*PORTAL, "restore", dumps / "portal"], env=os.environ | {"DATABASE_URL": target}
        ) as process:
            wait_for_row(connection, f"select {psql} and wait_event_type = 'Lock'")
            process.kill()
        blocking.rollback()
        # psql reads what was sent before
        wait_for_row(connection, f"select where not exists (select {psql})")
        assert connection.execute("select to_regnamespace('private')").fetchone() == (None,)


def test_a_database_in_use_is_not_overwritten(used: str, dumps: Path) -> None:
    with pytest.raises(PortalError, match="is not empty"):
        portal("restore", str(dumps / "portal"), DATABASE_URL=used)


def test_a_backup_is_not_overwritten_and_is_private(used: str, dumps: Path) -> None:
    assert (dumps / "portal").stat().st_mode & 0o777 == 0o600
    with pytest.raises(PortalError, match="exists"):
        portal("backup", str(dumps / "portal"), DATABASE_URL=used)


def test_an_empty_database_is_not_backed_up(empty_database: str, tmp_path: Path) -> None:
    with pytest.raises(PortalError, match="has nothing of the portal"):
        portal("backup", str(tmp_path / "portal.zip"), DATABASE_URL=empty_database)
    assert list(tmp_path.iterdir()) == []


def test_programs_older_than_the_server_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_programs(18)[0] == EMBEDDED
    with pytest.raises(PortalError, match="no pg_dump of version 99 or newer: install it"):
        find_programs(99)
