"""The OpenAPI document at /schema is valid and complete, and the answers conform to it."""

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.support.serving import Answer, Connection

# the routes of both generations with their statuses, besides 401 and 503, which every route has
BODY = {400, 408, 409, 413, 415, 422}
ROUTES: dict[tuple[str, str], set[int]] = {
    ("post", "/api/presence/verify"): BODY,
    ("post", "/api/presence/heartbeat"): BODY,
    ("post", "/api/presence/match"): BODY,
    ("get", "/api/presence/debug"): {400},
    ("post", "/api/voucher/issue"): BODY | {429},
    ("get", "/api/voucher/list"): {400, 429},
    ("get", "/api/voucher/bookings"): {400, 429},
    ("get", "/api/slots/available"): {400, 404, 429},
    ("post", "/api/voucher/book"): BODY | {404, 429},
    ("post", "/api/voucher/cancel"): BODY | {404, 429},
    ("post", "/api/telbank/transfers"): BODY | {429},
    ("get", "/api/telbank/transfers"): {400, 429},
    ("get", "/api/telbank/transfers/{transfer_id}"): {400, 404, 429},
    ("post", "/api/hypotheken/anfrage"): BODY,
    ("get", "/api/hypotheken/anfrage/list"): {400, 429},
    ("post", "/api/hypotheken/angebot"): BODY | {404},
    ("get", "/api/hypotheken/angebot/list"): {400, 429},
    ("post", "/api/hypotheken/angebot/accept"): BODY | {403, 404},
    ("post", "/api/hypotheken/vertrag/update-status"): BODY | {403, 404},
    ("post", "/api/mortgage/application"): BODY | {429},
    ("get", "/api/mortgage/application-list"): {400, 429},
    ("post", "/api/mortgage/offer"): BODY | {404, 429},
    ("get", "/api/mortgage/offer-list"): {400, 429},
    ("post", "/api/contracts/upload"): {400, 403, 404, 408, 409, 413, 422, 429, 507},
    ("get", "/api/contracts/list"): {400, 429},
    ("get", "/api/contracts/{contract_id}/document"): {404, 429},
    ("post", "/api/telemetry"): BODY | {429},
    ("get", "/api/admin/events"): {400, 429},
    ("get", "/api/admin/dashboard"): {429},
    ("get", "/api/admin/settlements"): {400, 403, 429},
    ("get", "/api/admin/settlements/{settlement_id}"): {400, 403, 404, 429},
    ("get", "/api/admin/settlements/{settlement_id}/pdf"): {400, 403, 404, 409, 429, 501},
    ("get", "/api/admin/fees"): {403, 429},
    ("get", "/api/admin/stats/presence"): {400, 403, 429},
    ("get", "/api/admin/stats/vouchers"): {400, 403, 429},
    ("get", "/api/admin/stats/mortgages"): {400, 403, 429},
    ("get", "/api/admin/stats/telbank"): {400, 403, 429},
    ("get", "/api/admin/stats/fees"): {400, 403, 429},
    ("get", "/api/admin/stats/system"): {400, 403, 429},
    ("get", "/api/autofix/status"): {429},
    ("get", "/api/admin/session"): {429},
    ("put", "/api/admin/session"): BODY - {409, 422} | {401, 403, 429},
    ("delete", "/api/admin/session"): {429},
}
OPEN: dict[tuple[str, str], set[int]] = {
    ("get", "/api/presence/catalog/apis"): set(),
    ("get", "/health"): {503},
    ("get", "/health/live"): set(),
    ("get", "/health/ready"): {503},
}
NOT_JSON = {
    ("get", "/api/admin/settlements/{settlement_id}/pdf"),
    ("post", "/api/contracts/upload"),
    ("get", "/api/contracts/{contract_id}/document"),
}
NEEDS_NO_KEY = {
    ("post", "/api/presence/verify"),
    ("get", "/api/autofix/status"),
    *((method, "/api/admin/session") for method in ("get", "put", "delete")),
}


