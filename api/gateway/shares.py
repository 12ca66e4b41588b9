"""How many calls each kind of request may make at once, so that none of them takes all connections of the gateway.

docs/operation.md, "Connections" has the figures.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from api.actor import Actor
from api.errors import ApiError
from api.gateway import Calls, Gateway

PATIENCE_SECONDS = 3.0
"""How long a request waits for a free connection."""


class Shares:
    """A gateway, of which each kind of request has a share."""

    def __init__(self, gateway: Gateway) -> None:
        """Take the gateway, which somebody else opens."""
        self._gateway = gateway
        connections = gateway.connections
        # all but one, which is that of /health
        everything = asyncio.Semaphore(connections - 1)
        callers = asyncio.Semaphore(connections * 5 // 8)
        reads = asyncio.Semaphore(connections * 3 // 8)
        self._shares: dict[tuple[bool, bool], Calls] = {
            # is it an operator's, does it only read
            (False, False): _Share(gateway, callers, everything),
            (False, True): _Share(gateway, reads, callers, everything),
            (True, False): _Share(gateway, everything),
            (True, True): _Share(gateway, asyncio.Semaphore(connections // 4), everything),
        }
        self._ping: asyncio.Task[bool] | None = None

    def of(self, *, is_operator: bool, is_read: bool) -> Calls:
        """The calls of a kind of request. They raise ApiError `busy` where its share stays taken."""
        return self._shares[is_operator, is_read]

    async def ping(self) -> bool:
        """Whether the database can be written. All requests at one time share one call, on a connection of its own."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._gateway.call("ping", Actor("anon")))
        return await asyncio.shield(self._ping)


class _Share:
    """The calls of one kind of request, each within all of its limits."""

    def __init__(self, gateway: Gateway, *limits: asyncio.Semaphore) -> None:
        self._gateway = gateway
        self._limits = limits

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Calls."""
        async with _within(self._limits):
            return await self._gateway.call(function, actor, **params)


@asynccontextmanager
async def _within(limits: Iterable[asyncio.Semaphore]) -> AsyncIterator[None]:
    async with AsyncExitStack() as taken:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for limit in limits:
                    await taken.enter_async_context(limit)
        except TimeoutError as error:
            raise ApiError("busy") from error
        yield
