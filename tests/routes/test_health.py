"""Below /health: whether the process answers, and whether requests should be sent to it."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.acting import one
from tests.support.databases import Server
from tests.support.outages import away
from tests.support.parallel import ask_at_once
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_until

OK = (200, {"ok": True})
OLD_ID = "20000101000000"


@pytest.fixture
def client(portal: str) -> Iterator[Connection]:
    with Connection(portal) as connection:
        yield connection


def ask(client: Connection, name: str) -> tuple[int, object]:
    answer = client.get(f"/health/{name}")
    assert answer.headers["cache-control"] == "no-store"
    return answer.status, answer.body


def test_a_server_is_ready(client: Connection) -> None:
    assert [ask(client, name) for name in ("live", "ready")] == [OK, OK]


@pytest.mark.parametrize(
    "change",
    [
        f"insert into supabase_migrations.schema_migrations (version) values ('{OLD_ID}')",
        "delete from supabase_migrations.schema_migrations",
        "drop table supabase_migrations.schema_migrations",
        "drop function public.applied_migrations",
    ],
    ids=["another one", "none", "no table", "an older schema"],
)
def test_a_database_with_other_migrations_is_not_ready(client: Connection, database: str, change: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(change.encode())
    refused = (503, {"ok": False, "error": "the database has other migrations than this server"})
    assert [ask(client, name) for name in ("live", "ready")] == [OK, refused]


def test_what_was_wrong_is_forgotten_after_a_second(client: Connection, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("insert into supabase_migrations.schema_migrations (version) values (%s)", (OLD_ID,))
        assert ask(client, "ready")[0] == 503
        connection.execute("delete from supabase_migrations.schema_migrations where version = %s", (OLD_ID,))
    wait_until(lambda: ask(client, "ready") == OK)


def test_a_server_whose_database_is_away_lives_but_is_not_ready(client: Connection, server: Server) -> None:
    with away(server):
        assert ask(client, "live") == OK
        refused = (503, {"ok": False, "error": "database not available, please try again shortly"})
        assert ask(client, "ready") == refused
    wait_until(lambda: ask(client, "ready") == OK)


def test_many_who_ask_are_answered_from_one_call(portal: str, database: str) -> None:
    calls = "select coalesce(sum(calls), 0) from pg_stat_user_functions where funcname = 'applied_migrations'"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"alter database {connection.info.dbname} set track_functions = 'all'")
        # at once, and each of them again and again
        answers = ask_at_once(portal, *[lambda c: [c.get("/health/ready") for _ in range(20)][-1]] * 10)
        assert {answer.status for answer in answers} == {200}
        wait_until(lambda: one(connection, calls))
        assert one(connection, calls) < 100


def test_a_replica_is_ready(database: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"alter database {connection.info.dbname} set default_transaction_read_only = on")
    with serve(settings_in(tmp_path_factory.mktemp("replica")), database) as url, Connection(url) as client:
        assert (ask(client, "ready"), client.get("/health").status) == (OK, 503)
