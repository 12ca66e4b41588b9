"""Authenticate requests: by the API key, by a thinker's token, or as loopback without a key."""

import hmac
from abc import ABC, abstractmethod

from litestar.connection import ASGIConnection, Request
from litestar.datastructures import State
from litestar.enums import HttpMethod
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from api.actor import Actor
from api.errors import ApiError
from api.gateway import Calls
from api.gateway.shares import Shares
from api.http.origins import is_cross_origin, names_loopback
from api.http.proxies import client_address
from api.settings import Settings

TOKEN_COOKIE = "portal_token"  # noqa: S105 (its name, not its value)


class Caller(ABC):
    """Who sent a request; decides for which actor it may call SQL."""

    @abstractmethod
    def as_thinker(self, uid: str) -> Actor:
        """The thinker with this uid, as the actor. Raises ApiError: not_yourself."""

    @abstractmethod
    def as_caller(self, uid: str | None = None) -> Actor:
        """The request's actor, for `uid` if given; SQL authorises. Raises ApiError: not_yourself."""


class TrustedCaller(Caller):
    """Has the API key, or uses a server without a key on the same machine. May act for any uid."""

    def as_thinker(self, uid: str) -> Actor:
        """Any thinker, without a check."""
        return Actor("authenticated", uid)

    def as_caller(self, uid: str | None = None) -> Actor:
        """The service role, which may do what the legacy API did without a check."""
        return Actor("service_role", uid)


class ProvenCaller(Caller):
    """Has a thinker's token, and acts for that thinker only."""

    def __init__(self, actor: Actor) -> None:
        """Take the thinker of the token."""
        self.actor = actor

    def as_thinker(self, uid: str) -> Actor:
        """The thinker of the token."""
        if uid != self.actor.uid:
            raise ApiError("not_yourself")
        return self.actor

    def as_caller(self, uid: str | None = None) -> Actor:
        """The thinker of the token."""
        return self.actor if uid is None else self.as_thinker(uid)


def calls_of(request: Request[Caller, None, State]) -> Calls:
    """The calls that a route may make for a request: within the share of its caller, and of reads or of writes."""
    shares: Shares = request.app.state.shares
    settings: Settings = request.app.state.settings
    trusted = is_operator(request)
    client = client_address(request) if settings.is_rate_limited and not trusted else None
    return shares.of(is_operator=trusted, is_read=request.method == HttpMethod.GET, client=client)


def is_operator(request: Request[Caller, None, State]) -> bool:
    """Whether the caller has the API key; on a server without one, whether it reads /api/admin."""
    settings: Settings = request.app.state.settings
    has_key = settings.ts_api_key is not None or request.scope["path"].startswith("/api/admin/")
    return has_key and isinstance(request.user, TrustedCaller)


Connection = ASGIConnection[BaseRouteHandler, Caller, None, State]


class CallerMiddleware(AbstractAuthenticationMiddleware):
    """Authenticates a request before anything else of it is read.

    A request is trusted when its header `X-TS-APIKEY` has the key in `TS_API_KEY`, or when no key is set. Any other
    request acts for the thinker of its token (`Authorization: Bearer`, or the cookie of /api/presence/verify), or gets
    401. Routes with the opt `open` need neither.
    """

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        if not connection.route_handler.opt.get("open"):
            return AuthenticationResult(user=await _caller(connection), auth=None)
        # not for pages of another origin: the response would set a cookie in the browser
        if is_cross_origin(connection):
            raise ApiError("foreign_origin")
        return AuthenticationResult(user=TrustedCaller() if _is_trusted(connection) else None, auth=None)


async def _caller(connection: Connection) -> Caller:
    """The caller. Raises NotAuthorizedException, and ApiError: foreign_origin, not_yourself, token_keys_away."""
    if _is_trusted(connection):
        return TrustedCaller()
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = _cookie(connection, TOKEN_COOKIE)
        if token and is_cross_origin(connection):
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


def _cookie(connection: Connection, name: str) -> str:
    """The value of a cookie, as it was sent; empty if there is none.

    Python's own parser takes a minute of the event loop for a header of backslashes (CVE-2024-7592), and Litestar keeps
    each header that it parses.
    """
    for header in connection.headers.getall("cookie", []):
        for pair in header.split(";"):
            key, _, value = pair.partition("=")
            if key.strip() == name:
                return value.strip()
    return ""


def _is_trusted(connection: Connection) -> bool:
    """Whether the request has the key, or no key is set. Raises ApiError: foreign_origin."""
    settings: Settings = connection.app.state.settings
    if settings.ts_api_key is not None:
        given = connection.headers.get("x-ts-apikey", "").encode("latin-1")  # as the bytes that were sent
        return hmac.compare_digest(settings.ts_api_key.get_secret_value().encode(), given)
    # a page of another site must not use the trust in this machine's browser
    if not names_loopback(connection) or is_cross_origin(connection):
        raise ApiError("foreign_origin")
    return True
