"""Mortgages under the English paths of generation 2, /api/mortgage (docs/compatibility.md, "Mortgage")."""

from typing import Annotated, ClassVar

from litestar import Response, Router, get, post
from litestar.params import JSONBody
from pydantic import BeforeValidator, Field

from api.http.body import MayBeEmpty, PortalRequest
from api.http.dependencies import IdempotencyKey
from api.http.idempotency import REPLAYED
from api.http.openapi import error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.parameters import text_query
from api.http.rate_limit import at_most
from api.models.base import ApiModel, required
from api.models.fields import Cents, Interest, minor_units
from api.models.times import Millis
from api.routes.mortgages import common
from api.routes.mortgages.common import ApplicationFields, ApplicationModel, MotUser, OfferFields, ReadingMotUser, Role


class Application(ApplicationModel):
    """An application. The loan in minor units (cents), the interest as a fraction, no duration as 0."""

    duration_years: Annotated[int, BeforeValidator(lambda years: years or 0)] = Field(alias="desiredDurationYears")
    status: str
    meta: object
    created_at: Millis


class Applied(ApiModel):
    """The new application."""

    ok: bool = True
    application_id: str
    application: Application


class Offer(ApiModel):
    """An offer. The interest as a fraction, the payment in minor units (cents)."""

    id: str = Field(alias="offerId")
    application_id: str
    lender_uid: str
    borrower_uid: str
    interest_rate: float | None
    monthly_payment: int | None
    status: str
    created_at: Millis


class OfferRequest(OfferFields):
    """A new offer for an application; `interestRate` and `monthlyPayment` count as numbers only."""

    zero_counts: ClassVar[frozenset[str]] = frozenset({"interestRate", "monthlyPayment"})

    interest_rate: Interest = None
    monthly_payment: Cents = None


class Offered(ApiModel):
    """The new offer."""

    ok: bool = True
    offer_id: str
    offer: Offer


class Offers(ApiModel):
    """Offers, newest first."""

    ok: bool = True
    offers: list[Offer]


@post(
    "/application",
    status_code=200,
    response_headers=[REPLAYED],
    operation_class=MayBeEmpty,
    middleware=[at_most(60, "mortgage/application")],
    responses=error_responses(*common.APPLICATION_ERRORS, "rate_limited", language="en", body=True),
    opt={"user_header": "borrower_header_required"},
)
async def apply(
    data: JSONBody[ApplicationFields],
    request: PortalRequest,
    idempotency_key: IdempotencyKey,
    user: MotUser = None,
) -> Applied:
    """Hands in an application of the user, by default for `house-unknown` at a fixed rate."""
    actor = request.user.as_thinker(required(user, "borrower_header_required"))
    defaults = {
        "property_id": data.property_id or "house-unknown",
        "rate_type": data.desired_rate_type or "fixed",
    }
    row = await request.calls.call(
        "apply_for_mortgage", actor, **data.parameters() | defaults, idempotency_key=idempotency_key
    )
    application = Application.from_row(row)
    return Applied(application_id=application.id, application=application)


list_applications = get(
    "/application-list",
    middleware=[at_most(120, "mortgage/application-list")],
    responses=error_responses(*common.APPLICATION_LIST_ERRORS, language="en"),
    response_headers=PAGE_HEADERS,
)(common.list_applications)


@post(
    "/offer",
    status_code=200,
    response_headers=[REPLAYED],
    middleware=[at_most(60, "mortgage/offer")],
    responses=error_responses(*common.OFFER_ERRORS, "rate_limited", language="en", body=True),
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
    row = await request.calls.call(
        "offer_mortgage",
        actor,
        application_id=data.application_id,
        offer_id=data.voucher_id,
        interest_rate=data.interest_rate,
        monthly_payment=None if data.monthly_payment is None else minor_units(data.monthly_payment),
        idempotency_key=idempotency_key,
    )
    made = Offer.from_row(row)
    return Offered(offer_id=made.id, offer=made)


@get(
    "/offer-list",
    middleware=[at_most(120, "mortgage/offer-list")],
    responses=error_responses(
        "user_header_required",
        "application_required",
        "role_unknown",
        "limit_invalid",
        "value_invalid",
        "rate_limited",
        language="en",
    ),
    response_headers=PAGE_HEADERS,
)
async def list_offers(
    request: PortalRequest,
    page: InjectedPage,
    user: ReadingMotUser = None,
    role: Role = None,
    application_id: Annotated[str | None, text_query("applicationId")] = None,
) -> Response[Offers]:
    """As borrower (the default) the offers for the user's applications, as lender the user's own."""
    rows = await request.calls.call(
        "list_mortgage_offers",
        request.user.as_caller(required(user or None, "user_header_required")),
        role=role or "borrower",
        application_id=application_id or None,
        newest_first=True,
        **page.parameters(),
    )
    return page.answer(Offers, rows, offers=[Offer.json_of(row) for row in rows])


router = Router(
    "/api/mortgage",
    route_handlers=[apply, list_applications, offer, list_offers],
    opt={"language": "en"},
    tags=["mortgage"],
)
