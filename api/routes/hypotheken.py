"""Mortgages under their German paths: generation 1, program B (contract, section 5)."""

from decimal import Decimal
from typing import Annotated, ClassVar, Self

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from pydantic import Field, WithJsonSchema

from api.gateway import Gateway, Row, json_or_default
from api.http.body import MayBeEmpty, PortalRequest
from api.http.openapi import error_responses
from api.models import (
    TEXT,
    ApiModel,
    Id,
    Interest,
    Loan,
    Millis,
    Money,
    RequestModel,
    Required,
    Text,
    Years,
    money,
    read_number,
    required,
    text_schema,
    word_schema,
)

SIGNERS = {"signed-by-borrower": "borrower", "signed-by-lender": "lender", "signed-by-notary": "notary"}

APPLICATION_REASONS = (
    "borrower_header_required",
    "loan_invalid",
    "amount_out_of_range",
    "whole_number_expected",
    "duration_out_of_range",
    "rate_type_unknown",
    "interest_out_of_range",
    "application_status_unknown",
    "uid_invalid",
    "application_exists",
)
"""Why an application may be refused, under either path."""

_USER = "The acting thinker's uid."

MotUser = Annotated[
    str | None,
    HeaderParameter(
        name="X-MOT-User", description=_USER, required=True, schema_extra=TEXT | {"min_length": 1, "max_length": 255}
    ),
]
"""The header where it is needed; that it is there is checked in the order of the legacy servers."""

ReadingMotUser = Annotated[
    str | None,
    HeaderParameter(name="X-MOT-User", description=_USER, required=True, schema_extra=TEXT | {"min_length": 1}),
]
"""The header where it is needed, of a thinker who need not exist."""

OptionalMotUser = Annotated[
    str | None, HeaderParameter(name="X-MOT-User", description=_USER, required=False, schema_extra=TEXT)
]

Role = Annotated[str | None, QueryParameter(schema_extra={"enum": ["borrower", "lender", "", None]})]


class Application(ApiModel):
    """An application. The loan in minor units (cents), the interest as a fraction."""

    id: str = Field(alias="applicationId")
    borrower_uid: str
    property_id: str | None
    desired_loan: Money | None
    duration_years: int | None = Field(alias="desiredDurationYears")
    rate_type: str | None = Field(alias="desiredRateType")
    max_interest: float | None = Field(alias="maxInterestRate")
    submission_ts: Millis
    status: str
    visibility: str
    meta: object

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The application, with its loan in one piece."""
        return super().from_row(row | {"desired_loan": money(row["desired_loan"], row["currency"])})


class ApplicationFields(RequestModel):
    """A new application; everything may be missing."""

    zero_counts: ClassVar[frozenset[str]] = frozenset({"maxInterestRate"})

    application_id: Id | None = None
    property_id: Id | None = None
    desired_loan: Loan = None
    desired_duration_years: Years = None
    desired_rate_type: Annotated[Text, WithJsonSchema(word_schema("fixed", "variable"))] | None = None
    max_interest_rate: Interest = None
    visibility: Annotated[Text, WithJsonSchema(text_schema(32))] | None = None
    meta: object = None

    def parameters(self) -> dict[str, object]:
        """The parameters of `apply_for_mortgage`."""
        return {
            "application_id": self.application_id,
            "property_id": self.property_id,
            "desired_loan": self.desired_loan.amount if self.desired_loan else None,
            "currency": self.desired_loan.currency if self.desired_loan else None,
            "duration_years": self.desired_duration_years,
            "rate_type": self.desired_rate_type,
            "max_interest": self.max_interest_rate,
            "visibility": self.visibility,
            "meta": json_or_default(self.meta),
        }


class ApplicationRequest(ApplicationFields):
    """A new application, whose status may be said."""

    status: Annotated[Text, WithJsonSchema(word_schema("open", "offered", "accepted", "rejected"))] | None = None

    def parameters(self) -> dict[str, object]:
        """The parameters of `apply_for_mortgage`."""
        return super().parameters() | {"status": self.status}


class Applied(ApiModel):
    """The new application."""

    ok: bool = True
    application_id: str
    application: Application


class Applications(ApiModel):
    """Applications, oldest first."""

    ok: bool = True
    applications: list[Application]


class Offer(ApiModel):
    """An offer, in the words of the lender."""

    id: str = Field(alias="voucherId")
    type: str = "mortgage-offer"
    application_id: str
    lender_uid: str = Field(alias="issuerId")
    borrower_uid: str = Field(alias="holderUid")
    status: str
    loan: object
    interest: object
    repayment: object
    fees: object
    validity: object
    terms_ref: object
    room_refs: object
    created_at: Millis

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The offer: what is stored as open was called offered here."""
        return super().from_row(row | {"status": "offered" if row["status"] == "open" else row["status"]})


