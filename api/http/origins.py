"""The origin of a request: whether a browser sent it for a page of this server."""

import re
from ipaddress import ip_address
from typing import Any

from litestar.connection import ASGIConnection

from api.http.proxies import is_https
from api.settings import DEFAULT_PORTS

_LOCATION = re.compile(r"(.*?)(:\d*)?", re.DOTALL)  # a host and its port


def names_loopback(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the Host header names this machine; any other name can be pointed here by its owner (DNS rebinding)."""
    host = connection.headers.get("host")
    if host is None:
        return True  # every browser sends it
    name = _with_port(host.lower(), "")[0].strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_cross_origin(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a browser sent the request for a page of an origin that is neither this server nor in CORS_ORIGINS."""
    origin, settings = connection.headers.get("origin"), connection.app.state.settings
    if origin is None or origin in settings.cors_origins:
        return False
    scheme, _, place = origin.lower().partition("://")
    if scheme not in DEFAULT_PORTS or (scheme == "http" and is_https(connection)):
        return True
    default = DEFAULT_PORTS[scheme]
    return not place or _with_port(place, default) != _with_port(connection.headers.get("host", "").lower(), default)


def _with_port(place: str, default: str) -> tuple[str, str]:
    """A host and its port: browsers leave out the default one, proxies may not."""
    parts = _LOCATION.fullmatch(place)
    assert parts  # matches any text
    return parts[1], (parts[2] or "").removeprefix(":") or default
