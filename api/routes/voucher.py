"""Vouchers and their slots, /api/voucher and /api/slots (docs/compatibility.md, "Vouchers")."""

import re
from datetime import datetime
from typing import Annotated

from litestar import Response, Router, get, post
from litestar.params import JSONBody, QueryParameter
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict

from api.errors import ApiError
from api.gateway import Row, json_or_default
from api.http.answers import answer
from api.http.body import MAX_SMALL_BODY_BYTES, PortalRequest
from api.http.callers import limited_client
from api.http.dependencies import IdempotencyKey
from api.http.idempotency import REPLAYED
from api.http.openapi import error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.parameters import text_query
from api.http.rate_limit import at_most, count_of_day
from api.legacy import javascript
from api.models.base import ApiModel, RequestModel, Required, any_required, required
from api.models.fields import TEXT, Id, Minutes, Money, Price, Text, money, word_schema
from api.models.times import ISO_PATTERN, Millis, Moment, iso_millis, iso_time, query_time

OPTIONAL_TIME = {"pattern": f"^$|{ISO_PATTERN}"}
MAX_BOOKINGS_A_DAY = 200
"""Bookings of one voucher that an address tries within 24 hours: thinkers have a limit of their own, but are free."""

SLOT_ID = r"^slot-([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)$"


class Voucher(ApiModel):
    """A voucher. Duration in minutes, price in minor units (cents)."""

    id: str = Field(alias="voucherId")
    issuer_uid: str
    holder_uid: str | None
    service_type: str
    title: str
    description: str
    duration_minutes: int
    valid_from: Millis
    valid_until: Millis
    allowed_slots: list[object]
    price: Money | None
    terms: object
    transferable: bool
    status: str
    created_at: Millis

    @classmethod
    def values(cls, row: Row) -> Row:
        """The voucher, with amount and currency of its price together."""
        return super().values(row | {"price": money(row["price_amount"], row["price_currency"])})


class NewBooking(ApiModel):
    """A booking, as it was made."""

    id: str = Field(alias="bookingId")
    voucher_id: str
    issuer_uid: str
    holder_uid: str
    slot_id: str
    slot_start: Millis
    slot_end: Millis
    status: str
    created_at: Millis

    @classmethod
    def values(cls, row: Row) -> Row:
        """The booking, with the id of its slot."""
        return super().values(row | {"slot_id": slot_id(row["slot_start"])})


class Booking(NewBooking):
    """A booking, and its cancellation."""

    cancel_reason: str | None
    cancelled_at: Millis | None


class Slot(TypedDict):
    """A free slot. Its id is `slot-` and its start."""

    # a dict, as it is made for each of up to 8,784 slots of an answer
    slotId: str
    voucherId: str
    start: str
    end: str


def slots_of(rows: list[Row]) -> list[Slot]:
    """The slots of rows."""
    slots: list[Slot] = []
    ended = end = ""
    for row in rows:
        # nearly all begin when the one before ends
        start = end if row["slot_start"] == ended else iso_millis(row["slot_start"])
        ended = row["slot_end"]
        end = iso_millis(ended)
        slots.append({"slotId": f"slot-{start}", "voucherId": row["voucher_id"], "start": start, "end": end})
    return slots


VoucherStatus = Annotated[
    Text,
    WithJsonSchema(
        word_schema("issued", "booked", "consumed", "cancelled", "expired") | {"description": "In any case."}
    ),
]


class IssueRequest(RequestModel):
    """A new voucher. The defaults: an hour of "Unbenannter Service", valid from now until now."""

    issuer_uid: Annotated[Id, Required("issuer_required")]
    holder_uid: Id | None = None
    voucher_id: Id | None = None
    service_type: Text | None = None
    title: Text | None = None
    description: Text | None = None
    duration_minutes: Minutes = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    allowed_slots: Annotated[
        list[object] | None,
        BeforeValidator(lambda sent: sent if isinstance(sent, list) else None),
        WithJsonSchema({}),
    ] = None
    price: Price = None
    terms: object = None
    transferable: Annotated[bool, BeforeValidator(javascript.truthy), WithJsonSchema({})] = False
    status: VoucherStatus | None = None


class Issued(ApiModel):
    """The new voucher."""

    ok: bool = True
    voucher: Voucher


class Vouchers(ApiModel):
    """Vouchers, oldest first."""

    ok: bool = True
    items: list[Voucher]


