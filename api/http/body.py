"""Reads the body of a request as JSON, whatever its content type (docs/compatibility.md, "Request bodies")."""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from weakref import WeakValueDictionary

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException
from litestar.openapi.spec import Operation, RequestBody
from litestar.types import Empty

from api.errors import ApiError
from api.gateway import Calls
from api.gateway.shares import held
from api.http.callers import Caller, calls_of, limited_client
from api.http.incoming import LARGE_BODY_BYTES, LARGE_BODY_VALUES, Incoming, Places
from api.http.proxies import client_address
from api.http.rate_limit import SMALL_BODY_BYTES, Bytes
from api.http.sessions import BrowserSession

MAX_BODY_BYTES = 1024 * 1024

MAX_SMALL_BODY_BYTES = 64 * 1024
"""Of routes without free JSON."""

MAX_CONTAINERS = 20_000
"""Arrays and objects of a body: each costs more time than its bytes. A row takes fewer (private.check_json)."""

MAX_VALUES = 50_000
"""Commas of a body: each value costs a microsecond or more of the event loop."""

MAX_WAITING_BYTES = 4 * MAX_BODY_BYTES
"""Of the bodies of one address that wait for their turn."""

MAX_ALL_WAITING_BYTES = 32 * MAX_BODY_BYTES
"""Of the large bodies of all addresses that wait; small ones take little."""

NOTICEABLE_SECONDS = 0.005
"""An address whose bodies take longer to parse waits as long again: others get half of the event loop's time."""

MAX_DIGITS = 400
"""Of a whole number: reading takes the square of them, and SQL refuses what no double holds (309)."""

LARGE_PAUSE = 4
"""How many times as long as it took to parse a large body no other one is parsed: what follows takes time, too."""


@dataclass
class MayBeEmpty(Operation):
    """Marks an operation in OpenAPI whose body is optional."""

    def __post_init__(self) -> None:
        assert isinstance(self.request_body, RequestBody)
        self.request_body.required = False


