"""The gateway to a database of our own: pooled connections, one round trip a call."""

import asyncio
import json
import logging
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID
from weakref import WeakSet

import msgspec
import psycopg
from psycopg import AsyncConnection, generators, sql
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.postgres import types
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.actor import Actor
from api.errors import ApiError
from api.gateway import REPLAYED_HEADER, Json, LockedError, api_error, replayed, waits_for_locks
from api.gateway.shares import PATIENCE_SECONDS

CALL_SECONDS = 15.0
"""How long to wait for a server that neither answers nor closes the connection."""

RETRY_SECONDS = 0.25
"""How long a request without a connection waits until it has another one made."""

LOCK_PATIENCE = f"{PATIENCE_SECONDS:.0f}s"
"""How long a call that keeps its connection waits for a lock.

Longer than a client of the Data API can hold one: its statements end after 2 s (sql/10_core/timeouts.sql).
"""

_LOCK_TIMEOUT = "200ms"
"""How long any other waits; it is made again then (`Shares`), and others have the connection meanwhile."""

_ACT = """
    select set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
           set_config('lock_timeout', $4, true), set_config('statement_timeout', $3, true)
"""

# `set role` does not apply the role's own timeouts: those are for clients of the Data API. A function's own is the time
# for its work, beside that for which it waits for a lock
_TIMEOUT = f"""(
    select extract(epoch from least(max(split_part(line, '=', 2)::interval) + '{LOCK_PATIENCE}', '10s')) || 's'
    from pg_catalog.pg_proc p
    cross join unnest(p.proconfig) as line
    where p.pronamespace = 'public'::regnamespace and p.proname = $3 and line like 'statement_timeout=%'
)"""  # noqa: S608 (a constant of ours)

_AS_ACTOR = _ACT.encode()
_AS_ACTOR_AT_FIRST = _ACT.replace("'statement_timeout', $3", f"'statement_timeout', {_TIMEOUT}").encode()

_log = logging.getLogger(__name__)

_JSON = (types["json"].oid, types["jsonb"].oid)
_LIST = types["jsonb"].array_oid

# numbers keep every digit, as jsonb does
_encode_json = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class _Known:
    """What the first call of a function tells: how long its statement may take, and whether it returns rows."""

    timeout: str
    is_list: bool


class DirectGateway:
    """Calls functions on pooled connections."""

    connections = 16

    def __init__(self, database_url: str) -> None:
        """Take a libpq URL. `open` it before the first call."""
        # of functions that were called; only a migration changes them
        self._known: dict[str, _Known] = {}
        self._made: WeakSet[_Connection] = WeakSet()
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            database_url,
            connection_class=_Connection,
            kwargs={
                "autocommit": True,
                # whatever DATABASE_URL and PGCLIENTENCODING say
                "client_encoding": "utf8",
                # of several hosts the second is asked while the request still waits
                "connect_timeout": 2,
                # ends a call whose server's machine is gone
                "tcp_user_timeout": 5000,
                "application_name": "togethersystems-api",
            },
            min_size=0,
            max_size=self.connections,
            open=False,
            configure=self._configure,
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
        known = self._known.get(function)
        try:
            lock_timeout = LOCK_PATIENCE if waits_for_locks.get() else _LOCK_TIMEOUT
            acting = (actor.role, json.dumps(actor.claims()), known.timeout if known else function, lock_timeout)
            as_actor = _AS_ACTOR if known else _AS_ACTOR_AT_FIRST, [_parameter(value) for value in acting]
            statement = _statement(function, *params, is_list=known is not None and known.is_list)
            calling = statement, [_parameter(value) for value in params.values()]
            async with self._connection() as connection:
                acted, called = await connection.run(as_actor, calling)
        except PoolTimeout as error:
            _log.warning("no connection: %s", error)
            raise ApiError("busy" if any(not each.closed for each in self._made) else "database_away") from error
        except psycopg.errors.LockNotAvailable as error:
            raise LockedError from error
        except psycopg.Error as error:
            if error.sqlstate is None:
                # those that nobody uses may lead to the same server, which is gone or hangs
                await self._pool.drain()
            raise _api_error(error) from error
        except (UnicodeError, RecursionError) as error:
            raise ApiError("value_invalid", "text that is not Unicode, or nested too deep") from error
        if known is None:
            timeout = acted.get_value(0, 3) or b""
            self._known[function] = _Known(timeout.decode(), is_list=called.ftype(0) == _LIST)
        if REPLAYED_HEADER.encode() in (called.get_value(0, 1) or b""):
            replayed.set(True)
        return _value(called, connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["_Connection"]:
        """A live connection of the pool; those that the server has closed meanwhile are discarded."""
        for _ in range(self.connections):
            connection = await self._next_connection()
            if _is_alive(connection):
                break
            await connection.close()
            await self._pool.putconn(connection)
        else:
            connection = await self._next_connection()
        try:
            yield connection
        finally:
            await self._pool.putconn(connection)

    async def _configure(self, connection: "_Connection") -> None:
        """Prepare no statements where a pooler may give the next transaction another connection.

        A pooler makes up the number of the server's process that it tells its client.
        """
        try:
            # while the pool waits for it, it makes no other
            async with asyncio.timeout(PATIENCE_SECONDS):
                cursor = await connection.execute("select pg_backend_pid()", prepare=False)
        except BaseException:
            await connection.close()
            raise
        connection.prepares = await cursor.fetchone() == (connection.info.backend_pid,)
        self._made.add(connection)

    async def _next_connection(self) -> "_Connection":
        """A connection of the pool. Raises PoolTimeout where none can be made while the request waits."""
        # the pool itself tries once to make one: the next server of a cluster may need a second to take over
        for _ in range(round(PATIENCE_SECONDS / RETRY_SECONDS) - 1):
            with suppress(PoolTimeout):
                return await self._pool.getconn(RETRY_SECONDS)
        return await self._pool.getconn(RETRY_SECONDS)


class _Connection(AsyncConnection[Any]):
    """A connection whose calls use libpq without psycopg's cursors, which take most of the time of a call."""

    prepares = True
    """Whether the server keeps statements from one transaction to the next."""

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self._names: dict[bytes, bytes] = {}

    async def run(self, *statements: tuple[bytes, list[bytes | None]]) -> list[PGresult]:
        """Run statements with their parameters in one transaction and one round trip, and return their results.

        Raises psycopg.Error. The connection is closed unless the server has answered everything; if the task is
        cancelled, the statement is, too.
        """
        pgconn = self.pgconn
        prepared: list[tuple[bytes, bytes]] = []
        try:
            pgconn.enter_pipeline_mode()
            for statement, values in statements:
                if not self.prepares:
                    pgconn.send_query_params(statement, values)
                elif statement in self._names:
                    pgconn.send_query_prepared(self._names[statement], values)
                else:
                    name = b"call%d" % (len(self._names) + len(prepared))
                    pgconn.send_prepare(name, statement)
                    pgconn.send_query_prepared(name, values)
                    prepared.append((statement, name))
            pgconn.pipeline_sync()
            # not cancelled then: a commit that waits for a replica would become visible without it
            results = await self.wait(_results(pgconn), timeout=CALL_SECONDS)
            pgconn.exit_pipeline_mode()
        except BaseException:
            await self.close()
            raise
        answers = []
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result)
            if result.status == ExecStatus.COMMAND_OK:
                statement, name = prepared.pop(0)
                self._names[statement] = name
            else:
                answers.append(result)
        return answers


