"""The client behind the proxies in TRUSTED_PROXIES: its address, and whether it uses https."""

import asyncio
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from litestar.connection import ASGIConnection

from api.settings import Settings

_REMEMBERED = 256
"""Addresses: each is asked for several times in a request, and a client may forward one of kilobytes."""


def client_address(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The client's address, as a trusted proxy forwards it in CLIENT_ADDRESS_HEADER, else the peer's own.

    An IPv6 address is cut to its network of 64 bits, within which a client can choose its address.
    """
    settings: Settings = request.app.state.settings
    peer = _peer(request)
    if not is_proxy(peer, settings):
        return network_of(peer)
    forwarded = ",".join(request.headers.getall(settings.client_address_header, []))
    # the last address that is no trusted proxy's: a client can invent the ones before it
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    return network_of(next((hop for hop in reversed(hops) if not is_proxy(hop, settings)), peer))


def is_https(request: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the client uses https, to this server or to a trusted proxy."""
    if request.scope["scheme"] == "https":
        return True
    settings: Settings = request.app.state.settings
    forwarded: str = request.headers.get("x-forwarded-proto", "")
    return is_proxy(_peer(request), settings) and forwarded.partition(",")[0].strip().lower() == "https"


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """The address and the port at the other end of a connection, as it was accepted.

    uvicorn asks the socket, which does not know them any more where the client has reset the connection already: all
    such clients would be one.
    """
    peer = transport.get_extra_info("peername")
    return (peer[0], peer[1]) if peer else None


def _peer(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    return request.client.host if request.client else "unknown"


def is_proxy(address: str, settings: Settings) -> bool:
    """Whether TRUSTED_PROXIES names the address."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in settings.trusted_proxies)


@lru_cache(_REMEMBERED)
def network_of(address: str) -> str:
    """An IPv6 address cut to its network of 64 bits, an IPv4 address as it is."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed or address)


@lru_cache(_REMEMBERED)
def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """The address without the port that some proxies add; an IPv4-mapped IPv6 address as IPv4."""
    try:
        parsed = ip_address(address.strip("[]"))
    except ValueError:
        host, _, port = address.rpartition(":")
        if not port.isdecimal():
            return None
        try:
            parsed = ip_address(host.strip("[]"))
        except ValueError:
            return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
