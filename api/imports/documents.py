"""Moves the stored documents of a legacy bucket into the store: from a copy in a folder, or from its URL."""

import hashlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

import httpx
import psycopg
from pydantic import SecretStr

from api.errors import PortalError
from api.imports.http import TIMEOUT, address_of
from api.storage import Measured, Storage, Stored

_CHUNK = 2**20

_MISSING = {httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN, httpx.codes.BAD_REQUEST}
"""What buckets answer that do not have a document: S3 without the right to list 403, Supabase Storage 400."""


@dataclass
class Documents:
    """What became of the documents of the table contracts."""

    read: int = 0
    stored: int = 0
    already_there: int = 0
    missing: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


class Place(Protocol):
    """Where the documents are."""

    async def open(self, path: str) -> AsyncIterator[bytes] | None:
        """The content of a document; None where it is missing."""


class Folder:
    """A copy of a bucket, or of its folder `contracts`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()

    async def open(self, path: str) -> AsyncIterator[bytes] | None:
        """The content of a file; None where it is missing."""
        for name in _names(path):
            file = (self._root / name).resolve()
            with suppress(OSError):  # a name that is too long for this disk
                if file.is_relative_to(self._root) and file.is_file():
                    return read_chunks(file)
        return None


class Bucket:
    """The URL of a bucket, or of its folder `contracts`. Documents are read as they are stored."""

    def __init__(self, address: str, client: httpx.AsyncClient) -> None:
        self._address = address
        self._client = client

    async def open(self, path: str) -> AsyncIterator[bytes] | None:
        """The content of an object; None where it is missing. Raises PortalError."""
        for name in _names(path):
            url = f"{self._address}/{quote(name)}"
            try:
                answer = await self._client.send(self._client.build_request("GET", url), stream=True)
            except httpx.HTTPError as error:
                raise _unreadable(url, error) from error
            if answer.status_code == httpx.codes.OK:
                return self._chunks(answer)
            await answer.aclose()
            if answer.is_redirect:
                raise PortalError(f"{url} redirects to {answer.headers.get('Location')}: give the URL of the bucket.")
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                raise PortalError(f"{url} answers 401: set IMPORT_BUCKET_TOKEN to a bearer token of the bucket.")
            if answer.status_code not in _MISSING:
                raise PortalError(f"{url} answers {answer.status_code}.")
        return None

    async def _chunks(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        except httpx.HTTPError as error:
            raise _unreadable(str(answer.url), error) from error
        finally:
            await answer.aclose()


@asynccontextmanager
async def open_bucket(url: str, token: SecretStr | None) -> AsyncIterator[Bucket]:
    """Yields the bucket at a URL. No redirect is followed, so that the token stays there. Raises PortalError."""
    headers = {"Accept-Encoding": "identity"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    address = address_of(url)
    async with httpx.AsyncClient(headers=headers, timeout=TIMEOUT, verify=ssl.create_default_context()) as client:
        yield Bucket(address, client)


class _DiffersError(Exception):
    """A document has another size or another hash than its row says."""


async def load_documents(
    connection: psycopg.Connection, storage: Storage, place: Place, advance: Callable[[], None] = lambda: None
) -> Documents:
    """Stores each imported document that has the size and the hash that the table says, and that no other row claims.

    One whose file may be that of another row, under another spelling of its path, is differing.

    What the store has already stays. Raises ApiError: storage_full, storage_away; PortalError: a bucket that fails.
    """
    documents = Documents()
    rows = connection.execute(
        "select r.id, c.storage_url, c.byte_size, c.hash_sha256, exists ("
        # whose the document is nobody knows then, or it is an erased thinker's
        "   select from private.import_rejects j"
        "   where j.legacy_table = 'contracts' and (j.resolved_at is null or j.reason = 'thinker_erased')"
        "     and (j.row_id = r.id or j.content ->> 'storage_url' = c.storage_url)"
        " )"
        " from private.import_rows r"
        " join public.contracts c on c.id = private.import_uuid(r.id)"
        " where r.legacy_table = 'contracts'"
        " order by c.created_at, c.id"
    ).fetchall()
    claims = Counter(
        name
        for (path,) in connection.execute(
            "select c.storage_url from public.contracts c"
            " union select j.content ->> 'storage_url' from private.import_rejects j"
            " where j.legacy_table = 'contracts' and j.resolved_at is null"
            "   and j.content ->> 'storage_url' like 'contracts/%'"
        )
        for name in _names(path)
    )
    for id_, path, size, sha256, is_doubtful in rows:
        documents.read += 1
        expected = Stored(size, sha256)
        # the servers stored none in the folder of another
        if not path.startswith(f"contracts/{id_}/") or not storage.takes(path):
            documents.missing.append(path)
        elif await storage.find(path) == expected:
            documents.already_there += 1
        elif is_doubtful or any(claims[name] > 1 for name in _names(path)):
            documents.differing.append(path)
        elif (chunks := await place.open(path)) is None:
            documents.missing.append(path)
        else:
            try:
                await storage.put(path, _checked(chunks, expected), max_bytes=size)
                documents.stored += 1
            except _DiffersError:
                documents.differing.append(path)
        advance()
    return documents


def _names(path: str) -> list[str]:
    """The names that a document may have: the servers encoded them, tools that copy a bucket may decode them.

    A path that no server has encoded has no other spelling: it may be an alias of somebody else's.
    """
    decoded = unquote(path)
    spellings = (path, decoded) if quote(decoded, safe="/!'()*") == path else (path,)
    names = dict.fromkeys(name for spelling in spellings for name in (spelling, spelling.removeprefix("contracts/")))
    return [name for name in names if "\0" not in name and _is_inside(name)]


def _is_inside(path: str) -> bool:
    return not {".", ".."}.intersection(path.split("/"))


async def _checked(chunks: AsyncIterator[bytes], expected: Stored) -> AsyncIterator[bytes]:
    """The chunks; at the end raises _DiffersError unless they are what is expected, and as soon as they are more."""
    measured = Measured(chunks)
    async for chunk in measured:
        if measured.byte_size > expected.byte_size:
            raise _DiffersError
        yield chunk
    if measured.stored != expected:
        raise _DiffersError


def _unreadable(url: str, error: httpx.HTTPError) -> PortalError:
    return PortalError(f"Cannot read {url} ({str(error) or type(error).__name__}).")


def hash_file(file: Path) -> Stored:
    """The size and the hash of a file."""
    with file.open("rb") as opened:
        return Stored(file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())


async def read_chunks(file: Path) -> AsyncIterator[bytes]:
    """The content of a file, for Storage.put."""
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk
