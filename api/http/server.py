"""The HTTP server: uvicorn, which neither idle nor slow clients can fill (docs/operation.md, "Slow clients").

uvicorn limits neither the number of connections nor the time for a header, a body or an unread answer.
"""

import asyncio
import errno
import logging
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import h11
import uvicorn
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from api.errors import ApiError
from api.http import web_socket
from api.http.memory import give_back_large_blocks
from api.http.proxies import is_proxy, network_of, peer_of
from api.http.web_socket import WebSocketProtocol
from api.settings import Settings

MIN_BYTES_PER_SECOND = 8 * 1024
"""A client may send and read more slowly for REQUEST_TIMEOUT only."""

UNREAD_AT_ONCE = 256 * 1024
"""Bytes of an answer that a client must have read before it gets time for more."""

MAX_UNREAD_BYTES = 128 * 1024 * 1024
"""Of answers that all clients together have not read; one network may have a quarter of them."""

_SEND_BUFFER = 256 * 1024
"""What the system keeps of an unread answer, instead of up to 4 MiB; it doubles the number."""

MAX_CONNECTIONS = 512

_QUEUE = 1024
"""Connections that wait until a process accepts them."""

_ACCEPTED_AT_ONCE = 32

_BUSY_SECONDS = 0.005
"""Of CPU between two looks for new connections: an event loop that needs less has little else to do."""

_LATELY_SECONDS = 0.5
"""Between two looks for new connections while some wait."""

_OTHER_FILES = 96
"""Files that are not connections: of Python, of the database's connections, and connections that are being closed."""

MAX_HEAD_BYTES = 16 * 1024
"""Of a request's line and headers."""

MAX_HEADERS = 100
MAX_PARAMETERS = 100

_LOOKS = 3
"""How often the event loop looks for the end of a connection before a request is begun whose effect is its answer."""

STOPPING = "stopping"
"""The name in a request's state that tells that the server has been told to stop."""

CONNECTIONS = "connections"
"""The name in the state of the server's life of its connections."""

_STOP_SECONDS = 5
"""What requests have to end, before the server hangs up on their clients."""

_VERIFY = "/api/presence/verify"
"""Answers with a token; everybody may ask for one."""

MAX_CHUNK_LINE = 256
"""Bytes of the line before a chunk: its size, and extensions that nobody uses."""

_LONG_SPACE = b" " * 100
_ENDS_OF_HEAD = (b"\n\n", b"\n\r\n")

_MAX_SMALL_CHUNKS = 200
_SMALL_CHUNK = 256
_USUAL_CHUNK = 4096

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Serves an application on a socket that listens."""

    config: "_Config"

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Take the application, and how long it waits for a client from the settings."""
        super().__init__(_Config(app, settings))
        give_back_large_blocks()
        self._last_warning = -60.0
        self._stops_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, with a long queue, from which asyncio accepts a few connections at once."""
        asyncio.get_running_loop().set_exception_handler(self._handle_exception)
        self.lifespan.state[CONNECTIONS] = self.server_state.connections
        listeners: list[socket.socket] = [_Listener(fileno=os.dup(listener.fileno())) for listener in sockets or []]
        await super().startup(listeners)
        for listener in listeners:
            listener.listen(_QUEUE)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # of each connection

    async def on_tick(self, counter: int) -> bool:
        """Hang up on clients that take too long; called ten times a second.

        Returns whether to stop: after the signal to do so, when STOP_DELAY is over. /health/ready tells of it before.
        """
        if counter % 5 == 0:
            now = asyncio.get_running_loop().time()
            for connection in cast("list[_Protocol | WebSocketProtocol]", list(self.server_state.connections)):
                connection.hang_up_if_late(now)
        if not await super().on_tick(counter):
            return False
        self.lifespan.state[STOPPING] = True  # of every request from now on
        now = asyncio.get_running_loop().time()
        self._stops_at = self._stops_at or now + self.config.settings.stop_delay
        return now >= self._stops_at or self.force_exit

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Give requests time to end, then hang up on their clients, then cancel those that still run.

        uvicorn would cancel all at once: uploads would leave folders, and each request a traceback in the log.
        """
        asyncio.get_running_loop().call_later(_STOP_SECONDS, self._hang_up)
        await super().shutdown(sockets)

    def _hang_up(self) -> None:
        for connection in cast("list[_Protocol | WebSocketProtocol]", list(self.server_state.connections)):
            connection.transport.abort()

    def _handle_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Write at most one line a minute where the system has no more files: asyncio tries again for ever."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)):
            loop.default_exception_handler(context)
        elif loop.time() - self._last_warning >= 60:
            self._last_warning = loop.time()
            _log.error("new connections have to wait: %s (`ulimit -n` sets how many)", error.strerror)