@pytest.fixture
def document(client: Connection) -> dict[str, Any]:
    answer = client.get("/schema/openapi.json")
    assert answer.status == 200
    assert isinstance(answer.body, dict)
    return answer.body


@pytest.fixture
def described(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns each operation by its method and path."""
    return {(method, path): item for path, methods in document["paths"].items() for method, item in methods.items()}


def test_the_description_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert list(map(str, OpenAPIV31SpecValidator(document).iter_errors())) == []


def test_the_document_names_every_route_and_no_other(described: Mapping[tuple[str, str], Any]) -> None:
    assert described.keys() == ROUTES.keys() | OPEN.keys()


def test_the_document_names_the_statuses_of_each_route(described: dict[tuple[str, str], dict[str, Any]]) -> None:
    for route in (*ROUTES, *OPEN):
        expected = {200} | (ROUTES[route] | {503} if route in ROUTES else OPEN[route])
        if route in ROUTES and route not in NEEDS_NO_KEY:
            expected |= {401}
        assert expected <= {int(status) for status in described[route]["responses"]}, route


def test_the_document_describes_each_route_and_its_parameters(
    described: dict[tuple[str, str], dict[str, Any]],
) -> None:
    for route in (*ROUTES, *OPEN):
        operation = described[route]
        assert operation.get("description") or operation.get("summary"), route
        if route[0] == "post":
            assert operation["requestBody"]["content"], route


def test_operation_ids_are_unique(described: dict[tuple[str, str], dict[str, Any]]) -> None:
    ids = [operation["operationId"] for operation in described.values()]
    assert len(set(ids)) == len(ids)


def test_the_answers_of_a_booking_flow_conform(
    client: Connection,
    shared_database: str,
    document: dict[str, Any],
    described: dict[tuple[str, str], dict[str, Any]],
) -> None:
    registry: Registry[Any] = Registry().with_resource(
        "urn:portal", Resource.from_contents(document, default_specification=DRAFT202012)
    )
    seen: set[tuple[str, str, int]] = set()

    def check(method: str, path: str, body: object = None, user: str = "") -> Answer:
        headers = {"X-MOT-User": user} if user else {}
        answer = client.ask(method, path, body, headers=headers)
        path_sent = path.partition("?")[0]
        templates = {
            path_sent,
            *(f"{path_sent.rpartition('/')[0]}/{{{name}}}" for name in ("transfer_id", "settlement_id")),
        }
        [route] = described.keys() & {(method.lower(), template) for template in templates}
        seen.add((*route, answer.status))
        pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in (route[1], route[0]))
        reference = f"urn:portal#/paths/{pointer}/responses/{answer.status}/content/application~1json/schema"
        # braces are not allowed in a URI
        reference = reference.replace("{", "%7B").replace("}", "%7D")
        errors = Draft202012Validator({"$ref": reference}, registry=registry).iter_errors(answer.body)
        assert [f"{method} {path}: {error.json_path} {error.message}" for error in errors] == []
        return answer

    window = {"validFrom": "2030-05-01T09:00:00Z", "validUntil": "2030-05-01T17:00:00Z"}
    price = {"price": {"amount": 4500, "currency": "EUR"}, "terms": {"template": "consulting"}}
    check("POST", "/api/presence/verify", {"token": "t"})
    check("POST", "/api/presence/heartbeat", {"thinker_id": "a", "pair_code": "p"})
    check("POST", "/api/presence/match", {"thinker_id": "a", "pair_code": "p"})
    check("GET", "/api/presence/debug")
    check("GET", "/api/presence/catalog/apis")
    check("POST", "/api/voucher/issue", {"issuerUid": "issuer", "voucherId": "v", **window, **price})
    check("POST", "/api/voucher/issue", {"issuerUid": "issuer", "voucherId": "v"})
    check("POST", "/api/voucher/issue", {})
    check("GET", "/api/slots/available?voucherId=unknown")
    [slot, *_] = check("GET", "/api/slots/available?voucherId=v").body["items"]
    booking = {"voucherId": "v", "slotId": slot["slotId"], "holderUid": "holder"}
    check("POST", "/api/voucher/book", booking)
    check("POST", "/api/voucher/book", booking)
    check("GET", "/api/voucher/bookings?holderUid=holder")
    check("GET", "/api/voucher/list?issuerUid=issuer")
    check("POST", "/api/voucher/cancel", {"voucherId": "v", "reason": "ill"})
    check("POST", "/api/voucher/cancel", {"voucherId": "v"})
    check("GET", "/api/voucher/bookings?voucherId=v")
    application = {"applicationId": "a", "desiredLoan": {"amount": 36000000}, "maxInterestRate": 0.04}
    check("POST", "/api/hypotheken/anfrage", application, "borrower")
    check("POST", "/api/mortgage/application", {}, "borrower")
    check("GET", "/api/hypotheken/anfrage/list", None, "borrower")
    check("GET", "/api/mortgage/application-list?role=lender", None, "lender")
    offer = {"applicationId": "a", "voucherId": "o", "interest": {"rate": 0.03}, "repayment": {"monthly": 1}}
    check("POST", "/api/hypotheken/angebot", offer, "lender")
    check("POST", "/api/mortgage/offer", {"applicationId": "a", "interestRate": 0.031}, "lender")
    check("GET", "/api/hypotheken/angebot/list?applicationId=a")
    check("GET", "/api/mortgage/offer-list?role=lender", None, "lender")
    contract = check("POST", "/api/hypotheken/angebot/accept", {"voucherId": "o"}, "borrower").body
    signing = {"contractVoucherId": contract["contractVoucherId"], "action": "signed-by-borrower"}
    check("POST", "/api/hypotheken/vertrag/update-status", signing, "borrower")
    check("POST", "/api/hypotheken/vertrag/update-status", signing, "somebody else")
    transfer = {"direction": "in", "cryptoAmount": 0.5, "cryptoSymbol": "ETH", "fiatAmount": 1500.75}
    logged = check("POST", "/api/telbank/transfers", {**transfer, "fiatCurrency": "EUR"}).body["transfer"]
    check("GET", f"/api/telbank/transfers/{logged['id']}")
    check("GET", "/api/telbank/transfers/unknown")
    check("GET", "/api/telbank/transfers")
    check("POST", "/api/telemetry", [{"type": "page.error", "actorUid": "holder", "meta": {"a": 1}}])
    check("GET", "/api/contracts/list")
    check("GET", "/api/admin/events")
    check("GET", "/api/admin/dashboard")
    check("GET", "/api/autofix/status")
    check("GET", "/api/admin/fees")
    check("PUT", "/api/admin/session", {"key": "k"})
    check("PUT", "/api/admin/session", {})
    check("GET", "/api/admin/session")
    check("DELETE", "/api/admin/session")
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute("select public.settle_fees('2026-01-01', '2100-01-01')")
    [settlement] = check("GET", "/api/admin/settlements").body["items"]
    statement = check("GET", f"/api/admin/settlements/{settlement['id']}")
    # the charge of the booking, and its reversal
    assert len(statement.body["items"]) == 2
    check("GET", "/api/admin/settlements/unknown")
    for figures in ("presence", "vouchers", "mortgages", "telbank", "fees", "system"):
        check("GET", f"/api/admin/stats/{figures}")
    check("GET", "/api/admin/stats/fees?from=2030-01-01")
    for health in ("/health", "/health/live", "/health/ready"):
        check("GET", health)

    answered = {(method, path) for method, path, status in seen if status == 200}
    assert answered == (ROUTES.keys() | OPEN.keys()) - NOT_JSON
