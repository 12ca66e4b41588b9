"""The gateway to a database of our own: pooled connections, one round trip a call."""

import asyncio
import json
import logging
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.actor import Actor
from api.errors import ApiError
from api.gateway import REPLAYED_HEADER, Json, api_error, replayed
from api.gateway.shares import PATIENCE_SECONDS

CALL_SECONDS = 15.0
"""How long to wait for a server that neither answers nor closes the connection."""

LOCK_PATIENCE = "3s"
"""How long to wait for a lock, instead of exhausting the pool behind an open transaction in Studio.

Longer than a client of the Data API can hold one: its statements end after 2 s (sql/10_core/timeouts.sql).
"""

_AS_ACTOR = f"""
    select set_config('role', %s, true), set_config('request.jwt.claims', %s, true),
           set_config('lock_timeout', '{LOCK_PATIENCE}', true), set_config('statement_timeout', %s, true)
"""

# `set role` does not apply the role's own timeouts: those are for clients of the Data API. A function's own is the time
# for its work, beside that for which it waits for a lock
_TIMEOUT = f"""(
    select extract(epoch from least(max(split_part(line, '=', 2)::interval) + '{LOCK_PATIENCE}', '10s')) || 's'
    from pg_catalog.pg_proc p
    cross join unnest(p.proconfig) as line
    where p.pronamespace = 'public'::regnamespace and p.proname = %s and line like 'statement_timeout=%%'
)"""  # noqa: S608 (a constant of ours)

_AS_ACTOR_AT_FIRST = _AS_ACTOR.replace("'statement_timeout', %s", f"'statement_timeout', {_TIMEOUT}")

_log = logging.getLogger(__name__)

# numbers keep every digit, as jsonb does
_encode_json = msgspec.json.Encoder(decimal_format="number").encode


class DirectGateway:
    """Calls functions on pooled connections."""

    connections = 16

    def __init__(self, database_url: str) -> None:
        """Take a libpq URL. `open` it before the first call."""
        # of functions that were called; only a migration changes them
        self._timeouts: dict[str, str] = {}
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            database_url,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 0,
                # whatever DATABASE_URL and PGCLIENTENCODING say
                "client_encoding": "utf8",
                "connect_timeout": 3,
                "application_name": "togethersystems-api",
            },
            min_size=0,
            max_size=self.connections,
            open=False,
            configure=_prepare_nothing_behind_poolers,
            timeout=PATIENCE_SECONDS,
            # no background retries with growing delays: the next request opens a new connection
            reconnect_timeout=0.0,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the pool, and close it at the end."""
        async with self._pool:
            yield

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Calls. Two statements and one Sync are one implicit transaction and one round trip."""
        statement = _statement(function, *params)
        values = {
            name: Jsonb(value.value, dumps=_encode_json) if isinstance(value, Json) else value
            for name, value in params.items()
        }
        try:
            async with asyncio.timeout(CALL_SECONDS), self._connection() as connection:
                timeout = self._timeouts.get(function)
                async with connection.pipeline():
                    acting = await connection.execute(
                        _AS_ACTOR if timeout else _AS_ACTOR_AT_FIRST,
                        (actor.role, json.dumps(actor.claims()), timeout or function),
                    )
                    cursor = await connection.execute(statement, values)
                row = await cursor.fetchone()
                if timeout is None and (acted := await acting.fetchone()):
                    self._timeouts[function] = acted[3]
        except TimeoutError as error:
            _log.warning("no answer in %s s", CALL_SECONDS)
            raise ApiError("outcome_unknown") from error
        except PoolTimeout as error:
            _log.warning("no connection: %s", error)
            raise ApiError("busy" if self._pool.get_stats()["pool_size"] else "database_away") from error
        except psycopg.Error as error:
            raise _api_error(error) from error
        except (UnicodeError, RecursionError) as error:
            raise ApiError("value_invalid", "text that is not Unicode, or nested too deep") from error
        result, headers = row or (None, None)
        if headers and REPLAYED_HEADER in headers:
            replayed.set(True)
        return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A live connection of the pool; those that the server has closed meanwhile are discarded."""
        for _ in range(self.connections):
            connection = await self._pool.getconn()
            if _is_alive(connection):
                break
            await connection.close()
            await self._pool.putconn(connection)
        else:
            connection = await self._pool.getconn()
        try:
            yield connection
        finally:
            await self._pool.putconn(connection)


async def _prepare_nothing_behind_poolers(connection: AsyncConnection) -> None:
    """Turn prepared statements off where a pooler may give the next transaction another connection.

    A pooler makes up the number of the server's process that it tells its client.
    """
    cursor = await connection.execute("select pg_backend_pid()", prepare=False)
    if await cursor.fetchone() != (connection.info.backend_pid,):
        connection.prepare_threshold = None


@cache
def _statement(function: str, *names: str) -> bytes:
    """The statement that calls a function with these parameters."""
    statement = sql.SQL("select public.{}({}), current_setting('response.headers', true)").format(
        sql.Identifier(function),
        sql.SQL(", ").join(sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in names),
    )
    return statement.as_bytes()


def _is_alive(connection: AsyncConnection) -> bool:
    """Whether there is nothing to read: an idle server only sends data when it closes. No round trip."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _api_error(error: psycopg.Error) -> Exception:
    """The ApiError for a client; the error itself where it is a bug of this server."""
    if error.sqlstate is not None:
        diag = error.diag
        found = api_error(
            error.sqlstate, diag.message_primary or "", diag.message_detail or "", diag.constraint_name or ""
        )
        return found or error
    if isinstance(error, psycopg.DataError):
        return ApiError("value_invalid", "NUL" if "NUL" in str(error) else str(error))
    if isinstance(error, psycopg.OperationalError):
        _log.warning("connection lost: %s", error)
        return ApiError("outcome_unknown")
    return error
