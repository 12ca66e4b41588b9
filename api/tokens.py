"""Tokens: JWTs that authenticate a thinker, at this API and at the Data API."""

import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from jwt.exceptions import PyJWTError

from api.actor import Actor, thinker_id
from api.errors import PortalError
from api.settings import MIN_SECRET_LENGTH, Settings

if TYPE_CHECKING:
    from api.public_keys import PublicKeys

MAX_TOKEN_LENGTH = 8192
"""PyJWT reads each character in Python, before anything is proved."""

LIFETIME_SECONDS = 3600
"""How long a token of /api/presence/verify is valid: as long as one of Supabase Auth."""

AUDIENCE = "authenticated"
"""The audience of every token, as of those of Supabase Auth; PostgREST checks it where `jwt-aud` is set."""

CLOCK_SECONDS = 30
"""How much earlier than its `nbf` a token is valid, because clocks differ; PostgREST allows as much."""

_ASYMMETRIC = ("ES256", "RS256", "EdDSA")

# what reading something else than a token raises
_NO_TOKEN = (PyJWTError, ValueError, TypeError, RecursionError, OverflowError)


class Tokens:
    """Signs tokens, and reads them.

    The first key of JWT_KEY_FILE (ES256) signs; without that file, the first secret of JWT_SECRET (HS256) or one of
    this installation. All of them prove a token, and so do the keys at JWKS_URL.
    """

    def __init__(self, settings: Settings) -> None:
        """Raise PortalError if there is no key for signatures and no secret can be stored in DATA_DIR."""
        self._own_keys = _keys_in(settings.jwt_key_file) if settings.jwt_key_file else {}
        self._secrets = [secret.get_secret_value() for secret in settings.jwt_secret]
        if not self._own_keys and not self._secrets:
            self._secrets = [_own_secret(settings.data_dir)]
        self._keys = _public_keys(settings.jwks_url) if settings.jwks_url else None

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public parts of the keys in JWT_KEY_FILE, as a JSON Web Key Set."""
        public = [{name: key.jwk[name] for name in ("kty", "crv", "x", "y", "kid")} for key in self._own_keys.values()]
        return {"keys": [key | {"alg": "ES256", "use": "sig"} for key in public]}

    def issue(self, actor: Actor, lifetime: int = LIFETIME_SECONDS) -> str:
        """A token for the actor; `lifetime` in seconds."""
        now = int(time.time())
        claims = actor.claims() | {"aud": AUDIENCE, "iat": now, "exp": now + lifetime}
        if not self._own_keys:
            return jwt.encode(claims, self._secrets[0], algorithm="HS256")
        kid, key = next(iter(self._own_keys.items()))
        return jwt.encode(claims, key.private, algorithm="ES256", headers={"kid": kid})

    def derived_keys(self, purpose: str) -> list[bytes]:
        """Keys for signatures of another kind, of which no token can be one: of each own key and secret, in order."""
        roots = [*(key.jwk["d"] for key in self._own_keys.values()), *self._secrets]
        return [hmac.digest(root.encode(), purpose.encode(), "sha256") for root in roots]

    async def read(self, token: str) -> Actor | None:
        """The thinker of a token; None if it is forged, expired or not for a thinker.

        Raises ApiError: token_keys_away, if the key that it names cannot be fetched.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            # each kind of key only for its own algorithms: the token must not choose (algorithm confusion)
            if algorithm == "HS256":
                return next((actor for secret in self._secrets if (actor := _read(token, secret, "HS256"))), None)
            if algorithm == "ES256" and kid in self._own_keys:
                return _read(token, self._own_keys[kid].private.public_key(), "ES256")
            if algorithm in _ASYMMETRIC and self._keys is not None:
                return _read(token, await self._keys.of(token), algorithm)
        except _NO_TOKEN:
            pass
        return None


def _read(token: str, key: str | EllipticCurvePublicKey | jwt.PyJWK, algorithm: str) -> Actor | None:
    """The thinker of a token that this key has signed; None if it has not, or if the token is not valid now."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=AUDIENCE,
            # the clocks of issuer and server may differ, and no token is valid for longer by that
            options={"require": ["exp", "sub", "aud"], "verify_iat": False, "verify_nbf": False},
        )
        return _actor(claims) if claims.get("nbf", 0) <= time.time() + CLOCK_SECONDS else None
    except _NO_TOKEN:
        return None


@dataclass(frozen=True)
class _OwnKey:
    """A private key, and the JSON Web Key from which it was read."""

    private: EllipticCurvePrivateKey
    jwk: dict[str, str]


def _keys_in(file: Path) -> dict[str, _OwnKey]:
    """The private keys in a file of JSON Web Keys, by their ids, as `supabase gen signing-key` writes them.

    Raises PortalError for a file without keys, and for keys that cannot sign with ES256 or have no id.
    """
    try:
        content = json.loads(file.read_text())
        keys = {}
        for jwk in content if isinstance(content, list) else [content]:
            private = jwt.PyJWK.from_dict(jwk, "ES256").key
            if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
                raise TypeError("no private key of the curve P-256")
            keys[str(jwk["kid"])] = _OwnKey(private, jwk)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, PyJWTError) as error:
        raise PortalError(
            f"{file} (JWT_KEY_FILE) holds no keys for ES256: `supabase gen signing-key --algorithm ES256` makes one."
        ) from error
    if not keys:
        raise PortalError(f"{file} (JWT_KEY_FILE) is empty: remove the setting, or add a key.")
    return keys


def _public_keys(url: str) -> "PublicKeys":
    # imports httpx, which takes a tenth of a second
    from api.public_keys import PublicKeys

    return PublicKeys(url)


def _actor(claims: dict[str, object]) -> Actor | None:
    if claims.get("role") != "authenticated":
        return None
    subject, uid, metadata = str(claims["sub"]), claims.get("public_id"), claims.get("app_metadata")
    session = claims.get("portal_session")
    # a token of Supabase Auth has no public_id: the user's id is the public id
    for name in (uid, subject):
        if isinstance(name, str) and str(thinker_id(name)) == subject:
            return Actor(
                "authenticated",
                name,
                metadata if isinstance(metadata, dict) else None,
                None if session is None else UUID(str(session)),
                float(str(claims["exp"])),
            )
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
