"""The portal's pages on a public address: two browsers, TLS, a proxy, and pages that make the portal's calls."""

from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.chromium import TIMEOUT, chromium
from tests.support.proxies import nginx, running
from tests.support.serving import serve, settings_in
from tests.support.signing import KEY, SECRET

pytestmark = pytest.mark.slow

PAGES = Path(__file__).parent / "pages"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; each context of it is a profile."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a portal with a key, behind nginx with TLS; a sibling host leads there, too."""
    settings = settings_in(
        tmp_path_factory.mktemp("data"),
        ts_api_key=KEY,
        jwt_secret=[SECRET],
        portal_dir=PAGES,
        trusted_proxies=(ip_network("127.0.0.1"),),
    )
    with (
        serve(settings, shared_database) as url,
        running(nginx, tmp_path_factory.mktemp("proxy"), url) as proxy,
    ):
        yield f"https://portal.localhost:{proxy.port}"


def profile(browser: Browser, address: str) -> Page:
    """The portal's page in a new profile."""
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    page.goto(address)
    return page


@pytest.fixture
def anna(browser: Browser, address: str) -> Iterator[Page]:
    """The browser of a user."""
    page = profile(browser, address)
    yield page
    page.context.close()


@pytest.fixture
def ben(browser: Browser, address: str) -> Iterator[Page]:
    """The browser of another user."""
    page = profile(browser, address)
    yield page
    page.context.close()


def ok(page: Page, call: str) -> Any:
    """The body of a call that succeeds."""
    status, body = page.evaluate(call)
    assert (status, body["ok"]) == (200, True), (call, status, body)
    return body


def test_the_first_load_of_a_page_works(anna: Page) -> None:
    answers = anna.evaluate("firstLoad()")
    assert [status for status, _ in answers] == [200] * 6, answers
    assert {item["title"] for item in ok(anna, "issued()")["items"]} == {"a", "b"}


def test_two_users_meet_book_and_cancel(anna: Page, ben: Page) -> None:
    thinkers = [ok(page, f"verify('{name}-token')")["thinker_id"] for page, name in ((anna, "anna"), (ben, "ben"))]
    for page, thinker in zip((anna, ben), thinkers, strict=True):
        ok(page, f"heartbeat('{thinker}', 'familie')")
    rooms = {
        ok(page, f"match('{thinker}', 'familie')")["room_id"]
        for page, thinker in zip((anna, ben), thinkers, strict=True)
    }
    assert len(rooms) == 1
    assert None not in rooms

    voucher = ok(anna, "issue('talk')")["voucher"]["voucherId"]
    slot = ok(ben, f"slots('{voucher}')")["items"][0]["slotId"]
    ok(ben, f"book('{voucher}', '{slot}')")
    assert [item["voucherId"] for item in ok(ben, "bookings()")["items"]] == [voucher]
    assert voucher in [item["voucherId"] for item in ok(ben, "held()")["items"]]
    # what one of them stores for the voucher or the room, both see
    ok(anna, f"upload({{voucherId: '{voucher}', actorId: userId()}})")
    [document] = ok(ben, f"contracts('{voucher}')")["items"]
    assert ben.evaluate(f"fetch('/api/contracts/{document['id']}/document').then(a => a.text())") == "deed"
    ok(ben, f"upload({{roomId: '{rooms.pop()}', actorId: ''}})")
    ok(ben, f"cancel('{voucher}')")


def test_two_users_talk_in_their_room_and_no_page_of_another_origin(anna: Page, ben: Page, address: str) -> None:
    first, second = (ok(page, f"verify('{name}-chat')")["thinker_id"] for page, name in ((anna, "anna"), (ben, "ben")))
    for page, thinker in ((anna, first), (ben, second)):
        ok(page, f"heartbeat('{thinker}', 'chat')")
    room = ok(anna, f"match('{first}', 'chat')")["room_id"]
    for page, thinker in ((anna, first), (ben, second)):
        assert page.evaluate(f"joinRoom('{room}', '{thinker}')")
        page.wait_for_function("heard.some((m) => m.type === 'system' && m.event === 'join')")
    ben.evaluate(f"say('Hallo', '{first}')")
    anna.wait_for_function("texts().length === 1")
    assert anna.evaluate("texts()") == [[second, "Hallo"]]

    sibling = anna.context.new_page()
    sibling.goto(address.replace("portal.", "evil.portal."))
    assert not sibling.evaluate(f"joinRoom('{room}', '{first}', '{address.partition('//')[2]}')")


