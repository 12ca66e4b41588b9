"""Route and answer requests as Express and Cloudflare did (docs/compatibility.md, "Routing")."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from litestar import Litestar
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import HttpMethod, ScopeType
from litestar.types import HTTPResponseStartEvent, HTTPScope, Message, Receive, Scope, Send

from api.http import etag
from api.http.ranges import IS_HEAD

# generation 1 read a repeated parameter as an array, which equals nothing; generation 2 took the first
_FIRST_WINS = ("/api/voucher/bookings", "/api/mortgage/", "/api/contracts/", "/api/admin/")
# the rest of the path is an id, which is case-sensitive
_ID_FOLLOWS = "/api/telbank/transfers/"

_JSON = (b"content-type", b"application/json; charset=utf-8")

MAX_PATH = 1024
"""The characters of a path; what is longer is unknown, because no id and no page of the portal is."""


class LegacyRouting:
    """HEAD is GET without its body; paths ignore case; a repeated query parameter becomes one value.

    JSON responses name their charset and carry an ETag, as in generation 1.
    """

    def __init__(self, app: Litestar) -> None:
        """Wrap the application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the request and its response."""
        if scope["type"] == ScopeType.HTTP:
            path = re.sub("/{2,}", "/", scope["path"]) if "//" in scope["path"] else scope["path"]
            if len(path) > MAX_PATH:
                # Litestar keeps the last 1,024 paths in memory
                path = scope["path"] = f"{path[:MAX_PATH]}..."
            lower = path.lower()
            if lower.startswith("/api/"):
                fixed = len(_ID_FOLLOWS)
                scope["path"] = path[:fixed].lower() + path[fixed:] if lower.startswith(_ID_FOLLOWS) else lower
                if b"&" in scope["query_string"]:
                    first_wins = scope["path"].startswith(_FIRST_WINS)
                    scope["query_string"] = _one_value_each(scope["query_string"], first_wins)
            if scope["method"] == "HEAD":
                scope["method"] = HttpMethod.GET
                scope.setdefault("state", {})[IS_HEAD] = True
                send = _without_body(send)  # outermost: the ETag needs the body
            elif scope["method"] == "OPTIONS" and not self._is_preflight(scope):
                # no route has TRACE: its 405 names every method of the path, Litestar's own OPTIONS only some
                scope["method"] = "TRACE"
                send = _as_options(send)
            if_none_match = Headers.from_scope(scope).get("if-none-match", "") if scope["method"] == "GET" else ""
            send = _as_express(send, if_none_match)
        await self.app(scope, receive, send)

    def _is_preflight(self, scope: HTTPScope) -> bool:
        """Whether a browser asks if a page of CORS_ORIGINS may send a request."""
        return self.app.cors_config is not None and "access-control-request-method" in Headers.from_scope(scope)


def _without_body(send: Send) -> Send:
    async def send_without_body(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return send_without_body


def _as_options(send: Send) -> Send:
    options = False

    async def send_as_options(message: Message) -> None:
        nonlocal options
        if message["type"] == "http.response.start" and message["status"] == 405:
            options = True
            allow = MutableScopeHeaders.from_message(message)["allow"]
            message["status"], message["headers"] = 204, [(b"allow", allow.encode())]
        elif message["type"] == "http.response.body" and options:
            message["body"] = b""
        await send(message)

    return send_as_options


def _as_express(send: Send, if_none_match: str) -> Send:
    """Add charset and ETag to JSON, as Express does; answer 304 where `if_none_match` names the tag."""
    held: HTTPResponseStartEvent | None = None

    async def send_as_express(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            media_type = headers.get(b"content-type", b"")
            if media_type == b"application/json":
                message["headers"] = [_JSON if name == b"content-type" else (name, v) for name, v in message["headers"]]
            if media_type.startswith(b"application/json") and b"etag" not in headers:
                held = message  # until the body can be tagged
                return
        elif message["type"] == "http.response.body" and held is not None:
            start, held = held, None
            if not message.get("more_body"):
                tag = etag.weak_etag(message["body"])
                headers_left: Iterable[tuple[bytes, bytes]] = start["headers"]
                if start["status"] == 200 and etag.matches(if_none_match, tag):
                    start["status"], message["body"] = 304, b""
                    headers_left = [
                        each for each in headers_left if each[0] not in (b"content-length", b"content-type")
                    ]
                start["headers"] = [*headers_left, (b"etag", tag.encode())]
            await send(start)
        await send(message)

    return send_as_express


def _one_value_each(query: bytes, first_wins: bool) -> bytes:
    """The query string without repeated names: their first value, or all of them joined, which matches nothing."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="replace")
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    if len(values) == len(pairs):
        return query
    return urlencode({name: each[0] if first_wins else "\x1f".join(each) for name, each in values.items()}).encode()
