"""Thirty-two connections write while the database is killed: acknowledged writes stay, and none is half done."""

import random
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import cycle
from threading import Event

import psycopg

from api.actor import SERVER
from tests.storms.books import Booking, Books, Fate, Progress, Settlement, Transfer, check, joined, report, settle
from tests.storms.scene import NINE, OFFERS, SLOTS, TRANSFER_RATES
from tests.support.acting import call, one, thinker
from tests.support.databases import Server
from tests.support.parallel import at_once
from tests.support.stress import sized

WORKERS = 32
SETTLERS = 2
OPERATIONS = sized(usual=1500, full=8000)
KILLS = sized(usual=3, full=6)


class Line:
    """A worker's connection, which is made again when it is lost and the server is back."""

    def __init__(self, url: str, up: Event, progress: Progress, books: Books) -> None:
        self._url = url
        self._up = up
        self._progress = progress
        self._books = books
        self._connection: psycopg.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def do(self, kind: str, operation: Callable[[psycopg.Connection], object]) -> Fate:
        """Does an operation and returns its fate. Raises every error but a refusal or a lost connection."""
        fate = self._do(operation)
        self._books.operations[kind, fate] += 1
        if fate is Fate.ACKNOWLEDGED:
            self._progress.acknowledge()
        return fate

    def _do(self, operation: Callable[[psycopg.Connection], object]) -> Fate:
        connection = self._connected()
        try:
            operation(connection)
        except psycopg.OperationalError as error:
            if not is_lost(error):
                raise
            connection.close()
            self._connection = None
            return Fate.UNKNOWN
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("PT"):
                raise
            self._books.reasons[error.diag.message_primary or ""] += 1
            return Fate.REFUSED
        return Fate.ACKNOWLEDGED

    def _connected(self) -> psycopg.Connection:
        deadline = time.monotonic() + 120
        while self._connection is None:
            self._up.wait()
            assert time.monotonic() < deadline, "the database does not come back"
            try:
                self._connection = psycopg.connect(self._url, autocommit=True)
            except psycopg.OperationalError as error:
                if not is_lost(error):
                    raise
        return self._connection


def is_lost(error: psycopg.OperationalError) -> bool:
    """Returns whether the server went away; a deadlock has the same error class, but does not count."""
    return error.sqlstate is None or error.sqlstate.startswith("57P")


def book_cancel_and_transfer(line: Line, books: Books, progress: Progress, seed: int) -> None:
    """Books slots that others want too, cancels its own bookings, logs transfers."""
    dice = random.Random(seed)
    holder = thinker(f"holder-{seed}")
    untried = [(offer.id, hour) for offer in OFFERS for hour in range(SLOTS)]
    dice.shuffle(untried)
    mine: list[Booking] = []

    while progress.begins():
        match dice.choices(["book", "cancel", "transfer"], [6, 3, 2])[0]:
            case "cancel" if mine:
                booking = mine.pop(dice.randrange(len(mine)))
                params = {"booking_id": booking.id, "reason": "storm"}
                booking.cancelling = line.do("cancel", lambda c: call(c, holder, "cancel_booking", **params))  # noqa: B023
                assert booking.cancelling is not Fate.REFUSED
            case "transfer":
                transfer = Transfer(f"{seed}-{len(books.transfers)}", dice.randrange(100, 10**6))
                books.transfers.append(transfer)
                transfer.fate = line.do("transfer", partial(log, transfer, seed))
                assert transfer.fate is not Fate.REFUSED
            case _:
                voucher, hour = untried.pop()
                booking = Booking(f"holder-{seed}", voucher, NINE + timedelta(hours=hour))
                books.bookings.append(booking)
                booking.fate = line.do("book", partial(book, booking))
                if booking.fate is Fate.ACKNOWLEDGED:
                    mine.append(booking)


def book(booking: Booking, connection: psycopg.Connection) -> None:
    row = call(connection, thinker(booking.holder), "book_voucher", voucher_id=booking.voucher, slot_start=booking.slot)
    booking.id = row["booking"]["id"]


def log(transfer: Transfer, seed: int, connection: psycopg.Connection) -> None:
    row = call(
        connection,
        thinker(f"holder-{seed}"),
        "log_transfer",
        direction="in",
        crypto_amount=Decimal(1),
        crypto_symbol="ETH",
        fiat_major=Decimal(transfer.cents) / 100,
        fiat_currency="EUR",
        label=transfer.label,
    )
    transfer.id = row["id"]


