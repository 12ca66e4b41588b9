"""What clients rely on and PostgREST documents: arguments, results, errors, tokens, transactions."""

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.clients.scene import set_up
from tests.support.data_api import run_data_api, token
from tests.support.databases import Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ERRORS = {
    "PT409": 409,
    "PT418": 418,
    "08006": 503,
    "0LP01": 403,
    "21000": 500,
    "22023": 400,
    "22P02": 400,
    "23503": 409,
    "23505": 409,
    "23514": 400,
    "25006": 405,
    "25P02": 500,
    "28000": 403,
    "42501": 403,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53300": 503,
    "53400": 500,
    "54000": 500,
    "55P03": 500,
    "57014": 500,
    "57P01": 503,
    "P0001": 400,
    "P0002": 500,
    "XX000": 500,
}


@pytest.fixture(scope="module")
def api(shared_database: str) -> Iterator[httpx.Client]:
    """The Data API with the scene, a settlement, and the functions of protocol.sql."""
    set_up(shared_database)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute("select public.settle_fees('2020-01-01', '2040-01-01')")
        connection.execute((Path(__file__).parent / "protocol.sql").read_text())
    with run_data_api(shared_database) as url, httpx.Client(base_url=f"{url}/rest/v1") as client:
        yield client


def _call(api: httpx.Client, function: str, body: str = "{}", **headers: str) -> httpx.Response:
    return api.post(f"/rpc/{function}", content=body, headers={"Content-Type": "application/json"} | headers)


def _as(role: Any, uid: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(role, uid)}"}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("{}", '["the default", null, null, null, null, null, null]'),
        ('{"j": {"a": [1, {"b": null}]}}', '[{"a": [1, {"b": null}]}, null, null, null, null, null, null]'),
        ('{"j": [1, "two"]}', '[[1, "two"], null, null, null, null, null, null]'),
        ('{"j": "text"}', '["text", null, null, null, null, null, null]'),
        ('{"j": "[1]"}', '["[1]", null, null, null, null, null, null]'),
        (
            '{"j": 12345678901234567890.000000000000000001}',
            "[12345678901234567890.000000000000000001, null, null, null, null, null, null]",
        ),
        ('{"j": true}', "[true, null, null, null, null, null, null]"),
        ('{"j": null}', "[null, null, null, null, null, null, null]"),
        ('{"x": null, "t": ""}', '["the default", null, null, null, null, null, ""]'),
        (
            '{"n": 12345678901234567890.123456789012345678}',
            '["the default", 12345678901234567890.123456789012345678, null, null, null, null, null]',
        ),
        ('{"n": "0.100"}', '["the default", 0.100, null, null, null, null, null]'),
        ('{"i": 9223372036854775807}', '["the default", null, 9223372036854775807, null, null, null, null]'),
        (
            '{"at": "2030-01-07T10:00:00.5+02:00"}',
            '["the default", null, null, "2030-01-07T08:00:00.5+00:00", null, null, null]',
        ),
        (
            '{"u": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}',
            '["the default", null, null, null, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", null, null]',
        ),
        ('{"x": ["a,b", "{c}", null]}', '["the default", null, null, null, null, ["a,b", "{c}", null], null]'),
        (
            '{"t": "Größe \\"1\\" \\\\ \\u20ac"}',
            '["the default", null, null, null, null, null, "Größe \\"1\\" \\\\ €"]',
        ),
        ('{"t": 1.50}', '["the default", null, null, null, null, null, "1.50"]'),
    ],
)
def test_arguments_of_every_type_arrive_unchanged(api: httpx.Client, body: str, answer: str) -> None:
    response = _call(api, "test_echo", body)
    assert (response.status_code, response.text) == (200, answer)


