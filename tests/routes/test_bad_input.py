"""Bad requests get a 4xx and a message, never a 5xx, and change nothing.

Two tables: what no route with a JSON body takes, and what a single field, parameter or header does not take.
"""

import gzip
import json
import logging
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from tests.routes.conftest import naming
from tests.support.serving import Answer, Connection, serve, settings_in

JSON_ROUTES: dict[str, dict[str, object]] = {
    "/api/presence/verify": {"token": "t"},
    "/api/presence/heartbeat": {"thinker_id": "new"},
    "/api/presence/match": {"thinker_id": "new", "pair_code": "p"},
    "/api/voucher/issue": {"issuerUid": "new"},
    "/api/voucher/book": {"voucherId": "v", "slotId": "slot-2030-05-01T10:00:00.000Z", "holderUid": "new"},
    "/api/voucher/cancel": {"voucherId": "v"},
    "/api/hypotheken/anfrage": {"propertyId": "new"},
    "/api/hypotheken/angebot": {"applicationId": "a"},
    "/api/hypotheken/angebot/accept": {"voucherId": "o"},
    "/api/hypotheken/vertrag/update-status": {"contractVoucherId": "c", "action": "signed-by-notary"},
    "/api/mortgage/application": {"propertyId": "new"},
    "/api/mortgage/offer": {"applicationId": "b"},
    "/api/telbank/transfers": {
        "direction": "in", "cryptoAmount": 1, "cryptoSymbol": "ETH", "fiatAmount": 1, "fiatCurrency": "EUR",
    },
    "/api/telemetry": {"type": "seen"},
}  # fmt: skip
SETTLEMENT = "01890000-0000-7000-8000-000000000000"  # an unknown UUID
LONG = "x" * 7000
DEEP = 10_000
DIGITS = "9" * 400
BIG = 1024 * 1024
GZIP_BOMB = gzip.compress(b" " * 50 * BIG, 1)
DEFLATE_BOMB = zlib.compress(b" " * 50 * BIG, 1)


def with_field(body: dict[str, object], raw_value: str) -> bytes:
    """Returns the body with one more field, `extra`, of this JSON."""
    return (json.dumps(body)[:-1] + f', "extra": {raw_value}}}').encode()


def anything(body: dict[str, object]) -> dict[str, tuple[int, bytes, dict[str, str]]]:
    """Returns what every route refuses: status, body and headers by a name."""
    good = json.dumps(body).encode()
    zipped = {"Content-Encoding": "gzip"}
    return {
        "half an object": (400, good[:-1], {}),
        "no JSON": (400, b"issuerUid=a&voucherId=b", {}),
        "single quotes": (400, b"{'issuerUid': 'a'}", {}),
        "two objects": (400, good + good, {}),
        "text": (400, b'"text"', {}),
        "number": (400, b"1", {}),
        "null": (400, b"null", {}),
        "true": (400, b"true", {}),
        "NaN": (400, with_field(body, "NaN"), {}),
        "Infinity": (400, with_field(body, "-Infinity"), {}),
        "no UTF-8": (400, with_field(body, '"ÿ"').decode().encode("latin-1"), {}),
        "UTF-16": (400, json.dumps(body).encode("utf-16-le")[:-1], {}),
        "raw NUL": (400, with_field(body, '"a\0b"'), {}),
        "NUL": (400, with_field(body, r'"a\u0000b"'), {}),
        "NUL in a key": (400, with_field(body, r'{"a\u0000b": 1}'), {}),
        "NUL after a backslash": (400, with_field(body, r'"\\\u0000"'), {}),
        "endless exponent": (400, with_field(body, "1e9999999999999999999"), {}),
        "endless small exponent": (400, with_field(body, "1e-9999999999999999999"), {}),
        "lone surrogate": (400, with_field(body, r'"\ud800"'), {}),
        "lone surrogate in a key": (400, with_field(body, r'{"\udfff": 1}'), {}),
        "deep array": (400, with_field(body, "[" * DEEP + "]" * DEEP), {}),
        "deep object": (400, with_field(body, '{"a":' * DEEP + "1" + "}" * DEEP), {}),
        "many arrays": (400, with_field(body, f"[{','.join(['[]'] * 20_001)}]"), {}),
        "never closed": (400, b"[" * DEEP, {}),
        "too long": (413, with_field(body, json.dumps("x" * BIG)), {}),
        "too long, no JSON": (413, b"x" * (BIG + 1), {}),
        "zipped bomb": (413, GZIP_BOMB, zipped),
        "deflated bomb": (413, DEFLATE_BOMB, {"Content-Encoding": "deflate"}),
        "broken zip": (400, gzip.compress(good)[:10] + b"broken", zipped),
        "half a zip": (400, gzip.compress(good)[:-5], zipped),
        "not zipped": (400, good, zipped),
        "unknown encoding": (415, good, {"Content-Encoding": "br"}),
        "two encodings": (415, good, {"Content-Encoding": "gzip, br"}),
    }


