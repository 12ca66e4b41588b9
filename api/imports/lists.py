"""The lists of legacy servers, and what their rows are in the legacy tables."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeAlias

import msgspec
from pydantic.alias_generators import to_camel

from api.legacy import javascript

Value: TypeAlias = str | int | float | bytes | None

Json: TypeAlias = dict[str, object] | list[object] | str | int | float | None

Sent: TypeAlias = dict[str, msgspec.Raw]
"""A row of a list: its values as they were sent."""

MOST = 2**20
"""The rows of an answer, and the commas of a row: each value takes more memory than its bytes."""

_TEXT = rb'"(?:[^"\\]++|\\.)*+"?'
_FLAT = rb'[{\[](?:[^][{}"]++|%b)*+[]}]' % _TEXT
_ROW = rb'[{\[](?:[^][{}"]++|%b|%b)*+[]}]' % (_TEXT, _FLAT)
"""An array or object with at most one level of others in it, as most rows are: passed over at once."""

_MARK = re.compile(rb'(?:[^][{}:,"]++|%b|%b)*+([][{}:,]|\Z)' % (_TEXT, _ROW), re.DOTALL)
"""The next bracket, colon or comma that is in no text; the end counts, too, so that nothing is read twice."""

_OPENING = re.compile(rb"\s*([{\[])")

_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
"""How much deeper the values after a bracket are."""

_REAL = {
    "crypto_amount", "fiat_amount", "price_amount", "desired_loan", "max_interest", "interest_rate", "monthly_payment"
}  # fmt: skip
_INTEGER = {"duration_minutes", "duration_years", "byte_size"}
_TIMES = {"valid_from", "valid_until", "slot_start", "slot_end", "created_at", "updated_at", "cancelled_at"}
_JSON = {
    "meta", "terms", "allowed_slots", "loan", "interest", "repayment", "fees", "validity", "terms_ref", "room_refs"
}  # fmt: skip


@dataclass(frozen=True)
class List:
    """A list: whose rows it has, where it is, and its name in the answer."""

    table: str
    path: str
    items: str
    fields: Mapping[str, str]
    """The field of each column."""
    money: tuple[str, str, str] | None = None
    """A field that is an object of amount and currency, and the columns of both."""
    unused: frozenset[str] = frozenset()
    """The fields that tell what another column or table has."""
    is_newest_first: bool = False

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a row, with their types in SQLite, which are those of the D1 database."""
        names = [*self.fields, *(self.money[1:] if self.money else ())]
        return {name: "real" if name in _REAL else "integer" if name in _INTEGER else "text" for name in names}

    def row(self, sent: Sent, unknown: Counter[str]) -> dict[str, Value]:
        """The columns of a row; counts the fields that have none.

        A value that no column may have becomes bytes, or a text where a number is needed: the row will be rejected.
        """
        row = {column: _value(column, sent[field]) for column, field in self.fields.items() if field in sent}
        known = {*self.fields.values(), *self.unused}
        if self.money and (money := self.money[0]) in sent:
            known.add(money)
            amount, currency, others = _money(money, sent[money])
            row |= {self.money[1]: amount, self.money[2]: currency}
            unknown.update(f"{money}.{name} of {self.table}" for name in others)
        unknown.update(f"{field} of {self.table}" for field in sent if field not in known)
        return row


def _fields(columns: str, **others: str) -> Mapping[str, str]:
    """The fields of columns: their names in camel case, but for the others."""
    return others | {column: to_camel(column) for column in columns.split()}


LISTS = (
    # a row that refers to another one is read before it: what is new meanwhile is there, then
    List(
        "events", "admin/events?limit=200", "items",
        _fields("id type actor_id subject_type subject_id meta created_at"), is_newest_first=True,
    ),
    List(
        "contracts", "contracts/list", "items",
        _fields("id name mime_type byte_size storage_url hash_sha256 created_by created_at"), is_newest_first=True,
    ),
    List(
        "voucher_bookings", "voucher/bookings", "items",
        _fields(
            "voucher_id issuer_uid holder_uid slot_id slot_start slot_end status cancel_reason created_at cancelled_at",
            id="bookingId",
        ), is_newest_first=True,
    ),
    List(
        "vouchers", "voucher/list", "items",
        _fields(
            "issuer_uid holder_uid service_type title description duration_minutes valid_from valid_until status"
            " transferable terms allowed_slots created_at",
            id="voucherId",
        ), money=("price", "price_amount", "price_currency"),
    ),
    List(
        "transfers", "telbank/transfers", "items",
        _fields(
            "id direction label wallet_address network crypto_amount crypto_symbol fiat_amount fiat_currency"
            " external_account meta status created_at updated_at"
        ), is_newest_first=True,
    ),
    List(
        "mortgage_applications", "hypotheken/anfrage/list?role=lender", "applications",
        _fields(
            "property_id borrower_uid status meta visibility", id="applicationId", rate_type="desiredRateType",
            duration_years="desiredDurationYears", max_interest="maxInterestRate", created_at="submissionTs",
        ), money=("desiredLoan", "desired_loan", "currency"),
    ),
)  # fmt: skip
"""The lists of all rows, in the order of reading."""

