"""Authenticate requests: by the API key, a token, an admin or a browser session, or as loopback without a key."""

import hmac
from abc import ABC, abstractmethod
from collections.abc import Collection
from functools import partial
from typing import Any, Literal

from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders, State
from litestar.enums import HttpMethod
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import Message, Receive, Scope, Send

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.gateway import Calls
from api.gateway.session_calls import SessionCalls
from api.gateway.shares import Shares
from api.http.admin_sessions import admin_sessions_of
from api.http.cookies import cookie_name, read_cookie
from api.http.origins import is_cross_origin, is_from_own_page, names_loopback
from api.http.proxies import client_address
from api.http.sessions import BrowserSession, sessions_of
from api.settings import Settings

TOKEN_COOKIE = "portal_token"  # noqa: S105 (its name, not its value)


class Caller(ABC):
    """Who sent a request; decides for which actor it may call SQL.

    `kind` is how it proved itself, `uid` the thinker that it acts as, for the log.
    """

    kind: Literal["service", "session", "thinker"]
    uid: str | None = None

    @abstractmethod
    def as_thinker(self, uid: str) -> Actor:
        """The thinker with this uid, as the actor. Raises ApiError: not_yourself."""

    @abstractmethod
    def as_caller(self, uid: str | None = None) -> Actor:
        """The request's actor, for `uid` if given; SQL authorises. Raises ApiError: not_yourself."""

    @abstractmethod
    def as_reporter(self, uids: Collection[str]) -> Actor:
        """The actor that reports for the thinkers with these uids. Raises ApiError: not_yourself."""


class TrustedCaller(Caller):
    """Has the API key, or uses a server without a key on the same machine. May act for any uid."""

    kind = "service"

    def as_thinker(self, uid: str) -> Actor:
        """Any thinker, without a check."""
        self.uid = uid
        return Actor("authenticated", uid)

    def as_caller(self, uid: str | None = None) -> Actor:
        """The service role, which may do what the legacy API did without a check."""
        self.uid = uid
        return Actor("service_role", uid)

    def as_reporter(self, uids: Collection[str]) -> Actor:
        """The service role, which names each of them."""
        return self.as_caller()


class SessionCaller(Caller):
    """Is a page of a browser session, which acts as the thinkers that it claims (`SessionCalls`).

    `has_called` is whether a call was made for it: those of a session that has ended are refused.
    """

    kind = "session"

    def __init__(self, session: BrowserSession) -> None:
        """Take the session of the cookie."""
        self.session = session
        self.has_called = False

    def as_thinker(self, uid: str) -> Actor:
        """Any thinker, which the session claims before it acts."""
        self.uid = uid
        return Actor("authenticated", uid)

    def as_caller(self, uid: str | None = None) -> Actor:
        """The thinker with this uid, or else those that the session has claimed."""
        self.uid = uid
        return Actor("authenticated", uid)

    def as_reporter(self, uids: Collection[str]) -> Actor:
        """The only one of them; a page is one thinker at a time."""
        if len(uids) > 1:
            raise ApiError("not_yourself")
        return self.as_caller(*uids)


class ProvenCaller(Caller):
    """Has a thinker's token, and acts for that thinker only."""

    kind = "thinker"

    def __init__(self, actor: Actor) -> None:
        """Take the thinker of the token."""
        self.actor = actor
        self.uid = actor.uid

    def as_thinker(self, uid: str) -> Actor:
        """The thinker of the token."""
        if uid != self.actor.uid:
            raise ApiError("not_yourself")
        return self.actor

    def as_caller(self, uid: str | None = None) -> Actor:
        """The thinker of the token."""
        return self.actor if uid is None else self.as_thinker(uid)

    def as_reporter(self, uids: Collection[str]) -> Actor:
        """The thinker of the token."""
        for uid in uids:
            self.as_thinker(uid)
        return self.actor


Connection = ASGIConnection[Any, Caller, Any, State]


def calls_of(request: Connection) -> Calls:
    """The calls that a route may make for a request: within the share of its caller, and of reads or of writes."""
    shares: Shares = request.app.state.shares
    trusted, client = is_operator(request), limited_client(request)
    is_read = request.scope.get("method") == HttpMethod.GET  # a WebSocket has none
    calls = shares.of(is_operator=trusted, is_read=is_read, client=client)
    if isinstance(request.user, SessionCaller):
        settings: Settings = request.app.state.settings
        known, session_id = settings.claim_known_ids, request.user.session.id
        request.user.has_called = True
        turn = partial(shares.turn, client or str(session_id))
        return SessionCalls(calls, session_id, turn, claims=not is_read, client=client, known=known)
    return calls


def limited_client(request: Connection) -> str | None:
    """The client's address, for the limits of one client; None for operators, and where RATE_LIMIT is off."""
    settings: Settings = request.app.state.settings
    return client_address(request) if settings.is_rate_limited and not is_operator(request) else None


def is_operator(request: Connection) -> bool:
    """Whether the caller has the API key; on a server without one, whether it reads /api/admin."""
    settings: Settings = request.app.state.settings
    has_key = settings.ts_api_key is not None or request.scope["path"].startswith("/api/admin/")
    return has_key and isinstance(request.user, TrustedCaller)


class CallerMiddleware(AbstractAuthenticationMiddleware):
    """Authenticates a request before anything else of it is read.

    A request is trusted when its header `X-TS-APIKEY` has the key in `TS_API_KEY`, or when no key is set. Any other
    request acts for the thinker of its token (`Authorization: Bearer`), for the thinkers of its browser session, or for
    the thinker of the cookie of /api/presence/verify, or gets 401. Routes with the opt `open` need none of them. Routes
    with the opt `admin` are those of operators, for which an admin session counts like the key or the token of its
    sign-in.

    The session of a request is its `auth`. Its cookie is renewed once a day.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate the request, and renew the cookie of its session."""

        async def send_renewed(message: Message) -> None:
            is_success = message["type"] == "http.response.start" and message["status"] < 400
            caller = scope.get("user") if is_success else None
            # without a call of the session nobody has looked whether it has ended
            if isinstance(caller, SessionCaller) and caller.has_called and caller.session.is_old:
                connection = ASGIConnection[Any, Any, Any, Any](scope)
                renewed = connection.app.state.sessions.cookie(connection, caller.session)
                MutableScopeHeaders.from_message(message).add("set-cookie", renewed)
            await send(message)

        await super().__call__(scope, receive, send_renewed)

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        sessions = sessions_of(connection.app.state)
        session = sessions.read(connection) if sessions else None
        if not connection.route_handler.opt.get("open"):
            return AuthenticationResult(user=await _caller(connection, session), auth=session)
        # not for pages of another origin: the response would set a cookie in the browser
        if is_cross_origin(connection):
            raise ApiError("foreign_origin")
        user = TrustedCaller() if _is_trusted(connection) else await _signed_in(connection)
        return AuthenticationResult(user=user, auth=session)


async def _caller(connection: Connection, session: BrowserSession | None) -> Caller:
    """The caller.

    Raises NotAuthorizedException, and ApiError: session_required, foreign_origin, not_an_admin, not_yourself,
    token_keys_away.
    """
    if _is_trusted(connection):
        return TrustedCaller()
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        if operator := await _signed_in(connection):
            return operator
        is_operators = connection.route_handler.opt.get("admin")
        # a session that has proved an admin's token must not be an admin session, which lasts for hours only
        if session is not None and not is_operators:
            return SessionCaller(session)
        token = read_cookie(connection, cookie_name(connection, TOKEN_COOKIE))
        if token and is_cross_origin(connection):
            raise ApiError("foreign_origin")
    if not token:
        if session is not None:
            raise ApiError("not_an_admin")
        if sessions_of(connection.app.state) and is_from_own_page(connection):
            # the answer sets the cookie of a new session, which the page's next requests have. This one has none yet:
            # of several first requests at once, each would claim the page's uid for another session
            raise ApiError("session_required")
        raise NotAuthorizedException("invalid api key", headers={"WWW-Authenticate": "Bearer"})
    actor = await connection.app.state.tokens.read(token.strip())
    if actor is None:
        raise NotAuthorizedException("invalid token", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    caller = ProvenCaller(actor)
    if user := connection.headers.get("x-mot-user"):
        caller.as_thinker(user)
    return caller


async def _signed_in(connection: Connection) -> Caller | None:
    """The caller of an admin session, on routes of operators only; None once it has ended, or its admin is none now."""
    sessions = admin_sessions_of(connection.app.state)
    if sessions is None or not connection.route_handler.opt.get("admin"):
        return None
    session = sessions.read(connection)
    if session is None:
        return None
    shares: Shares = connection.app.state.shares
    try:
        calls = shares.of(is_operator=session.actor is SERVER, is_read=True)
        await calls.call("require_admin_session", session.actor, session_id=session.id)
    except ApiError as error:
        if error.code in ("session_ended", "not_an_admin"):
            return None
        raise
    return TrustedCaller() if session.actor is SERVER else ProvenCaller(session.actor)


def is_key(given: bytes, settings: Settings) -> bool:
    """Whether this is TS_API_KEY."""
    key = settings.ts_api_key
    return key is not None and hmac.compare_digest(key.get_secret_value().encode(), given)


def _is_trusted(connection: Connection) -> bool:
    """Whether the request has the key, or no key is set. Raises ApiError: foreign_origin."""
    settings: Settings = connection.app.state.settings
    if settings.ts_api_key is not None:
        return is_key(connection.headers.get("x-ts-apikey", "").encode("latin-1"), settings)  # the bytes that were sent
    # a page of another site must not use the trust in this machine's browser
    if not names_loopback(connection) or is_cross_origin(connection):
        raise ApiError("foreign_origin")
    return True
