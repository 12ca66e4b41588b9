"""Servers that answer as the legacy ones did, or as none should."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Reply:
    """An answer: JSON, or bytes as they are."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Query: TypeAlias = dict[str, str]

Route: TypeAlias = Callable[[Query, Message], Reply]


@dataclass
class Site:
    """A running server: its routes by path, which a test may change, and the requests that it got."""

    url: str
    routes: dict[str, Route]
    requests: list[tuple[str, Message]] = field(default_factory=list)


@contextmanager
def site(routes: Mapping[str, Route]) -> Iterator[Site]:
    """Runs a server. Any other path is the page 404 of Express."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            running.requests.append((self.path, self.headers))
            route = running.routes.get(parts.path)
            reply = route(dict(parse_qsl(parts.query)), self.headers) if route else Reply(b"<pre>Cannot GET</pre>", 404)
            is_json = not isinstance(reply.body, bytes)
            body = json.dumps(reply.body).encode() if is_json else bytes(reply.body)  # type: ignore[call-overload]
            self.send_response(reply.status)
            kind = "application/json; charset=utf-8" if is_json else "text/html; charset=utf-8"
            for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | dict(reply.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Site(f"http://127.0.0.1:{server.server_port}", dict(routes))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()


def items(*rows: object) -> Route:
    """A list of all rows."""
    return lambda _, __: Reply({"ok": True, "items": rows})


def with_key(key: str, route: Route) -> Route:
    """The same, for callers with an API key."""
    return lambda query, headers: (
        route(query, headers)
        if headers["X-TS-APIKEY"] == key
        else Reply({"ok": False, "error": "invalid api key"}, 401)
    )
