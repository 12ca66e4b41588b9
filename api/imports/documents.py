"""Moves the stored documents of a legacy bucket, copied into a folder, into the store."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import psycopg

from api.storage import Storage, Stored

_CHUNK = 2**20


@dataclass
class Documents:
    """What became of the documents of the table contracts."""

    read: int = 0
    stored: int = 0
    already_there: int = 0
    missing: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


async def load_documents(
    connection: psycopg.Connection, storage: Storage, folder: Path, advance: Callable[[], None] = lambda: None
) -> Documents:
    """Stores each imported document whose file has the size and the hash that the table says.

    What the store has already stays. Raises ApiError: storage_full, storage_away.
    """
    documents = Documents()
    rows = connection.execute(
        "select c.storage_url, c.byte_size, c.hash_sha256 from public.contracts c"
        " where c.id in ("
        "   select private.import_uuid(r.id) from private.import_rows r where r.legacy_table = 'contracts'"
        " )"
        " order by c.created_at, c.id"
    ).fetchall()
    for path, size, sha256 in rows:
        documents.read += 1
        expected = Stored(size, sha256)
        if {".", ".."}.intersection(path.split("/")):
            # no store has such a path
            documents.missing.append(path)
        elif await storage.find(path) == expected:
            documents.already_there += 1
        elif (file := _file(folder, path)) is None:
            documents.missing.append(path)
        elif hash_file(file) != expected:
            documents.differing.append(path)
        else:
            await storage.put(path, read_chunks(file), max_bytes=size)
            documents.stored += 1
        advance()
    return documents


def _file(folder: Path, path: str) -> Path | None:
    """The file of a document: the folder is a copy of the bucket, or of its folder `contracts`."""
    root = folder.resolve()
    inner = path.removeprefix("contracts/")
    # the servers encoded the names of files; tools that copy a bucket may decode them
    for name in (path, unquote(path), inner, unquote(inner)):
        file = (root / name).resolve() if "\0" not in name else root
        if file.is_relative_to(root) and file.is_file():
            return file
    return None


def hash_file(file: Path) -> Stored:
    """The size and the hash of a file."""
    with file.open("rb") as opened:
        return Stored(file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())


async def read_chunks(file: Path) -> AsyncIterator[bytes]:
    """The content of a file, for Storage.put."""
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk
