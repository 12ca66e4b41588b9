"""What PostgREST and the gateways before it answer instead of a result: 503 with a sentence, and a log that helps."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import NamedTuple

import pytest

from api.errors import ApiError
from tests.support.data_api import JWT_SECRET, token
from tests.support.serving import Connection, serve, settings_in

ANON_KEY = token("anon")


@dataclass
class Upstream:
    """The answer to every request."""

    status: int = 200
    body: bytes = b"true"
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""


class Case(NamedTuple):
    """An answer, and what the portal makes of it: the error's code, and a part of the log."""

    status: int
    body: object
    code: str
    logged: str
    headers: Mapping[str, str] = MappingProxyType({})


def refusal(code: str, message: str) -> dict[str, str | None]:
    """The body of an error of PostgREST."""
    return {"code": code, "message": message, "details": None, "hint": None}


PAGE = "<html><body><h1>Sorry</h1></body></html>"

CASES = {
    # PostgREST
    "cannot connect": Case(503, refusal("PGRST000", "Database connection error"), "database_away", "PGRST000"),
    "connection lost": Case(503, refusal("PGRST001", "Database client error"), "outcome_unknown", "PGRST001"),
    "no schema cache": Case(
        503, refusal("PGRST002", "Could not query"), "database_away", "PGRST002", {"Retry-After": "16"}
    ),
    "no free connection": Case(504, refusal("PGRST003", "Timed out"), "busy", "PGRST003"),
    "backend died": Case(400, refusal("", ""), "outcome_unknown", "no answer"),
    "internal error": Case(500, refusal("PGRSTX00", "Internal"), "outcome_unknown", "PGRSTX00"),
    "another schema": Case(406, refusal("PGRST106", "Invalid schema: public"), "database_away", "migrated"),
    "function unknown": Case(404, refusal("PGRST202", "Could not find"), "database_away", "migrated"),
    "no secret": Case(500, refusal("PGRST300", "Server lacks JWT secret"), "database_away", "JWT_SECRET"),
    "other secret": Case(401, refusal("PGRST301", "No suitable key"), "database_away", "JWT_SECRET"),
    "other clock": Case(401, refusal("PGRST303", "JWT issued at future"), "database_away", "clock"),
    # PostgreSQL
    "no such role": Case(401, refusal("22023", 'role "anon" does not exist'), "database_away", "role"),
    "role refused": Case(403, refusal("42501", 'permission denied to set role "anon"'), "database_away", "role"),
    "read-only": Case(
        405,
        refusal("25006", "cannot execute INSERT in a read-only transaction"),
        "database_read_only",
        "read-only",
    ),
    "replica": Case(
        400,
        refusal("0A000", "cannot set transaction read-write mode during recovery"),
        "database_read_only",
        "read-only",
    ),
    "disk full": Case(503, refusal("53100", "could not extend file"), "database_read_only", "53100"),
    "I/O error": Case(500, refusal("58030", "could not read block"), "database_away", "58030"),
    "stopped": Case(503, refusal("57P01", "terminating connection"), "database_away", "57P01"),
    "pooler lost its server": Case(503, refusal("08P01", "server conn crashed?"), "outcome_unknown", "08P01"),
    "its thinker is erased": Case(
        409,
        refusal("23503", 'insert on table "transfers" violates foreign key constraint "transfers_thinker_id_fkey"'),
        "busy",
        "23503",
    ),
    "too long": Case(500, refusal("25P04", "transaction timeout"), "busy", "25P04"),
    # gateways: the API key
    "key invalid": Case(401, {"message": "Invalid API key", "hint": "..."}, "database_away", "SUPABASE_ANON_KEY"),
    "no key": Case(401, {"message": "No API key found in request"}, "database_away", "SUPABASE_ANON_KEY"),
    "forbidden": Case(403, PAGE, "database_away", "SUPABASE_ANON_KEY"),
    # the address
    "moved": Case(301, "", "database_away", "SUPABASE_URL", {"Location": "https://portal.example.org/"}),
    "no route": Case(404, {"message": "no Route matched with those values"}, "database_away", "SUPABASE_URL"),
    "restricted": Case(402, {"message": "exceed_egress_quota"}, "database_away", "exceed_egress_quota"),
    "another server": Case(200, PAGE, "outcome_unknown", "Sorry", {"Content-Type": "text/html"}),
    "an empty result": Case(200, "", "outcome_unknown", "200"),
    # limits
    "too large": Case(413, PAGE, "too_large", ""),
    "too many": Case(429, {"message": "API rate limit exceeded"}, "busy", "429", {"Retry-After": "7"}),
    "too many, as a page": Case(429, PAGE, "busy", "429"),
    # errors
    "request timeout": Case(408, PAGE, "outcome_unknown", "408"),
    "error": Case(500, PAGE, "outcome_unknown", "500"),
    "error with a number": Case(500, {"code": 500, "msg": "error"}, "outcome_unknown", "500"),
    "bad gateway": Case(502, {"message": "invalid response from the upstream"}, "outcome_unknown", "502"),
    "unavailable": Case(503, {"message": "name resolution failed"}, "outcome_unknown", "503"),
    "gateway timeout": Case(504, PAGE, "outcome_unknown", "504"),
    "unknown error": Case(520, "error code: 520", "outcome_unknown", "520"),
    "server down": Case(521, "error code: 521", "outcome_unknown", "521"),
    "server timeout": Case(522, "", "outcome_unknown", "522"),
    "paused": Case(540, {"message": "Project paused"}, "outcome_unknown", "540"),
    "nothing": Case(500, "", "outcome_unknown", "500"),
    "deep": Case(500, "[" * 5000, "outcome_unknown", "500"),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """A server in place of a project."""
    answers = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answers.status)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(answers.body))}
            for name, value in {**headers, **answers.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answers.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        answers.url = f"http://127.0.0.1:{server.server_port}"
        yield answers
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def portal(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app on that project."""
    keys = {"supabase_anon_key": ANON_KEY, "jwt_secret": JWT_SECRET}
    settings = settings_in(tmp_path_factory.mktemp("portal"), supabase_url=upstream.url, **keys)
    with serve(settings, None) as url:
        yield url


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_answer_that_is_no_result_has_its_error(
    portal: str, upstream: Upstream, caplog: pytest.LogCaptureFixture, case: Case
) -> None:
    body = case.body if isinstance(case.body, str) else json.dumps(case.body)
    upstream.status, upstream.body, upstream.headers = case.status, body.encode(), case.headers
    with caplog.at_level(logging.WARNING), Connection(portal) as connection:
        issued = connection.post("/api/voucher/issue", {"issuerUid": "anna"})
        health = connection.get("/health")
    error = ApiError(case.code)
    assert (issued.status, issued.body) == (error.status, {"ok": False, "error": error.message("de")})
    assert (health.status, health.body) == (error.status, {"ok": False, "error": error.message("en")})
    expected = case.headers.get("Retry-After", "1" if case.status == 429 else None)
    assert issued.headers.get("retry-after") == expected
    assert case.logged in caplog.text
    assert "Traceback" not in caplog.text
    for secret in (JWT_SECRET, ANON_KEY):
        assert secret not in caplog.text


def test_an_answer_that_cannot_be_decoded_is_no_result(portal: str, upstream: Upstream) -> None:
    upstream.status, upstream.body, upstream.headers = 200, b"no gzip", {"Content-Encoding": "gzip"}
    with Connection(portal) as connection:
        answer = connection.post("/api/voucher/issue", {"issuerUid": "anna"})
    assert (answer.status, answer.body["error"]) == (503, ApiError("outcome_unknown").message("de"))
