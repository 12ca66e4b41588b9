"""What the page shows in a real browser: with data of every kind, without data, and with hostile data."""

import json
import sys
import unicodedata
from datetime import datetime
from zoneinfo import ZoneInfo

import psycopg
from playwright.sync_api import Page, Route, expect

from api.cli.texts import visible
from tests.admin.conftest import Visit, Visiting
from tests.admin.scene import SETTLED_FEES, transfer
from tests.support.acting import call, thinker
from tests.support.charging import charge

DASHBOARDS = ["presence", "vouchers", "mortgages", "telbank", "fees", "system"]
BERLIN = ZoneInfo("Europe/Berlin")
NOTHING = "In diesem Zeitraum gibt es nichts zu zeigen."


def marks(page: Page, section: str) -> list[str]:
    """The visible shapes (bars, points) in the plots of a section."""
    shapes: list[str] = page.locator(f"#{section} svg").evaluate_all(
        """(plots) => plots.flatMap((plot) => [...plot.querySelectorAll(".mark-rect path, .mark-symbol path")])
        .filter((shape) => shape.getBBox().width > 0 && shape.getBBox().height > 0)
        .map((shape) => shape.getAttribute("d") + shape.getAttribute("transform"))"""
    )
    return shapes


def test_each_dashboard_has_plots_with_data(visit: Visit) -> None:
    page = visit.open()
    assert {section: bool(marks(page, section)) for section in DASHBOARDS} == dict.fromkeys(DASHBOARDS, True)
    for plot in page.locator("[data-plot]").all():
        # Vega labels its drawing for screen readers
        assert (plot.get_attribute("aria-label") or "").startswith("Diagramm: ")


def test_the_four_questions_are_answered_first(visit: Visit) -> None:
    page = visit.open()
    answers = page.locator("#overview .answer")
    assert answers.locator("h3").all_inner_texts() == [
        "Was ist los?",
        "Was ist verdient?",
        "Was ist wem geschuldet?",
        "Ist etwas kaputt?",
    ]
    busy, earned, owed, broken = answers.all()
    expect(busy).to_contain_text("3 online")
    expect(busy).to_contain_text("Buchungen 2")
    expect(earned).to_contain_text("2,40 €")  # 2 percent of 120 euros; the fees of the cancelled booking are reversed
    # and 119 fees of 2.41 euros, one of them reversed
    expect(owed.locator(".value")).to_have_text("286,78 €")
    expect(owed).to_contain_text("an togethersystems 286,78 €")
    expect(owed).to_contain_text("500 ¥")
    # the scene has fees of bookings that do not exist
    expect(broken).to_contain_text("Probleme: 2")
    expect(broken).to_contain_text("every_charge_has_its_subject")
    expect(broken).to_contain_text("Aufträge laufen von Hand")
    expect(broken).to_contain_text("Gemeldete Fehler im Zeitraum 1")


def test_faults_are_named(visit: Visit) -> None:
    page = visit.open()
    rules = page.get_by_role("region", name="Was immer gelten muss").locator("tbody tr")
    expect(rules.filter(has_text="every_charge_has_its_subject")).to_contain_text("✕ Verletzt: 122")
    expect(rules.filter(has_text="bookings_do_not_overlap")).to_contain_text("✓ Gilt")
    expect(rules.first).to_contain_text("Verletzt")  # the worst comes first
    expect(rules.last.locator("[lang=en]")).to_have_count(1)
    jobs = page.get_by_role("region", name="Geplante Aufträge").locator("tbody tr")
    expect(jobs.filter(has_text="expire-vouchers")).to_contain_text("Noch nicht dran")


def answer_of_system(page: Page, **changes: object) -> None:
    """Replaces the server's answer about the system."""

    def answer(route: Route) -> None:
        route.fulfill(json=route.fetch().json() | changes)

    page.route("**/api/admin/stats/system*", answer)


