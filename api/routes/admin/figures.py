"""The figures of the dashboards, /api/admin/stats, for trusted requests and admins: one SQL function per route.

Days are those of the portal's time zone. Amounts are whole minor units of the currency beside them; a share is a
fraction (0.02 is 2 percent).
"""

import re
from datetime import date
from typing import Annotated, Literal

from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIFormat, OpenAPIType, Schema
from litestar.params import QueryParameter
from pydantic import Field

from api.errors import ApiError
from api.http.body import PortalRequest
from api.http.openapi import error_responses
from api.http.rate_limit import at_most
from api.models.base import ApiModel
from api.models.times import Millis


class Period(ApiModel):
    """The days of the figures, both included."""

    ok: bool = True
    from_day: str = Field(alias="from")
    to_day: str = Field(alias="to")
    time_zone: str = Field(description="Where days begin at midnight.")


class InCurrency(ApiModel):
    """Amounts in minor units of `currency`, which has 10 to the power of `decimals` of them."""

    currency: str
    decimals: int


class PairCode(ApiModel):
    """The thinkers who last used a pair code, and how many of them are online."""

    pair_code: str
    sessions: int
    online: int


class PresenceDay(ApiModel):
    """Presence on a day."""

    day: str
    thinkers: int = Field(description="Distinct thinkers.")
    heartbeats: int
    matches: int = Field(description="How often a thinker came into a room.")
    new_thinkers: int


class Presence(Period):
    """Presence now and on each day."""

    online: int = Field(description="At present.")
    pair_codes: list[PairCode] = Field(description="At present: the 20 most used.")
    days: list[PresenceDay]


class VouchersByStatus(ApiModel):
    """The number of vouchers at present."""

    issued: int
    booked: int
    consumed: int
    cancelled: int
    expired: int


class Revenue(InCurrency):
    """The prices of bookings that are not cancelled."""

    bookings: int
    amount_cents: int


class RevenueDay(Revenue):
    """The same for the bookings of a day, as it stands and as booked."""

    day: str
    booked: int = Field(description="All bookings, cancelled ones too.")
    booked_cents: int = Field(description="The prices of all bookings, cancelled ones too.")


class Template(ApiModel):
    """The share of the minutes offered by the vouchers of a template that is booked; null: of no known template."""

    template_id: str | None
    title: str | None
    offered_minutes: float
    booked_minutes: float
    utilisation: float | None = Field(description="Booked of offered: a fraction; null where nothing was offered.")


class VoucherDay(ApiModel):
    """Vouchers issued, booked and cancelled on a day."""

    day: str
    issued: int
    bookings: int
    cancellations: int


class Vouchers(Period):
    """Vouchers and appointments."""

    vouchers: VouchersByStatus
    bookings: int
    cancellations: int
    revenue: list[Revenue] = Field(description="The 24 most used currencies.")
    templates: list[Template]
    days: list[VoucherDay]
    revenue_days: list[RevenueDay] = Field(description="Of those currencies.")


class ApplicationsByStatus(ApiModel):
    """The number of mortgage applications at present."""

    open: int
    offered: int
    accepted: int
    rejected: int


class OffersByStatus(ApiModel):
    """The number of offers of the period, by their present status."""

    open: int
    accepted: int
    withdrawn: int


class Interest(ApiModel):
    """The interest rates of the offers of the period: fractions a year, null where there is none."""

    offers: int = Field(description="The offers that have one.")
    average: float | None
    minimum: float | None
    maximum: float | None


class Requested(InCurrency):
    """The loans of applications."""

    applications: int
    amount_cents: int


class MortgageDay(ApiModel):
    """Applications, offers and acceptances on a day."""

    day: str
    applications: int
    offers: int
    accepted: int


class Mortgages(Period):
    """Mortgage applications and offers."""

    applications: ApplicationsByStatus
    offers: OffersByStatus
    acceptance_rate: float | None = Field(description="Accepted of all offers of the period: a fraction.")
    interest: Interest
    requested: list[Requested] = Field(description="The 24 most used currencies.")
    days: list[MortgageDay]


class Flow(InCurrency):
    """Transfers in and out."""

    transfers: int
    in_cents: int
    out_cents: int
    net_cents: int = Field(description="In without out.")


class NetworkFlow(Flow):
    """The same for one network; null: transfers without a network."""

    network: str | None


class NetworkFlowDay(NetworkFlow):
    """The same for a day."""

    day: str


class Telbank(Period):
    """Transfers between crypto and fiat; nothing is executed."""

    totals: list[Flow] = Field(description="By currency: the 24 most used.")
    flows: list[NetworkFlow] = Field(description="By network and currency: the 24 most used.")
    days: list[NetworkFlowDay] = Field(description="Of those networks and currencies.")


class Owed(InCurrency):
    """The amounts that a beneficiary is owed at present, of all time."""

    beneficiary_uid: str
    unsettled_cents: int = Field(description="Fee events in no settlement.")
    open_cents: int = Field(description="Settlements that are not invoiced yet.")
    invoiced_cents: int
    paid_cents: int
    owed_cents: int = Field(description="Unsettled, open and invoiced together.")
    written_off_cents: int = Field(description="What was given up of invoiced settlements.")
    overdue_cents: int = Field(description="The part of what is invoiced whose due date is over.")


