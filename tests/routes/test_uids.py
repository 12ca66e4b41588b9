"""A uid is a text like any other: returned as sent, or refused; it never reaches rows of another thinker."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest

from tests.routes.conftest import naming
from tests.support.data_api import through_data_api
from tests.support.databases import Server
from tests.support.forms import CONTENT_TYPE, END, field, file
from tests.support.serving import Connection, serve, settings_in
from tests.support.stress import sized

# a failed test reports its own requests
logging.getLogger("httpx").setLevel(logging.WARNING)

VICTIMS = ["anna", "Anna", "a_na", "an%", "ben"]
UIDS = {
    "quote": "o'anna",
    "quotes": "''\"\"`´",
    "end of a statement": "anna'; drop table thinkers; --",
    "always true": "' or '1'='1",
    "union": "anna' union select public_id from thinkers --",
    "comment": "anna/**/--",
    "dollar quoting": "$$anna$$",
    "placeholder": "%s %(uid)s $1 {0} {uid} :uid ?",
    "percent": "%",
    "underscores": "____",
    "like": "ann%",
    "regular expression": ".*",
    "backslash": "\\",
    "escaped quote": "\\'; select 1; --",
    "keyword": "null",
    "user": "current_user",
    "array": "{anna,ben}",
    "json": '{"sub": "anna"}',
    "postgrest's operators": "eq.anna,or(public_id.eq.ben)",
    "path": "../../anna",
    "query": "anna&issuerUid=ben#x",
    "encoded": "anna%00%27",
    "mark-up": "<script>alert(1)</script>",
    "upper case": "ANNA",
    "space": " ",
    "spaces around": " anna ",
    "lines": "anna\r\nX-MOT-User: ben\n",
    "tab": "\tanna",
    "control characters": "\x01\x1b[31m\x7f",
    "umlaut": "ännä",
    "composed": "Ame\u0301lie",
    "precomposed": "Am\u00e9lie",
    "astral": "👩🏽‍🚀𝔞𝔫𝔫𝔞",
    "right to left": "\u202eanna\u202c אנה",
    "zero width": "an\u200bna",
    "byte order mark": "\ufeffanna",
    "no character": "\uffff",
    "unit separator": "anna\x1fanna",
    "digits": "12345678901234567890",
    "UUID": "6e1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b",
    "a thinker's id": "00000000-0000-8000-8000-000000000000",
    "255 characters": "x" * 255,
    "255 astral characters": "𝔵" * 255,
}
# what JSON, HTTP or PostgREST could take for something else; the SQL behind both gateways is the same
THROUGH_DATA_API = sized(
    usual=(
        "quotes", "end of a statement", "placeholder", "backslash", "json", "postgrest's operators", "path", "encoded",
        "lines", "control characters", "composed", "precomposed", "astral", "byte order mark", "unit separator",
        "255 astral characters",
    ),
    full=tuple(UIDS),
)  # fmt: skip
BAD_UIDS = {
    "256 characters": "x" * 256,
    "256 astral characters": "𝔵" * 256,
    "10,000 characters": "x" * 10_000,
    "10,000 quotes": "'" * 10_000,
    "NUL": "\0",
    "NUL within": "an\0na",
    "lone surrogate": "\ud800",
    "half a pair": "anna\udfff",
    "surrogates in the wrong order": "\ude00\ud83d",
}
# HTTP forbids most control characters in a header; the ends are trimmed, and each byte counts as a character
HEADER_UIDS = {
    name: uid
    for name, uid in UIDS.items()
    if uid.strip() and not set(uid) & set("\r\n\x01\x1b\x7f\x1f") and len(uid.encode()) <= 255
}

ISSUE, BOOK, HEARTBEAT, MATCH = (
    "/api/voucher/issue", "/api/voucher/book", "/api/presence/heartbeat", "/api/presence/match",
)  # fmt: skip
APPLICATIONS = {
    "/api/hypotheken/anfrage": "/api/hypotheken/anfrage/list",
    "/api/mortgage/application": "/api/mortgage/application-list",
}
WINDOW = {"validFrom": "2030-05-01T09:00:00Z", "validUntil": "2030-05-01T17:00:00Z"}
SLOT = "slot-2030-05-01T09:00:00.000Z"


class Portal:
    """The requests of the tests; every answer must be 200."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def post(self, path: str, body: object, user: str = "") -> Any:
        answer = self._connection.ask("POST", path, body, headers={"X-MOT-User": as_header(user)} if user else {})
        assert answer.status == 200, answer
        return answer.body

    def get(self, path: str, user: str = "") -> Any:
        answer = self._connection.ask("GET", path, headers={"X-MOT-User": as_header(user)} if user else {})
        assert answer.status == 200, answer
        return answer.body

    def upload(self, actor: str) -> Any:
        form = field("actorId", actor) + file(b"text") + END
        answer = self._connection.ask("POST", "/api/contracts/upload", raw=form, headers={"Content-Type": CONTENT_TYPE})
        assert answer.status == 200, answer
        return answer.body


