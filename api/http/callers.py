"""Authenticate requests: by the API key, by a thinker's token, or as loopback without a key."""

import hmac
import re
from abc import ABC, abstractmethod
from ipaddress import ip_address

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from api.actor import Actor
from api.errors import ApiError
from api.settings import Settings

TOKEN_COOKIE = "portal_token"  # noqa: S105 (its name, not its value)

_LOCATION = re.compile(r"^(.*?)(:\d*)?$")  # a host and its port


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
            raise ApiError("not_yourself")
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
            raise ApiError("foreign_origin")
        return AuthenticationResult(user=TrustedCaller() if _is_trusted(connection) else None, auth=None)


async def _caller(connection: Connection) -> Caller:
    """Raises NotAuthorizedException. Refuses: foreign_origin, not_yourself, token_keys_away."""
    if _is_trusted(connection):
        return TrustedCaller()
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = connection.cookies.get(TOKEN_COOKIE, "")
        if token and _comes_from_elsewhere(connection):
            raise ApiError("foreign_origin")
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
        raise ApiError("foreign_origin")
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
