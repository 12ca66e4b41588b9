"""Bodies that clients are still sending: what they take of memory together."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from api.errors import ApiError

MAX_INCOMING_BYTES = 64 * 1024 * 1024
"""Of the bodies that a server process has not received whole."""


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
