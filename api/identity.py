"""Who is acting: uids, thinkers' ids, and what a request may say about both."""

import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from api.refusals import Refused
from api.settings import Settings

Role = Literal["anon", "authenticated", "service_role"]

TOKEN_COOKIE = "portal_token"  # noqa: S105 (its name, not its value)

_LOCATION = re.compile(r"^(.*?)(:\d*)?$")  # a host and its port
_UUID_OF_VERSION_4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def thinker_id(public_id: str) -> UUID:
    """The id of the thinker with this public id: the same rule as SQL's `private.thinker_id`.

    The public id itself where it is a UUID of version 4 (a user of Supabase Auth), else its SHA-256 shaped as a
    UUID of version 8, so that the layer can name an actor without asking the database.
    """
    if _UUID_OF_VERSION_4.fullmatch(public_id):
        return UUID(public_id)
    digest = hashlib.sha256(public_id.encode()).hexdigest()
    return UUID(f"{digest[:12]}8{digest[13:16]}8{digest[17:32]}")


@dataclass(frozen=True)
class Actor:
    """As whom SQL is called: a database role, and the uid of the thinker where there is one.

    `app_metadata` is what a token of Supabase Auth says of its user's roles.
    """

    role: Role
    uid: str | None = None
    app_metadata: Mapping[str, object] | None = None

    def claims(self) -> dict[str, object]:
        """The claims of `request.jwt.claims`, as PostgREST would take them from a JWT."""
        claims: dict[str, object] = {"role": self.role}
        if self.uid is not None:
            claims |= {"sub": str(thinker_id(self.uid)), "public_id": self.uid}
        if self.app_metadata:
            claims["app_metadata"] = self.app_metadata
        return claims


SERVER = Actor("service_role")
"""The portal's own server, on nobody's behalf."""


class Caller(ABC):
    """Who sent a request, and as whom it may act."""

    @abstractmethod
    def as_thinker(self, uid: str) -> Actor:
        """The thinker with this uid, who may do what concerns itself. Refuses: not_yourself."""

    @abstractmethod
    def as_caller(self, uid: str | None = None) -> Actor:
        """Whoever asks, on behalf of `uid` if given; what it may do is for SQL to say. Refuses: not_yourself."""


class TrustedCaller(Caller):
    """Carries the API key, or asks a server of this machine only: may assert any uid, as the legacy API let it."""

    def as_thinker(self, uid: str) -> Actor:
        """Any thinker."""
        return Actor("authenticated", uid)

    def as_caller(self, uid: str | None = None) -> Actor:
        """The trusted server, for what the legacy API asked nobody's leave for."""
        return Actor("service_role", uid)


class ProvenCaller(Caller):
    """Carries the token of a thinker: acts as that one and nobody else."""

    def __init__(self, actor: Actor) -> None:
        """Take the thinker that the token proved."""
        self.actor = actor

    def as_thinker(self, uid: str) -> Actor:
        """The thinker itself."""
        if uid != self.actor.uid:
            raise Refused("not_yourself")
        return self.actor

    def as_caller(self, uid: str | None = None) -> Actor:
        """The thinker itself."""
        return self.actor if uid is None else self.as_thinker(uid)


Connection = ASGIConnection[BaseRouteHandler, Caller, None, State]


class CallerMiddleware(AbstractAuthenticationMiddleware):
    """Finds out who asks, before anything else is looked at (contract, section 7).

    A request is trusted when it carries the key in `TS_API_KEY` (`X-TS-APIKEY`), or when no key is set. Any other acts
    as the thinker whose token it carries (`Authorization: Bearer`, or the cookie of /api/presence/verify), or gets 401.
    Routes with the opt `open` are answered to everybody.
    """

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        if not connection.route_handler.opt.get("open"):
            return AuthenticationResult(user=await _caller(connection), auth=None)
        # open to everybody, but not to pages from elsewhere, in whose browser the answer would set a cookie
        if _comes_from_elsewhere(connection):
            raise Refused("foreign_origin")
        return AuthenticationResult(user=TrustedCaller() if _is_trusted(connection) else None, auth=None)


async def _caller(connection: Connection) -> Caller:
    """Raises NotAuthorizedException. Refuses: foreign_origin, not_yourself, token_keys_away."""
    if _is_trusted(connection):
        return TrustedCaller()
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = connection.cookies.get(TOKEN_COOKIE, "")
        if token and _comes_from_elsewhere(connection):
            raise Refused("foreign_origin")
    if not token:
        raise NotAuthorizedException("invalid api key", headers={"WWW-Authenticate": "Bearer"})
    actor = await connection.app.state.tokens.read(token.strip())
    if actor is None:
        raise NotAuthorizedException("invalid token", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    caller = ProvenCaller(actor)
    if user := connection.headers.get("x-mot-user"):
        caller.as_thinker(user)
    return caller


def _is_trusted(connection: Connection) -> bool:
    """Whether the request carries the key, or no key is set. Refuses: foreign_origin."""
    settings: Settings = connection.app.state.settings
    if settings.ts_api_key is not None:
        given = connection.headers.get("x-ts-apikey", "").encode("latin-1")  # as the bytes that were sent
        return hmac.compare_digest(settings.ts_api_key.get_secret_value().encode(), given)
    # a page of another site, in a browser on this machine, is not this machine's user
    if not _names_loopback(connection) or _comes_from_elsewhere(connection):
        raise Refused("foreign_origin")
    return True


def _names_loopback(connection: Connection) -> bool:
    """Whether the request was sent to this machine by a name that only this machine answers to.

    Another name can be made to point here by whoever owns it (DNS rebinding).
    """
    host = connection.headers.get("host")
    if host is None:
        return True  # no browser leaves it out
    name = _LOCATION.sub(r"\1", host.lower()).strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _comes_from_elsewhere(connection: Connection) -> bool:
    """Whether a browser sent the request for a page of another origin than this server's and CORS_ORIGINS."""
    origin, settings = connection.headers.get("origin"), connection.app.state.settings
    if origin is None or origin in settings.cors_origins:
        return False
    return origin.lower().partition("://")[2] != connection.headers.get("host", "").lower()
