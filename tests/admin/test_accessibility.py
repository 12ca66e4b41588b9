"""The page works by keyboard, with a screen reader, on a phone, in dark mode, in German and in English.

What is seen is kept in tests/screenshots, which git ignores.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from api.database.migrations import seed
from api.settings import ROOT
from tests.admin.conftest import SCREENSHOTS, Scheme, Visit, Visiting
from tests.admin.scene import fill
from tests.support.serving import serve, settings_in
from tests.support.signing import KEY
from tests.support.stress import sized

DESKTOP, PHONE = 1280, 360


@pytest.fixture(scope="module")
def seeded(shared_database: str) -> str:
    """The URL of a database with the demo data and the scene."""
    seed(shared_database)
    fill(shared_database)
    return shared_database


@pytest.fixture(scope="module")
def url(seeded: str, shared_portal: str) -> str:
    """The URL of a portal without a key."""
    return shared_portal


@pytest.fixture(scope="module")
def keyed(seeded: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a portal with an API key."""
    with serve(settings_in(tmp_path_factory.mktemp("data"), ts_api_key=KEY), seeded) as url:
        yield url


@pytest.fixture(scope="module")
def axe(npm_programs: Path) -> str:
    """The source code of axe-core."""
    return (npm_programs.parent / "axe-core" / "axe.min.js").read_text()


def findings(page: Page, axe: str) -> list[str]:
    """Returns the problems that axe finds, and where."""
    page.evaluate(axe)
    # an open dialog is modal: the page behind it cannot be reached
    violations = page.evaluate(
        "axe.run(document.querySelector('dialog[open]') ?? document, {resultTypes: ['violations']})"
        ".then((result) => result.violations)"
    )
    return [
        f"{violation['impact']} {violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in violations
        for node in violation["nodes"]
    ]


def photograph(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=page.locator("dialog[open]").count() == 0)


def switch_to(page: Page, language: str) -> None:
    if language == "en":
        page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", language)


def assert_every_word_is_translated(page: Page) -> None:
    """No key of a text, and no placeholder, is shown. Removes data from the page: types of events are like keys."""
    keys: set[str] = set(page.evaluate("import('/admin/words.js').then(({words}) => Object.keys(words.de))"))
    page.locator("code, #events td").evaluate_all("(elements) => elements.forEach((element) => element.remove())")
    text = page.locator("body").inner_text()
    shown = set(re.findall(r"[\w.]+", text))
    # a key that is one lower-case word may also be a word of the page
    assert shown & {key for key in keys if not key.islower() or "." in key} == set()
    assert "undefined" not in shown
    # a placeholder that was not filled
    assert not re.search(r"\{\w+\}", text)


# covers every value; at full size every pair of values
@pytest.mark.parametrize(
    ("scheme", "language", "width"),
    sized(
        usual=[("light", "en", DESKTOP), ("dark", "de", PHONE)],
        full=[("light", "de", DESKTOP), ("light", "en", PHONE), ("dark", "de", PHONE), ("dark", "en", DESKTOP)],
    ),
)
def test_axe_finds_nothing_and_every_word_is_translated(
    visiting: Visiting, url: str, axe: str, scheme: Scheme, language: str, width: int
) -> None:
    name = f"admin-{scheme}{'-en' if language == 'en' else ''}{'-phone' if width == PHONE else ''}"
    with visiting(url, scheme=scheme, width=width) as visit:
        page = visit.open()
        switch_to(page, language)
        visit.ready()
        photograph(page, name)
        assert findings(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("[data-statement]").first.click()
        expect(page.get_by_role("dialog").locator("tbody tr").first).to_be_visible()
        photograph(page, f"{name}-statement")
        assert findings(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert_every_word_is_translated(page)


@pytest.mark.parametrize(("scheme", "language"), [("light", "de"), ("dark", "en")])
def test_axe_finds_nothing_on_the_sign_in_form(
    visiting: Visiting, keyed: str, axe: str, scheme: Scheme, language: str
) -> None:
    with visiting(keyed, scheme=scheme, width=PHONE) as visit:
        page = visit.page
        page.goto(f"{keyed}/admin")
        page.get_by_role("button", name="English").wait_for()
        switch_to(page, language)
        page.locator("#secret").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#sign-in-error")).to_contain_text("invalid api key")
        photograph(page, f"admin-sign-in-{scheme}-{language}-phone")
        assert findings(page, axe) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE


@pytest.fixture
def visit(visiting: Visiting, url: str) -> Iterator[Visit]:
    with visiting(url) as visit:
        yield visit


def tab_to(page: Page, target: Locator) -> None:
    """Presses Tab until the element has the focus, and checks that it is visible."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if target.evaluate("(element) => element === document.activeElement"):
            assert target.evaluate("(element) => getComputedStyle(element).outlineStyle") != "none"
            return
    pytest.fail(f"{target} cannot be reached by keyboard")


def test_everything_can_be_done_by_keyboard(visit: Visit) -> None:
    page = visit.open()
    tab_to(page, page.locator(".skip"))
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("body").evaluate("() => document.activeElement.blur()")
    page.reload()
    visit.ready()

    tab_to(page, page.locator("#language"))
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#language")).to_be_focused()

    tab_to(page, page.get_by_role("button", name="90 days"))
    page.keyboard.press("Space")
    page.wait_for_url("**/admin?period=90")
    visit.ready()
    tab_to(page, page.locator("#period"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("From")).to_be_visible()

    opener = page.locator("[data-statement]").first
    tab_to(page, opener)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").locator("tbody tr").first).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('statement').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(opener).to_be_focused()


def test_the_language_is_remembered(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations")
    expect(page.locator("#telbank")).to_contain_text("€1,")  # not 1.…,.. €
    page.reload()
    visit.ready()
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations")


def test_the_plots_follow_the_scheme(visit: Visit) -> None:
    page = visit.open()
    bar = page.locator("#vouchers svg .mark-rect path").first
    light = bar.get_attribute("fill")
    page.emulate_media(color_scheme="dark")
    expect(bar).not_to_have_attribute("fill", light or "")


def test_headings_and_landmarks_are_in_order(visit: Visit) -> None:
    page = visit.open()
    levels: list[int] = (
        page.locator("h1, h2, h3")
        .filter(visible=True)
        .evaluate_all("(headings) => headings.map((heading) => Number(heading.tagName[1]))")
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for landmark in ("banner", "main", "navigation"):
        expect(page.get_by_role(landmark)).to_have_count(1)


def test_both_languages_have_the_same_words(visit: Visit) -> None:
    visit.page.goto(f"{visit.origin}/admin")
    words: dict[str, dict[str, str]] = visit.page.evaluate("import('/admin/words.js').then(({words}) => words)")
    german, english = words["de"], words["en"]
    assert list(german) == list(english)
    for key, text in german.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", english[key])), key


def test_every_translation_is_used() -> None:
    folder = ROOT / "api" / "page" / "static"
    sources = "".join(file.read_text() for file in folder.iterdir() if file.suffix in (".html", ".js"))
    keys = re.findall(r"^    \"?([\w.]+)\"?: ", (folder / "words.js").read_text(), flags=re.MULTILINE)
    assert len(keys) > 100
    # keys with a dot are composed: word(`job.${state}`)
    assert [key for key in keys if f'"{key}"' not in sources and f"`{key.partition('.')[0]}.${{" not in sources] == []
