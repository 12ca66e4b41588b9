"""Reads a running server through its lists: a legacy one, or one like this."""

import mmap
import sqlite3
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx
import msgspec
from pydantic import SecretStr

from api.errors import PortalError
from api.imports.lists import FIGURES, LISTS, OFFERS, List, Value, items_of, read_row
from api.imports.source import TABLES

_MAX_ANSWER = 2**26
"""The bytes of an answer; a server of generation 1 sends all rows that it keeps in memory at once."""

_MAX_ANSWERS = 2**34
"""The bytes of all answers of a server, which go to the disk."""

_MAX_REQUESTS = 1_000_000
"""The requests to a server, most of which are for a page or an application."""

_LONGEST_ID = 255
"""The characters of an id or a uid that the tables take."""

_MAX_NAMES = 100
"""How many fields without a column are named, each with at most so many characters."""

TIMEOUT = httpx.Timeout(60, connect=10)
"""The seconds in which a server must send something."""

_ATTEMPTS = 5
"""How often a request is sent that the server's rate limit refuses."""

_WINDOW = 61
"""The seconds until a legacy server's rate limit, which it does not tell, allows more."""

_USER = b"portal-import"
"""Some lists want a user, and show the rows of all users."""

_Page: TypeAlias = tuple[list[msgspec.Raw], httpx.Headers]


class Http:
    """The rows that the lists of a server showed."""

    def __init__(self, address: str, database: sqlite3.Connection, notes: list[str]) -> None:
        """Takes the address of the server, the database into which its lists were read, and what they do not show."""
        self.name = address
        self.notes = notes
        self._database = database
        self._counts: dict[str, int] = {
            table: database.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608
            for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall()
        }
        self.input: Mapping[str, object] = {"lists": self._counts}

    def count(self, table: str) -> int:
        """The number of rows of a table; 0 where the server has no list of it."""
        return self._counts.get(table, 0)

    def rows(self, table: str) -> Iterator[dict[str, Value]]:
        """The rows of a table, oldest first."""
        if table not in self._counts:
            return
        with closing(self._database.execute(f"select * from {table} order by rowid desc")) as cursor:  # noqa: S608
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))


@contextmanager
def open_http(url: str, key: SecretStr | None, advance: Callable[[int], None] = lambda _: None) -> Iterator[Http]:
    """Reads all lists of a server, and yields their rows.

    The server is not trusted: an answer has a largest size, and goes to a temporary file; no redirect is followed, so
    that the key stays with this server.
    Raises PortalError where the server cannot be read.
    """
    address = address_of(url).removesuffix("/api").rstrip("/")
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"} | (
        {"X-TS-APIKEY": key.get_secret_value()} if key else {}
    )
    with (
        tempfile.TemporaryDirectory(prefix="portal-import-") as folder,
        closing(sqlite3.connect(Path(folder) / "lists.sqlite", isolation_level=None)) as database,
    ):
        for statement in ("pragma journal_mode = off", "pragma synchronous = off", "begin"):
            database.execute(statement)
        with httpx.Client(headers=headers, timeout=TIMEOUT, verify=ssl.create_default_context()) as client:
            notes = _Reader(_Server(client, address), database, advance).read()
        yield Http(address, database, notes)


