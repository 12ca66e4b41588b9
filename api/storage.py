"""Where documents lie: a local folder, or any store that speaks S3 (Supabase Storage, R2, B2, S3)."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from api.errors import ApiError
from api.settings import Settings


@dataclass(frozen=True)
class Stored:
    """What was stored: its size in bytes, and its SHA-256 in hex."""

    byte_size: int
    sha256: str


class Storage:
    """The store that STORAGE_URL names; without one, the folder `contracts` under DATA_DIR."""

    def __init__(self, settings: Settings) -> None:
        self._store: ObjectStore
        if settings.storage_url is None:
            # for this user's eyes only, whatever the umask says
            (settings.data_dir / "contracts").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store = LocalStore(settings.data_dir)
        else:
            self._store = from_url(settings.storage_url)

    async def put(self, path: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Stored:
        """Store the chunks as they come, all or nothing; passes on what `chunks` raises.

        Refuses: too_large, storage_away.
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
            raise ApiError("storage_away") from error
        return Stored(size, digest.hexdigest())

    async def delete(self, path: str) -> None:
        """Delete what was stored, if it was."""
        try:
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise ApiError("storage_away") from error