@pytest.mark.parametrize(
    ("function", "status", "answer"),
    [
        ("test_boolean", 200, "true"),
        ("test_integer", 200, "42"),
        ("test_text", 200, '"text"'),
        ("test_null", 200, "null"),
        ("test_jsonb_null", 200, "null"),
        ("test_void", 204, ""),
        ("test_set", 200, "[1, 2]"),
        ("test_none", 200, "[]"),
        ("test_row", 200, '{"id":"consulting","default_duration":60}'),
    ],
)
def test_a_result_is_the_bare_value(api: httpx.Client, function: str, status: int, answer: str) -> None:
    response = _call(api, function)
    assert (response.status_code, response.text.replace(", \n ", ", ")) == (status, answer)


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_has_its_code_message_and_status(api: httpx.Client, code: str) -> None:
    response = _call(api, "test_raise", f'{{"code": "{code}"}}', **_as("authenticated", "ben"))
    assert (response.status_code, response.json()) == (
        ERRORS[code],
        {"code": code, "message": "the_reason", "details": "the detail", "hint": "the hint"},
    )


def test_anon_gets_401_for_what_needs_a_token(api: httpx.Client) -> None:
    response = _call(api, "test_raise", '{"code": "42501"}')
    assert (response.status_code, response.json()["code"]) == (401, "42501")
    response = api.get("/voucher_bookings")
    assert (response.status_code, response.json()["message"]) == (401, "permission denied for table voucher_bookings")


@pytest.mark.parametrize(
    ("function", "body", "name"),
    [
        ("nosuch", "{}", "public.nosuch without parameters"),
        ("nosuch", '{"b": 1, "a": 2}', "public.nosuch(a, b)"),
        ("test_raise", "{}", "public.test_raise without parameters"),
        ("test_echo", '{"nosuch": 1}', "public.test_echo(nosuch)"),
    ],
)
def test_a_function_is_found_by_the_names_of_its_arguments(
    api: httpx.Client, function: str, body: str, name: str
) -> None:
    response = _call(api, function, body)
    assert response.status_code == 404
    assert response.json()["code"] == "PGRST202"
    assert response.json()["message"] == f"Could not find the function {name} in the schema cache"


def test_private_functions_and_tables_are_404(api: httpx.Client) -> None:
    assert _call(api, "thinker_id", '{"public_id": "ben"}', **_as("service_role")).json()["code"] == "PGRST202"
    response = api.get("/request_counts", headers=_as("service_role"))
    assert (response.status_code, response.json()["code"]) == (404, "PGRST205")


def test_an_invalid_json_body_is_refused(api: httpx.Client) -> None:
    response = _call(api, "ping", "{")
    assert (response.status_code, response.json()["code"]) == (400, "PGRST102")


def test_a_body_that_is_large_or_does_not_say_its_size_is_refused_before_it_is_read(api: httpx.Client) -> None:
    def answer(body: str, role: Any) -> tuple[int, object]:
        response = _call(api, "ping", body, **_as(role, "ben"))
        return response.status_code, response.json()

    small, large = (f"{{{' ' * spaces}}}" for spaces in (262_142, 262_143))
    assert answer(small, "anon") == answer(small, "authenticated") == (200, True)
    refused = (413, {"code": "PT413", "message": "too_large", "details": None, "hint": None})
    assert answer(large, "anon") == answer(large, "authenticated") == refused
    assert answer(large, "service_role") == (200, True)
    # in chunks
    response = api.post("/rpc/ping", content=iter([b"{", b"}"]), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["message"]) == (413, "too_large")


def test_the_largest_row_is_no_large_body(api: httpx.Client) -> None:
    large = {"description": "x" * 131_070, "terms": {"a": "y" * 65_000}, "title": "\x01" * 4096}
    response = api.post("/rpc/issue_voucher", json=large, headers=_as("authenticated", "ben"))
    assert (response.status_code, response.json()["description"]) == (200, large["description"])


def test_invalid_values_of_columns_are_refused(api: httpx.Client) -> None:
    assert _call(api, "test_echo", '{"i": "nonsense"}').json()["code"] == "22P02"
    assert _call(api, "test_echo", '{"at": "2030-02-30"}').json()["code"] == "22008"
    assert _call(api, "test_echo", '{"t": "\\u0000"}').json()["code"] == "22P05"


