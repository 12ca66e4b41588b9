"""How often a client may ask (contract, section 7): windows of 60 seconds, counted before the body is read."""

from ipaddress import ip_address

from litestar.connection import Request
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig

from api.identity import Caller
from api.settings import Settings


def at_most(requests: int, route: str) -> DefineMiddleware:
    """A middleware that lets so many requests a minute of one client address through to a route: more get 429."""

    def identifier(request: Request[Caller, None, State]) -> str:
        return f"{route}|{client_address(request)}"

    return RateLimitConfig(
        rate_limit=("minute", requests), identifier_for_request=identifier, check_throttle_handler=_is_limited
    ).middleware


def client_address(request: Request[Caller, None, State]) -> str:
    """The client's address: what a proxy in TRUSTED_PROXIES says of it, else the peer's own."""
    settings: Settings = request.app.state.settings
    peer = request.client.host if request.client else "unknown"
    if not _is_proxy(peer, settings):
        return peer
    forwarded = request.headers.get("x-forwarded-for", "")
    # the last address that no proxy of ours has added: the ones before it anybody may have made up
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    last = next((hop for hop in reversed(hops) if not _is_proxy(hop, settings)), peer)
    return request.headers.get("cf-connecting-ip") or last


def _is_proxy(address: str, settings: Settings) -> bool:
    try:
        return any(ip_address(address) in network for network in settings.trusted_proxies)
    except ValueError:
        return False


async def _is_limited(request: Request[Caller, None, State]) -> bool:
    settings: Settings = request.app.state.settings
    return settings.is_rate_limited
