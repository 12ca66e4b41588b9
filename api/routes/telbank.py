"""Telbank, /api/telbank: a log of transfer intents (docs/compatibility.md, "Telbank")."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from litestar import Response, Router, get, post
from litestar.params import JSONBody
from pydantic import BeforeValidator, WithJsonSchema

from api.errors import ApiError
from api.gateway import Row, json_or_default
from api.http.answers import answer
from api.http.body import PortalRequest
from api.http.dependencies import IdempotencyKey
from api.http.idempotency import REPLAYED
from api.http.openapi import error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.parameters import TextPath, text_query
from api.http.rate_limit import at_most
from api.models.base import ApiModel, RequestModel, Required
from api.models.fields import CURRENCY, Id, Text, read_number, text_schema
from api.models.times import Millis


class Transfer(ApiModel):
    """A transfer. Amounts in major units: euros, ETH."""

    id: str
    direction: str
    label: str
    wallet_address: str | None
    network: str | None
    crypto_amount: float
    crypto_symbol: str
    fiat_amount: float
    fiat_currency: str
    external_account: str | None
    meta: object
    status: str
    created_at: Millis
    updated_at: Millis

    @classmethod
    def values(cls, row: Row) -> Row:
        """The transfer, with its fiat amount in major units."""
        return super().values(row | {"fiat_amount": row["fiat_amount"] / 10 ** row["fiat_exponent"]})


ExactNumber = Annotated[Decimal, BeforeValidator(read_number)]
Symbol = Annotated[Text, WithJsonSchema(text_schema(32))]
Currency = Annotated[Text, WithJsonSchema({"type": "string", "pattern": f"^{CURRENCY}$"})]


class TransferRequest(RequestModel):
    """A transfer to log. `direction` is `in` or `out`; both amounts are JSON numbers in major units."""

    zero_counts: ClassVar[frozenset[str]] = frozenset({"cryptoAmount", "fiatAmount"})

    direction: Literal["in", "out"]
    label: Text | None = None
    wallet_address: Id | None = None
    network: Text | None = None
    crypto_amount: Annotated[
        ExactNumber, WithJsonSchema({"type": "number", "exclusiveMinimum": -(10**18), "exclusiveMaximum": 10**18})
    ]
    crypto_symbol: Annotated[Symbol, Required("amounts_required")]
    fiat_amount: Annotated[
        ExactNumber,
        WithJsonSchema({"type": "number", "minimum": -90_071_992_547_409.91, "maximum": 90_071_992_547_409.91}),
    ]
    fiat_currency: Annotated[Currency, Required("amounts_required")]
    external_account: Text | None = None
    meta: object = None

    @classmethod
    def check_required(cls, sent: Mapping[str, object]) -> None:
        """Check the direction first, then the amounts, as the legacy servers did."""
        if sent.get("direction") not in ("in", "out"):
            raise ApiError("direction_unknown")
        super().check_required(sent)
        if any(read_number(sent.get(amount)) is None for amount in cls.zero_counts):
            raise ApiError("amounts_required")


class Logged(ApiModel):
    """The transfer."""

    ok: bool = True
    transfer: Transfer


class Transfers(ApiModel):
    """Transfers, newest first."""

    ok: bool = True
    items: list[Transfer]


@post(
    "/transfers",
    status_code=200,
    response_headers=[REPLAYED],
    middleware=[at_most(120, "telbank/post")],
    responses=error_responses(
        "invalid_json_telbank",
        "direction_unknown",
        "amounts_required",
        "amount_out_of_range",
        "currency_unknown",
        "uid_invalid",
        "rate_limited",
        language="en",
        body=True,
    ),
    opt={"invalid_json": "invalid_json_telbank"},
)
async def log_transfer(
    data: JSONBody[TransferRequest], request: PortalRequest, idempotency_key: IdempotencyKey
) -> Response[Logged]:
    """Logs a transfer intent; nothing is executed."""
    row = await request.calls.call(
        "log_transfer",
        request.user.as_caller(),
        direction=data.direction,
        crypto_amount=data.crypto_amount,
        crypto_symbol=data.crypto_symbol,
        fiat_major=data.fiat_amount,
        fiat_currency=data.fiat_currency,
        label=data.label,
        wallet_address=data.wallet_address,
        network=data.network,
        external_account=data.external_account,
        meta=json_or_default(data.meta),
        idempotency_key=idempotency_key,
    )
    return answer(Logged, transfer=Transfer.json_of(row))


@get(
    "/transfers",
    middleware=[at_most(120, "telbank/get")],
    responses=error_responses("limit_invalid", "value_invalid", "rate_limited", language="en"),
    response_headers=PAGE_HEADERS,
)
async def list_transfers(
    request: PortalRequest,
    page: InjectedPage,
    wallet_address: Annotated[str | None, text_query("walletAddress")] = None,
    direction: Annotated[str | None, text_query("direction")] = None,
) -> Response[Transfers]:
    """The transfers that match every given filter exactly."""
    rows = await request.calls.call(
        "list_transfers",
        request.user.as_caller(),
        wallet_address=wallet_address or None,
        direction=direction or None,
        **page.parameters(),
    )
    return page.answer(Transfers, rows, items=[Transfer.json_of(row) for row in rows])


@get(
    "/transfers/{transfer_id:str}",
    middleware=[at_most(300, "telbank/transfer")],
    responses=error_responses("transfer_not_found", "value_invalid", "rate_limited", language="en"),
)
async def get_transfer(transfer_id: TextPath, request: PortalRequest) -> Response[Logged]:
    """One transfer."""
    row = await request.calls.call("get_transfer", request.user.as_caller(), transfer_id=transfer_id)
    return answer(Logged, transfer=Transfer.json_of(row))


router = Router(
    "/api/telbank",
    route_handlers=[log_transfer, list_transfers, get_transfer],
    opt={"language": "en"},
    tags=["telbank"],
)