class Bad(NamedTuple):
    """A bad request: the request, and its expected status."""

    status: int
    method: str
    path: str
    body: object = None
    user: str | bytes | None = "someone"


def post(status: int, path: str, changes: dict[str, object], user: str | bytes | None = "someone") -> Bad:
    """Returns a valid request with changes; a change to MISSING removes the field."""
    body = {name: value for name, value in (JSON_ROUTES[path] | changes).items() if value is not MISSING}
    return Bad(status, "POST", path, body, user)


def get(status: int, path: str, user: str | bytes | None = "someone") -> Bad:
    return Bad(status, "GET", path, user=user)


MISSING = object()


class Raw(str):
    """JSON that Python would not write, in place of a value."""


VERIFY, HEARTBEAT, MATCH = (f"/api/presence/{name}" for name in ("verify", "heartbeat", "match"))
ISSUE, BOOK, CANCEL = (f"/api/voucher/{name}" for name in ("issue", "book", "cancel"))
APPLY, OFFER, ACCEPT = (f"/api/hypotheken/{name}" for name in ("anfrage", "angebot", "angebot/accept"))
SIGN = "/api/hypotheken/vertrag/update-status"
APPLY_2, OFFER_2 = "/api/mortgage/application", "/api/mortgage/offer"
TRANSFERS, TELEMETRY = "/api/telbank/transfers", "/api/telemetry"
NO_DATES = ["2030-02-30", "2030-13-01", "10000-01-01", "+010000-01-01T00:00:00Z", "0000-01-01", "tomorrow", LONG]
NO_DATES += ["2030-05-01T25:00:00Z", "2030-05-01T09:00:00+99:99", "٢٠٣٠-05-01"]
NO_MOMENTS: list[object] = [*NO_DATES, 1e20, -1e20, Raw("1e400"), Raw(DIGITS), True, [], {}, ["2030-05-01"]]
NO_AMOUNTS: list[object] = [-1, 0.5, 1e16, 2**53, Raw("1e400"), Raw("-1e400"), Raw(DIGITS), Raw("0.1e-300")]
NO_PRICES: list[object] = [
    12000,
    -1,
    "12000",
    "x",
    True,
    [],
    [{"amount": 1}],
    {},
    {"amount": "12000"},
    {"amount": None},
]
NO_PRICES += [{"amount": True}, {"amount": [1]}, {"amount": {"amount": 1}}, {"Amount": 1}, {"currency": "EUR"}]
NO_CURRENCIES: list[object] = ["ABC", "EUR\u200b", LONG, 978, True, ["EUR"], {"code": "EUR"}]
NO_TEXTS: list[object] = [{}, [], {"a": 1}, ["a"], [[]]]

