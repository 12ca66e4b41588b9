"""Bookings, cancellations, prices and settlements in any order: the books equal those of an independent bookkeeper."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql

from api.identity import SERVER, Actor, thinker_id
from tests.acting import one, thinker
from tests.fees.arithmetic import Price, amounts, charged, currencies, prices
from tests.fees.scene import (
    HOUR,
    NINE,
    act,
    act_or_reason,
    add_fee,
    known,
    set_fee,
    settle,
    unchecked,
    violations,
)

THINKERS = ["anna", "ben", "clara"]
BENEFICIARIES = ["togethersystems", "anna", "dora"]
FEES = {"voucher.booking": "voucher", "voucher.second": "voucher", "transfer.logged": "transfer"}
FUNCTIONS = {"invoiced": "invoice_settlement", "paid": "pay_settlement", "voided": "void_settlement"}
MOVES = {("open", "invoiced"), ("invoiced", "paid"), ("open", "voided"), ("invoiced", "voided")}


@dataclass
class Fee:
    """What is charged from now on."""

    scope: str
    price: Price
    active: bool
    beneficiary: str


@dataclass
class Entry:
    """A charge, or what takes one back."""

    subject: str
    fee: str
    amount: int
    currency: str
    beneficiary: str
    at: datetime
    takes_back: bool = False
    settlement: str | None = None


@dataclass
class Settlement:
    """What is owed to somebody for a period."""

    beneficiary: str
    currency: str
    period_from: date
    period_to: date
    total: int
    status: str = "open"


@dataclass
class Voucher:
    """What can be booked, slot by slot."""

    id: str
    issuer: str
    price: int | None
    currency: str | None
    slots: Iterator[int]


@dataclass
class Booking:
    """A booked slot."""

    id: str
    voucher: Voucher
    holder: str
    slot: int


@dataclass
class Bookkeeper:
    """The same books, kept in Python."""

    fees: dict[str, Fee] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    settlements: dict[str, Settlement] = field(default_factory=dict)

    def charge(self, scope: str, subject: str, base: int, currency: str | None, at: datetime) -> None:
        """Charges every active fee of the scope."""
        for name, fee in self.fees.items():
            if fee.active and fee.scope == scope:
                for part in charged(fee.price, base, currency):
                    self.entries.append(Entry(subject, name, part.amount, part.currency, fee.beneficiary, at))

    def take_back(self, subject: str, at: datetime) -> None:
        """Takes back what was charged for it."""
        self.entries += [
            Entry(e.subject, e.fee, -e.amount, e.currency, e.beneficiary, at, takes_back=True)
            for e in self.entries
            if e.subject == subject
        ]

    def due(self, period_to: date) -> dict[tuple[str, str], list[Entry]]:
        """What is in no settlement and of before that day, by beneficiary and currency."""
        groups: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.entries:
            if entry.settlement is None and entry.at < midnight(period_to):
                groups.setdefault((entry.beneficiary, entry.currency), []).append(entry)
        return groups

    def void(self, settlement: str) -> None:
        """Releases what was settled."""
        for entry in self.entries:
            if entry.settlement == settlement:
                entry.settlement = None


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Books(RuleBasedStateMachine):
    """Whatever happens to the books, one thing after the other; a clock that the machine sets says when."""

    vouchers: Bundle[Voucher] = Bundle("vouchers")
    bookings: Bundle[Booking] = Bundle("bookings")
    settlements: Bundle[str] = Bundle("settlements")

    def __init__(self, connection: psycopg.Connection) -> None:
        """Opens books that are closed again at the end."""
        super().__init__()
        self.connection = connection
        self.kept = Bookkeeper()
        self.clock = datetime(2020, 1, 1, tzinfo=UTC)
        connection.execute("begin")

    def teardown(self) -> None:
        self.connection.rollback()

    @initialize()
    def open(self) -> None:
        self.connection.execute("update private.settings set time_zone = 'UTC', events_kept = '100 years'")
        for uid in (*THINKERS, *BENEFICIARIES):
            known(self.connection, uid)
        add_fee(self.connection, "voucher.second", "voucher", active=False)
        self.kept.fees["voucher.booking"] = Fee("voucher", Price(Decimal("0.02")), True, "togethersystems")
        self.kept.fees["voucher.second"] = Fee("voucher", Price(), False, "togethersystems")
        self.kept.fees["transfer.logged"] = Fee("transfer", Price(), False, "togethersystems")
        with unchecked(self.connection):
            self.connection.execute("update public.fee_versions set valid_from = '2019-01-01'")

    def tick(self) -> None:
        """Whatever was written since the last time was written at this moment of the machine's clock."""
        now = sql.Literal(self.clock)
        with unchecked(self.connection):
            self.connection.execute(
                sql.SQL(
                    "update public.voucher_bookings set created_at = {now} where created_at >= now();"
                    "update public.voucher_bookings set cancelled_at = {now} where cancelled_at >= now();"
                    "update public.fee_events set created_at = {now} where created_at >= now();"
                    "update public.fee_versions set valid_from = {now} where valid_from >= now()"
                ).format(now=now)
            )
        self.clock += HOUR

    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        self.clock += timedelta(days=days)

    @rule(
        target=vouchers,
        issuer=st.sampled_from(THINKERS),
        price=st.none() | amounts,
        currency=st.sampled_from(["EUR", "JPY", "KWD"]),
    )
    def issue(self, issuer: str, price: int | None, currency: str) -> Voucher:
        code = None if price is None else currency
        answer = act(
            self.connection,
            thinker(issuer),
            "issue_voucher",
            price_amount=price,
            price_currency=code,
            valid_from=NINE,
            valid_until=NINE + 100 * HOUR,
        )
        return Voucher(answer["id"], issuer, price, code, iter(range(100)))

    @rule(target=bookings, voucher=vouchers, holder=st.sampled_from(THINKERS))
    def book(self, voucher: Voucher, holder: str) -> Booking:
        slot = next(voucher.slots)
        answer = act(
            self.connection,
            thinker(holder),
            "book_voucher",
            voucher_id=voucher.id,
            slot_start=NINE + slot * HOUR,
        )
        booking = Booking(answer["booking"]["id"], voucher, holder, slot)
        self.kept.charge("voucher", booking.id, voucher.price or 0, voucher.currency, self.clock)
        self.tick()
        return booking

    @rule(target=bookings, booking=bookings, holder=st.sampled_from(THINKERS))
    def book_the_same(self, booking: Booking, holder: str) -> Booking | MultipleResults[Booking]:
        """Another one for the same slot, which is free once it was cancelled."""
        voucher = booking.voucher
        taken = booking.slot in self.taken(voucher)
        answer = act_or_reason(
            self.connection,
            thinker(holder),
            "book_voucher",
            voucher_id=voucher.id,
            slot_start=NINE + booking.slot * HOUR,
        )
        if taken:
            assert answer == "slot_taken"
            return multiple()
        again = Booking(answer["booking"]["id"], voucher, holder, booking.slot)
        self.kept.charge("voucher", again.id, voucher.price or 0, voucher.currency, self.clock)
        self.tick()
        return again

    def taken(self, voucher: Voucher) -> set[int]:
        """The slots that are booked."""
        rows = self.connection.execute(
            "select slot_start from public.voucher_bookings where voucher_id = %s and status = 'booked'", (voucher.id,)
        ).fetchall()
        return {(start - NINE) // HOUR for (start,) in rows}

    @rule(booking=bookings, by=st.sampled_from(["holder", "issuer", "server"]))
    def cancel(self, booking: Booking, by: str) -> None:
        actors: dict[str, Actor] = {
            "holder": thinker(booking.holder),
            "issuer": thinker(booking.voucher.issuer),
            "server": SERVER,
        }
        act(self.connection, actors[by], "cancel_booking", booking_id=booking.id)
        self.is_cancelled(booking)

    @rule(voucher=vouchers)
    def cancel_all_past_the_functions(self, voucher: Voucher) -> None:
        cancelled = self.connection.execute(
            "update public.voucher_bookings set status = 'cancelled', cancelled_at = clock_timestamp()"
            " where voucher_id = %s and status = 'booked' returning id",
            (voucher.id,),
        ).fetchall()
        self.connection.execute(
            "update public.vouchers set status = 'issued', holder_id = null where id = %s", (voucher.id,)
        )
        for (booking,) in cancelled:
            self.kept.take_back(booking, self.clock)
        self.tick()

    def is_cancelled(self, booking: Booking) -> None:
        """Notes a cancellation, unless it was one already."""
        if not any(e.takes_back for e in self.kept.entries if e.subject == booking.id):
            self.kept.take_back(booking.id, self.clock)
        self.tick()

    @rule(amount=amounts, negative=st.booleans(), currency=currencies)
    def log_transfer(self, amount: int, negative: bool, currency: str) -> None:
        fiat = -amount if negative else amount
        transfer = one(
            self.connection,
            "insert into public.transfers"
            " (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label)"
            " values (private.new_id('in'), 'in', 1, 'ETH', %s, %s, '') returning id",
            fiat,
            currency.lower(),
        )
        if fiat >= 0:
            self.kept.charge("transfer", transfer, fiat, currency, self.clock)
        self.tick()

    @rule(fee=st.sampled_from(sorted(FEES)), price=prices())
    def change_price(self, fee: str, price: Price) -> None:
        set_fee(self.connection, fee, **price.columns())
        self.kept.fees[fee].price = price
        self.tick()

    @rule(fee=st.sampled_from(sorted(FEES)), active=st.booleans(), beneficiary=st.sampled_from(BENEFICIARIES))
    def change_beneficiary(self, fee: str, active: bool, beneficiary: str) -> None:
        set_fee(self.connection, fee, active=active, beneficiary_id=thinker_id(beneficiary))
        self.kept.fees[fee].active = active
        self.kept.fees[fee].beneficiary = beneficiary
        self.tick()

    @rule(target=settlements, days_ago=st.integers(-1, 45), length=st.integers(1, 400))
    def settle(self, days_ago: int, length: int) -> MultipleResults[str]:
        period_to = self.clock.date() - timedelta(days=days_ago)
        return multiple(*self.is_settled(period_to - timedelta(days=length), period_to))

    @rule(days_ago=st.integers(-1, 45))
    def try_to_settle(self, days_ago: int) -> None:
        """A dry run, after which everything is as it was."""
        period_to = self.clock.date() - timedelta(days=days_ago)
        found = settle(self.connection, "2019-01-01", str(period_to), dry_run=True)
        assert totals(found) == {of: sum(e.amount for e in due) for of, due in self.kept.due(period_to).items()}

    def is_settled(self, period_from: date, period_to: date) -> list[str]:
        """Settles a period, and notes what was due; the new settlements."""
        made = settle(self.connection, str(period_from), str(period_to))
        due = self.kept.due(period_to)
        assert totals(made) == {of: sum(e.amount for e in entries) for of, entries in due.items()}
        for settlement in made:
            self.note(settlement["id"], settlement["beneficiary_uid"], settlement["currency"], period_from, period_to)
        return [settlement["id"] for settlement in made]

    def note(self, settlement: str, beneficiary: str, currency: str, period_from: date, period_to: date) -> None:
        """Links what is due to somebody in a currency."""
        entries = self.kept.due(period_to)[beneficiary, currency]
        for entry in entries:
            entry.settlement = settlement
        total = sum(entry.amount for entry in entries)
        self.kept.settlements[settlement] = Settlement(beneficiary, currency, period_from, period_to, total)

    @rule(target=settlements)
    def catch_up(self) -> MultipleResults[str]:
        """Settles every month, as the clock does."""
        known_before = set(self.kept.settlements)
        number = one(self.connection, "select private.settle_due_months()")
        rows = self.connection.execute(
            "select id::text, private.uid_of(beneficiary_id), currency, period_from, period_to from public.settlements"
            " order by period_from"
        ).fetchall()
        made = [row for row in rows if row[0] not in known_before]
        assert number == len(made)
        months = {midnight(e.at.date().replace(day=1)).date() for e in self.kept.entries if e.settlement is None}
        assert {period_from for *_, period_from, _ in made} == months
        for settlement, beneficiary, currency, period_from, period_to in made:
            assert period_to == (period_from + timedelta(days=31)).replace(day=1)
            self.note(settlement, beneficiary, currency, period_from, period_to)
        return multiple(*(row[0] for row in made))

    @rule(settlement=settlements, status=st.sampled_from(["invoiced", "paid", "voided"]))
    def move(self, settlement: str, status: str) -> None:
        kept = self.kept.settlements[settlement]
        answer = act_or_reason(self.connection, SERVER, FUNCTIONS[status], settlement_id=UUID(settlement))
        if (kept.status, status) not in MOVES:
            assert answer == "settlement_move_refused"
            return
        assert answer["status"] == status
        kept.status = status
        if status == "voided":
            self.kept.void(settlement)

    @invariant()
    def every_rule_holds(self) -> None:
        assert violations(self.connection) == {}

    @invariant()
    def the_books_agree(self) -> None:
        entries = self.connection.execute(
            "select subject_id, fee_id, amount_cents, currency, private.uid_of(beneficiary_id), created_at,"
            " reverses is not null, settlement_id::text from public.fee_events"
        ).fetchall()
        assert Counter(entries) == Counter(
            (e.subject, e.fee, e.amount, e.currency, e.beneficiary, e.at, e.takes_back, e.settlement)
            for e in self.kept.entries
        )
        stored = self.connection.execute(
            "select id::text, private.uid_of(beneficiary_id), currency, period_from, period_to, total_cents, status"
            " from public.settlements"
        ).fetchall()
        assert set(stored) == {
            (name, s.beneficiary, s.currency, s.period_from, s.period_to, s.total, s.status)
            for name, s in self.kept.settlements.items()
        }


def totals(settlements: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """What each beneficiary is owed in each currency."""
    return {(s["beneficiary_uid"], s["currency"]): s["total_cents"] for s in settlements}


def test_in_any_order_the_books_agree_and_no_rule_is_broken(shared_database: str) -> None:
    with psycopg.connect(shared_database) as connection:

        class TheseBooks(Books):
            def __init__(self) -> None:
                super().__init__(connection)

        run_state_machine_as_test(
            TheseBooks,
            settings=settings(
                max_examples=50,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
