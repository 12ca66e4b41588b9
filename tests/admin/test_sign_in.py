"""Who may see the figures: callers with the API key, and admins with a token or cookie."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from api.actor import Actor
from api.http.admin_sessions import ADMIN_COOKIE
from api.http.callers import TOKEN_COOKIE
from tests.admin.conftest import Visit, Visiting
from tests.admin.scene import fill
from tests.support.acting import thinker
from tests.support.serving import serve, settings_in
from tests.support.signing import KEY, SECRET, signed

MONITORING = """<!doctype html><title>Monitoring</title><output></output><script>
  const ask = async (path) => (await fetch(path)).json();
  Promise.all([ask("/api/admin/events?limit=50"), ask("/api/autofix/status")]).then(([events, autofix]) => {
    document.querySelector("output").textContent =
      `${events.items.length} events, errors by type: ${Object.keys(autofix.stats.byType).join(" ")}`;
  });
</script>"""
"""The requests of the portal's page."""


@pytest.fixture(scope="module")
def keyed(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with an API key."""
    fill(shared_database)
    pages = tmp_path_factory.mktemp("pages")
    Path(pages, "admin-monitoring.html").write_text(MONITORING)
    settings = settings_in(
        tmp_path_factory.mktemp("data"), ts_api_key=KEY, jwt_secret=SECRET, rate_limit="off", portal_dir=pages
    )
    with serve(settings, shared_database) as url:
        yield url


@pytest.fixture
def visit(visiting: Visiting, keyed: str) -> Iterator[Visit]:
    """A visit to the sign-in form."""
    with visiting(keyed) as visit:
        visit.page.goto(f"{keyed}/admin")
        expect(visit.page.get_by_role("heading", name="Anmelden")).to_be_visible()
        yield visit


def token_of(actor: Actor) -> str:
    return signed(SECRET, **actor.claims())


def cookies(page: Page) -> set[str]:
    return {cookie["name"] for cookie in page.context.cookies()}


def sign_in(page: Page, kind: str, secret: str) -> None:
    page.get_by_label(kind).check()
    page.get_by_label("Schlüssel oder Token").fill(secret)
    page.get_by_role("button", name="Anmelden").click()


def test_no_error_is_shown_before_the_first_attempt(visit: Visit) -> None:
    expect(visit.page.get_by_role("alert").filter(visible=True)).to_have_count(0)
    expect(visit.page.get_by_label("Schlüssel oder Token")).to_be_focused()
    assert visit.page.locator("#figures").is_hidden()


def test_a_wrong_key_is_explained(visit: Visit) -> None:
    sign_in(visit.page, "API-Schlüssel", "wrong")
    expect(visit.page.get_by_role("alert").filter(visible=True)).to_have_text(
        "Der Server kennt diesen Schlüssel nicht (Server: invalid api key)"
    )
    expect(visit.page.get_by_label("Schlüssel oder Token")).to_be_focused()
    assert visit.page.locator("#figures").is_hidden()
    assert ADMIN_COOKIE not in cookies(visit.page)


# over http with a name of a local network, browsers name the page by Referer only
@pytest.mark.parametrize("host", ["127.0.0.1", "portal.test"])
def test_the_key_is_entered_once_for_all_pages_until_the_operator_signs_out(
    visiting: Visiting, keyed: str, host: str
) -> None:
    url = keyed.replace("127.0.0.1", host)
    with visiting(url) as visit:
        page, context = visit.page, visit.page.context
        page.goto(f"{url}/admin-monitoring.html")
        expect(page.get_by_text("Diese Seite ist nur für Betreiber.")).to_be_visible()
        page.get_by_role("link", name="Anmelden").click()
        sign_in(page, "API-Schlüssel", KEY)
        visit.ready()
        expect(page.locator("#overview")).to_contain_text("286,78 €")
        page.reload()
        visit.ready()

        # no script finds the key
        found = page.evaluate("[document.cookie, {...localStorage}, {...sessionStorage}, secret.value]")
        assert found == ["", {}, {}, ""]
        assert KEY not in page.content()

        monitoring = context.new_page()
        monitoring.goto(f"{url}/admin-monitoring.html")
        expect(monitoring.locator("output")).to_contain_text("events, errors by type: page.error")

        copied = context.cookies()
        page.get_by_role("button", name="Abmelden").click()
        expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()
        assert "286,78" not in page.content()
        assert ADMIN_COOKIE not in cookies(page)
        for kept in ([], copied):
            context.clear_cookies()
            context.add_cookies([{"name": cookie["name"], "value": cookie["value"], "url": url} for cookie in kept])
            page.reload()
            expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()
            assert page.locator("#figures").is_hidden()


def test_an_admins_token_shows_the_figures_and_statements(visit: Visit) -> None:
    page = visit.page
    sign_in(page, "Token eines Admins", token_of(thinker("boss", "admin")))
    visit.ready()
    page.get_by_role("button", name="togethersystems").click()
    expect(page.get_by_role("region", name="Gebührenposten").locator("tbody tr")).to_have_count(100)


def test_a_token_of_another_thinker_is_explained(visit: Visit) -> None:
    sign_in(visit.page, "Token eines Admins", token_of(thinker("ben")))
    expect(visit.page.get_by_role("alert").filter(visible=True)).to_have_text(
        "Das Token gehört keinem Admin (Server: only admins may see this)"
    )


def test_a_malformed_token_is_explained(visit: Visit) -> None:
    sign_in(visit.page, "Token eines Admins", "nonsense")
    expect(visit.page.get_by_role("alert").filter(visible=True)).to_contain_text("invalid token")


def test_the_page_asks_again_when_the_session_has_ended(visit: Visit) -> None:
    page = visit.page
    sign_in(page, "Token eines Admins", token_of(thinker("boss", "admin")))
    visit.ready()
    page.context.clear_cookies()
    page.get_by_role("button", name="Aktualisieren").click()
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("Die Anmeldung gilt nicht mehr")
    assert "286,78" not in page.content()


def test_a_browser_that_keeps_no_cookies_is_told_so(visit: Visit) -> None:
    page = visit.page

    def forget(route: Route) -> None:
        answer = route.fetch()
        page.context.clear_cookies()
        route.fulfill(status=answer.status, body=answer.body(), content_type="application/json")

    page.route("**/api/admin/session", forget)
    sign_in(page, "API-Schlüssel", KEY)
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("bitte Cookies erlauben")


def test_the_cookie_of_an_admin_is_enough(visiting: Visiting, keyed: str) -> None:
    with visiting(keyed) as visit:
        visit.page.context.add_cookies(
            [{"name": TOKEN_COOKIE, "value": token_of(thinker("boss", "admin")), "url": keyed, "httpOnly": True}]
        )
        page = visit.open()
        expect(page.locator("#overview")).to_contain_text("286,78 €")
        assert page.get_by_role("button", name="Abmelden").is_hidden()


def test_the_cookie_of_another_thinker_is_not_enough(visiting: Visiting, keyed: str) -> None:
    with visiting(keyed) as visit:
        visit.page.context.add_cookies([{"name": TOKEN_COOKIE, "value": token_of(thinker("ben")), "url": keyed}])
        visit.page.goto(f"{keyed}/admin")
        expect(visit.page.get_by_text("Für die Zahlen brauchen Sie")).to_be_visible()
        assert visit.page.locator("#figures").is_hidden()
