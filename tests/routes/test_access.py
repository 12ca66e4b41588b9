"""The API key and the rate limits (docs/compatibility.md, "API key" and docs/compatibility.md, "Rate limits")."""

import gzip
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_network

import httpx
import psycopg
import pytest

from api.http.rate_limit import MAX_MEBIBYTES_A_DAY
from api.routes.telemetry import MAX_EVENTS_A_DAY
from api.routes.voucher import MAX_BOOKINGS_A_DAY
from tests.support.acting import one
from tests.support.parallel import ask_at_once
from tests.support.serving import Answer, Connection, serve, settings_in

KEY = "a long random text"
INVALID = {"ok": False, "error": "invalid api key"}
LIMITED = {"ok": False, "error": "rate limit exceeded"}
CLOSED = [
    ("POST", "/api/presence/heartbeat"),
    ("POST", "/api/presence/match"),
    ("GET", "/api/presence/debug"),
    ("POST", "/api/voucher/issue"),
    ("GET", "/api/voucher/list"),
    ("GET", "/api/voucher/bookings"),
    ("GET", "/api/slots/available"),
    ("POST", "/api/voucher/book"),
    ("POST", "/api/voucher/cancel"),
    ("POST", "/api/telbank/transfers"),
    ("GET", "/api/telbank/transfers"),
    ("GET", "/api/telbank/transfers/in-1"),
    ("POST", "/api/hypotheken/anfrage"),
    ("GET", "/api/hypotheken/anfrage/list"),
    ("POST", "/api/hypotheken/angebot"),
    ("GET", "/api/hypotheken/angebot/list"),
    ("POST", "/api/hypotheken/angebot/accept"),
    ("POST", "/api/hypotheken/vertrag/update-status"),
    ("POST", "/api/mortgage/application"),
    ("GET", "/api/mortgage/application-list"),
    ("POST", "/api/mortgage/offer"),
    ("GET", "/api/mortgage/offer-list"),
    ("POST", "/api/contracts/upload"),
    ("GET", "/api/contracts/list"),
    ("GET", "/api/contracts/ct-1/document"),
    ("POST", "/api/telemetry"),
    ("GET", "/api/admin/events"),
    ("GET", "/api/admin/dashboard"),
    ("GET", "/api/admin/settlements"),
    ("GET", "/api/admin/settlements/unknown"),
    ("GET", "/api/admin/settlements/unknown/pdf"),
    ("GET", "/api/admin/fees"),
    ("GET", "/metrics"),
]
OPEN = [
    "/api/presence/catalog/apis",
    "/api/autofix/status",
    "/api/admin/session",
    "/health",
    "/health/live",
    "/health/ready",
    "/schema/openapi.json",
]
LIMITS = [
    ("POST", "/api/voucher/issue", 60),
    ("POST", "/api/voucher/book", 60),
    ("POST", "/api/voucher/cancel", 60),
    ("POST", "/api/mortgage/application", 60),
    ("POST", "/api/mortgage/offer", 60),
    ("POST", "/api/presence/verify", 120),
    ("POST", "/api/presence/heartbeat", 300),
    ("POST", "/api/presence/match", 300),
    ("GET", "/api/slots/available", 120),
    ("GET", "/api/voucher/bookings", 120),
    ("GET", "/api/voucher/list", 120),
    ("GET", "/api/contracts/list", 300),
    ("GET", "/api/contracts/ct-1/document", 300),
    ("GET", "/api/hypotheken/anfrage/list", 120),
    ("GET", "/api/hypotheken/angebot/list", 120),
    ("GET", "/api/mortgage/application-list", 120),
    ("GET", "/api/autofix/status", 60),
    ("GET", "/api/telbank/transfers", 120),
    ("POST", "/api/telbank/transfers", 120),
    ("GET", "/api/mortgage/offer-list", 120),
    ("POST", "/api/telemetry", 300),
    ("PUT", "/api/admin/session", 10),
    ("GET", "/api/admin/session", 300),
    ("DELETE", "/api/admin/session", 300),
    ("GET", "/api/admin/events", 300),
    ("GET", "/api/admin/dashboard", 300),
    ("GET", "/api/admin/settlements", 300),
    ("GET", "/api/admin/settlements/unknown", 300),
    ("GET", "/api/admin/settlements/unknown/pdf", 60),
    ("GET", "/api/admin/fees", 300),
    *(
        ("GET", f"/api/admin/stats/{figures}", 300)
        for figures in ("presence", "vouchers", "mortgages", "telbank", "fees", "system")
    ),
    ("GET", "/api/telbank/transfers/unknown", 300),
]


