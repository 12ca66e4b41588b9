"""The store of documents: a local folder, or any service with the S3 protocol (Supabase Storage, R2, B2, S3)."""

import hashlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from api.errors import ApiError
from api.settings import Settings

if TYPE_CHECKING:
    from obstore import GetResult

_CHUNK = 2**18

LONGEST_NAME = 250
"""The bytes of a file's name: a disk takes 255, and obstore adds some while it writes."""

_LONGEST_KEY = 1024
"""The bytes of a key of S3, with the prefix of STORAGE_URL."""

_ESCAPES = str.maketrans({"=": "=3D", "%": "=25", "~": "=7E"})
"""Supabase Storage refuses % and ~ in keys, which paths of the table contracts have; see private.my_document_keys."""

_FAILURE = "the store of documents (STORAGE_URL and AWS_*, or DATA_DIR) fails: %.300s"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """The size of a stored document in bytes, and its SHA-256 in hex."""

    byte_size: int
    sha256: str


class Measured:
    """Chunks, and the size and the hash of those that have passed."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256()
        self.byte_size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks, each when it is measured."""
        async for chunk in self._chunks:
            self.byte_size += len(chunk)
            self._digest.update(chunk)
            yield chunk

    @property
    def stored(self) -> Stored:
        """The size and the hash."""
        return Stored(self.byte_size, self._digest.hexdigest())


class Storage:
    """The store that STORAGE_URL names; without one, the folder `contracts` under DATA_DIR."""

    def __init__(self, settings: Settings) -> None:
        self._store: ObjectStore
        self._folder: Path | None = None
        self._prefix = ""
        self._is_supabase = False
        self._min_free = settings.min_free_mib * 1024 * 1024
        if settings.storage_url is None:
            self._folder = settings.data_dir
            # readable by this user only, whatever the umask is
            (settings.data_dir / "contracts").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store = LocalStore(settings.data_dir)
        else:
            self._store = from_url(settings.storage_url)
            self._prefix = urlsplit(settings.storage_url).path.strip("/")
            # obstore reads the variable itself
            self._is_supabase = os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/").endswith("/storage/v1/s3")

    def takes(self, path: str) -> bool:
        """Whether the store can have a document at this path of the table contracts: a longer one is nowhere."""
        if self._folder is None:
            return len(f"{self._prefix}/{self._key(path)}".lstrip("/").encode()) <= _LONGEST_KEY
        return all(len(name.encode()) <= LONGEST_NAME for name in path.split("/"))

    async def put(self, path: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Stored:
        """Store the chunks as they arrive, all or none.

        Raises ApiError: too_large, storage_full, storage_away; and what `chunks` raises.
        """
        measured = Measured(chunks)

        async def limited() -> AsyncIterator[bytes]:
            async for chunk in measured:
                if measured.byte_size > max_bytes:
                    raise ApiError("too_large")
                self._require_free_space()
                yield chunk

        self._require_free_space()
        try:
            await obstore.put_async(self._store, self._key(path), limited())
        except BaseException as error:
            self._remove_folder_of(path)
            if isinstance(error, (BaseError, OSError)):
                _log.error(_FAILURE, error)
                raise ApiError("storage_away") from error
            raise
        return measured.stored

    async def find(self, path: str, write: Callable[[bytes], object] = lambda _: None) -> Stored | None:
        """The size and the hash of the document at this path; None where there is none. Passes its chunks to `write`.

        Raises ApiError: storage_away; and what `write` raises.
        """
        measured = Measured(self.read(path))
        try:
            async for chunk in measured:
                write(chunk)
        except FileNotFoundError:
            return None
        return measured.stored

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """The chunks of the document at this path.

        Raises FileNotFoundError where there is none, and ApiError: storage_away.
        """
        if not self.takes(path):
            raise FileNotFoundError(path)
        try:
            async for chunk in _chunks(await obstore.get_async(self._store, self._key(path))):
                yield chunk
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            _log.error(_FAILURE, error)
            raise ApiError("storage_away") from error

    async def copy(self, path: str, file: Path) -> Stored | None:
        """Copy the document at this path into a file that only its owner can read; None where there is none.

        Raises OSError; and ApiError: storage_away.
        """
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            found = await self.find(path, target.write)
        if found is None:
            await anyio.Path(file).unlink(missing_ok=True)
        return found

    async def read_part(self, path: str, expected_bytes: int, part: range) -> AsyncIterator[bytes]:
        """The bytes of a part, not empty, of the document at this path, in chunks as they are read.

        Raises ApiError, before the first chunk: storage_away, also if the document is missing or has another size.
        """
        try:
            found = await obstore.get_async(self._store, self._key(path), options={"range": (part.start, part.stop)})
        except (BaseError, OSError) as error:
            _log.error(_FAILURE, error)
            raise ApiError("storage_away") from error
        if found.meta["size"] != expected_bytes:
            _log.error(_FAILURE, f"{path} has {found.meta['size']} bytes instead of {expected_bytes}")
            raise ApiError("storage_away")
        return _chunks(found)

    async def delete(self, path: str) -> None:
        """Delete the document at this path, if there is one. Raises ApiError: storage_away."""
        if not self.takes(path):
            return
        try:
            await obstore.delete_async(self._store, self._key(path))
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            _log.error(_FAILURE, error)
            raise ApiError("storage_away") from error
        self._remove_folder_of(path)

    def _key(self, path: str) -> str:
        """The key in the store of a document at this path of the table contracts."""
        return path.translate(_ESCAPES) if self._is_supabase else path

    def _require_free_space(self) -> None:
        """Raises ApiError where the disk, which may be the database's too, would become too full."""
        if self._folder is not None and shutil.disk_usage(self._folder).free < self._min_free:
            raise ApiError("storage_full")

    def _remove_folder_of(self, path: str) -> None:
        """Remove the folder of a document that is not stored; other stores than disks have none."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / path).parent.rmdir()


async def _chunks(found: "GetResult") -> AsyncIterator[bytes]:
    # small ones, because a client that reads slowly keeps one in the memory of this server
    async for chunk in found.stream(min_chunk_size=_CHUNK):
        yield bytes(chunk)
