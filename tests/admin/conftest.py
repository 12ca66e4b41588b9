"""A browser, and a visit to the page that fails on every unexpected error."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from tests.admin.scene import fill
from tests.support.chromium import TIMEOUT, chromium

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"

# Chromium reports every 4xx answer, but the page handles those
_REFUSED = "Failed to load resource: the server responded with a status of "

_READY = """() => {
  const figures = document.getElementById("figures");
  const plots = [...document.querySelectorAll("[data-plot]")];
  return !figures.hidden && !figures.ariaBusy && plots.every((plot) => plot.querySelector("svg"));
}"""


@dataclass
class Visit:
    """A page in its own browser context, and the paths that it requested."""

    page: Page
    origin: str
    asked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Records errors, violations of the content security policy (logged as errors) and foreign origins."""
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if f"{address.scheme}://{address.netloc}" == self.origin:
            self.asked.append(address.path)
        elif address.scheme != "data":
            self.problems.append(f"asked {request.url}")

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_REFUSED):
            self.problems.append(f"{message.type}: {message.text}")

    def open(self, path: str = "/admin") -> Page:
        """Opens a path, and waits for the figures and every plot."""
        self.page.goto(f"{self.origin}{path}")
        self.ready()
        return self.page

    def ready(self) -> None:
        """Waits for the figures and every plot."""
        self.page.wait_for_function(_READY)


Scheme: TypeAlias = Literal["light", "dark"]
Visiting: TypeAlias = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; closed after each module, because no other test can run an event loop in this thread meanwhile."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visiting(browser: Browser) -> Visiting:
    """Visits a portal; fails at the end if anything went wrong."""

    @contextmanager
    def visit(url: str, scheme: Scheme = "light", width: int = 1280, height: int = 900) -> Iterator[Visit]:
        with browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": height}, locale="de-DE", reduced_motion="reduce"
        ) as context:
            if "FAKETIME" in os.environ:
                context.clock.install(time=datetime.now(UTC))
            visit = Visit(context.new_page(), url)
            visit.page.set_default_timeout(TIMEOUT)
            visit.watch()
            yield visit
            assert visit.problems == []

    return visit


@pytest.fixture(scope="module")
def filled(shared_database: str, shared_portal: str) -> str:
    """The URL of a portal without a key, whose database holds the scene."""
    fill(shared_database)
    return shared_portal


@pytest.fixture
def visit(visiting: Visiting, filled: str) -> Iterator[Visit]:
    """A visit to the filled portal, on a desktop, in light colours."""
    with visiting(filled) as visit:
        yield visit