FIELDS = [
    post(400, VERIFY, {"token": MISSING}),
    post(400, VERIFY, {"token": ""}),
    *(post(400, VERIFY, {"token": value}) for value in NO_TEXTS),
    # outsiders may call it: their JSON is short
    post(413, VERIFY, {"more": "x" * 65536}),
    post(401, VERIFY, {"ts": 1, "sig": "x"}),
    post(401, VERIFY, {"ts": "never", "sig": "x"}),
    # minutes for a regular expression that matches digits in several ways
    post(401, VERIFY, {"ts": f"{'1' * 60_000}x", "sig": "x"}),
    post(401, VERIFY, {"ts": Raw("1e400"), "sig": "x"}),
    post(401, VERIFY, {"ts": {}, "sig": []}),
    post(400, HEARTBEAT, {"thinker_id": MISSING}),
    post(400, HEARTBEAT, {"thinker_id": 0}),
    *(post(400, HEARTBEAT, {"thinker_id": value}) for value in NO_TEXTS),
    *(post(400, HEARTBEAT, {"pair_code": value}) for value in NO_TEXTS),
    *(post(400, HEARTBEAT, {"status": value}) for value in NO_TEXTS),
    post(400, HEARTBEAT, {"thinker_id": LONG}),
    post(400, HEARTBEAT, {"thinker_id": "x" * 256}),
    post(400, HEARTBEAT, {"pair_code": LONG}),
    post(400, MATCH, {"thinker_id": MISSING}),
    post(400, MATCH, {"thinker_id": LONG}),
    *(post(400, MATCH, {"pair_code": value}) for value in NO_TEXTS),
    post(400, ISSUE, {"issuerUid": MISSING}),
    post(400, ISSUE, {"issuerUid": None}),
    post(400, ISSUE, {"issuerUid": LONG}),
    post(400, ISSUE, {"holderUid": LONG}),
    post(400, ISSUE, {"voucherId": LONG}),
    post(409, ISSUE, {"voucherId": "v"}),
    *(
        post(400, ISSUE, {name: value})
        for name in ("issuerUid", "holderUid", "voucherId", "serviceType", "title", "description", "status")
        for value in NO_TEXTS
    ),
    *(post(400, ISSUE, {"validFrom": value}) for value in NO_MOMENTS),
    *(post(400, ISSUE, {"validUntil": value}) for value in NO_MOMENTS if value != "0000-01-01"),
    post(400, ISSUE, {"validFrom": "2030-05-02", "validUntil": "2030-05-01"}),
    *(
        post(400, ISSUE, {"durationMinutes": value})
        for value in [-5, 1.5, 525601, "1e300", "0x" + "f" * 300, Raw("1e400"), Raw(DIGITS), [-1], ["1.5"]]
    ),
    *(post(400, ISSUE, {"price": {"amount": value}}) for value in NO_AMOUNTS),
    *(post(400, ISSUE, {"price": value}) for value in NO_PRICES),
    *(post(400, ISSUE, {"price": {"amount": 1, "currency": value}}) for value in NO_CURRENCIES),
    post(400, ISSUE, {"status": "lost"}),
    post(400, ISSUE, {"status": LONG}),
    *(post(400, BOOK, {name: MISSING}) for name in ("voucherId", "slotId", "holderUid")),
    post(404, BOOK, {"voucherId": "unknown"}),
    post(404, BOOK, {"voucherId": LONG}),
    post(404, BOOK, {"voucherId": "'; drop table vouchers; --"}),
    post(400, BOOK, {"holderUid": LONG}),
    *(post(400, BOOK, {name: value}) for name in ("voucherId", "slotId", "holderUid") for value in NO_TEXTS),
    *(post(400, BOOK, {"slotId": f"slot-{value}"}) for value in NO_DATES),
    *(
        post(400, BOOK, {"slotId": value})
        for value in [
            1,
            LONG,
            "slot-",
            "2030-05-01T10:00:00.000Z",
            "slot-2030-05-01T09:00:00.000Z",  # booked
            "slot-2030-05-01T10:30:00.000Z",  # not on the grid
            "slot-2031-05-01T10:00:00.000Z",  # after the window
            "slot-2030-05-01T10:00:00Z",
            "slot-2030-05-01T10:00:00.000Z ",
            "slot-2030-02-30T10:00:00.000Z",
            "slot-0000-01-01T10:00:00.000Z",
            "slot-9999-12-31T23:00:00.000Z",
        ]
    ),
    post(400, CANCEL, {"voucherId": MISSING}),
    post(400, CANCEL, {"voucherId": MISSING, "bookingId": ""}),
    post(404, CANCEL, {"voucherId": "unknown"}),
    post(404, CANCEL, {"voucherId": LONG}),
    post(404, CANCEL, {"bookingId": "unknown"}),
    post(404, CANCEL, {"bookingId": LONG}),
    *(post(400, CANCEL, {name: value}) for name in ("voucherId", "bookingId", "reason") for value in NO_TEXTS),
    *(post(400, path, {}, user=None) for path in (APPLY, OFFER, ACCEPT, APPLY_2, OFFER_2)),
    *(post(400, path, {}, user=LONG) for path in (APPLY, OFFER, ACCEPT, APPLY_2, OFFER_2)),
    post(403, SIGN, {"action": "signed-by-borrower"}, user=LONG),
    *(
        bad
        for path in (APPLY, APPLY_2)
        for bad in [
            post(400, path, {"applicationId": LONG}),
            post(409, path, {"applicationId": "a"}),
            post(400, path, {"propertyId": LONG}),
            *(post(400, path, {name: v}) for name in ("applicationId", "propertyId", "visibility") for v in NO_TEXTS),
            *(post(400, path, {"desiredLoan": {"amount": value}}) for value in NO_AMOUNTS),
            *(post(400, path, {"desiredLoan": {"amount": 1, "currency": value}}) for value in NO_CURRENCIES),
            *(post(400, path, {"desiredLoan": value}) for value in NO_PRICES),
            *(post(400, path, {"desiredDurationYears": v}) for v in [-1, 101, 1.5, 1e300, Raw("1e400"), Raw(DIGITS)]),
            *(post(400, path, {"desiredRateType": value}) for value in ["odd", LONG, *NO_TEXTS]),
            *(post(400, path, {"maxInterestRate": v}) for v in [-0.1, 100, 0.00001, Raw("1e400"), Raw(DIGITS)]),
        ]
    ),
    *(post(400, APPLY, {"status": value}) for value in ["odd", LONG, *NO_TEXTS]),
    *(
        bad
        for path in (OFFER, OFFER_2)
        for bad in [
            post(400, path, {"applicationId": MISSING}),
            post(404, path, {"applicationId": "unknown"}),
            post(404, path, {"applicationId": LONG}),
            post(409, path, {"applicationId": "closed"}),
            post(409, path, {"voucherId": "o"}),
            post(400, path, {"voucherId": LONG}),
            *(post(400, path, {name: v}) for name in ("applicationId", "voucherId") for v in NO_TEXTS),
        ]
    ),
    *(post(400, OFFER_2, {"interestRate": value}) for value in [-0.1, 100, 0.00001, Raw("1e400"), Raw(DIGITS)]),
    *(post(400, OFFER_2, {"monthlyPayment": value}) for value in NO_AMOUNTS),
    post(400, ACCEPT, {"voucherId": MISSING}),
    post(404, ACCEPT, {"voucherId": "unknown"}),
    post(404, ACCEPT, {"voucherId": LONG}),
    post(403, ACCEPT, {"voucherId": "o"}),
    *(post(400, ACCEPT, {"voucherId": value}) for value in NO_TEXTS),
    post(400, SIGN, {"contractVoucherId": MISSING}),
    post(400, SIGN, {"action": MISSING}),
    post(404, SIGN, {"contractVoucherId": "unknown"}),
    post(404, SIGN, {"contractVoucherId": LONG}),
    *(post(400, SIGN, {"action": value}) for value in ["signed-by-me", "borrower-", LONG, *NO_TEXTS]),
    post(403, SIGN, {"action": "signed-by-borrower"}),
    post(403, SIGN, {"action": "signed-by-lender"}),
    *(post(400, TRANSFERS, {"direction": value}) for value in [MISSING, "IN", "sideways", 1, ["in"], {}, LONG]),
    *(
        post(400, TRANSFERS, {name: value})
        for name in ("cryptoAmount", "fiatAmount")
        for value in [MISSING, None, "1", True, [], [1], {}, 1e18, -1e18, Raw("1e400"), Raw("-1e400"), Raw(DIGITS)]
    ),
    post(400, TRANSFERS, {"fiatAmount": 90071992547409.92}),
    *(
        post(400, TRANSFERS, {name: value})
        for name in ("cryptoSymbol", "fiatCurrency")
        for value in [MISSING, "", LONG, *NO_TEXTS]
    ),
    *(
        post(400, TRANSFERS, {name: value})
        for name in ("label", "walletAddress", "network", "externalAccount")
        for value in NO_TEXTS
    ),
    post(400, TRANSFERS, {"walletAddress": LONG}),
    *(post(400, TELEMETRY, {name: value}) for name in ("type", "path", "actorUid") for value in NO_TEXTS),
    post(400, TELEMETRY, {"actorUid": LONG}),
    Bad(400, "POST", TELEMETRY, [{"type": "seen", "actorUid": "new"}, {"type": "seen", "actorUid": LONG}]),
    Bad(400, "POST", TELEMETRY, [{"type": "seen", "actorUid": "new"}, {"type": {}}]),
    Bad(413, "POST", TELEMETRY, [{"type": "seen", "actorUid": "new"}] * 1001),
    # query parameters, paths and headers
    *(
        get(400, f"{path}={value}")
        for path in (
            "/api/voucher/list?issuerUid",
            "/api/voucher/list?holderUid",
            "/api/voucher/list?status",
            "/api/voucher/bookings?holderUid",
            "/api/voucher/bookings?issuerUid",
            "/api/voucher/bookings?voucherId",
            "/api/slots/available?voucherId",
            "/api/slots/available?voucherId=v&from",
            "/api/slots/available?voucherId=v&to",
            "/api/hypotheken/anfrage/list?role",
            "/api/hypotheken/angebot/list?applicationId",
            "/api/hypotheken/angebot/list?role",
            "/api/mortgage/application-list?role",
            "/api/mortgage/offer-list?role",
            "/api/mortgage/offer-list?applicationId",
            "/api/telbank/transfers?walletAddress",
            "/api/telbank/transfers?direction",
            "/api/contracts/list?voucherId",
            "/api/contracts/list?roomId",
            "/api/admin/events?limit",
            "/api/admin/settlements?status",
            "/api/admin/settlements?beneficiaryUid",
            "/api/admin/settlements?limit",
            f"/api/admin/settlements/{SETTLEMENT}?after",
        )
        for value in ("%00", "a%00b")
    ),
    get(400, "/api/slots/available"),
    get(400, "/api/slots/available?voucherId="),
    get(404, "/api/slots/available?voucherId=unknown"),
    get(404, f"/api/slots/available?voucherId={LONG}"),
    get(404, "/api/slots/available?voucherId=%ff"),
    *(get(400, f"/api/slots/available?voucherId=v&{end}={quote(d)}") for end in ("from", "to") for d in NO_DATES),
    *(
        get(400, f"/api/admin/{path}?limit={limit}")
        for path in ("events", "settlements", f"settlements/{SETTLEMENT}")
        for limit in ("abc", "1.5", "1e2", "0x10", "9" * 5000)
    ),
    *(get(400, f"/api/admin/settlements/{SETTLEMENT}?after={after}") for after in ("abc", "1", LONG, "%ff")),
    *(get(404, f"/api/admin/settlements/{key}") for key in (SETTLEMENT, "1", "a%00b", "%ff", LONG, f"{SETTLEMENT}0")),
    get(404, "/api/telbank/transfers/unknown"),
    get(404, f"/api/telbank/transfers/{LONG}"),
    get(404, "/api/telbank/transfers/%ff"),
    get(400, "/api/telbank/transfers/a%00b"),
    get(404, "/api/a%00b"),
    *(get(400, f"/api/{path}?role=odd") for path in ("hypotheken/anfrage/list", "mortgage/application-list")),
    get(400, "/api/hypotheken/angebot/list?role=odd"),
    get(400, "/api/mortgage/offer-list?role=odd"),
    get(400, "/api/hypotheken/angebot/list", user=None),
    *(
        get(400, path, user=None)
        for path in ("/api/hypotheken/anfrage/list", "/api/mortgage/application-list", "/api/mortgage/offer-list")
    ),
]


