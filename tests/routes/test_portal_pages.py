"""PORTAL_DIR: a folder of pages from the same origin as the API; files outside of it are not served."""

from collections.abc import Iterator

import pytest

from tests.support.serving import Connection, serve, settings_in


@pytest.fixture(scope="module")
def pages(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The app with a small portal."""
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
    settings = settings_in(tmp_path_factory.mktemp("data"), portal_dir=folder)
    with serve(settings, shared_database) as url, Connection(url) as connection:
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
    ["/nope", "/.git/config", "/link.txt", "/%00", "/index.html/x", "/../etc/passwd", "/%2e%2e/x", "/" + "a" * 300],
)
def test_unknown_pages_are_404(pages: Connection, path: str) -> None:
    answer = pages.get(path)
    assert (answer.status, answer.body) == (404, {"ok": False, "error": "not found"})


def test_a_large_file_is_complete_and_keeps_its_own_tag(pages: Connection) -> None:
    first = pages.get("/big.json")
    again = pages.ask("GET", "/big.json", headers={"If-None-Match": first.headers["etag"]})
    assert first.status == again.status == 200
    assert len(first.body) == len(again.body) == 3_000_000
    assert not first.headers["etag"].startswith("W/")
