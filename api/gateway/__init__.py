"""Calls SQL functions. A call is one transaction as the actor, exactly as PostgREST would make it."""

import logging
import re
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from api.actor import Actor
from api.errors import ERRORS, ApiError

Row: TypeAlias = dict[str, Any]
"""A row as a function returns it: a table's columns, and the uids of the thinkers in it."""

_CONSTRAINT = re.compile('constraint "([^"]+)"')

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Json:
    """A parameter of type jsonb."""

    value: object


def json_or_default(value: object) -> Json | None:
    """A parameter of type jsonb; None stays null, for which the function has a default."""
    return None if value is None else Json(value)


@runtime_checkable
class Gateway(Protocol):
    """The database, as routes see it."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Make ready for calls; release everything at the end."""
        ...

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """Call `public.<function>` as the actor and return its result: JSON, as the function's comment describes it.

        Raises ApiError with the code that the function raised; `value_invalid` for a value that no column takes;
        `database_away` or `busy` when the call was not made or was rolled back; `outcome_unknown` when the connection
        broke before the result came.
        """
        ...


def api_error(state: str, message: str, detail: str) -> ApiError | None:
    """The ApiError for an error of PostgreSQL, by its SQLSTATE and message; None if it is a bug of this server."""
    if state.startswith("PT") and message in ERRORS:
        return ApiError(message, detail)
    # data exceptions, violated constraints, texts too long for an index: no column takes the value
    if state[:2] in ("22", "23") or state == "54000":
        rule = _CONSTRAINT.search(message)
        return ApiError("value_invalid", rule[1].replace("_", " ") if rule else message)
    # deadlocks, serialization failures, lock and statement timeouts: a later request may succeed
    if state[:2] in ("40", "55") or state == "57014":
        _log.warning("database busy: %s %s", state, message)
        return ApiError("busy")
    # connection, resources, operator intervention
    if state[:2] in ("08", "53", "57"):
        _log.warning("database away: %s %s", state, message)
        return ApiError("database_away")
    return None
