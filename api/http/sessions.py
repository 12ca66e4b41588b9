"""Browser sessions: cookies for the portal's pages, which send neither key nor token (docs/sessions.md).

A session is a random number in a signed cookie. Stored are only the thinkers that it claims (sql/23_claims).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4

from litestar.connection import ASGIConnection
from litestar.datastructures import State

from api.http.cookies import SignedCookie
from api.http.origins import is_from_own_page
from api.settings import Settings
from api.tokens import Tokens

SESSION_COOKIE = "portal_session"
_DAY = 86_400


@dataclass(frozen=True)
class BrowserSession:
    """A browser session. `issued_at` is the time of its cookie, in seconds since 1970."""

    id: UUID
    issued_at: int

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> Self | None:
        """The session of a cookie's claims, if there is one."""
        try:
            return cls(UUID(claims["sub"]), int(claims["iat"]))
        except (LookupError, ValueError):
            return None

    @property
    def is_old(self) -> bool:
        """Whether its cookie should be renewed: once a day."""
        return self.issued_at < time.time() - _DAY


class Sessions:
    """Writes the cookies of browser sessions, and reads them."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        """Take SESSION_DAYS, and the keys, which sign nothing else."""
        keys = tokens.derived_keys("browser session")
        self._cookie = SignedCookie(SESSION_COOKIE, "session", keys, settings.session_days * _DAY)

    def read(self, connection: ASGIConnection[Any, Any, Any, Any]) -> BrowserSession | None:
        """The session of a page of this server; None for other pages, and with no cookie or a forged or old one."""
        return BrowserSession.of(self._cookie.read(connection)) if is_from_own_page(connection) else None

    def has_cookie(self, connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
        """Whether the browser has a session, whatever page sent the request."""
        return BrowserSession.of(self._cookie.read(connection)) is not None

    def cookie(self, connection: ASGIConnection[Any, Any, Any, Any], session: BrowserSession | None = None) -> str:
        """The header Set-Cookie of a new session, or one that renews `session`."""
        return self._cookie.write(connection, {"sub": str(session.id if session else uuid4())})


def sessions_of(state: State) -> Sessions | None:
    """The sessions of an application; None where SESSIONS is off, or where every request is trusted."""
    sessions: Sessions | None = state.sessions
    return sessions
