"""How a request's body is read: JSON, whatever the content type says, as JavaScript reads it (contract, 1.2)."""

import json
import re
import zlib
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException
from litestar.openapi.spec import Operation, RequestBody

from api.errors import ApiError
from api.http.callers import Caller

MAX_BODY_BYTES = 1024 * 1024

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass
class MayBeEmpty(Operation):
    """For OpenAPI: an operation that needs nothing of its body, and so no body."""

    def __post_init__(self) -> None:
        assert isinstance(self.request_body, RequestBody)
        self.request_body.required = False


class PortalRequest(Request[Caller, None, State]):
    """A request whose JSON body may be compressed, and may be empty."""

    async def body(self) -> bytes:
        """The body, decompressed; `{}` where there is none. Refuses: too_large, unsupported_encoding."""
        try:
            body = await super().body()
        except InternalServerException as error:
            # the client has hung up, and will not read this
            raise ApiError("invalid_json") from error
        match self.headers.get("content-encoding", "").lower():
            case "" | "identity":
                pass
            case "gzip" | "x-gzip" | "deflate":
                body = _decompressed(body)
            case _:
                raise ApiError("unsupported_encoding")
        return body or b"{}"

    async def json(self) -> object:
        """The parsed body.

        Refuses: invalid_json (lone surrogates too, which no text in PostgreSQL can hold), value_invalid for a NUL, and
        the reason that the route names as its opt `user_header`, where the header is missing: the legacy servers
        looked at it after the JSON and before the fields.
        """
        try:
            # every digit is kept: the amounts of a transfer may have more than a double holds
            value: object = json.loads(await self.body(), parse_float=Decimal, parse_constant=_refuse_constant)
            storable = msgspec.json.encode(value)
        except (ValueError, RecursionError) as error:
            raise ApiError("invalid_json") from error
        if _ESCAPED_NUL.search(storable):
            raise ApiError("value_invalid", "NUL")
        missing_user = self.route_handler.opt.get("user_header")
        if missing_user and not self.headers.get("x-mot-user"):
            raise ApiError(missing_user)
        return value


def _decompressed(body: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=47)  # 47: a gzip or a zlib header, whichever is there
    try:
        plain = inflate.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise ApiError("invalid_json") from error
    if len(plain) > MAX_BODY_BYTES:
        raise ApiError("too_large")
    if not inflate.eof:
        raise ApiError("invalid_json")
    return plain


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
