"""stats_reader, the role of Metabase and Grafana, reads every view of stats and nothing else of the portal."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import errors, sql

from tests.stats.test_figures import counted, read
from tests.support.acting import one

CLOSED = ("public", "private", "auth", "cron", "supabase_migrations", "extensions", "storage")
DENIED = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)


@pytest.fixture(scope="module")
def reader_url(world_url: str) -> Iterator[str]:
    """The URL that an operator would enter: with a password, where the server asks for one."""
    parts = urlsplit(world_url)
    host = parts.netloc.rpartition("@")[2]
    with psycopg.connect(world_url, autocommit=True) as connection:
        # so that nobody can connect before an operator allows it
        assert one(connection, "select rolpassword is null from pg_authid where rolname = 'stats_reader'")
        connection.execute("alter role stats_reader password 'test'")
        try:
            yield urlunsplit(parts._replace(netloc=f"stats_reader:test@{host}"))
        finally:
            # roles belong to the whole server
            connection.execute("alter role stats_reader password null")


@pytest.fixture
def reader(reader_url: str) -> Iterator[psycopg.Connection]:
    """A session of its own, in autocommit mode."""
    with psycopg.connect(reader_url, autocommit=True) as connection:
        assert one(connection, "select session_user || ' ' || current_user") == "stats_reader stats_reader"
        yield connection


def writing(reader: psycopg.Connection) -> psycopg.Connection:
    """A session that has changed the role's read-only default."""
    reader.execute("set default_transaction_read_only = off")
    return reader


def relations(world: psycopg.Connection) -> list[tuple[str, str]]:
    """Returns every table, partition, view and sequence of the portal that is not a figure."""
    found: list[tuple[str, str]] = world.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_'"
        " and n.nspname not in ('stats', 'information_schema') order by 1, 2"
    ).fetchall()
    return found