class _Listener(socket.socket):
    """A socket from which the event loop accepts connections one by one where it has little else to do.

    Of several processes the first to wake would otherwise accept all that wait, and the others had nothing to do.
    """

    _left: int | None = None
    """How many more the event loop may accept before it serves; None before it asks for the first."""

    _asked = _worked = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError where there is none, or others are to be served before it."""
        now, work = time.monotonic(), time.thread_time()
        if self._left is None:
            is_busy = now - self._asked < _LATELY_SECONDS and work - self._worked > _BUSY_SECONDS
            self._left = _ACCEPTED_AT_ONCE if is_busy else 1
        try:
            if self._left == 0:
                raise BlockingIOError
            connection = super().accept()
        except OSError:
            self._left, self._asked, self._worked = None, now, work
            raise
        self._left -= 1
        return connection


class _Config(uvicorn.Config):
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        super().__init__(
            _timing_bodies(app, settings.request_timeout),
            loop="asyncio",  # no other that is installed: it handles a lack of files in its own way
            http=_Protocol,
            ws=WebSocketProtocol,
            ws_max_size=web_socket.MAX_MESSAGE_BYTES,
            ws_ping_interval=web_socket.PING_SECONDS,
            ws_ping_timeout=web_socket.PING_SECONDS,
            ws_per_message_deflate=False,  # a message of a kilobyte could become one of a megabyte
            backlog=_ACCEPTED_AT_ONCE + 1,  # the last one is refused by the listener
            log_config=None,  # api/logs.py decides
            log_level="error",  # below are only lines that any client can make it write
            access_log=False,
            server_header=False,
            proxy_headers=False,  # TRUSTED_PROXIES decides
            timeout_keep_alive=settings.request_timeout,
            timeout_graceful_shutdown=_STOP_SECONDS + 1,
            reset_contextvars=True,  # a request must not see those of an earlier one on its connection (`replayed`)
        )
        self.settings = settings
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # a request may open a file itself
        self.max_connections = min(MAX_CONNECTIONS, max(8, (files - _OTHER_FILES) // 2))
        # idle ones stay open
        self.max_web_sockets = self.max_connections // 2


class _Protocol(H11Protocol):
    """A connection. Its client was last heard at `heard`; it waits for a request since `idle_since`, if it is idle."""

    config: _Config

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for it: of too many connections, one of the network with most of them is closed.

        It is the one whose client is silent for longest.
        """
        super().connection_made(transport)
        self.conn = StrictConnection()
        self.idle_since = self.heard = self.loop.time()
        self._has_next_request = False
        self._unread = 0
        self._unread_until: float | None = None
        self.client = peer_of(transport)
        peer = self.client[0] if self.client else ""
        self.network = network_of(peer)
        most = self.config.max_connections
        self._make_room(self._all_connections, most)
        self._is_proxy = is_proxy(peer, self.config.settings)
        if not self._is_proxy:
            self._make_room(self._connections_of_network(), most // 4)

    @property
    def _all_connections(self) -> set["_Protocol | WebSocketProtocol"]:
        return cast("set[_Protocol | WebSocketProtocol]", self.connections)

    def _connections_of_network(self) -> list["_Protocol | WebSocketProtocol"]:
        return [other for other in self._all_connections if other.network == self.network]

    def _make_room(self, connections: Collection["_Protocol | WebSocketProtocol"], most: int) -> None:
        if len(connections) <= most or self.transport.is_closing():
            return
        longest = _longest_silent({other: 1 for other in connections if other.waits_for_client})
        if longest is self:
            # every other one is being answered
            self.transport.write(_BUSY)
            self.transport.close()
        else:
            longest.transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, or for the rest of one that is answered already."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    @property
    def waits_for_client(self) -> bool:
        """Whether it waits for a request, for the rest of one, or for the client to read an answer."""
        if self.transport.is_closing():
            # it is closed when the client has read what is left
            return self.transport.get_write_buffer_size() > 0
        return self.is_idle or self.cycle.more_body or self.flow.write_paused

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        self.heard = self.loop.time()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def handle_events(self) -> None:
        """Begin the next request, but only when nearly all of the answer before it is read."""
        self._has_next_request = self.flow.write_paused and self.is_idle
        if self._has_next_request:
            self.flow.pause_reading()
        else:
            super().handle_events()

    def pause_writing(self) -> None:
        """Make room for an answer that its client has not read."""
        super().pause_writing()
        self._limit_unread(self._all_connections, MAX_UNREAD_BYTES)
        if not self._is_proxy:
            self._limit_unread(self._connections_of_network(), MAX_UNREAD_BYTES // 4)

    def _limit_unread(self, connections: Collection["_Protocol | WebSocketProtocol"], most: int) -> None:
        """Of too much that is unread, drop what clients of the network with most of it have not read for longest."""
        unread = {other: size for other in connections if (size := other.transport.get_write_buffer_size())}
        while sum(unread.values()) > most and len(unread) > 1:
            silent = _longest_silent(unread)
            silent.transport.abort()
            del unread[silent]

    def resume_writing(self) -> None:
        """Note that the client has read nearly all that was written."""
        self._unread_until = None
        self.heard = self.loop.time()
        super().resume_writing()
        if self._has_next_request and not self.transport.is_closing():
            self.flow.resume_reading()
            self.handle_events()

    def hang_up_if_late(self, now: float) -> None:
        """Close the connection if its client takes too long to send a request, or to read an answer."""
        timeout = self.config.settings.request_timeout
        unread = self.transport.get_write_buffer_size()
        if not unread:
            self._unread_until = None
            if self.is_idle and now - self.idle_since > timeout:
                self.transport.abort()
        elif self._unread_until is None or self._unread - unread >= UNREAD_AT_ONCE:
            # a client wins time for the rest of a long answer only by reading
            if self._unread_until is not None:
                self.heard = now
            self._unread = unread
            self._unread_until = now + timeout + min(unread, UNREAD_AT_ONCE) / MIN_BYTES_PER_SECOND
        elif now > self._unread_until:
            self.transport.abort()
        else:
            self._unread = max(self._unread, unread)

    def _should_upgrade_to_ws(self) -> bool:
        """Whether a request for an upgrade gets it; any other is answered as if it had not asked for it."""
        # websockets fails to refuse a handshake that is not ASCII
        is_ascii = all(value.isascii() for _, value in self.headers)
        return self.scope["path"] == web_socket.PATH and self.scope["method"] == "GET" and is_ascii

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection to a WebSocketProtocol, unless there are too many, or more than a handshake was sent."""
        open_ones = sum(isinstance(other, WebSocketProtocol) for other in self.connections)
        if open_ones >= self.config.max_web_sockets:
            self.transport.write(_BUSY)
            self.transport.close()
        elif self.conn.trailing_data[0]:
            # uvicorn would drop what no client sends before it has the answer
            self.send_400_response("")
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is no HTTP, unless there is an answer already. The application's own is dropped.

        uvicorn's answer has a body, which h11 sends for no HEAD.
        """
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(web_socket.BAD_REQUEST)
        self.transport.close()


def _longest_silent(sizes: Mapping[_Protocol | WebSocketProtocol, int]) -> _Protocol | WebSocketProtocol:
    """Of the connections of the network with the largest sum of sizes, the one whose client is silent for longest."""
    sums: Counter[str] = Counter()
    for connection, size in sizes.items():
        sums[connection.network] += size
    largest = max(sums.values())
    return min((each for each in sizes if sums[each.network] == largest), key=lambda each: each.heard)


class Head:
    """A head, or trailers, of which h11 may take long to parse.

    Its own limit is for those that come in several pieces, and its time grows with the square of white space.
    """

    _seen = 0

    def require_simple(self, received: bytes) -> None:
        """Raise h11.RemoteProtocolError for too long a head, of which so much is received.

        What was looked at before is not looked at again: it may come in thousands of pieces.
        """
        if received.startswith((b"\n", b"\r\n")):
            return
        begin = max(0, self._seen - len(_LONG_SPACE))
        new = received[begin : MAX_HEAD_BYTES + 1].replace(b"\t", b" ")
        end = min((at for at in map(new.find, _ENDS_OF_HEAD) if at >= 0), default=len(new))
        self._seen = begin + end
        is_long = self._seen > MAX_HEAD_BYTES
        if is_long or received.count(b"\n", 0, self._seen) > MAX_HEADERS or _LONG_SPACE in new[:end]:
            raise h11.RemoteProtocolError("too long a head")


class StrictConnection(h11.Connection):
    """Refuses what costs more than its bytes: many headers, many parameters, a body in tiny chunks.

    The head of an answer waits for the first bytes of its body: two writes cost twice the system's time.
    """

    _small_chunks = _chunks = _bytes = 0
    _answered: Sequence[bytes] = ()

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._head = Head()

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        """What to write for an event. Raises h11.LocalProtocolError."""
        output = super().send_with_data_passthrough(event)
        if output is None:
            return None
        if isinstance(event, h11.Response):
            self._answered = output
            return []
        output, self._answered = [*self._answered, *output], ()
        return output

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event. Raises h11.RemoteProtocolError."""
        if self.their_state is h11.IDLE:
            self._head.require_simple(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._head = Head()
            self._small_chunks = self._chunks = self._bytes = 0
            if isinstance(self._reader, ChunkedReader):
                self._reader = _StrictChunkedReader()
            if event.target.count(b"&") >= MAX_PARAMETERS:
                raise h11.RemoteProtocolError("too many parameters")
        elif isinstance(event, h11.Data):
            self._bytes += len(event.data)
            self._chunks += event.chunk_start
            self._small_chunks += len(event.data) < _SMALL_CHUNK
            most = _MAX_SMALL_CHUNKS + self._bytes // _USUAL_CHUNK
            if self._small_chunks > _MAX_SMALL_CHUNKS or self._chunks > most:
                raise h11.RemoteProtocolError("too many small chunks")
        return event


class _StrictChunkedReader(ChunkedReader):
    """Refuses long lines of chunks, and trailers that no head may have."""

    def __init__(self) -> None:
        super().__init__()
        self._trailers = Head()

    def __call__(self, buffer: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        if self._reading_trailer:
            self._trailers.require_simple(bytes(buffer))
        elif not self._bytes_in_chunk:
            line = bytes(buffer).removeprefix(self._bytes_to_discard)
            if line.find(b"\r\n") > MAX_CHUNK_LINE:
                raise h11.RemoteProtocolError("too long a line of a chunk")
        return super().__call__(buffer)


async def _has_hung_up(receive: Receive) -> bool:
    """Whether the client that has just sent a request is gone: hundreds of such requests would stand before others."""
    request: RequestResponseCycle | WebSocketProtocol = receive.__self__  # type: ignore[attr-defined]
    for _ in range(_LOOKS):
        if request.disconnected:
            return True
        await asyncio.sleep(0)
    return bool(request.disconnected)


def _is_useless_unread(scope: Scope) -> bool:
    """Whether a request has no effect but its answer."""
    if scope["type"] == ScopeType.HTTP:
        return scope["method"] in ("GET", "HEAD") or scope["path"].lower().startswith(_VERIFY)
    return scope["type"] == ScopeType.WEBSOCKET


def _timing_bodies(app: ASGIApp, timeout: float) -> ASGIApp:
    """The application, without requests that nobody waits for.

    They end with ApiError body_timeout where the client sends a body too slowly.
    """

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        if _is_useless_unread(scope) and await _has_hung_up(receive):
            return
        left = float(timeout)
        # no route reads the body of a GET, whose answer may take longer to send
        is_complete = scope["type"] != ScopeType.HTTP or scope["method"] in ("GET", "HEAD")

        async def receive_in_time() -> ReceiveMessage:
            nonlocal left, is_complete
            if is_complete:
                return await receive()
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError as error:
                raise ApiError("body_timeout") from error
            body = cast(bytes, message.get("body", b""))
            left = min(timeout, left - (loop.time() - began) + len(body) / MIN_BYTES_PER_SECOND)
            is_complete = not message.get("more_body", False)
            return message

        await app(scope, receive_in_time, send)

    return timed
