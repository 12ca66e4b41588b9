"""Cookies: those of a request, and those that this server signs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import jwt
from jwt.types import Options
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from api.http.proxies import is_https

MAX_COOKIE_LENGTH = 4096
"""Of the value of a signed cookie, as browsers have it; PyJWT reads each character in Python."""

MAX_COOKIES = 200
"""Browsers send fewer; a header of semicolons would take 5 ms."""


def read_cookie(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> str:
    """The value of a cookie, as it was sent; empty if there is none.

    Python's own parser takes a minute of the event loop for a header of backslashes (CVE-2024-7592), and Litestar keeps
    each header that it parses.
    """
    # HTTP/2 sends them in several headers
    for pair in ";".join(connection.headers.getall("cookie", [])).split(";", MAX_COOKIES)[:MAX_COOKIES]:
        key, _, value = pair.partition("=")
        # only what browsers take away, too: a name with other white space is another one, which any host can set
        if key.strip(" \t") == name:
            return value.strip(" \t")
    return ""


def cookie_name(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> str:
    """The name of a cookie; over https it begins with `__Host-`, so that no other host can set it."""
    return f"__Host-{name}" if is_https(connection) else name


class SignedCookie:
    """A cookie that holds claims, which no script can read and only this server can write."""

    def __init__(self, name: str, audience: str, keys: Sequence[bytes], lifetime: int) -> None:
        """Take its name, what it is for, the keys (the first signs, all prove), and its lifetime in seconds."""
        self._name = name
        self._audience = audience
        self._keys = keys
        self._lifetime = lifetime

    def read(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Mapping[str, Any]:
        """Its claims; empty if it is missing, forged or too old."""
        return next(self._claims(read_cookie(connection, cookie_name(connection, self._name))), {})

    def _claims(self, sent: str) -> Iterator[Mapping[str, Any]]:
        if len(sent) > MAX_COOKIE_LENGTH:
            return
        for key in self._keys:
            with suppress(jwt.PyJWTError, ValueError, TypeError, RecursionError):
                # clocks of hosts that serve one portal differ: `iat` may be ahead
                options: Options = {"require": ["exp", "iat", "sub"], "verify_iat": False}
                claims = jwt.decode(sent, key, algorithms=["HS256"], audience=self._audience, options=options)
                # one of an earlier key counts as old, so that it is renewed before the key goes
                yield claims if key is self._keys[0] else claims | {"iat": 0}

    def write(self, connection: ASGIConnection[Any, Any, Any, Any], claims: Mapping[str, object]) -> str:
        """The header Set-Cookie with these claims."""
        now = int(time.time())
        signed = {**claims, "aud": self._audience, "iat": now, "exp": now + self._lifetime}
        return self._header(connection, jwt.encode(signed, self._keys[0], algorithm="HS256"), self._lifetime)

    def delete(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        """The header Set-Cookie that deletes it."""
        return self._header(connection, "", 0)

    def _header(self, connection: ASGIConnection[Any, Any, Any, Any], value: str, max_age: int) -> str:
        return Cookie(
            key=cookie_name(connection, self._name),
            value=value,
            max_age=max_age,
            httponly=True,
            samesite="lax",
            secure=is_https(connection),
        ).to_header(header="")
