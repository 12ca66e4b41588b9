"""Figures and lists of operators from a replica that is not far behind (docs/cluster.md, "A replica for figures")."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg

from api.actor import Actor
from api.errors import ApiError
from api.gateway.direct import DirectGateway

READS = {
    "dashboard",
    "error_summary",
    "get_settlement",
    "list_events",
    "list_fees",
    "list_settlements",
    "system_metrics",
}
"""The functions that only operators wait for: nobody reads in them what it has just written."""

MAX_LAG = 10.0
"""How many seconds a replica may be behind."""

_SECONDS = 1.0
"""How often the lag is measured, and how long a server may take to answer that."""

_WRITTEN = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
_REPLAYED = "select pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint"

_log = logging.getLogger(__name__)


class ReplicatedGateway:
    """Calls functions on a primary, and those of READS on a replica that is at most MAX_LAG behind."""

    def __init__(self, primary_url: str, replica_url: str) -> None:
        """Take two libpq URLs. `open` it before the first call."""
        self._urls = primary_url, replica_url
        self._primary, self._replica = DirectGateway(primary_url), DirectGateway(replica_url)
        self.connections = self._primary.connections
        self._written: deque[tuple[float, int]] = deque(maxlen=round(2 * MAX_LAG / _SECONDS))
        self._seen = -MAX_LAG
        """The last moment of which the replica has everything that the primary had written."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open both pools, and watch the replica."""
        async with self._primary.open(), self._replica.open():
            watching = asyncio.create_task(self._watch())
            try:
                yield
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Calls. What the replica cannot do is done by the primary."""
        if function in READS and time.monotonic() - self._seen < MAX_LAG:
            with suppress(ApiError):
                return await self._replica.call(function, actor, **params)
        return await self._primary.call(function, actor, **params)

    async def _watch(self) -> None:
        was_near = True
        while True:
            with suppress(psycopg.Error, TimeoutError):
                await self._measure()
            is_near = time.monotonic() - self._seen < MAX_LAG
            if is_near != was_near:
                _log.warning("the replica of DATABASE_READ_URL is %s", "near again" if is_near else "away, or behind")
            was_near = is_near
            await asyncio.sleep(_SECONDS)

    async def _measure(self) -> None:
        """Measure until a server does not answer. The replica alone does not know what has not reached it."""
        async with await _connect(self._urls[0]) as primary, await _connect(self._urls[1]) as replica:
            while True:
                now = time.monotonic()
                self._written.append((now, await _ask(primary, _WRITTEN)))
                replayed = await _ask(replica, _REPLAYED)
                self._seen = max([self._seen, *(moment for moment, lsn in self._written if lsn <= replayed)])
                if now - self._seen >= MAX_LAG:
                    return  # for the one line that tells so
                await asyncio.sleep(_SECONDS)


async def _connect(url: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=3, prepare_threshold=None)


async def _ask(connection: psycopg.AsyncConnection, query: str) -> int:
    """A position in the log of a server; one that is no replica has replayed nothing."""
    async with asyncio.timeout(3 * _SECONDS):
        cursor = await connection.execute(query.encode())
        row = await cursor.fetchone()
    assert row is not None
    return row[0] if row[0] is not None else -1
