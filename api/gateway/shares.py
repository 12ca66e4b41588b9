"""How many calls each kind of request may make at once, so that none of them takes all connections of the gateway.

docs/operation.md, "Connections" has the figures.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.gateway import Calls, Gateway, LockedError, waits_for_locks

PATIENCE_SECONDS = 3.0
"""How long a request waits for a free connection."""

LOCK_PAUSE_SECONDS = 0.6
"""How long a call that needs a lock of somebody else's leaves its connection to others."""

WRITES_OF_THINKER = 2
"""Calls at once of one thinker, or of all thinkers of one browser session: the database counts what they write together
(`private.use_today`), one call after another, and those that wait there would take everybody's connections. A second
one hears that the first is in progress."""

MOST_OF_CLIENT = 128
"""Requests of one client that wait or are answered: as many as it may have connections, open or closed meanwhile."""


@dataclass
class Usage:
    """The calls that are being made and those that wait for others, of `most` that can be made at once."""

    most: int
    calls: int = 0
    waiting: int = 0


class Shares:
    """A gateway, of which each kind of request has a share."""

    def __init__(self, gateway: Gateway) -> None:
        """Take the gateway, which somebody else opens."""
        connections = gateway.connections
        self.usage = usage = Usage(most=connections)
        # all but one, which is that of /health
        everything = asyncio.Semaphore(connections - 1)
        callers = asyncio.Semaphore(connections * 5 // 8)
        reads = asyncio.Semaphore(connections * 3 // 8)
        # calls, of which one reads: four clients leave two reads to others
        self._of_client = max(1, connections // 4), 1
        self._clients: WeakValueDictionary[str, _Client] = WeakValueDictionary()
        self._thinkers: _Thinkers = WeakValueDictionary()
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        # calls that wait for a lock with their connections: four clients leave places to others
        patient, patient_of_operators = (asyncio.Semaphore(max(1, connections * 3 // 8)) for _ in range(2))
        self._shares: dict[tuple[bool, bool], _Share] = {
            # is it an operator's, does it only read
            (False, False): _Share(gateway, usage, (patient,), callers, everything),
            (False, True): _Share(gateway, usage, (patient,), reads, callers, everything),
            (True, False): _Share(gateway, usage, (patient_of_operators,), everything),
            (True, True): _Share(
                gateway, usage, (patient_of_operators,), asyncio.Semaphore(connections // 4), everything
            ),
        }
        self._health = _Share(gateway, usage, (), asyncio.Semaphore(1))
        self._ping: asyncio.Task[bool] | None = None

    def of(self, *, is_operator: bool, is_read: bool, client: str | None = None) -> Calls:
        """The calls of a kind of request, within the share of its client where one is given.

        They raise ApiError `busy` where the share stays taken, or too many of the client's calls wait for it.
        """
        share = self._shares[is_operator, is_read]
        if client is None:
            return share
        limited = self._clients.setdefault(client, _Client(*self._of_client))
        return share.of_reader(limited) if is_read else share.of_writer(limited, self._thinkers)

    def turn(self, client: str) -> AbstractAsyncContextManager[None]:
        """What the client may do once at a time (`held`)."""
        return held(self._turns.setdefault(client, asyncio.Semaphore(1)))

    async def ping(self) -> bool:
        """Whether the database can be written. All requests at one time share one call, on a connection of its own."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._health.call("ping", Actor("anon")))
        return await asyncio.shield(self._ping)

    async def applied_migrations(self) -> list[str]:
        """The versions of the database's migrations, on the connection of /health."""
        versions: list[str] = await self._health.call("applied_migrations", SERVER)
        return versions


_log = logging.getLogger(__name__)

_Thinkers: TypeAlias = WeakValueDictionary[str | UUID, asyncio.Semaphore]
"""What each thinker, by its uid, or browser session may write at once, wherever it comes from."""


class _Client:
    """What one client may do at once: so many calls, and of these so many that read."""

    def __init__(self, calls: int, reads: int) -> None:
        self.calls = asyncio.Semaphore(calls)
        self.reads = asyncio.Semaphore(reads)
        self.requests = 0
        """Those that wait or are answered, at most MOST_OF_CLIENT."""
        self.patient = asyncio.Semaphore(1)
        """For its call that waits for a lock with its connection; the others make room while they wait."""


class _Share:
    """The calls of one kind of request, each within all of its limits."""

    def __init__(
        self,
        gateway: Gateway,
        usage: Usage,
        patient: tuple[asyncio.Semaphore, ...],
        *limits: asyncio.Semaphore,
        client: _Client | None = None,
        thinkers: _Thinkers | None = None,
    ) -> None:
        self._gateway = gateway
        self._usage = usage
        self._patient = patient
        self._limits = limits
        self._client = client
        self._thinkers = thinkers

    def of_reader(self, client: _Client) -> "_Share":
        """The same share, within what the client may read."""
        # a read that waits for others of its client leaves them the writes
        patient = *self._patient, client.patient
        limits = client.reads, client.calls, *self._limits
        return _Share(self._gateway, self._usage, patient, *limits, client=client)

    def of_writer(self, client: _Client, thinkers: _Thinkers) -> "_Share":
        """The same share, within what the client, and the thinker of each call, may do."""
        patient = *self._patient, client.patient
        limits = client.calls, *self._limits
        return _Share(self._gateway, self._usage, patient, *limits, client=client, thinkers=thinkers)

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Calls."""
        client = self._client
        if client is None:
            return await self._call(function, actor, params)
        if client.requests >= MOST_OF_CLIENT:
            # it may have hung up, so that the number of its connections says nothing
            raise ApiError("busy")
        client.requests += 1
        try:
            return await self._call(function, actor, params)
        finally:
            client.requests -= 1

    async def _call(self, function: str, actor: Actor, params: dict[str, object]) -> Any:
        loop = asyncio.get_running_loop()
        patience_ends = loop.time() + PATIENCE_SECONDS
        while True:
            try:
                return await self._call_once(function, actor, params)
            except LockedError as error:
                if not any(place.locked() for place in self._patient):
                    return await self._call_patiently(function, actor, params)
                # of a hundred calls that wait for one lock, few have connections at any time
                pause = LOCK_PAUSE_SECONDS * (0.5 + random.random())  # noqa: S311 (not all of them at once)
                if loop.time() + pause > patience_ends:
                    _log.warning("database busy: %s", error.__cause__)
                    raise
                self._usage.waiting += 1
                try:
                    await asyncio.sleep(pause)
                finally:
                    self._usage.waiting -= 1

    async def _call_patiently(self, function: str, actor: Actor, params: dict[str, object]) -> Any:
        """Wait in PostgreSQL's queue for the lock: others who wait there would always come first."""
        async with held(*self._patient):
            told = waits_for_locks.set(True)
            try:
                return await self._call_once(function, actor, params)
            except LockedError as error:
                _log.warning("database busy: %s", error.__cause__)
                raise
            finally:
                waits_for_locks.reset(told)

    async def _call_once(self, function: str, actor: Actor, params: dict[str, object]) -> Any:
        taken: list[asyncio.Semaphore] = []
        usage, limits = self._usage, self._limits
        if self._thinkers is not None:
            # both: a session has several thinkers, and a link with a token gives its thinker to several sessions
            writers = [writer for writer in (actor.session_id, actor.uid) if writer is not None]
            # after the client's own: who waits for those may name any thinker
            limits = (
                limits[0],
                *(self._thinkers.setdefault(writer, asyncio.Semaphore(WRITES_OF_THINKER)) for writer in writers),
                *limits[1:],
            )
        try:
            usage.waiting += 1
            try:
                await _take(limits, taken)
            finally:
                usage.waiting -= 1
            usage.calls += 1
            try:
                return await self._gateway.call(function, actor, **params)
            finally:
                usage.calls -= 1
        finally:
            for limit in reversed(taken):
                limit.release()


@asynccontextmanager
async def held(*limits: asyncio.Semaphore) -> AsyncIterator[None]:
    """Within all of these limits. Raises ApiError `busy` where they stay taken."""
    taken: list[asyncio.Semaphore] = []
    try:
        await _take(limits, taken)
        yield
    finally:
        for limit in reversed(taken):
            limit.release()


async def _take(limits: Iterable[asyncio.Semaphore], taken: list[asyncio.Semaphore]) -> None:
    # most calls wait for nothing, and a timeout costs more than all limits
    waits = any(limit.locked() for limit in limits)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS) if waits else nullcontext():
            for limit in limits:
                await limit.acquire()
                taken.append(limit)
    except TimeoutError as error:
        raise ApiError("busy") from error
