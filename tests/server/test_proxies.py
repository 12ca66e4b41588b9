"""The configurations in docs/proxy.md, with nginx and Caddy themselves."""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPSConnection
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.rooms.talking import heard, join, match, say, text_heard
from tests.support.forms import CONTENT_TYPE, END, PATH, file
from tests.support.proxies import NAME, Proxy, caddy, documented, nginx, running
from tests.support.serving import serve, settings_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

KEY = "a long random text"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def portal(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app that trusts a proxy on its machine."""
    pages = tmp_path_factory.mktemp("pages")
    (pages / "large.html").write_bytes(b" " * 16 * MIB)
    settings = settings_in(
        tmp_path_factory.mktemp("data"), ts_api_key=KEY, trusted_proxies=(ip_network("127.0.0.1"),), portal_dir=pages
    )
    with serve(settings, shared_database) as url:
        yield url


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, portal: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy before the app."""
    with running(request.param, tmp_path_factory.mktemp("proxy"), portal) as proxy:
        yield proxy


@contextmanager
def secured(proxy: Proxy, source: str) -> Iterator[ssl.SSLSocket]:
    """Yields a connection to the proxy, from an address of this machine."""
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=30, source_address=(source, 0))
    with proxy.tls.wrap_socket(plain, server_hostname=NAME) as client:
        yield client


def ask(
    proxy: Proxy, method: str, path: str, body: bytes | None = None, source: str = "127.0.0.2", **headers: str
) -> tuple[int, dict[str, str]]:
    """Returns status and headers of an answer to a request with the key."""
    connection = HTTPSConnection(NAME, proxy.port)
    with secured(proxy, source) as client:
        connection.sock = client
        connection.request(
            method, path, body, {"X-TS-APIKEY": KEY} | {k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def opened(folder: Path) -> list[str]:
    """Returns the files that nginx has open, also those without a name any more."""
    master = psutil.Process(int((folder / "pid").read_text()))
    return [str(link.readlink()) for process in master.children() for link in Path(f"/proc/{process.pid}/fd").iterdir()]


def test_the_portal_knows_the_clients_address_and_https(proxy: Proxy, shared_database: str) -> None:
    with psycopg.connect(shared_database) as connection:
        connection.execute("delete from private.request_counts")
    # an address of its own: the portal, which both proxies share, counts some requests of each itself
    source = f"127.1.{proxy.port >> 8}.{proxy.port & 255}"
    forged: dict[str, Any] = {"X_Forwarded_For": "1.2.3.4", "X_Forwarded_Proto": "http"}
    assert ask(proxy, "POST", "/api/voucher/issue", b'{"issuerUid": "anna"}', source, **forged)[0] == 200
    with psycopg.connect(shared_database) as connection:
        counted = connection.execute("select client from private.request_counts").fetchall()
    assert [client.partition("|")[2] for (client,) in counted] == [source]
    status, headers = ask(proxy, "POST", "/api/presence/verify", b'{"token": "t"}', **forged)
    assert (status, "; Secure" in headers["set-cookie"]) == (200, True)
    # the page of the same origin may use the cookie
    cookie, origin = headers["set-cookie"].partition(";")[0], f"https://{NAME}:{proxy.port}"
    assert ask(proxy, "GET", "/api/voucher/list", Cookie=cookie, Origin=origin, X_TS_APIKEY="")[0] == 200


def test_proxies_speak_http_1(proxy: Proxy) -> None:
    proxy.tls.set_alpn_protocols(["h2", "http/1.1"])
    with secured(proxy, "127.0.0.2") as client:
        assert client.selected_alpn_protocol() != "h2"
    assert "alt-svc" not in ask(proxy, "GET", "/health")[1]
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", proxy.port))


def test_a_client_chooses_no_request_id(proxy: Proxy) -> None:
    forged: dict[str, Any] = {"X_Request_ID": "forged"}
    for path in ("/health", "/ws"):
        chosen = ask(proxy, "GET", path, **forged)[1]["x-request-id"]
        assert re.fullmatch("[0-9a-f-]{32,}", chosen), path


def test_two_thinkers_talk_through_the_proxy(proxy: Proxy, shared_database: str) -> None:
    room = match(shared_database, "anna", "ben")
    with ExitStack() as stack:
        url, origin = f"wss://{NAME}:{proxy.port}/ws", f"https://{NAME}:{proxy.port}"
        guests = [
            connect(
                url,
                sock=socket.create_connection(("127.0.0.1", proxy.port), timeout=30),
                ssl=proxy.tls,
                origin=Origin(origin),
                additional_headers={"X-TS-APIKEY": KEY},
            )
            for _ in range(2)
        ]
        for guest in guests:
            stack.enter_context(guest)
        anna, ben = guests
        for guest, uid in ((anna, "anna"), (ben, "ben")):
            join(guest, room, uid)
            assert heard(guest)["type"] == "system"
        say(ben, "Hallo")
        assert text_heard(anna) == ("ben", "Hallo")
    assert ask(proxy, "GET", "/ws")[0] in (400, 426)


@pytest.mark.parametrize("path", [PATH, "/API/Contracts/Upload"])
def test_a_large_document_goes_through_and_no_larger_body(proxy: Proxy, path: str) -> None:
    form = {"Content_Type": CONTENT_TYPE}
    assert ask(proxy, "POST", path, file(b"x" * 25 * MIB) + END, **form)[0] == 200
    with suppress(OSError):  # the proxy does not read the rest
        assert ask(proxy, "POST", path, file(b"x" * 28 * MIB) + END, **form)[0] == 413
    assert ask(proxy, "POST", "/api/voucher/issue", b" " * MIB + b"{}")[0] == 413


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.10", "192.0.2.10"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1::1", "2001:db8:1::"),
        ("2001:db8:1:0:1:2:3:4", "2001:db8:1::"),
        ("2001::5:1:2:3:4", "2001:0:0:5::"),
        ("a0a:a0a:a0a:a0a:a0a:a0a:a0a:a0a", "a0a:a0a:a0a:a0a::"),
    ],
)
def test_nginx_takes_a_network_of_64_bits_for_one_client(address: str, client: str) -> None:
    [(pattern, name)] = re.findall(r'"~(.*)" \$(\w+);', documented("nginx"))
    pattern = pattern.replace("?<", "?P<").replace(r"\z", r"\Z").encode()
    packed = ip_address(address).packed
    match = re.search(pattern, packed)
    assert (match[name] if match else packed) == ip_address(client).packed[: 8 if ":" in client else 4]


