"""The door to the SQL functions. A call is one transaction as the actor, exactly as PostgREST would make it."""

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
    """A parameter of type jsonb; SQL's null, which asks for the function's default, where there is none."""
    return None if value is None else Json(value)


@runtime_checkable
class Gateway(Protocol):
    """What a route needs of the database."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Make ready for calls, and let go of everything at the end."""
        ...

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """Call `public.<function>` as the actor and return its answer: JSON, of the form that its comment tells.

        Raises ApiError with the reason that the function raised, with `value_invalid` for a value that no column takes,
        and with `database_away` when the database cannot be asked: then nothing of the call was kept. When the
        connection broke before the answer came, nobody can tell: `outcome_unknown`.
        """
        ...


def api_error(state: str, message: str, detail: str) -> ApiError | None:
    """What an error that PostgreSQL raised means to a client; None where it is a fault of ours."""
    if state.startswith("PT") and message in ERRORS:
        return ApiError(message, detail)
    # data exceptions, violated constraints, and texts too long for an index: no column takes the value
    if state[:2] in ("22", "23") or state == "54000":
        rule = _CONSTRAINT.search(message)
        return ApiError("value_invalid", rule[1].replace("_", " ") if rule else message)
    # deadlock and the like, a lock or a statement that took too long: another try may fare better
    if state[:2] in ("40", "55") or state == "57014":
        _log.warning("database busy: %s %s", state, message)
        return ApiError("busy")
    # connection, resources, operator intervention
    if state[:2] in ("08", "53", "57"):
        _log.warning("database away: %s %s", state, message)
        return ApiError("database_away")
    return None
