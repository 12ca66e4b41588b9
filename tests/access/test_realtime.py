"""Supabase Realtime sends changes of presence and rooms to those who may read the row."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from api.database.migrations import migrate
from tests.access.actors import CALLERS
from tests.support.acting import call, thinker
from tests.support.databases import run_server

ANNA, BEN = thinker("anna"), thinker("ben")

# Realtime checks who sees a changed row with one prepared statement, in a function that acts as each listener in turn.
SEEN_BY = """
create function pg_temp.seen_by(entity regclass, id text, listeners jsonb[])
returns setof boolean
language plpgsql
as $$
declare
  claims jsonb;
  seen boolean;
begin
  execute format('prepare walrus as select exists (select from %s where id::text = %L)', entity, id);
  foreach claims in array listeners loop
    perform
      set_config('role', claims ->> 'role', true),
      set_config('request.jwt.claims', claims::text, true);
    execute 'execute walrus' into seen;
    perform set_config('role', 'none', true);
    return next seen;
  end loop;
  deallocate walrus;
end;
$$
"""


@pytest.fixture
def realtime(world: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The world with the publication of Realtime, in which an operator has a table of its own."""
    with world.transaction(force_rollback=True):
        world.execute("create publication supabase_realtime for table public.voucher_templates")
        yield world


def published(connection: psycopg.Connection) -> list[str]:
    tables = connection.execute(
        "select tablename::text from pg_publication_tables where pubname = 'supabase_realtime' order by 1"
    )
    return [name for (name,) in tables]


def test_nothing_is_published_until_an_operator_says_so(realtime: psycopg.Connection) -> None:
    assert published(realtime) == ["voucher_templates"]
    for is_published, tables in ((True, ["presence_sessions", "rooms"]), (False, [])):
        for _ in range(2):
            realtime.execute("select private.publish_realtime(%s)", (is_published,))
            assert published(realtime) == [*tables, "voucher_templates"]


def test_a_database_without_realtime_says_so(world: psycopg.Connection) -> None:
    with (
        pytest.raises(psycopg.errors.UndefinedObject, match="there is no publication supabase_realtime"),
        world.transaction(),
    ):
        world.execute("select private.publish_realtime(true)")


@pytest.mark.parametrize("table", ["presence_sessions", "rooms"])
def test_a_listener_is_sent_what_it_may_read(world: psycopg.Connection, table: str) -> None:
    callers = {name: json.loads(caller.claims) for name, caller in CALLERS.items() if caller.role == "authenticated"}
    rows = sql.SQL("select id::text from public.{}").format(sql.Identifier(table))
    sent: dict[str, set[str]] = {name: set() for name in callers}
    read: dict[str, set[str]] = {}
    with world.transaction(force_rollback=True):
        world.execute(SEEN_BY)
        for (row,) in world.execute(rows).fetchall():
            listeners = [Jsonb(claims) for claims in callers.values()]
            seen = world.execute("select pg_temp.seen_by(%s, %s, %s)", (f"public.{table}", row, listeners)).fetchall()
            for name, (is_seen,) in zip(callers, seen, strict=True):
                if is_seen:
                    sent[name].add(row)
        for name, claims in callers.items():
            world.execute(
                "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                (json.dumps(claims),),
            )
            read[name] = {row for (row,) in world.execute(rows)}
            world.execute("select set_config('role', 'none', true)")
    assert sent == read
    assert len(sent["owner"]) < len(sent["admin"])


@pytest.mark.slow
def test_only_new_values_of_these_tables_leave_the_database() -> None:
    with run_server({"wal_level": "logical"}) as server, server.database() as url:
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create publication supabase_realtime; select private.publish_realtime(true)")
            connection.execute("select pg_create_logical_replication_slot('realtime', 'pgoutput')")
            call(connection, ANNA, "issue_voucher", title="Klavierstunde")
            for actor in (ANNA, BEN):
                call(connection, actor, "send_heartbeat", pair_code="familie")
            call(connection, ANNA, "match_presence", pair_code="familie")
            call(connection, ANNA, "send_heartbeat", pair_code="projekt")
            sent = changes(connection)
            connection.execute("select pg_drop_replication_slot('realtime')")
    tables = {message[5:].split(b"\0")[1].decode() for message in sent if message[:1] == b"R"}
    assert tables == {"presence_sessions", "rooms"}
    # each change of a row has its new values alone: no key (K) and no old row (O) before them
    updates = [message for message in sent if message[:1] == b"U"]
    assert len(updates) == 3
    assert {message[5:6] for message in updates} == {b"N"}


def changes(connection: psycopg.Connection) -> list[bytes]:
    """The messages of the publication, as PostgreSQL writes them."""
    messages = connection.execute(
        "select data from pg_logical_slot_get_binary_changes("
        "  'realtime', null, null, 'proto_version', '1', 'publication_names', 'supabase_realtime')"
    )
    return [data for (data,) in messages]
