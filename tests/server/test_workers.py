"""Several processes serve on one port; none of them is missed when it dies, and all of them end together."""

import multiprocessing
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from litestar import Litestar, get
from litestar.types import ASGIApp

from api.errors import PortalError
from api.http import server as http_server
from api.http import workers as http_workers
from api.http.server import Server
from api.http.workers import workers_for
from api.metrics import FOLDER
from tests.cli.running import PORTAL
from tests.server.running import Running, run_portal
from tests.support.pooler import run_pooler
from tests.support.serving import settings_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ALL_IS_WELL = '"event": "request", "level": "info"'


@pytest.fixture
def running(database: str, tmp_path: Path) -> Iterator[Running]:
    with run_portal(database, tmp_path) as running:
        yield running


def test_a_worker_that_dies_is_replaced(running: Running) -> None:
    wait_until(lambda: len(running.workers()) == 2)
    killed, kept = running.workers()
    killed.kill()
    wait_until(lambda: len(running.workers() - {killed, kept}) == 1)
    wait_until(running.answers)
    assert "a worker has ended with exit code -9, and is replaced" in running.log.read_text()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_workers_end_with_the_server(running: Running, ending: signal.Signals) -> None:
    workers = running.workers()
    assert workers
    running.process.send_signal(ending)
    assert running.process.wait() == 0
    assert [worker for worker in workers if worker.is_running()] == []
    assert [line for line in running.log.read_text().splitlines() if ALL_IS_WELL not in line] == []


def test_a_process_leaves_most_of_many_new_connections_to_others(tmp_path: Path) -> None:
    waiting = 0

    @get("/")
    async def count() -> None:
        nonlocal waiting
        with suppress(BlockingIOError):
            while True:
                listener.accept()[0].close()
                waiting += 1
        server.should_exit = True

    server = Server(Litestar([count], openapi_config=None), settings_in(tmp_path))
    with socket.socket() as listener, ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        for _ in range(64):
            client = clients.enter_context(socket.create_connection(listener.getsockname()))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.run(sockets=[listener])
    assert waiting > 32


def test_a_busy_process_takes_many_new_connections_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_LATELY_SECONDS", 600.0)
    with http_server._Listener() as listener, ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for _ in range(9):
            clients.enter_context(socket.create_connection(listener.getsockname()))
        clients.enter_context(listener.accept()[0])
        with pytest.raises(BlockingIOError):
            listener.accept()
        began = time.thread_time()
        while time.thread_time() < began + 2 * http_server._BUSY_SECONDS:
            pass
        for _ in range(8):
            clients.enter_context(listener.accept()[0])


def test_workers_end_with_a_server_that_is_killed(running: Running) -> None:
    workers = running.workers()
    assert workers
    [folder] = {worker.environ()[FOLDER] for worker in workers}
    running.process.kill()
    wait_until(lambda: not any(worker.is_running() for worker in workers))
    assert not Path(folder).exists()


def dying(folder: Path) -> ASGIApp:
    """In a worker, ends it with exit code 7; the third does not start at all."""
    if multiprocessing.parent_process() is not None:
        (folder / str(os.getpid())).touch()
        os._exit(7 if len(list(folder.iterdir())) < 3 else 3)
    return cast(ASGIApp, None)


@pytest.mark.parametrize(("soon", "pauses"), [(3600, {1}), (0, set())])
def test_one_that_dies_soon_is_replaced_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: int, pauses: set[float]
) -> None:
    slept: list[float] = []
    monkeypatch.setenv(FOLDER, "")  # which is changed
    monkeypatch.setattr(http_workers, "_SOON", soon)
    monkeypatch.setattr(http_workers, "sleep", slept.append)
    with socket.socket() as listener, pytest.raises(PortalError):
        http_workers.serve(partial(dying, tmp_path), settings_in(tmp_path), listener, 2)
    assert set(slept) == pauses


def test_without_the_setting_each_core_has_a_worker_unless_rooms_could_not_be_shared(
    database: str, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    assert workers_for(settings, database) == min(os.cpu_count() or 1, 4)
    assert workers_for(settings, None) == 1
    with run_pooler(database) as pooled:
        assert workers_for(settings, pooled) == 1
    assert workers_for(settings_in(tmp_path, workers=3), None) == 3


def test_a_setting_that_is_wrong_is_told_once(database: str, tmp_path: Path) -> None:
    key_file = tmp_path / "keys"
    key_file.write_text("[]")
    settings = {"DATABASE_URL": database, "DATA_DIR": str(tmp_path), "PORT": "0", "JWT_KEY_FILE": str(key_file)}
    result = subprocess.run(
        [*PORTAL, "run"], env=os.environ | settings | {"WORKERS": "2"}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.count("JWT_KEY_FILE) is empty") == 1
    assert "Traceback" not in result.stderr
