"""`make dev`: a copy of the checkout is served, changed and stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from api.settings import ROOT


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of what the server runs from."""
    # outside of pytest's own folders, which the user of the embedded database may not enter
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        for name in ("api", "sql", "supabase"):
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def wait_until(happened: Callable[[], bool]) -> None:
    """Fails after a minute."""
    for _ in range(600):
        if happened():
            return
        time.sleep(0.1)
    pytest.fail("it did not happen")


def test_it_follows_changes_of_python_and_of_functions(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(checkout),
        "DATA_DIR": str(checkout / "data"),
        "PORT": str(port),
        "SEED": "0",
    }
    log = checkout / "log"

    def health() -> tuple[int, object]:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/health")
        except httpx.TransportError:
            return 0, None
        return answer.status_code, answer.json().get("ok")

    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "api.cli.dev"], cwd=checkout, env=environment, stdout=output
        ) as process,
    ):
        try:
            wait_until(lambda: health() == (200, True))

            [ping] = checkout.glob("sql/*/**/ping.sql")
            replace(ping, "= 'off'", "= (1 / 0)::text")
            wait_until(lambda: health()[0] != 200)
            replace(ping, "= (1 / 0)::text", "= 'off'")
            wait_until(lambda: health() == (200, True))
            assert "Restarting" not in log.read_text()

            replace(checkout / "api" / "routes" / "health.py", "ok: bool = True", "ok: bool = False")
            wait_until(lambda: health() == (200, False))

            # a mistake ends the server, and the next change starts it again
            replace(checkout / "api" / "routes" / "health.py", "ok: bool = False", "ok: bool =")
            wait_until(lambda: health()[0] == 0)
            replace(checkout / "api" / "routes" / "health.py", "ok: bool =", "ok: bool = True")
            wait_until(lambda: health() == (200, True))

            [thinkers] = checkout.glob("sql/*/**/thinkers.sql")
            thinkers.touch()
            wait_until(lambda: "thinkers.sql needs a fresh database" in " ".join(log.read_text().split()))

            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
            assert health() == (0, None)
        finally:
            process.terminate()
