"""The page refreshes itself at the right times, and does not disturb its reader."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Page, Route, expect

from tests.admin.conftest import Visit, Visiting
from tests.admin.scene import book, fill
from tests.support.databases import Server

HALF_A_MINUTE = 31_000
FIVE_MINUTES = 301_000


@pytest.fixture(scope="module")
def scene(server: Server, migrated: str) -> Iterator[str]:
    """The name of a database with the scene; the tests work on copies of it."""
    name = server.create(template=migrated)
    fill(server.url(name))
    yield name
    server.drop(name)


@pytest.fixture
def database(server: Server, scene: str) -> Iterator[str]:
    """The URL, as superuser, of a database with the scene."""
    with server.database(template=scene) as url:
        yield url


@pytest.fixture
def visit(visiting: Visiting, portal: str) -> Iterator[Visit]:
    """A visit to a database of its own; the browser's clock can be advanced."""
    with visiting(portal) as visit:
        visit.page.clock.install()
        yield visit


def bookings(page: Page, number: int) -> None:
    """Waits until the page shows this number of bookings."""
    expect(page.locator("#overview .answer").first).to_contain_text(f"Buchungen {number}")


def book_another(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        book(connection, slot=3)


def test_the_button_shows_a_new_booking(visit: Visit, database: str) -> None:
    page = visit.open()
    bookings(page, 2)
    book_another(database)
    page.get_by_role("button", name="Aktualisieren").click()
    bookings(page, 3)


def test_a_new_booking_appears_by_itself(visit: Visit, database: str) -> None:
    page = visit.open()
    bookings(page, 2)
    shown = page.locator("#updated").inner_text()
    book_another(database)
    page.clock.fast_forward(HALF_A_MINUTE)
    bookings(page, 3)
    expect(page.locator("#updated")).not_to_have_text(shown)
    expect(page.locator("#vouchers svg").first).to_contain_text("0123")  # the axis of the plot


def test_the_expensive_request_is_sent_every_five_minutes(visit: Visit) -> None:
    page = visit.open()
    assert visit.asked.count("/api/admin/stats/system") == 1
    with page.expect_response("**/api/admin/events*"):
        page.clock.fast_forward(HALF_A_MINUTE)
    visit.ready()
    assert visit.asked.count("/api/admin/stats/system") == 1
    with page.expect_response("**/api/admin/stats/system*"):
        page.clock.fast_forward(FIVE_MINUTES)
    visit.ready()
    with page.expect_response("**/api/admin/stats/system*"):
        page.get_by_role("button", name="Aktualisieren").click()


def test_a_hidden_page_sends_no_requests_until_it_is_visible(visit: Visit, database: str) -> None:
    page = visit.open()
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    asked = len(visit.asked)
    page.clock.fast_forward(HALF_A_MINUTE)
    page.evaluate("fetch('/health').then((response) => response.text())")
    # the browser may fetch the icon at any time
    assert [path for path in visit.asked[asked:] if path != "/admin/icon.svg"] == ["/health"]

    book_another(database)
    page.evaluate("delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))")
    bookings(page, 3)


def test_a_refresh_keeps_what_the_reader_has_focused(visit: Visit, database: str) -> None:
    page = visit.open()
    page.locator("#vouchers figure summary").first.click()
    button = page.get_by_role("button", name="treuhand")
    button.evaluate("(element) => { element.mine = true; element.focus(); }")
    book_another(database)
    page.clock.fast_forward(HALF_A_MINUTE)
    bookings(page, 3)
    expect(button).to_be_focused()
    assert button.evaluate("(element) => element.mine")
    expect(page.locator("#vouchers figure table").first).to_be_visible()
    expect(page.locator("#vouchers figure table").first).to_contain_text("3")

    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Gebührenposten").locator("tbody tr")).to_have_count(1)
    with page.expect_response("**/api/admin/events*"):
        page.clock.fast_forward(HALF_A_MINUTE)
    visit.ready()
    expect(dialog).to_be_visible()


def test_old_figures_stay_while_the_database_is_down(visit: Visit) -> None:
    page = visit.open()
    sentence = "database not available, please try again shortly"

    def away(route: Route) -> None:
        route.fulfill(status=503, content_type="application/json", body=json.dumps({"ok": False, "error": sentence}))

    page.route("**/api/admin/stats/*", away)
    page.clock.fast_forward(HALF_A_MINUTE)
    expect(page.get_by_role("status")).to_contain_text(sentence)
    expect(page.get_by_role("status")).to_contain_text("Zu sehen ist der Stand von")
    bookings(page, 2)

    page.unroute("**/api/admin/stats/*")
    page.clock.fast_forward(HALF_A_MINUTE)
    expect(page.locator("#notice")).to_be_hidden()


def test_old_figures_stay_while_the_server_is_down(visit: Visit) -> None:
    page = visit.open()
    page.route("**/api/admin/**", lambda route: route.abort("connectionrefused"))
    page.clock.fast_forward(HALF_A_MINUTE)
    expect(page.get_by_role("status")).to_contain_text("Der Server ist nicht zu erreichen")
    bookings(page, 2)
    visit.problems = [problem for problem in visit.problems if "ERR_CONNECTION_REFUSED" not in problem]


def test_figures_of_another_period_do_not_replace_missing_ones(visit: Visit) -> None:
    page = visit.open()
    missed = "**/api/admin/stats/system*"
    page.route(missed, lambda route: route.fulfill(status=503, json={"ok": False, "error": "busy"}))
    page.get_by_role("button", name="7 Tage").click()
    page.wait_for_url("**/admin?period=7")
    visit.ready()
    expect(page.locator("#system")).not_to_contain_text("expire-vouchers")
    expect(page.locator("#notice")).to_contain_text("busy")

    # the next refresh requests them again, even those that are requested rarely
    page.unroute(missed)
    page.clock.fast_forward(HALF_A_MINUTE)
    expect(page.locator("#system")).to_contain_text("expire-vouchers")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_link_to_a_section_sends_no_request(visit: Visit) -> None:
    page = visit.open()
    asked = len(visit.asked)
    page.locator("#sections a").nth(4).click()
    page.wait_for_url("**/admin#*")
    page.evaluate("fetch('/health').then((response) => response.text())")
    # the browser may fetch the icon at any time
    assert [path for path in visit.asked[asked:] if path != "/admin/icon.svg"] == ["/health"]


def test_requests_do_not_overlap(visit: Visit) -> None:
    page = visit.open()
    held: list[Route] = []
    page.route("**/api/admin/events*", lambda route: held.append(route))
    with page.expect_request("**/api/admin/events*"):
        page.clock.fast_forward(HALF_A_MINUTE)
    asked = len(visit.asked)
    page.clock.fast_forward(HALF_A_MINUTE)
    page.evaluate("fetch('/health').then((response) => response.text())")
    assert [path for path in visit.asked[asked:] if path.endswith("/events")] == []
    held[0].continue_()
    visit.ready()


def test_figures_are_shown_without_vega(visiting: Visiting, portal: str) -> None:
    with visiting(portal) as visit:
        visit.page.route("**/admin/vega.js", lambda route: route.abort())
        visit.page.goto(f"{portal}/admin")
        expect(visit.page.get_by_role("status")).to_contain_text("Die Diagramme lassen sich gerade nicht zeichnen")
        bookings(visit.page, 2)
        visit.problems = [
            problem for problem in visit.problems if "vega.js" not in problem and "ERR_FAILED" not in problem
        ]
