"""/admin behind a proxy that serves it below a prefix."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from playwright.sync_api import expect

from tests.admin.conftest import Visiting

PREFIX = "/portal"


@pytest.fixture
def proxied(filled: str) -> Iterator[str]:
    """The URL of a proxy that strips the prefix, and knows nothing else."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            answer = portal.get(self.path.removeprefix(PREFIX))
            self.send_response(answer.status_code)
            for name in ("content-type", "content-security-policy"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with (
        httpx.Client(base_url=filled, headers={"Accept-Encoding": "identity"}, timeout=60) as portal,
        ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy,
    ):
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/admin", "/admin/"])
def test_the_page_shows_its_figures_below_a_prefix(visiting: Visiting, proxied: str, path: str) -> None:
    with visiting(proxied) as visit:
        page = visit.open(PREFIX + path)
        page.locator("[data-statement]").first.click()
        expect(page.locator("#statement-pdf")).to_have_attribute("href", re.compile(f"^{PREFIX}/api/admin/.*pdf"))
        assert [asked for asked in visit.asked if not asked.startswith(PREFIX)] == []