def test_nginx_keeps_few_uploads_of_an_address(portal: str, tmp_path: Path) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {MIB}\r\n\r\nx".encode()
    form = {"Content_Type": CONTENT_TYPE}
    with running(nginx, tmp_path, portal) as proxy, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(secured(proxy, "127.0.1.1")).sendall(head)
        wait_until(lambda: ask(proxy, "POST", PATH, file(b"x") + END, "127.0.1.1", **form)[0] == 503)
        assert ask(proxy, "GET", "/health", None, "127.0.1.1")[0] == 200
        assert ask(proxy, "POST", PATH, file(b"x") + END, "127.0.1.2", **form)[0] == 200


def test_nginx_soon_drops_a_client_that_goes_on_with_a_refused_body(portal: str, tmp_path: Path) -> None:
    head = f"POST /api/voucher/issue HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {1024 * MIB}\r\n\r\n"

    def is_dropped() -> bool:
        try:
            client.sendall(b"x")
        except OSError:
            return True
        return False

    with running(nginx, tmp_path, portal) as proxy, secured(proxy, "127.0.0.2") as client:
        client.sendall(head.encode())
        assert client.recv(12) == b"HTTP/1.1 413"
        # without a setting it takes thirty seconds
        wait_until(is_dropped, 25)


def test_nginx_writes_no_answer_that_nobody_reads_to_its_disk(portal: str, tmp_path: Path) -> None:
    with running(nginx, tmp_path, portal) as proxy, socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", proxy.port))
        with proxy.tls.wrap_socket(plain, server_hostname=NAME) as silent:
            silent.sendall(f"GET /large.html HTTP/1.1\r\nHost: {NAME}\r\nX-TS-APIKEY: {KEY}\r\n\r\n".encode())
            assert silent.recv(12) == b"HTTP/1.1 200"
            # nginx has one process, which has done by then what it does for the first
            assert ask(proxy, "GET", "/large.html")[0] == 200
            assert not [path for path in opened(tmp_path) if str(tmp_path / "proxy") in path]


def test_three_hundred_clients_that_stop_leave_others_alone(proxy: Proxy) -> None:
    head = f"POST /api/voucher/issue HTTP/1.1\r\nHost: {NAME}\r\nX-TS-APIKEY: {KEY}\r\nContent-Length: 9\r\n\r\n{{"
    with ExitStack() as stack:
        for i, sent in enumerate([b"", b"GET /health HTTP/1.1\r\nHost: ", head.encode()] * 100):
            stack.enter_context(secured(proxy, f"127.0.1.{1 + i % 7}")).sendall(sent)
        assert ask(proxy, "POST", "/api/voucher/issue", b'{"issuerUid": "anna"}')[0] == 200
        assert ask(proxy, "GET", "/health")[0] == 200
