"""Tokens as a project signs them with its secret, and the portal's key."""

import time
from typing import Any
from uuid import uuid4

import jwt

KEY = "a long random text"
SECRET = "a secret that both the portal and its Data API know"


def claims(**changes: object) -> dict[str, Any]:
    """The claims of a user of Supabase Auth; a change to None leaves one out."""
    user: dict[str, object] = {
        "sub": str(uuid4()),
        "role": "authenticated",
        "aud": "authenticated",
        "exp": int(time.time()) + 3600,
    }
    return {name: value for name, value in (user | changes).items() if value is not None}


def signed(secret: str = SECRET, **changes: object) -> str:
    """A token with these claims, signed with a secret."""
    return jwt.encode(claims(**changes), secret, algorithm="HS256")


def bearer(token: str) -> dict[str, str | bytes]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
