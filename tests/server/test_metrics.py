"""The metrics of several processes are one, also after one of them has died."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

import pytest

from api import metrics
from api.metrics import FOLDER, reserve, shared_folder
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


def folder_of(running: Running) -> Path:
    """Returns where the processes write what they count."""
    [folder] = {worker.environ()[FOLDER] for worker in running.workers()}
    return Path(folder)


def test_several_processes_count_together(database: str, tmp_path: Path) -> None:
    with run_portal(database, tmp_path) as running:
        folder = folder_of(running)
        sent = ask_each(running)
        wait_until(lambda: read_metrics(running.url).get(LIVE) == sent)
        limit = ("portal_calls_limit",)
        wait_until(lambda: read_metrics(running.url).get(limit) == 32)
        files = set(folder.iterdir())

        # what a process has counted stays when it dies
        killed, kept = running.workers()
        killed.kill()
        wait_until(lambda: len(running.workers() - {killed, kept}) == 1)
        wait_until(running.answers)
        sent += ask_each(running)
        wait_until(lambda: read_metrics(running.url)[LIVE] == sent)
        wait_until(lambda: read_metrics(running.url).get(limit) == 32)
        assert set(folder.iterdir()) == files
    assert not folder.exists()


def test_a_process_that_replaces_another_begins_with_its_counters_only(tmp_path: Path) -> None:
    code = """
        import asyncio, sys
        from api import metrics
        from api.gateway.shares import Usage

        async def count():
            number = int(sys.argv[1])
            metrics.write_as(number)
            counting = metrics.Metrics(Usage(most=16))
            counting.refuse("tea")
            if number == 0:
                async with counting.watching(range(7)):
                    await asyncio.sleep(0)
            print(counting.text().decode())

        asyncio.run(count())
    """

    def count(number: int) -> set[str]:
        reserve(tmp_path, number)
        command = [sys.executable, "-c", dedent(code), str(number)]
        result = subprocess.run(
            command, env=os.environ | {FOLDER: str(tmp_path)}, capture_output=True, text=True, check=True
        )
        return set(result.stdout.splitlines())

    assert {'portal_rate_limited_total{limit="tea"} 1.0', "portal_connections 7.0"} <= count(0)
    assert {'portal_rate_limited_total{limit="tea"} 2.0', "portal_connections 7.0"} <= count(1)
    reserve(tmp_path, 0)
    assert {'portal_rate_limited_total{limit="tea"} 3.0', "portal_connections 0.0"} <= count(1)


def test_the_files_have_their_space_from_the_start(database: str, tmp_path: Path) -> None:
    """All routes need no more: a disk that is full since then takes nothing from it."""
    with run_portal(database, tmp_path) as running:
        folder = folder_of(running)
        before = {file.name: file.stat().st_size for file in folder.iterdir()}
        with Connection(running.url) as client:
            paths = client.get("/schema/openapi.json").body["paths"]
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"):
                for path in paths:
                    client.ask(method, path.replace("{", "").replace("}", ""))
        assert len(before) == 6
        assert {file.name: file.stat().st_size for file in folder.iterdir()} == before
        assert all(file.stat().st_blocks * 512 >= before[file.name] for file in folder.iterdir())


def test_they_are_in_memory_where_that_has_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for there, processes, expected in (
        (memory, 2, memory),
        (memory, 2**40, tmp_path),
        (tmp_path / "none", 2, tmp_path),
    ):
        monkeypatch.setattr(metrics, "_MEMORY", there)
        with shared_folder(processes) as folder:
            assert Path(folder).parent == expected


def test_each_server_begins_with_nothing(database: str, tmp_path: Path) -> None:
    for _ in range(2):
        with run_portal(database, tmp_path) as running:
            assert LIVE not in read_metrics(running.url)
            with Connection(running.url) as client:
                client.get("/health/live")
            # its line is written with its count
            wait_until(lambda: "/health/live" in (tmp_path / "log").read_text())
            assert read_metrics(running.url)[LIVE] == 1
