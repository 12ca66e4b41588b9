"""What each caller may do over /api: trusted callers, thinkers with a token, and pages of other origins."""

from collections.abc import Iterator, Mapping
from functools import partial
from http.cookies import SimpleCookie
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from api.actor import thinker_id
from api.http.cookies import MAX_COOKIES
from tests.support.serving import Answer, Connection, serve, settings_in
from tests.support.signing import KEY, SECRET, bearer, signed

TRUSTED = {"X-TS-APIKEY": KEY}
WINDOW = {"validFrom": "2030-01-07T09:00:00Z", "validUntil": "2030-01-07T12:00:00Z"}
NOT_YOURSELF = {"ok": False, "error": "Nur für die eigene Uid erlaubt"}
NOT_YOURSELF_EN = {"ok": False, "error": "allowed for your own uid only"}
FOREIGN = "Anfrage von einer anderen Herkunft (Origin oder Host)"

Headers = Mapping[str, str | bytes]


class Thinker:
    """A thinker with a token, and the requests that it sends."""

    def __init__(self, connection: Connection, name: str, **metadata: object) -> None:
        self.connection = connection
        self.uid = f"{name}-{uuid4().hex[:8]}"
        token = signed(sub=str(thinker_id(self.uid)), public_id=self.uid, app_metadata=metadata)
        self.headers = bearer(token)

    def post(self, path: str, body: object, user: str | None = None) -> Answer:
        return self.connection.ask("POST", path, body, headers=self._headers(user))

    def get(self, path: str, user: str | None = None) -> Answer:
        return self.connection.ask("GET", path, headers=self._headers(user))

    def _headers(self, user: str | None) -> Headers:
        return self.headers if user is None else {**self.headers, "X-MOT-User": user}

    def issue(self, **more: object) -> str:
        answer = self.post("/api/voucher/issue", {"issuerUid": self.uid, **WINDOW, **more})
        assert answer.status == 200, answer.body
        return str(answer.body["voucher"]["voucherId"])

    def book(self, voucher: str, hour: int = 9) -> Answer:
        slot = f"slot-2030-01-07T{hour:02}:00:00.000Z"
        return self.post("/api/voucher/book", {"voucherId": voucher, "slotId": slot, "holderUid": self.uid})

    def upload(self, **fields: str) -> Answer:
        parts = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
        )
        file = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\nx\r\n--b--\r\n'
        headers = self.headers | {"Content-Type": "multipart/form-data; boundary=b"}
        return self.connection.ask("POST", "/api/contracts/upload", raw=(parts + file).encode(), headers=headers)


@pytest.fixture
def anna(keyed: Connection) -> Thinker:
    """A thinker who issues vouchers."""
    return Thinker(keyed, "anna")


@pytest.fixture
def ben(keyed: Connection) -> Thinker:
    """A thinker who books them."""
    return Thinker(keyed, "ben")


@pytest.fixture
def stranger(keyed: Connection) -> Thinker:
    """A thinker without relation to the others."""
    return Thinker(keyed, "stranger")


# requests that name another thinker

ASSERTING: list[tuple[str, object]] = [
    ("/api/presence/heartbeat", {"thinker_id": "{}"}),
    ("/api/presence/match", {"thinker_id": "{}", "pair_code": "p"}),
    ("/api/voucher/issue", {"issuerUid": "{}"}),
    ("/api/voucher/book", {"voucherId": "v", "slotId": "slot-2030-01-07T09:00:00.000Z", "holderUid": "{}"}),
    ("/api/telemetry", {"type": "click", "actorUid": "{}"}),
    ("/api/telemetry", [{"type": "click"}, {"type": "click", "actorUid": "{}"}]),
]


def naming(body: Any, uid: str) -> Any:
    """Returns the body with a uid in place of `{}`."""
    if isinstance(body, list):
        return [naming(part, uid) for part in body]
    return {name: uid if value == "{}" else value for name, value in body.items()}