def test_mortgage_and_telbank_belong_to_their_user(anna: Page, ben: Page) -> None:
    application = ok(anna, "apply()")["applicationId"]
    logged = ok(anna, "transfer()")["transfer"]["id"]
    assert [item["applicationId"] for item in ok(anna, "applications()")["applications"]] == [application]
    assert ok(anna, "offers()")["offers"] == []
    assert [item["id"] for item in ok(anna, "transfers()")["items"]] == [logged]
    assert ok(ben, "applications()")["applications"] == []
    assert ok(ben, "transfers()")["items"] == []


def test_nobody_acts_with_the_uid_of_another_browser(anna: Page, ben: Page) -> None:
    ok(anna, "issue('mine')")
    stolen = anna.evaluate("userId()")
    ben.evaluate(f"localStorage.setItem('mot_user_id_v1', '{stolen}')")
    for call in ("issue('stolen')", "telemetry()", "apply()", "applications()"):
        status, body = ben.evaluate(call)
        assert (status, body["ok"]) == (403, False)
    assert ok(ben, "bookings()")["items"] == []
    # an open offer is everybody's to see, as in the data of the legacy servers
    assert [item["title"] for item in ok(ben, "issued()")["items"]] == ["mine"]


def test_tabs_and_a_restart_of_the_browser_keep_the_session(browser: Browser, address: str, tmp_path: Path) -> None:
    page = profile(browser, address)
    ok(page, "issue('kept')")
    second = page.context.new_page()
    second.goto(f"{address}/index.html")
    assert [item["title"] for item in ok(second, "issued()")["items"]] == ["kept"]
    ok(second, "issue('also')")
    kept = tmp_path / "state.json"
    page.context.storage_state(path=kept)
    page.context.close()

    context = browser.new_context(ignore_https_errors=True, storage_state=kept)
    again = context.new_page()
    again.goto(address)
    assert len(ok(again, "issued()")["items"]) == 2
    ok(again, "issue('third')")
    context.close()


def test_the_cookie_is_for_this_host_and_no_script(anna: Page, address: str) -> None:
    [cookie] = anna.context.cookies()
    assert cookie["name"] == "__Host-portal_session"
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
    assert anna.evaluate("document.cookie") == ""


def test_a_sibling_host_cannot_plant_a_session(anna: Page, address: str) -> None:
    ok(anna, "issue('mine')")
    mine = anna.context.cookies()[0]["value"]
    sibling = anna.context.new_page()
    sibling.goto(address.replace("portal.", "evil.portal."))
    for name in ("__Host-portal_session", "portal_session"):
        sibling.evaluate(f"document.cookie = '{name}=planted; Domain=portal.localhost; Path=/; Secure'")
    assert mine in [cookie["value"] for cookie in anna.context.cookies(address)]
    ok(anna, "issue('still mine')")


@pytest.fixture(scope="module")
def foreign() -> Iterator[str]:
    """The address of a page of another site."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>evil")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://evil.localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("site", ["foreign", "sibling"])
@pytest.mark.parametrize("kind", ["fetch", "text", "form", "image"])
def test_a_page_of_another_origin_does_nothing_in_the_name_of_the_user(
    anna: Page, address: str, foreign: str, site: str, kind: str
) -> None:
    ok(anna, "issue('mine')")
    uid = anna.evaluate("userId()")
    path = f"{address}/api/voucher/issue"
    body = f'{{"issuerUid": "{uid}", "title": "forged"}}'
    evil = anna.context.new_page()
    evil.goto(foreign if site == "foreign" else address.replace("portal.", "evil.portal."))
    if kind == "form":
        # the JSON is in the name of a field, and the rest of it in its value
        evil.set_content(
            f"<form method=post enctype=text/plain action='{path}'>"
            f"<input name='{body[:-1]}, \"x\": \"' value='\"}}'></form>"
        )
        with evil.expect_navigation():
            evil.evaluate("document.forms[0].submit()")
        assert "forged" not in (evil.text_content("body") or "")
    elif kind == "image":
        evil.set_content(f"<img src='{address}/api/telbank/transfers'>")
        evil.wait_for_function("document.images[0].complete")
    else:
        content_type = "application/json" if kind == "fetch" else "text/plain"
        evil.evaluate(
            f"fetch('{path}', {{method: 'POST', credentials: 'include', body: {body!r},"
            f" mode: '{'cors' if kind == 'fetch' else 'no-cors'}', headers: {{'Content-Type': '{content_type}'}}}})"
            ".catch(() => null).then(() => null)"
        )
    assert [item["title"] for item in ok(anna, "issued()")["items"]] == ["mine"]


def test_without_cookies_a_page_is_told_a_sentence(browser: Browser, address: str) -> None:
    page = profile(browser, address)
    for _ in range(2):
        page.context.clear_cookies()  # as a browser that keeps none
        status, body = page.evaluate("issue('x')")
        assert (status, body["error"]) == (401, "Keine Sitzung: Bitte die Seite neu laden und Cookies erlauben")
    page.context.close()
