"""How the legacy servers found a route where ASGI servers would not (contract, section 1.3)."""

import hashlib
import re
from urllib.parse import parse_qsl, urlencode

from litestar import Litestar
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import HttpMethod, ScopeType
from litestar.types import HTTPResponseStartEvent, HTTPScope, Message, Receive, Scope, Send

# generation 1 saw a repeated parameter as an array, which equals nothing; generation 2 took the first
_FIRST_WINS = ("/api/voucher/bookings", "/api/mortgage/", "/api/contracts/", "/api/admin/")
# what follows is an id, whose case counts
_ID_FOLLOWS = "/api/telbank/transfers/"


class LegacyRouting:
    """HEAD is GET without its body; the case of a path does not count; a repeated parameter is one value.

    JSON names its charset and has an ETag, as generation 1's did.
    """

    def __init__(self, app: Litestar) -> None:
        """Wrap the application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the request, and leave the body out of an answer to HEAD."""
        if scope["type"] == ScopeType.HTTP:
            path = re.sub("/{2,}", "/", scope["path"])
            if path.lower().startswith("/api/"):
                fixed = len(_ID_FOLLOWS) if path.lower().startswith(_ID_FOLLOWS) else len(path)
                scope["path"] = path[:fixed].lower() + path[fixed:]
                scope["query_string"] = _one_value_each(scope["query_string"], scope["path"].startswith(_FIRST_WINS))
            if scope["method"] == "HEAD":
                scope["method"] = HttpMethod.GET
                send = _without_body(send)  # the last to see an answer
            elif scope["method"] == "OPTIONS" and not self._is_preflight(scope):
                # no route has TRACE: its refusal names every method of the path, Litestar's own OPTIONS only some
                scope["method"] = "TRACE"
                send = _as_options(send)
            known = Headers.from_scope(scope).get("if-none-match", "") if scope["method"] == "GET" else ""
            send = _as_express(send, known)
        await self.app(scope, receive, send)

    def _is_preflight(self, scope: HTTPScope) -> bool:
        """A browser that asks for a page of CORS_ORIGINS whether it may."""
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


def _as_express(send: Send, known: str) -> Send:
    """Names the charset of JSON, and tags it: a client who has it already gets 304."""
    held: HTTPResponseStartEvent | None = None

    async def send_as_express(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            if headers.get("content-type") == "application/json":
                headers["content-type"] = "application/json; charset=utf-8"
            if headers.get("content-type", "").startswith("application/json") and "etag" not in headers:
                held = message  # until the body can be tagged
                return
        elif message["type"] == "http.response.body" and held is not None:
            start, held = held, None
            if not message.get("more_body"):
                headers = MutableScopeHeaders.from_message(start)
                tag = hashlib.sha256(message["body"]).hexdigest()[:32]
                headers["etag"] = f'W/"{tag}"'
                if start["status"] == 200 and (known.strip() == "*" or f'"{tag}"' in known):
                    start["status"], message["body"] = 304, b""
                    del headers["content-length"], headers["content-type"]
            await send(start)
        await send(message)

    return send_as_express


def _one_value_each(query: bytes, first_wins: bool) -> bytes:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="replace")
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in values:
            values[name] = value
        elif not first_wins:
            values[name] += f"\x1f{value}"
    return query if len(values) == len(pairs) else urlencode(values).encode()
