"""The chats of rooms: the members of this process, and the notices of the other ones over LISTEN and NOTIFY."""

import asyncio
import base64
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import msgspec
import psycopg
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from api.database import has_sessions
from api.errors import PortalError
from api.tokens import Tokens

MAX_TEXT_BYTES = 4096
"""Of what a member says: a sealed notice must stay below the 8000 bytes that PostgreSQL takes."""

RETRY_SECONDS = 0.5
"""How long after a failure the database is asked for notices again."""

_LISTEN_PATIENCE_SECONDS = 3.0

_log = logging.getLogger(__name__)


class Member(Protocol):
    """A connection that has joined a room."""

    def take(self, message: bytes) -> None:
        """Send the message later, without waiting for it."""
        ...


class Notice(msgspec.Struct, array_like=True):
    """What happened in a room: a thinker joined it, or said something. `room` is a hash, for an id may be long."""

    room: bytes
    uid: str
    text: str | None
    at: int
    server: bytes = b""

    @classmethod
    def now(cls, room_id: str, uid: str, text: str | None = None) -> "Notice":
        """A notice of this moment; `at` is in epoch milliseconds."""
        return cls(_key(room_id), uid, text, time.time_ns() // 1_000_000)

    def message(self, room_id: str) -> bytes:
        """The message of the portal's protocol."""
        message: dict[str, object] = {"type": "system", "room_id": room_id, "event": "join"}
        if self.text is not None:
            message = {"type": "message", "room_id": room_id, "from": self.uid, "payload": {"text": self.text}}
            message["at"] = self.at
        return msgspec.json.encode(message)


class Rooms:
    """The members of each room that are connected to this process.

    Notices go to them directly, and to the other processes sealed: every role that can connect to the database can
    listen and notify, and PostgreSQL may write statements and notices to its log and its disk.
    """

    def __init__(self, tokens: Tokens, database_url: str | None) -> None:
        """Take what seals notices, and the libpq URL of the database; without one no other process is heard."""
        self._database_url = database_url
        self._seal = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in tokens.derived_keys("room notices")])
        self._server = secrets.token_bytes(16)
        self._members: dict[bytes, dict[Member, str]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._is_ready = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Stop listening at the end."""
        yield
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener

    def sealed(self, notice: Notice) -> str:
        """The notice as the other processes read it, for `public.send_to_room`."""
        notice.server = self._server
        return self._seal.encrypt(msgspec.msgpack.encode(notice)).decode()

    async def listen(self) -> None:
        """Hear the other processes from now on. Does not wait for long: a room works within a process without them."""
        if self._database_url is None:
            return
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(self._database_url))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LISTEN_PATIENCE_SECONDS):
                await self._is_ready.wait()

    def enter(self, room_id: str, member: Member) -> None:
        """Let a member hear what happens in the room."""
        self._members.setdefault(_key(room_id), {})[member] = room_id

    def leave(self, room_id: str, member: Member) -> None:
        """End that."""
        members = self._members.get(_key(room_id), {})
        members.pop(member, None)
        if not members:
            self._members.pop(_key(room_id), None)

    def deliver(self, notice: Notice, sender: Member | None = None) -> None:
        """Hand the notice to all members of its room in this process but the sender."""
        message = b""
        for member, room_id in list(self._members.get(notice.room, {}).items()):
            message = message or notice.message(room_id)
            if member is not sender:
                member.take(message)

    async def _listen(self, database_url: str) -> None:
        is_known = is_away = False
        while True:
            try:
                if not is_known and not await asyncio.to_thread(has_sessions, database_url):
                    _log.warning("rooms are not shared with other servers: DATABASE_URL is a transaction pooler")
                    self._is_ready.set()
                    return
                is_known = True
                async with await _connect(database_url) as connection:
                    await connection.execute("listen room_notices")
                    self._is_ready.set()
                    is_away = False
                    async for notification in connection.notifies():
                        self._open_sealed(notification.payload)
            except (psycopg.Error, PortalError) as error:
                if not is_away:
                    _log.warning("rooms do not hear other servers: %s", error)
                is_away = True
                self._is_ready.clear()
            await asyncio.sleep(RETRY_SECONDS)

    def _open_sealed(self, payload: str) -> None:
        with suppress(InvalidToken, ValueError, msgspec.MsgspecError):
            notice = msgspec.msgpack.decode(self._seal.decrypt(payload.encode()), type=Notice)
            if notice.server != self._server:
                self.deliver(notice)


async def _connect(database_url: str) -> psycopg.AsyncConnection[Any]:
    """A connection that notices within a minute that its server is gone."""
    return await psycopg.AsyncConnection.connect(
        database_url,
        autocommit=True,
        prepare_threshold=None,
        client_encoding="utf8",
        connect_timeout=3,
        application_name="togethersystems-rooms",
        keepalives_idle=20,
        keepalives_interval=10,
        keepalives_count=3,
    )


def _key(room_id: str) -> bytes:
    return hashlib.sha256(room_id.encode()).digest()
