"""What holds for every request and answer on the wire, whatever the route: clear framing, and headers of security."""

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketScope,
)

from api.http.incoming import Places
from api.http.observation import Observation, Observer
from api.http.server import CONNECTIONS, STOPPING

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_VARY = (b"vary", b"Cookie, Authorization, Origin, X-TS-APIKEY, X-MOT-User")
"""The headers of a request that tell who calls."""

_PRIVATE = (b"cache-control", b"private")
_CLOSE = (b"connection", b"close")
_NOT_STORED = (b"cache-control", b"no-store")

_TWO_LENGTHS = b'{"ok":false,"error":"bad request"}'


class Wire:
    """Refuses a request whose body has two lengths, and adds headers to every answer.

    `X-Content-Type-Options: nosniff` and `X-Request-ID` to all of them; to those of /api, which depend on the caller,
    `Vary` and `Cache-Control: private`; to those below /health `Cache-Control: no-store`; `Connection: close` while the
    server stops.
    """

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        """Wrap the application; the observer is told of each request."""
        self.app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] == ScopeType.HTTP:
            observed = self._observer.begin(scope)
            try:
                await self._answer(scope, receive, send, observed)
            finally:
                await Places.give_back(scope)
                observed.end()
        elif scope["type"] == ScopeType.WEBSOCKET:
            await self._talk(scope, receive, send)
        else:
            # the state of the server's whole life
            async with self._observer.metrics.watching(scope.get("state", {}).get(CONNECTIONS, ())):
                await self.app(scope, receive, send)

    async def _talk(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        """Let the application talk. A client that goes before it has an answer leaves no line in the log."""
        observed = self._observer.begin(scope)

        async def send_observed(message: Message) -> None:
            await send(message)
            if message["type"] == "websocket.accept":
                observed.status = 101
            elif message["type"] == "websocket.close" and observed.status is None:
                observed.status = 403
            elif message["type"] == "websocket.http.response.start":
                observed.status = message["status"]

        try:
            await self.app(scope, receive, send_observed)
        finally:
            if observed.status is not None:
                observed.end()

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send, observed: Observation) -> None:
        sent = Headers.from_scope(scope)
        depends_on_caller = scope["path"].lower().lstrip("/").startswith("api/")
        added = [_NOSNIFF, _VARY] if depends_on_caller else [_NOSNIFF]
        if scope["path"].startswith("/health/"):
            added.append(_NOT_STORED)
        if scope["state"].get(STOPPING):
            added.append(_CLOSE)  # so that no client sends its next request to a closed connection
        added.append((b"x-request-id", observed.id.encode()))
        replaced = {name for name, _ in added}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                observed.status = message["status"]
                # no MutableScopeHeaders, which decode all names to find one
                headers = [header for header in message["headers"] if header[0] not in replaced]
                if depends_on_caller and all(name != b"cache-control" for name, _ in headers):
                    headers.append(_PRIVATE)
                message["headers"] = headers + added
            await send(message)

        # a proxy may read the one length and this server the other, and so see other requests (RFC 9112, 6.1)
        if "transfer-encoding" in sent and "content-length" in sent:
            await send_with_headers(_refusal())
            await send(HTTPResponseBodyEvent(type="http.response.body", body=_TWO_LENGTHS, more_body=False))
            return
        await self.app(scope, receive, send_with_headers)


def _refusal() -> HTTPResponseStartEvent:
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(_TWO_LENGTHS)).encode()),
        # what follows on the connection may be the other reading of the body
        (b"connection", b"close"),
    ]
    return HTTPResponseStartEvent(type="http.response.start", status=400, headers=headers)
