"""Fees and settlements for operators, /api/admin: amounts are whole minor units (cents) of the currency beside them."""

import asyncio
from typing import Annotated, Literal, Self, TypeAlias
from uuid import UUID

from litestar import Response, Router, get
from litestar.params import QueryParameter
from pydantic import Field

from api.errors import ApiError
from api.gateway import Row
from api.http.body import PortalRequest
from api.http.openapi import error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.parameters import Limit, TextPath, read_limit, text_query
from api.http.rate_limit import at_most
from api.models.base import ApiModel
from api.models.times import Millis
from api.paper.statement import Language, statement_pdf

MAX_PAPER = 1000
"""Fee events of a PDF: more would take seconds."""

Status: TypeAlias = Literal["open", "invoiced", "paid", "written_off", "voided"]

Percentage = Annotated[float, Field(description="A fraction with at most four decimals: 0.02 is 2 percent.")]


class Price(ApiModel):
    """The price of a fee, and its beneficiary."""

    percentage: Percentage
    fixed_amount: int = Field(description="Minor units of `currency`.")
    currency: str | None = Field(description="Of the fixed amount and of both bounds; null where there are none.")
    min_cents: int | None = Field(description="The least that is charged, in minor units of `currency`.")
    max_cents: int | None = Field(description="The most that is charged, in minor units of `currency`.")
    active: bool
    reversed_after_start: bool = Field(
        description="Whether a booking that is cancelled after the start of its slot gets the charge back."
    )
    beneficiary_uid: str
    payer: Literal["issuer", "holder", "thinker", "lender", "borrower"] | None = Field(
        description="Who owes its charges; null: the issuer of a booking, the thinker of a transfer, or the lender."
    )


class FeeVersion(Price):
    """A fee from `validFrom` until its next version."""

    valid_from: Millis
    changed_by: str = Field(description="The operator who made the change.")


class Fee(Price):
    """A fee, with its versions."""

    id: str
    scope: Literal["voucher", "transfer", "room", "mortgage"]
    meta: dict[str, object]
    versions: list[FeeVersion] = Field(description="Newest first: the first is what is in force.")


class Fees(ApiModel):
    """Every fee, by its id."""

    ok: bool = True
    items: list[Fee]


class Settlement(ApiModel):
    """The sum that a beneficiary is owed for a period, in one currency."""

    id: UUID
    beneficiary_uid: str
    period_from: str = Field(description="The first day (2026-10-01), in the portal's time zone.")
    period_to: str = Field(description="The first day that does not belong to it any more.")
    total_cents: int = Field(
        description="Minor units of `currency`; negative where more was reversed than charged. Stays when it is voided."
    )
    currency: str
    status: Status
    created_at: Millis
    invoiced_at: Millis | None
    paid_at: Millis | None
    voided_at: Millis | None
    void_reason: str | None
    number: str | None = Field(description="The number of the invoice; null before. Stays when it is voided.")
    due_on: str | None = Field(description="The last day (2026-11-30) on which it is paid in time; null before.")
    written_off_at: Millis | None
    write_off_reason: str | None
    created_by: str = Field(description="The operator; of a job `job settle-fees-monthly`.")
    invoiced_by: str | None
    paid_by: str | None
    voided_by: str | None
    written_off_by: str | None
    paid_cents: int = Field(description="The sum of its payments, in minor units of `currency`.")
    is_overdue: bool = Field(description="Whether it is invoiced, and its due date is over.")


class Settlements(ApiModel):
    """Settlements, latest period first."""

    ok: bool = True
    items: list[Settlement]


class Payer(ApiModel):
    """The part of a settlement that one thinker owes."""

    payer_uid: str | None = Field(description="Null: the charges of transfers that name no thinker.")
    fee_events: int = Field(description="How many there are.")
    total_cents: int = Field(description="Minor units of the settlement's currency.")


