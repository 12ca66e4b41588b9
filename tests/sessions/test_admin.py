"""Admin sessions: who begins one, where it counts, and how it ends."""

import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from uuid import uuid4

import jwt
import psycopg
import pytest

from api.tokens import Tokens
from tests.sessions.conftest import SAME, Browser
from tests.support.acting import thinker
from tests.support.serving import Connection, serve, settings_in
from tests.support.signing import KEY, SECRET, signed

COOKIE = "portal_admin"
SIGN_IN = "/api/admin/session"
EVENTS = "/api/admin/events?limit=50"
AUTOFIX = "/api/autofix/status"
NOT_AN_ADMIN = {"ok": False, "error": "only admins may see this"}
PURPOSE = f"admin session {KEY}"


@pytest.fixture
def boss(public: Connection) -> Browser:
    """The browser of an operator, who has signed in with the key."""
    browser = Browser(public)
    sign_in(browser, key=KEY)
    return browser


@pytest.fixture
def errors(shared_database: str) -> None:
    """Writes an error that a page reported."""
    with psycopg.connect(shared_database) as connection:
        connection.execute("insert into public.events (type) values ('page.error')")


def sign_in(browser: Browser, **proof: str) -> None:
    answer = browser.ask("PUT", SIGN_IN, proof)
    assert (answer.status, answer.body) == (200, {"ok": True, "signedIn": True})


def token_of(uid: str, *roles: str) -> str:
    return signed(SECRET, **thinker(uid, *roles).claims())


def is_signed_in(browser: Browser) -> bool:
    """Whether the browser is, as the server says and as its answers show."""
    said = browser.get(SIGN_IN).body["signedIn"]
    assert said == (browser.get(EVENTS).status == 200)
    return bool(said)


# signing in


def test_a_signed_in_operator_uses_the_monitoring_page_and_others_are_told(
    boss: Browser, anna: Browser, errors: None
) -> None:
    assert boss.get(EVENTS).body["ok"]
    assert boss.get(AUTOFIX).body["stats"]["byType"]["page.error"] >= 1
    assert boss.get("/api/presence/debug").status == 200
    assert boss.get("/admin-monitoring.html").status == 200

    answer = anna.get(EVENTS)
    assert (answer.status, answer.body) == (403, NOT_AN_ADMIN)
    assert anna.get(AUTOFIX).body["stats"]["byType"] == {}
    for path in ("/admin-monitoring.html", "/admin-monitoring"):
        answer = anna.get(path)
        assert (answer.status, answer.headers["cache-control"]) == (403, "no-store")
    assert anna.get("/").status == 200


def test_no_script_can_read_the_cookie(public: Connection) -> None:
    answer = public.ask("PUT", SIGN_IN, {"key": KEY}, headers=SAME)
    assert answer.headers["cache-control"] == "no-store"
    name, _, attributes = answer.headers["set-cookie"].partition("=")
    assert name == COOKIE
    assert {"HttpOnly", "Path=/", "SameSite=lax", f"Max-Age={12 * 3600}"} <= set(attributes.split("; "))
    claims = jwt.decode(attributes.partition(";")[0], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 12 * 3600
    assert claims.keys() == {"sub", "aud", "iat", "exp"}


@pytest.mark.parametrize(
    ("proof", "status", "error"),
    [
        ({}, 400, "key or token is required"),
        ({"key": ""}, 400, "key or token is required"),
        ({"key": "wrong"}, 401, "invalid api key"),
        ({"key": KEY[:-1]}, 401, "invalid api key"),
        ({"key": "wrong", "token": "{admin}"}, 401, "invalid api key"),
        ({"token": "wrong"}, 401, "invalid token"),
        ({"token": KEY}, 401, "invalid token"),
        ({"token": "{thinker}"}, 403, "only admins may see this"),
    ],
    ids=str,
)
def test_a_wrong_proof_begins_no_session(public: Connection, proof: dict[str, str], status: int, error: str) -> None:
    tokens = {"{admin}": token_of("ada", "admin"), "{thinker}": token_of("mia")}
    sent = {name: tokens.get(value, value) for name, value in proof.items()}
    answer = public.ask("PUT", SIGN_IN, sent, headers=SAME)
    assert (answer.status, answer.body) == (status, {"ok": False, "error": error})
    assert "set-cookie" not in answer.headers


def test_pages_of_other_origins_sign_nobody_in_or_out(boss: Browser) -> None:
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for method, body in (("PUT", {"key": KEY}), ("DELETE", None)):
        assert boss.ask(method, SIGN_IN, body, headers=evil).status == 403
    assert is_signed_in(boss)


# where it counts


def test_it_counts_for_operators_routes_only(boss: Browser, public: Connection) -> None:
    cookie = f"{COOKIE}={boss.cookies[COOKIE]}"
    paths = public.get("/schema/openapi.json").body["paths"]
    closed = [
        (method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if operation.get("security") != [{}]
    ]
    assert len(closed) > 30
    counts = {
        (method, path)
        for method, path in closed
        if public.ask(method, path, {}, headers={**SAME, "Cookie": cookie}).status != 401
    }
    expected = {path for _, path in closed if path.startswith("/api/admin/")} | {"/api/presence/debug"}
    assert counts == {("GET", path) for path in expected}


def test_elsewhere_the_browser_is_its_ordinary_session(boss: Browser, anna: Browser) -> None:
    anna.post("/api/presence/heartbeat", {"thinker_id": anna.uid})
    assert boss.post("/api/voucher/issue", {"issuerUid": anna.uid}).status == 403
    assert boss.post("/api/voucher/issue", {"issuerUid": boss.uid}).status == 200
    assert [item["issuerUid"] for item in boss.get("/api/voucher/list").body["items"]] == [boss.uid]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Referer": "https://evil.example/"},
        {},
    ],
    ids=str,
)
def test_the_cookie_is_nothing_to_pages_of_other_origins(boss: Browser, headers: dict[str, str]) -> None:
    for path in (EVENTS, "/api/admin/fees", "/api/presence/debug"):
        assert boss.ask("GET", path, headers=headers).status in (401, 403)


