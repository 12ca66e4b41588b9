"""The shutdown: the server reports that it is not ready, finishes running requests, and exits."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from tests.server.running import run_portal
from tests.support.forms import begun, file
from tests.support.serving import Connection, idle
from tests.support.waiting import wait_for_row, wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_finishes_what_it_began_and_hangs_up_on_idle_clients(database: str, tmp_path: Path, workers: str) -> None:
    with (
        run_portal(database, tmp_path, WORKERS=workers) as running,
        psycopg.connect(database) as holding,
        psycopg.connect(database, autocommit=True) as watching,
        Connection(running.url) as connection,
        ThreadPoolExecutor(1) as thread,
        closing(idle(running.url)) as other,
    ):
        holding.execute("lock table public.vouchers")
        slow = thread.submit(connection.get, "/api/voucher/list")
        ours = "from pg_stat_activity where application_name = 'togethersystems-api' and wait_event_type = 'Lock'"
        wait_for_row(watching, f"select {ours}")

        running.process.send_signal(signal.SIGTERM)
        assert other.recv(1) == b""  # the server has hung up
        assert not slow.done()
        holding.rollback()

        assert slow.result().status == 200
        assert running.process.wait() == 0


def test_what_it_does_not_finish_leaves_nothing(database: str, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_bytes(b"x" * 2**24)
    contracts = tmp_path / "contracts"
    body = b'POST /api/voucher/issue HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"issuerUid": '
    with run_portal(database, tmp_path, WORKERS="1", PORTAL_DIR=str(pages)) as running, ExitStack() as clients:
        for _ in range(2):
            clients.enter_context(begun(running.url, file(b"x" * 2**20), 2**22))
        unread, unfinished = (clients.enter_context(closing(idle(running.url))) for _ in range(2))
        unread.sendall(b"GET / HTTP/1.1\r\nHost: portal.localhost\r\n\r\n")
        assert unread.recv(12) == b"HTTP/1.1 200"
        unfinished.sendall(body)
        wait_until(lambda: len(list(contracts.glob("*/*"))) == 2)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait() == 0
    assert list(contracts.iterdir()) == []
    assert "Traceback" not in running.log.read_text()


def test_it_serves_for_a_while_after_it_has_said_that_it_stops(database: str, tmp_path: Path) -> None:
    with run_portal(database, tmp_path, WORKERS="1", STOP_DELAY="3600") as running:
        with Connection(running.url) as kept:
            assert kept.get("/health/ready").status == 200
            running.process.send_signal(signal.SIGTERM)
            wait_until(lambda: kept.get("/health/ready").status == 503)
            with Connection(running.url) as new:
                ready, live, listed = [new.get(path) for path in ("/health/ready", "/health/live", "/api/voucher/list")]
        assert (ready.status, ready.body) == (503, {"ok": False, "error": "the server is stopping"})
        assert (live.status, listed.status, listed.headers["connection"]) == (200, 200, "close")
        # a second signal ends it at once
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait() == 0
