"""The requests of the portal's pages on a server with a key: from two browsers, and from attackers."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.gateway import session_calls
from api.gateway.direct import DirectGateway
from api.gateway.session_calls import SessionCalls
from api.gateway.shares import Shares
from api.settings import Settings
from api.tokens import Tokens
from tests.sessions.conftest import SAME, Browser
from tests.support.acting import call, one
from tests.support.data_api import run_data_api
from tests.support.serving import Answer, Connection, serve, settings_in
from tests.support.signing import KEY, SECRET

NOT_YOURSELF = {"ok": False, "error": "Nur für die eigene Uid erlaubt"}
COOKIE = "portal_session"
SHARED = "mot-shared-token-v1"
WINDOW = {"validFrom": "2030-01-07T09:00:00Z", "validUntil": "2030-01-07T12:00:00Z"}
FILE = 'name="file"; filename="a.txt"\r\n\r\nx'
TRANSFER = {"direction": "in", "cryptoAmount": 1, "cryptoSymbol": "ETH", "fiatAmount": 10, "fiatCurrency": "EUR"}


def offer(browser: Browser, **more: object) -> str:
    answer = browser.post("/api/voucher/issue", {"issuerUid": browser.uid, **WINDOW, **more})
    assert answer.status == 200, answer.body
    return str(answer.body["voucher"]["voucherId"])


def book(browser: Browser, voucher: str, hour: int = 9) -> str:
    slot = f"slot-2030-01-07T{hour:02}:00:00.000Z"
    answer = browser.post("/api/voucher/book", {"voucherId": voucher, "slotId": slot, "holderUid": browser.uid})
    assert answer.status == 200, answer.body
    return str(answer.body["booking"]["bookingId"])


# two users


def test_two_browsers_book_and_cancel_as_on_loopback(anna: Browser, ben: Browser) -> None:
    voucher = offer(anna)
    assert ben.get(f"/api/slots/available?voucherId={voucher}").body["items"]
    booking = book(ben, voucher)
    for browser, role in ((anna, "issuerUid"), (ben, "holderUid")):
        items = browser.get(f"/api/voucher/bookings?{role}={browser.uid}").body["items"]
        assert [item["bookingId"] for item in items] == [booking]
        assert [v["voucherId"] for v in browser.get(f"/api/voucher/list?{role}={browser.uid}").body["items"]] == [
            voucher
        ]
    assert ben.post("/api/voucher/cancel", {"bookingId": booking}).body["booking"]["status"] == "cancelled"


def test_a_repeated_cancellation_is_that_of_the_same_thinker(anna: Browser, ben: Browser) -> None:
    voucher, earlier = offer(anna), f"{ben.uid}-2"
    slots = [f"slot-2030-01-07T{hour:02}:00:00.000Z" for hour in (9, 10)]
    # who acts first
    ben.get(f"/api/voucher/list?issuerUid={earlier}")
    ben.post("/api/presence/heartbeat", {"thinker_id": earlier})
    ben.post("/api/voucher/book", {"voucherId": voucher, "slotId": slots[0], "holderUid": ben.uid})
    cancelled = [ben.post("/api/voucher/cancel", {"voucherId": voucher}, idempotency_key="again")]
    booked = ben.post("/api/voucher/book", {"voucherId": voucher, "slotId": slots[1], "holderUid": earlier})
    cancelled.append(ben.post("/api/voucher/cancel", {"voucherId": voucher}, idempotency_key="again"))
    assert {(answer.status, answer.body["booking"]["holderUid"]) for answer in cancelled} == {(200, ben.uid)}
    assert cancelled[1].headers["idempotency-replayed"] == "true"
    bookings = ben.get(f"/api/voucher/bookings?holderUid={earlier}").body["items"]
    assert [(b["bookingId"], b["status"]) for b in bookings] == [(booked.body["booking"]["bookingId"], "booked")]


def test_a_stranger_sees_and_cancels_nothing(anna: Browser, ben: Browser, public: Connection) -> None:
    booking = book(ben, offer(anna))
    stranger = Browser(public)
    assert stranger.get(f"/api/voucher/bookings?holderUid={ben.uid}").body["items"] == []
    answer = stranger.post("/api/voucher/cancel", {"bookingId": booking})
    assert (answer.status, answer.body["error"]) == (403, "Nur Aussteller oder Inhaber dürfen stornieren")
    for path, body in (
        ("/api/voucher/issue", {"issuerUid": anna.uid}),
        ("/api/presence/heartbeat", {"thinker_id": anna.uid}),
        ("/api/voucher/book", {"voucherId": "v", "slotId": "slot-2030-01-07T09:00:00.000Z", "holderUid": anna.uid}),
    ):
        answer = stranger.post(path, body)
        assert (answer.status, answer.body) == (403, NOT_YOURSELF)
    assert stranger.get("/api/mortgage/application-list?role=borrower", x_mot_user=anna.uid).status == 403
    assert stranger.post("/api/telemetry", [{"type": "click", "actorUid": anna.uid}]).status == 403


def test_a_token_adds_its_thinker_to_the_session(anna: Browser) -> None:
    anna.post("/api/presence/heartbeat", {"thinker_id": anna.uid})
    thinker = anna.post("/api/presence/verify", {"token": uuid4().hex}).body["thinker_id"]
    del anna.cookies["portal_token"]
    assert anna.post("/api/presence/heartbeat", {"thinker_id": thinker, "pair_code": "p"}).status == 200
    # the page's own uid is still its own, and what one of the two may do, the session may
    mine, proven = offer(anna), offer_of(anna, thinker)
    listed = [item["voucherId"] for item in anna.get("/api/voucher/list").body["items"]]
    assert [v for v in listed if v in (mine, proven)] == [mine, proven]
    for voucher in (mine, proven):
        book(anna, voucher, hour=10)
        assert anna.post("/api/voucher/cancel", {"voucherId": voucher}).status == 200


def offer_of(browser: Browser, uid: str) -> str:
    return str(browser.post("/api/voucher/issue", {"issuerUid": uid, **WINDOW}).body["voucher"]["voucherId"])


def test_a_session_without_a_uid_is_a_guest_of_its_own(anna: Browser, ben: Browser) -> None:
    assert anna.get("/api/telbank/transfers").body["items"] == []
    logged = anna.post("/api/telbank/transfers", TRANSFER).body["transfer"]["id"]
    assert [item["id"] for item in anna.get("/api/telbank/transfers").body["items"]] == [logged]
    assert anna.get(f"/api/telbank/transfers/{logged}").status == 200
    assert ben.get("/api/telbank/transfers").body["items"] == []
    assert ben.get(f"/api/telbank/transfers/{logged}").status == 404


def test_a_link_with_a_token_makes_nobody_write_as_its_thinker(anna: Browser, ben: Browser) -> None:
    token = uuid4().hex
    for browser in (anna, ben):
        browser.post("/api/presence/verify", {"token": token})
    logged = anna.post("/api/telbank/transfers", TRANSFER).body["transfer"]["id"]
    assert [item["id"] for item in anna.get("/api/telbank/transfers").body["items"]] == [logged]
    assert ben.get("/api/telbank/transfers").body["items"] == []


def test_a_document_that_is_refused_to_the_own_thinker_is_not_stored_as_that_of_a_link(
    anna: Browser, ben: Browser
) -> None:
    token = uuid4().hex
    anna.post("/api/presence/verify", {"token": token})
    thinker = ben.post("/api/presence/verify", {"token": token}).body["thinker_id"]
    anna.post("/api/presence/heartbeat", {"thinker_id": anna.uid})
    room = f"legal-hub-{token}"
    assert upload(ben, roomId=room, actorId=thinker).status == 200
    assert upload(anna, roomId=room).status == 403
    assert upload(anna, roomId=room, actorId=thinker).body["contract"]["createdBy"] == thinker


def upload(browser: Browser, **fields: str) -> Answer:
    """Uploads a small document with these fields."""
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    form = "".join(f"--b\r\nContent-Disposition: form-data; {part}\r\n" for part in [FILE, *parts])
    headers = {**SAME, "Content-Type": "multipart/form-data; boundary=b"}
    return browser.ask("POST", "/api/contracts/upload", raw=f"{form}--b--\r\n".encode(), headers=headers)


def test_a_session_keeps_its_documents(anna: Browser, ben: Browser) -> None:
    answer = upload(anna)
    assert answer.status == 200, answer.body
    contract = answer.body["contract"]["id"]
    assert [item["id"] for item in anna.get("/api/contracts/list").body["items"]] == [contract]
    assert anna.get(f"/api/contracts/{contract}/document").status == 200
    assert ben.get("/api/contracts/list").body["items"] == []
    assert ben.get(f"/api/contracts/{contract}/document").status == 404


def test_pages_of_a_list_hold_the_rows_of_all_thinkers_once(anna: Browser) -> None:
    uids = [anna.uid, anna.uid[::-1], f"{anna.uid}-3"]
    issued = [offer_of(anna, uids[n % 3]) for n in range(8)]
    for limit in (1, 2, 3, 5, 100):
        listed: list[str] = []
        after = ""
        while True:
            answer = anna.get(f"/api/voucher/list?limit={limit}&after={after}")
            # the first page has the newest
            listed = [item["voucherId"] for item in answer.body["items"]] + listed
            after = answer.headers.get("list-next", "")
            if not after:
                break
        assert [v for v in listed if v in issued] == issued
        assert len(listed) == len(set(listed))


def test_a_merged_list_has_no_more_rows_than_its_limit(anna: Browser, ben: Browser) -> None:
    voucher = offer(anna)
    booked = []
    for hour, uid in ((9, ben.uid), (10, f"{ben.uid}-2")):
        slot = f"slot-2030-01-07T{hour:02}:00:00.000Z"
        answer = ben.post("/api/voucher/book", {"voucherId": voucher, "slotId": slot, "holderUid": uid})
        booked.append(answer.body["booking"]["bookingId"])
    pages = [ben.get("/api/voucher/bookings?limit=1")]
    pages.append(ben.get(f"/api/voucher/bookings?limit=1&after={pages[0].headers['list-next']}"))
    assert [[item["bookingId"] for item in page.body["items"]] for page in pages] == [[booked[1]], [booked[0]]]
    assert "list-next" not in pages[1].headers


def test_a_page_of_several_thinkers_has_no_more_bytes_than_that_of_one(
    anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_calls, "MAX_PAGE_BYTES", 5000)
    issued = [offer_of(anna, anna.uid if n % 3 else anna.uid[::-1]) for n in range(7)]
    vouchers = [offer(anna, description="x" * 2000) for _ in range(5)]
    listed: list[str] = []
    pages, after = 0, ""
    while not pages or after:
        answer = anna.get(f"/api/voucher/list?issuerUid={anna.uid}&after={after}")
        # the first page has the newest
        listed = [item["voucherId"] for item in answer.body["items"]] + listed
        assert len(answer.body["items"]) == 1 or len(str(answer.body)) < 10_000
        pages, after = pages + 1, answer.headers.get("list-next", "")
    assert pages > 2
    assert listed == [voucher for n, voucher in enumerate(issued) if n % 3] + vouchers


def test_a_thinker_that_goes_meanwhile_ends_no_session(shared_database: str) -> None:
    session = uuid4()

    class Losing(DirectGateway):
        """Loses a thinker of the session as soon as it has told which there are."""

        async def call(self, function: str, actor: Actor, **params: object) -> Any:
            answer = await super().call(function, actor, **params)
            if function == "session_thinkers":
                with psycopg.connect(shared_database) as connection:
                    connection.execute("delete from private.claims where session_id = %s", (session,))
            return answer

    async def ask(function: str, **params: object) -> None:
        gateway = Losing(shared_database)
        async with gateway.open():
            calls = SessionCalls(gateway, session, nullcontext, claims=False, client=None, known=False)
            await calls.call(function, Actor("authenticated"), **params)

    with psycopg.connect(shared_database, autocommit=True) as connection:
        for function, params in (("list_transfers", {"max_rows": 10}), ("get_transfer", {"transfer_id": "x"})):
            call(connection, SERVER, "claim_thinker", session_id=session, uid=uuid4().hex[:22])
            with pytest.raises(ApiError) as refusal:
                asyncio.run(ask(function, **params))
            assert refusal.value.code == "busy"


def test_lists_of_several_thinkers_are_read_one_after_another(shared_database: str) -> None:
    session = uuid4()
    asked: list[str | None] = []

    class Recording(DirectGateway):
        """Records the thinker of each list."""

        async def call(self, function: str, actor: Actor, **params: object) -> Any:
            if function == "list_transfers":
                asked.append(actor.uid)
            return await super().call(function, actor, **params)

    async def ask() -> None:
        gateway = Recording(shared_database)
        async with gateway.open():
            turn = partial(Shares(gateway).turn, "a client")
            calls = SessionCalls(gateway, session, turn, claims=False, client=None, known=False)
            lists = [calls.call("list_transfers", Actor("authenticated"), max_rows=10) for _ in range(2)]
            await asyncio.gather(*lists)

    with psycopg.connect(shared_database, autocommit=True) as connection:
        for _ in range(2):
            call(connection, SERVER, "claim_thinker", session_id=session, uid=uuid4().hex[:22])
    asyncio.run(ask())
    assert len(set(asked)) == 2
    assert asked == asked[:2] * 2


def test_lists_of_several_thinkers_keep_their_order(anna: Browser, public: Connection) -> None:
    for n in range(4):
        uid = f"{anna.uid}{n % 2}"
        voucher = offer_of(anna, uid)
        slot = "slot-2030-01-07T09:00:00.000Z"
        anna.post("/api/voucher/book", {"voucherId": voucher, "slotId": slot, "holderUid": uid})
    for path in ("/api/voucher/list", "/api/voucher/bookings"):
        mine = [item["createdAt"] for item in anna.get(path).body["items"]]
        trusted = [item["createdAt"] for item in public.get(path, x_ts_apikey=KEY).body["items"]]
        assert len(mine) >= 4
        assert mine == [time for time in trusted if time in mine]


def test_everybodys_token_makes_each_session_a_thinker_of_its_own(anna: Browser, ben: Browser) -> None:
    first, again, other = (
        browser.post("/api/presence/verify", {"token": SHARED}).body["thinker_id"] for browser in (anna, anna, ben)
    )
    assert first == again != other


def test_who_knows_a_session_has_no_token_for_its_thinker(anna: Browser, public: Connection) -> None:
    verified = anna.post("/api/presence/verify", {"token": SHARED}).body
    session = jwt.decode(verified["access_token"], options={"verify_signature": False})["portal_session"]
    for token in (f"{session} {SHARED}", session + SHARED, session):
        thinker_id = public.post("/api/presence/verify", {"token": token}).body["thinker_id"]
        assert thinker_id != verified["thinker_id"]


def test_everybodys_token_makes_nobody_a_thinker_without_a_session(public: Connection) -> None:
    # a page gets a cookie first
    answer = public.post("/api/presence/verify", {"token": SHARED}, sec_fetch_site="same-origin")
    assert (answer.status, answer.headers["set-cookie"].partition("=")[0]) == (401, COOKIE)
    answer = public.post("/api/presence/verify", {"token": SHARED})
    assert (answer.status, answer.headers.get("set-cookie")) == (401, None)
    assert public.post("/api/presence/verify", {"token": SHARED}, x_ts_apikey=KEY).status == 200


# who gets a session


def test_a_page_brings_the_cookie_and_no_script_can_read_it(public: Connection) -> None:
    answer = public.get("/")
    assert answer.headers["cache-control"] == "private, no-cache"
    name, _, attributes = answer.headers["set-cookie"].partition("=")
    assert name == COOKIE
    assert {"HttpOnly", "Path=/", "SameSite=lax", f"Max-Age={180 * 86400}"} <= set(attributes.split("; "))
    assert "set-cookie" not in public.get("/core.js").headers
    assert "set-cookie" not in public.get("/", cookie=answer.headers["set-cookie"].partition(";")[0]).headers


def test_a_page_without_cookies_is_told_so(public: Connection) -> None:
    # the answer brings the cookie, which the same request cannot use: of two at once each would claim the page's uid
    answer = public.get("/api/voucher/list", sec_fetch_site="same-origin")
    assert (answer.status, answer.body["error"]) == (
        401,
        "Keine Sitzung: Bitte die Seite neu laden und Cookies erlauben",
    )
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert public.get("/api/voucher/list", sec_fetch_site="same-origin", cookie=cookie).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
        {"Referer": "https://evil.example/{own}"},
        {"Referer": "{own}.evil.example/"},
        {},
    ],
    ids=str,
)
def test_the_cookie_is_nothing_to_pages_of_other_origins(
    anna: Browser, public_url: str, headers: dict[str, str]
) -> None:
    sent = {name: value.replace("{own}", public_url) for name, value in headers.items()}
    before = dict(anna.cookies)
    answer = anna.ask("POST", "/api/voucher/issue", {"issuerUid": anna.uid}, headers=sent)
    assert answer.status in (401, 403)
    assert anna.cookies == before


def test_a_name_that_was_pointed_here_is_an_outsider(anna: Browser, public_url: str) -> None:
    offer(anna)
    # a page of this name is of another site to anna's browser, which sends it no cookie of this one
    evil = {**SAME, "Host": "evil.example", "Origin": "http://evil.example"}
    with httpx.Client(base_url=public_url, headers=evil) as client:
        assert client.get("/api/voucher/list").status_code == 401
        client.cookies.set(COOKIE, client.cookies[COOKIE])
        answer = client.post("/api/voucher/issue", json={"issuerUid": anna.uid})
    assert (answer.status_code, answer.json()) == (403, NOT_YOURSELF)


@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_older_browsers_name_the_page(anna: Browser, public_url: str, header: str) -> None:
    page = public_url if header == "Origin" else f"{public_url}/index.html?a=b"
    assert anna.ask("GET", "/api/voucher/list", headers={header: page}).status == 200


def cookie_of(folder: Path, **claims: object) -> str:
    now = int(time.time())
    settings: Settings = settings_in(folder, jwt_secret=[SECRET])
    key = Tokens(settings).derived_keys("browser session")[0]
    return jwt.encode({"sub": str(uuid4()), "aud": "session", "iat": now, "exp": now + 60} | claims, key)


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "x",
        "a.b.c",
        "{uuid}",
        "{none}",
        "{token}",
        "{old}",
        "{long}",
        "{audience}",
        "{subject}",
        "{secret}",
    ],
)
def test_a_cookie_that_is_none_is_nothing(public: Connection, tmp_path: Path, cookie: str) -> None:
    claims = {"sub": str(uuid4()), "aud": "session", "iat": 1, "exp": 4_000_000_000}
    forged = {
        "{uuid}": str(uuid4()),
        "{none}": jwt.encode(claims, "", algorithm="none"),
        "{token}": jwt.encode(claims | {"role": "authenticated"}, SECRET),
        "{long}": cookie_of(tmp_path, padding="x" * 4096),
        "{old}": cookie_of(tmp_path, exp=int(time.time()) - 1),
        "{audience}": cookie_of(tmp_path, aud="authenticated"),
        "{subject}": cookie_of(tmp_path, sub="anna"),
        "{secret}": jwt.encode(claims, "another secret that is as long as this one is"),
    }.get(cookie, cookie)
    answer = public.get("/api/voucher/list", sec_fetch_site="same-origin", cookie=f"{COOKIE}={forged}")
    assert answer.status == 401


def test_a_session_proves_nothing_at_the_data_api_or_as_a_token(anna: Browser, public: Connection) -> None:
    assert public.get("/api/voucher/list", authorization=f"Bearer {anna.cookies[COOKIE]}").status == 401


@pytest.mark.parametrize("white", ["\xa0", "\x85", "\x1c", "\x1f"], ids=ascii)
def test_a_cookie_of_a_similar_name_is_none(anna: Browser, public: Connection, white: str) -> None:
    # browsers take it from any host, as they see no prefix __Host-
    others = f"{COOKIE}={anna.cookies[COOKIE]}"
    for header, status in ((f"{white}{others}", 401), (f" {others}", 200)):
        assert public.get("/api/voucher/list", sec_fetch_site="same-origin", cookie=header).status == status


def test_the_cookie_is_renewed_once_a_day(public: Connection, tmp_path: Path) -> None:
    def renewed(age: timedelta) -> bool:
        issued = int((datetime.now(UTC) - age).timestamp())
        cookie = f"{COOKIE}={cookie_of(tmp_path, iat=issued)}"
        answer = public.get("/api/voucher/list", sec_fetch_site="same-origin", cookie=cookie)
        assert answer.status == 200
        return "set-cookie" in answer.headers

    assert not renewed(timedelta(hours=23))
    assert renewed(timedelta(hours=25))
    # another host that serves the portal has a faster clock
    assert not renewed(timedelta(minutes=-1))


def test_a_cookie_takes_on_a_new_secret(anna: Browser, shared_database: str, tmp_path: Path) -> None:
    offer(anna)
    both = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=[SECRET[::-1], SECRET], rate_limit="off")
    for settings in (both, both.model_copy(update={"jwt_secret": both.jwt_secret[:1]})):
        with serve(settings, shared_database) as url, Connection(url) as connection:
            anna.connection = connection
            offer(anna)


def test_an_ended_session_is_not_renewed(public_url: str, shared_database: str, tmp_path: Path) -> None:
    session = uuid4()
    cookie = f"{COOKIE}={cookie_of(tmp_path, sub=str(session), iat=int(time.time()) - 2 * 86400)}"
    with psycopg.connect(shared_database, autocommit=True) as connection:
        call(connection, SERVER, "end_session", session_id=session)
    answer = httpx.get(f"{public_url}/api/voucher/list", headers={**SAME, "Cookie": cookie})
    assert answer.status_code == 401
    [set_cookie] = answer.headers.get_list("set-cookie")
    renewed = set_cookie.partition("=")[2].partition(";")[0]
    assert jwt.decode(renewed, options={"verify_signature": False})["sub"] != str(session)
    answer = httpx.get(f"{public_url}/api/presence/catalog/apis", headers={**SAME, "Cookie": cookie})
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (200, [])
    # answered without a call, so that nobody has looked whether the session has ended
    answer = httpx.post(
        f"{public_url}/api/presence/match", headers={**SAME, "Cookie": cookie}, json={"thinker_id": "anna"}
    )
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (200, [])


def test_a_copied_cookie_ends_with_the_session(anna: Browser, shared_database: str) -> None:
    offer(anna)
    copied = dict(anna.cookies)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        one(connection, "select private.release_thinker(%s)", anna.uid)
    answer = anna.post("/api/voucher/issue", {"issuerUid": anna.uid})
    assert (answer.status, answer.body["error"]) == (401, "Sitzung beendet: Bitte die Seite neu laden")
    # the answer brought another session, which the uid is free for
    assert anna.cookies != copied
    offer(anna)
    anna.cookies = copied
    assert anna.post("/api/voucher/issue", {"issuerUid": anna.uid}).status == 401


def test_a_session_that_has_only_a_shared_token_is_released(anna: Browser, shared_database: str) -> None:
    shared = {"token": "mot-shared-token-v1"}
    uid = anna.post("/api/presence/verify", shared).body["thinker_id"]
    copied = dict(anna.cookies)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        assert one(connection, "select private.release_thinker(%s)", uid) == [uid]
    assert anna.post("/api/presence/verify", shared).status == 401
    anna.cookies = copied
    assert anna.post("/api/presence/verify", shared).status == 401


def test_a_token_ends_with_the_session_that_proved_it(anna: Browser, public: Connection, shared_database: str) -> None:
    verified = anna.post("/api/presence/verify", {"token": uuid4().hex}).body
    bearer = {"Authorization": f"Bearer {verified['access_token']}"}

    with run_data_api(shared_database, SECRET) as project:

        def statuses() -> list[int]:
            return [
                public.ask("GET", "/api/voucher/list", headers=bearer).status,
                public.ask("POST", "/api/voucher/issue", {"issuerUid": verified["thinker_id"]}, headers=bearer).status,
                httpx.get(f"{project}/rest/v1/vouchers", headers=bearer).status_code,
                httpx.post(f"{project}/rest/v1/rpc/issue_voucher", json={}, headers=bearer).status_code,
            ]

        assert statuses() == [200] * 4
        with psycopg.connect(shared_database) as connection:
            one(connection, "select private.release_thinker(%s)", verified["thinker_id"])
        assert statuses() == [401] * 4


def test_a_token_that_has_ended_takes_no_cookie_of_another_session(
    anna: Browser, ben: Browser, shared_database: str
) -> None:
    verified = ben.post("/api/presence/verify", {"token": uuid4().hex}).body
    with psycopg.connect(shared_database) as connection:
        one(connection, "select private.release_thinker(%s)", verified["thinker_id"])
    answer = anna.get("/api/voucher/list", authorization=f"Bearer {verified['access_token']}")
    assert (answer.status, answer.headers.get("set-cookie")) == (401, None)


def test_over_https_no_other_host_can_set_a_token(shared_database: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, ts_api_key=KEY, rate_limit="off", trusted_proxies=(ip_network("127.0.0.0/8"),))
    with serve(settings, shared_database) as url, Connection(url) as proxy:
        https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        verified = proxy.ask("POST", "/api/presence/verify", {"token": uuid4().hex}, headers=https)
        cookie = verified.headers["set-cookie"].partition(";")[0]
        assert cookie.startswith("__Host-portal_token=")
        for sent, status in ((cookie, 200), (cookie.removeprefix("__Host-"), 401)):
            assert proxy.ask("GET", "/api/voucher/list", headers={**https, "Cookie": sent}).status == status


def test_a_key_and_a_token_come_before_the_session(anna: Browser, ben: Browser) -> None:
    offer(anna)
    assert ben.post("/api/voucher/issue", {"issuerUid": anna.uid}, x_ts_apikey=KEY).status == 200
    token = ben.post("/api/presence/verify", {"token": uuid4().hex}).body["access_token"]
    assert ben.post("/api/voucher/issue", {"issuerUid": ben.uid}, authorization=f"Bearer {token}").status == 403


def test_another_server_does_not_know_the_session(anna: Browser, shared_database: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, ts_api_key=KEY, rate_limit="off")
    with serve(settings, shared_database) as url, Connection(url) as other:
        answer = other.get("/api/voucher/list", sec_fetch_site="same-origin", cookie=f"{COOKIE}={anna.cookies[COOKIE]}")
        assert answer.status == 401


@pytest.fixture
def without_sessions(shared_database: str, tmp_path: Path) -> Iterator[Connection]:
    """A connection to a server with a key and SESSIONS=off."""
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=[SECRET], rate_limit="off", sessions=False)
    with serve(settings, shared_database) as url, Connection(url) as connection:
        yield connection


def test_sessions_can_be_off(anna: Browser, without_sessions: Connection) -> None:
    anna.connection = without_sessions
    answer = anna.get("/api/voucher/list")
    assert (answer.status, answer.body["error"]) == (401, "invalid api key")
    assert "set-cookie" not in answer.headers
    # it would make everybody one thinker
    assert anna.post("/api/presence/verify", {"token": SHARED}).status == 401