def _results(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Send what waits to be sent, and read the results up to that of the Sync."""
    yield from generators.send(pgconn)
    results: list[PGresult] = []
    while True:
        try:
            found = yield from generators.fetch_many(pgconn)
        except psycopg.OperationalError:
            if results and results[-1].status == ExecStatus.FATAL_ERROR:
                # the server has said why it closes the connection
                raise psycopg.errors.error_from_result(results[-1]) from None
            raise
        if not found:
            raise psycopg.OperationalError("the connection is lost")
        if found[0].status == ExecStatus.PIPELINE_SYNC:
            return results
        results += found


@cache
def _statement(function: str, *names: str, is_list: bool) -> bytes:
    """The statement that calls a function with these parameters, each of the type that the function says.

    A list comes as one JSON text: the text of an array has each row quoted once more.
    """
    statement = sql.SQL("select to_json(public.{}({})), {}" if is_list else "select public.{}({}), {}").format(
        sql.Identifier(function),
        sql.SQL(", ").join(
            sql.SQL("{} => ${}").format(sql.Identifier(name), sql.Literal(number))
            for number, name in enumerate(names, 1)
        ),
        sql.SQL("current_setting('response.headers', true)"),
    )
    return statement.as_bytes()


def _parameter(value: object) -> bytes | None:
    """The text of a parameter, as PostgreSQL reads it. Raises ApiError, UnicodeError and RecursionError."""
    match value:
        case None:
            return None
        case str():
            if "\0" in value:
                raise ApiError("value_invalid", "NUL")
            return value.encode()
        case Json():
            return _encode_json(value.value)
        case bool():
            return b"true" if value else b"false"
        case int() | Decimal() | date() | UUID():  # a datetime is a date
            return str(value).encode()
    raise TypeError(f"{type(value)} is no type of a parameter")


def _value(result: PGresult, connection: AsyncConnection[Any]) -> Any:
    """What a function returned."""
    value = result.get_value(0, 0)
    if value is not None and result.ftype(0) in _JSON:
        return msgspec.json.decode(value)
    transformer = Transformer(connection)
    transformer.set_pgresult(result)
    return transformer.load_row(0, tuple)[0]


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
    if isinstance(error, psycopg.OperationalError):
        _log.warning("connection lost: %s", error)
        return ApiError("outcome_unknown")
    return error
