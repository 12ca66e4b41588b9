"""Events, dashboard and autofix for the monitoring pages (docs/compatibility.md, "Monitoring")."""

import asyncio
import math
import time
from datetime import datetime
from typing import Literal

from litestar import Response, Router, get
from litestar.datastructures import State
from pydantic import Field

from api.actor import SERVER
from api.gateway import Calls, Row
from api.gateway.shares import Shares
from api.http.body import PortalRequest
from api.http.openapi import error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.rate_limit import at_most
from api.legacy.german import ago
from api.legacy.ids import legacy_id
from api.models.base import ApiModel
from api.models.times import Millis


class Event(ApiModel):
    """Something that happened."""

    id: str
    type: str
    actor_id: str | None
    subject_type: str | None
    subject_id: str | None
    meta: dict[str, object]
    created_at: Millis

    @classmethod
    def values(cls, row: Row) -> Row:
        """The event, with its actor's uid and ids in the legacy form."""
        subject_id = row["subject_id"]
        if row["subject_type"] == "contract":
            subject_id = legacy_id("ct", subject_id)
        return super().values(
            row | {"id": legacy_id("ev", row["id"]), "actor_id": row["actor_uid"], "subject_id": subject_id}
        )


class Events(ApiModel):
    """Events, newest first."""

    ok: bool = True
    items: list[Event]


class Day(ApiModel):
    """A day (UTC) and its events."""

    date: str
    count: int


class TypeCount(ApiModel):
    """A type of event, and its number of events."""

    type: str
    count: int


class ErrorStats(ApiModel):
    """Errors among the events; `rate` in percent."""

    rate: float
    count: int
    total: int
    top_errors: list[TypeCount]


class FixStats(ApiModel):
    """Fixes among the events; `rate` in percent of the errors."""

    rate: float
    fixes_per_week: int
    open_errors: int


class Feature(ApiModel):
    """Events by the kind of their subject; `errorRate` in percent."""

    name: str
    events: int
    error_rate: float


class BackupHealth(ApiModel):
    """The state of backups, which is that of PostgreSQL's log archive. The legacy dashboard had constants here."""

    status: Literal["off", "waiting", "ok", "failed"]
    last_backup: str = Field(description="In German words, as the portal shows it: Vor 2 Stunden, Nie.")
    backup_frequency: float = Field(description="How many percent of the attempts succeeded.")


class Dashboard(ApiModel):
    """Figures from 0 to 100 over the events of the last 30 days."""

    ok: bool = True
    production_readiness: float
    quality_score: float
    system_stability: float
    activity_count: int
    production_timeline: list[Day]
    error_stats: ErrorStats
    fix_stats: FixStats
    feature_maturity: list[Feature]
    recent_events: list[Event]
    backup_health: BackupHealth


class AutofixStats(ApiModel):
    """Errors by type, and the newest ones."""

    total: int
    by_type: dict[str, int]
    recent: list[Event]


class Autofix(ApiModel):
    """The errors among the events, as the autofix service would report them."""

    ok: bool = True
    stats: AutofixStats
    events: list[Event]


class ErrorCount:
    """The number of errors, for callers who prove nothing: counted at most once a minute."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._count = 0
        self._counted_at = -math.inf
        self._counting = asyncio.Lock()

    async def read(self, gateway: Calls) -> int:
        """The number, at most a minute old."""
        async with self._counting:
            if time.monotonic() - self._counted_at > 60:
                try:
                    self._count = (await gateway.call("error_summary", SERVER))["total"]
                finally:
                    # a count that fails is not repeated at once by the next outsider
                    self._counted_at = time.monotonic()
            return self._count


@get(
    "/admin/events",
    middleware=[at_most(300, "admin/events")],
    responses=error_responses("limit_invalid", "value_invalid", "not_an_admin", "rate_limited", language="en"),
    response_headers=PAGE_HEADERS,
)
async def events(request: PortalRequest, page: InjectedPage) -> Response[Events]:
    """The latest events: 50, or `limit` of them, from 1 to 200."""
    rows = await request.calls.call("list_events", request.user.as_caller(), **page.parameters(default=50, maximum=200))
    return page.answer(Events, rows, items=[Event.json_of(row) for row in rows])


@get(
    "/admin/dashboard",
    middleware=[at_most(300, "admin/dashboard")],
    responses=error_responses("not_an_admin", "rate_limited", language="en"),
)
async def dashboard(request: PortalRequest) -> Dashboard:
    """Figures over the events of the last 30 days."""
    row = await request.calls.call("dashboard", request.user.as_caller())
    backup = row["backup"]
    return Dashboard(
        production_readiness=row["production_readiness"],
        quality_score=row["quality_score"],
        system_stability=row["system_stability"],
        activity_count=row["activity_count"],
        production_timeline=row["production_timeline"],
        error_stats=ErrorStats(
            rate=row["error_rate"],
            count=row["error_count"],
            total=row["event_count"],
            top_errors=row["top_errors"],
        ),
        fix_stats=FixStats(rate=row["fix_rate"], fixes_per_week=row["fixes_per_week"], open_errors=row["open_errors"]),
        feature_maturity=[Feature.from_row(feature) for feature in row["features"]],
        recent_events=[Event.from_row(event) for event in row["recent_events"]],
        backup_health=BackupHealth(
            status=backup["status"],
            last_backup=ago(backup["last_backup_at"] and datetime.fromisoformat(backup["last_backup_at"])),
            backup_frequency=backup["success_rate"],
        ),
    )


@get(
    "/autofix/status",
    opt={"open": True},
    security=[{}],
    middleware=[at_most(60, "autofix/status")],
    responses=error_responses("not_an_admin", "session_ended", "rate_limited", language="en", is_open=True),
)
async def autofix_status(request: PortalRequest, state: State) -> Autofix:
    """The errors among the events of the last 30 days, the 100 most frequent types of them.

    Without the API key or an admin session only their number, which may be a minute old.
    """
    if request.user is None:
        count: ErrorCount = state.errors
        shares: Shares = state.shares
        # for all outsiders, whatever the one who came first is doing
        calls = shares.of(is_operator=False, is_read=True)
        return Autofix(stats=AutofixStats(total=await count.read(calls), by_type={}, recent=[]), events=[])
    row = await request.calls.call("error_summary", request.user.as_caller())
    recent = [Event.from_row(event) for event in row["recent"]]
    return Autofix(stats=AutofixStats(total=row["total"], by_type=row["by_type"], recent=recent), events=recent)


router = Router(
    "/api", route_handlers=[events, dashboard, autofix_status], opt={"language": "en", "admin": True}, tags=["admin"]
)
