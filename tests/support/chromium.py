"""A real browser."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests.support.missing import missing

# a page on a busy machine is slow
TIMEOUT = 60_000
expect.set_options(timeout=TIMEOUT)

_SILENT = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a name that Chromium does not trust over http, as one in a local network
    "--host-resolver-rules=MAP portal.test 127.0.0.1",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium; close it before another test runs an event loop in this thread."""
    # the headless shell is Chromium without its windows, which take half of the time
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None:
        missing("These tests need Chromium on the PATH (Debian: apt install chromium-headless-shell).")
    # Chromium does not start with libfaketime
    environment: dict[str, str | float | bool] = {
        name: value for name, value in os.environ.items() if name != "LD_PRELOAD"
    }
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=_SILENT, env=environment) as browser,
    ):
        yield browser
