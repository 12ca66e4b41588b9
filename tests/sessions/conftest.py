"""A server with a key, and browsers that use it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.serving import Answer, Connection, serve, settings_in
from tests.support.signing import KEY, SECRET

SAME = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends with the requests of a page of this server."""


class Browser:
    """A profile of a browser: it keeps the cookies that it gets."""

    def __init__(self, connection: Connection) -> None:
        """Loads the portal's page."""
        self.connection = connection
        self.cookies: dict[str, str] = {}
        self.uid = uuid4().hex[:22]
        assert self.ask("GET", "/", headers={"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}).status == 200

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Sends a request with these headers and the cookies; by default as a page of this server does."""
        sent = SAME if headers is None else headers
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.connection.ask(method, path, body, raw=raw, headers={**sent, "Cookie": cookie})
        if set_cookie := answer.headers.get("set-cookie"):
            name, _, value = set_cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Posts JSON as a page of this server does."""
        return self.ask("POST", path, body, headers={**SAME, **_named(headers)})

    def get(self, path: str, **headers: str) -> Answer:
        """Asks as a page of this server does."""
        return self.ask("GET", path, headers={**SAME, **_named(headers)})


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture(scope="module")
def public_url(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with a key that serves a page."""
    pages = tmp_path_factory.mktemp("pages")
    Path(pages, "index.html").write_text("<p>portal")
    Path(pages, "core.js").write_text("//")
    Path(pages, "admin-monitoring.html").write_text("<p>monitoring")
    folder = tmp_path_factory.mktemp("public")
    settings = settings_in(folder, ts_api_key=KEY, jwt_secret=[SECRET], rate_limit="off", portal_dir=pages)
    with serve(settings, shared_database) as url:
        yield url


@pytest.fixture
def public(public_url: str) -> Iterator[Connection]:
    """A connection to it."""
    with Connection(public_url) as connection:
        yield connection


@pytest.fixture
def anna(public: Connection) -> Browser:
    """The browser of a user."""
    return Browser(public)


@pytest.fixture
def ben(public: Connection) -> Browser:
    """The browser of another user."""
    return Browser(public)