OFFERS = List(
    # a role that no server knows: program A shows the offers of all lenders then, the others do not look at it
    "mortgage_offers", "hypotheken/angebot/list?role=all", "offers",
    _fields(
        "application_id status loan interest repayment fees validity terms_ref room_refs created_at interest_rate"
        " monthly_payment", id="voucherId", lender_uid="issuerId",
    ), unused=frozenset({"type", "holderUid"}),
)  # fmt: skip
"""The list of the offers for an application, in the words of the lenders."""

FIGURES = List(
    "mortgage_offers", "mortgage/offer-list?role=borrower", "offers",
    _fields("interest_rate monthly_payment", id="offerId"),
    unused=frozenset({"applicationId", "lenderUid", "borrowerUid", "status", "createdAt"}),
)  # fmt: skip
"""The list of the same offers, in figures; a server like this one has both."""


def items_of(content: bytes | memoryview, name: str) -> list[msgspec.Raw]:
    """The rows in an answer, as they were sent. Raises ValueError where it is no list of this name."""
    found = [value for field, value in _fields_of(content) if field == name]
    if not found:
        raise ValueError(name)
    items = _parts(found[-1], b"[")
    return [] if len(items) == 1 and not bytes(items[0]).strip() else [msgspec.Raw(item) for item in items]


def read_row(item: msgspec.Raw) -> Sent:
    """The fields of a row. Raises ValueError where it is no object, or has too many values."""
    if bytes(item).count(b",") > MOST:
        raise ValueError("too many values")
    try:
        return msgspec.json.decode(item, type=Sent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # it is deep, or has half a character ("\ud800"), which JavaScript writes and msgspec refuses
        return {field: msgspec.Raw(value) for field, value in _fields_of(bytes(item))}


def _fields_of(content: bytes | memoryview) -> list[tuple[str, memoryview]]:
    """The names and values of an object. Raises ValueError where it is none."""
    parts = _parts(memoryview(content), b"{")
    return [(str(_decoded(msgspec.Raw(name))), value) for name, value in zip(parts[::2], parts[1::2], strict=True)]


def _parts(content: memoryview, opening: bytes) -> list[memoryview]:
    """What is between the commas and colons of an array or object, however deep it is: a parser would be recursive.

    Raises ValueError where the content does not begin with this bracket, does not end, or has too many parts.
    """
    first = _OPENING.match(content)
    if not first or first[1] != opening:
        raise ValueError("no list")
    marks, depth = [first.start(1)], 1
    for found in _MARK.finditer(content, first.end()):
        depth += _STEPS.get(found[1], 0)
        # between two parts, not within one
        if depth == 0 or (depth == 1 and found[1] in b":,"):
            marks.append(found.start(1))
        if depth == 0 or len(marks) > MOST:
            break
    if depth:
        raise ValueError("no end, or no end near")
    return [content[start + 1 : end] for start, end in pairwise(marks)]


def _value(column: str, sent: msgspec.Raw) -> Value:
    """The value of a column, as a D1 database has it."""
    value = _decoded(sent)
    if value is None:
        return value
    if column in _JSON:
        try:
            return bytes(sent).decode()
        except UnicodeDecodeError:
            return bytes(sent)
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict | list):
        return bytes(sent)
    if isinstance(value, str):
        return value.encode(errors="surrogatepass") if any("\ud800" <= c <= "\udfff" for c in value) else value
    if isinstance(value, bool):
        return javascript.text(value)
    if column in _TIMES:
        return _moment(value)
    return _number(value) if column in _REAL | _INTEGER else javascript.text(value)


def _money(field: str, sent: msgspec.Raw) -> tuple[Value, Value, list[str]]:
    """Amount and currency of an object, and its other fields."""
    value = _decoded(sent)
    if value is None:
        return None, None, []
    amount = value.get("amount") if isinstance(value, dict) else None
    if not isinstance(value, dict) or isinstance(amount, bool) or not isinstance(amount, int | float):
        return f"{field} {bytes(sent).decode(errors='replace')}", None, []
    currency = _value("currency", read_row(sent).get("currency", msgspec.Raw(b"null")))
    return _number(amount), currency, [name for name in value if name not in ("amount", "currency")]


def _decoded(sent: msgspec.Raw) -> Json | bytes:
    """The value of a JSON text; its bytes where nobody can read it."""
    try:
        value: Json = msgspec.json.decode(sent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(bytes(sent))
        except (ValueError, RecursionError):
            return bytes(sent)
    return value


def _number(value: float) -> Value:
    """The double of a number, which is what JavaScript and a D1 database have; SQLite makes it whole again."""
    try:
        return float(value)
    except OverflowError:
        return str(value)


def _moment(milliseconds: float) -> str:
    """The ISO 8601 text of a time in milliseconds, which generation 1 took for a date."""
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
