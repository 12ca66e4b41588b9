"""What the proxies in TRUSTED_PROXIES say of a request."""

from ipaddress import ip_address
from typing import Any

from litestar.connection import Request

from api.settings import Settings


def client_address(request: Request[Any, Any, Any]) -> str:
    """The client's address: what a proxy of ours says of it, else the peer's own."""
    settings: Settings = request.app.state.settings
    peer = _peer(request)
    if not _is_proxy(peer, settings):
        return peer
    forwarded = request.headers.get("x-forwarded-for", "")
    # the last address that no proxy of ours has added: the ones before it anybody may have made up
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    last = next((hop for hop in reversed(hops) if not _is_proxy(hop, settings)), peer)
    return request.headers.get("cf-connecting-ip") or last


def is_https(request: Request[Any, Any, Any]) -> bool:
    """Whether the client sees this server over https: its own connection, or that to a proxy of ours."""
    if request.url.scheme == "https":
        return True
    settings: Settings = request.app.state.settings
    return _is_proxy(_peer(request), settings) and request.headers.get("x-forwarded-proto", "") == "https"


def _peer(request: Request[Any, Any, Any]) -> str:
    return request.client.host if request.client else "unknown"


def _is_proxy(address: str, settings: Settings) -> bool:
    try:
        return any(ip_address(address) in network for network in settings.trusted_proxies)
    except ValueError:
        return False
