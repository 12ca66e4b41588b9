"""How a route is found: method, path and parameters (docs/compatibility.md, "Routing")."""

from typing import Any, cast

import anyio
import pytest
from litestar import Litestar

from api.legacy.routing import LegacyRouting
from tests.routes.conftest import naming
from tests.support.serving import Connection

GET_ROUTES = [
    "/health",
    "/api/presence/debug",
    "/api/presence/catalog/apis",
    "/api/voucher/list",
    "/api/voucher/bookings",
    "/api/hypotheken/anfrage/list?role=lender",
    "/api/hypotheken/angebot/list?applicationId=a",
    "/api/mortgage/application-list",
    "/api/mortgage/offer-list",
    "/api/telbank/transfers",
    "/api/contracts/list",
    "/api/admin/events",
    "/api/admin/dashboard",
    "/api/admin/settlements",
    "/api/admin/fees",
    "/api/autofix/status",
]
POST_ROUTES = [
    "/api/presence/verify",
    "/api/presence/heartbeat",
    "/api/presence/match",
    "/api/voucher/issue",
    "/api/voucher/book",
    "/api/voucher/cancel",
    "/api/hypotheken/anfrage",
    "/api/hypotheken/angebot",
    "/api/hypotheken/angebot/accept",
    "/api/hypotheken/vertrag/update-status",
    "/api/mortgage/application",
    "/api/mortgage/offer",
    "/api/contracts/upload",
    "/api/telemetry",
]
ALL_ROUTES = [("GET", path) for path in GET_ROUTES] + [("POST", path) for path in POST_ROUTES]


def allowed(answer_headers: str) -> set[str]:
    return {method.strip() for method in answer_headers.split(",")}


@pytest.mark.parametrize("path", GET_ROUTES)
def test_head_is_get_without_the_body(client: Connection, path: str) -> None:
    headed = client.ask("HEAD", path, headers={"X-MOT-User": "someone"})
    # on the same connection, which would fail after an unexpected body
    got = client.get(path, x_mot_user="someone")
    assert got.status == headed.status == 200
    assert headed.body is None
    assert headed.headers["content-type"] == got.headers["content-type"]
    assert headed.headers["content-length"] == got.headers["content-length"]


def test_options_names_the_methods(client: Connection) -> None:
    for method, path in ALL_ROUTES:
        with naming(path):
            answer = client.ask("OPTIONS", path)
            assert answer.status in (200, 204)
            assert method in allowed(answer.headers["allow"])


def test_a_trailing_slash_and_an_upper_case_path_match(client: Connection) -> None:
    for method, path in ALL_ROUTES:
        name, _, query = path.partition("?")
        plain = client.ask(method, path, headers={"X-MOT-User": "someone"})
        for other in (f"{name}/?{query}", f"{name.upper()}?{query}"):
            if other == "/HEALTH?":
                continue
            with naming(f"{method} {other}"):
                answer = client.ask(method, other, headers={"X-MOT-User": "someone"})
                assert answer.status == plain.status
                assert answer.body.keys() == plain.body.keys()
                assert answer.body.get("error") == plain.body.get("error")


WRONG_METHODS = [
    *(("DELETE", path, right) for right, path in ALL_ROUTES),
    *(("POST", path, "GET") for path in GET_ROUTES if path != "/api/telbank/transfers"),
    *(("GET", path, "POST") for path in POST_ROUTES),
    ("HEAD", "/api/voucher/book", "POST"),
    ("PUT", "/api/telbank/transfers", "POST"),
    ("POST", "/api/telbank/transfers/in-1", "GET"),
    ("PATCH", "/api/voucher/list/", "GET"),
    ("PURGE", "/api/voucher/list", "GET"),
]


def test_a_wrong_method_is_405_with_the_allowed_methods(client: Connection) -> None:
    for method, path, right in WRONG_METHODS:
        with naming(f"{method} {path}"):
            answer = client.ask(method, path)
            assert answer.status == 405
            assert right in allowed(answer.headers["allow"])
            assert method not in allowed(answer.headers["allow"])
            assert answer.headers["content-type"].startswith("application/json")
            if method != "HEAD":
                assert answer.body == {"ok": False, "error": "method not allowed"}


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/unknown", "/api/voucher", "/api/voucher/book/x", "/unknown", "/"]
)
def test_an_unknown_path_is_404(client: Connection, path: str) -> None:
    answers = {method: client.ask(method, path) for method in ("GET", "POST", "DELETE")}
    not_found = (404, {"ok": False, "error": "not found"})
    assert {method: (answer.status, answer.body) for method, answer in answers.items()} == dict.fromkeys(
        answers, not_found
    )


