"""Thirty-two connections book and cancel over HTTP while the API is killed, and then the database too."""

import http.client
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import count, cycle, islice
from threading import Event

from api.errors import ApiError
from tests.storms.books import Booking, Books, Fate, Progress, check, joined, report
from tests.storms.scene import NINE, OFFERS, SLOTS
from tests.support.databases import Server
from tests.support.parallel import at_once
from tests.support.serving import Answer, Connection
from tests.support.stress import sized

WORKERS = 32
OPERATIONS = sized(usual=600, full=2000)
KILLS = sized(usual=2, full=4)

PORTAL = [sys.executable, "-c", "from api.cli.main import main; main()", "run"]

IN_PROGRESS = (409, ApiError("request_in_progress").message("de"))

Ask = Callable[["Line", str, dict[str, str]], Answer | None]


class Api:
    """`portal run` in a process, on a port that stays the same."""

    def __init__(self, database: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._environment = os.environ | {"PORT": str(port), "DATABASE_URL": database}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._process = subprocess.Popen(PORTAL, env=self._environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            with suppress(OSError), Connection(self.url) as connection:
                assert connection.get("/health").status == 200
                return
            time.sleep(0.05)

    def kill(self) -> None:
        """Kills it at once, during any work."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(database: str) -> Iterator[Api]:
    api = Api(database)
    try:
        api.start()
        yield api
    finally:
        api.kill()


class Line:
    """A worker's connection, which is made again when it is lost and the API is back."""

    def __init__(self, url: str, up: Event) -> None:
        self._url = url
        self._up = up
        self._connection: Connection | None = None
        self._open = ExitStack()

    def close(self) -> None:
        self._open.close()
        self._connection = None

    def post(self, path: str, body: dict[str, str], **headers: str) -> Answer | None:
        """Returns the answer; None after a lost connection or a 503, because the outcome is unknown."""
        try:
            answer = self._connected().post(path, body, **headers)
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        return None if answer.status == 503 else answer

    def _connected(self) -> Connection:
        deadline = time.monotonic() + 120
        while self._connection is None:
            self._up.wait()
            assert time.monotonic() < deadline, "the API does not come back"
            with suppress(OSError):
                self._connection = self._open.enter_context(Connection(self._url))
        return self._connection


def ask_once(line: Line, path: str, body: dict[str, str]) -> Answer | None:
    """Sends a request once."""
    return line.post(path, body)


def ask_until_heard(line: Line, path: str, body: dict[str, str], *, keys: Iterator[str]) -> Answer:
    """Sends a request with a key of its own, and repeats it with the same key until it is answered."""
    key = next(keys)
    while True:
        answer = line.post(path, body, idempotency_key=key)
        # the killed client may have left a backend that still runs the request
        if answer is not None and (answer.status, answer.body.get("error")) != IN_PROGRESS:
            return answer


def book_and_cancel(line: Line, ask: Ask, progress: Progress, books: Books, seed: int) -> None:
    """Books slots that others want too, and cancels its own bookings."""
    dice = random.Random(seed)
    holder = f"holder-{seed}"
    untried: list[tuple[str, int]] = []
    mine: list[Booking] = []

    while progress.begins():
        if not untried:
            untried = [(offer.id, hour) for offer in OFFERS for hour in range(SLOTS // 4)]
            dice.shuffle(untried)
        if mine and dice.random() < 0.4:
            kind = "cancel"
            booking = mine.pop(dice.randrange(len(mine)))
            assert booking.id
            answer = ask(line, "/api/voucher/cancel", {"bookingId": booking.id})
            fate = booking.cancelling = fate_of(answer)
            assert fate is not Fate.REFUSED
        else:
            kind = "book"
            voucher, hour = untried.pop()
            slot = NINE + timedelta(hours=hour)
            booking = Booking(holder, voucher, slot)
            books.bookings.append(booking)
            slot_id = f"slot-{slot.strftime('%Y-%m-%dT%H:%M:%S.000Z')}"
            answer = ask(line, "/api/voucher/book", {"voucherId": voucher, "slotId": slot_id, "holderUid": holder})
            fate = booking.fate = fate_of(answer)
            if answer is not None and answer.status == 200:
                booking.id = answer.body["booking"]["bookingId"]
                mine.append(booking)
            elif answer is not None:
                books.reasons[answer.body["error"]] += 1
        books.operations[kind, fate] += 1
        if fate is Fate.ACKNOWLEDGED:
            progress.acknowledge()


def fate_of(answer: Answer | None) -> Fate:
    if answer is None:
        return Fate.UNKNOWN
    assert answer.status in (200, 400), answer
    return Fate.ACKNOWLEDGED if answer.status == 200 else Fate.REFUSED


def storm(api: Api, ask: Callable[[int], Ask], kills: list[Callable[[], None]]) -> Books:
    """Runs all workers at once, and kills once each time this number of operations is acknowledged."""
    up = Event()
    up.set()
    progress = Progress(OPERATIONS, WORKERS)

    def work(seed: int) -> Books:
        books = Books()
        line = Line(api.url, up)
        with progress.working():
            book_and_cancel(line, ask(seed), progress, books, seed)
        line.close()
        return books

    def kill() -> Books:
        for number, kill_and_start in enumerate(kills, 1):
            progress.wait_for(number * OPERATIONS // 2 // len(kills))
            up.clear()
            try:
                kill_and_start()
            finally:
                up.set()
        return Books()

    return joined(at_once([*[partial(work, seed) for seed in range(WORKERS)], kill]))


def restart(what: Api | Server) -> None:
    what.kill()
    what.start()


def test_a_killed_api_loses_nothing_that_it_acknowledged(stormy_database: str, figures: list[str]) -> None:
    with running(stormy_database) as api:
        books = storm(api, lambda _: ask_once, [partial(restart, api)] * KILLS)

    check(books, stormy_database)
    assert books.operations.total() == OPERATIONS
    assert books.of(Fate.UNKNOWN) >= KILLS
    assert set(books.reasons) == {"Slot nicht verfügbar"}
    figures.append(report("API killed", books, KILLS))


def test_a_key_has_one_effect_however_often_the_api_and_the_database_are_killed(
    stormy_database: str, mortal_server: Server, figures: list[str]
) -> None:
    def ask_with_keys(seed: int) -> Ask:
        return partial(ask_until_heard, keys=(f"{seed}-{number}" for number in count()))

    with running(stormy_database) as api:
        kills = islice(cycle([partial(restart, api), partial(restart, mortal_server)]), KILLS)
        books = storm(api, ask_with_keys, list(kills))

    check(books, stormy_database)
    assert books.operations.total() == OPERATIONS
    assert books.of(Fate.UNKNOWN) == 0
    figures.append(report("API and database killed, with keys", books, KILLS))
