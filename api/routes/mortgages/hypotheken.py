"""Mortgages under the German paths of generation 1, /api/hypotheken (docs/compatibility.md, "Hypotheken")."""

from decimal import Decimal
from typing import Annotated

from litestar import Response, Router, get, post
from litestar.params import JSONBody
from pydantic import Field, WithJsonSchema

from api.gateway import Row, json_or_default
from api.http.body import MAX_SMALL_BODY_BYTES, MayBeEmpty, PortalRequest
from api.http.dependencies import IdempotencyKey
from api.http.idempotency import REPLAYED
from api.http.openapi import error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.parameters import text_query
from api.http.rate_limit import at_most
from api.models.base import ApiModel, RequestModel, Required, required
from api.models.fields import Id, Text, read_number, word_schema
from api.models.times import Millis
from api.routes.mortgages import common
from api.routes.mortgages.common import Application, ApplicationFields, MotUser, OfferFields, OptionalMotUser

SIGNERS = {"signed-by-borrower": "borrower", "signed-by-lender": "lender", "signed-by-notary": "notary"}


class ApplicationRequest(ApplicationFields):
    """A new application, which may name its status."""

    status: Annotated[Text, WithJsonSchema(word_schema("open", "offered", "accepted", "rejected"))] | None = None

    def parameters(self) -> dict[str, object]:
        """The parameters of `apply_for_mortgage`."""
        return super().parameters() | {"status": self.status}


class Applied(ApiModel):
    """The new application."""

    ok: bool = True
    application_id: str
    application: Application


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
    def values(cls, row: Row) -> Row:
        """The offer; the status that SQL calls open is called offered here."""
        return super().values(row | {"status": "offered" if row["status"] == "open" else row["status"]})


class OfferRequest(OfferFields):
    """A new offer for an application, in the words of the lender."""

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


