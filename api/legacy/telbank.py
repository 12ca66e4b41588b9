"""Telbank: a log of transfer intents (contract, section 4)."""

from typing import Annotated, ClassVar, Self

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from api.body import PortalRequest
from api.gateway import Gateway, Row, json_or_default
from api.legacy.rate_limit import at_most
from api.legacy.shapes import Millis, Number, RequestShape, Shape, Text, required
from api.refusals import Refused, refusals


class Transfer(Shape):
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
    def from_row(cls, row: Row) -> Self:
        """The transfer, with its fiat amount in major units."""
        return super().from_row(row | {"fiat_amount": row["fiat_amount"] / 10 ** row["fiat_exponent"]})


class TransferRequest(RequestShape):
    """A transfer to log. `direction` is `in` or `out`; both amounts are JSON numbers in major units."""

    zero_counts: ClassVar[frozenset[str]] = frozenset({"cryptoAmount", "fiatAmount"})

    direction: object = None
    label: Text | None = None
    wallet_address: Text | None = None
    network: Text | None = None
    crypto_amount: Number = None
    crypto_symbol: Text | None = None
    fiat_amount: Number = None
    fiat_currency: Text | None = None
    external_account: Text | None = None
    meta: object = None


class Logged(Shape):
    """The transfer."""

    ok: bool = True
    transfer: Transfer


class Transfers(Shape):
    """Transfers, newest first."""

    ok: bool = True
    items: list[Transfer]


@post(
    "/transfers",
    status_code=200,
    middleware=[at_most(120, "telbank/post")],
    responses=refusals(
        "invalid_json_telbank",
        "direction_unknown",
        "amounts_required",
        "amount_out_of_range",
        "rate_limited",
        language="en",
        body=True,
    ),
    opt={"invalid_json": "invalid_json_telbank"},
)
async def log_transfer(
    data: JSONBody[TransferRequest],
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    user: Annotated[str | None, HeaderParameter(name="X-MOT-User")] = None,
) -> Logged:
    """Logs a transfer intent; nothing is executed."""
    if data.direction not in ("in", "out"):
        raise Refused("direction_unknown")
    row = await gateway.call(
        "log_transfer",
        request.user.as_server(user or None),
        direction=data.direction,
        crypto_amount=required(data.crypto_amount, "amounts_required"),
        crypto_symbol=required(data.crypto_symbol, "amounts_required"),
        fiat_major=required(data.fiat_amount, "amounts_required"),
        fiat_currency=required(data.fiat_currency, "amounts_required"),
        label=data.label,
        wallet_address=data.wallet_address,
        network=data.network,
        external_account=data.external_account,
        meta=json_or_default(data.meta),
    )
    return Logged(transfer=Transfer.from_row(row))


@get(
    "/transfers",
    middleware=[at_most(120, "telbank/get")],
    responses=refusals("value_invalid", "rate_limited", language="en"),
)
async def list_transfers(
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    wallet_address: Annotated[str | None, QueryParameter(name="walletAddress")] = None,
    direction: FromQuery[str | None] = None,
) -> Transfers:
    """The transfers that fit every given filter exactly."""
    rows = await gateway.call(
        "list_transfers",
        request.user.as_server(),
        wallet_address=wallet_address or None,
        direction=direction or None,
    )
    return Transfers(items=[Transfer.from_row(row) for row in rows])


@get("/transfers/{transfer_id:str}", responses=refusals("transfer_not_found", "value_invalid", language="en"))
async def get_transfer(transfer_id: FromPath[str], request: PortalRequest, gateway: NamedDependency[Gateway]) -> Logged:
    """One transfer."""
    row = await gateway.call("get_transfer", request.user.as_server(), transfer_id=transfer_id)
    return Logged(transfer=Transfer.from_row(row))


router = Router(
    "/api/telbank",
    route_handlers=[log_transfer, list_transfers, get_transfer],
    opt={"language": "en"},
    tags=["telbank"],
)