class OfferRequest(RequestModel):
    """A new offer for an application."""

    application_id: Annotated[Id, Required("application_required")]
    voucher_id: Id | None = None
    loan: object = None
    interest: object = None
    repayment: object = None
    fees: object = None
    validity: object = None
    terms_ref: object = None
    room_refs: object = None


class Offered(ApiModel):
    """The new offer."""

    ok: bool = True
    voucher_id: str
    offer: Offer


class Offers(ApiModel):
    """Offers, oldest first."""

    ok: bool = True
    offers: list[Offer]


class DocumentRefs(ApiModel):
    """The documents of a contract; no route sets them."""

    draft_pdf: str | None = None
    signed_pdf: str | None = None


class RoomRefs(ApiModel):
    """The room of a contract."""

    contract_room_id: str


class Contract(ApiModel):
    """A contract: draft; pending-notary, when borrower and lender have signed; active, when the notary has too."""

    id: str = Field(alias="voucherId")
    type: str = "mortgage-contract"
    application_id: str
    offer_id: str = Field(alias="offerVoucherId")
    lender_uid: str = Field(alias="lenderId")
    borrower_uid: str
    status: str
    signed_by_borrower: bool
    signed_by_lender: bool
    signed_by_notary: bool
    document_refs: DocumentRefs = DocumentRefs()
    room_refs: RoomRefs
    created_at: Millis
    updated_at: Millis | None = Field(default=None, exclude_if=lambda time: time is None)

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The contract, with the status that its signatures make."""
        borrower, lender, notary = (row[f"{who}_signed_at"] is not None for who in ("borrower", "lender", "notary"))
        both = borrower and lender
        return super().from_row(
            row
            | {
                "status": "active" if both and notary else "pending-notary" if both else "draft",
                "signed_by_borrower": borrower,
                "signed_by_lender": lender,
                "signed_by_notary": notary,
                "room_refs": RoomRefs(contract_room_id=f"mortgage:contract:{row['id']}"),
            }
        )


class AcceptRequest(RequestModel):
    """Which offer."""

    voucher_id: Annotated[Id, Required("offer_required")]


class Accepted(ApiModel):
    """The new contract, and the accepted offer."""

    ok: bool = True
    contract_voucher_id: str
    contract: Contract
    offer: Offer


class SignRequest(RequestModel):
    """Which contract, and who signs: `signed-by-borrower`, `signed-by-lender` or `signed-by-notary`."""

    contract_voucher_id: Annotated[Id, Required("signing_fields_required")]
    action: Annotated[Text, WithJsonSchema({"enum": [*SIGNERS]}), Required("signing_fields_required")]


class Signed(ApiModel):
    """The contract."""

    ok: bool = True
    contract: Contract


@post(
    "/anfrage",
    status_code=200,
    operation_class=MayBeEmpty,
    responses=error_responses(*APPLICATION_REASONS, body=True),
    opt={"user_header": "borrower_header_required"},
)
async def apply(
    data: JSONBody[ApplicationRequest],
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    idempotency_key: NamedDependency[str | None],
    user: MotUser = None,
) -> Applied:
    """Hands in an application of the user."""
    actor = request.user.as_thinker(required(user, "borrower_header_required"))
    application = Application.from_row(
        await gateway.call("apply_for_mortgage", actor, **data.parameters(), idempotency_key=idempotency_key)
    )
    return Applied(application_id=application.id, application=application)


@get("/anfrage/list", responses=error_responses("user_header_required", "role_unknown", "not_a_lender", "uid_invalid"))
async def list_applications(
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    user: ReadingMotUser = None,
    role: Role = None,
) -> Applications:
    """As borrower (the default) the user's own applications, as lender everybody's that are open or offered."""
    actor = request.user.as_caller(required(user or None, "user_header_required"))
    rows = await gateway.call("list_mortgage_applications", actor, role=role or "borrower")
    return Applications(applications=[Application.from_row(row) for row in rows])


@post(
    "/angebot",
    status_code=200,
    responses=error_responses(
        "lender_header_required",
        "lender_role_required",
        "application_required",
        "application_not_found",
        "application_closed",
        "offer_exists",
        "uid_invalid",
        body=True,
    ),
    opt={"user_header": "lender_header_required"},
)
async def offer(
    data: JSONBody[OfferRequest],
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    idempotency_key: NamedDependency[str | None],
    user: MotUser = None,
) -> Offered:
    """Makes an offer of the user for an application."""
    actor = request.user.as_caller(required(user, "lender_header_required"))
    monthly = figure(data.repayment, "monthly", places=0, below=2**53)
    row = await gateway.call(
        "offer_mortgage",
        actor,
        application_id=data.application_id,
        offer_id=data.voucher_id,
        interest_rate=figure(data.interest, "rate", places=4, below=100),
        monthly_payment=None if monthly is None else int(monthly),
        loan=json_or_default(data.loan),
        interest=json_or_default(data.interest),
        repayment=json_or_default(data.repayment),
        fees=json_or_default(data.fees),
        validity=json_or_default(data.validity),
        terms_ref=json_or_default(data.terms_ref),
        room_refs=json_or_default(data.room_refs),
        idempotency_key=idempotency_key,
    )
    made = Offer.from_row(row)
    return Offered(voucher_id=made.id, offer=made)


def figure(words: object, name: str, *, places: int, below: int) -> Decimal | None:
    """A figure in the lender's own words ({"rate": 0.031}), for the column that dashboards read; None if it is none."""
    number = read_number(words.get(name)) if isinstance(words, dict) else None
    if number is None or not 0 <= number < below or number != round(number, places):
        return None
    return number


