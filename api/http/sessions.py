"""Browser sessions: cookies for the portal's pages, which send neither key nor token (docs/sessions.md).

A session is a random number in a signed cookie. Stored are only the thinkers that it claims (sql/23_claims).
"""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, State

from api.http.cookies import read_cookie
from api.http.origins import is_from_own_page
from api.http.proxies import is_https
from api.settings import Settings
from api.tokens import Tokens

SESSION_COOKIE = "portal_session"
_AUDIENCE = "session"
_DAY = 86_400


@dataclass(frozen=True)
class BrowserSession:
    """A browser session. `issued_at` is the time of its cookie, in seconds since 1970."""

    id: UUID
    issued_at: int

    @property
    def is_old(self) -> bool:
        """Whether its cookie should be renewed: once a day."""
        return self.issued_at < time.time() - _DAY


class Sessions:
    """Signs the cookies of browser sessions, and reads them."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        """Take SESSION_DAYS, and the keys, which sign nothing else."""
        self._lifetime = settings.session_days * _DAY
        self._keys = tokens.derived_keys("browser session")

    def read(self, connection: ASGIConnection[Any, Any, Any, Any]) -> BrowserSession | None:
        """The session of a page of this server; None for other pages, and with no cookie or a forged or old one."""
        return self._session(connection) if is_from_own_page(connection) else None

    def has_cookie(self, connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
        """Whether the browser has a session, whatever page sent the request."""
        return self._session(connection) is not None

    def _session(self, connection: ASGIConnection[Any, Any, Any, Any]) -> BrowserSession | None:
        sent = read_cookie(connection, _name(connection))
        for key in self._keys:
            try:
                claims = jwt.decode(
                    sent, key, algorithms=["HS256"], audience=_AUDIENCE, options={"require": ["exp", "iat", "sub"]}
                )
                return BrowserSession(UUID(claims["sub"]), int(claims["iat"]))
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                continue
        return None

    def cookie(self, connection: ASGIConnection[Any, Any, Any, Any], session: BrowserSession | None = None) -> str:
        """The header Set-Cookie of a new session, or one that renews `session`."""
        now = int(time.time())
        claims = {
            "sub": str(session.id if session else uuid4()),
            "aud": _AUDIENCE,
            "iat": now,
            "exp": now + self._lifetime,
        }
        return Cookie(
            key=_name(connection),
            value=jwt.encode(claims, self._keys[0], algorithm="HS256"),
            max_age=self._lifetime,
            httponly=True,
            samesite="lax",
            secure=is_https(connection),
        ).to_header(header="")


def sessions_of(state: State) -> Sessions | None:
    """The sessions of an application; None where SESSIONS is off, or where every request is trusted."""
    sessions: Sessions | None = state.sessions
    return sessions


def _name(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The name of the cookie: over https one that no other host and no script can set."""
    return f"__Host-{SESSION_COOKIE}" if is_https(connection) else SESSION_COOKIE