class Slots(ApiModel):
    """Free slots, earliest first."""

    ok: bool = True
    items: list[Slot]


SlotId = Annotated[object, WithJsonSchema({"type": "string", "pattern": SLOT_ID})]


class BookRequest(RequestModel):
    """A slot, and the thinker who books it."""

    voucher_id: Annotated[Id, Required("booking_fields_required")]
    slot_id: Annotated[SlotId, Required("booking_fields_required")]
    holder_uid: Annotated[Id, Required("booking_fields_required")]


class CancelRequest(RequestModel):
    """A booking, or a voucher whose oldest active booking is meant. `bookingId` wins where both are sent."""

    model_config = ConfigDict(json_schema_extra=any_required("voucherId", "bookingId"))

    voucher_id: Id | None = None
    booking_id: Id | None = None
    reason: Text | None = None


class Booked(ApiModel):
    """The new booking and its voucher."""

    ok: bool = True
    booking: NewBooking
    voucher: Voucher


class Cancelled(ApiModel):
    """The cancelled booking and its voucher."""

    ok: bool = True
    booking: Booking
    voucher: Voucher


class Bookings(ApiModel):
    """Bookings, newest first."""

    ok: bool = True
    items: list[Booking]


def slot_id(slot_start: str) -> str:
    """The id of the slot with this start."""
    return f"slot-{iso_millis(slot_start)}"


def slot_start(text: object) -> datetime | None:
    """The start of the slot with this id; None for any other spelling than the listed one."""
    match = re.fullmatch(SLOT_ID, text) if isinstance(text, str) else None
    start = iso_time(match[1]) if match else None
    # 24:00:00 and second 60 are other spellings
    return start if start and slot_id(start.isoformat()) == text else None


@post(
    "/issue",
    status_code=200,
    response_headers=[REPLAYED],
    middleware=[at_most(60, "voucher/issue")],
    responses=error_responses(
        "issuer_required",
        "whole_number_expected",
        "duration_out_of_range",
        "date_invalid",
        "date_out_of_range",
        "valid_until_before_valid_from",
        "price_invalid",
        "amount_out_of_range",
        "currency_unknown",
        "voucher_status_unknown",
        "uid_invalid",
        "voucher_exists",
        "rate_limited",
        body=True,
    ),
)
async def issue(
    data: JSONBody[IssueRequest], request: PortalRequest, idempotency_key: IdempotencyKey
) -> Response[Issued]:
    """Issues a voucher of `issuerUid`."""
    row = await request.calls.call(
        "issue_voucher",
        request.user.as_thinker(data.issuer_uid),
        voucher_id=data.voucher_id,
        service_type=data.service_type,
        title=data.title,
        description=data.description,
        duration_minutes=data.duration_minutes,
        valid_from=data.valid_from,
        valid_until=data.valid_until,
        allowed_slots=json_or_default(data.allowed_slots),
        price_amount=data.price.amount if data.price else None,
        price_currency=data.price.currency if data.price else None,
        status=data.status,
        holder_uid=data.holder_uid,
        transferable=data.transferable,
        terms=json_or_default(data.terms),
        idempotency_key=idempotency_key,
    )
    return answer(Issued, voucher=Voucher.json_of(row))


@get(
    "/list",
    middleware=[at_most(120, "voucher/list")],
    responses=error_responses("limit_invalid", "value_invalid", "rate_limited"),
    response_headers=PAGE_HEADERS,
)
async def list_vouchers(
    request: PortalRequest,
    page: InjectedPage,
    issuer_uid: Annotated[str | None, text_query("issuerUid")] = None,
    holder_uid: Annotated[str | None, text_query("holderUid")] = None,
    status: Annotated[str | None, text_query("status")] = None,
) -> Response[Vouchers]:
    """The vouchers that match every given filter exactly."""
    rows = await request.calls.call(
        "list_vouchers",
        request.user.as_caller(),
        issuer_uid=issuer_uid or None,
        holder_uid=holder_uid or None,
        status=status or None,
        **page.parameters(),
    )
    return page.answer(Vouchers, rows, items=[Voucher.json_of(row) for row in rows])


