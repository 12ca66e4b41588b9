"""While one kind of caller takes all connections that it may, the others are answered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from itertools import cycle, repeat
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from api.actor import Actor
from api.errors import ApiError
from api.gateway import LockedError, waits_for_locks
from api.gateway.data_api import DataApiGateway
from api.gateway.direct import DirectGateway
from api.gateway.shares import MOST_OF_CLIENT, WRITES_OF_THINKER, Shares
from tests.support.data_api import JWT_SECRET, through_data_api, token
from tests.support.parallel import ask_at_once
from tests.support.serving import Answer, Connection, serve, settings_in
from tests.support.waiting import wait_for_row

KEY = "a long random text"
OPERATOR = {"X-TS-APIKEY": KEY}
ANNA, BEN = ({"Authorization": f"Bearer {token('authenticated', uid)}"} for uid in ("anna", "ben"))

GUEST = Actor("anon")

MANY = 40
"""More than the gateway has connections."""


class Held:
    """A gateway whose calls are answered when the test says so."""

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.under_way = 0
        self.answer = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        yield

    async def call(self, function: str, actor: Actor, **params: object) -> object:
        self.under_way += 1
        return await self.answer.wait()


@pytest.mark.parametrize("gateway", [DirectGateway.connections, DataApiGateway.connections])
def test_each_kind_of_request_leaves_connections_for_the_next(gateway: int) -> None:
    async def under_way() -> list[int]:
        held = Held(gateway)
        shares = Shares(held)
        kinds: list[Callable[[], Awaitable[object]]] = [
            partial(shares.of(is_operator=is_operator, is_read=is_read).call, "ping", Actor("anon"))
            for is_operator, is_read in ((False, True), (False, False), (True, True), (True, False))
        ]
        counts, tasks = [], []
        for ask in (*kinds, shares.ping):
            tasks += [asyncio.ensure_future(ask()) for _ in range(MANY)]
            for _ in tasks:
                await asyncio.sleep(0)  # lets each of them come as far as it can
            counts.append(held.under_way)
        held.answer.set()
        assert await asyncio.gather(*tasks) == [True] * len(tasks)
        return counts

    lists, callers, lists_of_operators, operators, all_connections = asyncio.run(under_way())
    assert 0 < lists < callers < lists_of_operators < operators < all_connections == gateway


async def under_way(
    gateway: int, *requests: tuple[str | None, bool, int], actors: Iterable[Actor] = repeat(GUEST)
) -> list[int]:
    """How many calls are made after so many requests of each client, which read or not, as the next of the actors."""
    actor = iter(actors)
    held = Held(gateway)
    shares = Shares(held)
    counts, tasks = [], []
    for client, is_read, number in requests:
        # each request asks for its share
        calls = [shares.of(is_operator=False, is_read=is_read, client=client) for _ in range(number)]
        tasks += [asyncio.ensure_future(each.call("ping", next(actor))) for each in calls]
        for _ in tasks:
            await asyncio.sleep(0)  # lets each of them come as far as it can
        counts.append(held.under_way)
    held.answer.set()
    await asyncio.gather(*tasks)
    return counts


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("gateway", [DirectGateway.connections, DataApiGateway.connections])
def test_a_client_leaves_connections_for_others(gateway: int, is_read: bool) -> None:
    clients = ("mallory's", "mallory's", "anna's", None)
    one, still_one, two, all_of_them = asyncio.run(under_way(gateway, *((each, is_read, MANY) for each in clients)))
    assert 0 < one == still_one < two <= all_of_them


@pytest.mark.parametrize(
    ("gateway", "clients"),
    [(DirectGateway.connections, 4), (DataApiGateway.connections, 2)],
    ids=["direct", "data api"],
)
def test_reads_of_some_clients_leave_reads_for_others_and_their_own_writes(gateway: int, clients: int) -> None:
    reads = [(f"address {n}", True, MANY) for n in range(clients)]
    counts = asyncio.run(under_way(gateway, *reads, ("anna's", True, 1), ("address 0", False, 1)))
    assert counts[clients - 1 :] == [clients, clients + 1, clients + 2]


@pytest.mark.parametrize(
    "mallory",
    [
        [Actor("authenticated", "mallory")],
        # the thinkers of a browser session, whose writes are counted together
        [Actor("authenticated", f"mallory-{n}", session_id=UUID(int=1)) for n in range(5)],
        # sessions that opened one link with a token
        [Actor("authenticated", "mallory", session_id=UUID(int=n)) for n in range(5)],
    ],
)
def test_a_thinker_that_writes_from_many_addresses_leaves_connections_for_others(mallory: list[Actor]) -> None:
    writes, reads = [(f"address {n}", False, MANY) for n in range(3)], ("an address", True, 1)
    counts = asyncio.run(under_way(DirectGateway.connections, *writes, reads, actors=cycle(mallory)))
    assert counts == [WRITES_OF_THINKER] * 3 + [WRITES_OF_THINKER + 1]


def test_a_client_that_hangs_up_again_and_again_does_not_wait_with_all_its_requests() -> None:
    async def refused() -> tuple[int, int]:
        held = Held(DirectGateway.connections)
        shares = Shares(held)

        def asked(client: str) -> asyncio.Future[object]:
            calls = shares.of(is_operator=False, is_read=False, client=client)
            return asyncio.ensure_future(calls.call("ping", Actor("anon")))

        tasks = [asked("mallory's") for _ in range(MOST_OF_CLIENT + 10)]
        await asyncio.sleep(0)
        before = sum(task.done() for task in tasks)
        others = asked("anna's")
        held.answer.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        # as soon as the others are answered, there is room again
        assert await others
        assert await asked("mallory's")
        return before, sum(isinstance(task.exception(), ApiError) for task in tasks)

    assert asyncio.run(refused()) == (10, 10)


@pytest.fixture(scope="module", params=["direct", "data api"])
def url(
    request: pytest.FixtureRequest, shared_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of an app with a key, through each of the gateways."""
    settings = settings_in(tmp_path_factory.mktemp("keyed"), ts_api_key=KEY, jwt_secret=JWT_SECRET, rate_limit="off")
    with ExitStack() as stack:
        if request.param == "data api":
            settings = stack.enter_context(through_data_api(settings, shared_database))
        url = stack.enter_context(serve(settings, None if settings.supabase_url else shared_database))
        # the Data API reads the catalog at its first call, which would wait for locked tables
        assert ask_at_once(url, a_list(OPERATOR))[0].status == 200
        yield url


