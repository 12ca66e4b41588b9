"""The app over real HTTP, and a client that asks it as bluntly as a test needs."""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from api.app import create_app
from api.http.server import Server
from api.settings import Settings


@contextmanager
def serve(settings: Settings, database_url: str | None) -> Iterator[str]:
    """Runs the app on a free port of this machine; yields its URL. Settings with a SUPABASE_URL need no database."""
    # named as TCP, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        app = create_app(settings, database_url)
        server = Server(app, settings)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def settings_in(folder: Path, **changes: Any) -> Settings:
    """The defaults with the data in a folder, and these changes; whatever the environment says."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    # a connection that a test leaves idle for a while, on a busy machine, is not hung up on
    return Settings(**defaults | {"data_dir": folder, "request_timeout": 600} | changes)


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is parsed JSON, or None where there is none."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Connection:
    """One HTTP connection. It sends requests unchanged, follows no redirects and repeats nothing."""

    def __init__(self, url: str, source: str = "127.0.0.1") -> None:
        """Connects from an address of this machine."""
        address = urlsplit(url)
        assert address.hostname
        self._connection = http.client.HTTPConnection(
            address.hostname, address.port, timeout=30, source_address=(source, 0)
        )
        self._connection.connect()
        assert isinstance(self._connection.sock, socket.socket)
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> Answer:
        """Sends a JSON body, or raw bytes, and reads the answer."""
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            self._connection.putheader(name, value)
        if "Transfer-Encoding" not in (headers or {}) and (sent is not None or method == "POST"):
            self._connection.putheader("Content-Length", str(len(sent or b"")))
        self._connection.endheaders(sent)
        response = self._connection.getresponse()
        received = response.read()
        is_json = response.headers.get_content_subtype().endswith("json")
        return Answer(response.status, json.loads(received) if is_json and received else None, dict(response.headers))

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Posts a JSON body; the keyword `x_mot_user` is the header `X-Mot-User`."""
        return self.ask("POST", path, body, headers=_named(headers))

    def get(self, path: str, **headers: str) -> Answer:
        """Asks for a path."""
        return self.ask("GET", path, headers=_named(headers))


def _named(headers: Mapping[str, str]) -> dict[str, str | bytes]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def idle(url: str) -> socket.socket:
    """Returns a connection whose first request has been answered."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=60)
    connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b'{"ok":true}'):
        answer += connection.recv(4096)
    return connection
