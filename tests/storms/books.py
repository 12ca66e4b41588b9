"""The outcome of each operation of a storm, as its client knows it, and the comparison with the database."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from threading import Condition
from typing import Any
from uuid import UUID

import psycopg

from api.actor import SERVER
from tests.storms.scene import OFFERS, TRANSFER_RATES, Charges, charges
from tests.support.acting import call, one
from tests.support.charging import rounded, violations


class Fate(Enum):
    """What the client knows of an operation."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Booking:
    """An attempt to book; each (holder, voucher, slot) is tried once, so that its outcome can be determined."""

    holder: str
    voucher: str
    slot: datetime
    fate: Fate = Fate.UNKNOWN
    id: str | None = None
    cancelling: Fate | None = None


@dataclass
class Transfer:
    """An attempt to log a transfer, identified by its label."""

    label: str
    cents: int
    fate: Fate = Fate.UNKNOWN
    id: str | None = None


@dataclass
class Settlement:
    """An acknowledged settlement and its status; `maybe` is a transition without an answer."""

    id: str
    total: int
    status: str = "open"
    maybe: str | None = None


@dataclass
class Books:
    """The operations of one worker. Nobody else changes the rows that a worker creates."""

    bookings: list[Booking] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    price_changes: list[Fate] = field(default_factory=list)
    operations: Counter[tuple[str, Fate]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def of(self, fate: Fate) -> int:
        """Returns how many operations had this fate."""
        return sum(number for (_, f), number in self.operations.items() if f is fate)


def joined(all_books: Iterable[Books]) -> Books:
    """Merges all books."""
    whole = Books()
    for books in all_books:
        whole.bookings += books.bookings
        whole.transfers += books.transfers
        whole.settlements += books.settlements
        whole.price_changes += books.price_changes
        whole.operations += books.operations
        whole.reasons += books.reasons
    return whole


class Progress:
    """The progress of a storm: operations are numbered, and acknowledged ones are counted."""

    def __init__(self, operations: int, workers: int) -> None:
        self._left = operations
        self._working = workers
        self._acknowledged = 0
        self._changed = Condition()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Counts a worker as active during the block."""
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def begins(self) -> bool:
        """Returns whether one more operation is to be done."""
        with self._changed:
            self._left -= 1
            return self._left >= 0

    def acknowledge(self) -> None:
        """Counts an operation."""
        with self._changed:
            self._acknowledged += 1
            self._changed.notify_all()

    def wait_for(self, acknowledged: int) -> None:
        """Waits until this number of operations is acknowledged. Raises RuntimeError if that does not happen."""
        with self._changed:
            self._changed.wait_for(lambda: self._acknowledged >= acknowledged or not self._working)
            if self._acknowledged < acknowledged:
                raise RuntimeError(f"the storm ended after {self._acknowledged} acknowledged operations")


def report(title: str, books: Books, kills: int) -> str:
    """Returns the figures of a storm whose books agree with the database."""
    fates = ", ".join(f"{books.of(fate)} {fate.value}" for fate in Fate)
    return f"{title}: {books.operations.total()} operations, {kills} kills, {fates}, 0 lost"


def check(books: Books, url: str) -> None:
    """Asserts that what was acknowledged is there, what is unknown is wholly there or not at all, and nothing else is.

    Settles the rest, and asserts that everything that Python counted is settled, once.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        check_bookings(books.bookings, connection)
        check_transfers(books.transfers, connection)
        check_settlements(books, connection)
        check_prices(books.price_changes, connection)
        check_settled(connection)
        assert violations(connection) == {}


def check_bookings(attempts: list[Booking], connection: psycopg.Connection) -> None:
    """Checks every booking with its status, its events and its charges."""
    found: dict[tuple[str, str, datetime], tuple[str, str]] = {
        (holder, voucher, slot): (id_, status)
        for holder, voucher, slot, id_, status in connection.execute(
            "select private.uid_of(holder_id), voucher_id, slot_start, id, status from public.voucher_bookings"
        )
    }
    assert len(found) == one(connection, "select count(*) from public.voucher_bookings")

    offers = {offer.id: charges(offer) for offer in OFFERS}
    charged: dict[str, Charges] = {}
    cancelled = set()
    for attempt in attempts:
        there = found.pop((attempt.holder, attempt.voucher, attempt.slot), None)
        if there is None:
            assert attempt.fate is not Fate.ACKNOWLEDGED, f"lost: {attempt}"
            continue
        id_, status = there
        assert attempt.fate is not Fate.REFUSED, f"refused, and there: {attempt}"
        assert attempt.id in (None, id_)
        if attempt.cancelling is not Fate.UNKNOWN:
            assert status == ("cancelled" if attempt.cancelling is Fate.ACKNOWLEDGED else "booked"), attempt
        charged[id_] = offers[attempt.voucher].copy()
        if status == "cancelled":
            cancelled.add(id_)
            for (fee, currency, cents), number in offers[attempt.voucher].items():
                charged[id_][fee, currency, -cents] += number
    assert found == {}, "nobody tried these"

    assert _events(connection, "voucher.book") == Counter(charged.keys())
    assert _events(connection, "voucher.cancel") == Counter(cancelled)
    events: dict[str, Charges] = {}
    for id_, fee, currency, cents in connection.execute(
        "select subject_id, fee_id, currency, amount_cents from public.fee_events"
        " where subject_type = 'voucher_booking'"
    ):
        events.setdefault(id_, Counter())[fee, currency, cents] += 1
    assert events == charged


def check_transfers(attempts: list[Transfer], connection: psycopg.Connection) -> None:
    """Checks every transfer with its event, and one charge at a price that was valid."""
    found = {
        label: (id_, cents)
        for label, id_, cents in connection.execute("select label, id, fiat_amount from public.transfers")
    }
    assert len(found) == one(connection, "select count(*) from public.transfers")
    ids = dict(found.values())
    for attempt in attempts:
        there = found.pop(attempt.label, None)
        assert there or attempt.fate is Fate.UNKNOWN, f"lost: {attempt}"
        if there:
            assert there == (attempt.id or there[0], attempt.cents)
    assert found == {}, "nobody tried these"

    assert _events(connection, "transfer.logged") == Counter(ids.keys())
    charged = connection.execute(
        "select subject_id, base_cents, rate, amount_cents from public.fee_events where subject_type = 'transfer'"
    ).fetchall()
    assert Counter(id_ for id_, *_ in charged) == Counter(ids.keys())
    for id_, base, rate, cents in charged:
        assert base == ids[id_]
        assert rate in TRANSFER_RATES
        assert cents == rounded(base * rate)


def check_settlements(books: Books, connection: psycopg.Connection) -> None:
    """Checks every settlement with its total and status; unknown ones must be from calls without an answer."""
    found: dict[str, tuple[int, str, datetime]] = {
        str(id_): (total, status, created_at)
        for id_, total, status, created_at in connection.execute(
            "select id, total_cents, status, created_at from public.settlements"
        )
    }
    assert _events(connection, "settlement.created") == Counter(found.keys())
    for settlement in books.settlements:
        assert settlement.id in found, f"lost: {settlement}"
        total, status, _ = found.pop(settlement.id)
        assert total == settlement.total
        assert status in (settlement.status, settlement.maybe), settlement
    unheard = {created_at for _, status, created_at in found.values() if status == "open"}
    assert len(unheard) <= books.operations["settle", Fate.UNKNOWN]
    assert {status for _, status, _ in found.values()} <= {"open"}


def check_prices(changes: list[Fate], connection: psycopg.Connection) -> None:
    """Checks that every change of a price left a version and an event."""
    versions = one(connection, "select count(*) from public.fee_versions where valid_from > now() - interval '1 month'")
    # the scene created one fee, and changed another
    assert one(connection, "select count(*) from public.events where type = 'fee.changed'") == versions + 2
    at_least = changes.count(Fate.ACKNOWLEDGED)
    assert at_least <= versions <= at_least + changes.count(Fate.UNKNOWN)


def check_settled(connection: psycopg.Connection) -> None:
    """Settles the rest; then the valid settlements are, by beneficiary and currency, everything that was charged."""
    connection.execute("update private.settings set carries_negative_totals = false")
    # else the credits of what is not paid would wait
    connection.execute(
        "select public.pay_settlement(id) from public.settlements where status = 'invoiced' and total_cents > 0"
    )
    settle(connection)
    assert settle(connection) == []
    charged = connection.execute(
        "select beneficiary_id, currency, sum(amount_cents)::bigint from public.fee_events group by 1, 2 order by 1, 2"
    ).fetchall()
    settled = connection.execute(
        "select beneficiary_id, currency, sum(total_cents)::bigint from public.settlements where status <> 'voided'"
        " group by 1, 2 order by 1, 2"
    ).fetchall()
    assert settled == charged


def settle(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """Settles everything that is due."""
    made: list[dict[str, Any]] = call(
        connection, SERVER, "settle_fees", period_from="2020-01-01", period_to="2100-01-01"
    )
    assert all(UUID(settlement["id"]) for settlement in made)
    return made


def _events(connection: psycopg.Connection, type_: str) -> Counter[str]:
    return Counter(
        id_ for (id_,) in connection.execute("select subject_id from public.events where type = %s", (type_,))
    )
