"""`portal run` on a database that can only be read: it answers what reads, and 503 with a sentence to what writes."""

import asyncio
import json
import os
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from api.database.migrations import migrate
from api.scheduler import Scheduler
from tests.cli.running import PORTAL, portal
from tests.support.acting import one
from tests.support.databases import EMBEDDED, Server, run_local
from tests.support.serving import Connection
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

GERMAN = "Datenbank erlaubt gerade nur Lesen, bitte später noch einmal"
ENGLISH = "database read-only at the moment, please try again later"


def by_a_setting(server: Server, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set default_transaction_read_only = on")
        connection.execute("select pg_reload_conf()")


def as_a_replica(server: Server, url: str) -> None:
    with psycopg.connect(url) as connection:
        folder = Path(one(connection, "show data_directory"))
    server.stop()
    (folder / "standby.signal").touch()
    server.start()


@pytest.fixture(scope="module", params=[by_a_setting, as_a_replica])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database that was then made read-only."""
    with run_local(EMBEDDED) as server:
        url = server.url()
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("insert into public.thinkers (id, public_id) values (private.thinker_id('a'), 'a')")
            connection.execute(
                "insert into public.vouchers (id, issuer_id, valid_from, valid_until) values "
                "('v', private.thinker_id('a'), '2030-05-01T09:00Z', '2030-05-01T10:00Z')"
            )
        request.param(server, url)
        yield url


@pytest.fixture(scope="module")
def read_only(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a `portal run` with rate limits on this database."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"DATABASE_URL": database, "PORT": str(port), "SEED": "0", "RATE_LIMIT": "on"}
    folder = tmp_path_factory.mktemp("data")
    with subprocess.Popen([*PORTAL, "run"], env=os.environ | settings | {"DATA_DIR": str(folder)}) as process:
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def answers(origin: str) -> bool:
    with suppress(httpx.TransportError):
        return bool(httpx.get(f"{origin}/health").status_code)
    return False


def test_requests_that_read_are_answered(read_only: str) -> None:
    with Connection(read_only) as connection:
        # the second of these is counted for its rate limit
        listed = connection.get("/api/voucher/list")
        slots = connection.get("/api/slots/available?voucherId=v")
    assert (listed.status, len(listed.body["items"])) == (200, 1)
    assert (slots.status, len(slots.body["items"])) == (200, 1)


def test_requests_that_write_get_503(read_only: str) -> None:
    booking = {"voucherId": "v", "slotId": "slot-2030-05-01T09:00:00.000Z", "holderUid": "a"}
    with Connection(read_only) as connection:
        booked = connection.post("/api/voucher/book", booking)
        sent = connection.post("/api/telemetry", {"events": [{"type": "page.view"}]})
    assert (booked.status, booked.body) == (503, {"ok": False, "error": GERMAN})
    assert (sent.status, sent.body) == (503, {"ok": False, "error": ENGLISH})


def test_health_says_that_nothing_can_be_written(read_only: str) -> None:
    with Connection(read_only) as connection:
        health = connection.get("/health")
    assert (health.status, health.body) == (503, {"ok": False, "error": ENGLISH})


def test_its_jobs_are_not_run(database: str, caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> None:
        async with asyncio.TaskGroup() as tasks:
            await Scheduler(database).start_due_jobs(tasks)

    asyncio.run(look())
    assert caplog.messages == []
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from private.job_runs") == 0


def test_a_database_that_cannot_be_written_is_backed_up(database: str, tmp_path: Path) -> None:
    portal("backup", str(tmp_path / "portal.zip"), DATABASE_URL=database)
    with zipfile.ZipFile(tmp_path / "portal.zip") as archive:
        assert json.loads(archive.read("rows.json"))["public.vouchers"] == 1