class Payment(ApiModel):
    """A payment of a settlement, or of a part of it."""

    id: UUID
    paid_on: str = Field(description="The day (2026-11-03).")
    amount_cents: int = Field(description="Minor units of the settlement's currency.")
    payer_uid: str | None = Field(description="Whose debt it pays; null: the oldest debts first.")
    reference: str | None
    recorded_by: str = Field(description="The operator who recorded it.")
    created_at: Millis = Field(description="When it was recorded.")


class OtherSettlement(ApiModel):
    """A settlement that has fee events in common with another one, because one of the two was voided."""

    id: UUID
    number: str | None = Field(description="The number of its invoice, if it has one.")
    status: Status


class SettlementFigures(Settlement):
    """A settlement, with the sums of its fee events; a voided one has those with which it was made."""

    decimals: int = Field(description="Of `currency`: a unit of it has 10 to the power of so many minor units.")
    fee_events: int = Field(description="How many there are.")
    charged_cents: int = Field(description="The sum of its charges, in minor units of `currency`.")
    reversed_cents: int = Field(description="The sum of its reversals, in minor units of `currency`; not positive.")
    adjusted_cents: int = Field(description="The sum of its adjustments, in minor units of `currency`.")
    payers: list[Payer]
    payments: list[Payment] = Field(description="In the order in which they were recorded.")
    replaces: list[OtherSettlement] = Field(description="Earlier ones with the same fee events, oldest first.")
    replaced_by: list[OtherSettlement] = Field(description="Later ones with the same fee events, oldest first.")


class FeeEvent(ApiModel):
    """A charge, with its calculation; or the reversal or adjustment of one, without."""

    id: UUID
    created_at: Millis
    fee_id: str
    subject_type: Literal["voucher_booking", "transfer", "mortgage_contract"]
    subject_id: str
    amount_cents: int = Field(description="Minor units of `currency`; negative for a reversal and for a credit.")
    currency: str
    base_cents: int | None = Field(description="What the percentage is taken of, in minor units of `currency`.")
    rate: Percentage | None
    fixed_cents: int | None = Field(description="The fixed part, in minor units of `currency`.")
    unrounded: str | None = Field(
        description="base * rate + fixed in minor units of `currency`: a decimal number as text, with every digit.",
        examples=["240.0125"],
    )
    bound: Literal["minimum", "maximum"] | None = Field(description="Which bound of the fee applied.")
    reverses: UUID | None = Field(description="The charge that it takes back.")
    reason: str | None = Field(description="Why an operator took it back or adjusted it; null otherwise.")
    payer_uid: str | None = Field(description="Who owes it; null: unknown.")
    adjusts: UUID | None = Field(description="The charge of which it credits a part, or to which it adds.")
    operator: str | None = Field(description="Who took it back or adjusted it.")
    month: str = Field(
        description="The first day (2026-10-01) of the month to which it belongs: that of the charge, also for its "
        "corrections. The period may be a later one, because an invoiced month is closed."
    )
    slot_start: Millis | None = Field(description="When the booked appointment starts; null for other subjects.")
    corrects_settlement_id: UUID | None = Field(
        description="The settlement of the charge that it takes back or adjusts; null while that is in none."
    )
    corrects_number: str | None = Field(description="The number of that settlement's invoice.")
    reversed_by_settlement_id: UUID | None = Field(
        description="The settlement of the reversal that takes it back; null while that is in none."
    )
    reversed_by_number: str | None = Field(description="The number of that settlement's invoice.")


