"""PostgREST applies a filter to a function's result while its transaction holds the locks: others go on meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import errors

from api.gateway.direct import LOCK_PATIENCE
from tests.support.acting import act, act_or_reason, call, connections, one, thinker
from tests.support.data_api import token
from tests.support.serving import Connection
from tests.support.waiting import wait_until

WINDOW = {"valid_from": "2030-05-01T09:00:00Z", "valid_until": "2030-05-01T17:00:00Z"}

RUNNING = "select from pg_stat_activity where usename = 'authenticator' and state = 'active' and query ~ '{}'"


@pytest.fixture
def ask(database: str, shared_data_api: str) -> Iterator[Callable[..., httpx.Response]]:
    """Sends a request of mallory to the Data API; the database is empty."""
    with httpx.Client(base_url=f"{shared_data_api}/rest/v1", timeout=60) as client:
        yield client.request


@pytest.mark.slow
def test_a_slow_filter_of_an_outsider_ends(database: str, ask: Callable[..., httpx.Response]) -> None:
    with connections(database, 1) as [connection]:
        for _ in range(40):
            # each row takes a quarter of a second
            call(connection, thinker("anna"), "issue_voucher", description="a" * 131_000, **WINDOW)
    answer = ask("GET", "/vouchers", params={"select": "id", "description": f"like.*{'a' * 2000}b*"})
    assert answer.json()["code"] == "57014"


def test_a_regular_expression_is_refused(database: str, ask: Callable[..., httpx.Response]) -> None:
    with connections(database, 1) as [connection]:
        call(connection, thinker("anna"), "issue_voucher", **WINDOW)
    answer = ask("GET", "/vouchers", params={"select": "id", "description": "match.a"})
    assert answer.json()["message"] == "query_too_large"


BOOKING = ("/api/voucher/book", {"voucherId": "v", "slotId": "slot-2030-05-01T10:00:00.000Z", "holderUid": "ben"})
PATTERN = f"like.*{'a' * 1000}b*"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "value", "function", "arguments", "filter_", "request_"),
    [
        (
            "description",
            lambda size: "a" * size,
            "book_voucher",
            {"voucher_id": "v", "slot_start": "2030-05-01T09:00:00Z"},
            {"pgrst_scalar->voucher->>description": PATTERN},
            BOOKING,
        ),
        (
            "terms",
            lambda size: [7] * (size // 32) + [8],
            "book_voucher",
            {"voucher_id": "v", "slot_start": "2030-05-01T09:00:00Z"},
            {"pgrst_scalar->voucher->terms": f"cs.[{'8,' * 3000}9]"},
            BOOKING,
        ),
        (
            "description",
            lambda size: "a" * size,
            "issue_voucher",
            {"description": "a" * 131_000, "holder_uid": "ben"},
            {"pgrst_scalar->>description": PATTERN},
            ("/api/presence/heartbeat", {"thinker_id": "ben"}),
        ),
    ],
    ids=["like", "contains", "a new thinker"],
)
def test_a_filter_that_no_timeout_ends_holds_nobody_up(
    database: str,
    shared_portal: str,
    ask: Callable[..., httpx.Response],
    column: str,
    value: Callable[[int], object],
    function: str,
    arguments: dict[str, str],
    filter_: dict[str, str],
    request_: tuple[str, dict[str, Any]],
) -> None:
    with connections(database, 1) as [watching], ThreadPoolExecutor(1) as threads, Connection(shared_portal) as portal:
        issue_largest(watching, column, value)
        slow = threads.submit(
            ask,
            "POST",
            f"/rpc/{function}",
            params=filter_,
            json=arguments,
            headers={"Authorization": f"Bearer {token('authenticated', 'mallory')}"},
        )
        running = RUNNING.format(function).encode()
        wait_until(lambda: slow.done() or watching.execute(running).fetchone() is not None)
        assert portal.post(*request_).status == 200
        assert slow.result().json() is None or slow.result().json()["code"] == "57014"


def test_no_filter_looks_into_a_page(database: str, ask: Callable[..., httpx.Response]) -> None:
    with connections(database, 1) as [connection]:
        call(connection, thinker("mallory"), "issue_voucher", terms=[[1]], **WINDOW)
        lists = connection.execute(
            "select proname, prorettype::regtype::text from pg_proc"
            " where pronamespace = 'public'::regnamespace and prosrc ~ 'read_page'"
        ).fetchall()
    assert {returned for _, returned in lists} == {"jsonb[]"}
    assert len(lists) == 9
    signed_in = {"Authorization": f"Bearer {token('authenticated', 'mallory')}"}
    page = ask("POST", "/rpc/list_vouchers", json={}, headers=signed_in)
    assert [voucher["terms"] for voucher in page.json()] == [[[1]]]
    filtered = {"pgrst_scalar": 'cs.[{"terms":[[2]]}]'}
    refused = ask("POST", "/rpc/list_vouchers", params=filtered, json={}, headers=signed_in)
    assert refused.json()["code"] == "22P02"


def issue_largest(connection: psycopg.Connection, column: str, value: Callable[[int], object]) -> None:
    """Anna issues a voucher with the largest value of this column that is accepted."""
    for size in (2**n for n in range(20, 10, -1)):
        with suppress(psycopg.Error):
            call(connection, thinker("anna"), "issue_voucher", voucher_id="v", **WINDOW, **{column: value(size)})
            return
    pytest.fail(f"every {column} is refused")


@contextmanager
def locked(database: str) -> Iterator[psycopg.Connection]:
    """A connection that does not wait, beside a transaction that has locked every row."""
    with connections(database, 2) as (locking, asking), locking.transaction():
        for table in ("vouchers", "voucher_bookings", "mortgage_applications", "mortgage_contracts"):
            locking.execute(f"select from public.{table} for no key update".encode())
        locking.execute("select pg_advisory_xact_lock(private.lock_number('match_presence:secret'))")
        with asking.transaction():
            asking.execute("set local lock_timeout = '1ms'")
            yield asking


def test_strangers_lock_nothing(database: str) -> None:
    anna, ben, bank, mallory = thinker("anna"), thinker("ben"), thinker("bank", "lender"), thinker("mallory")
    with connections(database, 1) as [connection]:
        call(connection, anna, "issue_voucher", voucher_id="v", holder_uid="ben", **WINDOW)
        booked = call(connection, ben, "book_voucher", voucher_id="v", slot_start="2030-05-01T09:00:00Z")
        call(connection, ben, "apply_for_mortgage", application_id="a")
        call(connection, bank, "offer_mortgage", application_id="a", offer_id="o")
        contract = call(connection, ben, "accept_mortgage_offer", offer_id="o")["contract"]["id"]
    refused = [
        ("book_voucher", {"voucher_id": "v", "slot_start": "2030-05-01T10:00:00Z"}, "voucher_not_found"),
        ("cancel_booking", {"voucher_id": "v"}, "booking_not_found"),
        ("cancel_booking", {"booking_id": booked["booking"]["id"]}, "not_a_party"),
        ("accept_mortgage_offer", {"offer_id": "o"}, "not_the_offers_borrower"),
        ("sign_mortgage_contract", {"contract_id": contract, "signer": "lender"}, "not_the_lender"),
        ("match_presence", {"pair_code": "secret"}, {"room_id": None}),
    ]
    with locked(database) as asking:
        for function, params, reason in refused:
            assert act_or_reason(asking, mallory, function, **params) == reason
        with pytest.raises(errors.LockNotAvailable):
            act(asking, anna, "cancel_booking", voucher_id="v")


def test_an_issuer_signs_in_while_a_stranger_books(database: str) -> None:
    anna, mallory = thinker("anna"), thinker("mallory")
    with connections(database, 2) as (booking, signing_in):
        call(signing_in, anna, "issue_voucher", voucher_id="v", **WINDOW)
        with booking.transaction():
            call(booking, mallory, "book_voucher", voucher_id="v", slot_start="2030-05-01T09:00:00Z")
            signing_in.execute("set lock_timeout = '1ms'")
            assert call(signing_in, anna, "verify_presence")["thinker_uid"] == "anna"


def test_a_text_that_a_stranger_chose_is_the_lock_of_nobody_else(shared_database: str) -> None:
    # chosen so that hashtextextended gives both the same number
    of_mallory = "idempotency_key:c0a49776-1b17-8379-8d63-397cc9805465:dNkkrJwdelrvvonDGsQ<Cgz~^!ynWgf"
    of_ben = "bookings_of:6700869c-8ff7-880e-84a7-0a708b028700"
    with psycopg.connect(shared_database) as connection:
        for function, are_equal in (("hashtextextended(%s, 0)", True), ("private.lock_number(%s)", False)):
            numbers = [one(connection, f"select {function}", text) for text in (of_mallory, of_ben)]
            assert (numbers[0] == numbers[1]) is are_equal


def test_an_offer_is_accepted_without_reading_the_json_of_others(shared_database: str) -> None:
    borrower, lender = thinker("borrower"), thinker("bank", "lender")
    with psycopg.connect(shared_database) as connection:
        connection.execute("set local track_functions = 'pl'")
        act(connection, borrower, "apply_for_mortgage", application_id="a")
        for number in range(9):
            act(connection, lender, "offer_mortgage", application_id="a", offer_id=f"o{number}", loan={"amount": 1})
        made = times_checked(connection)
        act(connection, borrower, "accept_mortgage_offer", offer_id="o0")
        # those of new rows, which have one
        assert times_checked(connection) - made < 9
        connection.rollback()


def times_checked(connection: psycopg.Connection) -> int:
    count: int = one(connection, "select calls from pg_stat_xact_user_functions where funcname = 'check_json'")
    return count


# an admin may stop the portal anyway
OF_ADMINS = {
    "settle_fees",
    "invoice_settlement",
    "pay_settlement",
    "void_settlement",
    "write_off_settlement",
    "reverse_fee",
    "adjust_fee",
}


def test_every_function_that_locks_ends_before_others_give_up(shared_database: str) -> None:
    with psycopg.connect(shared_database) as connection:
        connection.execute("set intervalstyle = 'postgres'")
        found = connection.execute(
            """
            select p.proname, split_part(line, '=', 2)::interval < %s::interval
            from pg_proc p left join unnest(p.proconfig) as line on line like 'statement_timeout=%%'
            where p.pronamespace = 'public'::regnamespace and p.provolatile = 'v'
              and has_function_privilege('authenticated', p.oid, 'execute')
            """,
            (LOCK_PATIENCE,),
        ).fetchall()
    assert {name for name, ends in found if not ends} == OF_ADMINS | {"ping"}
    assert len(found) > 10