@pytest.mark.parametrize("path", ["/schema/unknown", "/schema/openapi.yaml", "/schema/a/b"])
def test_an_unknown_page_of_the_documentation_is_404(client: Connection, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.body) == (404, {"ok": False, "error": "not found"})


def test_litestar_which_keeps_paths_gets_no_long_one() -> None:
    paths = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])

    for path in ("/" + "a" * 1023, "/api/telbank/transfers/" + "a" * 15_000):
        scope: Any = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
        anyio.run(LegacyRouting(cast("Litestar", app)), scope, cast("Any", None), cast("Any", None))
    assert [len(path) for path in paths] == [1024, 1027]


def test_head_of_an_unknown_path_is_404_without_a_body(client: Connection) -> None:
    answer = client.ask("HEAD", "/api/unknown")
    assert (answer.status, answer.body) == (404, None)


def test_an_id_in_a_path_is_case_sensitive(client: Connection) -> None:
    transfer = {"direction": "in", "cryptoAmount": 1, "cryptoSymbol": "ETH", "fiatAmount": 1, "fiatCurrency": "EUR"}
    made = client.post("/api/telbank/transfers", transfer).body["transfer"]["id"]
    assert client.get(f"/API/Telbank/TRANSFERS/{made}").body["transfer"]["id"] == made
    assert client.get(f"/api/telbank/transfers/{made.upper()}").status == 404


class TestARepeatedParameter:
    """Generation 1 saw an array, which equals no value; generation 2 took the first value."""

    @pytest.fixture(autouse=True)
    def _issued(self, shared_database: str, client: Connection) -> None:
        window = {"validFrom": "2030-05-01T09:00:00Z", "validUntil": "2030-05-01T17:00:00Z"}
        client.post("/api/voucher/issue", {"issuerUid": "issuer", "voucherId": "repeated", **window})
        slot = {"slotId": "slot-2030-05-01T09:00:00.000Z", "holderUid": "holder"}
        client.post("/api/voucher/book", {"voucherId": "repeated", **slot})
        wallet = {"walletAddress": "0xabc", "cryptoAmount": 1, "cryptoSymbol": "ETH"}
        client.post("/api/telbank/transfers", {"direction": "in", "fiatAmount": 1, "fiatCurrency": "EUR", **wallet})

    @pytest.mark.parametrize(
        "path",
        [
            "/api/voucher/list?issuerUid=issuer",
            "/api/voucher/list?holderUid=holder",
            "/api/telbank/transfers?walletAddress=0xabc",
        ],
    )
    def test_matches_nothing_on_a_route_of_generation_1(self, client: Connection, path: str) -> None:
        assert len(client.get(path).body["items"]) >= 1
        repeated = f"{path}&{path.partition('?')[2]}"
        assert client.get(repeated).body["items"] == []

    def test_is_an_unknown_voucher_where_generation_1_listed_slots(self, client: Connection) -> None:
        assert client.get("/api/slots/available?voucherId=repeated").status == 200
        assert client.get("/api/slots/available?voucherId=repeated&voucherId=repeated").status == 404

    def test_counts_once_on_a_route_of_generation_2(self, client: Connection) -> None:
        bookings = "/api/voucher/bookings?holderUid=holder"
        assert len(client.get(bookings).body["items"]) == 1
        assert client.get(f"{bookings}&holderUid=nobody").body == client.get(bookings).body
        assert client.get("/api/voucher/bookings?holderUid=nobody&holderUid=holder").body["items"] == []
        assert len(client.get("/api/admin/events?limit=1&limit=2").body["items"]) == 1

    def test_keeps_the_other_parameters(self, client: Connection) -> None:
        path = "/api/voucher/bookings?voucherId=repeated&holderUid=holder&holderUid=x&issuerUid=nobody"
        assert client.get(path).body["items"] == []


@pytest.mark.parametrize(
    "path", ["/api/voucher/list?issuerUid=&status=", "/api/telbank/transfers?walletAddress=&unknown=1"]
)
def test_an_empty_or_unknown_parameter_filters_nothing(client: Connection, path: str) -> None:
    assert client.get(path).body == client.get(path.partition("?")[0]).body