class _Address:
    """The bodies of an address: one is parsed, the others wait."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(1)
        self.size = 0


class Turns:
    """Lets the bodies of an address be parsed one after another."""

    def __init__(self) -> None:
        """Begin with no addresses."""
        self._addresses: WeakValueDictionary[str, _Address] = WeakValueDictionary()
        self._large = 0

    @asynccontextmanager
    async def of(self, address: str, size: int) -> AsyncIterator[None]:
        """The turn of an address for a body of this size.

        Raises ApiError `busy` where bodies of MAX_WAITING_BYTES or MAX_ALL_WAITING_BYTES wait, whose clients may have
        hung up, or the others take long.
        """
        bodies = self._addresses.setdefault(address, _Address())
        large = size if size > LARGE_BODY_BYTES else 0
        if (bodies.size and bodies.size + size > MAX_WAITING_BYTES) or (
            large and self._large + large > MAX_ALL_WAITING_BYTES
        ):
            raise ApiError("busy")
        bodies.size += size
        self._large += large
        try:
            async with held(bodies.turn):
                yield
        finally:
            bodies.size -= size
            self._large -= large


class PortalRequest(Request[Caller, BrowserSession | None, State]):
    """A request whose JSON body may be compressed or empty."""

    @property
    def calls(self) -> Calls:
        """The calls that the route may make for it."""
        # no dependency: Litestar resolves two of them in tasks, which cost more than most handlers
        return calls_of(self)

    async def body(self) -> bytes:
        """The body as it was sent, or `{}`.

        Raises ApiError: invalid_json where the client has hung up; busy where too many bodies arrive.
        """
        if self._body is Empty:
            incoming: Incoming = self.app.state.incoming
            try:
                self._body = await incoming.receive(client_address(self), self.stream()) or b"{}"
            except InternalServerException as error:
                # nobody will read this
                raise ApiError("invalid_json") from error
        return self._body

    async def json(self) -> object:
        """The parsed body.

        Raises ApiError: busy where too many bodies arrive or wait; too_large, also of what it is without its
        compression; unsupported_encoding; invalid_json, also for lone surrogates, which
        PostgreSQL cannot store, and for exponents of 19 digits; json_unreasonable for too many values, arrays or
        objects; value_invalid for a NUL; daily_limit_reached for more than the client may send; and the code in the
        route's opt `user_header` if that header is missing, which the legacy servers checked after the JSON and before
        the fields.
        """
        try:
            body = await self.body()
            async with self.app.state.turns.of(client_address(self), len(body)):
                is_large = _is_large(self._beginning(body))
                places: Places = self.app.state.places
                if is_large:
                    await places.take(limited_client(self), self.scope)
                async with places.parsing if is_large else nullcontext():
                    began = time.monotonic()
                    try:
                        body = self._decompressed(body)
                        # not lenient as json.loads, which takes lone surrogates that are no escapes
                        text = body.decode(json.detect_encoding(body))
                        # in UTF-16 half of another character may look like a quote
                        _require_few_values(text.encode())
                        value: object = _DECODER.decode(text)
                        # only an escape makes a NUL or a lone surrogate, which msgspec refuses
                        holds_nul = "\\u" in text and _holds_nul(msgspec.json.encode(value))
                    finally:
                        took = time.monotonic() - began
                        if took > NOTICEABLE_SECONDS:
                            await asyncio.sleep(took * LARGE_PAUSE if is_large else took)
        except (ValueError, RecursionError, InvalidOperation) as error:
            raise ApiError("invalid_json") from error
        if holds_nul:
            raise ApiError("value_invalid", "NUL")
        missing_user = self.route_handler.opt.get("user_header")
        if missing_user and not self.headers.get("x-mot-user"):
            raise ApiError(missing_user)
        client = limited_client(self)
        if client is not None and len(body) > SMALL_BODY_BYTES:
            sent: Bytes = self.app.state.bytes
            await sent.take(self.calls, client, len(body))
        return value

    def _beginning(self, body: bytes) -> bytes:
        """Enough of the body, without its compression, to see whether it is large."""
        if not self._is_compressed():
            return body[: LARGE_BODY_BYTES + 1]
        with suppress(zlib.error):
            return _decompressor().decompress(body, LARGE_BODY_BYTES + 1)
        return b""  # it is refused

    def _decompressed(self, body: bytes) -> bytes:
        if not self._is_compressed():
            return body
        most = self.route_handler.resolve_request_max_body_size() or MAX_BODY_BYTES
        return _inflated(body, most) or b"{}"

    def _is_compressed(self) -> bool:
        match self.headers.get("content-encoding", "").lower():
            case "" | "identity":
                return False
            case "gzip" | "x-gzip" | "deflate":
                return True
            case _:
                raise ApiError("unsupported_encoding")


def _is_large(beginning: bytes) -> bool:
    values = beginning.count(b"[") + beginning.count(b"{") + beginning.count(b",")
    return len(beginning) > LARGE_BODY_BYTES or values > LARGE_BODY_VALUES


def _require_few_values(body: bytes) -> None:
    """Raise ApiError json_unreasonable for too many values, arrays and objects, before a parser makes them."""
    if _has_many_values(body):
        # those in texts are none
        quoted = body.replace(rb"\\", b"").replace(rb"\"", b"")
        # each value and each name has two at most; many texts would take long
        if quoted.count(b'"') > 4 * MAX_VALUES or _has_many_values(b"".join(quoted.split(b'"')[::2])):
            raise ApiError("json_unreasonable")


def _has_many_values(text: bytes) -> bool:
    return text.count(b"[") + text.count(b"{") > MAX_CONTAINERS or text.count(b",") > MAX_VALUES


def _holds_nul(encoded: bytes) -> bool:
    """Whether a text of this JSON has the character U+0000: its escape is not behind the escape of a backslash."""
    return b"\\u0000" in encoded.replace(rb"\\", b"")


def _inflated(body: bytes, most: int) -> bytes:
    inflate = _decompressor()
    try:
        plain = inflate.decompress(body, most + 1)
    except zlib.error as error:
        raise ApiError("invalid_json") from error
    if len(plain) > most:
        raise ApiError("too_large")
    if not inflate.eof:
        raise ApiError("invalid_json")
    return plain


def _decompressor() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=47)  # 47: detect a gzip or zlib header


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ApiError("json_unreasonable")
    return int(digits)


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


# Decimal keeps every digit: the amounts of a transfer may have more than a double holds
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_int=_whole, parse_constant=_reject_constant)