MOVES = {"invoiced": "invoice_settlement", "paid": "pay_settlement", "voided": "void_settlement"}


def settle_and_void(line: Line, books: Books, progress: Progress, number: int) -> None:
    """Settles everything, again and again, and invoices, pays and voids the results."""
    # in turns, and the workers not in step, so that even few operations make each move
    settles = cycle([True, False, False])
    moves = cycle(["invoiced", "voided"] if number % 2 else ["voided", "invoiced"])
    movable: list[Settlement] = []

    def make(connection: psycopg.Connection) -> None:
        made = [Settlement(s["id"], s["total_cents"]) for s in settle(connection)]
        books.settlements.extend(made)
        movable.extend(made)

    while progress.begins():
        if next(settles) or not movable:
            line.do("settle", make)
            continue
        # what is invoiced is paid next
        settlement = min(movable, key=lambda settlement: settlement.status != "invoiced")
        movable.remove(settlement)
        if settlement.status == "invoiced":
            status = "paid"
        elif settlement.total == 0:
            status = "voided"  # it needs no invoice
        else:
            status = next(moves)
        fate = line.do(
            status,
            lambda c: call(c, SERVER, MOVES[status], settlement_id=settlement.id),  # noqa: B023
        )
        assert fate is not Fate.REFUSED
        if fate is Fate.UNKNOWN:
            settlement.maybe = status
        else:
            settlement.status = status
            if status == "invoiced":
                movable.append(settlement)


def change_prices(line: Line, books: Books, progress: Progress, _: int) -> None:
    """Changes the price of transfers, and writes to the fee that every booking refers to."""
    for touches in cycle([True, False]):
        if not progress.begins():
            return
        if touches:
            line.do("touch", lambda c: c.execute("update public.fees set meta = '{}' where id = 'voucher.booking'"))
        else:
            books.price_changes.append(line.do("price", change_price))


def change_price(connection: psycopg.Connection) -> None:
    connection.execute(
        "update public.fees set percentage = %s - percentage where id = 'transfer.logged'", (sum(TRANSFER_RATES),)
    )


def storm(url: str, kill_and_start: Callable[[], None], kills: int) -> Books:
    """Runs all workers at once, and kills the server each time this number of operations is acknowledged."""
    up = Event()
    up.set()
    progress = Progress(OPERATIONS, WORKERS)

    def work(seed: int) -> Books:
        books = Books()
        line = Line(url, up, progress, books)
        doing = {0: change_prices} | dict.fromkeys(range(1, 1 + SETTLERS), settle_and_void)
        with progress.working():
            doing.get(seed, book_cancel_and_transfer)(line, books, progress, seed)
        line.close()
        return books

    def kill() -> Books:
        for number in range(1, kills + 1):
            progress.wait_for(number * OPERATIONS // 2 // kills)
            up.clear()
            try:
                kill_and_start()
            finally:
                up.set()
        return Books()

    return joined(at_once([*[partial(work, seed) for seed in range(WORKERS)], kill]))


def test_a_killed_database_loses_nothing_that_it_acknowledged(
    stormy_database: str, mortal_server: Server, figures: list[str]
) -> None:
    def kill_and_start() -> None:
        mortal_server.kill()
        mortal_server.start()

    books = storm(stormy_database, kill_and_start, KILLS)

    check(books, stormy_database)
    assert books.operations.total() == OPERATIONS
    assert books.of(Fate.UNKNOWN) >= KILLS
    assert set(books.reasons) <= {"slot_taken"}
    figures.append(report("database killed", books, KILLS))


def test_concurrent_writes_never_deadlock(stormy_database: str, figures: list[str]) -> None:
    books = storm(stormy_database, lambda: None, 0)

    check(books, stormy_database)
    assert books.of(Fate.UNKNOWN) == 0
    assert {kind for kind, _ in books.operations} >= {"book", "cancel", "transfer", "settle", "voided", "paid", "price"}
    with psycopg.connect(stormy_database) as connection:
        assert one(connection, "select deadlocks from pg_stat_database where datname = current_database()") == 0
    figures.append(report("nobody killed", books, 0))


def test_a_deadlock_is_not_a_lost_connection() -> None:
    assert not is_lost(psycopg.errors.DeadlockDetected())