@pytest.mark.parametrize(
    ("headers", "role", "sub"),
    [
        ({}, "anon", None),
        (_as("anon"), "anon", None),
        (_as("authenticated", "ben"), "authenticated", "2f3ff2f3"),
        (_as("service_role"), "service_role", None),
    ],
)
def test_the_token_identifies_the_caller(
    api: httpx.Client, headers: dict[str, str], role: str, sub: str | None
) -> None:
    answer = _call(api, "test_who", **headers).json()
    assert answer["role"] == answer["claims"]["role"] == role
    assert (answer["claims"].get("sub") is None) == (sub is None)


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        (token("authenticated", "ben", lifetime=-60), 401, "PGRST303"),
        (token("authenticated", "ben", secret="x" * 32), 401, "PGRST301"),
        ("nonsense", 401, "PGRST301"),
        # roles that the authenticator may not take, or that do not exist
        (token("postgres"), 403, "42501"),  # type: ignore[arg-type]
        (token("nosuch"), 401, "22023"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("path", ["/rpc/ping", "/vouchers"])
def test_an_invalid_token_is_refused(api: httpx.Client, path: str, given: str, status: int, code: str) -> None:
    method = "POST" if path.startswith("/rpc") else "GET"
    response = api.request(method, path, headers={"Authorization": f"Bearer {given}"})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_clocks_may_differ_by_half_a_minute(api: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {token('authenticated', 'ben', lifetime=-15)}"}
    assert _call(api, "ping", **headers).status_code == 200


def test_a_stable_function_and_a_table_are_read_in_a_read_only_transaction(api: httpx.Client) -> None:
    assert _call(api, "test_is_read_only").json() == "off"
    assert _call(api, "test_is_read_only_stable").json() == "on"
    assert api.get("/test_read_only").json() == [{"setting": "on"}]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        # by a foreign key of several columns
        ("/fee_events?select=settlements(status)", 200, None),
        # a table with two foreign keys relates its parents only if both are in its primary key
        ("/fees?select=thinkers(public_id)", 200, None),
        ("/vouchers?select=contracts(id)", 400, "PGRST200"),
        # a table does not relate to itself one to one
        ("/fee_events?select=fee_events(id)", 400, "PGRST200"),
        ("/vouchers?select=thinkers(public_id)", 300, "PGRST201"),
        ("/vouchers?select=thinkers!holder_id(public_id)", 200, None),
        ("/vouchers?select=thinkers!id(public_id)", 300, "PGRST201"),
        ("/vouchers?select=holder_id(public_id)", 200, None),
        ("/vouchers?select=vouchers_holder_id_fkey(public_id)", 200, None),
        # no row of the table
        ("/vouchers?select=vouchers", 400, "42703"),
        ("/vouchers?select=nosuch", 400, "42703"),
        ("/vouchers?select=price_amount.sum()", 400, "PGRST123"),
        ("/vouchers?order=vouchers", 400, "42703"),
        ("/vouchers?vouchers=eq.x", 400, "42703"),
    ],
)
def test_tables_relate_by_their_foreign_keys(api: httpx.Client, path: str, status: int, code: str | None) -> None:
    response = api.get(path, headers=_as("service_role"))
    assert response.status_code == status, response.text
    assert code is None or response.json()["code"] == code


def test_embedded_rows_are_jsonb(api: httpx.Client) -> None:
    select = "currency, settlements(total_cents, status, ...thinkers(beneficiary:public_id), id)"
    response = api.get("/fee_events", params={"select": select}, headers=_as("service_role"))
    [row] = response.json()
    assert list(row) == ["currency", "settlements"]
    assert list(row["settlements"]) == ["id", "status", "beneficiary", "total_cents"]
    assert row["settlements"]["status"] == "open"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json", 200),
        ("text/csv", 200),
        ("text/html, application/json;q=0.9", 200),
        ("application/octet-stream", 406),
        ("text/html", 406),
    ],
)
def test_only_known_media_types_are_answered(api: httpx.Client, accept: str, status: int) -> None:
    response = api.get("/voucher_templates?limit=1", headers={"Accept": accept})
    assert response.status_code == status
    assert status == 200 or response.json()["code"] == "PGRST107"