@pytest.mark.parametrize(("path", "body"), ASSERTING)
def test_a_body_that_names_another_thinker_is_refused(stranger: Thinker, path: str, body: object) -> None:
    answer = stranger.post(path, naming(body, "anna"))
    assert answer.status == 403
    assert answer.body in (NOT_YOURSELF, NOT_YOURSELF_EN)
    assert stranger.post(path, naming(body, stranger.uid)).status in (200, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/hypotheken/anfrage"),
        ("GET", "/api/hypotheken/anfrage/list"),
        ("POST", "/api/hypotheken/angebot"),
        ("GET", "/api/hypotheken/angebot/list"),
        ("POST", "/api/hypotheken/angebot/accept"),
        ("POST", "/api/hypotheken/vertrag/update-status"),
        ("POST", "/api/mortgage/application"),
        ("GET", "/api/mortgage/application-list"),
        ("POST", "/api/mortgage/offer"),
        ("GET", "/api/mortgage/offer-list"),
        ("GET", "/api/voucher/list"),
        ("GET", "/api/telbank/transfers"),
    ],
)
def test_a_header_that_names_another_thinker_is_refused(stranger: Thinker, method: str, path: str) -> None:
    body: object = {} if method == "POST" else None
    answer = stranger.connection.ask(method, path, body, headers=stranger.headers | {"X-MOT-User": "anna"})
    assert answer.status == 403
    assert answer.body in (NOT_YOURSELF, NOT_YOURSELF_EN)
    own = stranger.connection.ask(method, path, body, headers=stranger.headers | {"X-MOT-User": stranger.uid})
    assert own.body.get("error") not in (NOT_YOURSELF["error"], NOT_YOURSELF_EN["error"])


def test_a_form_that_names_another_thinker_is_refused(stranger: Thinker) -> None:
    assert (stranger.upload(actorId="anna").status, stranger.upload(actorId=stranger.uid).status) == (403, 200)


def test_a_trusted_caller_may_act_for_any_uid(keyed: Connection) -> None:
    for path, body in ASSERTING:
        assert keyed.ask("POST", path, naming(body, "anybody"), headers=TRUSTED).status in (200, 404)


def test_the_key_takes_precedence_over_a_token(keyed: Connection, stranger: Thinker) -> None:
    headers = TRUSTED | stranger.headers
    assert keyed.ask("POST", "/api/voucher/issue", {"issuerUid": "anna"}, headers=headers).status == 200


# what a thinker with a token can do and see


def test_a_booking_from_offer_to_cancellation(anna: Thinker, ben: Thinker, stranger: Thinker) -> None:
    voucher = anna.issue(price={"amount": 12000})
    slots = f"/api/slots/available?voucherId={voucher}"
    assert len(stranger.get(slots).body["items"]) == 3
    booking = ben.book(voucher).body["booking"]["bookingId"]
    # its other slots are still free
    assert len(stranger.get(slots).body["items"]) == 2

    def bookings(who: Thinker) -> list[str]:
        found = who.get(f"/api/voucher/bookings?voucherId={voucher}").body["items"]
        return [item["bookingId"] for item in found]

    assert [bookings(who) for who in (anna, ben, stranger)] == [[booking], [booking], []]
    listed = f"/api/voucher/list?issuerUid={anna.uid}"
    assert [len(who.get(listed).body["items"]) for who in (anna, ben, stranger)] == [1, 1, 0]

    assert stranger.post("/api/voucher/cancel", {"bookingId": booking}).status == 403
    assert stranger.post("/api/voucher/cancel", {"voucherId": voucher}).status == 404
    assert ben.post("/api/voucher/cancel", {"voucherId": voucher}).body["booking"]["status"] == "cancelled"
    assert len(stranger.get(listed).body["items"]) == 1


def test_each_holder_cancels_its_own_booking_of_a_voucher(anna: Thinker, ben: Thinker, keyed: Connection) -> None:
    clara = Thinker(keyed, "clara")
    voucher = anna.issue()
    first, second = ben.book(voucher, 9).body["booking"], clara.book(voucher, 10).body["booking"]
    cancelled = clara.post("/api/voucher/cancel", {"voucherId": voucher}).body["booking"]
    assert (cancelled["bookingId"], cancelled["holderUid"]) == (second["bookingId"], clara.uid)
    assert anna.post("/api/voucher/cancel", {"voucherId": voucher}).body["booking"]["bookingId"] == first["bookingId"]


def test_a_reserved_voucher_stays_hidden_from_others(anna: Thinker, ben: Thinker, stranger: Thinker) -> None:
    voucher = anna.issue(holderUid=ben.uid)
    assert stranger.book(voucher).status == 404
    assert stranger.get(f"/api/slots/available?voucherId={voucher}").status == 404
    assert stranger.get(f"/api/voucher/list?issuerUid={anna.uid}").body["items"] == []
    assert ben.book(voucher).status == 200


