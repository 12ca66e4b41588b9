"""What is told of each request: its line in the log, and its place in the metrics."""

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from litestar.types import HTTPScope, WebSocketScope

from api import logs
from api.http.callers import Caller
from api.http.proxies import is_proxy
from api.metrics import METHODS, Metrics
from api.settings import Settings

if TYPE_CHECKING:
    from api.tracing import RequestSpan, Tracing

_TOKEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""A request id or a traceparent that is believed; anything else could be a text of kilobytes, or forge a field."""

_MAX_UID = 255
"""Characters of a uid; what is longer is refused later, and would make a long line."""

UNMATCHED = "unmatched"
"""Stands for the template of a path that no route has."""


@dataclass
class Observation:
    """A request that is being answered; `status` is None until an answer has begun."""

    scope: HTTPScope | WebSocketScope
    id: str
    metrics: Metrics
    method: str  # that of the scope changes later: HEAD becomes GET
    span: "RequestSpan | None" = None
    status: int | None = None
    _began: float = field(default_factory=time.perf_counter)

    def end(self) -> None:
        """Write the line, and count the request."""
        seconds = time.perf_counter() - self._began
        # never the path, which may hold what nobody else should read
        route = self.scope.get("path_template") or UNMATCHED
        self.metrics.count(self.method, route, self.status, seconds)
        caller = cast(Caller | None, self.scope.get("user"))
        kind, uid = (caller.kind, caller.uid) if caller is not None else ("anon", None)
        logs.write_request(
            self.status,
            id=self.id,
            caller=kind,
            actor=kind if uid is None else uid[:_MAX_UID],
            method=self.method,
            route=route,
            ms=round(seconds * 1000, 2),
            **self._end_span(route),
        )

    def _end_span(self, route: str) -> dict[str, str]:
        """What the line has of the span, if there is one."""
        if self.span is None:
            return {}
        self.span.end(self.id, self.method, route, self.status)
        return {"trace": self.span.trace_id}


class Observer:
    """Observes requests."""

    def __init__(self, settings: Settings, metrics: Metrics, tracing: "Tracing | None") -> None:
        """Take TRUSTED_PROXIES, which may name requests, what counts them, and what makes spans of them."""
        self._settings = settings
        self._tracing = tracing
        self.metrics = metrics

    def begin(self, scope: HTTPScope | WebSocketScope) -> Observation:
        """Give a request its id, which the lines have that are written meanwhile."""
        id_ = self._sent(b"x-request-id", scope) or logs.new_request_id()
        logs.request_id.set(id_)
        span = self._tracing.begin(self._sent(b"traceparent", scope)) if self._tracing is not None else None
        method = str(scope.get("method", "GET"))
        return Observation(scope, id_, self.metrics, method if method in METHODS else "other", span)

    def _sent(self, header: bytes, scope: HTTPScope | WebSocketScope) -> str | None:
        """A header of a trusted proxy, if it is a simple token."""
        if not self._settings.trusted_proxies or not scope["client"]:
            return None
        sent = [value for name, value in scope["headers"] if name == header]
        is_believed = len(sent) == 1 and _TOKEN.fullmatch(sent[0]) and is_proxy(scope["client"][0], self._settings)
        return sent[0].decode() if is_believed else None
