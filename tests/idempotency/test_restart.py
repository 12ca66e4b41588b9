"""The database is killed during requests; a client that repeats a request with its key gets one effect."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore

import psycopg
import pytest

from tests.idempotency.writes import World, keys
from tests.support.acting import one
from tests.support.databases import Server
from tests.support.outages import away, kill
from tests.support.serving import Answer, Connection
from tests.support.waiting import wait_for_row, wait_until

pytestmark = pytest.mark.slow

CLIENTS = 8
REQUESTS = 200
KILLS = 3


def test_a_request_whose_response_was_lost_can_be_repeated(portal: str, database: str, server: Server) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        world = World(portal, connection)
    with ThreadPoolExecutor(1) as thread, psycopg.connect(database) as holding, psycopg.connect(database) as watching:
        holding.execute("select from public.vouchers for update")
        watching.autocommit = True
        lost = thread.submit(world.send, "/api/voucher/book", "key")
        ours = "from pg_stat_activity where application_name = 'togethersystems-api' and wait_event_type = 'Lock'"
        wait_for_row(watching, f"select {ours}")
        with away(server, kill):
            assert lost.result().status == 503
        holding.close()
        watching.close()
    with psycopg.connect(database) as connection:
        assert keys(connection, "key") == 0

    answers = [world.send("/api/voucher/book", "key") for _ in range(2)]

    assert answers[0].status == 200
    assert answers[0].body == answers[1].body
    with psycopg.connect(database) as connection:
        query = "select id from public.voucher_bookings where voucher_id = %s"
        assert one(connection, query, f"free{world.name}") == answers[0].body["booking"]["bookingId"]


def test_every_request_that_is_repeated_until_it_is_answered_has_one_effect(
    portal: str, database: str, server: Server
) -> None:
    answered = Semaphore(0)
    back = Event()
    back.set()
    refused: list[int] = []

    def issue(number: int) -> Answer:
        body = {"issuerUid": f"anna-{number}", "title": f"key-{number}"}
        while True:
            back.wait()
            with Connection(portal) as connection:
                answer = connection.post("/api/voucher/issue", body, idempotency_key=f"key-{number}")
            if answer.status == 200:
                answered.release()
                return answer
            # 409: the request from before the kill may not have noticed yet that its client is gone
            assert answer.status in (409, 503), answer.body
            refused.append(answer.status)

    with ThreadPoolExecutor(CLIENTS) as threads:
        answers = [threads.submit(issue, number) for number in range(REQUESTS)]
        for _ in range(KILLS):
            # while other requests run
            for _ in range(REQUESTS // (KILLS + 1)):
                answered.acquire()
            refused.clear()
            with away(server, kill):
                # it interrupts some requests
                wait_until(lambda: 503 in refused)
                # no polling: the requests are repeated until it is back
                back.clear()
            back.set()

    told = {f"key-{number}": answer.result().body["voucher"]["voucherId"] for number, answer in enumerate(answers)}
    with psycopg.connect(database) as connection:
        written = connection.execute("select title, id from public.vouchers").fetchall()
        events = one(connection, "select count(*) from public.events where type = 'voucher.issue'")
        kept = connection.execute("select key, response ->> 'id' from private.idempotency_keys").fetchall()
    assert len(written) == events == len(kept) == REQUESTS
    assert dict(written) == dict(kept) == told
