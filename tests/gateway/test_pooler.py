"""Everything works through a transaction pooler with other clients, or says that it cannot."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from api.database.migrations import migrate
from api.errors import PortalError
from api.scheduler import Scheduler
from tests.cli.running import portal, rows, run
from tests.rooms.talking import joined, match, say, text_heard
from tests.support.charging import charge
from tests.support.pooler import CONNECTIONS, run_pooler
from tests.support.serving import Connection, serve, settings_in

pytestmark = pytest.mark.slow


@pytest.fixture
def pooled(database: str) -> Iterator[str]:
    """The URL of the test's database through a pooler, whose connections other clients use all the time.

    A lock that another connection of the pooler keeps is an error there, instead of a test that never ends.
    """
    with psycopg.connect(database, autocommit=True) as direct:
        name = sql.Identifier(direct.info.dbname)
        direct.execute(sql.SQL("alter database {} set lock_timeout = '20s'").format(name))
    with run_pooler(database) as url, others(url):
        yield url


@contextmanager
def others(url: str) -> Iterator[None]:
    """Clients that take one connection after the other, each for a moment."""
    ended = threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            while not ended.is_set():
                with connection.transaction():
                    connection.execute("select pg_sleep(0.001)")

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS - 2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_a_migration_leaves_no_lock_and_no_setting(database: str, pooled: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as direct, psycopg.connect(pooled, autocommit=True) as client:
        for number in range(1, 6):
            (tmp_path / f"2099010100000{number}_next.sql").write_text("set search_path = nowhere")
            assert len(migrate(pooled, tmp_path)) == 1
            assert direct.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchall() == [(0,)]
            assert client.execute("show search_path").fetchall() == [('"$user", public',)]


def test_the_command_line_works(database: str, pooled: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", pooled)
    with psycopg.connect(database, autocommit=True) as direct:
        charge(direct, "2025-03-05", 1234)
    assert portal("migrate") == "Nothing to apply.\n"
    assert rows(portal("settle", "--dry-run"))[0][:2] == ["2025-03", "togethersystems"]
    [settlement] = rows(portal("settle"))
    assert "12.34" in portal("statement", settlement[6])
    assert portal("invoice", settlement[6]).startswith("invoiced")
    portal("jobs", "run", "expire-vouchers")
    assert "access_rules_are_those_of_the_schema   holds" in run("check").stdout
    with pytest.raises(PortalError, match="leads through a transaction pooler"):
        portal("backup", str(tmp_path / "file"))
    assert not list(tmp_path.glob("file*"))


def test_a_room_works_within_a_server(database: str, pooled: str, tmp_path: Path) -> None:
    room = match(database, "anna", "ben")
    with (
        serve(settings_in(tmp_path), pooled) as url,
        joined(url, room, "anna") as anna,
        joined(url, room, "ben") as ben,
    ):
        say(ben, "Hallo")
        assert text_heard(anna) == ("ben", "Hallo")
    with psycopg.connect(database) as connection:
        listening = "select count(*) from pg_stat_activity where query ilike 'listen%'"
        assert connection.execute(listening).fetchone() == (0,)


def test_the_server_works(pooled: str, tmp_path: Path) -> None:
    window = {"validFrom": "2030-01-07T09:00:00Z", "validUntil": "2030-01-07T18:00:00Z"}
    with serve(settings_in(tmp_path), pooled) as url, Connection(url) as connection:
        issued = connection.post(
            "/api/voucher/issue", {"issuerUid": "anna", "voucherId": "v", "price": {"amount": 1}} | window
        )
        assert issued.status == 200
        for hour in range(9, 17):
            slot = f"slot-2030-01-07T{hour:02}:00:00.000Z"
            booked = connection.post("/api/voucher/book", {"voucherId": "v", "slotId": slot, "holderUid": f"b{hour}"})
            assert booked.status == 200


def test_two_servers_run_each_due_job_once(pooled: str, database: str) -> None:
    async def look() -> None:
        async with asyncio.TaskGroup() as tasks:
            await asyncio.gather(*(Scheduler(pooled).start_due_jobs(tasks) for _ in range(2)))

    with psycopg.connect(database, autocommit=True) as direct:
        direct.execute("update private.jobs set schedule = '* * * * *', added_at = now() - interval '1 hour'")
        asyncio.run(look())
        runs = direct.execute("select job, array_agg(error) from private.job_runs group by job").fetchall()
        assert sorted(runs) == [
            (name, [None]) for (name,) in direct.execute("select name from private.jobs order by 1")
        ]