def test_only_lenders_make_offers(anna: Thinker, ben: Thinker, keyed: Connection) -> None:
    bank = Thinker(keyed, "bank", roles=["lender"])
    application = f"application-{uuid4().hex}"
    applied = anna.post("/api/hypotheken/anfrage", {"applicationId": application, "propertyId": "house"}, anna.uid)
    assert applied.status == 200

    def offer(who: Thinker) -> Answer:
        return who.post("/api/mortgage/offer", {"applicationId": application}, who.uid)

    def seen(who: Thinker, role: str) -> Answer:
        return who.get(f"/api/hypotheken/anfrage/list?role={role}", who.uid)

    assert (offer(ben).status, seen(ben, "lender").status) == (403, 403)
    assert application in [item["applicationId"] for item in seen(bank, "lender").body["applications"]]
    made = offer(bank).body["offerId"]
    assert ben.post("/api/hypotheken/angebot/accept", {"voucherId": made}, ben.uid).status == 403
    contract = anna.post("/api/hypotheken/angebot/accept", {"voucherId": made}, anna.uid)
    notary = Thinker(keyed, "notary", roles=["notary"])
    signing = {"contractVoucherId": contract.body["contractVoucherId"], "action": "signed-by-notary"}
    assert ben.post("/api/hypotheken/vertrag/update-status", signing, ben.uid).status == 403
    assert notary.post("/api/hypotheken/vertrag/update-status", signing, notary.uid).status == 200


def test_only_its_owner_sees_a_transfer(anna: Thinker, stranger: Thinker, keyed: Connection) -> None:
    transfer = {"direction": "in", "cryptoAmount": 1, "cryptoSymbol": "ETH", "fiatAmount": 1, "fiatCurrency": "EUR"}
    made = anna.post("/api/telbank/transfers", transfer).body["transfer"]["id"]
    of_nobody = keyed.ask("POST", "/api/telbank/transfers", transfer, headers=TRUSTED).body["transfer"]["id"]
    assert [item["id"] for item in anna.get("/api/telbank/transfers").body["items"]] == [made]
    assert stranger.get("/api/telbank/transfers").body["items"] == []
    assert [anna.get(f"/api/telbank/transfers/{transfer_id}").status for transfer_id in (made, of_nobody)] == [200, 404]
    assert stranger.get(f"/api/telbank/transfers/{made}").status == 404


def test_only_the_parties_see_documents(anna: Thinker, ben: Thinker, stranger: Thinker) -> None:
    voucher = anna.issue(holderUid=ben.uid)
    listed = f"/api/contracts/list?voucherId={voucher}"
    assert stranger.upload(voucherId=voucher).status == 404
    document = anna.upload(voucherId=voucher).body["contract"]["id"]
    assert [[item["id"] for item in who.get(listed).body["items"]] for who in (anna, ben, stranger)] == [
        [document],
        [document],
        [],
    ]


def test_only_members_use_a_room(anna: Thinker, stranger: Thinker) -> None:
    room = f"room of {anna.uid}"
    assert anna.upload(roomId=room).status == 200
    assert anna.upload(roomId=room).status == 200
    assert stranger.upload(roomId=room).status == 403
    # named after a mortgage that may be created later
    assert stranger.upload(roomId="mortgage:offer:o-1").status == 403
    assert stranger.get(f"/api/contracts/list?roomId={room.replace(' ', '%20')}").body["items"] == []


OPERATORS = [
    "/api/admin/events",
    "/api/admin/dashboard",
    "/api/admin/settlements",
    "/api/admin/fees",
    "/api/presence/debug",
]


@pytest.mark.parametrize("path", OPERATORS)
def test_only_admins_read_what_operators_see(keyed: Connection, stranger: Thinker, path: str) -> None:
    assert stranger.get(path).status == 403
    for metadata in ({"role": "admin"}, {"roles": ["lender", "admin"]}):
        assert Thinker(keyed, "admin", **metadata).get(path).status == 200
    assert Thinker(keyed, "bank", role="lender").get(path).status == 403
    # the metadata that users can write themselves makes nobody an admin
    assert keyed.ask("GET", path, headers=bearer(signed(user_metadata={"role": "admin"}))).status == 403


@pytest.mark.parametrize("path", OPERATORS)
def test_a_thinker_with_the_role_admin_is_an_admin(
    keyed: Connection, shared_database: str, stranger: Thinker, path: str
) -> None:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(
            "insert into public.thinkers (id, public_id, roles) values (%s, %s, '{admin}')",
            (thinker_id(stranger.uid), stranger.uid),
        )
    assert stranger.get(path).status == 200


