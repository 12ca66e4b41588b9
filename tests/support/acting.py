"""SQL functions called as PostgREST would call them: a role and claims for one transaction."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from api.actor import Actor


def thinker(uid: str, *roles: str) -> Actor:
    """Returns the thinker with this uid, with a token of these roles."""
    return Actor("authenticated", uid, {"roles": list(roles)} if roles else None)


def call(connection: psycopg.Connection, actor: Actor, function: str, **params: object) -> Any:
    """Returns the result of `public.<function>`; lists and dicts become jsonb."""
    values = {name: Jsonb(value) if isinstance(value, (dict, list)) else value for name, value in params.items()}
    statement = sql.SQL("select public.{}({})").format(
        sql.Identifier(function),
        sql.SQL(", ").join(sql.SQL("{} => {}").format(sql.Identifier(n), sql.Placeholder(n)) for n in params),
    )
    with connection.transaction():
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (actor.role, json.dumps(actor.claims())),
        )
        row = connection.execute(statement, values).fetchone()
        assert row
        return row[0]


def call_or_reason(connection: psycopg.Connection, actor: Actor, function: str, **params: object) -> Any:
    """Returns the result of the function, or the error code with which it refuses; raises every other error."""
    try:
        return call(connection, actor, function, **params)
    except psycopg.Error as error:
        if not (error.sqlstate or "").startswith("PT"):
            raise
        return error.diag.message_primary


def act(connection: psycopg.Connection, actor: Actor, function: str, **params: object) -> Any:
    """Returns the result of the function, within a transaction that continues as the operator."""
    try:
        return call(connection, actor, function, **params)
    finally:
        be_operator(connection)


def act_or_reason(connection: psycopg.Connection, actor: Actor, function: str, **params: object) -> Any:
    """The same, or the error code with which it refuses."""
    try:
        return call_or_reason(connection, actor, function, **params)
    finally:
        be_operator(connection)


def be_operator(connection: psycopg.Connection) -> None:
    """Drops the role and the claims of a request."""
    connection.execute("select set_config('role', 'none', true), set_config('request.jwt.claims', '', true)")


@contextmanager
def unchecked(connection: psycopg.Connection) -> Iterator[None]:
    """Disables triggers and foreign keys in the block, as when a backup is restored."""
    connection.execute("set session_replication_role = replica")
    yield
    connection.execute("set session_replication_role = origin")


@contextmanager
def connections(url: str, number: int) -> Iterator[list[psycopg.Connection]]:
    """Yields this number of connections in autocommit mode."""
    with ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(number)]


def one(connection: psycopg.Connection, query: LiteralString, *params: object) -> Any:
    """Returns the only value of the only row."""
    [row] = connection.execute(query, params).fetchall()
    [value] = row
    return value
