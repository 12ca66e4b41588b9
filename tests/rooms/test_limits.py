"""No client can fill the chat, nor the server through it."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from websockets.exceptions import InvalidStatus

from api.http import server as http_server
from api.http import web_socket
from api.http.web_socket import BAD_REQUEST
from api.routes import room_chat
from tests.rooms.talking import handshake_refusal, heard, joined, match, refusal, rest, say, send, talking, text_heard
from tests.support.serving import Connection, serve, settings_in
from tests.support.signing import KEY
from tests.support.waiting import wait_until

TOO_MANY = "rate limit exceeded"
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
)
PING = b"\x89\x80\0\0\0\0"
EMPTY_PART, EMPTY_REST = b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"


@contextmanager
def raw(url: str, head: bytes = b"GET /ws HTTP/1.1\r\n", rest: bytes = b"") -> Iterator[socket.socket]:
    """Yields a connection that has sent a handshake, and what follows it."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as client:
        client.sendall(head + b"Host: localhost\r\n" + UPGRADE + b"\r\n" + rest)
        yield client


@contextmanager
def serving(app: ASGIApp, folder: Path) -> Iterator[str]:
    """Yields the URL of an application."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = http_server.Server(app, settings_in(folder))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def received(client: socket.socket) -> bytes:
    """Returns what arrives until the server hangs up."""
    answer = b""
    try:
        while part := client.recv(65536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def is_served(url: str, source: str = "127.0.0.2") -> bool:
    with Connection(url, source) as connection:
        return connection.get("/health").status == 200


def test_a_connection_that_joins_nothing_is_closed(shared_portal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_chat, "JOIN_SECONDS", 0.1)
    with talking(shared_portal) as silent:
        assert refusal(silent) == ("request body too slow", 4408)


def test_a_client_that_does_not_answer_a_close_is_hung_up_on(
    shared_portal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_chat, "JOIN_SECONDS", 0.1)
    monkeypatch.setattr(web_socket, "CLOSE_SECONDS", 0.1)
    with raw(shared_portal) as silent:
        silent.settimeout(5)  # uvicorn would wait for twice as long
        assert received(silent).startswith(b"HTTP/1.1 101")


def test_more_messages_than_a_person_writes_end_the_connection(shared_portal: str, shared_database: str) -> None:
    room = match(shared_database, "anna", "ben")
    with joined(shared_portal, room, "anna") as anna, joined(shared_portal, room, "ben") as ben:
        for i in range(50):
            say(anna, f"{i}")
        assert refusal(anna) == (TOO_MANY, 4429)
        assert text_heard(ben) == ("anna", "0")


def test_a_message_that_is_too_long_or_no_text_ends_the_connection(shared_portal: str) -> None:
    for sent, code in ((" " * 40_000, 1009), (b"\x81\x82\0\0\0\0\xff\xff", 1007)):
        with talking(shared_portal) as client:
            if isinstance(sent, str):
                client.send(sent)
            else:
                client.socket.sendall(sent)
            assert refusal(client) == ("", code)


@pytest.mark.parametrize(
    "flood", [PING * 100_000, EMPTY_PART + EMPTY_REST * 100_000], ids=["pings", "parts of a message"]
)
def test_a_flood_of_frames_is_hung_up_on(shared_portal: str, flood: bytes) -> None:
    with raw(shared_portal) as client:
        assert client.recv(12) == b"HTTP/1.1 101"
        client.settimeout(0.05)

        def is_hung_up_on() -> bool:
            try:
                client.sendall(flood)
            except OSError as error:
                return not isinstance(error, TimeoutError)
            return False

        wait_until(is_hung_up_on)
    assert is_served(shared_portal)


def test_a_slow_reader_is_hung_up_on_and_others_hear(
    shared_portal: str, shared_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_chat, "MAX_UNREAD", 4)
    monkeypatch.setattr(room_chat, "MAX_MESSAGES_AT_ONCE", 1000.0)
    monkeypatch.setattr(web_socket, "MAX_FRAMES_AT_ONCE", 1000)
    connection_made = web_socket.WebSocketProtocol.connection_made

    def with_small_buffers(protocol: web_socket.WebSocketProtocol, transport: object) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[attr-defined]
        connection_made(protocol, transport)  # type: ignore[arg-type]

    monkeypatch.setattr(web_socket.WebSocketProtocol, "connection_made", with_small_buffers)
    room = match(shared_database, "carl", "dora", "emma", code="c")
    address = urlsplit(shared_portal)
    with socket.socket() as small:
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect((address.hostname, address.port))
        with (
            joined(shared_portal, room, "carl") as carl,
            joined(shared_portal, room, "dora") as dora,
            talking(shared_portal, sock=small, max_queue=1) as slow,
        ):
            send(slow, {"type": "join", "room_id": room, "thinker_id": "emma"})
            assert heard(slow)["type"] == "system"
            for _ in range(100):
                say(carl, "x" * 4000)
                assert text_heard(dora)[0] == "carl"
            assert len(rest(slow)) < 100


def test_a_client_that_answers_no_ping_is_hung_up_on(
    shared_database: str, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_socket, "PING_SECONDS", 0.1)
    with serve(settings_in(shared_folder), shared_database) as url, raw(url) as dead:
        assert b"keepalive ping timeout" in received(dead)


def test_a_client_has_only_so_many_connections(
    shared_portal: str, shared_database: str, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_chat, "MAX_CONNECTIONS_OF_CLIENT", 2)
    with talking(shared_portal) as first, talking(shared_portal):
        assert handshake_refusal(shared_portal) == (429, TOO_MANY)
        with talking(shared_portal, source_address=("127.0.0.2", 0)):
            pass
        first.close()
        with talking(shared_portal):
            pass
    monkeypatch.setattr(room_chat, "MAX_HANDSHAKES_A_MINUTE", 2)
    with serve(settings_in(shared_folder, ts_api_key=KEY), shared_database) as url:
        key = {"X-TS-APIKEY": KEY}
        for _ in range(2):
            with talking(url, key):
                pass
        assert handshake_refusal(url, key) == (429, TOO_MANY)
        with talking(url, key, source_address=("127.0.0.2", 0)):
            pass


def test_idle_web_sockets_leave_connections_for_requests(
    shared_database: str, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 8)
    with serve(settings_in(shared_folder), shared_database) as url, ExitStack() as stack:
        sockets = [stack.enter_context(talking(url, source_address=(f"127.0.1.{i}", 0))) for i in range(4)]
        with pytest.raises(InvalidStatus, match="503"), talking(url, source_address=("127.0.1.9", 0)):
            pass
        others = [stack.enter_context(Connection(url, f"127.0.2.{i}")) for i in range(4)]
        assert [other.get("/health").status for other in others] == [200] * 4
        # one more request closes an idle connection of a request, and no WebSocket
        assert is_served(url)
        for each in sockets:
            assert each.ping().wait(30)


def test_only_a_get_of_the_chat_becomes_a_web_socket(shared_portal: str) -> None:
    for head, status in (
        (b"GET /health HTTP/1.1\r\nConnection: close\r\n", b"200"),
        (b"POST /ws HTTP/1.1\r\nConnection: close\r\n", b"405"),
        (b"GET /ws HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n", b"400"),
        (b"GET /ws HTTP/1.1\r\nSec-WebSocket-Key: 2\r\n", b"400"),
        (b"GET /ws HTTP/1.1\r\nSec-WebSocket-Protocol: \xff\r\nConnection: close\r\n", b"426"),
        (b"GET /ws HTTP/1.1\r\nSec-WebSocket-Key: \xff\r\nConnection: close\r\n", b"426"),
    ):
        with raw(shared_portal, head) as client:
            assert received(client)[9:12] == status, head[:20]


def test_a_handshake_with_messages_behind_it_is_refused(shared_portal: str) -> None:
    with raw(shared_portal, rest=PING) as client:
        assert received(client) == BAD_REQUEST


def test_messages_before_the_answer_to_the_handshake_write_no_line(
    shared_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = Event()

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await receive()
            begun.set()
            await receive()

    with serving(app, shared_folder) as url:
        for sent in (b"\xff" * 6, PING, EMPTY_REST, b"GET /ws HTTP/1.1\r\n\r\n"):
            begun.clear()
            with raw(url) as client:
                assert begun.wait(30)
                client.sendall(sent)
                assert received(client) == b""
    assert caplog.text == ""


def test_answers_to_a_client_that_has_gone_write_no_line(shared_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    ended = Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await receive()
            await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
            with suppress(OSError):
                while (await receive())["type"] == "websocket.receive":
                    await send({"type": "websocket.send", "bytes": None, "text": "x"})
            ended.set()

    with serving(app, shared_folder) as url, raw(url) as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"\x81\x81\0\0\0\0x" * 50)
        client.close()
        assert ended.wait(30)
    assert caplog.text == ""


def test_a_request_for_no_web_socket_is_answered(shared_portal: str) -> None:
    with Connection(shared_portal) as connection:
        for method, status in (("GET", 426), ("HEAD", 426), ("POST", 405), ("OPTIONS", 204)):
            assert connection.ask(method, "/ws").status == status, method


def test_the_end_of_the_server_closes_the_chat(shared_database: str, shared_folder: Path) -> None:
    room = match(shared_database, "fritz", "gina", code="f")
    with ExitStack() as stack:
        with serve(settings_in(shared_folder), shared_database) as url:
            fritz = stack.enter_context(joined(url, room, "fritz"))
        assert refusal(fritz) == ("", 1012)
