"""Clients that are idle, slow or many take neither the connections nor the time of the server from others."""

import asyncio
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from api.http import incoming
from api.http import server as http_server
from api.http.server import Server
from tests.cli.running import PORTAL
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_for_row, wait_until

# they wait for time limits
pytestmark = pytest.mark.slow

ISSUE = b"POST /api/voucher/issue HTTP/1.1\r\nHost: localhost\r\nX-TS-APIKEY: key\r\n"
JSON = ISSUE + b"Content-Length: 1000\r\n\r\n"
CHUNKED = ISSUE + b"Transfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n"
)
REFUSED = b"POST /api/unknown HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


@contextmanager
def connected(url: str, sent: bytes = b"", source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Yields a connection on which this was sent."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30, source_address=(source, 0)) as client:
        client.sendall(sent)
        yield client


@contextmanager
def asking(url: str, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Yields a connection with a request whose body the server waits for."""
    with connected(url, JSON.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), source) as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        yield client


def received(client: socket.socket) -> bytes:
    """Returns what arrives until the server hangs up."""
    answer = b""
    with suppress(ConnectionResetError):
        while part := client.recv(65536):
            answer += part
    return answer


def is_served(url: str) -> bool:
    """Returns whether a new connection is answered."""
    with suppress(OSError), Connection(url) as client:
        return client.get("/health").status == 200
    return False


def others_are_served(url: str, source: str = "127.0.0.2") -> bool:
    """Returns whether another caller can read and write, on a connection of its own."""
    with Connection(url, source) as other:
        issued = other.post("/api/voucher/issue", {"issuerUid": "anna"}, x_ts_apikey="key")
        return (other.get("/health").status, issued.status) == (200, 200)


@pytest.fixture(scope="module")
def impatient(shared_database: str, shared_folder: Path) -> Iterator[str]:
    """The URL of an app that waits a second for its clients."""
    with serve(settings_in(shared_folder, request_timeout=1), shared_database) as url:
        yield url


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"", None, id="silent"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: loc", None, id="half a header"),
        pytest.param(JSON + b"{", 408, id="half a body"),
        pytest.param(CHUNKED + b"5\r\n{", 408, id="half a chunk"),
        pytest.param(REFUSED, 404, id="no body after the answer"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, id="silent after an answer"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nG", 200, id="half a header after an answer"),
    ],
)
def test_a_client_that_stops_is_hung_up_on(impatient: str, sent: bytes, status: int | None) -> None:
    with connected(impatient, sent) as client:
        assert others_are_served(impatient)
        head = received(client).split(b"\r\n")[0]
    assert head == (b"" if status is None else head)
    assert status is None or head.split()[1] == str(status).encode()


@pytest.mark.parametrize("sent", [b"GET /health HTTP/1.1\r\nX: ", JSON, REFUSED], ids=["header", "body", "unread"])
def test_a_client_that_drips_is_hung_up_on(impatient: str, sent: bytes) -> None:
    """Bytes that arrive one by one win no time."""
    with connected(impatient, sent) as client:
        client.settimeout(0.05)

        def is_hung_up_on() -> bool:
            try:
                client.sendall(b"1")
                return not client.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_hung_up_on)


def test_a_slow_body_is_answered(impatient: str) -> None:
    with connected(impatient, JSON) as client:
        answer = received(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"ok":false,"error":"request body too slow"}')
    assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize(
    "patience",
    [
        {"MIN_BYTES_PER_SECOND": 2**30},
        # the time for a long answer is not given at once
        {"MIN_BYTES_PER_SECOND": 2**10, "UNREAD_AT_ONCE": 2**9},
    ],
    ids=["any answer", "a long answer"],
)
def test_a_client_that_does_not_read_is_hung_up_on(
    impatient: str, monkeypatch: pytest.MonkeyPatch, patience: dict[str, int]
) -> None:
    for name, number in patience.items():
        monkeypatch.setattr(http_server, name, number)
    with connected(impatient) as client:

        def is_hung_up_on() -> bool:
            # more answers than the system keeps for a client
            try:
                client.sendall(b"GET /schema/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            except OSError as error:
                return not isinstance(error, TimeoutError)
            return False

        client.settimeout(0.05)
        wait_until(is_hung_up_on)
    assert others_are_served(impatient)


@pytest.fixture
def small(shared_database: str, shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an app with eight connections, two for an address, and a large page; 127.0.0.9 is a proxy."""
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 8)
    with (tmp_path / "large.bin").open("wb") as page:
        page.truncate(32 * 2**20)
    settings = settings_in(shared_folder, trusted_proxies=(ip_network("127.0.0.9"),), portal_dir=tmp_path)
    with serve(settings, shared_database) as url:
        yield url


def test_of_too_many_connections_the_longest_idle_is_closed(small: str) -> None:
    with connected(small) as first, connected(small) as second:
        with connected(small, source="127.0.0.3"), Connection(small) as third:
            assert third.get("/health").status == 200
            assert received(first) == b""
        second.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert received(second).startswith(b"HTTP/1.1 200 ")


def test_of_too_many_connections_one_of_the_network_with_most_is_closed(small: str) -> None:
    with ExitStack() as stack:
        sources = [2, 3, 3, 4, 4, 5, 5, 6]
        clients = [stack.enter_context(connected(small, source=f"127.0.0.{source}")) for source in sources]
        with Connection(small, "127.0.0.7") as last:
            assert last.get("/health").status == 200
        assert received(clients[1]) == b""
        clients[0].sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert received(clients[0]).startswith(b"HTTP/1.1 200 ")


def test_of_too_many_half_bodies_the_longest_silent_is_closed(small: str) -> None:
    with asking(small) as first, asking(small) as second:
        second.sendall(b"{")
        with Connection(small) as third:
            assert third.get("/health").status == 200
        assert received(first) == b""
        second.sendall(b"}" + b" " * 998)
        assert second.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.slow
def test_of_too_many_that_do_not_read_the_longest_silent_is_closed(small: str) -> None:
    unread = b"GET /schema/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100

    def cannot_send(client: socket.socket) -> bool:
        # the server reads no more requests while its answers are not read
        with suppress(TimeoutError):
            client.sendall(unread)
            return False
        return True

    with connected(small) as first, connected(small) as second:
        for client in (first, second):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.settimeout(0.2)
            wait_until(partial(cannot_send, client))
        # a busy server may need a moment to notice that nobody reads, and answers 503 until then
        wait_until(partial(is_served, small))


def test_of_too_many_that_do_not_read_a_long_answer_the_longest_silent_is_closed(small: str) -> None:
    request = b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(small, request) as first, connected(small, request) as second:
        assert [client.recv(1) for client in (first, second)] == [b"H", b"H"]
        wait_until(partial(is_served, small))


def test_an_answer_that_ends_its_connection_makes_room_where_it_is_not_read(small: str) -> None:
    last = b"GET /admin/vega.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        for n in range(12):
            client = stack.enter_context(connected(small, last, f"127.0.1.{1 + n}"))
            assert client.recv(1) == b"H"
        assert is_served(small)


def test_an_address_gets_a_part_of_the_connections(small: str, shared_database: str) -> None:
    issue = b'{"issuerUid": "anna"}'
    request = ISSUE + b"Content-Length: %d\r\n\r\n%b" % (len(issue), issue)
    with psycopg.connect(shared_database) as holding, psycopg.connect(shared_database, autocommit=True) as watching:
        holding.execute("lock table public.vouchers")
        with connected(small, request) as first, connected(small, request) as second:
            waiting = "select from pg_locks where not granted group by () having count(*) = 2"
            wait_for_row(watching, waiting)
            with connected(small) as third:
                assert received(third).startswith(b"HTTP/1.1 503 ")
            with Connection(small, "127.0.0.2") as other:
                assert other.get("/health").status == 200
            holding.rollback()
            assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert second.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_proxy_may_have_all_connections(small: str) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(asking(small, "127.0.0.9")) for _ in range(8)]
        for client in clients:
            client.sendall(b"{}" + b" " * 998)
            assert client.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_of_too_many_unfinished_bodies_one_of_the_largest_address_is_given_up(
    small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "MAX_INCOMING_BYTES", 100_000)
    body = b'{"issuerUid": "anna"}'.ljust(60_000)
    sent = ISSUE + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with (
        connected(small, sent[:40_000], "127.0.0.2") as anna,
        connected(small, sent[:40_000]) as mallory,
        connected(small, sent[:40_000]) as other_of_mallory,
    ):
        refused, *_ = select.select([anna, mallory, other_of_mallory], [], [], 30)[0]
        assert refused is not anna
        assert refused.recv(65536).startswith(b"HTTP/1.1 503 ")
        for client in {anna, mallory, other_of_mallory} - {refused}:
            client.sendall(sent[40_000:])
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("chunk", [b"1\r\n \r\n", b"100\r\n" + b" " * 256 + b"\r\n"], ids=["a byte", "256 bytes"])
@pytest.mark.parametrize("head", [CHUNKED, REFUSED.replace(b"Content-Length: 1000000", b"Transfer-Encoding: chunked")])
def test_a_body_in_tiny_chunks_is_refused(small: str, head: bytes, chunk: bytes) -> None:
    with connected(small, head) as client:
        with suppress(OSError):
            client.sendall(chunk * 50_000)
        received(client)
    assert others_are_served(small)


