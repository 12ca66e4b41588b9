"""The tokens of /api/presence/verify: texts that a thinker chose, with an optional signature."""

import hashlib
import hmac
import math
import time
from uuid import UUID

from api.errors import ApiError
from api.legacy import javascript
from api.settings import Settings

SIGNATURE_AGE_MS = 300_000


def thinker_uid(token: str, settings: Settings, session_id: UUID | None = None) -> str:
    """The uid of a token's thinker: by HMAC-SHA256 where PRESENCE_HASH_KEY is set (generation 2), else by SHA-256.

    With a session the uid is of this session only, and no text is a token for it.
    """
    message = (token + settings.token_secret_optional.get_secret_value()).encode()
    if session_id is not None:
        message = b"\xff" + session_id.bytes + message  # no text begins with this byte in UTF-8
    if settings.presence_hash_key is not None:
        key = settings.presence_hash_key.get_secret_value().encode()
        digest = hmac.new(key, message, hashlib.sha256).hexdigest()
    else:
        digest = hashlib.sha256(message).hexdigest()
    return f"thinker-{digest[:12]}"


def check_signature(token: str, ts: object, sig: object) -> None:
    """Check the signature where it and a time were sent. Raises ApiError: token_expired, signature_invalid."""
    if ts is None or sig is None:
        return
    sent_at = javascript.number(ts)
    if not math.isfinite(sent_at) or abs(time.time() * 1000 - sent_at) > SIGNATURE_AGE_MS:
        raise ApiError("token_expired")
    expected = hmac.new(token.encode(), f"{token}.{javascript.text(sent_at)}".encode(), hashlib.sha256).hexdigest()
    if not isinstance(sig, str) or not hmac.compare_digest(expected.encode(), sig.encode()):
        raise ApiError("signature_invalid")
