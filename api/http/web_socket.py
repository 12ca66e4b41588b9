"""A connection that has become a WebSocket: uvicorn's, which no client can fill (docs/operation.md, "Slow clients").

uvicorn limits the size of a message, but neither how many frames a client sends nor how many pongs it leaves unread.
"""

import asyncio

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode
from websockets.protocol import Event
from websockets.server import ServerProtocol

from api.http.proxies import network_of, peer_of

PATH = "/ws"

MAX_MESSAGE_BYTES = 32 * 1024
"""JSON may escape each byte of a text with six."""

PING_SECONDS = 20.0
"""How often a client is asked whether it is there, and how long it may take to answer."""

CLOSE_SECONDS = 2.0
"""How long a client may take to answer a close."""

MAX_FRAMES_AT_ONCE = 100
"""In half a second."""

MAX_FRAMES_OF_MESSAGE = 100
MAX_UNREAD_BYTES = 256 * 1024

_SLICE = 4096
"""Bytes that are parsed before the limits are looked at."""

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket. It is never closed to make room for others, because fewer of them are allowed than connections."""

    waits_for_client = False

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, object]) -> None:
        """Take what uvicorn hands over."""
        super().__init__(config, server_state, app_state)
        self.conn = self._counting = _CountingProtocol(max_size=config.ws_max_size, logger=self.logger)
        self.close_timeout = CLOSE_SECONDS
        self.heard = self.loop.time()
        self._unread_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the connection."""
        super().connection_made(transport)
        self.client = peer_of(transport)
        self.network = network_of(self.client[0] if self.client else "")

    def data_received(self, data: bytes) -> None:
        """Read a part of the handshake or of messages, and hang up on a client that sends or leaves too much."""
        for start in range(0, len(data), _SLICE):
            if self.transport.is_closing():
                return
            if self.handshake_initiated and not self.handshake_complete:
                # no client sends messages before it has the answer; uvicorn would write tracebacks to the log
                self.transport.abort()
                return
            super().data_received(data[start : start + _SLICE])
            too_many = self._counting.frames > MAX_FRAMES_AT_ONCE or len(self.frames) > MAX_FRAMES_OF_MESSAGE
            if too_many or self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
                self.transport.abort()
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(BAD_REQUEST)
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application sends. uvicorn would miss a handshake that was refused, and write so to the log.

        Raises ClientDisconnected, also where the client went while its earlier messages were answered: asyncio would
        write a line to the log for each answer.
        """
        if self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    def send_receive_event_to_app(self) -> None:
        """Pass on a message, unless it is no UTF-8: uvicorn would write a traceback to the log."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def resume_writing(self) -> None:
        """Note that the client has read nearly all that was written."""
        self._unread_since = None
        super().resume_writing()

    def hang_up_if_late(self, now: float) -> None:
        """Close the connection if its client takes too long to read; called twice a second."""
        self._counting.frames = 0
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > self.config.timeout_keep_alive:
            self.transport.abort()


class _CountingProtocol(ServerProtocol):
    """Counts the frames that it has read."""

    frames = 0

    def events_received(self) -> list[Event]:
        """The new ones."""
        events = super().events_received()
        self.frames += len(events)
        return events
