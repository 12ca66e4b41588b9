"""The metrics of several processes are one, also after one of them has died."""

from pathlib import Path

import pytest

from tests.server.running import Running, run_portal
from tests.support.metrics import read_metrics
from tests.support.serving import Connection
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LIVE = ("portal_requests_total", "GET", "/health/live", "200")


def ask_each(running: Running) -> int:
    """Sends requests on so many connections that each process answers some; returns their number."""
    for _ in range(40):
        with Connection(running.url) as client:
            client.get("/health/live")
    return 40


def gauges(folder: Path) -> set[str]:
    """Returns the ids of the processes whose gauges are counted."""
    return {file.stem.removeprefix("gauge_livesum_") for file in folder.glob("portal-metrics-*/gauge_livesum_*.db")}


def test_several_processes_count_together(database: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with run_portal(database, tmp_path, TMPDIR=str(tmp_path / "files")) as running:
        sent = ask_each(running)
        wait_until(lambda: read_metrics(running.url).get(LIVE) == sent)
        limit = ("portal_calls_limit",)
        wait_until(lambda: read_metrics(running.url).get(limit) == 32)

        # what a process has counted stays when it dies, and its connections do not
        killed, kept = running.workers()
        killed.kill()
        wait_until(lambda: len(running.workers() - {killed, kept}) == 1)
        wait_until(lambda: gauges(tmp_path / "files") == {str(worker.pid) for worker in running.workers()})
        wait_until(running.answers)
        sent += ask_each(running)
        wait_until(lambda: read_metrics(running.url)[LIVE] == sent)
        wait_until(lambda: read_metrics(running.url).get(limit) == 32)
    assert not list((tmp_path / "files").glob("portal-metrics-*"))


def test_each_server_begins_with_nothing(database: str, tmp_path: Path) -> None:
    for _ in range(2):
        with run_portal(database, tmp_path) as running:
            assert LIVE not in read_metrics(running.url)
            with Connection(running.url) as client:
                client.get("/health/live")
            # its line is written with its count
            wait_until(lambda: "/health/live" in (tmp_path / "log").read_text())
            assert read_metrics(running.url)[LIVE] == 1