class Receivable(InCurrency):
    """The amounts that a payer owes to a beneficiary at present, of all time."""

    payer_uid: str | None = Field(description="Null: the charges of transfers that name no thinker.")
    beneficiary_uid: str
    unsettled_cents: int = Field(description="Fee events in no settlement.")
    open_cents: int = Field(description="Settlements that are not invoiced yet.")
    invoiced_cents: int = Field(description="What is not paid of invoiced settlements.")
    overdue_cents: int = Field(description="The part of what is invoiced whose due date is over.")
    owed_cents: int = Field(description="Unsettled, open and invoiced together.")
    since: str | None = Field(
        description="The day of the oldest charge of which something is owed; null where more was given back."
    )


class Charged(InCurrency):
    """The fee events of a beneficiary in the period."""

    beneficiary_uid: str
    fee_events: int
    accrued_cents: int = Field(description="Charges, reversals and adjustments together: settled and open.")
    settled_cents: int
    open_cents: int


class FeeTotal(InCurrency):
    """The fee events of a fee in the period."""

    fee_id: str
    fee_events: int
    amount_cents: int


class FeeDay(InCurrency):
    """Charges, reversals and adjustments on a day."""

    day: str
    fee_events: int
    charged_cents: int
    reversed_cents: int = Field(description="Not positive.")
    adjusted_cents: int = Field(description="Negative where operators credited more than they added.")
    accrued_cents: int = Field(description="Charged, reversed and adjusted together.")


class FeeStats(Period):
    """Fees and settlements; at most 100 rows of each list, and days of the 24 most used currencies."""

    owed: list[Owed]
    receivables: list[Receivable] = Field(description="The most overdue first.")
    charged: list[Charged]
    fees: list[FeeTotal]
    days: list[FeeDay]


class EventType(ApiModel):
    """The number of events of a type."""

    type: str
    events: int


class SystemDay(ApiModel):
    """The number of events on a day, and of errors that the portal's pages reported."""

    day: str
    events: int
    errors: int


class Job(ApiModel):
    """A scheduled job. `failed`: its last run failed; `late`: a run is overdue; `waiting`: it has not run yet."""

    name: str
    does: str
    schedule: str = Field(description="Minute, hour, day, month and weekday, in UTC.")
    state: Literal["good", "waiting", "late", "failed"]
    last_run_at: Millis | None
    last_good_run_at: Millis | None
    last_error_at: Millis | None
    last_error: str | None
    run_by: Literal["pg_cron", "portal run", "nobody"]


class Invariant(ApiModel):
    """A rule that must always hold, and the number of rows that break it."""

    name: str
    violations: int
    meaning: str


class System(Period):
    """The state of the system."""

    types: list[EventType] = Field(description="The 100 most frequent.")
    days: list[SystemDay]
    clock: bool = Field(description="Whether pg_cron or a server runs jobs; else they are run by hand.")
    jobs: list[Job]
    invariants: list[Invariant] | None = Field(
        description="Null where there are too many events: the job check-invariants counts daily."
    )


_DAY = {
    "one_of": [Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE), Schema(type=OpenAPIType.STRING, const="")]
}


def read_days(
    from_day: Annotated[
        str | None,
        QueryParameter(
            name="from", description="The first day (2026-11-01). Default: 29 days before `to`.", schema_extra=_DAY
        ),
    ] = None,
    to_day: Annotated[
        str | None,
        QueryParameter(name="to", description="The last day, included. Default: today.", schema_extra=_DAY),
    ] = None,
) -> dict[str, str | None]:
    """The first and last day, as parameters of a function over `stats`. Raises ApiError: date_invalid."""
    return {"from_day": _day(from_day, "from"), "to_day": _day(to_day, "to")}


def _day(text: str | None, name: str) -> str | None:
    """A day as PostgreSQL reads it; None where it is missing or empty. Raises ApiError: date_invalid."""
    if not text:
        return None
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ApiError("date_invalid", name) from error


def _figures(name: str, function: str, model: type[Period], description: str) -> HTTPRouteHandler:
    """The route that answers with what a SQL function returns for the days."""

    async def read(request: PortalRequest, days: NamedDependency[dict[str, str | None]]) -> Period:
        return model.from_row(await request.calls.call(function, request.user.as_caller(), **days))

    # Litestar describes the route by its name and annotation
    read.__annotations__["return"] = model
    read.__name__ = name
    errors = error_responses("date_invalid", "days_invalid", "not_an_admin", "rate_limited", language="en")
    limit = at_most(300, f"admin/stats/{name}")
    return get(f"/{name}", description=description, middleware=[limit], responses=errors)(read)


router = Router(
    "/api/admin/stats",
    route_handlers=[
        _figures(
            "presence",
            "presence_stats",
            Presence,
            "Thinkers online by pair code, and presence on each day.",
        ),
        _figures(
            "vouchers",
            "voucher_stats",
            Vouchers,
            "Vouchers, bookings and cancellations, revenue, and the utilisation of each template.",
        ),
        _figures(
            "mortgages",
            "mortgage_stats",
            Mortgages,
            "Applications, offers, how many are accepted, and their interest.",
        ),
        _figures("telbank", "telbank_stats", Telbank, "Transfers in and out, by network and currency."),
        _figures(
            "fees",
            "fee_stats",
            FeeStats,
            "Charges and settlements, what each beneficiary is owed, and who owes it.",
        ),
        _figures(
            "system",
            "system_stats",
            System,
            "Events by type, errors, jobs and invariants. Invariants read whole tables: do not ask every second.",
        ),
    ],
    dependencies={"days": Provide(read_days, sync_to_thread=False)},
    opt={"language": "en", "admin": True},
    tags=["admin"],
)
