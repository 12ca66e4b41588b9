"""The public keys of a third party that signs tokens, such as Supabase Auth."""

import asyncio
import logging
import math
import ssl
import time

import httpx
import jwt
from jwt.exceptions import PyJWKClientError, PyJWTError

from api.errors import ApiError

FRESH_SECONDS = 300.0
"""How long fetched keys are valid without another fetch: a key that was revoked, too."""

RETRY_SECONDS = 5.0
"""Delay before keys are fetched again, after a failure or for an unknown key."""

FETCH_SECONDS = 3.0
"""How long a request waits for keys."""

# what reading something else than a JWKS raises
_NO_KEYS = (ValueError, TypeError, AttributeError, RecursionError)

_log = logging.getLogger(__name__)


class PublicKeys:
    """The keys of a JWKS at a URL, fetched again after five minutes, and for an unknown key.

    While the URL is away, known keys stay valid, and their tokens do not wait for it.
    """

    def __init__(self, url: str) -> None:
        """Take the URL; the first token fetches it."""
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._is_away = False
        self._fetched_at = -math.inf
        self._fetch: asyncio.Task[None] | None = None

    async def of(self, token: str) -> jwt.PyJWK:
        """The key that a token names. Raises PyJWTError for an unknown key, ApiError: token_keys_away."""
        kid = jwt.get_unverified_header(token).get("kid", "")
        key, age = self._keys.get(kid), time.monotonic() - self._fetched_at
        if key is not None and not self._is_away and age < FRESH_SECONDS:
            return key
        if self._fetch is None and age >= RETRY_SECONDS:
            self._fetch = asyncio.create_task(self._renew())
        if key is not None and self._is_away:
            return key
        if self._fetch is not None:
            # one fetch for all who wait; it goes on when one of them leaves
            await asyncio.shield(self._fetch)
        if kid in self._keys:
            return self._keys[kid]
        if self._is_away:
            raise ApiError("token_keys_away")
        raise PyJWKClientError("no such key")

    async def _renew(self) -> None:
        """Replace the keys by those at the URL; keep them if there are none."""
        try:
            # the certificates of this machine, not those that come with httpx
            client = httpx.AsyncClient(verify=ssl.create_default_context())
            async with asyncio.timeout(FETCH_SECONDS), client:
                response = await client.get(self._url)
            self._keys = _signing_keys(response.raise_for_status().json())
            self._is_away = False
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, PyJWTError, *_NO_KEYS) as error:
            _log.warning("no keys at JWKS_URL: %r", error)
            self._is_away = True
        finally:
            self._fetched_at = time.monotonic()
            self._fetch = None


def _signing_keys(jwks: dict[str, object]) -> dict[str, jwt.PyJWK]:
    """The keys of a JWKS by their ids. Raises PyJWTError where it has none, and _NO_KEYS."""
    keys = jwt.PyJWKSet.from_dict(jwks).keys
    signing = {key.key_id: key for key in keys if key.key_id and key.public_key_use in ("sig", None)}
    if not signing:
        raise PyJWKClientError("no signing keys")
    return signing
