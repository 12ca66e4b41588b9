"""PORTAL_DIR: a folder of pages from the same origin as the API; files outside of it are not served."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Connection, serve, settings_in

DIGITS = "0123456789"


@pytest.fixture(scope="module")
def url(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app with a small portal."""
    folder, outside = tmp_path_factory.mktemp("portal"), tmp_path_factory.mktemp("outside")
    (folder / "index.html").write_text("<p>start</p>")
    (folder / "TELBANK").mkdir()
    (folder / "TELBANK" / "index.html").write_text("<p>telbank</p>")
    (folder / "TELBANK" / "app.js").write_text("1")
    (folder / "big.json").write_text(f'"{"x" * 3_000_000}"')
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    (outside / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(outside / "secret.txt")
    (folder / "business-admin.html").write_text("<p>business</p>")
    (folder / "TELBANK" / "about.html").write_text("<p>about</p>")
    (folder / "TELBANK" / "digits.txt").write_text(DIGITS)
    (folder / ".hidden.html").write_text("secret")
    with (folder / "terabyte.bin").open("wb") as sparse:
        sparse.truncate(2**40)
    with serve(settings_in(tmp_path_factory.mktemp("data"), portal_dir=folder), shared_database) as url:
        yield url


@pytest.fixture
def pages(url: str) -> Iterator[Connection]:
    """A connection to the app."""
    with Connection(url) as connection:
        yield connection


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/index.html", "text/html"),
        ("/TELBANK/", "text/html"),
        ("/TELBANK/app.js", "text/javascript"),
        ("/health", "application/json"),
        ("/api/voucher/list", "application/json"),
    ],
)
def test_pages_and_api_have_one_origin(pages: Connection, path: str, kind: str) -> None:
    answer = pages.get(path)
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, kind)


def test_a_folder_redirects_to_its_index(pages: Connection) -> None:
    answer = pages.get("/TELBANK?room=ABC")
    assert answer.status == 302
    assert answer.headers["location"].endswith("/TELBANK/?room=ABC")


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/.git/config",
        "/link.txt",
        "/%00",
        "/index.html/x",
        "/../etc/passwd",
        "/%2e%2e/x",
        "/" + "a" * 300,
        "/index.html/",
        "/TELBANK/../index.html",
    ],
)
def test_unknown_pages_are_404(pages: Connection, path: str) -> None:
    answer = pages.get(path)
    assert (answer.status, answer.body) == (404, {"ok": False, "error": "not found"})


def test_a_page_is_found_without_its_ending(pages: Connection) -> None:
    assert pages.get("/business-admin").headers["content-type"].startswith("text/html")
    assert pages.get("/TELBANK/about?x=1").status == 200
    assert pages.get("/.hidden").status == 404


def test_the_portals_own_page_tells_what_is_unknown(tmp_path: Path, shared_database: str) -> None:
    (tmp_path / "404.html").write_text("<p>unknown</p>")
    with serve(settings_in(tmp_path / "data", portal_dir=tmp_path), shared_database) as url:
        unknown = httpx.get(f"{url}/nope")
        of_api = httpx.get(f"{url}/api/nope")
    assert (unknown.status_code, unknown.text) == (404, "<p>unknown</p>")
    assert unknown.headers["content-type"] == "text/html; charset=utf-8"
    assert (of_api.status_code, of_api.json()) == (404, {"ok": False, "error": "not found"})


def test_a_browser_that_has_a_file_is_not_sent_it_again(pages: Connection) -> None:
    first = pages.get("/big.json")
    assert len(first.body) == 3_000_000
    again = pages.ask("GET", "/big.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, None, first.headers["etag"])


def test_the_headers_of_a_file_come_without_reading_it(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        answer = client.head("/terabyte.bin")
        assert (answer.status_code, answer.headers["content-length"]) == (200, str(2**40))
        # the connection is free for the next request
        answer = client.head("/terabyte.bin", headers={"Range": "bytes=1-"})
        assert (answer.status_code, answer.headers["content-length"]) == (206, str(2**40 - 1))


def test_ranges_of_bytes(url: str) -> None:
    expected = {
        "bytes=0-0": (206, "0"),
        "bytes=2-4": (206, "234"),
        "BYTES = 8-": (206, "89"),
        "bytes=-3": (206, "789"),
        "bytes=-99": (206, DIGITS),
        "bytes=5-99": (206, "56789"),
        "bytes=10-": (416, ""),
        "bytes=-0": (416, ""),
        # as if there were no header
        "bytes=4-2": (200, DIGITS),
        "bytes=0-1,3-4": (200, DIGITS),
        "bytes=-": (200, DIGITS),
        "bytes=a-b": (200, DIGITS),
        "bytes=" + "9" * 40 + "-": (200, DIGITS),
        "lines=1-2": (200, DIGITS),
    }
    answered, ranges = {}, {}
    with httpx.Client(base_url=url) as client:
        for header in expected:
            answer = client.get("/TELBANK/digits.txt", headers={"Range": header})
            answered[header] = (answer.status_code, answer.text)
            ranges[header] = answer.headers.get("content-range")
    assert answered == expected
    assert (ranges["bytes=2-4"], ranges["bytes=-3"]) == ("bytes 2-4/10", "bytes 7-9/10")
    assert (ranges["bytes=10-"], ranges["bytes=4-2"]) == ("bytes */10", None)
