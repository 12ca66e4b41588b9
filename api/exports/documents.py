"""The stored documents of an export: files of the folder documents, each named after the id of its row."""

from pathlib import Path

import psycopg

from api.errors import PortalError
from api.exports.manifest import Documents
from api.imports.documents import hash_file, read_chunks
from api.storage import Storage, Stored

FOLDER = "documents"

_ROWS = "select id::text, storage_url, byte_size, hash_sha256 from public.contracts order by id"


async def export_documents(connection: psycopg.Connection, storage: Storage, folder: Path) -> Documents:
    """Writes each document that has the size and the hash that its row says. Raises ApiError: storage_away."""
    documents = Documents()
    rows = connection.execute(_ROWS).fetchall()
    if rows:
        (folder / FOLDER).mkdir(mode=0o700)
    for name, path, size, sha256 in rows:
        if await storage.copy(path, folder / FOLDER / name) == Stored(size, sha256):
            documents.count += 1
            documents.bytes += size
        else:
            (folder / FOLDER / name).unlink(missing_ok=True)
            documents.missing.append(name)
    return documents


async def import_documents(
    connection: psycopg.Connection, storage: Storage, folder: Path, documents: Documents
) -> None:
    """Stores each document, all or none; what the store has already stays.

    Raises PortalError where one is missing or has another hash than its row, and ApiError: storage_full, storage_away.
    """
    stored = []
    try:
        for name, path, size, sha256 in connection.execute(_ROWS).fetchall():
            if name in documents.missing:
                continue
            file = folder / FOLDER / name
            if not file.is_file() or hash_file(file) != Stored(size, sha256):
                raise PortalError(f"{file} is missing or was changed: nothing is imported.")
            if await storage.find(path) != Stored(size, sha256):
                stored.append(path)
                await storage.put(path, read_chunks(file), max_bytes=size)
    except BaseException:
        for path in stored:
            await storage.delete(path)
        raise
