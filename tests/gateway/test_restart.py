"""The database restarts under a running app: 503 while it is away, and the next request is answered."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.support.acting import one
from tests.support.databases import Server
from tests.support.outages import away, kill, stop
from tests.support.parallel import ask_at_once
from tests.support.serving import Answer, Connection
from tests.support.waiting import wait_for_row

pytestmark = pytest.mark.slow

NINE = datetime(2030, 5, 1, 9, tzinfo=UTC)
BOOKING = {"voucherId": "v", "slotId": "slot-2030-05-01T09:00:00.000Z", "holderUid": "holder"}
AWAY = {"ok": False, "error": "Datenbank nicht erreichbar, bitte gleich noch einmal"}


ENDINGS = pytest.mark.parametrize("end", [stop, kill], ids=["stopped", "killed"])


def restart(server: Server, end: Callable[[Server], None]) -> None:
    with away(server, end):
        pass


def fill_the_pool(portal: str, database: str) -> None:
    """Leaves idle connections in the app's pool: as many as lists may use at once."""
    with ThreadPoolExecutor(1) as thread, psycopg.connect(database) as holding, psycopg.connect(database) as watching:
        # each request waits for this lock on a connection of its own
        holding.execute("lock table public.vouchers")
        watching.autocommit = True
        asked = thread.submit(ask_at_once, portal, *[lambda c: c.get("/api/voucher/list")] * 6)
        ours = "from pg_stat_activity where application_name = 'togethersystems-api' and wait_event_type = 'Lock'"
        wait_for_row(watching, f"select {ours} having count(*) = 6")
        holding.rollback()
        assert {answer.status for answer in asked.result()} == {200}


def issue(portal: str) -> None:
    with Connection(portal) as connection:
        voucher = {
            "issuerUid": "issuer",
            "voucherId": "v",
            "validFrom": NINE.isoformat(),
            "validUntil": (NINE + timedelta(hours=1)).isoformat(),
        }
        assert connection.post("/api/voucher/issue", voucher).status == 200


def test_requests_get_503_with_a_message_while_the_database_is_away(portal: str, server: Server) -> None:
    with away(server):
        listed, booked, health = ask_at_once(
            portal,
            lambda c: c.get("/api/voucher/list"),
            lambda c: c.post("/api/voucher/book", BOOKING),
            lambda c: c.get("/health"),
        )
    assert (listed.status, listed.body) == (503, AWAY)
    assert (booked.status, booked.body) == (503, AWAY)
    english = "database not available, please try again shortly"
    assert (health.status, health.body) == (503, {"ok": False, "error": english})


def test_routes_without_database_answer_while_it_is_away(portal: str, server: Server) -> None:
    with away(server), Connection(portal) as connection:
        assert connection.get("/api/presence/catalog/apis").status == 200
        assert connection.post("/api/voucher/book", {}).status == 400


@ENDINGS
def test_the_next_request_after_a_restart_is_answered(
    portal: str, database: str, server: Server, end: Callable[[Server], None]
) -> None:
    issue(portal)
    fill_the_pool(portal, database)

    restart(server, end)

    with Connection(portal) as connection:
        assert connection.post("/api/voucher/book", BOOKING).status == 200
        assert connection.get("/health").status == 200


@ENDINGS
def test_the_next_request_is_answered_after_others_failed(
    portal: str, database: str, server: Server, end: Callable[[Server], None]
) -> None:
    issue(portal)
    fill_the_pool(portal, database)

    with away(server, end):
        answers = ask_at_once(portal, *[lambda c: c.get("/health")] * 20)
        assert {answer.status for answer in answers} == {503}

    with Connection(portal) as connection:
        assert connection.post("/api/voucher/book", BOOKING).status == 200


def test_many_concurrent_requests_after_a_restart_are_answered(portal: str, database: str, server: Server) -> None:
    fill_the_pool(portal, database)

    restart(server, stop)

    answers = ask_at_once(portal, *[lambda c: c.get("/api/voucher/list")] * 30)
    assert {answer.status for answer in answers} == {200}


@ENDINGS
def test_a_request_in_flight_during_a_shutdown_gets_503_and_leaves_nothing(
    portal: str, database: str, server: Server, end: Callable[[Server], None]
) -> None:
    issue(portal)

    def book() -> Answer:
        with Connection(portal) as connection:
            return connection.post("/api/voucher/book", BOOKING)

    with ThreadPoolExecutor(1) as thread, psycopg.connect(database) as holding, psycopg.connect(database) as watching:
        # the request waits for this lock after it created its thinker
        holding.execute("select from public.vouchers for update")
        watching.autocommit = True
        answer = thread.submit(book)
        waiting = (
            "select from pg_stat_activity where application_name = 'togethersystems-api' and wait_event_type = 'Lock'"
        )
        wait_for_row(watching, waiting)
        with away(server, end):
            refused = answer.result()
        holding.close()
        watching.close()

    assert refused.status == 503
    is_unknown = refused.body["error"].startswith(
        "Verbindung zur Datenbank verloren: die Anfrage kann ausgeführt worden"
    )
    # a server that is stopped may say that it took everything back; one that is killed says nothing
    assert is_unknown or (end is stop and refused.body == AWAY)
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from public.voucher_bookings") == 0
        assert one(connection, "select status from public.vouchers") == "issued"
        assert one(connection, "select count(*) from public.thinkers where public_id = 'holder'") == 0
        assert one(connection, "select count(*) from public.events where type = 'voucher.book'") == 0
    assert book().status == 200


def test_a_terminated_backend_costs_no_request(portal: str, database: str) -> None:
    fill_the_pool(portal, database)
    with psycopg.connect(database, autocommit=True) as connection:
        ours = "from pg_stat_activity where application_name = 'togethersystems-api'"
        connection.execute(f"select pg_terminate_backend(pid, 5000) {ours}".encode())
        assert (
            one(connection, "select count(*) from pg_stat_activity where application_name = 'togethersystems-api'") == 0
        )

    with Connection(portal) as connection_to_portal:
        assert connection_to_portal.get("/api/voucher/list").status == 200


def test_a_hanging_server_times_out(
    portal: str, database: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_the_pool(portal, database)
    monkeypatch.setattr("api.gateway.direct.CALL_SECONDS", 0.5)
    with server.hanging(), Connection(portal) as connection:
        answers = [connection.get("/health"), connection.post("/api/voucher/book", BOOKING)]
    assert [answer.status for answer in answers] == [503, 503]
    with Connection(portal) as connection:
        assert connection.get("/health").status == 200