def cookie_of(folder: Path, purpose: str = PURPOSE, **claims: object) -> str:
    now = int(time.time())
    key = Tokens(settings_in(folder, jwt_secret=[SECRET])).derived_keys(purpose)[0]
    return jwt.encode({"sub": str(uuid4()), "aud": "admin session", "iat": now, "exp": now + 60} | claims, key)


def test_a_cookie_that_is_none_is_nothing(anna: Browser, tmp_path: Path) -> None:
    claims = {"sub": str(uuid4()), "aud": "admin session", "iat": 1, "exp": 4_000_000_000}
    cookies = {
        "good": cookie_of(tmp_path),
        "a session": anna.cookies["portal_session"],
        "unsigned": jwt.encode(claims, "", algorithm="none"),
        "a token": signed(SECRET, **thinker("ada", "admin").claims()),
        "another secret": jwt.encode(claims, "another secret that is as long as this one is"),
        "the secret itself": jwt.encode(claims, SECRET),
        "the key": jwt.encode(claims, KEY.ljust(32)),
        "another key's": cookie_of(tmp_path, "admin session another key"),
        "old": cookie_of(tmp_path, exp=int(time.time()) - 1),
        "a browser session's key": cookie_of(tmp_path, "browser session"),
    }
    signed_in = set()
    for name, cookie in cookies.items():
        anna.cookies[COOKIE] = cookie
        if is_signed_in(anna):
            signed_in.add(name)
    assert signed_in == {"good"}


def test_it_proves_nothing_as_a_token_or_a_session(boss: Browser, public: Connection) -> None:
    cookie = boss.cookies[COOKIE]
    assert public.get(EVENTS, authorization=f"Bearer {cookie}").status == 401
    for name in ("portal_session", "portal_token"):
        assert public.get("/api/voucher/list", cookie=f"{name}={cookie}", sec_fetch_site="same-origin").status == 401


# an admin's token


def test_an_admin_stays_a_thinker_whose_role_can_be_taken_away(
    public: Connection, shared_database: str, errors: None
) -> None:
    browser, uid = Browser(public), f"boss-{uuid4().hex}"
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(
            "insert into public.thinkers (id, public_id, roles) values (private.thinker_id(%s), %s, '{admin}')",
            (uid, uid),
        )
        sign_in(browser, token=token_of(uid))
        assert is_signed_in(browser)
        assert browser.get(AUTOFIX).body["stats"]["byType"]["page.error"] >= 1
        connection.execute("update public.thinkers set roles = '{}' where public_id = %s", (uid,))
        assert not is_signed_in(browser)
        assert browser.get(EVENTS).body == NOT_AN_ADMIN