def test_it_reads_every_view(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    views = [name for (name,) in world.execute("select viewname from pg_views where schemaname = 'stats'")]
    assert len(views) >= 20
    for view in views:
        rows = counted(read(reader, view))
        assert rows, view
        # except who is online, which changes by itself
        if view not in ("presence_now", "pair_codes"):
            assert rows == counted(read(world, view)), view


def test_it_reads_nothing_else(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    found = relations(world)
    assert {schema for schema, _ in found} >= {"public", "private", "supabase_migrations"}
    assert len(found) > 40
    for schema, name in found:
        for statement in ("select from {}", "select count(*) from {}", "table {}", "copy {} to stdout"):
            with pytest.raises(DENIED):
                reader.execute(sql.SQL(statement).format(sql.Identifier(schema, name)))


def test_it_reads_no_column_of_anything_else(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    granted = reader.execute(
        "select c.oid::regclass::text, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname !~ '^pg_' and n.nspname not in ('stats', 'information_schema') and a.attnum > 0"
        " and not a.attisdropped and has_column_privilege(c.oid, a.attnum, 'select')"
        # the facts, on which the figures are built, in a schema that it may not use
        " and not (n.nspname = 'private' and c.relkind = 'v' and c.relname like '%\\_facts')"
    ).fetchall()
    assert granted == []
    assert not one(reader, "select has_schema_privilege('private', 'usage')")


def test_it_calls_no_function_of_the_portal(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    functions = world.execute(
        "select n.nspname, p.proname, array(select format_type(t, null) from unnest(p.proargtypes) t)"
        " from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname in ('public', 'private', 'auth') and p.prokind = 'f' and not exists"
        " (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"
    ).fetchall()
    assert {name for _, name, _ in functions} >= {"presence_stats", "book_voucher", "run_job", "currency_code", "uid"}
    for schema, name, types in functions:
        arguments = sql.SQL(", ").join(sql.SQL(f"null::{kind}") for kind in types)
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(sql.SQL("select {}({})").format(sql.Identifier(schema, name), arguments))


def test_it_takes_no_other_role(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    for (role,) in world.execute("select rolname from pg_roles where rolname <> 'stats_reader'").fetchall():
        for statement in ("set role {}", "set session authorization {}"):
            with pytest.raises((errors.InsufficientPrivilege, errors.InvalidParameterValue)):
                reader.execute(sql.SQL(statement).format(sql.Identifier(role)))


def test_attributes_of_the_role(world: psycopg.Connection) -> None:
    role = world.execute(
        "select rolcanlogin, rolinherit, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " rolconnlimit, rolconfig"
        " from pg_roles where rolname = 'stats_reader'"
    ).fetchone()
    assert role == (
        True, False, False, False, False, False, False, 10,
        [
            "default_transaction_read_only=on", "statement_timeout=60s", "jit=off",
            "idle_in_transaction_session_timeout=60s",
        ],
    )  # fmt: skip
    member = "select count(*) from pg_auth_members where 'stats_reader'::regrole in (member, roleid)"
    # on PostgreSQL 16 and newer, the role that created it administers it
    assert one(world, f"{member} and member = 'stats_reader'::regrole") == 0
    assert one(world, f"{member} and not (admin_option and member = 'postgres'::regrole)") == 0


def test_its_transactions_are_read_only_by_default(reader: psycopg.Connection) -> None:
    assert one(reader, "select current_setting('default_transaction_read_only')") == "on"
    assert one(reader, "select current_setting('statement_timeout')") == "1min"
    for statement in (b"create temporary table t (n int)", b"create view pg_temp.v as select 1"):
        with pytest.raises(errors.ReadOnlySqlTransaction):
            reader.execute(statement)


def test_it_writes_nothing_with_any_setting(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    writing(reader)
    for schema, name in relations(world):
        for statement in ("delete from {}", "truncate {}", "insert into {} default values", "drop table {}"):
            with pytest.raises((errors.InsufficientPrivilege, errors.WrongObjectType)):
                reader.execute(sql.SQL(statement).format(sql.Identifier(schema, name)))
    for (view,) in world.execute("select viewname from pg_views where schemaname = 'stats'").fetchall():
        for statement in (
            "delete from {}",
            "insert into {} default values",
            "drop view {}",
            "alter view {} rename to x",
        ):
            with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
                reader.execute(sql.SQL(statement).format(sql.Identifier("stats", view)))
    for schema in ("public", "private", "stats"):
        for statement in ("create table {}.mine (n int)", "create function {}.mine() returns int return 1"):
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute(sql.SQL(statement).format(sql.Identifier(schema)))
    for command in (b"create schema mine", b"create role mine", b"alter role stats_reader superuser"):
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(command)


TRICKS = (
    # views, tables and XML under names of its own
    "create temporary view mine as select * from private.thinker_facts",
    "create temporary table mine as select * from private.thinker_facts",
    "create temporary table mine (like public.thinkers including all)",
    "create temporary table mine () inherits (public.thinkers)",
    "select query_to_xml('select * from private.thinker_facts', true, true, '')",
    "select query_to_xml('select * from public.thinkers', true, true, '')",
    "select table_to_xml('public.thinkers', true, true, '')",
    "select schema_to_xml('private', true, true, '')",
    "select * from ts_stat('select to_tsvector(public_id) from public.thinkers')",
    "do $$ begin perform * from private.thinker_facts; end $$",
    "do $$ begin lock table public.thinkers in access share mode; end $$",
    "set session_replication_role = replica",
    "set row_security = off; table public.thinkers",
    "select pg_read_file('postgresql.conf')",
    "copy (select 1) to program 'true'",
    "copy stats.owed to '/tmp/owed'",
    "select * from pg_authid",
    "select * from pg_statistic",
    "select lo_import('/etc/passwd')",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
    "alter view stats.owed set (security_invoker = false)",
    "comment on view stats.owed is 'mine'",
    "select setval('private.job_runs_id_seq', 1)",
    "select public_id from public.thinkers where false",
    "create extension dblink",
)


@pytest.mark.parametrize("trick", TRICKS)
def test_no_other_access_is_possible(world: psycopg.Connection, reader: psycopg.Connection, trick: str) -> None:
    writing(reader)
    # so that there is another session
    assert one(world, "select count(*) from pg_stat_activity where usename = 'postgres'") > 0
    refusals = (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFile)
    with pytest.raises(refusals) as refused:
        reader.execute(trick.encode())
    # the server may lack the library, and refuse everybody
    assert "xml" in trick or "extension" in trick or isinstance(refused.value, errors.InsufficientPrivilege)


def test_it_cannot_grant_its_privileges(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    writing(reader)
    # PostgreSQL only warns
    reader.execute("grant select on stats.owed to public")
    assert not one(world, "select has_table_privilege('anon', 'stats.owed', 'select')")


def test_names_on_the_search_path_change_no_view(reader: psycopg.Connection) -> None:
    """A view keeps its meaning, even if temporary tables and functions come first on the search path."""
    writing(reader)
    reader.execute(
        "create temporary table thinkers as select 1 as n;"
        "create temporary table thinker_facts as select 1 as n;"
        "create function pg_temp.currency_exponent(text) returns int language sql return 99;"
        "set search_path = pg_temp, stats, public, private"
    )
    assert one(reader, "select count(*) from stats.owed where decimals = 99") == 0
    assert one(reader, "select count(*) from stats.owed") > 3


def test_a_function_of_its_own_sees_only_rows_of_the_views(
    world: psycopg.Connection, reader: psycopg.Connection
) -> None:
    """PostgreSQL evaluates a cheap function early: it must not see rows that the view then leaves out."""
    writing(reader)
    reader.execute(
        "create function pg_temp.spy(t text) returns boolean language plpgsql cost 0.0000001 as"
        " $$ begin raise notice '%', t; return true; end $$"
    )
    seen: set[str] = set()
    reader.add_notice_handler(lambda notice: seen.add(notice.message_primary or ""))
    columns = world.execute(
        "select a.attrelid::regclass::text, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where c.relnamespace = 'stats'::regnamespace and a.atttypid = 'text'::regtype"
    ).fetchall()
    assert ("stats.owed", "beneficiary_uid") in columns
    for view, column in columns:
        seen.clear()
        shown = {value for (value,) in reader.execute(f"select {column} from {view}")}
        reader.execute(f"select {column} from {view} where pg_temp.spy({column})")
        assert seen, (view, column)
        # it prints a null too
        assert seen <= {str(value) if value is not None else "<NULL>" for value in shown}, (view, column)


def test_statistics_reveal_nothing(world: psycopg.Connection, reader: psycopg.Connection) -> None:
    ours = "schemaname in ('public', 'private', 'auth')"
    assert one(world, f"select count(*) from pg_stats where {ours}") > 100
    assert one(reader, f"select count(*) from pg_stats where {ours}") == 0
    assert one(reader, f"select count(*) from pg_stats_ext where {ours}") == 0
    # nor the queries of other sessions
    others = "pid <> pg_backend_pid() and usename = 'postgres' and query <> '<insufficient privilege>' and query <> ''"
    assert one(reader, f"select count(*) from pg_stat_activity where {others}") == 0
