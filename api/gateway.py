"""The door to the SQL functions. A call is one transaction as the actor, exactly as PostgREST would make it."""

import logging
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec
import psycopg
from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.identity import Actor
from api.refusals import SENTENCES, Refused

Row: TypeAlias = dict[str, Any]
"""A row as a function returns it: a table's columns, and the uids of the thinkers in it."""

MAX_CONNECTIONS = 16

# whoever waits for a lock that somebody holds too long, in an open Studio tab say, gives its connection back
_AS_ACTOR = """
    select set_config('role', %s, true), set_config('request.jwt.claims', %s, true),
           set_config('lock_timeout', '3s', true), set_config('statement_timeout', '10s', true)
"""

_log = logging.getLogger(__name__)

# numbers as exact as they were sent: jsonb keeps every digit
_encode_json = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class Json:
    """A parameter of type jsonb."""

    value: object


def json_or_default(value: object) -> Json | None:
    """A parameter of type jsonb; SQL's null, which asks for the function's default, where there is none."""
    return None if value is None else Json(value)


@runtime_checkable
class Gateway(Protocol):
    """What a route needs of the database."""

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """Call `public.<function>` as the actor and return its answer: JSON, of the form that its comment tells.

        Raises Refused with the reason that the function raised, with `value_invalid` for a value that no column takes,
        and with `database_away` when the database cannot be asked: then nothing of the call was kept. When the
        connection broke before the answer came, nobody can tell: `outcome_unknown`.
        """
        ...


class DirectGateway:
    """Calls functions on pooled connections of its own."""

    def __init__(self, database_url: str) -> None:
        """Take a libpq URL. `open` it before the first call."""
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            database_url,
            kwargs={
                "autocommit": True,
                # server-side prepared statements would break behind Supabase's transaction pooler
                "prepare_threshold": None,
                "connect_timeout": 3,
                "application_name": "togethersystems-api",
            },
            min_size=0,
            max_size=MAX_CONNECTIONS,
            open=False,
            # how long a request waits for a free connection
            timeout=3.0,
            # no retries with growing pauses behind the scenes: the next request opens a new connection
            reconnect_timeout=0.0,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the pool, and close it at the end."""
        async with self._pool:
            yield

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Gateway. Two statements and one Sync are one implicit transaction and one round trip."""
        statement = sql.SQL("select public.{}({})").format(
            sql.Identifier(function),
            sql.SQL(", ").join(
                sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in params
            ),
        )
        values = {
            name: Jsonb(value.value, dumps=_encode_json) if isinstance(value, Json) else value
            for name, value in params.items()
        }
        try:
            async with self._connection() as connection:
                async with connection.pipeline():
                    await connection.execute(_AS_ACTOR, (actor.role, actor.claims()))
                    cursor = await connection.execute(statement, values)
                row = await cursor.fetchone()
        except PoolTimeout as error:
            _log.warning("no connection: %s", error)
            raise Refused("busy" if self._pool.get_stats()["pool_size"] else "database_away") from error
        except psycopg.Error as error:
            raise _refusal(error) from error
        except (UnicodeError, RecursionError) as error:
            raise Refused("value_invalid", "text that is not Unicode, or nested too deep") from error
        return row[0] if row else None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection that lives: one on which the server has hung up meanwhile is thrown away for the next."""
        for _ in range(MAX_CONNECTIONS):
            connection = await self._pool.getconn()
            if _lives(connection):
                break
            await connection.close()
            await self._pool.putconn(connection)
        else:
            connection = await self._pool.getconn()
        try:
            yield connection
        finally:
            await self._pool.putconn(connection)


def _lives(connection: AsyncConnection) -> bool:
    """Whether nothing waits to be read: all that a server says on an idle connection is goodbye. No round trip."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _refusal(error: psycopg.Error) -> Exception:
    """What an error of the database means to a client; the error itself where it is a fault of ours."""
    state = error.sqlstate
    if state is not None:
        if state.startswith("PT") and error.diag.message_primary in SENTENCES:
            return Refused(error.diag.message_primary, error.diag.message_detail or "")
        # data exceptions, violated constraints, and texts too long for an index: no column takes the value
        if state[:2] in ("22", "23") or state == "54000":
            return Refused(
                "value_invalid", (error.diag.constraint_name or error.diag.message_primary or "").replace("_", " ")
            )
        # deadlock and the like, a lock or a statement that took too long: another try may fare better
        if state[:2] in ("40", "55") or state == "57014":
            _log.warning("database busy: %s", error)
            return Refused("busy")
        # connection, resources, operator intervention
        if state[:2] in ("08", "53", "57"):
            _log.warning("database away: %s", error)
            return Refused("database_away")
        return error
    if isinstance(error, psycopg.DataError):
        return Refused("value_invalid", "NUL" if "NUL" in str(error) else str(error))
    if isinstance(error, psycopg.OperationalError):
        _log.warning("connection lost: %s", error)
        return Refused("outcome_unknown")
    return error
