"""Tokens: JWTs that authenticate a thinker, at this API and at the Data API."""

import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
from jwt.exceptions import PyJWTError

from api.actor import Actor, thinker_id
from api.errors import PortalError
from api.settings import MIN_SECRET_LENGTH, Settings

if TYPE_CHECKING:
    from api.public_keys import PublicKeys

LIFETIME_SECONDS = 3600
"""How long a token of /api/presence/verify is valid: as long as one of Supabase Auth."""

AUDIENCE = "authenticated"
"""The audience of every token, as of those of Supabase Auth; PostgREST checks it where `jwt-aud` is set."""

CLOCK_SECONDS = 30
"""How much earlier than its `nbf` a token is valid, because clocks differ; PostgREST allows as much."""

_ASYMMETRIC = ("ES256", "RS256", "EdDSA")


class Tokens:
    """Signs tokens with the project's secret (HS256); reads tokens signed with it or with a key of JWKS_URL."""

    def __init__(self, settings: Settings) -> None:
        """Raise PortalError if there is no secret and none can be stored in DATA_DIR."""
        self._secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else _own_secret(settings.data_dir)
        self._keys = _public_keys(settings.jwks_url) if settings.jwks_url else None

    def issue(self, actor: Actor, lifetime: int = LIFETIME_SECONDS) -> str:
        """A token for the actor; `lifetime` in seconds."""
        now = int(time.time())
        claims = actor.claims() | {"aud": AUDIENCE, "iat": now, "exp": now + lifetime}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    async def read(self, token: str) -> Actor | None:
        """The thinker of a token; None if it is forged, expired or not for a thinker.

        Raises ApiError: token_keys_away, if the key that it names cannot be fetched.
        """
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            # each kind of key only for its own algorithms: the token must not choose (algorithm confusion)
            if algorithm == "HS256":
                key: str | jwt.PyJWK = self._secret
            elif algorithm in _ASYMMETRIC and self._keys is not None:
                key = await self._keys.of(token)
            else:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                # the clocks of issuer and server may differ, and no token is valid for longer by that
                options={"require": ["exp", "sub", "aud"], "verify_iat": False, "verify_nbf": False},
            )
            return _actor(claims) if claims.get("nbf", 0) <= time.time() + CLOCK_SECONDS else None
        except (PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            return None


def _public_keys(url: str) -> "PublicKeys":
    # imports httpx, which takes a tenth of a second
    from api.public_keys import PublicKeys

    return PublicKeys(url)


def _actor(claims: dict[str, object]) -> Actor | None:
    if claims.get("role") != "authenticated":
        return None
    subject, uid, metadata = str(claims["sub"]), claims.get("public_id"), claims.get("app_metadata")
    # a token of Supabase Auth has no public_id: the user's id is the public id
    for name in (uid, subject):
        if isinstance(name, str) and str(thinker_id(name)) == subject:
            return Actor("authenticated", name, metadata if isinstance(metadata, dict) else None)
    return None


def _own_secret(folder: Path) -> str:
    """The secret of this installation: created once, shared by all processes with the same DATA_DIR."""
    file = folder / "jwt-secret"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f".jwt-secret-{secrets.token_hex(8)}"
        if not file.exists():
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(secrets.token_urlsafe(48))
            try:
                # atomic: of concurrent processes the first one creates the file, whole
                os.link(made, file)
            except FileExistsError:
                pass
            finally:
                made.unlink()
        secret = file.read_text(errors="replace").strip()
    except OSError as error:
        raise PortalError(f"No secret can be kept in {file} ({error.strerror}): set JWT_SECRET or DATA_DIR.") from error
    if len(secret) < MIN_SECRET_LENGTH or not secret.isascii():
        raise PortalError(f"{file} holds no secret: delete it, or set JWT_SECRET.")
    return secret