def route_of(bad: Bad) -> tuple[str, str]:
    """Returns the method, and the path without its query."""
    path = bad.path.partition("?")[0]
    return bad.method, "/api/telbank/transfers/..." if path.startswith("/api/telbank/transfers/") else path


def raw(body: object) -> bytes | None:
    """Returns the body's JSON; Raw values are inserted unchanged."""
    if body is None:
        return None
    text = json.dumps(body, default=str)
    for value in (Raw("1e400"), Raw("-1e400"), Raw(DIGITS), Raw("0.1e-300")):
        text = text.replace(f'"{value}"', value)
    return text.encode()


@pytest.fixture(scope="module")
def client(shared_portal: str, shared_database: str) -> Iterator[Connection]:
    """A connection to an app with a voucher v (9:00 is booked), applications a and b, offer o for a, contract c."""
    with Connection(shared_portal) as connection:
        window = {"validFrom": "2030-05-01T09:00:00Z", "validUntil": "2030-05-01T17:00:00Z"}
        slot = {"slotId": "slot-2030-05-01T09:00:00.000Z", "holderUid": "holder"}
        made: list[tuple[str, dict[str, object], str]] = [
            (ISSUE, {"issuerUid": "issuer", "voucherId": "v", **window}, ""),
            (BOOK, {"voucherId": "v", **slot}, ""),
            (APPLY, {"applicationId": "a"}, "borrower"),
            (OFFER, {"applicationId": "a", "voucherId": "o"}, "lender"),
            (APPLY, {"applicationId": "b"}, "borrower"),
            (APPLY, {"applicationId": "closed"}, "borrower"),
            (OFFER, {"applicationId": "closed", "voucherId": "taken"}, "lender"),
            (ACCEPT, {"voucherId": "taken"}, "borrower"),
        ]
        for path, body, user in made:
            answer = connection.post(path, body, x_mot_user=user)
            assert answer.status == 200, answer
        with psycopg.connect(shared_database) as superuser:
            superuser.execute("update public.mortgage_contracts set id = 'c'")
        yield connection


