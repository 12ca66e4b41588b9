"""Every POST accepts a key and includes its whole request in the comparison: read from the code and the catalog."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from api.actor import SERVER
from api.settings import ROOT
from tests.idempotency.writes import WRITES
from tests.support.acting import call, call_or_reason, thinker

ANNA = thinker("anna")

VALUES: Mapping[str, Any] = {
    "text": "text",
    "timestamptz": "2030-05-01T09:00:00Z",
    "jsonb": Jsonb({"a": 1}),
    "int4": 1,
    "int8": 1,
    "numeric": 1,
    "bool": True,
    "date": "2030-05-01",
    "uuid": "00000000-0000-0000-0000-000000000000",
}

# different in each upload of the same document, or how the server checks it
NOT_OF_THE_REQUEST = {"record_contract": {"contract_id", "storage_url", "as_thinker", "matched", "client"}}


def called_by_posts() -> set[str]:
    """The functions that the handlers of POST routes call."""
    functions = set()
    for file in (ROOT / "api" / "routes").rglob("*.py"):
        for handler in ast.walk(ast.parse(file.read_text())):
            if isinstance(handler, ast.AsyncFunctionDef) and any(
                isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "post"
                for decorator in handler.decorator_list
            ):
                calls = [node for node in ast.walk(handler) if isinstance(node, ast.Call)]
                functions |= {
                    ast.literal_eval(node.args[0]) for node in calls if ast.unparse(node.func) == "request.calls.call"
                }
    return functions


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """As superuser, on a database of the test's own."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def test_every_post_documents_the_header_and_is_tested_here(shared_portal: str) -> None:
    paths: dict[str, dict[str, Any]] = httpx.get(f"{shared_portal}/schema/openapi.json").json()["paths"]
    documented = {
        (method, path): parameter
        for path, methods in paths.items()
        for method, operation in methods.items()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "Idempotency-Key"
    }
    assert {path for _, path in documented} == {path for path, methods in paths.items() if "post" in methods}
    assert {method for method, _ in documented} == {"post"}
    assert {path for _, path in documented} == WRITES.keys()
    for method, path in documented:
        assert "Idempotency-Replayed" in paths[path][method]["responses"]["200"]["headers"]
    for parameter in documented.values():
        assert (parameter["in"], parameter["required"], parameter["schema"]["maxLength"]) == ("header", False, 255)
        assert "24 hours" in parameter["description"]


def test_every_function_that_a_post_calls_takes_a_key_or_only_reads(connection: psycopg.Connection) -> None:
    found: dict[str, str] = dict(
        connection.execute(
            "select proname, provolatile::text || ' ' || proargnames[array_upper(proargnames, 1)] from pg_proc "
            "where pronamespace = 'public'::regnamespace and proname = any (%s)",
            (list(called_by_posts()),),
        ).fetchall()
    )
    assert found.keys() == called_by_posts()
    assert len(found) > 10
    without_key = {name for name, last in found.items() if last != "v idempotency_key"}
    # a repeated proof changes nothing
    assert {name for name in without_key if not found[name].startswith("s ")} == {"prove_thinker"}


def functions_with_keys() -> list[str]:
    return sorted(file.stem for file in (ROOT / "sql").rglob("*.sql") if takes_a_key(file))


def takes_a_key(file: Path) -> bool:
    return f"private.replay_response({file.stem}.idempotency_key, request)" in file.read_text()


def test_functions_with_keys(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace "
        "and 'idempotency_key' = any (proargnames) order by 1"
    ).fetchall()
    assert [name for (name,) in found] == functions_with_keys()