class Statement(ApiModel):
    """A settlement, and a page of its fee events in the order of their ids, oldest first; also of a voided one."""

    ok: bool = True
    settlement: SettlementFigures
    items: list[FeeEvent]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The statement, from what `get_settlement` returns."""
        return cls(
            settlement=SettlementFigures.from_row(row), items=[FeeEvent.from_row(event) for event in row["items"]]
        )


@get(
    "/settlements",
    middleware=[at_most(300, "admin/settlements")],
    responses=error_responses("limit_invalid", "value_invalid", "not_an_admin", "rate_limited", language="en"),
    response_headers=PAGE_HEADERS,
)
async def list_settlements(
    request: PortalRequest,
    page: InjectedPage,
    status: Annotated[str | None, text_query("status")] = None,
    beneficiary_uid: Annotated[str | None, text_query("beneficiaryUid")] = None,
) -> Response[Settlements]:
    """The settlements that match every given filter, latest period first: 200, or `limit` of them, from 1 to 1000.

    `status` is open, invoiced, paid, written_off or voided.
    """
    rows = await request.calls.call(
        "list_settlements",
        request.user.as_caller(),
        beneficiary_uid=beneficiary_uid or None,
        status=status or None,
        **page.parameters(default=200),
    )
    return page.answer(Settlements, rows, items=[Settlement.json_of(row) for row in rows])


@get(
    "/settlements/{settlement_id:str}",
    middleware=[at_most(300, "admin/settlement")],
    responses=error_responses(
        "limit_invalid", "value_invalid", "settlement_not_found", "not_an_admin", "rate_limited", language="en"
    ),
)
async def get_settlement(
    settlement_id: TextPath,
    request: PortalRequest,
    after: Annotated[str | None, text_query("after")] = None,
    limit: Limit = None,
) -> Statement:
    """One settlement with its figures, and a page of its fee events: 1000, or `limit` of them, from 1 to 10000.

    `after` is the id of the last fee event of the page before; an empty page is the end.
    """
    row = await request.calls.call(
        "get_settlement",
        request.user.as_caller(),
        settlement_id=_uuid(settlement_id, "settlement_not_found"),
        after=_uuid(after, "value_invalid") if after else None,
        max_rows=read_limit(limit, default=1000, maximum=10_000),
    )
    return Statement.from_row(row)


@get(
    "/settlements/{settlement_id:str}/pdf",
    media_type="application/pdf",
    middleware=[at_most(60, "admin/settlement/pdf")],
    responses=error_responses(
        "value_invalid",
        "settlement_not_found",
        "statement_too_long",
        "pdf_not_installed",
        "not_an_admin",
        "rate_limited",
        language="en",
    ),
)
async def get_paper(
    settlement_id: TextPath,
    request: PortalRequest,
    language: Annotated[str | None, QueryParameter(schema_extra={"enum": list(Language)})] = None,
) -> Response[bytes]:
    """One settlement with all of its fees as PDF, at most a thousand, in German (`language=de`) or English (`en`)."""
    if language is not None and language not in list(Language):
        raise ApiError("value_invalid", "no language")
    row = await request.calls.call(
        "get_settlement",
        request.user.as_caller(),
        settlement_id=_uuid(settlement_id, "settlement_not_found"),
        max_rows=MAX_PAPER,
    )
    if row["fee_events"] > MAX_PAPER:
        raise ApiError("statement_too_long")
    try:
        # half a second, in a process that ends
        pdf = await asyncio.to_thread(statement_pdf, row, row["items"], Language(language or Language.GERMAN))
    except ImportError as error:
        raise ApiError("pdf_not_installed") from error
    return Response(pdf, headers={"content-disposition": f'inline; filename="statement-{row["id"]}.pdf"'})


@get(
    "/fees",
    middleware=[at_most(300, "admin/fees")],
    responses=error_responses("not_an_admin", "rate_limited", language="en"),
)
async def list_fees(request: PortalRequest) -> Fees:
    """Every fee, with its versions."""
    rows = await request.calls.call("list_fees", request.user.as_caller())
    return Fees(items=[Fee.from_row(row) for row in rows])


def _uuid(text: str, code: str) -> str:
    """The UUID in its usual form. Raises ApiError with the code for any other text."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise ApiError(code, "no UUID") from error


router = Router(
    "/api/admin",
    route_handlers=[list_settlements, get_settlement, get_paper, list_fees],
    opt={"language": "en", "admin": True},
    tags=["admin"],
)