@pytest.fixture(scope="module")
def keyed_url(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app with an API key."""
    settings = settings_in(tmp_path_factory.mktemp("keyed"), ts_api_key=KEY, rate_limit="off")
    with serve(settings, shared_database) as url:
        yield url


@pytest.fixture
def keyed(keyed_url: str) -> Iterator[Connection]:
    with Connection(keyed_url) as connection:
        yield connection


class Limited:
    """Starts apps with rate limits, which count a tenth of the requests of a client themselves."""

    def __init__(self, database: str, folder: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._database, self._folder, self._stack = database, folder, stack

    def start(self, *trusted: str, **changes: str) -> str:
        networks = tuple(ip_network(address) for address in trusted)
        settings = settings_in(self._folder.mktemp("limited"), rate_limit="on", trusted_proxies=networks, **changes)
        return self._stack.enter_context(serve(settings, self._database))


@pytest.fixture
def limited(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute("truncate private.request_counts")
    with ExitStack() as stack:
        yield Limited(shared_database, tmp_path_factory, stack)


def cancel(connection: Connection, **headers: str) -> Answer:
    """Sends one request to a route with sixty a minute; it finds nothing to cancel, which counts too."""
    return connection.post("/api/voucher/cancel", {}, **headers)


TENTH = 6
"""How many of these requests an app takes at a time."""


def left(answer: Answer) -> int:
    """Returns how many requests the client may still send in its minute, as the answer says."""
    return int(answer.headers["ratelimit-remaining"])


def exhaust(database: str, requests: int) -> None:
    """Makes every client have sent this many requests in its minute, beside those that an app counts itself."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update private.request_counts set requests = %s", (requests,))


def let_through(url: str, number: int, source: str = "127.0.0.1", **headers: str) -> int:
    """Returns how many of these requests from an address are within the limit."""
    with Connection(url, source) as connection:
        answers = [cancel(connection, **headers) for _ in range(number)]
    return sum(answer.status != 429 for answer in answers)


def test_without_the_key_a_route_is_closed(keyed: Connection) -> None:
    for headers in ({}, {"X-TS-APIKEY": "wrong"}, {"X-TS-APIKEY": ""}):
        answers = {route: keyed.ask(*route, headers=headers) for route in CLOSED}
        assert [route for route, answer in answers.items() if (answer.status, answer.body) != (401, INVALID)] == []


def test_with_the_key_a_route_is_open(keyed: Connection) -> None:
    statuses = {route: keyed.ask(*route, headers={"X-TS-APIKEY": KEY}).status for route in CLOSED}
    assert [route for route, status in statuses.items() if status in (401, 403, 429)] == []


@pytest.mark.parametrize("path", OPEN)
def test_public_routes_need_no_key(keyed: Connection, path: str) -> None:
    assert keyed.get(path).status == 200


def test_verify_needs_no_key(keyed: Connection) -> None:
    assert keyed.post("/api/presence/verify", {"token": "t"}).status == 200