class MortgageContract(ApiModel):
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
    def values(cls, row: Row) -> Row:
        """The contract, with the status that follows from its signatures."""
        borrower, lender, notary = (row[f"{who}_signed_at"] is not None for who in ("borrower", "lender", "notary"))
        both = borrower and lender
        return super().values(
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
    """The offer to accept."""

    voucher_id: Annotated[Id, Required("offer_required")]


class Accepted(ApiModel):
    """The new contract, and the accepted offer."""

    ok: bool = True
    contract_voucher_id: str
    contract: MortgageContract
    offer: Offer


class SignRequest(RequestModel):
    """A mortgage contract, and its signer: `signed-by-borrower`, `signed-by-lender` or `signed-by-notary`."""

    contract_voucher_id: Annotated[Id, Required("signing_fields_required")]
    action: Annotated[Text, WithJsonSchema({"enum": [*SIGNERS]}), Required("signing_fields_required")]


class Signed(ApiModel):
    """The contract."""

    ok: bool = True
    contract: MortgageContract


@post(
    "/anfrage",
    status_code=200,
    response_headers=[REPLAYED],
    middleware=[at_most(60, "hypotheken/anfrage")],
    operation_class=MayBeEmpty,
    responses=error_responses(*common.APPLICATION_ERRORS, "rate_limited", body=True),
    opt={"user_header": "borrower_header_required"},
)
async def apply(
    data: JSONBody[ApplicationRequest],
    request: PortalRequest,
    idempotency_key: IdempotencyKey,
    user: MotUser = None,
) -> Applied:
    """Hands in an application of the user."""
    actor = request.user.as_thinker(required(user, "borrower_header_required"))
    application = Application.from_row(
        await request.calls.call("apply_for_mortgage", actor, **data.parameters(), idempotency_key=idempotency_key)
    )
    return Applied(application_id=application.id, application=application)


list_applications = get(
    "/anfrage/list",
    middleware=[at_most(120, "hypotheken/anfrage/list")],
    responses=error_responses(*common.APPLICATION_LIST_ERRORS),
    response_headers=PAGE_HEADERS,
)(common.list_applications)


@post(
    "/angebot",
    status_code=200,
    response_headers=[REPLAYED],
    middleware=[at_most(60, "hypotheken/angebot")],
    responses=error_responses(*common.OFFER_ERRORS, "rate_limited", body=True),
    opt={"user_header": "lender_header_required"},
)
async def offer(
    data: JSONBody[OfferRequest],
    request: PortalRequest,
    idempotency_key: IdempotencyKey,
    user: MotUser = None,
) -> Offered:
    """Makes an offer of the user for an application."""
    actor = request.user.as_caller(required(user, "lender_header_required"))
    monthly = figure(data.repayment, "monthly", places=0, below=2**53)
    row = await request.calls.call(
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
    """The number of this name in the lender's words ({"rate": 0.031}); None where the column cannot hold it."""
    number = read_number(words.get(name)) if isinstance(words, dict) else None
    if number is None or not 0 <= number < below or number != round(number, places):
        return None
    return number


@get(
    "/angebot/list",
    middleware=[at_most(120, "hypotheken/angebot/list")],
    responses=error_responses("application_required", "role_unknown", "limit_invalid", "value_invalid", "rate_limited"),
    response_headers=PAGE_HEADERS,
)
async def list_offers(
    request: PortalRequest,
    page: InjectedPage,
    user: OptionalMotUser = None,
    application_id: Annotated[str | None, text_query("applicationId")] = None,
    role: Annotated[str | None, text_query("role")] = None,
) -> Response[Offers]:
    """The offers for one application; without one, those for (borrower, the default) or of (lender) the user."""
    if application_id:
        rows = await request.calls.call(
            "list_mortgage_offers", request.user.as_caller(), application_id=application_id, **page.parameters()
        )
    else:
        actor = request.user.as_caller(required(user or None, "application_required"))
        rows = await request.calls.call("list_mortgage_offers", actor, role=role or "borrower", **page.parameters())
    return page.answer(Offers, rows, offers=[Offer.json_of(row) for row in rows])


@post(
    "/angebot/accept",
    status_code=200,
    response_headers=[REPLAYED],
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    middleware=[at_most(60, "hypotheken/accept")],
    responses=error_responses(
        "borrower_header_required",
        "offer_required",
        "not_the_offers_borrower",
        "offer_not_found",
        "offer_not_open",
        "uid_invalid",
        "rate_limited",
        body=True,
    ),
    opt={"user_header": "borrower_header_required"},
)
async def accept(
    data: JSONBody[AcceptRequest],
    request: PortalRequest,
    idempotency_key: IdempotencyKey,
    user: MotUser = None,
) -> Accepted:
    """Accepts an offer as its borrower. The application's other offers are withdrawn."""
    actor = request.user.as_thinker(required(user, "borrower_header_required"))
    row = await request.calls.call(
        "accept_mortgage_offer", actor, offer_id=data.voucher_id, idempotency_key=idempotency_key
    )
    contract = MortgageContract.from_row(row["contract"])
    return Accepted(contract_voucher_id=contract.id, contract=contract, offer=Offer.from_row(row["offer"]))


@post(
    "/vertrag/update-status",
    status_code=200,
    response_headers=[REPLAYED],
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    middleware=[at_most(60, "hypotheken/update-status")],
    responses=error_responses(
        "signing_fields_required",
        "signer_unknown",
        "not_the_borrower",
        "not_the_lender",
        "not_a_notary",
        "mortgage_contract_not_found",
        "rate_limited",
        body=True,
    ),
)
async def sign(
    data: JSONBody[SignRequest],
    request: PortalRequest,
    idempotency_key: IdempotencyKey,
    user: OptionalMotUser = None,
) -> Signed:
    """Signs a contract: as its borrower, as its lender, or as the notary (who has that role, or is trusted)."""
    row = await request.calls.call(
        "sign_mortgage_contract",
        request.user.as_caller(user or None),
        contract_id=data.contract_voucher_id,
        signer=SIGNERS.get(data.action, "unknown"),
        idempotency_key=idempotency_key,
    )
    return Signed(contract=MortgageContract.from_row(row))


router = Router(
    "/api/hypotheken",
    route_handlers=[apply, list_applications, offer, list_offers, accept, sign],
    tags=["hypotheken"],
)
