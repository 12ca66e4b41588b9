"""Calls SQL functions. A call is one transaction as the actor, exactly as PostgREST would make it."""

import logging
import re
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from api.actor import Actor
from api.errors import ERRORS, ApiError

Row: TypeAlias = dict[str, Any]
"""A row as a function returns it: a table's columns, and the uids of the thinkers in it."""

REPLAYED_HEADER = "Idempotency-Replayed"
"""The header that SQL sets where it answers with a stored response (`private.replay_response`)."""

replayed: ContextVar[bool] = ContextVar("replayed", default=False)
"""Whether a call of this request was answered with a stored response."""

waits_for_locks: ContextVar[bool] = ContextVar("waits_for_locks", default=False)
"""Whether a call keeps its connection until it has the lock that it needs, instead of LockedError soon."""

_CONSTRAINT = re.compile('constraint "([^"]+)"')

# as the user of DATABASE_URL, or PostgREST's, tries to become the actor's role
_NO_ROLE = re.compile('role ".*" does not exist|permission denied to set role .*')

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Json:
    """A parameter of type jsonb."""

    value: object


def json_or_default(value: object) -> Json | None:
    """A parameter of type jsonb; None stays null, for which the function has a default."""
    return None if value is None else Json(value)


@runtime_checkable
class Calls(Protocol):
    """The database, as routes see it."""

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """Call `public.<function>` as the actor and return its result: JSON, as the function's comment describes it.

        Raises ApiError with the code that the function raised; `value_invalid` for a value that no column takes;
        `database_away`, `database_read_only` or `busy` when the call was not made or was rolled back; `outcome_unknown`
        when the connection broke before the result came.
        """
        ...


class LockedError(ApiError):
    """Somebody holds a lock that the call needs. It was rolled back, and can be made again."""

    def __init__(self) -> None:
        """It is `busy` for a client."""
        super().__init__("busy")


class Gateway(Calls, Protocol):
    """The database, as the application opens and closes it."""

    connections: int
    """How many calls can be made at once."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Make ready for calls; release everything at the end."""
        ...


def api_error(state: str, message: str, detail: str, constraint: str = "") -> ApiError | None:
    """The ApiError for an error of PostgreSQL, by its SQLSTATE and message; None if it is a bug of this server.

    `constraint` is the name of the violated constraint. Without it the name is read from the message, which works in
    English only.
    """
    if state.startswith("PT") and message in ERRORS:
        return ApiError(message, detail)
    if state in ("22023", "42501") and _NO_ROLE.fullmatch(message):
        _log.error("the database's roles are not those of its migrations: %s %s", state, message)
        return ApiError("database_away")
    # its disk is full; PostgREST begins a transaction that may write, which a replica refuses at once
    if state in ("25006", "53100") or (state == "0A000" and "read-write mode" in message):
        _log.warning("database read-only: %s %s", state, message)
        return ApiError("database_read_only")
    # deadlocks, serialization failures, lock, statement and transaction timeouts, and (23503) a row that an erasure
    # deleted after the function had found it: a later request may succeed
    if state[:2] in ("40", "55") or state in ("23503", "57014", "25P03", "25P04"):
        _log.warning("database busy: %s %s", state, message)
        return ApiError("busy")
    # data exceptions, violated constraints, texts too long for an index: no column takes the value
    if state[:2] in ("22", "23") or state == "54000":
        named = _CONSTRAINT.search(message)
        rule = constraint or (named[1] if named else "")
        return ApiError("value_invalid", rule.replace("_", " ") or message)
    # so a pooler reports that it has lost its connection to the server, at whatever moment
    if state[:2] == "08":
        _log.warning("connection lost: %s %s", state, message)
        return ApiError("outcome_unknown")
    # resources, operator intervention, operating system
    if state[:2] in ("53", "57", "58"):
        _log.warning("database away: %s %s", state, message)
        return ApiError("database_away")
    return None