def test_a_session_that_has_proved_an_admin_is_no_admin_session(public: Connection, shared_database: str) -> None:
    browser = Browser(public)
    uid = browser.post("/api/presence/verify", {"token": uuid4().hex}).body["thinker_id"]
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute("update public.thinkers set roles = '{admin}' where public_id = %s", (uid,))
    # its last answer set the cookie of the token, which counts for an hour
    cookie = f"portal_session={browser.cookies['portal_session']}"
    for path in (EVENTS, "/api/presence/debug"):
        assert browser.get(path).status == 200
        answer = public.get(path, sec_fetch_site="same-origin", cookie=cookie)
        assert (answer.status, "set-cookie" in answer.headers) == (403, False)


def test_a_role_that_only_the_token_names_counts_until_the_token_expires(public: Connection, tmp_path: Path) -> None:
    browser, now = Browser(public), int(time.time())
    sign_in(browser, token=token_of("ada", "admin"))
    assert is_signed_in(browser)
    claims = jwt.decode(browser.cookies[COOKIE], options={"verify_signature": False})
    assert now < claims["metadata_until"] <= now + 3700
    browser.cookies[COOKIE] = cookie_of(tmp_path, **claims | {"metadata_until": now - 1})
    assert not is_signed_in(browser)


# its end


def test_a_copied_cookie_ends_with_the_sign_out(boss: Browser) -> None:
    copied = boss.cookies[COOKIE]
    session = boss.cookies["portal_session"]
    answer = boss.ask("DELETE", SIGN_IN)
    assert (answer.status, answer.body) == (200, {"ok": True, "signedIn": False})
    assert "Max-Age=0" in answer.headers["set-cookie"].split("; ")
    assert not is_signed_in(boss)
    boss.cookies[COOKIE] = copied
    assert not is_signed_in(boss)
    assert boss.get(AUTOFIX).body["stats"]["byType"] == {}
    # the page's own session goes on
    assert boss.cookies["portal_session"] == session
    assert boss.post("/api/presence/heartbeat", {"thinker_id": boss.uid}).status == 200
    assert boss.ask("DELETE", SIGN_IN).status == 200


def test_it_ends_with_the_session_whose_token_began_it(public: Connection, shared_database: str) -> None:
    browser = Browser(public)
    verified = browser.post("/api/presence/verify", {"token": uuid4().hex}).body
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(
            "update public.thinkers set roles = '{admin}' where public_id = %s", (verified["thinker_id"],)
        )
        sign_in(browser, token=verified["access_token"])
        assert is_signed_in(browser)
        connection.execute("select private.release_thinker(%s)", (verified["thinker_id"],))
        assert not is_signed_in(browser)
    answer = browser.ask("PUT", SIGN_IN, {"token": verified["access_token"]})
    assert (answer.status, answer.body["error"]) == (401, "invalid token")


@pytest.fixture
def other_key(shared_database: str, tmp_path: Path) -> Iterator[Connection]:
    """A connection to the same server with another key and without sessions, behind a proxy."""
    settings = settings_in(
        tmp_path,
        ts_api_key="ein Schlüssel, der € kostet",
        jwt_secret=[SECRET],
        sessions=False,
        trusted_proxies=(ip_network("127.0.0.0/8"),),
    )
    with serve(settings, shared_database) as url, Connection(url) as connection:
        yield connection


def test_another_key_ends_all_sessions(boss: Browser, other_key: Connection) -> None:
    boss.connection = other_key
    answer = boss.get(EVENTS)
    assert (answer.status, answer.body["error"]) == (401, "invalid api key")
    # a key may have any characters, and SESSIONS is for the other pages
    sign_in(boss, key="ein Schlüssel, der € kostet")
    assert is_signed_in(boss)


def test_over_https_no_other_host_can_set_the_cookie(other_key: Connection) -> None:
    headers = {**SAME, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    answer = other_key.ask("PUT", SIGN_IN, {"key": "ein Schlüssel, der € kostet"}, headers=headers)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert {"Secure", "Path=/"} <= set(cookie.split("; "))
    sent = {**headers, "Cookie": cookie.partition(";")[0]}
    assert other_key.ask("GET", EVENTS, headers=sent).status == 200
    # a page of the other scheme, or the name without the prefix
    assert (
        other_key.ask("GET", EVENTS, headers={**sent, "Cookie": sent["Cookie"].removeprefix("__Host-")}).status == 401
    )


def test_a_server_without_a_key_needs_none(shared_portal: str) -> None:
    with Connection(shared_portal) as connection:
        for method, body in (("GET", None), ("PUT", {"key": "any"}), ("DELETE", None)):
            answer = connection.ask(method, SIGN_IN, body)
            assert (answer.status, answer.body) == (200, {"ok": True, "signedIn": False})
            assert "set-cookie" not in answer.headers
        assert connection.get(EVENTS).status == 200