def test_a_late_job_is_no_fault_without_a_scheduler(visit: Visit) -> None:
    page = visit.page
    job = {
        "name": "expire-vouchers",
        "does": "Lets vouchers expire.",
        "schedule": "*/5 * * * *",
        "state": "late",
        "lastRunAt": None,
        "lastGoodRunAt": None,
        "lastErrorAt": "2026-11-24T15:00:00.000Z",
        "lastError": "no room " * 50,
        "runBy": "nobody",
    }
    answer_of_system(page, clock=False, jobs=[job], invariants=[])
    visit.open()
    broken = page.locator("#overview .answer").nth(3)
    expect(broken.locator(".value")).to_have_text("! Aufträge ruhen")
    expect(broken).to_contain_text("Von Hand zu starten expire-vouchers")
    expect(page.locator("#system")).to_contain_text("Weder pg_cron noch ein Server")
    expect(page.locator("#system")).to_contain_text("niemandem")

    answer_of_system(page, clock=True, jobs=[job | {"runBy": "portal run"}], invariants=[])
    page.get_by_role("button", name="Aktualisieren").click()
    expect(broken.locator(".value")).to_have_text("✕ Probleme: 1")
    expect(page.locator("#system")).not_to_contain_text("Weder pg_cron noch ein Server")
    expect(page.locator("#system")).to_contain_text("portal run")

    answer_of_system(page, clock=False, jobs=[job | {"state": "failed"}], invariants=[])
    page.get_by_role("button", name="Aktualisieren").click()
    expect(broken).to_contain_text("Aufträge mit Fehler oder überfällig expire-vouchers")
    expect(page.locator("#system")).to_contain_text("Fehlgeschlagen")


def test_invariants_that_were_not_checked_are_not_shown_as_valid(visit: Visit) -> None:
    answer_of_system(visit.page, invariants=None)
    page = visit.open()
    sentence = "Die Regeln prüft bei so vielen Ereignissen täglich der Auftrag check-invariants."
    expect(page.locator("#overview .answer").nth(3)).to_contain_text(sentence)
    expect(page.locator("#system")).to_contain_text(sentence)
    expect(page.locator("#overview")).not_to_contain_text("Regeln eingehalten")


def test_the_period_is_in_the_address_and_changes_the_plots(visit: Visit) -> None:
    page = visit.open()
    before = {section: marks(page, section) for section in DASHBOARDS}
    page.get_by_role("button", name="Letzter Monat").click()
    page.wait_for_url("**/admin?period=last-month")
    visit.ready()
    expect(page.locator("#vouchers")).to_contain_text(NOTHING)
    for section in DASHBOARDS:
        assert marks(page, section) != before[section]
    expect(page.get_by_role("button", name="Letzter Monat")).to_have_attribute("aria-pressed", "true")

    page.reload()  # as a bookmark does
    visit.ready()
    expect(page.locator("#vouchers")).to_contain_text(NOTHING)

    page.go_back()
    visit.ready()
    expect(page.locator("figure").filter(has_text="Buchungen je Tag")).not_to_contain_text(NOTHING)
    assert {section: marks(page, section) for section in DASHBOARDS} == before


def test_a_longer_period_redraws_the_plots(visit: Visit) -> None:
    page = visit.open()
    before = marks(page, "fees")
    page.get_by_role("button", name="90 Tage").click()
    page.wait_for_url("**/admin?period=90")
    visit.ready()
    after = marks(page, "fees")
    assert before
    assert len(after) > len(before)


def test_a_late_answer_for_another_period_is_not_shown(visit: Visit) -> None:
    page = visit.open()
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/admin/stats/vouchers*", hold_the_first)
    with page.expect_request("**/api/admin/stats/vouchers*"):
        page.get_by_role("button", name="Aktualisieren").click()
    page.get_by_role("button", name="Letzter Monat").click()
    page.wait_for_url("**/admin?period=last-month")
    visit.ready()
    held[0].continue_()
    page.evaluate("fetch('/api/admin/stats/vouchers').then((response) => response.text())")
    expect(page.locator("#vouchers .key-figures")).to_contain_text("Buchungen0")


def test_a_period_can_be_chosen_by_its_days(visit: Visit) -> None:
    page = visit.open()
    page.locator("#period").click()
    page.get_by_label("Von").fill("2026-02-02")
    page.get_by_label("Bis").fill("2026-02-01")
    page.get_by_role("button", name="Anzeigen").click()
    expect(page.locator("#filter-error")).to_contain_text("Ein Zeitraum geht von einem Tag")
    page.get_by_label("Bis").fill("2026-02-03")
    page.get_by_role("button", name="Anzeigen").click()
    page.wait_for_url("**/admin?from=2026-02-02&to=2026-02-03")
    visit.ready()
    expect(page.locator("#filter-error")).to_be_empty()
    expect(page.locator("#period")).to_contain_text("02.–03.02.2026")


