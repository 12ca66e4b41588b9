"""Health, /health and below it: for load balancers and monitors."""

import asyncio
import time
from typing import Any

import psycopg
from litestar import Request, Router, get
from litestar.datastructures import State
from pydantic import BaseModel

from api.database.migrations import read_migrations
from api.errors import ApiError
from api.gateway.shares import Shares
from api.http.openapi import error_responses
from api.http.server import STOPPING

_SECONDS = 1.0
"""How long an answer of the database is used again."""


class Health(BaseModel):
    """The server and its database answer, and requests can be carried out."""

    ok: bool = True


class Readiness:
    """Whether the database answers, and has the migrations of this code; it is asked once a second at most."""

    def __init__(self, shares: Shares) -> None:
        """Take the calls, and read which migrations this code has."""
        self._shares = shares
        self._expected = [migration.version for migration in read_migrations()]
        self._asking: asyncio.Task[bool | ApiError] | None = None
        self._valid_until = 0.0

    async def is_migrated(self) -> bool:
        """Whether the database has these migrations, and no others. Raises ApiError as a call does."""
        if self._asking is None or (self._asking.done() and time.monotonic() >= self._valid_until):
            self._asking = asyncio.create_task(self._ask())
        found = await asyncio.shield(self._asking)
        if isinstance(found, ApiError):
            raise ApiError(found.code)
        return found

    async def _ask(self) -> bool | ApiError:
        try:
            return await self._shares.applied_migrations() == self._expected
        except psycopg.errors.UndefinedFunction:
            return False  # a schema that is older than the function
        except ApiError as error:
            return error
        finally:
            self._valid_until = time.monotonic() + _SECONDS


@get(
    "/health",
    security=[{}],
    opt={"language": "en"},
    responses=error_responses(language="en", is_open=True),
    tags=["health"],
)
async def health(state: State) -> Health:
    """200 only when the database answers and can be written."""
    shares: Shares = state.shares
    if not await shares.ping():
        raise ApiError("database_read_only")
    return Health()


@get("/health/live", security=[{}], tags=["health"])
async def live() -> Health:
    """200 as long as the server answers at all, whatever its database does."""
    return Health()


@get(
    "/health/ready",
    security=[{}],
    opt={"language": "en"},
    responses=error_responses("not_migrated", "stopping", language="en", is_open=True),
    tags=["health"],
)
async def ready(request: Request[Any, Any, State], state: State) -> Health:
    """200 when requests should be sent here: the database answers and has this server's schema, and it does not stop.

    A read-only database, such as a replica, is ready.
    """
    if request.scope["state"].get(STOPPING):
        raise ApiError("stopping")
    readiness: Readiness = state.readiness
    if not await readiness.is_migrated():
        raise ApiError("not_migrated")
    return Health()


router = Router("/", route_handlers=[health, live, ready])
