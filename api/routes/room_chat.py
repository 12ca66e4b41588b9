"""The chat of a room, the WebSocket /ws (docs/compatibility.md, "The chat of a room")."""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from typing import Any, cast

import msgspec
from litestar import Router, WebSocket, get, websocket
from litestar.datastructures import State
from litestar.exceptions import HTTPException, WebSocketDisconnect
from litestar.types import ASGIApp, Receive, Scope, Send

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.gateway.shares import Shares
from api.http.callers import Caller, CallerMiddleware, calls_of
from api.http.proxies import client_address
from api.models.base import required
from api.rooms import MAX_TEXT_BYTES, Notice, Rooms
from api.settings import Settings

JOIN_SECONDS = 10.0
"""How long a connection may be open without having joined a room."""

CHECK_SECONDS = 2.0
"""For so long a member hears a room without being asked again whether it is in it."""

MAX_CONNECTIONS_OF_CLIENT = 32
MAX_HANDSHAKES_A_MINUTE = 60

MESSAGES_A_SECOND = 5.0
MAX_MESSAGES_AT_ONCE = 20.0

MAX_UNREAD = 64
"""Messages that wait for a member; one that reads more slowly is hung up on."""

_FAREWELL_SECONDS = 1.0

_FAILED = 1011

_FINAL = (401, 403, 408, 429)
"""Errors after which the connection is closed, with 4000 and the status as its code."""

_GONE = (WebSocketDisconnect, OSError)
"""What sending to a client that has gone raises."""

_log = logging.getLogger(__name__)


