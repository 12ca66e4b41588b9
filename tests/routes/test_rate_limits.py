"""What a process knows of the requests that it counts itself."""

import asyncio
from collections.abc import Iterator

import pytest

from api.actor import Actor
from api.errors import ApiError
from api.gateway.shares import MOST_OF_CLIENT
from api.http.rate_limit import Counts


class Counting:
    """Calls that count as the database does, in minutes that have so many seconds left."""

    def __init__(self, seconds_left: int = 60) -> None:
        self.seconds_left = seconds_left
        self.asked: list[str] = []
        self.counts: dict[str, int] = {}
        self.answer = asyncio.Event()
        self.answer.set()
        self.is_away = False

    async def call(self, function: str, actor: Actor, **params: object) -> dict[str, int]:
        client, number = str(params["client"]), int(str(params["number"]))
        self.asked.append(client)
        await self.answer.wait()
        if self.is_away:
            raise ApiError("database_away")
        self.counts[client] = self.counts.get(client, 0) + number
        return {"requests": self.counts[client], "seconds_left": self.seconds_left}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def numbers(counts: Counts, calls: Counting, requests: int, most: int = 60) -> list[int]:
    """Returns the numbers of requests of one client that come at once."""
    counted = await asyncio.gather(*[counts.count(calls, "anna", most) for _ in range(requests)])
    return [count.number for count in counted]


def test_requests_at_once_take_no_more_than_one_after_the_other(runner: asyncio.Runner) -> None:
    counts, calls = Counts(), Counting()
    assert runner.run(numbers(counts, calls, 15)) == list(range(1, 16))
    assert runner.run(numbers(counts, calls, 60))[:45] == list(range(16, 61))
    assert len(calls.asked) == 11


def test_a_small_limit_is_counted_by_the_database(runner: asyncio.Runner) -> None:
    counts, calls = Counts(), Counting()
    assert runner.run(numbers(counts, calls, 4, most=10)) == [1, 2, 3, 4]
    assert calls.counts == {"anna": 4}


def test_what_is_left_ends_with_the_minute(runner: asyncio.Runner) -> None:
    # rounded up: the minute may end at once
    counts, calls = Counts(), Counting(seconds_left=1)
    assert [runner.run(numbers(counts, calls, 1)) for _ in range(3)] == [[1], [7], [13]]


def test_a_database_that_is_away_fails_all_that_wait_for_it_and_is_asked_again(runner: asyncio.Runner) -> None:
    counts, calls = Counts(), Counting()

    async def failed() -> list[object]:
        return await asyncio.gather(*[counts.count(calls, "anna", 60) for _ in range(20)], return_exceptions=True)

    calls.is_away = True
    assert {error.code for error in runner.run(failed()) if isinstance(error, ApiError)} == {"database_away"}
    assert len(calls.asked) == 1
    calls.is_away = False
    assert runner.run(numbers(counts, calls, 1)) == [1]


def test_a_client_does_not_wait_with_all_its_requests(runner: asyncio.Runner) -> None:
    counts, calls = Counts(), Counting()

    async def refused() -> int:
        calls.answer.clear()
        tasks = [asyncio.ensure_future(counts.count(calls, "anna", 300)) for _ in range(MOST_OF_CLIENT + 10)]
        await asyncio.sleep(0)
        done = sum(task.done() for task in tasks)
        calls.answer.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert runner.run(refused()) == 10
    assert runner.run(numbers(counts, calls, 1, most=300)) == [MOST_OF_CLIENT + 1]


def test_a_request_that_is_given_up_leaves_its_count_to_others(runner: asyncio.Runner) -> None:
    counts, calls = Counts(), Counting()

    async def given_up() -> None:
        calls.answer.clear()
        first, second = (asyncio.ensure_future(counts.count(calls, "anna", 60)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        calls.answer.set()
        assert (await second).number == 2

    runner.run(given_up())


def test_clients_are_forgotten(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, gone, here = Counts(), Counting(seconds_left=1), Counting()

    async def visit(calls: Counting, *names: str) -> None:
        for name in names:
            await counts.count(calls, name, 60)

    runner.run(visit(gone, *map(str, range(20))))
    assert len(counts._clients) == 1  # until another comes
    monkeypatch.setattr("api.http.rate_limit._MOST_CLIENTS", 3)
    runner.run(visit(here, "a", "b", "c", "a", "d"))
    assert set(counts._clients) == {"b", "c", "d"}