def address_of(url: str) -> str:
    """The URL, without a slash at its end. Raises PortalError where it is more than an address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise PortalError(f"{url} is no address, like https://portal.example.org.")
    if parts.username is not None:
        raise PortalError("Leave user and password out of the URL: other users of this machine see it.")
    return url.rstrip("/")


class _Server:
    """Asks a server."""

    def __init__(self, client: httpx.Client, address: str) -> None:
        self._client = client
        self._left = _MAX_ANSWERS
        self._requests_left = _MAX_REQUESTS
        self.address = address

    def pages(self, part: List, user: bytes = _USER, **parameters: str) -> Iterator[_Page] | None:
        """The pages of a list; None where the server does not have it. Raises PortalError."""
        first = self._ask(part, user, parameters)
        return None if first is None else self._follow(part, user, parameters, first)

    def _follow(self, part: List, user: bytes, parameters: Mapping[str, str], page: _Page | None) -> Iterator[_Page]:
        # hashes, because a cursor may be long
        seen: set[int] = set()
        while page is not None:
            yield page
            after = page[1].get("List-Next")
            if not after:
                return
            if hash(after) in seen:
                raise PortalError(f"{self.address}/api/{part.path} begins again and again.")
            seen.add(hash(after))
            page = self._ask(part, user, {**parameters, "after": after})
        raise PortalError(f"{self.address}/api/{part.path} ended in the middle: run the command again.")

    def _ask(self, part: List, user: bytes, parameters: Mapping[str, str]) -> _Page | None:
        self._requests_left -= 1
        if self._requests_left < 0:
            raise PortalError(f"{self.address}/api/{part.path} has more pages than a list can have.")
        url = httpx.URL(f"{self.address}/api/{part.path}")
        try:
            url = url.copy_merge_params(dict(parameters))
        except httpx.InvalidURL as error:
            raise PortalError(f"{url} names an id or a page by more than a URL can have.") from error
        for _ in range(_ATTEMPTS):
            try:
                with self._client.stream("GET", url, headers={b"X-MOT-User": user}) as answer:
                    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                        seconds = answer.headers.get("Retry-After", "")
                        time.sleep(min(int(seconds), _WINDOW) if seconds.isdecimal() else _WINDOW)
                        continue
                    return (items_of(self._content(answer), part.items), answer.headers) if _is_list(answer) else None
            except httpx.HTTPError as error:
                raise PortalError(f"Cannot read {url} ({str(error) or type(error).__name__}).") from error
            except ValueError as error:
                what = f"it is no JSON, has no array {part.items}, or one of more than a million rows"
                raise PortalError(f"{url} answers no list: {what}.") from error
        raise PortalError(f"{url} answers 429 again and again.")

    def _content(self, answer: httpx.Response) -> bytes | memoryview:
        """The body: a file that is gone when nothing refers to it. Raises PortalError: encoded, or too long."""
        # a few bytes would become gigabytes before they are counted
        if (encoding := answer.headers.get("Content-Encoding", "identity").strip().lower()) != "identity":
            raise PortalError(f"{answer.url} answers in the encoding {encoding}, though it was asked for none.")
        with tempfile.TemporaryFile() as file:
            for chunk in answer.iter_raw():
                self._left -= len(chunk)
                if file.tell() + len(chunk) > _MAX_ANSWER or self._left < 0:
                    raise PortalError(f"{answer.url} answers more than a list can have.")
                file.write(chunk)
            file.flush()
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if file.tell() else b""


def _is_list(answer: httpx.Response) -> bool:
    """Whether the server has the list. Raises PortalError for an answer that leaves that open."""
    status, url = answer.status_code, answer.url
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise PortalError(f"{url} answers {status}: set IMPORT_API_KEY to the TS_API_KEY of that server.")
    if answer.is_redirect:
        raise PortalError(f"{url} redirects to {answer.headers.get('Location')}: give the address that answers itself.")
    # a host of static pages answers every path with a page
    is_page = status == httpx.codes.OK and "json" not in answer.headers.get("Content-Type", "")
    if is_page or status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
        return False
    if status != httpx.codes.OK:
        raise PortalError(f"{url} answers {status}.")
    return True


class _Reader:
    """Reads the lists of a server into a database."""

    def __init__(self, server: _Server, database: sqlite3.Connection, advance: Callable[[int], None]) -> None:
        self._server = server
        self._database = database
        self._advance = advance
        self._unknown: Counter[str] = Counter()
        self._notes: list[str] = []

    def read(self) -> list[str]:
        """Reads all lists; returns what they do not show. Raises PortalError where the server has none."""
        found = {part.table for part in LISTS if self._read(part)}
        if not found:
            paths = ", ".join(f"/api/{part.path}" for part in LISTS)
            raise PortalError(f"{self._server.address} is no server of the portal: it has none of {paths}.")
        if "mortgage_applications" in found:
            self._read_offers()
            found.add(OFFERS.table)
            self._notes.append("Applications that are not open, and their offers, may be left out.")
        if "vouchers" in found and "voucher_bookings" not in found:
            query = "select count(*) from vouchers where lower(status) = 'booked'"
            if booked := self._database.execute(query).fetchone()[0]:
                self._notes.append(f"{booked} vouchers are booked, but no list shows when: their slots are free here.")
        missing = ", ".join(table for table in TABLES if table not in found)
        unknown = [f"The field {name} is not imported ({rows} rows)." for name, rows in self._unknown.items()]
        return [f"Not shown by lists of {self._server.address}: {missing}.", *self._notes, *unknown]

    def _read(self, part: List) -> bool:
        """Reads a list; returns whether there is one."""
        pages = self._server.pages(part)
        if pages is None:
            return False
        self._create(part)
        for items, headers in pages:
            # the first page has the newest rows, in whatever order
            self._insert(part, self._rows(part, items if part.is_newest_first else items[::-1]))
            if part.table == "events" and len(items) == 200 and "List-Limit" not in headers:
                self._notes.append("Of the events only the newest 200 are shown.")
        return True

    def _read_offers(self) -> None:
        """Reads the offers of each application: only program A of generation 1 lists those of all."""
        self._create(OFFERS)
        query = "select distinct id, borrower_uid from mortgage_applications where typeof(id) = 'text'"
        has_figures, without = True, 0
        for application, borrower in self._database.execute(query).fetchall():
            # no such id is taken, and a server may refuse to be asked for it
            if not application.strip() or len(application) > _LONGEST_ID:
                continue
            offers = self._all(OFFERS, self._server.pages(OFFERS, applicationId=application))
            if offers and has_figures:
                pages = self._server.pages(FIGURES, _header(borrower), applicationId=application)
                has_figures = pages is not None
                figures = {row.get("id"): row for row in self._all(FIGURES, pages)}
                without += sum(row.get("id") not in figures for row in offers) if has_figures else 0
                offers = [figures.get(row.get("id"), {}) | row for row in offers]
            self._insert(OFFERS, offers[::-1])
        if without:
            self._notes.append(f"{without} offers are shown without interest rate and payment.")

    def _all(self, part: List, pages: Iterator[_Page] | None) -> list[dict[str, Value]]:
        return [row for items, _ in pages or () for row in self._rows(part, items)]

    def _rows(self, part: List, items: list[msgspec.Raw]) -> Iterator[dict[str, Value]]:
        for item in items:
            unknown: Counter[str] = Counter()
            try:
                yield part.row(read_row(item), unknown)
            except ValueError:
                # bytes are no id: the row will be rejected
                yield {"id": bytes(item)}
            for name in unknown:
                short = name[:_MAX_NAMES]
                if short in self._unknown or len(self._unknown) < _MAX_NAMES:
                    self._unknown[short] += 1

    def _create(self, part: List) -> None:
        columns = ", ".join(f"{name} {kind}" for name, kind in part.columns.items())
        self._database.execute(f"create table {part.table} ({columns})")

    def _insert(self, part: List, rows: Iterator[dict[str, Value]] | list[dict[str, Value]]) -> None:
        columns = [*part.columns]
        statement = f"insert into {part.table} values ({', '.join('?' * len(columns))})"  # noqa: S608
        inserted = self._database.executemany(statement, ([row.get(name) for name in columns] for row in rows))
        self._advance(inserted.rowcount)


def _header(uid: object) -> bytes:
    """A uid as the value of a header, as servers read it; the user of all lists where no header can hold it."""
    is_value = (
        isinstance(uid, str)
        and len(uid) <= _LONGEST_ID
        and uid.isprintable()
        and uid.strip() == uid != ""
        and max(uid) <= "\xff"
    )
    return str(uid).encode("latin-1") if is_value else _USER