def test_an_invalid_address_is_explained_or_ignored(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.origin}/admin?from=2026-02-03&to=2026-02-02")
    expect(page.locator("#notice")).to_contain_text("Nicht alles ließ sich aktualisieren")
    expect(page.locator("#notice")).to_contain_text("days")  # the message of the API
    visit.open("/admin?from=yesterday&to=%3Cb%3E&period=0&currency=%3Cb%3E")
    expect(page.get_by_role("button", name="30 Tage")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#notice")).to_be_hidden()


def test_the_currency_can_be_chosen(visit: Visit) -> None:
    page = visit.open()
    assert page.get_by_role("combobox", name="Währung").input_value() == "EUR"
    page.get_by_role("combobox", name="Währung").select_option("JPY")
    page.wait_for_url("**currency=JPY")
    expect(page.locator("#telbank")).to_contain_text("Ein- und Ausgänge je Tag in JPY")
    expect(page.locator("#telbank")).to_contain_text("95.000 ¥")  # no decimals
    visit.ready()
    assert marks(page, "telbank")


def test_figures_are_available_as_a_table(visit: Visit) -> None:
    page = visit.open()
    bookings = page.locator("figure").filter(has=page.get_by_text("Buchungen je Tag", exact=True))
    bookings.get_by_text("Zahlen als Tabelle").click()
    today = bookings.get_by_role("row").nth(1).get_by_role("cell").all_inner_texts()
    assert today == ["2", "1", "1"]


def test_a_statement_has_pages_and_explains_its_fee_events(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="togethersystems").click()
    dialog = page.get_by_role("dialog", name="Abrechnung")
    rows = dialog.get_by_role("region", name="Gebührenposten").locator("tbody tr")
    expect(rows).to_have_count(100)
    expect(rows.first).to_contain_text("2,01 % von 120,00 € = 2,412 €, gerundet")
    expect(rows.first).to_contain_text("2,41 €")
    dialog.get_by_role("button", name="Weitere laden").click()
    expect(rows).to_have_count(SETTLED_FEES)
    expect(rows.filter(has_text="Nimmt Posten")).to_contain_text("-2,41 €")
    expect(dialog.get_by_role("button", name="Weitere laden")).to_be_hidden()
    dialog.get_by_role("button", name="Schließen").click()
    expect(dialog).to_be_hidden()


def test_receivables_say_who_owes_what_since_when_and_what_is_overdue(visit: Visit) -> None:
    page = visit.open()
    receivables = page.get_by_role("region", name="größten Forderungen").locator("tbody tr")
    # the most overdue first: 10 of Ben's 30 francs are paid, and the voided invoice does not count
    cells = receivables.first.locator("th, td").all_inner_texts()
    assert cells[:3] == ["ben", "notariat", "CHF"]
    assert cells[3].startswith("13. ")
    assert [text.replace("\xa0", " ") for text in cells[4:]] == [
        "20,00 CHF", "20,00 CHF", "0,00 CHF", "0,00 CHF", "20,00 CHF",
    ]  # fmt: skip
    # anna owes 2,40 € of these 286,78 €
    expect(receivables.filter(has_text="togethersystems").nth(0)).to_contain_text("unbekannt")
    expect(receivables.filter(has_text="togethersystems").nth(0)).to_contain_text("284,38 €")
    expect(page.get_by_role("region", name="Was wem geschuldet ist").locator("tr", has_text="CHF")).to_contain_text(
        "20,00 CHF"
    )


def test_a_settlement_shows_payers_payments_and_what_it_replaces(visit: Visit) -> None:
    page = visit.open()
    listed = page.locator("#settlements tbody tr").filter(has_text="In Rechnung gestellt, überfällig")
    number, year = f"{datetime.now(BERLIN).year}-0002", datetime.now(BERLIN).year
    for text in (number, "notariat", "30,00 CHF", "10,00 CHF", "31. Jan. 2026"):
        expect(listed).to_contain_text(text)
    listed.get_by_role("button").click()
    dialog = page.get_by_role("dialog", name="Abrechnung")
    expect(dialog.get_by_role("region", name="Zahler").locator("tbody tr")).to_contain_text("ben130,00 CHF")
    payment = dialog.get_by_role("region", name="Zahlungen").locator("tbody tr")
    for text in ("ben", "Bank 7", "10,00 CHF"):
        expect(payment).to_contain_text(text)
    dialog.get_by_role("button", name=f"{year}-0001").click()
    expect(dialog).to_contain_text("falsche Anschrift")
    expect(dialog.get_by_role("button", name="Schließen")).to_be_focused()
    dialog.get_by_role("button", name=number).click()
    expect(dialog.get_by_role("region", name="Zahlungen")).to_be_visible()
    href = dialog.get_by_role("link", name="Als PDF").get_attribute("href")
    assert page.evaluate("href => fetch(href).then(answer => answer.headers.get('content-type'))", href) == (
        "application/pdf"
    )


def test_an_empty_database_has_sentences_instead_of_plots(visiting: Visiting, portal: str) -> None:
    with visiting(portal) as visit:
        page = visit.open()
        for section in [*DASHBOARDS, "settlements", "events"]:
            assert page.locator(f"#{section} p.muted").count() >= 1, section
        expect(page.locator("#settlements")).to_contain_text("Es gibt noch keine Abrechnung.")
        expect(page.locator("#overview")).to_contain_text("Niemandem etwas")
        assert page.locator("#currency-choice").is_hidden()
        # the portal itself is the only thinker, and new
        assert [section for section in DASHBOARDS if marks(page, section)] == ["presence"]
        assert len(marks(page, "presence")) == 1


def test_the_page_and_the_command_line_escape_the_same_texts(visiting: Visiting, portal: str) -> None:
    # what a later Unicode assigns, one of the two may know already
    texts = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cn", "Cs")]
    with visiting(portal) as visit:
        visit.page.goto(f"{visit.origin}/admin")
        # as one text, because Playwright takes seconds for a list
        shown = json.loads(
            visit.page.evaluate(
                "text => import('./admin/texts.js').then(({ visible }) => JSON.stringify([...text].map(visible)))",
                "".join(texts),
            )
        )
    assert [ascii(text) for text, seen in zip(texts, shown, strict=True) if seen != visible(text)] == []


def test_what_cannot_be_seen_is_escaped(visiting: Visiting, portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        call(connection, thinker("anna\u202egnp"), "send_heartbeat", pair_code="a\u200bb\x1b[2J")
    with visiting(portal) as visit:
        page = visit.open("/admin")
        expect(page.locator("#presence")).to_contain_text(r"a\u200bb\x1b[2J")
        expect(page.locator("#events")).to_contain_text(r"anna\u202egnp")


def test_a_name_that_objects_have_already_is_a_bar_like_others(visiting: Visiting, portal: str, database: str) -> None:
    names = ("__proto__", "constructor", "garten", "hasOwnProperty")
    with psycopg.connect(database, autocommit=True) as connection:
        for name in names:
            call(connection, thinker(f"of-{name}"), "send_heartbeat", pair_code=name)
            transfer(connection, "in", 5, "EUR", name)
    with visiting(portal) as visit:
        page = visit.open("/admin")
        for section in ("presence", "telbank"):
            plot = page.locator(f"#{section} [data-plot]").last
            assert set(plot.locator(".role-axis-label text").all_text_contents()) >= set(names)
            expect(plot.locator(".mark-rect path")).to_have_count(len(names))


def test_hostile_texts_are_shown_as_text(visiting: Visiting, portal: str, database: str) -> None:
    hostile = '<img src=x onerror="hacked=1">'
    currency = hostile.upper().replace('"HACKED=1"', "A")
    mallory = thinker(hostile)
    with psycopg.connect(database, autocommit=True) as connection:
        call(connection, mallory, "send_heartbeat", pair_code=hostile)
        transfer(connection, "in", 5, "EUR", hostile)
        # as in a row from before currencies were known
        connection.execute("set session_replication_role = replica")
        connection.execute("update public.transfers set fiat_currency = %s", [currency])
        connection.execute("set session_replication_role = origin")
        call(connection, mallory, "record_telemetry", events=[{"event": hostile, "severity": hostile}])
        charge(connection, "2026-01-01T10:00:00Z", 100, "EUR", hostile)
        call(connection, thinker("boss", "admin"), "settle_fees", period_from="2026-01-01", period_to="2026-02-01")
        charge(connection, "2026-02-01T10:00:00Z", 100, "EUR", "x" * 255)
    with visiting(portal) as visit:
        page = visit.open(f"/admin?currency={currency}")
        for section in ("overview", "presence", "telbank", "fees", "settlements", "events"):
            expect(page.locator(f"#{section}")).to_contain_text("<img", ignore_case=True)
        page.get_by_role("button", name=hostile).click()
        expect(page.get_by_role("region", name="Gebührenposten").locator("tbody tr")).to_have_count(1)
        expect(page.locator("#statement")).to_contain_text(hostile)
        page.keyboard.press("Escape")
        page.locator("#presence svg .mark-rect path").last.hover()
        expect(page.locator("#tip")).to_contain_text(hostile)
        assert page.locator("img").count() == 0
        assert page.evaluate("typeof hacked") == "undefined"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