@pytest.mark.parametrize(
    "key",
    [
        b"A LONG RANDOM TEXT",
        b"a long random tex",
        b"a long random text!",
        b'"a long random text"',
        b"a long random text, a long random text",
        b"\xff\xfe",
        "schlüssel".encode(),
        "schlüssel".encode("latin-1"),
        b"x" * 10_000,
    ],
)
def test_only_the_exact_key_is_accepted(keyed: Connection, key: bytes) -> None:
    answer = keyed.ask("GET", "/api/voucher/list", headers={"X-TS-APIKEY": key})
    assert (answer.status, answer.body) == (401, INVALID)


def test_a_key_that_is_not_ascii_is_accepted(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = settings_in(tmp_path_factory.mktemp("umlaut"), ts_api_key="schlüssel")
    with serve(settings, shared_database) as url, Connection(url) as connection:
        right = connection.ask("GET", "/api/voucher/list", headers={"X-TS-APIKEY": "schlüssel".encode()})
        wrong = connection.ask("GET", "/api/voucher/list", headers={"X-TS-APIKEY": "schlussel"})
    assert (right.status, wrong.status) == (200, 401)


@pytest.mark.parametrize(
    "raw",
    [b"{", b"x" * 2_000_000, b"\x1f\x8b", b'{"a": "\\u0000"}'],
    ids=["malformed", "too long", "not zipped", "NUL"],
)
def test_the_key_is_checked_before_the_body_is_read(keyed: Connection, raw: bytes) -> None:
    answer = keyed.ask("POST", "/api/voucher/issue", raw=raw, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.body) == (401, INVALID)


def test_requests_without_the_key_are_not_counted(
    shared_database: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = settings_in(tmp_path_factory.mktemp("both"), ts_api_key=KEY, rate_limit="on")
    with serve(settings, shared_database) as url, Connection(url) as connection:
        assert {cancel(connection).status for _ in range(3)} == {401}
        assert left(cancel(connection, x_ts_apikey=KEY)) == 59


def test_concurrent_requests_are_counted_exactly(limited: Limited, shared_database: str) -> None:
    url = limited.start()
    assert let_through(url, TENTH) == TENTH
    exhaust(shared_database, 40)
    answers = ask_at_once(url, *[cancel] * 30)
    assert Counter(answer.status for answer in answers) == {400: 20, 429: 10}
    assert all(answer.body == LIMITED for answer in answers if answer.status == 429)


def test_servers_that_share_a_database_count_together(limited: Limited, shared_database: str) -> None:
    urls = [limited.start(), limited.start()]
    assert let_through(urls[0], TENTH) == TENTH
    exhaust(shared_database, 40)
    with ThreadPoolExecutor() as threads:
        answers = [
            answer for asked in threads.map(lambda url: ask_at_once(url, *[cancel] * 15), urls) for answer in asked
        ]
    through = sum(answer.status != 429 for answer in answers)
    # one may have taken requests that only it can still let through
    assert 20 - 2 * TENTH < through <= 20
    assert through + sum(let_through(url, 30) for url in urls) == 20
    assert [let_through(url, 2) for url in urls] == [0, 0]


def test_most_requests_are_counted_without_the_database(limited: Limited, shared_database: str) -> None:
    url, counted = limited.start(), []
    with psycopg.connect(shared_database, autocommit=True) as connection:
        for _ in range(TENTH + 2):
            assert let_through(url, 1) == 1
            counted.append(one(connection, "select requests from private.request_counts"))
    assert counted == [TENTH] * TENTH + [2 * TENTH] * 2


def test_a_client_may_send_requests_again_after_a_minute(limited: Limited, shared_database: str) -> None:
    url = limited.start()
    assert let_through(url, 61) == 60
    with Connection(url) as connection:
        assert 0 < int(cancel(connection).headers["ratelimit-reset"]) <= 60
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute("update private.request_counts set window_ends_at = clock_timestamp() - interval '1 second'")
    assert let_through(url, 61) == 60


def test_counts_of_inactive_clients_are_deleted(limited: Limited, shared_database: str) -> None:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(
            "insert into private.request_counts select 'gone ' || i, 1, clock_timestamp() - interval '1 second'"
            " from generate_series(1, 15) as i"
        )
        url = limited.start()
        counts = []
        for last in (4, 5, 6):
            let_through(url, 3, f"127.0.0.{last}")
            counts.append(one(connection, "select count(*) from private.request_counts where client ~ '^gone'"))
    assert counts == [5, 0, 0]


@pytest.mark.parametrize(("method", "path", "limit"), LIMITS)
def test_a_route_has_its_own_limit(
    limited_once: Connection, shared_database: str, method: str, path: str, limit: int
) -> None:
    first = limited_once.ask(method, path)
    assert first.status != 429
    assert left(first) == limit - 1
    for _ in range(limit // 10 - 1):
        limited_once.ask(method, path)  # the rest of what the app counts itself
    exhaust(shared_database, limit - 1)
    answers = [limited_once.ask(method, path) for _ in range(3)]
    assert [answer.status == 429 for answer in answers] == [False, True, True]
    assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in answers[1:])


def test_an_address_reports_a_number_of_events_a_day(limited: Limited, shared_database: str) -> None:
    url, reports = limited.start(), (("127.0.5.1", 2), ("127.0.5.1", 2), ("127.0.5.2", 2), ("127.0.5.1", 1))
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(
            "insert into private.request_counts values ('telemetry events|127.0.5.1', %s, now() + interval '1 hour')",
            (MAX_EVENTS_A_DAY - 2,),
        )
    answers = []
    for source, number in reports:
        with Connection(url, source) as connection:
            answers.append(connection.post("/api/telemetry", [{"type": "click"}] * number).status)
    assert answers == [200, 429, 200, 200]


def test_an_address_sends_a_number_of_bytes_a_day(limited: Limited, shared_database: str) -> None:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(
            "insert into private.request_counts values ('MiB|127.0.5.1', %s, now() + interval '1 hour')",
            (MAX_MEBIBYTES_A_DAY,),
        )
    url, answers = limited.start(), []
    # more than half a MiB, without the compression
    large, small = (gzip.compress(b"[" + b" " * size + b"{}]") for size in (600_000, 1_000))
    for source, body in (("127.0.5.1", large), ("127.0.5.1", small), ("127.0.5.2", large)):
        with Connection(url, source) as connection:
            sent = connection.ask("POST", "/api/telemetry", raw=body, headers={"Content-Encoding": "gzip"})
            answers.append(sent.status)
    assert answers == [429, 200, 200]


def test_an_address_books_a_voucher_a_number_of_times_a_day(limited: Limited, shared_database: str) -> None:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(
            "insert into private.request_counts values ('bookings|127.0.5.1|unknown', %s, now() + interval '1 hour')",
            (MAX_BOOKINGS_A_DAY - 1,),
        )
    url, answers = limited.start(), []
    calls = (("127.0.5.1", "unknown"), ("127.0.5.1", "unknown"), ("127.0.5.1", "another"), ("127.0.5.2", "unknown"))
    for source, voucher in calls:
        with Connection(url, source) as connection:
            booked = connection.post(
                "/api/voucher/book",
                {"voucherId": voucher, "slotId": "slot-2030-01-07T09:00:00.000Z", "holderUid": "ada"},
            )
            answers.append(booked.status)
    assert answers == [404, 429, 404, 404]


@pytest.fixture(scope="module")
def limited_once(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A connection to one app for all routes, which shows that their counts are separate."""
    settings = settings_in(tmp_path_factory.mktemp("once"), rate_limit="on")
    with serve(settings, shared_database) as url, Connection(url) as connection:
        yield connection


@pytest.mark.parametrize(
    "path",
    ["/api/presence/catalog/apis", "/api/presence/debug", "/health", "/health/live", "/health/ready"],
)
def test_a_route_without_a_limit_is_not_counted(limited_once: Connection, shared_database: str, path: str) -> None:
    cancel(limited_once)
    exhaust(shared_database, 10_000)
    answers = [limited_once.get(path) for _ in range(2)]
    assert [(answer.status, "ratelimit-limit" in answer.headers) for answer in answers] == [(200, False)] * 2


def test_a_server_for_this_machine_only_has_no_limits(client: Connection) -> None:
    answer = cancel(client)
    assert (answer.status, "ratelimit-limit" in answer.headers) == (400, False)


def test_each_address_has_its_own_count(limited: Limited) -> None:
    url = limited.start()
    for last in (1, 2, 3):
        with Connection(url, f"127.0.0.{last}") as connection:
            assert left(cancel(connection)) == 59


@pytest.mark.parametrize("header", ["X-Forwarded-For", "CF-Connecting-IP"])
def test_an_address_that_a_client_invents_is_ignored(limited: Limited, header: str) -> None:
    with Connection(limited.start("10.0.0.0/8")) as connection:
        answers = [
            connection.ask("POST", "/api/voucher/cancel", {}, headers={header: f"192.0.2.{i}"}) for i in range(3)
        ]
    assert [left(answer) for answer in answers] == [59, 58, 57]


def test_the_line_that_the_proxy_adds_counts(limited: Limited) -> None:
    with httpx.Client(base_url=limited.start("127.0.0.0/8")) as client:
        # the client's own line, then the proxy's
        lines = [[("X-Forwarded-For", f"198.51.100.{i}"), ("X-Forwarded-For", "192.0.2.1")] for i in range(3)]
        answers = [client.post("/api/voucher/cancel", json={}, headers=line) for line in lines]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["59", "58", "57"]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}, False),
        # a header that no setting names is the client's own
        ({"CF-Connecting-IP": "192.0.2.1"}, {"CF-Connecting-IP": "192.0.2.2"}, True),
        # a client may send anything before the address that the proxy adds
        ({"X-Forwarded-For": "1.1.1.1, 192.0.2.1"}, {"X-Forwarded-For": "2.2.2.2,192.0.2.1"}, True),
        # two proxies of the operator in a row
        ({"X-Forwarded-For": "192.0.2.1, 127.0.0.1"}, {"X-Forwarded-For": "192.0.2.1"}, True),
        ({}, {"X-Forwarded-For": ""}, True),
        # with the port of the client's connection
        ({"X-Forwarded-For": "192.0.2.1:5000"}, {"X-Forwarded-For": "192.0.2.1:5001"}, True),
        # all addresses of an IPv6 network count as one client
        ({"X-Forwarded-For": "2001:db8:0:1::1"}, {"X-Forwarded-For": "2001:db8:0:1:2::3"}, True),
        ({"X-Forwarded-For": "2001:db8:0:1::1"}, {"X-Forwarded-For": "2001:db8:0:2::1"}, False),
        ({"X-Forwarded-For": "[2001:db8:0:1::1]"}, {"X-Forwarded-For": "[2001:db8:0:1::2]:443"}, True),
        ({"X-Forwarded-For": "::ffff:192.0.2.1"}, {"X-Forwarded-For": "192.0.2.1"}, True),
    ],
)
def test_a_trusted_proxy_names_the_client(
    limited: Limited, first: Mapping[str, str], second: Mapping[str, str], is_same: bool
) -> None:
    with Connection(limited.start("127.0.0.0/8")) as connection:
        answers = [connection.ask("POST", "/api/voucher/cancel", {}, headers=headers) for headers in (first, second)]
    assert [left(answer) for answer in answers] == [59, 58 if is_same else 59]


def test_a_setting_names_the_header_of_the_proxies(limited: Limited) -> None:
    with Connection(limited.start("127.0.0.0/8", client_address_header="CF-Connecting-IP")) as connection:
        answers = [
            cancel(connection, cf_connecting_ip=address, x_forwarded_for=invented)
            for address, invented in (("192.0.2.1", "a"), ("192.0.2.1", "b"), ("192.0.2.2", "b"))
        ]
    assert [left(answer) for answer in answers] == [59, 58, 59]
