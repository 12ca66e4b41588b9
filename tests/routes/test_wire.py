"""What every request and answer has, whatever the route: one length, and headers that keep it with its caller."""

import asyncio
import gzip
import json
import re
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import SupportsIndex, cast
from urllib.parse import urlsplit

import pytest
from litestar.types import HTTPScope

from api.errors import ApiError
from api.gateway import shares
from api.http import body, incoming
from api.http.body import MAX_ALL_WAITING_BYTES, MAX_WAITING_BYTES, Turns
from api.http.incoming import LARGE_BODY_BYTES, LARGE_BODY_VALUES, MAX_LARGE_BODIES, Incoming, Places
from api.http.server import Head
from api.http.web_socket import BAD_REQUEST
from api.settings import ROOT
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_until

KEY = "a long random text"
PAGE = "https://portal.example.org"


@pytest.fixture(scope="module")
def url(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app with a key, a page of another origin, and pages of its own."""
    folder = tmp_path_factory.mktemp("portal")
    (folder / "index.html").write_text("<p>start</p>")
    data = tmp_path_factory.mktemp("data")
    settings = settings_in(data, ts_api_key=KEY, cors_origins=(PAGE,), portal_dir=folder)
    with serve(settings, shared_database) as url:
        yield url


@pytest.mark.parametrize(
    "headers",
    [{"X-TS-APIKEY": KEY}, {}, {"X-TS-APIKEY": KEY, "Origin": PAGE}],
    ids=["answered", "refused", "a page of another origin"],
)
@pytest.mark.parametrize("path", ["/api/voucher/list", "//API/voucher/list/", "/api/unknown", "/api/autofix/status"])
def test_an_answer_of_the_api_is_its_callers(url: str, path: str, headers: dict[str, str]) -> None:
    with Connection(url) as connection:
        answer = connection.ask("GET", path, headers=headers)
    assert answer.headers["cache-control"] == "private"
    assert {"Cookie", "Authorization", "Origin"} <= set(answer.headers["vary"].split(", "))
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_token_is_stored_by_no_cache(url: str) -> None:
    with Connection(url) as connection:
        assert connection.post("/api/presence/verify", {"token": "t"}).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/", "/unknown", "/health", "/schema", "/schema/unknown", "/admin", "/admin/admin.js"]
)
def test_no_answer_has_a_type_to_guess(url: str, path: str) -> None:
    with Connection(url) as connection:
        assert connection.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/admin", "/schema", "/schema/swagger", "/schema/elements", "/schema/redoc"])
def test_no_page_loads_a_script_of_another_server(url: str, path: str) -> None:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: peer.recv(65536), b""))
    assert not re.search(rb"<(script|link)[^>]+//", answer)


SMUGGLED = b"GET /api/presence/catalog/apis HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("path", ["/api/voucher/issue", "/api/contracts/upload", "/health", "/unknown"])
@pytest.mark.parametrize("chunked", ["chunked", "Chunked"])
def test_a_body_with_two_lengths_is_refused(url: str, path: str, chunked: str) -> None:
    address = urlsplit(url)
    request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: {chunked}\r\n\r\n0\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=10) as peer:
        peer.sendall(request.encode() + SMUGGLED)
        answers = b"".join(iter(lambda: peer.recv(65536), b""))
    assert answers.startswith(b"HTTP/1.1 400 ")
    # what follows is not answered: the connection is closed
    assert answers.count(b"HTTP/1.1 ") == 1


HEADS = {
    "a long line": "GET /health?{} HTTP/1.1\r\nHost: x\r\n".format("a" * 20_000),
    "a long header": "GET /health HTTP/1.1\r\nHost: x\r\nA: {}\r\n".format("a" * 20_000),
    "many headers": "GET /health HTTP/1.1\r\nHost: x\r\n" + "a:\r\n" * 100,
    "a long space": f"GET /health HTTP/1.1\r\nHost: x\r\nA: {' ' * 100}a\r\n",
    "many parameters": "GET /health?{} HTTP/1.1\r\nHost: x\r\n".format("a&" * 100),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_of_many_parts_is_refused(url: str, head: str) -> None:
    assert _answered(url, f"{head}\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_head_may_have_a_hundred_headers(url: str) -> None:
    head = "GET /health?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".format("a&" * 99) + "a:\r\n" * 98
    assert _answered(url, f"{head}\r\n").startswith(b"HTTP/1.1 200 ")


def test_a_byte_of_a_long_head_costs_what_one_of_a_short_head_does() -> None:
    looked_at: list[int] = []

    class Received(bytes):
        def __getitem__(self, part: SupportsIndex | slice) -> bytes:  # type: ignore[override]
            looked_at.append(len(range(len(self))[cast(slice, part)]))
            return super().__getitem__(cast(slice, part))

    head, text = Head(), b"a" + b"\t" * 99 + b"b" * 15_000
    for length in range(1, len(text) + 1):
        head.require_simple(Received(text[:length]))
    assert max(looked_at) <= 101


CHUNKED = "POST /api/presence/verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
TRAILERS = {"many": "a:\r\n" * 102, "long": f"a: {'a' * 20_000}\r\n", "a long space": f"a:{' ' * 100}a\r\n"}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS.keys())
def test_trailers_are_limited_as_a_head_is(url: str, trailers: str) -> None:
    assert _answered(url, f"{CHUNKED}0\r\n{trailers}\r\n").startswith(BAD_REQUEST)
    # what follows the body is no trailer
    for few in ("", "a:\r\n" * 100):
        requests = f"{CHUNKED}0\r\n{few}\r\nGET /{'a' * 20_000} HTTP/1.1\r\n\r\n"
        assert not _answered(url, requests).startswith(BAD_REQUEST)


def test_the_line_of_a_chunk_is_short(url: str) -> None:
    for length, is_refused in {200: False, 300: True}.items():
        answer = _answered(url, f"{CHUNKED}1;{'a' * length}\r\n1\r\n0\r\n\r\n")
        assert answer.startswith(BAD_REQUEST) == is_refused


@pytest.mark.parametrize("path", ["/", "/health", "/admin", "/schema", "/api/presence/verify", "/api/voucher/list"])
@pytest.mark.parametrize("host", ["a:b:c", "a:99999", "[", "a b", "\xff"], ids=ascii)
def test_an_odd_host_is_no_error_of_the_server(
    url: str, path: str, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    for method in ("GET", "POST"):
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
        assert int(_answered(url, head)[9:12]) < 500
    assert caplog.text == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_request_that_is_no_http_writes_no_line(url: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    for rest in ("Transfer-Encoding: chunked\r\n\r\n" + "F" * 24 + "\r\n", "A\r\n\r\n", "Content-Length: x\r\n\r\n"):
        assert _answered(url, f"{method} / HTTP/1.1\r\nHost: x\r\n{rest}").startswith(b"HTTP/1.1 400 ")
    assert caplog.text == ""


def _answered(url: str, request: str) -> bytes:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as peer:
        peer.sendall(request.encode("latin-1"))
        return peer.recv(100)


def test_actions_of_the_workflows_are_pinned_by_commit() -> None:
    files = sorted(Path(ROOT / ".github" / "workflows").glob("*.yml"))
    used = [line for file in files for line in re.findall(r"uses: (.*)", file.read_text())]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


def test_the_bodies_of_an_address_that_wait_have_a_limit() -> None:
    """Their clients may have hung up, so that no limit of connections applies."""

    async def ask() -> None:
        turns = Turns()
        async with turns.of("mallory's", MAX_WAITING_BYTES):
            with pytest.raises(ApiError) as refused:
                async with turns.of("mallory's", 1):
                    pass
            assert refused.value.code == "busy"
            async with turns.of("anna's", 1):
                pass
        async with turns.of("mallory's", 2 * MAX_WAITING_BYTES):
            pass

    asyncio.run(ask())


def test_a_whole_number_has_at_most_400_digits() -> None:
    """Reading it takes the square of them."""
    assert body._DECODER.decode(f"[{'9' * 400}]") == [10**400 - 1]
    with pytest.raises(ApiError, match="json_unreasonable"):
        body._DECODER.decode(f"[{'9' * 401}]")


def test_large_bodies_that_wait_have_a_limit_for_all_addresses() -> None:
    async def ask() -> None:
        turns = Turns()
        for _ in range(2):
            async with turns.of("mallory's", MAX_ALL_WAITING_BYTES):
                with pytest.raises(ApiError, match="busy"):
                    async with turns.of("anna's", LARGE_BODY_BYTES + 1):
                        pass
                async with turns.of("anna's", LARGE_BODY_BYTES):
                    pass

    asyncio.run(ask())


def test_of_too_many_unfinished_bodies_that_of_the_longest_silent_client_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incoming, "MAX_INCOMING_BYTES", 3)
    ended: dict[str, str] = {}

    async def ask() -> None:
        bodies = Incoming()
        sent: dict[str, asyncio.Queue[bytes]] = {name: asyncio.Queue() for name in ("first", "second", "third")}

        async def parts(name: str) -> AsyncIterator[bytes]:
            while part := await sent[name].get():
                yield part
                sent[name].task_done()
            sent[name].task_done()

        async def receive(name: str) -> None:
            try:
                ended[name] = (await bodies.receive("mallory's", parts(name))).decode()
            except ApiError as error:
                ended[name] = error.code

        async def send(name: str, part: bytes) -> None:
            sent[name].put_nowait(part)
            await sent[name].join()

        async with asyncio.TaskGroup() as tasks:
            for name in sent:
                tasks.create_task(receive(name))
            for name in ("first", "second", "first", "third"):
                await send(name, b"x")
            for name in sent:
                sent[name].put_nowait(b"")

    asyncio.run(ask())
    assert ended == {"first": "xx", "second": "busy", "third": "x"}


@pytest.mark.parametrize(
    ("meta", "is_large"),
    [
        ("x" * 100, False),
        ([0] * 100, False),
        ("x" * LARGE_BODY_BYTES, True),
        ([0] * LARGE_BODY_VALUES, True),
        ([[]] * (LARGE_BODY_VALUES // 2), True),
        ([{}] * (LARGE_BODY_VALUES // 2), True),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_large_body_has_a_place_until_its_request_has_ended(
    url: str, monkeypatch: pytest.MonkeyPatch, meta: object, encoding: str, *, is_large: bool
) -> None:
    done: list[str] = []
    taken: list[Places] = []
    take, give_back, inflated = Places.take, Places.give_back, body._inflated

    async def recorded_take(places: Places, client: str | None, scope: HTTPScope) -> None:
        done.append("take")
        await take(places, client, scope)
        taken.append(places)

    def recorded(content: bytes, most: int) -> bytes:
        done.append("unpack alone" if any(places.parsing.locked() for places in taken) else "unpack")
        return inflated(content, most)

    async def recorded_end(scope: HTTPScope) -> None:
        await give_back(scope)
        done.append("end")

    monkeypatch.setattr(Places, "take", recorded_take)
    monkeypatch.setattr(Places, "give_back", recorded_end)
    monkeypatch.setattr(body, "_inflated", recorded)
    sent = json.dumps({"type": "x", "meta": meta}).encode()
    with Connection(url) as connection:
        raw, headers = (gzip.compress(sent), {"Content-Encoding": "gzip"}) if encoding == "gzip" else (sent, {})
        headers |= {"X-TS-APIKEY": KEY, "Content-Type": "application/json"}
        answer = connection.ask("POST", "/api/telemetry", raw=raw, headers=headers)
    assert answer.status == 200
    wait_until(lambda: "end" in done)
    unpack = ["unpack alone" if is_large else "unpack"] if encoding == "gzip" else []
    assert done == ["take"] * is_large + unpack + ["end"]


def test_a_client_has_one_place_for_a_large_body_and_others_have_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "PATIENCE_SECONDS", 0.001)

    def request() -> HTTPScope:
        return cast(HTTPScope, {"state": {}})

    async def ask() -> None:
        places, first = Places(), request()
        await places.take("mallory's", first)
        for _ in range(2):
            refused = request()
            with pytest.raises(ApiError, match="busy"):
                await places.take("mallory's", refused)
            await Places.give_back(refused)
        others = [request() for _ in range(MAX_LARGE_BODIES - 1)]
        for n, other in enumerate(others):
            await places.take(f"another's {n}", other)
        refused = request()
        with pytest.raises(ApiError, match="busy"):
            await places.take(None, refused)
        await Places.give_back(first)
        await places.take("mallory's", request())

    asyncio.run(ask())


def test_a_compressed_body_is_unpacked_in_the_turn_of_its_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    turn, inflated = Turns.of, body._inflated

    @asynccontextmanager
    async def recorded_turn(turns: Turns, address: str, size: int) -> AsyncIterator[None]:
        async with turn(turns, address, size):
            done.append("begin")
            yield
            done.append("end")

    def recorded(content: bytes, most: int) -> bytes:
        done.append("unpack")
        return inflated(content, most)

    monkeypatch.setattr(Turns, "of", recorded_turn)
    monkeypatch.setattr(body, "_inflated", recorded)
    with Connection(url) as connection:
        headers = {"Content-Encoding": "deflate", "Content-Type": "application/json"}
        answer = connection.ask("POST", "/api/presence/verify", raw=zlib.compress(b'{"token": "t"}'), headers=headers)
    assert (answer.status, done) == (200, ["begin", "unpack", "end"])
