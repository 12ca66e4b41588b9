"""The origin of a request: whether a browser sent it for a page of this server."""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from litestar.connection import ASGIConnection

from api.http.proxies import is_https
from api.settings import DEFAULT_PORTS

_LOCATION = re.compile(r"(.*?)(:\d*)?", re.DOTALL)  # a host and its port


def names_loopback(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the Host header names this machine; any other name can be pointed here by its owner (DNS rebinding)."""
    host = connection.headers.get("host")
    return host is None or _is_loopback(host)  # every browser sends it


@lru_cache(256)
def _is_loopback(host: str) -> bool:
    name = _with_port(host.lower(), "")[0].strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_cross_origin(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a browser sent the request for a page of an origin that is neither this server nor in CORS_ORIGINS."""
    origin = connection.headers.get("origin")
    return (
        origin is not None
        and origin not in connection.app.state.settings.cors_origins
        and not _is_own(origin, connection)
    )


def is_from_own_page(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a browser sent the request for a page of this server: by Sec-Fetch-Site, and by Origin or Referer.

    A browser lets no page change these headers. It sends the first one only over https and to this machine.
    """
    site = connection.headers.get("sec-fetch-site")
    if site not in (None, "same-origin"):
        return False
    page = connection.headers.get("origin") or connection.headers.get("referer")
    return site is not None if page is None else _is_own(page, connection)


def _is_own(page: str, connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether an origin, or the URL of a page, is of this server."""
    scheme, _, rest = page.lower().partition("://")
    if scheme not in DEFAULT_PORTS or (scheme == "http" and is_https(connection)):
        return False
    place, default = rest.partition("/")[0], DEFAULT_PORTS[scheme]
    return bool(place) and _with_port(place, default) == _with_port(connection.headers.get("host", "").lower(), default)


def _with_port(place: str, default: str) -> tuple[str, str]:
    """A host and its port: browsers leave out the default one, proxies may not."""
    parts = _LOCATION.fullmatch(place)
    assert parts  # matches any text
    return parts[1], (parts[2] or "").removeprefix(":") or default
