"""Rate limits of routes: requests of a client a minute (docs/compatibility.md, "Rate limits").

PostgreSQL counts for all server processes together. A process takes some requests of a client at a time and counts
those itself, so that most requests need no round trip for it.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import TooManyRequestsException
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.actor import SERVER
from api.errors import ApiError
from api.gateway import Calls
from api.gateway.shares import MOST_OF_CLIENT, Shares
from api.http.callers import Caller, is_operator
from api.http.proxies import client_address
from api.http.sessions import BrowserSession
from api.metrics import Metrics
from api.settings import Settings

_MOST_CLIENTS = 10_000
"""Clients whose requests a process counts itself: any more take the place of the one that was asked for longest ago."""

MAX_MEBIBYTES_A_DAY = 256
"""JSON that an address sends within 24 hours, without its compression: thinkers have a limit of their own
(`private.settings.bytes_a_day`), but are free."""

SMALL_BODY_BYTES = 1024
"""A body of at most so many is not counted: nobody may shut others of an address out for a day."""

_MEBIBYTE = 1024 * 1024


class Count(NamedTuple):
    """The number of a request in the minute of its client, 0 if nothing can be counted; and when the minute ends."""

    number: int
    ends_at: float


@dataclass
class _Client:
    """The requests that this process has taken for a client and not counted yet: `next` to `last`."""

    next: int = 1
    last: int = 0
    valid_until: float = 0
    """Never later than the minute of PostgreSQL ends."""
    ends_at: float = 0
    asking: asyncio.Task[Count] | None = None
    waiting: int = 0


class Counts:
    """The requests of clients that this process has taken. Times are those of `time.monotonic`."""

    def __init__(self) -> None:
        """Begin with none."""
        # the one that was asked for longest ago comes first
        self._clients: dict[str, _Client] = {}

    async def count(self, calls: Calls, name: str, most: int) -> Count:
        """Count a request of a client that may send so many a minute. Raises ApiError as a call does."""
        while True:
            client = self._clients.get(name)
            if client is None:
                client = self._add(name)
            if client.next <= client.last and time.monotonic() < client.valid_until:
                client.next += 1
                return Count(client.next - 1, client.ends_at)
            asks = client.asking is None
            if client.asking is None:
                client.asking = asyncio.create_task(self._take(calls, name, client, most))
            elif client.waiting >= MOST_OF_CLIENT:
                raise ApiError("busy")
            client.waiting += 1
            try:
                # several requests at once must not take several times as many
                first = await asyncio.shield(client.asking)
            finally:
                client.waiting -= 1
            if asks or first.number == 0 or first.number > most:
                return first

    def _add(self, name: str) -> _Client:
        """A client of which nothing is known; forgets those whose minute has ended."""
        while self._clients:
            oldest = next(iter(self._clients))
            is_over = self._clients[oldest].asking is None and self._clients[oldest].valid_until <= time.monotonic()
            if not is_over and len(self._clients) < _MOST_CLIENTS:
                break
            del self._clients[oldest]
        return self._clients.setdefault(name, _Client())

    async def _take(self, calls: Calls, name: str, client: _Client, most: int) -> Count:
        """Take a tenth of the client's requests. Returns the first of them, which is that of the request that asks."""
        number, began = max(1, most // 10), time.monotonic()
        try:
            counted = await calls.call("count_request", SERVER, client=name, number=number)
        finally:
            client.asking = None
        requests, seconds_left = counted["requests"], counted["seconds_left"]
        client.ends_at = time.monotonic() + seconds_left
        # the seconds are rounded up
        client.valid_until = began + seconds_left - 1
        first = max(0, requests - number + 1)
        client.next, client.last = first + 1, min(requests, most)
        if name in self._clients:
            self._clients[name] = self._clients.pop(name)
        return Count(first, client.ends_at)


class Bytes:
    """The bytes of JSON that this process has taken for clients and not used yet."""

    def __init__(self) -> None:
        """Begin with none."""
        # the one that was asked for longest ago comes first
        self._left: dict[str, int] = {}

    async def take(self, calls: Calls, client: str, number: int) -> None:
        """Use so many bytes of those that a client may send within 24 hours. Raises ApiError: daily_limit_reached."""
        missing = number - self._left.get(client, 0)
        if missing > 0:
            # so that most requests need no round trip for it
            mebibytes = -(-missing // _MEBIBYTE)
            await count_of_day(calls, f"MiB|{client}", mebibytes, MAX_MEBIBYTES_A_DAY)
            number -= mebibytes * _MEBIBYTE
        self._left[client] = self._left.pop(client, 0) - number
        if len(self._left) > _MOST_CLIENTS:
            del self._left[next(iter(self._left))]


class CountedInPostgres:
    """Middleware that refuses requests of a client above the limit of a route, before their bodies are read."""

    def __init__(self, app: ASGIApp, requests: int, route: str) -> None:
        """Take what the requests are passed on to, and how many of a client a minute."""
        self._app = app
        self._most = requests
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request. Raises TooManyRequestsException above the limit."""
        state = scope["litestar_app"].state
        settings: Settings = state.settings
        if not settings.is_rate_limited:
            return await self._app(scope, receive, send)
        shares: Shares = state.shares
        counts: Counts = state.counts
        request: ASGIConnection[Any, Caller, BrowserSession | None, State] = ASGIConnection(scope)
        address, trusted = client_address(request), is_operator(request)
        calls = shares.of(is_operator=trusted, is_read=False, client=None if trusted else address)
        count = await counts.count(calls, f"{self._route}|{address}", self._most)
        seconds_left = str(max(1, math.ceil(count.ends_at - time.monotonic())))
        headers = {
            "ratelimit-policy": f"{self._most}; w=60",
            "ratelimit-limit": str(self._most),
            "ratelimit-remaining": str(max(0, self._most - count.number)),
            "ratelimit-reset": seconds_left,
        }
        if count.number > self._most:
            metrics: Metrics = state.metrics
            metrics.refuse(self._route)
            raise TooManyRequestsException(headers={"retry-after": seconds_left} | headers)
        told = [(name.encode(), value.encode()) for name, value in headers.items()]

        async def send_told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        return await self._app(scope, receive, send_told)


def at_most(requests: int, route: str) -> DefineMiddleware:
    """A middleware that allows a client address this many requests a minute to a route; more get 429."""
    return DefineMiddleware(CountedInPostgres, requests=requests, route=route)


async def count_of_day(calls: Calls, name: str, number: int, most: int) -> None:
    """Count this number of something for a client, which may have so many within 24 hours.

    Raises ApiError: daily_limit_reached.
    """
    counted = await calls.call("count_request", SERVER, client=name, number=number, period="24 hours")
    if counted["requests"] > most:
        raise ApiError("daily_limit_reached", name.partition("|")[0])
