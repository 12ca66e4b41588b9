"""The bodies of requests: what they take of memory together, while they arrive and when they are parsed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from weakref import WeakValueDictionary

from litestar.types import HTTPScope

from api.errors import ApiError
from api.gateway.shares import held

MAX_INCOMING_BYTES = 64 * 1024 * 1024
"""Of the bodies that a server process has not received whole."""

LARGE_BODY_BYTES = 32 * 1024
LARGE_BODY_VALUES = 500
"""A body with more bytes, or more values, is large: a megabyte of JSON can become 13 MB of objects."""

MAX_LARGE_BODIES = 8
"""Large bodies that a server process has parsed, and whose requests have not ended."""

_PLACE = "place"
"""The name in a request's state of what it holds for its large body."""


@dataclass(eq=False)
class _Body:
    address: str
    timeout: asyncio.Timeout
    size: int = 0


class Incoming:
    """The bodies that are being received, each part of which is kept until its body is whole.

    Where they are too long together, one of the address with the most bytes is given up: that of its bodies whose
    client is silent for longest.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._bodies: dict[_Body, None] = {}
        """The longest silent first."""

    async def receive(self, address: str, parts: AsyncIterator[bytes]) -> bytes:
        """The parts of the body of an address as one. Raises ApiError `busy` where it is given up."""
        received = bytearray()
        try:
            async with asyncio.timeout(None) as timeout:
                body = _Body(address, timeout)
                try:
                    async for part in parts:
                        received += part
                        body.size += len(part)
                        self._bodies.pop(body, None)
                        self._bodies[body] = None
                        self._make_room()
                finally:
                    self._bodies.pop(body, None)
        except TimeoutError as error:
            raise ApiError("busy") from error
        return bytes(received)

    def _make_room(self) -> None:
        if sum(body.size for body in self._bodies) <= MAX_INCOMING_BYTES:
            return
        sizes: Counter[str] = Counter()
        for body in self._bodies:
            sizes[body.address] += body.size
        [(most, _)] = sizes.most_common(1)
        given_up = next(body for body in self._bodies if body.address == most)
        del self._bodies[given_up]
        given_up.timeout.reschedule(asyncio.get_running_loop().time())


class Places:
    """The places of large bodies, which are parsed only within one. A client has one of them at a time."""

    def __init__(self) -> None:
        """Begin with all of them free."""
        self.parsing = asyncio.Lock()
        """Held while one of them is parsed, and for a pause in which the event loop is for others."""

        self._places = asyncio.Semaphore(MAX_LARGE_BODIES)
        self._clients: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, client: str | None, scope: HTTPScope) -> None:
        """Wait for a place, which the request has until `give_back`. Raises ApiError `busy` where all stay taken."""
        place: AsyncExitStack = scope["state"].setdefault(_PLACE, AsyncExitStack())
        of_client = [] if client is None else [self._clients.setdefault(client, asyncio.Semaphore(1))]
        await place.enter_async_context(held(*of_client, self._places))

    @staticmethod
    async def give_back(scope: HTTPScope) -> None:
        """Give back the place of a request that has ended, if it has one."""
        place: AsyncExitStack | None = scope["state"].pop(_PLACE, None)
        if place is not None:
            await place.aclose()