def as_header(uid: str) -> bytes:
    return uid.encode()


def as_read(uid: str) -> str:
    """Returns a header's bytes as generation 1 read them: Latin-1, without surrounding spaces."""
    return uid.strip(" \t").encode().decode("latin-1")


@pytest.fixture(scope="module", params=["direct", "data api"])
def shared_portal(
    request: pytest.FixtureRequest, server: Server, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the app through each gateway, on a database of its own."""
    settings = settings_in(tmp_path_factory.mktemp("data"))
    with ExitStack() as running:
        database = running.enter_context(server.database(template=migrated))
        if request.param == "direct":
            yield running.enter_context(serve(settings, database))
        else:
            settings = running.enter_context(through_data_api(settings, database))
            yield running.enter_context(serve(settings, None))


@pytest.fixture
def portal(client: Connection) -> Portal:
    return Portal(client)


@pytest.fixture
def uids(request: pytest.FixtureRequest) -> dict[str, str]:
    """The uids to try through the gateway."""
    through_data_api = "data api" in request.node.name
    return {name: uid for name, uid in UIDS.items() if not through_data_api or name in THROUGH_DATA_API}


@pytest.fixture(scope="module", autouse=True)
def victims(shared_portal: str) -> None:
    """Thinkers with a row of every kind."""
    with Connection(shared_portal) as connection:
        portal = Portal(connection)
        for uid in VICTIMS:
            voucher = portal.post(ISSUE, {"issuerUid": uid, **WINDOW})["voucher"]
            portal.post(BOOK, {"voucherId": voucher["voucherId"], "slotId": SLOT, "holderUid": uid})
            portal.post(HEARTBEAT, {"thinker_id": uid, "pair_code": uid})
            portal.post("/api/hypotheken/anfrage", {}, uid)
            portal.upload(uid)


class TestAUidIsAnsweredAsItself:
    """In every place that accepts a uid."""

    def test_as_issuer_and_holder_of_a_voucher(self, portal: Portal, uids: dict[str, str]) -> None:
        for name, uid in uids.items():
            with naming(name):
                body = {"issuerUid": uid, "holderUid": uid, "voucherId": f"of {uid}"[:255], **WINDOW}
                voucher = portal.post(ISSUE, body)["voucher"]
                assert {voucher["issuerUid"], voucher["holderUid"]} == {uid}
                assert voucher["voucherId"] == body["voucherId"]
                for role in ("issuerUid", "holderUid"):
                    assert portal.get(f"/api/voucher/list?{role}={quote(uid, safe='')}")["items"] == [voucher]
                slots = portal.get(f"/api/slots/available?voucherId={quote(str(body['voucherId']), safe='')}")
                assert len(slots["items"]) == 8

    def test_as_holder_of_a_booking(self, portal: Portal, uids: dict[str, str]) -> None:
        for name, uid in uids.items():
            with naming(name):
                voucher = portal.post(ISSUE, {"issuerUid": "issuer", **WINDOW})["voucher"]
                body = {"voucherId": voucher["voucherId"], "slotId": SLOT, "holderUid": uid}
                booking = portal.post(BOOK, body)["booking"]
                assert booking["holderUid"] == uid
                [listed] = portal.get(f"/api/voucher/bookings?holderUid={quote(uid, safe='')}")["items"]
                assert listed["bookingId"] == booking["bookingId"]

    def test_as_somebody_who_is_online(self, portal: Portal, uids: dict[str, str]) -> None:
        for name, uid in uids.items():
            with naming(name):
                portal.post(HEARTBEAT, {"thinker_id": uid, "pair_code": uid})
                [session] = [one for one in portal.get("/api/presence/debug")["items"] if one["thinker_id"] == uid]
                assert session["pair_code"] == uid
                # alone with its pair code, even if another one looks like it
                assert portal.post(MATCH, {"thinker_id": uid, "pair_code": uid})["room_id"] is None
                portal.post(HEARTBEAT, {"thinker_id": "partner", "pair_code": uid})
                room = portal.post(MATCH, {"thinker_id": uid, "pair_code": uid})["room_id"]
                assert room
                assert portal.post(MATCH, {"thinker_id": "partner", "pair_code": uid})["room_id"] == room

    def test_as_creator_of_a_document(self, portal: Portal, uids: dict[str, str]) -> None:
        for name, uid in uids.items():
            with naming(name):
                assert portal.upload(uid)["contract"]["createdBy"] == uid

    def test_as_the_thinker_of_a_page_event(self, portal: Portal, uids: dict[str, str]) -> None:
        for name, uid in uids.items():
            with naming(name):
                portal.post("/api/telemetry", {"type": "seen", "actorUid": uid})
                [event] = portal.get("/api/admin/events?limit=1")["items"]
                assert (event["type"], event["actorId"]) == ("telemetry.event", uid)

    def test_as_a_token(self, portal: Portal, uids: dict[str, str]) -> None:
        for name, uid in uids.items():
            with naming(name):
                verified = portal.post("/api/presence/verify", {"token": uid})["thinker_id"]
                assert verified not in VICTIMS
                assert verified == portal.post("/api/presence/verify", {"token": uid})["thinker_id"]


def test_a_header_is_read_as_by_generation_1(portal: Portal, uids: dict[str, str]) -> None:
    for name, uid in uids.items():
        if name in HEADER_UIDS:
            with naming(name):
                for path, listed in APPLICATIONS.items():
                    made = portal.post(path, {}, uid)["application"]
                    assert made["borrowerUid"] == as_read(uid)
                    mine = portal.get(listed, uid)["applications"]
                    assert {application["borrowerUid"] for application in mine} == {as_read(uid)}
                    assert made["applicationId"] in {application["applicationId"] for application in mine}


PLACES: list[tuple[str, dict[str, object], str]] = [
    (HEARTBEAT, {}, "thinker_id"),
    (HEARTBEAT, {"thinker_id": "new"}, "pair_code"),
    (MATCH, {"pair_code": "p"}, "thinker_id"),
    (ISSUE, {}, "issuerUid"),
    (ISSUE, {"issuerUid": "new"}, "holderUid"),
    (ISSUE, {"issuerUid": "new"}, "voucherId"),
    (BOOK, {"voucherId": "bookable", "slotId": SLOT}, "holderUid"),
    ("/api/telemetry", {"type": "seen"}, "actorUid"),
]


def test_a_body_with_a_bad_uid_is_refused(portal: Portal, client: Connection) -> None:
    portal.post(ISSUE, {"issuerUid": "issuer", "voucherId": "bookable", **WINDOW})
    for path, body, field_name in PLACES:
        for name, uid in BAD_UIDS.items():
            with naming(f"{name}, as {field_name} of {path}"):
                answer = client.ask("POST", path, raw=json.dumps(body | {field_name: uid}).encode())
                assert (answer.status, answer.body["ok"]) == (400, False), answer


@pytest.mark.parametrize(
    "path",
    [
        "/api/voucher/list?issuerUid",
        "/api/voucher/list?holderUid",
        "/api/voucher/bookings?holderUid",
        "/api/voucher/bookings?issuerUid",
        "/api/telbank/transfers?walletAddress",
    ],
)
def test_a_query_with_a_bad_uid_finds_nothing(client: Connection, path: str) -> None:
    for name, uid in BAD_UIDS.items():
        with naming(name):
            quoted = quote(uid, safe="", errors="surrogatepass")
            answer = client.get(f"{path}={quoted}")
            # the line of a request has at most 16 KiB
            if "\0" in uid or len(quoted) > 16_000:
                assert answer.status == 400, answer
            else:
                assert (answer.status, answer.body["items"]) == (200, []), answer


@pytest.mark.parametrize("uid", ["x" * 256, "x" * 10_000, "'" * 10_000, "ä" * 128])
@pytest.mark.parametrize("path", ["/api/hypotheken/anfrage", "/api/mortgage/application"])
def test_a_header_with_a_long_uid_is_refused(client: Connection, path: str, uid: str) -> None:
    assert client.ask("POST", path, {}, headers={"X-MOT-User": as_header(uid)}).status == 400


@pytest.mark.parametrize("uid", ["x" * 256, "x" * 10_000, "\0", "an\0na"])
def test_a_form_with_a_bad_uid_is_refused_and_its_file_is_deleted(client: Connection, uid: str) -> None:
    before = client.get("/api/contracts/list").body
    form = field("actorId", uid) + file(b"text") + END
    answer = client.ask("POST", "/api/contracts/upload", raw=form, headers={"Content-Type": CONTENT_TYPE})
    assert (answer.status, answer.body["ok"]) == (400, False), answer
    assert client.get("/api/contracts/list").body == before