class _Payload(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    type: str = ""
    room_id: str | None = None
    thinker_id: str | None = None
    payload: _Payload | None = None


class Handshake:
    """Limits the connections of a client address, and refuses a handshake as other requests: with status and error."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap what authenticates the handshake."""
        self.app = app
        self._connections: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Shake hands, or refuse to."""
        socket: WebSocket[Caller, None, State] = WebSocket(scope)
        address = client_address(socket)
        self._connections[address] += 1
        try:
            if self._connections[address] > MAX_CONNECTIONS_OF_CLIENT:
                raise ApiError("rate_limited", retry_after="60")
            await _count_handshake(socket, address)
            await self.app(scope, receive, send)
        except HTTPException as error:
            await _refuse(send, error.status_code, error.detail, error.headers or {})
        except ApiError as error:
            headers = {"retry-after": error.retry_after} if error.retry_after else {}
            await _refuse(send, error.status, error.message("de"), headers)
        finally:
            self._connections[address] -= 1
            self._connections += Counter()  # forgets those that have none


async def _count_handshake(socket: WebSocket[Caller, None, State], address: str) -> None:
    """Raise ApiError rate_limited for too many of an address in a minute."""
    settings: Settings = socket.app.state.settings
    shares: Shares = socket.app.state.shares
    if settings.is_rate_limited:
        calls = shares.of(is_operator=False, is_read=False, client=address)
        counted = await calls.call("count_request", SERVER, client=f"/ws|{address}")
        if counted["requests"] > MAX_HANDSHAKES_A_MINUTE:
            raise ApiError("rate_limited", retry_after=str(counted["seconds_left"]))


async def _refuse(send: Send, status: int, message: str, headers: dict[str, str]) -> None:
    body = msgspec.json.encode({"ok": False, "error": message})
    sent = {"content-type": "application/json; charset=utf-8", "cache-control": "private"} | headers
    start = {
        "type": "websocket.http.response.start",
        "status": status,
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
    }
    # an extension of ASGI, which Litestar's types do not know
    for part in (start, {"type": "websocket.http.response.body", "body": body}):
        await send(cast(Any, part))


@websocket("/ws")
async def chat(socket: WebSocket[Caller, None, State]) -> None:
    """Lets a thinker talk with the others in the room into which it was matched."""
    await socket.accept()
    await _Conversation(socket).run()


@get("/ws", include_in_schema=False)
async def no_upgrade() -> None:
    """Answers a request that wants no WebSocket, as the legacy function meant to."""
    raise HTTPException(status_code=426, headers={"Upgrade": "websocket"})


class _Conversation:
    """A connection to /ws: what it sends is said in its room, and what others say there is sent to it."""

    def __init__(self, socket: WebSocket[Caller, None, State]) -> None:
        self._socket = socket
        self._rooms: Rooms = socket.app.state.rooms
        self._calls = calls_of(socket)
        self._loop = asyncio.get_running_loop()
        self._unread: asyncio.Queue[bytes] = asyncio.Queue(MAX_UNREAD)
        self._actor: Actor | None = None
        self._room_id = ""
        self._checked = 0.0
        self._allowance, self._counted = MAX_MESSAGES_AT_ONCE, self._loop.time()

    async def run(self) -> None:
        """Talk until one side hangs up."""
        reading, writing = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        self._writing = writing
        try:
            async with asyncio.timeout(JOIN_SECONDS) as self._end:
                await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            # the token has expired, or nothing was joined
            await self._hang_up(ApiError("not_signed_in" if self._actor else "body_timeout"))
        finally:
            reading.cancel()
            writing.cancel()
            ends = await asyncio.gather(reading, writing, return_exceptions=True)
            if self._actor is not None:
                self._rooms.leave(self._room_id, self)
        for error in ends:
            if isinstance(error, ApiError):
                await self._hang_up(error)
            elif isinstance(error, Exception) and not isinstance(error, _GONE):
                _log.error("a chat failed", exc_info=error)
                await self._hang_up(None)

    def take(self, message: bytes) -> None:
        """See Member. One that does not read what it gets is hung up on."""
        try:
            self._unread.put_nowait(message)
        except asyncio.QueueFull:
            self._writing.cancel()

    async def _read(self) -> None:
        """Carry out what the client sends. Raises ApiError for what ends the connection, and WebSocketDisconnect."""
        while True:
            text = await self._socket.receive_text()
            try:
                self._count()
                await self._carry_out(text)
            except ApiError as error:
                if error.status in _FINAL:
                    raise
                await self._socket.send_text(_error(error))

    async def _write(self) -> None:
        """Send what waits. Raises ApiError where the thinker is not in the room any more, and WebSocketDisconnect."""
        while True:
            message = await self._unread.get()
            try:
                await self._check()
            except ApiError as error:
                if error.status in _FINAL:
                    raise
                message = _error(error)
            await self._socket.send_text(message)

    async def _carry_out(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text, type=_Message)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ApiError("invalid_json") from error
        if message.type == "join":
            await self._join(message.room_id or "", required(message.thinker_id or None, "thinker_required"))
        elif message.type == "message" and message.payload is not None and message.payload.text:
            await self._say(message.payload.text)

    async def _join(self, room_id: str, uid: str) -> None:
        actor = self._socket.user.as_thinker(uid)
        await self._rooms.listen()
        notice = Notice.now(room_id, uid)
        await self._calls.call("join_room", actor, room_id=room_id, notice=self._rooms.sealed(notice))
        if self._actor is not None:
            self._rooms.leave(self._room_id, self)
            while not self._unread.empty():
                self._unread.get_nowait()
        self._actor, self._room_id, self._checked = actor, room_id, self._loop.time()
        expires = actor.expires_at
        self._end.reschedule(None if expires is None else self._loop.time() + expires - time.time())
        self._rooms.enter(room_id, self)
        self._rooms.deliver(notice)

    async def _say(self, text: str) -> None:
        if self._actor is None or self._actor.uid is None:
            raise ApiError("not_your_room")
        if len(text.encode()) > MAX_TEXT_BYTES:
            raise ApiError("too_large")
        notice = Notice.now(self._room_id, self._actor.uid, text)
        await self._calls.call("send_to_room", self._actor, room_id=self._room_id, notice=self._rooms.sealed(notice))
        self._checked = self._loop.time()
        self._rooms.deliver(notice, sender=self)

    async def _check(self) -> None:
        """Raise ApiError not_your_room if the thinker has left the room meanwhile."""
        if self._actor is not None and self._loop.time() - self._checked > CHECK_SECONDS:
            await self._calls.call("send_to_room", self._actor, room_id=self._room_id)
            self._checked = self._loop.time()

    def _count(self) -> None:
        """Raise ApiError rate_limited for more messages than a person writes."""
        now = self._loop.time()
        earned = (now - self._counted) * MESSAGES_A_SECOND
        self._allowance, self._counted = min(MAX_MESSAGES_AT_ONCE, self._allowance + earned) - 1, now
        if self._allowance < 0:
            raise ApiError("rate_limited")

    async def _hang_up(self, error: ApiError | None) -> None:
        """Close the connection, after the error that the client made if there is one."""
        with suppress(TimeoutError, *_GONE):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                if error is None:
                    await self._socket.close(_FAILED)
                else:
                    await self._socket.send_text(_error(error))
                    await self._socket.close(4000 + error.status)


def _error(error: ApiError) -> bytes:
    return msgspec.json.encode({"type": "error", "ok": False, "error": error.message("de")})


router = Router("/", route_handlers=[chat], middleware=[Handshake, CallerMiddleware])