def test_everybody_sees_the_number_of_faults_and_only_trusted_callers_their_names(keyed: Connection) -> None:
    keyed.ask("POST", "/api/telemetry", {"type": "secret.error"}, headers=TRUSTED)
    outside, inside = keyed.get("/api/autofix/status").body, keyed.get("/api/autofix/status", x_ts_apikey=KEY).body
    assert outside["stats"] == {"total": inside["stats"]["total"], "byType": {}, "recent": []}
    assert outside["events"] == []
    assert inside["stats"]["byType"]["secret.error"] >= 1


def test_an_open_route_ignores_a_bad_token(keyed: Connection) -> None:
    for headers in (bearer("bad"), {"Cookie": "portal_token=bad"}, {"X-TS-APIKEY": "bad"}):
        assert keyed.ask("POST", "/api/presence/verify", {"token": "t"}, headers=headers).status == 200


# the cookie


def cookie_of(answer: Answer) -> Any:
    [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
    return cookie


def test_the_cookie_of_verify_proves_the_thinker(keyed: Connection) -> None:
    verified = keyed.post("/api/presence/verify", {"token": "my token"})
    cookie = cookie_of(verified)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"]) == (True, "lax", "/", "3600")
    assert not cookie["secure"]

    headers: Headers = {"Cookie": f"portal_token={cookie.value}"}
    own, other = ({"thinker_id": uid} for uid in (verified.body["thinker_id"], "anna"))
    assert keyed.ask("POST", "/api/presence/heartbeat", own, headers=headers).status == 200
    assert keyed.ask("POST", "/api/presence/heartbeat", other, headers=headers).status == 403
    # the Authorization header takes precedence
    assert keyed.ask("POST", "/api/presence/heartbeat", own, headers={**headers, **bearer("bad")}).status == 401


def test_the_cookie_is_found_among_others(keyed: Connection) -> None:
    cookie = cookie_of(keyed.post("/api/presence/verify", {"token": "my token"})).value
    # Python's parser of cookies would take long for the backslashes, and then refuse them all
    others = f'a="{chr(92)}a{chr(92) * 9000}"; b; =c; portal_tokens=d; '
    for headers in ({"Cookie": f"{others}portal_token={cookie}"}, {"Cookie": f"portal_token={cookie}; {others}"}):
        assert keyed.ask("GET", "/api/voucher/list", headers=headers).status == 200
    # nor would those take little that no browser sends
    for headers in ({"Cookie": others}, {"Cookie": f"{';' * MAX_COOKIES}portal_token={cookie}"}):
        assert keyed.ask("GET", "/api/voucher/list", headers=headers).status == 401


def test_the_cookie_is_refused_from_pages_of_other_origins(keyed: Connection, keyed_url: str) -> None:
    cookie = cookie_of(keyed.post("/api/presence/verify", {"token": "my token"})).value
    headers = {"Cookie": f"portal_token={cookie}", "Origin": "https://elsewhere.example.org"}
    assert keyed.ask("GET", "/api/voucher/list", headers=headers).status == 403
    assert keyed.ask("GET", "/api/voucher/list", headers=headers | {"Origin": keyed_url}).status == 200


def test_a_page_of_another_origin_cannot_sign_in(keyed_url: str, shared_portal: str, shared_database: str) -> None:
    count = "select count(*) from public.thinkers"
    with psycopg.connect(shared_database, autocommit=True) as database:
        before = database.execute(count).fetchone()
        for url, headers in (
            (keyed_url, {"Origin": "https://elsewhere.example.org"}),
            (keyed_url, {"Origin": "null"}),
            (shared_portal, {"Origin": "https://elsewhere.example.org"}),
            (shared_portal, {"Host": "rebound.example.org"}),
        ):
            answer = httpx.post(f"{url}/api/presence/verify", content=b'{"token": "of somebody else"}', headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (403, FOREIGN)
            assert "set-cookie" not in answer.headers
        assert database.execute(count).fetchone() == before


def test_the_cookie_is_secure_if_the_portal_is_served_over_https(shared_database: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, ts_api_key=KEY, trusted_proxies=(ip_network("127.0.0.1"),))
    with serve(settings, shared_database) as url:
        for source, forwarded, secure in (
            ("127.0.0.1", "https", True),
            ("127.0.0.1", "HTTPS, http", True),
            ("127.0.0.1", "http", False),
            ("127.0.0.2", "https", False),
        ):
            with Connection(url, source) as connection:
                verify = partial(connection.post, "/api/presence/verify", {"token": "t"}, x_forwarded_proto=forwarded)
                answer, page_of_http = verify(), verify(origin=url)
            assert bool(cookie_of(answer)["secure"]) is secure
            assert page_of_http.status == (403 if secure else 200)


# pages of other origins, in a browser on the same machine


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "{origin}"}, 200),
        ({"Origin": "http://elsewhere.example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "portal.localhost:8000"}, 200),
        ({"Host": "portal.localhost:8000", "Origin": "http://portal.localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "rebound.example.org"}, 403),
        ({"Host": "rebound.example.org", "Origin": "http://rebound.example.org"}, 403),
        ({"Host": "localhost.example.org"}, 403),
        ({"Origin": "http://["}, 403),
        # browsers leave out the default port of an origin, proxies may name it
        ({"Host": "portal.localhost:443", "Origin": "https://portal.localhost"}, 200),
        ({"Host": "portal.localhost", "Origin": "https://portal.localhost:443"}, 200),
        ({"Host": "portal.localhost:80", "Origin": "http://portal.localhost"}, 200),
        ({"Host": "[::1]:80", "Origin": "http://[::1]"}, 200),
        ({"Host": "portal.localhost:443", "Origin": "http://portal.localhost"}, 403),
        ({"Host": "portal.localhost:8443", "Origin": "https://portal.localhost"}, 403),
        ({"Host": "portal.localhost", "Origin": "https://portal.localhost:8443"}, 403),
        ({"Host": "portal.localhost:443", "Origin": "https://elsewhere.localhost"}, 403),
        ({"Host": "127.0.0.1.example.org"}, 403),
        ({"Host": "portal.localhost", "Origin": "ftp://portal.localhost"}, 403),
        ({"Host": "portal.localhost", "Origin": "://portal.localhost"}, 403),
    ],
)
def test_a_server_that_trusts_this_machine_does_not_trust_other_origins(
    shared_portal: str, headers: dict[str, str], status: int
) -> None:
    sent = {name: value.format(origin=shared_portal) for name, value in headers.items()}
    for method, path in (("POST", "/api/voucher/issue"), ("GET", "/api/voucher/list")):
        content = b'{"issuerUid": "anna"}' if method == "POST" else None
        answer = httpx.request(method, shared_portal + path, content=content, headers=sent)
        assert answer.status_code == status, (method, answer.text)
        if status == 403:
            assert answer.json()["error"] == FOREIGN


PAGE = "https://portal.example.org"


@pytest.fixture
def with_cors(shared_database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an app that allows pages of another origin."""
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=SECRET, cors_origins=(PAGE,))
    with serve(settings, shared_database) as url:
        yield url


def preflight(url: str, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-mot-user,authorization,idempotency-key",
    }
    return httpx.options(f"{url}/api/voucher/book", headers=headers)


def test_a_page_of_cors_origins_is_allowed(with_cors: str) -> None:
    asked = preflight(with_cors, PAGE)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert asked.headers["access-control-allow-credentials"] == "true"
    allowed = asked.headers["access-control-allow-headers"].lower().split(", ")
    assert {"x-mot-user", "authorization", "idempotency-key"} <= set(allowed)
    answer = httpx.get(f"{with_cors}/api/voucher/list", headers={"Origin": PAGE, "X-TS-APIKEY": KEY})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    # the page can read an error too
    assert (
        httpx.get(f"{with_cors}/api/voucher/list", headers={"Origin": PAGE}).headers["access-control-allow-origin"]
        == PAGE
    )


def test_a_page_of_any_other_origin_is_not_allowed(with_cors: str, shared_portal: str) -> None:
    for url, origin in ((with_cors, "https://elsewhere.example.org"), (shared_portal, PAGE)):
        assert "access-control-allow-origin" not in preflight(url, origin).headers
        answer = httpx.get(f"{url}/api/voucher/list", headers={"Origin": origin, "X-TS-APIKEY": KEY})
        assert "access-control-allow-origin" not in answer.headers


def test_options_without_an_origin_is_answered_as_before(with_cors: str) -> None:
    answer = httpx.options(f"{with_cors}/api/voucher/book")
    assert answer.status_code == 204
    assert "POST" in answer.headers["allow"]
