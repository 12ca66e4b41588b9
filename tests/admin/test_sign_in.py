"""Who may see the figures: callers with the API key, and admins with a token or cookie."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from api.actor import Actor
from api.http.callers import TOKEN_COOKIE
from tests.admin.conftest import Visit, Visiting
from tests.admin.scene import fill
from tests.support.acting import thinker
from tests.support.serving import serve, settings_in
from tests.support.signing import KEY, SECRET, signed


@pytest.fixture(scope="module")
def keyed(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with an API key."""
    fill(shared_database)
    settings = settings_in(tmp_path_factory.mktemp("data"), ts_api_key=KEY, jwt_secret=SECRET)
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
    assert visit.page.evaluate("sessionStorage.length") == 0


def test_a_key_may_have_any_characters(visiting: Visiting, keyed: str, shared_database: str, tmp_path: Path) -> None:
    key = "ein Schlüssel, der € kostet"
    with serve(settings_in(tmp_path, ts_api_key=key), shared_database) as url, visiting(url) as visit:
        visit.page.goto(f"{url}/admin")
        sign_in(visit.page, "API-Schlüssel", key)
        visit.ready()


def test_the_key_shows_the_figures_until_the_reader_signs_out(visit: Visit) -> None:
    page = visit.page
    sign_in(page, "API-Schlüssel", KEY)
    visit.ready()
    expect(page.locator("#overview")).to_contain_text("286,78 €")
    page.reload()  # the tab keeps the key
    visit.ready()
    assert page.evaluate("localStorage.length") == 0
    page.get_by_role("button", name="Abmelden").click()
    expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()
    assert "286,78" not in page.content()
    page.reload()
    expect(page.get_by_role("heading", name="Anmelden")).to_be_visible()


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


def test_the_page_asks_for_a_new_token_when_one_expires(visit: Visit) -> None:
    page = visit.page
    sign_in(page, "Token eines Admins", token_of(thinker("boss", "admin")))
    visit.ready()
    page.evaluate("""sessionStorage.setItem("ts-admin-proof", '{"kind": "token", "secret": "ended"}')""")
    page.get_by_role("button", name="Aktualisieren").click()
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("invalid token")
    assert "286,78" not in page.content()


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
        expect(visit.page.get_by_role("alert").filter(visible=True)).to_contain_text("only admins may see this")
