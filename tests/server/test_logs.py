"""The log has a line for each request, nothing secret, and nothing that a stranger has forged."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.running import PORTAL
from tests.server.running import Running, run_portal
from tests.support.serving import Connection
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

KEY = "a-key-that-nobody-may-read-4711"
SECRET = "secret4711"
ID = re.compile("[0-9a-f]{16}")


@pytest.fixture
def running(database: str, tmp_path: Path) -> Iterator[Running]:
    with run_portal(database, tmp_path, TS_API_KEY=KEY, WORKERS="1", TRUSTED_PROXIES="127.0.0.1") as running:
        yield running


def lines(running: Running, number: int) -> list[dict[str, Any]]:
    """Returns so many lines that the server has written after the request of the fixture; each is JSON.

    The line of a request follows its answer.
    """
    wait_until(lambda: running.log.read_text().count("\n") >= number + 1)
    [_, *written] = running.log.read_text().splitlines()
    assert len(written) == number
    return [json.loads(line) for line in written]


def test_each_request_has_a_line(running: Running) -> None:
    with Connection(running.url) as client:
        token = client.post("/api/presence/verify", {"token": "t"}).body["access_token"]
        answers = [
            client.get("/api/telbank/transfers/in-1?a=b", x_ts_apikey=KEY),
            client.post("/api/presence/heartbeat", {"thinker_id": "anna"}, x_ts_apikey=KEY),
            client.get("/api/voucher/list"),
            client.get("/api/voucher/list", authorization=f"Bearer {token}"),
            client.ask("HEAD", "/health/live"),
            client.ask("BREW" * 3000, "/pot"),
        ]
    _, *written = lines(running, 7)
    got = [tuple(line[name] for name in ("method", "route", "status", "caller")) for line in written]
    assert got == [
        ("GET", "/api/telbank/transfers/{transfer_id}", 404, "service"),
        ("POST", "/api/presence/heartbeat", 200, "service"),
        ("GET", "/api/voucher/list", 401, "anon"),
        ("GET", "/api/voucher/list", 200, "thinker"),
        ("HEAD", "/health/live", 200, "anon"),
        ("other", "unmatched", 404, "anon"),
    ]
    assert [line["actor"] for line in written[:3]] == ["service", "anna", "anon"]
    assert re.fullmatch(r"[\w-]+", written[3]["actor"])
    assert [line["id"] for line in written] == [answer.headers["x-request-id"] for answer in answers]
    assert all(ID.fullmatch(line["id"]) and line["ms"] > 0 and line["event"] == "request" for line in written)


@pytest.mark.parametrize("sent", ["a" * 32, "0af7.65-19_16"])
def test_a_proxy_names_a_request(running: Running, sent: str) -> None:
    with Connection(running.url) as client:
        assert client.get("/health/live", x_request_id=sent).headers["x-request-id"] == sent
    assert [line["id"] for line in lines(running, 1)] == [sent]


@pytest.mark.parametrize("sent", [b"", b"a" * 65, b'a","status":1', b"a b", b"\xc3\xbc", b"a\x9b"])
def test_another_name_is_not_believed(running: Running, sent: bytes) -> None:
    with Connection(running.url) as client:
        answer = client.ask("GET", "/health/live", headers={"X-Request-ID": sent})
    [line] = lines(running, 1)
    assert line["id"] == answer.headers["x-request-id"]
    assert ID.fullmatch(line["id"])


def test_a_client_names_no_request(database: str, tmp_path: Path) -> None:
    with run_portal(database, tmp_path, WORKERS="1") as running, Connection(running.url) as client:
        assert client.get("/health/live", x_request_id="a" * 32).headers["x-request-id"] != "a" * 32


def test_nothing_secret_is_written(running: Running, database: str) -> None:
    headers = {
        "X-TS-APIKEY": SECRET,
        "Authorization": f"Bearer {SECRET}",
        "Cookie": f"portal_token={SECRET}; portal_session={SECRET}; {SECRET}={SECRET}",
        "X-Forwarded-For": SECRET,
        "User-Agent": SECRET,
        "Referer": f"http://{SECRET}/",
        SECRET: SECRET,
    }
    trusted = headers | {"X-TS-APIKEY": KEY}
    body = {"voucherId": SECRET, "issuerUid": "anna", "title": SECRET, "slotId": SECRET, "token": SECRET, "key": SECRET}
    with Connection(running.url) as client:
        for sent in (headers, trusted):
            for path in (f"/{SECRET}", f"/api/{SECRET}", f"/api/telbank/transfers/{SECRET}", "/api/voucher/list"):
                client.ask("GET", f"{path}?{SECRET}={SECRET}", headers=sent)
            for path in ("/api/voucher/issue", "/api/voucher/book", "/api/presence/verify", "/api/telemetry"):
                client.ask("POST", f"{path}?{SECRET}", body, headers=sent)
            client.ask("PUT", "/api/admin/session", body, headers=sent)
            client.ask("POST", "/api/voucher/issue", raw=f'{{"{SECRET}'.encode(), headers=sent)
        # as a bug of the server: its traceback names no value
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("alter function public.book_voucher rename to gone")
        booking = body | {"holderUid": "b", "slotId": "slot-2030-01-07T10:00:00.000Z"}
        assert client.ask("POST", "/api/voucher/book", booking, headers=trusted).status == 500
    wait_until(lambda: running.log.read_text().count('"event": "request"') == 22)
    written = running.log.read_text()
    assert '"exception": "Traceback' in written
    assert SECRET not in written
    assert KEY not in written


def test_hostile_text_makes_no_line_of_its_own(running: Running) -> None:
    hostile = 'anna\n{"event": "request", "status": 200}\r\n\x1b]0;x\x07\u009b31m\u202eü'
    with Connection(running.url) as client:
        client.post("/api/presence/heartbeat", {"thinker_id": hostile}, x_ts_apikey=KEY)
        client.post("/api/presence/heartbeat", {"thinker_id": "x" * 10_000}, x_ts_apikey=KEY)
    assert [line["actor"] for line in lines(running, 2)] == [hostile, "x" * 255]
    written = running.log.read_text()
    assert written.isascii()
    assert all(c.isprintable() for line in written.splitlines() for c in line)


def test_without_info_only_failures_are_written(database: str, tmp_path: Path) -> None:
    with run_portal(database, tmp_path, WORKERS="1", LOG_LEVEL="warning") as running:
        assert running.answers()
        assert running.log.read_text() == ""
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("alter function public.ping rename to gone")
        assert not running.answers()
        wait_until(lambda: running.log.read_text().count("\n") == 2)
        bug, failed = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert (bug["level"], bug["logger"], bug["id"]) == ("error", "api.http.errors", failed["id"])
    assert "UndefinedFunction" in bug["exception"]
    assert (failed["level"], failed["status"], failed["route"]) == ("warning", 500, "/health")


def test_a_terminal_gets_readable_lines_and_nothing_raw(database: str, tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    settings = {"DATABASE_URL": database, "DATA_DIR": str(tmp_path), "PORT": "0", "WORKERS": "1", "NO_COLOR": "1"}
    with subprocess.Popen(
        [*PORTAL, "run"], env=os.environ | settings, stdout=subprocess.PIPE, stderr=terminal, text=True
    ) as process:
        os.close(terminal)
        try:
            assert process.stdout
            output = ""
            while "Ctrl-C" not in output:
                output += process.stdout.readline()
            port = re.search(r"http://\S+:(\d+)", output)
            assert port
            with Connection(f"http://127.0.0.1:{port[1]}") as client:
                client.post("/api/presence/heartbeat", {"thinker_id": "a\nb\x1b]0;x\x07\u202e"})
            shown = b""

            def has_line() -> bool:
                nonlocal shown
                with suppress(BlockingIOError):
                    shown += os.read(master, 4096)
                return shown.endswith(b"\n") and b"heartbeat" in shown

            os.set_blocking(master, False)
            wait_until(has_line)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    os.close(master)
    without_style = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert without_style.count("\n") == 1
    # escaped, and once more as a quoted text
    assert r"actor='a b\\x1b]0;x\\x07\\u202e'" in without_style
    assert all(c.isprintable() for c in without_style.rstrip())