def a_list(headers: dict[str, str]) -> Callable[[Connection], Answer]:
    return lambda connection: connection.ask("GET", "/api/voucher/list", headers=headers)


def a_write(headers: dict[str, str]) -> Callable[[Connection], Answer]:
    return lambda connection: connection.ask("POST", "/api/voucher/cancel", {"voucherId": "v"}, headers=headers)


def a_heartbeat(headers: dict[str, str]) -> Callable[[Connection], Answer]:
    return lambda connection: connection.ask("POST", "/api/presence/heartbeat", {"thinker_id": "ben"}, headers=headers)


def health(connection: Connection) -> Answer:
    return connection.get("/health")


def the_log(connection: Connection) -> Answer:
    return connection.ask("GET", "/api/admin/events", headers=OPERATOR)


@contextmanager
def waiting(database: str, url: str, *questions: Callable[[Connection], Answer], at_least: int = 3) -> Iterator[None]:
    """Asks what needs the vouchers, which are locked during the block; begins when so many calls wait for them."""
    with (
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(database) as holding,
        psycopg.connect(database, autocommit=True) as watching,
    ):
        holding.execute("lock table public.vouchers")
        asked = thread.submit(ask_at_once, url, *questions)
        blocked = "select from pg_stat_activity where wait_event_type = 'Lock' having count(*) >= {}"
        wait_for_row(watching, blocked.format(at_least))
        yield
        holding.rollback()
        assert {answer.status for answer in asked.result()} <= {200, 404, 503}


def test_lists_leave_connections_for_writes(url: str, shared_database: str) -> None:
    with waiting(shared_database, url, *[a_list(ANNA)] * MANY):
        answers = ask_at_once(url, a_heartbeat(BEN), health, the_log)
    assert [answer.status for answer in answers] == [200] * 3


def test_calls_that_wait_for_one_lock_leave_connections_for_others() -> None:
    class Locked(Held):
        """Somebody else has the lock that a cancellation needs."""

        async def call(self, function: str, actor: Actor, **params: object) -> object:
            if function != "cancel_booking":
                return True
            if waits_for_locks.get():
                await super().call(function, actor, **params)
            raise LockedError

    async def answered(*clients: str | None) -> tuple[object, int, int]:
        held = Locked(DirectGateway.connections)
        shares = Shares(held)
        calls = [shares.of(is_operator=False, is_read=False, client=client) for client in clients]
        waiting = [asyncio.ensure_future(each.call("cancel_booking", GUEST)) for each in calls]
        for _ in range(3):
            await asyncio.sleep(0)
        answer = await calls[0].call("ping", GUEST)
        still = sum(not task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        return answer, still, held.under_way

    # three eighths of the connections, and of each client one
    assert asyncio.run(answered(*[None] * MANY)) == (True, MANY, 6)
    assert asyncio.run(answered("a", "a", "a", "b", "b")) == (True, 5, 2)


def test_a_call_that_waited_for_a_lock_is_made_again(shared_database: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, ts_api_key=KEY, jwt_secret=JWT_SECRET, rate_limit="on")
    waits = "select from pg_locks where not granted and locktype = 'relation' having count(*) {}"
    long = " and min(waitstart) < clock_timestamp() - interval '1 second'"
    with (
        serve(settings, shared_database) as url,
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(shared_database) as holding,
        psycopg.connect(shared_database, autocommit=True) as watching,
    ):
        holding.execute("lock table public.vouchers")
        asked = thread.submit(ask_at_once, url, a_write(ANNA), a_write(BEN))
        # one waits in the queue for the lock, the other one comes again
        for number in ("= 2", "= 1", "= 2" + long):
            wait_for_row(watching, waits.format(number))
        holding.rollback()
        assert [answer.status for answer in asked.result()] == [404, 404]


def test_callers_leave_connections_for_operators(url: str, shared_database: str) -> None:
    with waiting(shared_database, url, *[a_list(ANNA), a_write(ANNA)] * MANY):
        answers = ask_at_once(url, a_heartbeat(OPERATOR), health, the_log)
    assert [answer.status for answer in answers] == [200] * 3


def test_lists_of_operators_leave_connections_for_others(url: str, shared_database: str) -> None:
    # their share of the Data API's connections
    with waiting(shared_database, url, *[a_list(OPERATOR)] * MANY, at_least=2):
        answers = ask_at_once(url, a_heartbeat(BEN), a_heartbeat(OPERATOR), health)
    assert [answer.status for answer in answers] == [200] * 3


def test_operators_leave_a_connection_for_health(url: str, shared_database: str) -> None:
    with waiting(shared_database, url, *[a_write(OPERATOR)] * MANY):
        answers = ask_at_once(url, *[health] * MANY)
    assert {answer.status for answer in answers} == {200}