@get(
    "/angebot/list",
    responses=error_responses("application_required", "role_unknown", "uid_invalid", "value_invalid"),
)
async def list_offers(
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    user: OptionalMotUser = None,
    application_id: Annotated[str | None, QueryParameter(name="applicationId", schema_extra=TEXT)] = None,
    role: Annotated[str | None, QueryParameter(schema_extra=TEXT)] = None,
) -> Offers:
    """The offers for one application; without one, those for (borrower, the default) or of (lender) the user."""
    if application_id:
        rows = await gateway.call("list_mortgage_offers", request.user.as_caller(), application_id=application_id)
    else:
        actor = request.user.as_caller(required(user or None, "application_required"))
        rows = await gateway.call("list_mortgage_offers", actor, role=role or "borrower")
    return Offers(offers=[Offer.from_row(row) for row in rows])


@post(
    "/angebot/accept",
    status_code=200,
    responses=error_responses(
        "borrower_header_required",
        "offer_required",
        "not_the_offers_borrower",
        "offer_not_found",
        "offer_not_open",
        "uid_invalid",
        body=True,
    ),
    opt={"user_header": "borrower_header_required"},
)
async def accept(
    data: JSONBody[AcceptRequest],
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    idempotency_key: NamedDependency[str | None],
    user: MotUser = None,
) -> Accepted:
    """Accepts an offer as its borrower. The application's other offers are withdrawn."""
    actor = request.user.as_thinker(required(user, "borrower_header_required"))
    row = await gateway.call("accept_mortgage_offer", actor, offer_id=data.voucher_id, idempotency_key=idempotency_key)
    contract = Contract.from_row(row["contract"])
    return Accepted(contract_voucher_id=contract.id, contract=contract, offer=Offer.from_row(row["offer"]))


@post(
    "/vertrag/update-status",
    status_code=200,
    responses=error_responses(
        "signing_fields_required",
        "signer_unknown",
        "not_the_borrower",
        "not_the_lender",
        "not_a_notary",
        "mortgage_contract_not_found",
        "uid_invalid",
        body=True,
    ),
)
async def sign(
    data: JSONBody[SignRequest],
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    idempotency_key: NamedDependency[str | None],
    user: OptionalMotUser = None,
) -> Signed:
    """Signs a contract: as its borrower, as its lender, or as the notary (who has that role, or is trusted)."""
    row = await gateway.call(
        "sign_mortgage_contract",
        request.user.as_caller(user or None),
        contract_id=data.contract_voucher_id,
        signer=SIGNERS.get(data.action, "nobody"),
        idempotency_key=idempotency_key,
    )
    return Signed(contract=Contract.from_row(row))


router = Router(
    "/api/hypotheken",
    route_handlers=[apply, list_applications, offer, list_offers, accept, sign],
    tags=["hypotheken"],
)
