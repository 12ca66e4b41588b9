"""Cookies of a request."""

from typing import Any

from litestar.connection import ASGIConnection


def read_cookie(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> str:
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