@post(
    "/book",
    status_code=200,
    response_headers=[REPLAYED],
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    middleware=[at_most(60, "voucher/book")],
    responses=error_responses(
        "booking_fields_required",
        "voucher_not_found",
        "voucher_not_bookable",
        "slot_not_offered",
        "slot_taken",
        "too_many_bookings",
        "uid_invalid",
        "rate_limited",
        body=True,
    ),
)
async def book(
    data: JSONBody[BookRequest], request: PortalRequest, idempotency_key: IdempotencyKey
) -> Response[Booked]:
    """Books a slot for `holderUid`. Of concurrent requests for one slot exactly one succeeds."""
    client = limited_client(request)
    if client is not None:
        await count_of_day(request.calls, f"bookings|{client}|{data.voucher_id}", 1, MAX_BOOKINGS_A_DAY)
    row = await request.calls.call(
        "book_voucher",
        request.user.as_caller(data.holder_uid),
        voucher_id=data.voucher_id,
        slot_start=slot_start(data.slot_id),
        idempotency_key=idempotency_key,
    )
    return answer(Booked, booking=NewBooking.json_of(row["booking"]), voucher=Voucher.json_of(row["voucher"]))


@post(
    "/cancel",
    status_code=200,
    response_headers=[REPLAYED],
    request_max_body_size=MAX_SMALL_BODY_BYTES,
    middleware=[at_most(60, "voucher/cancel")],
    responses=error_responses(
        "booking_or_voucher_required", "not_a_party", "booking_not_found", "rate_limited", body=True
    ),
)
async def cancel(
    data: JSONBody[CancelRequest], request: PortalRequest, idempotency_key: IdempotencyKey
) -> Response[Cancelled]:
    """Cancels a booking. Cancelling it again changes nothing."""
    if data.booking_id is None and data.voucher_id is None:
        raise ApiError("booking_or_voucher_required")
    row = await request.calls.call(
        "cancel_booking",
        request.user.as_caller(),
        booking_id=data.booking_id,
        voucher_id=data.voucher_id,
        reason=data.reason,
        idempotency_key=idempotency_key,
    )
    return answer(Cancelled, booking=Booking.json_of(row["booking"]), voucher=Voucher.json_of(row["voucher"]))


@get(
    "/bookings",
    middleware=[at_most(120, "voucher/bookings")],
    responses=error_responses("limit_invalid", "value_invalid", "rate_limited"),
    response_headers=PAGE_HEADERS,
)
async def bookings(
    request: PortalRequest,
    page: InjectedPage,
    holder_uid: Annotated[str | None, text_query("holderUid")] = None,
    issuer_uid: Annotated[str | None, text_query("issuerUid")] = None,
    voucher_id: Annotated[str | None, text_query("voucherId")] = None,
) -> Response[Bookings]:
    """The bookings that match every given filter exactly."""
    rows = await request.calls.call(
        "list_bookings",
        request.user.as_caller(),
        holder_uid=holder_uid or None,
        issuer_uid=issuer_uid or None,
        voucher_id=voucher_id or None,
        **page.parameters(),
    )
    return page.answer(Bookings, rows, items=[Booking.json_of(row) for row in rows])


@get(
    "/api/slots/available",
    middleware=[at_most(120, "slots/available")],
    responses=error_responses("voucher_required", "voucher_not_found", "date_invalid", "value_invalid", "rate_limited"),
    tags=["voucher"],
)
async def available_slots(
    request: PortalRequest,
    voucher_id: Annotated[
        str | None, QueryParameter(name="voucherId", required=True, schema_extra=TEXT | {"min_length": 1})
    ] = None,
    slots_from: Annotated[
        str | None,
        QueryParameter(name="from", description="First start to list, ISO 8601.", schema_extra=OPTIONAL_TIME),
    ] = None,
    slots_to: Annotated[
        str | None,
        QueryParameter(name="to", description="Last start to list, ISO 8601.", schema_extra=OPTIONAL_TIME),
    ] = None,
) -> Response[Slots]:
    """The free slots of a voucher on its hourly grid: in the first year of its window, or from `from` to `to`."""
    first, last = query_time(slots_from, "from"), query_time(slots_to, "to")
    rows = await request.calls.call(
        "available_slots",
        request.user.as_caller(),
        voucher_id=required(voucher_id or None, "voucher_required"),
        slots_from=first,
        slots_to=last,
    )
    return answer(Slots, items=slots_of(rows))


router = Router("/api/voucher", route_handlers=[issue, list_vouchers, book, cancel, bookings], tags=["voucher"])
