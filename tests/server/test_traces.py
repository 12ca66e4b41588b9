"""Spans reach a collector, join the log, and have nothing of a client in them; no request needs a collector."""

import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.cli.running import PORTAL
from tests.server.running import Running, run_portal
from tests.support.serving import Connection
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

KEY = "a-key-that-nobody-may-read-4711"
SECRET = "secret4711"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PROXY = f"00-{TRACE}-b7ad6b7169203331-01"
# so that no test waits for the next of many spans
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50", "WORKERS": "1", "TS_API_KEY": KEY}


@dataclass
class Collector:
    """A server that takes spans, as a collector of OpenTelemetry does."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """Returns what it has got."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def wait_for(self, name: str) -> Span:
        """Returns the only span with a name, as soon as it is there."""
        wait_until(lambda: any(span.name == name for span in self.spans()))
        [found] = [span for span in self.spans() if span.name == name]
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.bodies.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@contextmanager
def traced(database: str, folder: Path, collector: Collector, **settings: str) -> Iterator[Running]:
    with run_portal(database, folder, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **SOON | settings) as running:
        yield running


def attributes(span: Span) -> dict[str, Any]:
    return {attribute.key: attribute.value.int_value or attribute.value.string_value for attribute in span.attributes}


def line_of(running: Running, route: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    [line] = [line for line in lines if line.get("route") == route]
    assert isinstance(line, dict)
    return line


def test_a_request_has_a_span_with_its_calls_in_it(database: str, tmp_path: Path, collector: Collector) -> None:
    with traced(database, tmp_path, collector) as running:
        with Connection(running.url) as client:
            answer = client.post(
                f"/api/presence/heartbeat?{SECRET}",
                {"thinker_id": SECRET},
                x_ts_apikey=KEY,
                cookie=SECRET,
                traceparent=PROXY,
            )
            missing = client.get(f"/api/telbank/transfers/{SECRET}", x_ts_apikey=KEY)
            unmatched = client.get(f"/api/{SECRET}/{SECRET}", x_ts_apikey=KEY)
            assert (answer.status, missing.status, unmatched.status) == (200, 404, 404)
        collector.wait_for("GET unmatched")
        request = collector.wait_for("POST /api/presence/heartbeat")
        call = collector.wait_for("send_heartbeat")
        refused = collector.wait_for("GET /api/telbank/transfers/{transfer_id}")
        line = line_of(running, "/api/presence/heartbeat")

    assert attributes(request) == {
        "http.request.method": "POST", "http.route": "/api/presence/heartbeat", "http.response.status_code": 200,
        "portal.request_id": answer.headers["x-request-id"],
    }  # fmt: skip
    assert (request.kind, call.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert attributes(call) == {"db.system.name": "postgresql", "db.operation.name": "send_heartbeat"}
    assert (call.parent_span_id, call.trace_id) == (request.span_id, request.trace_id)
    assert request.start_time_unix_nano <= call.start_time_unix_nano < call.end_time_unix_nano
    assert call.end_time_unix_nano <= request.end_time_unix_nano
    # a refusal is no failure
    assert refused.status.code == Status.STATUS_CODE_UNSET
    assert refused.trace_id != request.trace_id
    assert line["trace"] == request.trace_id.hex()
    # a stranger joins no trace
    assert (request.parent_span_id, line["trace"] == TRACE) == (b"", False)
    assert SECRET.encode() not in b"".join(collector.bodies)
    assert KEY.encode() not in b"".join(collector.bodies)


def test_a_failure_has_its_code_and_state_and_no_text(database: str, tmp_path: Path, collector: Collector) -> None:
    with traced(database, tmp_path, collector) as running, psycopg.connect(database) as holding:
        holding.execute("lock table public.vouchers")
        with Connection(running.url) as client:
            assert client.get("/api/voucher/list", x_ts_apikey=KEY).status == 503
        request = collector.wait_for("GET /api/voucher/list")
    # it was made again and again, while another had the lock
    calls = [span for span in collector.spans() if span.name == "list_vouchers"]
    assert len(calls) > 1
    for call in calls:
        assert attributes(call) == {
            "db.system.name": "postgresql", "db.operation.name": "list_vouchers", "error.type": "busy",
            "db.response.status_code": "55P03",
        }  # fmt: skip
    assert {(span.status.code, span.status.message, len(span.events)) for span in (request, *calls)} == {
        (Status.STATUS_CODE_ERROR, "", 0)
    }


def test_a_trusted_proxy_has_the_requests_in_its_trace(database: str, tmp_path: Path, collector: Collector) -> None:
    with traced(database, tmp_path, collector, TRUSTED_PROXIES="127.0.0.1") as running:
        with Connection(running.url) as client:
            for sent in (PROXY, "nonsense", f"{PROXY}\u00e9"):
                assert client.get("/health/live", traceparent=sent).status == 200
        wait_until(lambda: len([span for span in collector.spans() if span.name == "GET /health/live"]) == 3)
    spans = [span for span in collector.spans() if span.name == "GET /health/live"]
    assert [span.trace_id.hex() == TRACE for span in spans] == [True, False, False]
    assert spans[0].parent_span_id.hex() == "b7ad6b7169203331"


def test_what_is_left_is_exported_at_the_stop_of_each_worker(
    database: str, tmp_path: Path, collector: Collector
) -> None:
    with traced(database, tmp_path, collector, WORKERS="2", OTEL_BSP_SCHEDULE_DELAY="3600000") as running:
        for _ in range(20):
            with Connection(running.url) as client:
                assert client.get("/health/live").status == 200
        assert collector.bodies == []
    assert len([span for span in collector.spans() if span.name == "GET /health/live"]) == 20


def test_without_a_collector_requests_go_on_and_one_line_tells(database: str, tmp_path: Path) -> None:
    with run_portal(
        database, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1", **SOON
    ) as running:
        wait_until(lambda: "spans are lost" in running.log.read_text())
        with Connection(running.url) as client:
            assert client.get("/health/live").status == 200
    assert running.process.returncode == 0
    assert running.log.read_text().count("OTEL") == 1


def test_a_collector_that_never_answers_holds_no_stop(database: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with run_portal(
            database,
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            # longer than any test
            OTEL_EXPORTER_OTLP_TIMEOUT="3600",
            **SOON,
        ) as running:
            silent.accept()[0].close()
            with Connection(running.url) as client:
                assert client.get("/health/live").status == 200
            assert "spans are lost" not in running.log.read_text()
        assert running.process.returncode == 0
    # it waited for its own time, and not for that of OpenTelemetry, which tells of nothing
    assert running.log.read_text().count("spans are lost") == 1


def test_settings_of_opentelemetry_count_and_a_wrong_one_is_told(
    database: str, tmp_path: Path, collector: Collector
) -> None:
    settings = {
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=mine",
        "OTEL_EXPORTER_OTLP_HEADERS": SECRET,
        "OTEL_TRACES_SAMPLER": "nonsense",
    }
    with traced(database, tmp_path, collector, **settings):
        wait_until(lambda: bool(collector.bodies))
    [request, *_] = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    named = {attribute.key: attribute.value.string_value for attribute in request.resource_spans[0].resource.attributes}
    assert named["service.name"] == "mine"
    assert "nonsense" in (tmp_path / "log").read_text()
    # as it may be the collector's key
    assert SECRET not in (tmp_path / "log").read_text()


def test_without_the_packages_it_does_not_start(tmp_path: Path) -> None:
    without = "import sys; sys.modules['opentelemetry'] = None; "
    program = [sys.executable, "-c", without + PORTAL[2], "run"]
    settings = {"DATA_DIR": str(tmp_path), "PORT": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    ended = subprocess.run(program, env=settings, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT needs the packages of the extra `otel`" in ended.stderr
