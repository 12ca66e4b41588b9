"""A call is one transaction as the actor, in one round trip."""

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import errors, pq
from supabase import PostgrestAPIError

from api.actor import SERVER, Actor
from api.errors import ApiError
from api.gateway import Gateway, Json, api_error
from api.gateway.data_api import DataApiGateway
from api.gateway.direct import DirectGateway
from api.settings import Settings
from api.tokens import Tokens
from tests.support.acting import one, thinker
from tests.support.data_api import JWT_SECRET, token
from tests.support.databases import empty
from tests.support.serving import settings_in
from tests.support.waiting import wait_for_row

T = TypeVar("T")

ANON = Actor("anon")


@pytest.fixture
def database(shared_database: str) -> str:
    """The URL, as superuser, of an empty database."""
    empty(shared_database)
    return shared_database


@pytest.fixture(scope="module")
def project(shared_data_api: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of an app that reaches shared_database through a Data API."""
    folder = tmp_path_factory.mktemp("project")
    return settings_in(folder, supabase_url=shared_data_api, supabase_anon_key=token("anon"), jwt_secret=JWT_SECRET)


@pytest.fixture(params=["direct", "data api"])
def gateway(request: pytest.FixtureRequest, database: str) -> Gateway:
    """Each of the gateways to the database, not opened yet."""
    if request.param == "direct":
        return DirectGateway(database)
    settings: Settings = request.getfixturevalue("project")
    return DataApiGateway(settings, Tokens(settings))


G = TypeVar("G", bound=Gateway)


def using(gateway: G, use: Callable[[G], Awaitable[T]]) -> T:
    """Returns the result of a function that uses the open gateway."""

    async def run() -> T:
        async with gateway.open():
            return await use(gateway)

    return asyncio.run(run())


def refused(gateway: Gateway, actor: Actor, function: str, **params: object) -> ApiError:
    """Returns the error of a call."""
    with pytest.raises(ApiError) as refusal:
        using(gateway, lambda gateway: gateway.call(function, actor, **params))
    return refusal.value


def thinkers(database: str) -> int:
    with psycopg.connect(database) as connection:
        count: int = one(connection, "select count(*) from public.thinkers where public_id <> 'togethersystems'")
        return count


def test_a_call_is_one_round_trip(database: str) -> None:
    async def traced(gateway: DirectGateway) -> str:
        await gateway.call("ping", ANON)  # includes the connect
        with tempfile.TemporaryFile("w+") as trace:
            async with gateway._pool.connection() as connection:
                connection.pgconn.trace(trace.fileno())
                connection.pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
            await gateway.call("issue_voucher", thinker("issuer"))
            async with gateway._pool.connection() as connection:
                connection.pgconn.untrace()
            trace.seek(0)
            return trace.read()

    messages = re.findall(r"^([FB])\t\d+\t(\w+)", using(DirectGateway(database), traced), re.MULTILINE)
    sent = [message for side, message in messages if side == "F"]
    # everything is sent before anything is received, and the server is asked for one answer
    assert [side for side, _ in groupby(messages, key=itemgetter(0))] == ["F", "B"]
    assert sent.count("Sync") == 1
    assert sent.count("Query") == 0
    assert sent.count("Execute") == 2
    assert [message for side, message in messages if side == "B"].count("ReadyForQuery") == 1


def test_a_function_that_is_called_again_is_not_planned_again(database: str) -> None:
    async def planned(gateway: DirectGateway) -> list[tuple[int, int]]:
        for number in range(12):
            await gateway.call("issue_voucher", thinker("issuer"), voucher_id=f"v{number}")
        async with gateway._pool.connection() as connection:
            cursor = await connection.execute(
                "select custom_plans, generic_plans from pg_prepared_statements"
                " where statement !~ 'pg_prepared_statements' order by custom_plans, generic_plans"
            )
            return await cursor.fetchall()

    # the first call asks for the time of the function, too; a statement is planned five times before PostgreSQL decides
    assert using(DirectGateway(database), planned) == [(1, 0), (5, 6), (5, 7)]


def test_a_function_that_refuses_its_first_call_answers_the_next(database: str) -> None:
    async def use(gateway: DirectGateway) -> list[str]:
        for function in ("no_such_function", "book_voucher"):
            with pytest.raises((ApiError, errors.UndefinedFunction)):
                await gateway.call(function, thinker("anna"), voucher_id="v", slot_start=None)
        await gateway.call("issue_voucher", thinker("anna"), voucher_id="v")
        times = {"valid_from": "2030-01-01T09:00:00Z", "valid_until": "2030-01-01T12:00:00Z"}
        await gateway.call("issue_voucher", thinker("anna"), voucher_id="w", **times)
        hours = ("2030-01-01T09:00:00Z", "2030-01-01T10:00:00Z")
        booked = [await gateway.call("book_voucher", thinker("ben"), voucher_id="w", slot_start=hour) for hour in hours]
        return [row["booking"]["holder_uid"] for row in booked]

    assert using(DirectGateway(database), use) == ["ben", "ben"]


def test_a_list_is_the_same_at_the_first_call_and_later(database: str) -> None:
    async def lists(gateway: DirectGateway) -> list[list[dict[str, Any]]]:
        terms = Json({"zł": ['"', "\\", Decimal("1.10"), 2**53]})
        for number in range(2):
            await gateway.call("issue_voucher", thinker("anna"), voucher_id=f"v{number}", terms=terms)
        return [await gateway.call("list_vouchers", SERVER) for _ in range(3)]

    first, *later = using(DirectGateway(database), lists)
    assert [voucher["id"] for voucher in first] == ["v0", "v1"]
    assert first[0]["terms"] == {"zł": ['"', "\\", 1.1, 2**53]}
    assert later == [first, first]


def test_parameters_and_answers_of_megabytes_pass(database: str) -> None:
    text = "zł🎉" * 2_000_000
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create function public.echo(value text) returns jsonb language sql return to_jsonb(value)")
        connection.execute("grant execute on function public.echo to anon")
        try:
            assert using(DirectGateway(database), lambda gateway: gateway.call("echo", ANON, value=text)) == text
        finally:
            connection.execute("drop function public.echo")


def test_a_call_that_is_cancelled_ends_at_the_server_and_disturbs_no_other(database: str) -> None:
    waiting = "select from pg_stat_activity where application_name = 'togethersystems-api' and wait_event_type = 'Lock'"
    with (
        psycopg.connect(database) as holding,
        psycopg.connect(database, autocommit=True) as watching,
    ):

        async def use(gateway: DirectGateway) -> list[str]:
            holding.execute("lock table public.vouchers")
            call = asyncio.create_task(gateway.call("issue_voucher", thinker("anna")))
            await asyncio.to_thread(wait_for_row, watching, waiting)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.to_thread(wait_for_row, watching, f"select where not exists ({waiting})")
            holding.rollback()
            issued = [await gateway.call("issue_voucher", thinker(uid)) for uid in ("ben", "clara")]
            return [row["issuer_uid"] for row in issued]

        assert using(DirectGateway(database), use) == ["ben", "clara"]
        assert one(watching, "select count(*) from public.vouchers") == 2


@pytest.mark.parametrize("params", [{}, {"status": "no such status"}], ids=["answered", "refused"])
def test_a_call_leaves_no_role_or_claims_behind(database: str, params: dict[str, str]) -> None:
    async def after_a_call(gateway: DirectGateway) -> Any:
        async with gateway._pool.connection() as connection:
            before = connection.info.backend_pid
        try:
            await gateway.call("issue_voucher", thinker("issuer"), **params)
        except ApiError:
            assert params
        async with gateway._pool.connection() as connection:
            assert connection.info.backend_pid == before
            assert connection.info.transaction_status == pq.TransactionStatus.IDLE
            query = "select current_user, current_setting('role'), current_setting('request.jwt.claims', true)"
            return await (await connection.execute(query)).fetchone()

    user, role, claims = using(DirectGateway(database), after_a_call)
    assert (user, role) == ("postgres", "none")
    assert not claims


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_first_and_the_last_hour_of_all_years_are_answered_in_utc(
    database: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in a database that was made on a machine in this time zone
    monkeypatch.setenv("PGTZ", zone)

    async def issued(gateway: DirectGateway) -> Any:
        times = {"valid_from": "0001-01-01T00:00:00Z", "valid_until": "9999-12-31T23:59:59Z"}
        await gateway.call("issue_voucher", thinker("issuer"), **times)
        return await gateway.call("list_vouchers", SERVER)

    [voucher] = using(DirectGateway(database), issued)
    assert [voucher["valid_from"], voucher["valid_until"]] == ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"]


@pytest.mark.parametrize(
    ("own", "given"), [("set statement_timeout = '2s'", "5s"), ("set statement_timeout = '10s'", "10s"), ("", "10s")]
)
def test_a_call_ends_when_its_function_has_waited_and_worked(database: str, own: str, given: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        # a default is evaluated before the function's own setting applies
        connection.execute(
            "create function public.shown(timeout text default current_setting('statement_timeout')) "
            f"returns text language sql {own} return timeout".encode()
        )
        connection.execute("grant execute on function public.shown to service_role")
        try:
            assert using(DirectGateway(database), lambda gateway: gateway.call("shown", SERVER)) == given
        finally:
            connection.execute("drop function public.shown")


def test_each_call_is_made_as_its_own_actor(gateway: Gateway) -> None:
    async def issue(gateway: Gateway) -> list[str]:
        issued = [gateway.call("issue_voucher", thinker(f"issuer-{i}")) for i in range(50)]
        return [row["issuer_uid"] for row in await asyncio.gather(*issued)]

    assert using(gateway, issue) == [f"issuer-{i}" for i in range(50)]


def test_writes_before_a_refusal_are_rolled_back(gateway: Gateway, database: str) -> None:
    refusal = refused(gateway, thinker("newcomer"), "book_voucher", voucher_id="unknown", slot_start=None)
    assert refusal.code == "voucher_not_found"
    assert thinkers(database) == 0


def test_writes_before_an_error_are_rolled_back(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "create function public.fail_late() returns jsonb language plpgsql security definer as"
            " $$ begin perform private.ensure_thinker('newcomer'); raise 'a bug'; end $$"
        )
        connection.execute("grant execute on function public.fail_late to anon")
    try:
        with pytest.raises(errors.RaiseException, match="a bug"):
            using(DirectGateway(database), lambda gateway: gateway.call("fail_late", ANON))
        assert thinkers(database) == 0
    finally:
        with psycopg.connect(database) as connection:
            connection.execute("drop function public.fail_late")


@pytest.mark.parametrize(
    ("actor", "function", "params"),
    [
        pytest.param(ANON, "book_voucher", {"voucher_id": "v", "slot_start": None}, id="anon books"),
        pytest.param(ANON, "issue_voucher", {}, id="anon issues"),
        pytest.param(thinker("t"), "count_request", {"client": "c"}, id="thinker counts requests"),
        pytest.param(SERVER, "match_presence", {"pair_code": "p"}, id="server matches"),
    ],
)
def test_a_role_without_permission_is_a_server_error(
    gateway: Gateway, actor: Actor, function: str, params: dict[str, object]
) -> None:
    with pytest.raises(
        (errors.InsufficientPrivilege, PostgrestAPIError), match=f"permission denied for function {function}"
    ):
        using(gateway, lambda gateway: gateway.call(function, actor, **params))


def test_an_unknown_function_is_a_server_error(database: str) -> None:
    with pytest.raises(errors.UndefinedFunction):
        using(DirectGateway(database), lambda gateway: gateway.call("no_such_function", SERVER))


@pytest.mark.parametrize(
    ("actor", "function", "params", "reason", "status"),
    [
        (Actor("authenticated"), "issue_voucher", {}, "not_signed_in", 401),
        (thinker(""), "issue_voucher", {}, "uid_invalid", 400),
        (thinker("u" * 20_000), "issue_voucher", {}, "uid_invalid", 400),
        (thinker("t"), "issue_voucher", {"status": "lost"}, "voucher_status_unknown", 400),
        (thinker("t"), "book_voucher", {"voucher_id": "x", "slot_start": None}, "voucher_not_found", 404),
        (thinker("t"), "apply_for_mortgage", {"desired_loan": -1}, "amount_out_of_range", 400),
        (thinker("t"), "list_mortgage_applications", {"role": "lender"}, "not_a_lender", 403),
        (thinker("t"), "issue_voucher", {"valid_from": "no date"}, "value_invalid", 400),
        (thinker("t"), "issue_voucher", {"voucher_id": "x" * 256}, "value_invalid", 400),
        (thinker("t"), "issue_voucher", {"terms": Json([Decimal("1e400")])}, "json_unreasonable", 400),
        (thinker("t"), "issue_voucher", {"terms": Json([Decimal("1e-16383")])}, "json_unreasonable", 400),
        (thinker("t"), "issue_voucher", {"title": "\0"}, "value_invalid", 400),
        (thinker("t"), "issue_voucher", {"title": "\ud800"}, "value_invalid", 400),
        (thinker("\ud800"), "issue_voucher", {}, "value_invalid", 400),
    ],
)
def test_a_code_has_its_status(
    gateway: Gateway, actor: Actor, function: str, params: dict[str, object], reason: str, status: int
) -> None:
    refusal = refused(gateway, actor, function, **params)
    assert (refusal.code, refusal.status) == (reason, status)
    assert refusal.message("de")
    assert refusal.message("en")


def test_a_violated_constraint_is_named_in_every_language_of_the_server() -> None:
    told = "neue Zeile für Relation »vouchers« verletzt Check-Constraint »price_is_a_safe_amount«"
    error = api_error("23514", told, "", "price_is_a_safe_amount")
    assert error
    assert error.detail == "price is a safe amount"


def test_the_encoding_of_the_url_makes_no_difference(database: str) -> None:
    async def use(gateway: DirectGateway) -> Any:
        return await gateway.call("issue_voucher", thinker("anna"), title="zł 🎉")

    assert using(DirectGateway(f"{database}&client_encoding=latin1"), use)["title"] == "zł 🎉"
