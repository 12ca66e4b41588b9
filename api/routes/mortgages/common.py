"""What both generations of mortgage routes share."""

from typing import Annotated, ClassVar

from litestar import Response
from litestar.params import HeaderParameter, QueryParameter
from pydantic import Field, WithJsonSchema

from api.gateway import Row, json_or_default
from api.http.body import PortalRequest
from api.http.pages import InjectedPage
from api.models.base import ApiModel, RequestModel, Required, required
from api.models.fields import TEXT, Id, Interest, Loan, Money, Text, Years, money, text_schema, word_schema
from api.models.times import Millis

APPLICATION_ERRORS = (
    "borrower_header_required",
    "loan_invalid",
    "amount_out_of_range",
    "currency_unknown",
    "whole_number_expected",
    "duration_out_of_range",
    "rate_type_unknown",
    "interest_out_of_range",
    "application_status_unknown",
    "uid_invalid",
    "application_exists",
)
OFFER_ERRORS = (
    "lender_header_required",
    "lender_role_required",
    "application_required",
    "amount_out_of_range",
    "currency_unknown",
    "interest_out_of_range",
    "application_not_found",
    "application_closed",
    "offer_exists",
    "uid_invalid",
)
APPLICATION_LIST_ERRORS = (
    "user_header_required",
    "role_unknown",
    "not_a_lender",
    "limit_invalid",
    "value_invalid",
    "rate_limited",
)

_USER = "The acting thinker's uid."

MotUser = Annotated[
    str | None,
    HeaderParameter(
        name="X-MOT-User", description=_USER, required=True, schema_extra=TEXT | {"min_length": 1, "max_length": 255}
    ),
]
"""The header where it is required, which PortalRequest.json and `required` check in the order of the legacy servers."""

ReadingMotUser = Annotated[
    str | None,
    HeaderParameter(name="X-MOT-User", description=_USER, required=True, schema_extra=TEXT | {"min_length": 1}),
]
"""The header where it is required, for reading: the thinker may not exist yet."""

OptionalMotUser = Annotated[
    str | None, HeaderParameter(name="X-MOT-User", description=_USER, required=False, schema_extra=TEXT)
]

Role = Annotated[str | None, QueryParameter(schema_extra={"enum": ["borrower", "lender", "", None]})]


class ApplicationModel(ApiModel):
    """The fields with which every application begins. The loan in minor units (cents), the interest as a fraction."""

    id: str = Field(alias="applicationId")
    borrower_uid: str
    property_id: str | None
    desired_loan: Money | None
    duration_years: int | None = Field(alias="desiredDurationYears")
    rate_type: str | None = Field(alias="desiredRateType")
    max_interest: float | None = Field(alias="maxInterestRate")

    @classmethod
    def values(cls, row: Row) -> Row:
        """The application, with amount and currency of its loan together."""
        return super().values(row | {"desired_loan": money(row["desired_loan"], row["currency"])})


class Application(ApplicationModel):
    """An application. The loan in minor units (cents), the interest as a fraction."""

    submission_ts: Millis
    status: str
    visibility: str
    meta: object


class Applications(ApiModel):
    """Applications, oldest first."""

    ok: bool = True
    applications: list[Application]


class ApplicationFields(RequestModel):
    """A new application; every field is optional."""

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


class OfferFields(RequestModel):
    """A new offer for an application."""

    application_id: Annotated[Id, Required("application_required")]
    voucher_id: Id | None = None


async def list_applications(
    request: PortalRequest,
    page: InjectedPage,
    user: ReadingMotUser = None,
    role: Role = None,
) -> Response[Applications]:
    """As borrower (the default) the user's own applications, as lender all that are open or offered."""
    actor = request.user.as_caller(required(user or None, "user_header_required"))
    rows = await request.calls.call("list_mortgage_applications", actor, role=role or "borrower", **page.parameters())
    return page.answer(Applications, rows, applications=[Application.json_of(row) for row in rows])
