"""Admin sessions: an operator signs in once at /admin, with the key or an admin's token (docs/sessions.md).

An admin session is a signed cookie, which counts for routes with the opt `admin` only, in requests of pages of this
server. Neither key nor token is in it. Stored are only the sessions that were signed out (private.ended_sessions).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.datastructures import State

from api.actor import SERVER, Actor
from api.http.cookies import SignedCookie
from api.http.origins import is_from_own_page
from api.tokens import Tokens

LIFETIME_SECONDS = 12 * 3600
"""How long an admin session lasts. Its cookie is not renewed."""

ADMIN_COOKIE = "portal_admin"


@dataclass(frozen=True)
class AdminSession:
    """An admin session; `actor` is the server for one by the key, else the thinker of the token."""

    id: UUID
    actor: Actor


class AdminSessions:
    """Writes the cookies of admin sessions, and reads them."""

    def __init__(self, key: str, tokens: Tokens) -> None:
        """Take TS_API_KEY: with another one no earlier session is valid."""
        keys = tokens.derived_keys(f"admin session {key}")
        self._cookie = SignedCookie(ADMIN_COOKIE, "admin session", keys, LIFETIME_SECONDS)

    def read(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AdminSession | None:
        """The session of a page of this server; None for other pages, and with no cookie or a forged or old one."""
        return _session(self._cookie.read(connection)) if is_from_own_page(connection) else None

    def has_cookie(self, connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
        """Whether the browser has a session, whatever page sent the request; it may have ended."""
        return bool(self._cookie.read(connection))

    def begin(self, connection: ASGIConnection[Any, Any, Any, Any], session: AdminSession) -> str:
        """The header Set-Cookie of a new session."""
        claims: dict[str, object] = {"sub": str(session.id)}
        if session.actor is not SERVER:
            metadata = session.actor.app_metadata or {}
            claims |= {
                "uid": session.actor.uid,
                "app_metadata": {name: metadata[name] for name in ("role", "roles") if name in metadata},
                "metadata_until": session.actor.expires_at,
            }
            if session.actor.session_id is not None:
                claims["portal_session"] = str(session.actor.session_id)
        return self._cookie.write(connection, claims)

    def delete(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        """The header Set-Cookie that deletes the cookie."""
        return self._cookie.delete(connection)


def admin_sessions_of(state: State) -> AdminSessions | None:
    """The admin sessions of an application; None where every request is trusted."""
    sessions: AdminSessions | None = state.admin_sessions
    return sessions


def _session(claims: Mapping[str, Any]) -> AdminSession | None:
    if not claims:
        return None
    actor = SERVER
    if "uid" in claims:
        # a role in a token is valid for as long as the token; one in the table thinkers until it is taken away
        metadata = claims["app_metadata"] if time.time() < claims["metadata_until"] else None
        session_id = UUID(claims["portal_session"]) if "portal_session" in claims else None
        actor = Actor("authenticated", claims["uid"], metadata, session_id)
    return AdminSession(UUID(claims["sub"]), actor)