@pytest.mark.parametrize("function", functions_with_keys())
def test_a_key_is_for_the_whole_request(connection: psycopg.Connection, function: str) -> None:
    """A stored response to a call with nulls is replayed before any other check, and refused for a different call."""
    arguments = connection.execute(
        "select name, typname "
        "from pg_proc p, unnest(proargnames, proargtypes::oid[]) with ordinality as a (name, type, n) "
        "join pg_type t on t.oid = type where p.oid = %s::regproc order by n",
        (f"public.{function}",),
    ).fetchall()
    assert arguments.pop() == ("idempotency_key", "text")
    ignored = NOT_OF_THE_REQUEST.get(function, set())
    actor = SERVER if function == "record_contract" else ANNA
    request = Jsonb([function, *(None for name, _ in arguments if name not in ignored)])
    connection.execute(
        "insert into private.idempotency_keys (actor, key, fingerprint, response) "
        "values (coalesce(%s, 'service_role'), 'k', sha256(convert_to((%s::jsonb)::text, 'UTF8')), '1')",
        (actor.claims().get("sub"), request),
    )
    nulls: dict[str, object] = dict.fromkeys((name for name, _ in arguments), None)

    assert call(connection, actor, function, **nulls, idempotency_key="k") == 1
    for name, type_ in arguments:
        answer = call_or_reason(connection, actor, function, **nulls | {name: VALUES[type_]}, idempotency_key="k")
        assert answer == (1 if name in ignored else "idempotency_key_reused"), name


@pytest.mark.parametrize("key", ["", "x" * 256])
@pytest.mark.parametrize("function", functions_with_keys())
def test_a_bad_key_is_refused(connection: psycopg.Connection, function: str, key: str) -> None:
    [(number,)] = connection.execute("select pronargs from pg_proc where oid = %s::regproc", (f"public.{function}",))
    statement = sql.SQL("select public.{}({}, %s)").format(
        sql.Identifier(function), sql.SQL(", ").join([sql.NULL] * (number - 1))
    )
    if number == 1:
        statement = sql.SQL("select public.{}(%s)").format(sql.Identifier(function))
    with pytest.raises(psycopg.Error) as refused:
        connection.execute(statement, (key,))
    assert (refused.value.sqlstate, refused.value.diag.message_primary) == ("PT400", "idempotency_key_invalid")


def test_the_same_moment_in_another_time_zone_is_the_same_request(connection: psycopg.Connection) -> None:
    answers = []
    for zone in ("Asia/Tokyo", "UTC"):
        connection.execute("select set_config('timezone', %s, false)", (zone,))
        moment = "2030-05-01T09:00:00Z"
        voucher = {"valid_from": moment, "valid_until": "2030-05-01T18:00:00Z", "voucher_id": "v"}
        answers.append(
            (
                call(connection, ANNA, "issue_voucher", **voucher, idempotency_key="issue"),
                call(connection, ANNA, "book_voucher", voucher_id="v", slot_start=moment, idempotency_key="book"),
            )
        )
    assert answers[0] == answers[1]
    issued, booked = answers[0]
    assert issued["valid_from"] == booked["booking"]["slot_start"] == "2030-05-01T09:00:00+00:00"


def test_no_stored_response_depends_on_the_callers_time_zone(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace and 'TimeZone=UTC' = any (proconfig)"
    ).fetchall()
    assert {name for (name,) in found} >= set(functions_with_keys())


def test_keys_of_a_server_and_of_thinkers_are_separate(connection: psycopg.Connection) -> None:
    transfer = {"direction": "in", "crypto_amount": 1, "crypto_symbol": "E", "fiat_major": 1, "fiat_currency": "EUR"}
    actors = [SERVER, ANNA, thinker("ben")]
    first = [call(connection, actor, "log_transfer", **transfer, idempotency_key="k")["id"] for actor in actors]
    again = [call(connection, actor, "log_transfer", **transfer, idempotency_key="k")["id"] for actor in actors]
    assert first == again
    assert len(set(first)) == 3


def test_a_call_without_a_key_stores_none(connection: psycopg.Connection) -> None:
    call(connection, ANNA, "issue_voucher")
    assert connection.execute("select count(*) from private.idempotency_keys").fetchone() == (0,)
