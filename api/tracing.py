"""OpenTelemetry: a span for each request, and in it one for each call of the database (docs/monitoring.md, "Traces").

Needs the packages of the extra `otel`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.actor import Actor
from api.errors import ApiError
from api.gateway import Gateway
from api.metrics import METHODS

_TRACEPARENT = TraceContextTextMapPropagator()

_STOP_SECONDS = 5
"""For the spans that are left at a stop; requests that are left have as many."""

_log = logging.getLogger(__name__)
# these would tell of each batch that a collector does not take, of each span that is dropped, and the collector's key
for _name in ("exporter", "sdk._shared_internal", "util.re"):
    logging.getLogger(f"opentelemetry.{_name}").setLevel(logging.CRITICAL)


class Tracing:
    """Makes the spans of this process. OTEL_* say where they go, and how many of them."""

    def __init__(self) -> None:
        """Begin to make spans, which are dropped until they are exported."""
        named = Resource.create().merge(Resource({"service.name": "togethersystems"}))
        resource = named.merge(OTELResourceDetector().detect())  # OTEL_* may give another name
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracer = self._provider.get_tracer("togethersystems")

    @asynccontextmanager
    async def exporting(self) -> AsyncIterator[None]:
        """Export the spans in a thread; at the end those that are left, as far as the time goes."""
        exporter = _Exporter()
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        try:
            yield
        finally:
            # a daemon, because a collector that does not answer would hold the process for half a minute
            thread = Thread(target=self._provider.shutdown, daemon=True)
            thread.start()
            await asyncio.to_thread(thread.join, _STOP_SECONDS)
            if thread.is_alive():
                exporter.tell(fails=True)

    def begin(self, traceparent: str | None) -> "RequestSpan":
        """Begin the span of a request, within that of a proxy if there is one; calls of this task are within it."""
        within = _TRACEPARENT.extract({"traceparent": traceparent}) if traceparent else context.Context()
        return RequestSpan(self._tracer.start_span("request", within, SpanKind.SERVER))

    def of_calls(self, gateway: Gateway) -> Gateway:
        """The gateway, with a span for each call."""
        return _TracedGateway(gateway, self._tracer)


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Span) -> None:
        """Make it the current one of this task."""
        self._span = span
        context.attach(trace.set_span_in_context(span, context.Context()))

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def end(self, request_id: str, method: str, route: str, status: int | None) -> None:
        """End it with what the line in the log has: names and numbers, and nothing that a client has sent."""
        known = method if method in METHODS else "_OTHER"
        self._span.update_name(f"{known} {route}")
        self._span.set_attributes(
            {"http.request.method": known, "http.route": route, "portal.request_id": request_id}
            | ({} if status is None else {"http.response.status_code": status})
        )
        if status is None or status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _TracedGateway:
    """A gateway whose calls have spans: the function's name, and the code and SQLSTATE of an error."""

    def __init__(self, gateway: Gateway, tracer: trace.Tracer) -> None:
        self._gateway = gateway
        self._tracer = tracer
        self.connections = gateway.connections
        self.open = gateway.open

    async def call(self, function: str, actor: Actor, **params: object) -> Any:
        """See Calls."""
        span = self._tracer.start_span(
            function, kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql", "db.operation.name": function}
        )
        try:
            return await self._gateway.call(function, actor, **params)
        except BaseException as error:
            # not its text, which may have a value of the request
            span.set_attribute("error.type", error.code if isinstance(error, ApiError) else type(error).__name__)
            if state := getattr(error.__cause__ or error, "sqlstate", None):
                span.set_attribute("db.response.status_code", state)
            if not isinstance(error, ApiError) or error.status >= 500:
                span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()


class _Exporter(SpanExporter):
    """Exports to a collector, and tells once when it begins to fail."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans. Those that no collector takes are lost."""
        result = self._exporter.export(spans)
        self.tell(fails=result is not SpanExportResult.SUCCESS)
        return result

    def tell(self, *, fails: bool) -> None:
        """Write a line where this has changed."""
        if fails and not self._fails:
            _log.warning("spans are lost: no collector at OTEL_EXPORTER_OTLP_ENDPOINT takes them")
        elif self._fails and not fails:
            _log.warning("the collector at OTEL_EXPORTER_OTLP_ENDPOINT takes spans again")
        self._fails = fails

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
