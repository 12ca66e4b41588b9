"""The built wheel, installed into an environment of its own, run in an empty folder."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from api.settings import ROOT
from tests.support.missing import missing


def _uv(*arguments: str | Path) -> None:
    """Runs uv, which `make` puts into .uv where it is not on the PATH."""
    program = shutil.which("uv", path=os.pathsep.join([os.environ["PATH"], str(ROOT / ".uv" / "bin")]))
    if program is None:
        missing("These tests need uv: make .uv/bin/uv")
    subprocess.run([program, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """The folder of programs of an environment with the wheel and its dependencies."""
    # outside of pytest's own folders, which the user of the embedded database may not enter
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        built, environment = Path(folder) / "built", Path(folder) / "environment"
        _uv("build", "--quiet", "--wheel", "--out-dir", built)
        # the versions of the lock file, which are in uv's cache already
        pins = built / "pins.txt"
        _uv("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--output-file", pins)
        _uv("venv", "--quiet", "--python", sys.executable, environment)
        [wheel] = built.glob("*.whl")
        _uv("pip", "install", "--quiet", "--python", environment, "--constraint", pins, wheel)
        yield environment / "bin"


def test_portal_run_works_in_an_empty_folder(installed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "PORT": str(port)}
    with (
        tempfile.TemporaryDirectory(prefix="portal-") as folder,
        subprocess.Popen(
            [installed / "portal", "run"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        try:
            _wait_for(client, process)
            offer = {"issuerUid": "anna", "voucherId": "v-1", "title": "Beratung"}
            hours = {"validFrom": "2030-01-07T09:00:00Z", "validUntil": "2030-01-07T12:00:00Z"}
            assert client.post("/api/voucher/issue", json=offer | hours).json()["ok"]
            booking = {"voucherId": "v-1", "slotId": "slot-2030-01-07T10:00:00.000Z", "holderUid": "ben"}
            assert client.post("/api/voucher/book", json=booking).json()["ok"]
            assert client.post("/api/voucher/book", json=booking).json()["error"] == "Slot nicht verfügbar"

            # the demo data, the page and Vega travel in the wheel, too
            assert client.get("/api/admin/settlements").json()["items"]
            assert "<html" in client.get("/admin").text
            assert "vegaEmbed" in client.get("/admin/vega.js").text

            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=20)
            assert (process.returncode, output.splitlines()[-1]) == (0, "Stopped.")
            assert (Path(folder) / ".data" / "postgres" / "PG_VERSION").exists()
        finally:
            process.kill()


def test_settings_come_from_the_current_folder(installed: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        (Path(folder) / ".env").write_text("PORT=abc\n")
        result = subprocess.run(
            [installed / "portal", "run"],
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert "PORT: Input should be a valid integer" in result.stderr


def _wait_for(client: httpx.Client, process: subprocess.Popen[str]) -> None:
    """Waits until the server answers. Fails where it ends or takes a minute."""
    for _ in range(600):
        assert process.poll() is None
        with suppress(httpx.TransportError):
            assert client.get("/health").status_code == 200
            return
        time.sleep(0.1)
    pytest.fail("the server does not answer")