def test_a_stored_answer_does_not_depend_on_the_preferred_time_zone(api: httpx.Client) -> None:
    tokyo = {"Prefer": "timezone=Asia/Tokyo", **_as("authenticated", "anna")}
    [read] = api.get("/vouchers?id=eq.v-viewing&select=valid_from", headers=tokyo).json()
    assert read == {"valid_from": "2030-01-08T23:00:00+09:00"}
    call = '{"valid_from": "2030-01-07T09:00:00Z", "idempotency_key": "k"}'
    first = _call(api, "issue_voucher", call, **tokyo)
    again = _call(api, "issue_voucher", call, **_as("authenticated", "anna"))
    assert first.json()["valid_from"] == "2030-01-07T09:00:00+00:00"
    assert first.json() == again.json()


def test_a_change_of_nothing_is_accepted_and_changes_nothing(api: httpx.Client) -> None:
    assert api.patch("/vouchers?id=eq.v-garden", json={}, headers=_as("authenticated", "ben")).status_code == 204


def test_a_token_for_another_audience_is_refused(api: httpx.Client) -> None:
    for audience, status in (("authenticated", 200), ("another", 401)):
        given = token("authenticated", "ben", audience=audience)
        assert _call(api, "ping", Authorization=f"Bearer {given}").status_code == status


def test_a_table_cannot_be_written(api: httpx.Client) -> None:
    for headers in (_as("authenticated", "ben"), _as("service_role")):
        for response in (
            api.post(
                "/thinkers", json={"id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "public_id": "x"}, headers=headers
            ),
            api.patch("/vouchers?id=eq.x", json={"title": "x"}, headers=headers),
            api.delete("/vouchers?id=eq.x", headers=headers),
        ):
            assert (response.status_code, response.json()["code"]) == (403, "42501")


def test_many_concurrent_requests_are_answered(api: httpx.Client) -> None:
    async def ask_all() -> list[int]:
        async with httpx.AsyncClient(base_url=api.base_url, timeout=60) as client:
            calls = [client.post("/rpc/ping", json={}) for _ in range(50)]
            reads = [client.get("/voucher_templates?limit=1") for _ in range(50)]
            return [response.status_code for response in await asyncio.gather(*calls, *reads)]

    assert set(asyncio.run(ask_all())) == {200}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_requests_recover_when_the_database_returns(database: str, server: Server, end: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "create function public.test_wait() returns void language sql as 'select pg_sleep(600)';"
            "grant execute on function public.test_wait to anon"
        )
    with (
        run_data_api(database) as url,
        httpx.Client(base_url=f"{url}/rest/v1", timeout=30) as api,
        ThreadPoolExecutor(1) as thread,
    ):

        def ask() -> list[httpx.Response]:
            return [_call(api, "ping"), api.get("/voucher_templates?limit=1")]

        assert [response.status_code for response in ask()] == [200, 200]
        in_flight = thread.submit(_call, api, "test_wait")
        wait_until(lambda: _sleeps(database))
        getattr(server, end)()
        try:
            away = ask()
            interrupted = in_flight.result()
        finally:
            server.start()
        # PostgREST may not have noticed the loss of an idle connection, may have, or may reload the schema
        lost = {(503, "57P01"), (503, "PGRST001"), (400, "")}
        assert _answers(away) <= {*lost, (503, "PGRST000"), (503, "PGRST002")}
        # a process that is stopped says so, one that is killed cannot
        assert _answers([interrupted]) <= ({(503, "57P01")} if end == "stop" else lost)
        wait_until(lambda: [response.status_code for response in ask()] == [200, 200])


def _answers(responses: Iterable[httpx.Response]) -> set[tuple[int, str]]:
    return {(response.status_code, response.json()["code"]) for response in responses}


def _sleeps(database: str) -> bool:
    with psycopg.connect(database) as connection:
        return bool(connection.execute("select from pg_stat_activity where wait_event = 'PgSleep'").fetchall())
