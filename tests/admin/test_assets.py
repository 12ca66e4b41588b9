"""/admin over HTTP: the page and its files, with and without the portal's own pages."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from api.settings import ROOT
from tests.support.serving import Connection, serve, settings_in

FILES = sorted(
    path.name
    for path in (ROOT / "api" / "page" / "static").iterdir()
    if path.suffix in (".css", ".html", ".js", ".svg")
)


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "beside the portal's pages"])
def served(
    request: pytest.FixtureRequest, shared_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server with an API key; the page itself needs none."""
    folder = tmp_path_factory.mktemp("portal")
    (folder / "admin").mkdir()
    (folder / "admin" / "index.html").write_text("not this one")
    settings = settings_in(
        tmp_path_factory.mktemp("data"), ts_api_key="a long random text", portal_dir=folder if request.param else None
    )
    with serve(settings, shared_database) as url:
        yield url


@pytest.fixture
def client(served: str) -> Iterator[Connection]:
    with Connection(served) as connection:
        yield connection


def read(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Returns the answer with its body as bytes."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/index.html"])
def test_everybody_can_load_the_page(served: str, path: str) -> None:
    status, headers, body = read(served, path)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert body == (ROOT / "api" / "page" / "static" / "index.html").read_bytes()


@pytest.mark.parametrize("name", [*FILES, "vega.js"])
def test_every_file_has_security_headers_and_an_etag(served: str, name: str) -> None:
    status, headers, body = read(served, f"/admin/{name}")
    assert status == 200
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-cache"

    _, zipped, content = read(served, f"/admin/{name}", accept_encoding="gzip, br")
    assert (zipped["content-encoding"], zipped["vary"]) == ("gzip", "accept-encoding")
    assert gzip.decompress(content) == body

    status, again, content = read(served, f"/admin/{name}", if_none_match=headers["etag"])
    assert (status, content, again["etag"]) == (304, b"", headers["etag"])
    assert read(served, f"/admin/{name}", if_none_match='W/"another"')[0] == 200


def test_head_has_no_body(client: Connection) -> None:
    answer = client.ask("HEAD", "/admin")
    assert (answer.status, answer.body) == (200, None)
    assert client.get("/admin").status == 200  # the connection still works, so the server sent no body


@pytest.mark.parametrize(
    "path", ["/admin/nope.js", "/admin/__init__.py", "/admin/x/y", "/admin/..%2fapp.py", "/admin/%00"]
)
def test_unknown_paths_are_404(client: Connection, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.body) == (404, {"ok": False, "error": "not found"})


def test_post_is_405(client: Connection) -> None:
    assert client.post("/admin", {}).status == 405


def test_the_server_starts_without_vega() -> None:
    program = "import sys, api.app; sys.exit('vl_convert' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, check=False).returncode == 0


def test_the_page_loads_nothing_from_other_origins() -> None:
    texts = {name: (ROOT / "api" / "page" / "static" / name).read_text() for name in FILES}
    named = 'xmlns="http://www.w3.org/2000/svg"'  # the name of an XML namespace, which browsers do not fetch
    assert [name for name, text in texts.items() if "://" in text.replace(named, "")] == []
    assert [name for name, text in texts.items() if "innerHTML" in text or "style=" in text] == []
