"""The store of documents: a local folder, or any service with the S3 protocol (Supabase Storage, R2, B2, S3)."""

import hashlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from api.errors import ApiError
from api.settings import Settings

_FAILURE = "the store of documents (STORAGE_URL and AWS_*, or DATA_DIR) fails: %.300s"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """The size of a stored document in bytes, and its SHA-256 in hex."""

    byte_size: int
    sha256: str


class Storage:
    """The store that STORAGE_URL names; without one, the folder `contracts` under DATA_DIR."""

    def __init__(self, settings: Settings) -> None:
        self._store: ObjectStore
        if settings.storage_url is None:
            # readable by this user only, whatever the umask is
            (settings.data_dir / "contracts").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store = LocalStore(settings.data_dir)
        else:
            self._store = from_url(settings.storage_url)

    async def put(self, path: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Stored:
        """Store the chunks as they arrive, all or none.

        Raises ApiError: too_large, storage_away; and what `chunks` raises.
        """
        digest, size = hashlib.sha256(), 0

        async def hashed() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise ApiError("too_large")
                digest.update(chunk)
                yield chunk

        try:
            await obstore.put_async(self._store, path, hashed())
        except (BaseError, OSError) as error:
            _log.error(_FAILURE, error)
            raise ApiError("storage_away") from error
        return Stored(size, digest.hexdigest())

    async def delete(self, path: str) -> None:
        """Delete the document at this path, if there is one. Raises ApiError: storage_away."""
        try:
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            _log.error(_FAILURE, error)
            raise ApiError("storage_away") from error