LONG = 4 * 1024 * 1024


@contextmanager
def answering_at_length(folder: Path, begun: list[str]) -> Iterator[str]:
    """Yields the URL of a server that answers 4 MiB, and tells which paths it has begun to answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            begun.append(scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x" * LONG, "more_body": False})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(app, settings_in(folder))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def get(*paths: str) -> bytes:
    """Returns requests, the last of which ends the connection."""
    last = paths[-1]
    heads = [
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {'close' if path == last else ''}" for path in paths
    ]
    return "".join(f"{head}\r\n\r\n" for head in heads).encode()


def test_of_too_many_unread_answers_those_of_the_longest_silent_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MAX_UNREAD_BYTES", 4 * 3 * LONG)
    with answering_at_length(tmp_path, []) as url, ExitStack() as stack:
        clients = []
        for source in ["127.0.0.2", *["127.0.0.1"] * 5]:
            clients.append(stack.enter_context(connected(url, get("/"), source)))
            assert clients[-1].recv(1) == b"H"
        are_whole = [len(received(client)) > LONG for client in clients]
    # that of another address, and the last three
    assert are_whole == [True, False, False, True, True, True]


def test_of_too_many_unread_answers_those_of_the_network_with_most_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MAX_UNREAD_BYTES", 4 * 3 * LONG)
    with answering_at_length(tmp_path, []) as url, ExitStack() as stack:
        clients = []
        for source in ["127.0.0.2", *(f"127.0.0.{number}" for number in range(3, 8) for _ in range(3))]:
            clients.append(stack.enter_context(connected(url, get("/"), source)))
            assert clients[-1].recv(1) == b"H"
        first, *others = [len(received(client)) > LONG for client in clients]
    assert first
    assert not all(others)


def test_a_client_that_reads_on_is_not_the_longest_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MAX_UNREAD_BYTES", 13 * LONG)
    look = http_server._Protocol.hang_up_if_late
    looks: SimpleQueue[float] = SimpleQueue()

    def hang_up_if_late(self: http_server._Protocol, now: float) -> None:
        look(self, now)
        looks.put(now)

    def wait_for_whole_look() -> None:
        while not looks.empty():
            looks.get()
        # the second one is whole when the third begins
        seen: set[float] = set()
        while len(seen) < 3:
            seen.add(looks.get())

    with answering_at_length(tmp_path, []) as url, ExitStack() as stack:

        def client() -> socket.socket:
            client = stack.enter_context(connected(url))
            # the system would make room for the rest of an answer that is read
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.sendall(get("/"))
            assert client.recv(1) == b"H"
            return client

        reader, silent = client(), client()
        monkeypatch.setattr(http_server._Protocol, "hang_up_if_late", hang_up_if_late)
        wait_for_whole_look()
        half = LONG // 2
        while half:
            half -= len(reader.recv(half))
        wait_for_whole_look()
        others = [client(), client(), client()]
        are_whole = [len(received(client)) > LONG // 2 for client in (reader, silent, *others)]
    assert are_whole == [True, False, True, True, True]


def test_the_next_request_begins_when_the_answer_before_is_read(tmp_path: Path) -> None:
    begun: list[str] = []
    with answering_at_length(tmp_path, begun) as url, connected(url, get("/first", "/second")) as client:
        assert client.recv(1) == b"H"
        with connected(url, get("/other")) as other:
            received(other)
        assert begun == ["/first", "/other"]
        assert len(received(client)) > 2 * LONG
    assert begun == ["/first", "/other", "/second"]


def test_a_download_whose_client_sends_no_body_goes_on(
    tmp_path: Path, shared_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "large.bin").write_bytes(b"x" * 2 * LONG)
    settings = settings_in(tmp_path, portal_dir=tmp_path, request_timeout=1)
    request = b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    with serve(settings, shared_database) as url, connected(url, request) as client, connected(url) as idle:
        # hung up on when the time for a body is over, too
        assert received(idle) == b""
        assert len(received(client)) > 2 * LONG
    assert caplog.text == ""


def test_a_reader_that_has_hung_up_is_not_answered(tmp_path: Path) -> None:
    begun: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            begun.append(scope["path"])
        elif scope["type"] == ScopeType.HTTP:
            begun.append(f"{scope['method']}{scope['path']}")
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def ask(url: str) -> None:
        # sent and closed before the server looks at them
        for request in ("GET /gone", "POST /api/presence/verify", "POST /gone"):
            with connected(url, f"{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()):
                pass
        with connected(url, HANDSHAKE):
            pass
        server = Server(app, settings_in(tmp_path))
        serving = asyncio.create_task(server.serve([listener]))
        with connected(url, b"GET /here HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as client:
            answer = await asyncio.to_thread(received, client)
        server.should_exit = True
        await serving
        assert answer.startswith(b"HTTP/1.1 204 ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(ask(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    # who writes may send and forget
    assert begun == ["POST/gone", "GET/here"]


def test_a_client_that_has_reset_its_connection_has_its_address(tmp_path: Path) -> None:
    """Those who do would share one limit, beside that of their address."""
    clients: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            clients.append(scope["client"][0] if scope["client"] else "unknown")
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # before the server accepts it
        with connected(url, post, "127.0.0.2") as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server = Server(app, settings_in(tmp_path))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        with connected(url, post, "127.0.0.3") as client:
            received(client)
        server.should_exit = True
        thread.join()
    assert clients == ["127.0.0.2", "127.0.0.3"]


class Running(NamedTuple):
    """A server of its own process, with 256 files, that other machines can reach."""

    url: str
    output: str
    process: psutil.Process
    log: Path


@pytest.fixture
def poor(database: str, tmp_path: Path) -> Iterator[Running]:
    """A `portal run` with `ulimit -n 256`."""
    settings = {"DATABASE_URL": database, "DATA_DIR": str(tmp_path), "PORT": "0", "RATE_LIMIT": "off", "WORKERS": "1"}
    public = {"HOST": "0.0.0.0", "TS_API_KEY": "key", "LOG_LEVEL": "warning"}  # noqa: S104
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*PORTAL, "run"],
            env=os.environ | settings | public,
            stdout=subprocess.PIPE,
            stderr=stderr,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
        ) as process,
    ):
        try:
            assert process.stdout
            output = ""
            while "docs/proxy.md" not in output:
                output += process.stdout.readline().decode()
                assert process.poll() is None, log.read_text()
            port = re.search(r"http://\S+:(\d+)", output)
            assert port, output
            yield Running(f"http://127.0.0.1:{port[1]}", output, psutil.Process(process.pid), log)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    assert process.returncode == 0, log.read_text()


@pytest.mark.slow
def test_three_hundred_connections_stop_nobody_and_write_nothing(poor: Running) -> None:
    with ExitStack() as stack:
        outsider = CHUNKED.replace(b"X-TS-APIKEY: key", b"X-TS-APIKEY: no")
        nonsense = (b"nonsense\r\n\r\n", CHUNKED + b"nonsense\r\n", outsider + b"nonsense\r\n")
        kinds = (b"", b"GET /health HTTP/1.1\r\n", JSON + b"{")
        for i, sent in enumerate(nonsense * 5 + kinds * 100):
            with suppress(OSError):
                stack.enter_context(connected(poor.url, sent, f"127.0.1.{1 + i % 7}"))
        wait_until(lambda: others_are_served(poor.url))
        assert poor.process.num_fds() < 200
    assert poor.log.read_text() == ""
    assert "put a proxy with HTTPS before it" in poor.output


@pytest.mark.slow
def test_a_machine_without_files_is_named_once(poor: Running) -> None:
    wait_until(lambda: others_are_served(poor.url))
    files = poor.process.num_fds()
    poor.process.rlimit(psutil.RLIMIT_NOFILE, (files, 256))
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(connected(poor.url))
        wait_until(lambda: "new connections have to wait" in poor.log.read_text())
        poor.process.rlimit(psutil.RLIMIT_NOFILE, (256, 256))
        assert others_are_served(poor.url)
    assert len(poor.log.read_text().splitlines()) == 1
