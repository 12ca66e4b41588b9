"""Rate limits of routes: requests of a client a minute (docs/compatibility.md, "Rate limits")."""

import time

from litestar.connection import Request
from litestar.datastructures import State
from litestar.exceptions import TooManyRequestsException
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import CacheObject, RateLimitConfig, RateLimitMiddleware
from litestar.types import Receive, Scope, Send

from api.actor import SERVER
from api.gateway.shares import Shares
from api.http.callers import Caller, is_operator
from api.http.proxies import client_address
from api.http.sessions import BrowserSession
from api.settings import Settings


class CountedInPostgres(RateLimitMiddleware):
    """Litestar's rate limit, counted in Postgres: atomically, and for all server processes together."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request, before its body is read. Raises TooManyRequestsException above the limit."""
        request: Request[Caller, BrowserSession | None, State] = scope["litestar_app"].request_class(scope)
        if await self.should_check_request(request):
            shares: Shares = request.app.state.shares
            trusted = is_operator(request)
            client = None if trusted else client_address(request)
            calls = shares.of(is_operator=trusted, is_read=False, client=client)
            counted = await calls.call("count_request", SERVER, client=self.cache_key_from_request(request))
            now = int(time.time())
            counts = CacheObject(
                history=[now] * min(counted["requests"], self.max_requests + 1), reset=now + counted["seconds_left"]
            )
            if counted["requests"] > self.max_requests:
                headers = {"retry-after": str(counted["seconds_left"])} | self.create_response_headers(counts)
                raise TooManyRequestsException(headers=headers)
            send = self.create_send_wrapper(send, counts)
        await self.app(scope, receive, send)


def at_most(requests: int, route: str) -> DefineMiddleware:
    """A middleware that allows a client address this many requests a minute to a route; more get 429."""

    def identifier(request: Request[Caller, BrowserSession | None, State]) -> str:
        return f"{route}|{client_address(request)}"

    return RateLimitConfig(
        rate_limit=("minute", requests),
        identifier_for_request=identifier,
        check_throttle_handler=_is_limited,
        middleware_class=CountedInPostgres,
    ).middleware


async def _is_limited(request: Request[Caller, BrowserSession | None, State]) -> bool:
    settings: Settings = request.app.state.settings
    return settings.is_rate_limited