@pytest.fixture(scope="module")
def rows(shared_database: str) -> Iterator["Rows"]:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield Rows(connection)


class Rows:
    """The number of rows of each table."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        tables = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
        ).fetchall()
        assert len(tables) >= 17
        counts = (f"select '{name}', count(*) from public.{name}" for (name,) in tables)
        self._query = " union all ".join(counts).encode()

    def count(self) -> dict[str, int]:
        return dict(self._connection.execute(self._query).fetchall())


def assert_refused(answer: Answer, status: int) -> None:
    assert answer.status == status, answer
    assert set(answer.body) == {"ok", "error"}
    assert answer.body["ok"] is False
    assert isinstance(answer.body["error"], str)
    assert answer.body["error"].strip()


def test_brackets_in_a_text_are_no_arrays(client: Connection) -> None:
    text = '[{\\"' * 20_000
    answer = client.post(ISSUE, {"issuerUid": "writer", "description": text})
    assert answer.body["voucher"]["description"] == text


def test_a_body_of_many_values_is_refused(client: Connection) -> None:
    values = ",".join(["1.5"] * 50_002)
    assert_refused(client.ask("POST", ISSUE, raw=f'{{"issuerUid": "writer", "unknown": [{values}]}}'.encode()), 400)


def test_half_of_a_character_of_utf_16_hides_no_values(client: Connection) -> None:
    # U+2200 has the byte of a quote
    values = ",".join(["[]"] * 20_002)
    body = f'{{"issuerUid": "writer", "title": "\u2200", "unknown": [{values}]}}'
    assert_refused(client.ask("POST", ISSUE, raw=body.encode("utf-16-le")), 400)


def test_commas_in_a_text_are_no_values(client: Connection) -> None:
    answer = client.post(ISSUE, {"issuerUid": "writer", "unknown": "," * 60_000})
    assert answer.status == 200


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_every_route_refuses_a_malformed_request(client: Connection, rows: Rows, path: str) -> None:
    before = rows.count()
    for name, (status, body, headers) in anything(JSON_ROUTES[path]).items():
        with naming(f"POST {path}: {name}"):
            assert_refused(client.ask("POST", path, raw=body, headers={"X-MOT-User": "borrower", **headers}), status)
            assert rows.count() == before


def test_telemetry_accepts_an_empty_array_and_other_routes_refuse_it(client: Connection, rows: Rows) -> None:
    before = rows.count()
    for path in JSON_ROUTES.keys() - {TELEMETRY}:
        assert_refused(client.ask("POST", path, raw=b"[]", headers={"X-MOT-User": "borrower"}), 400)
    assert client.ask("POST", TELEMETRY, raw=b"[]").status == 200
    assert rows.count() == before


@pytest.mark.parametrize(("method", "path"), sorted({route_of(bad) for bad in FIELDS}))
def test_a_bad_value_is_refused(client: Connection, rows: Rows, method: str, path: str) -> None:
    before = rows.count()
    for bad in FIELDS:
        if route_of(bad) == (method, path):
            headers = {} if bad.user is None else {"X-MOT-User": bad.user}
            with naming(f"{method} {bad.path[:200]} {json.dumps(bad.body)[:200]} as {bad.user!r:.20}"):
                assert_refused(client.ask(method, bad.path, raw=raw(bad.body), headers=headers), bad.status)
                assert rows.count() == before


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_the_unchanged_requests_are_valid(client: Connection, shared_database: str, path: str) -> None:
    headers = {"X-MOT-User": "borrower"}
    answer = client.ask("POST", path, JSON_ROUTES[path], headers=headers)
    assert answer.status == 200, answer


@pytest.mark.parametrize("header", ["X-MOT-User", "X-TS-APIKEY", "Content-Type"])
def test_a_header_with_nul_is_refused_as_invalid_http(shared_portal: str, rows: Rows, header: str) -> None:
    before = rows.count()
    # the web server refuses it before there is a request; its body is text
    with Connection(shared_portal) as connection:
        assert connection.ask("GET", "/api/voucher/list", headers={header: b"a\0b"}).status == 400
    assert rows.count() == before


@pytest.mark.parametrize(
    "path",
    [
        f"/api/voucher/list?issuerUid={LONG}",
        f"/api/voucher/bookings?voucherId={LONG}",
        f"/api/telbank/transfers?walletAddress={LONG}&direction={LONG}",
        f"/api/contracts/list?roomId={LONG}&voucherId={LONG}",
        "/api/voucher/list?issuerUid=%ff%fe&status=%ED%A0%80",
        "/api/voucher/list?status=odd",
        "/api/telbank/transfers?direction=odd",
    ],
)
def test_a_filter_without_matches_finds_nothing(client: Connection, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.body) == (200, {"ok": True, "items": []})


def test_a_client_that_disconnects_causes_no_server_error(
    shared_database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Litestar replaces the handlers of the root
    monkeypatch.setattr(logging.getLogger("api"), "handlers", [caplog.handler])
    head = f"POST {ISSUE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    with serve(settings_in(tmp_path), shared_database) as portal:
        address = urlsplit(portal)
        with socket.create_connection((address.hostname, address.port), timeout=30) as client:
            client.sendall(head.encode())
            # sent when the app waits for the body
            assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
            client.sendall(b'{"issuerUid": ')
    # the server has finished all requests
    assert caplog.messages == []
