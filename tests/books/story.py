"""A month of two beneficiaries, told day by day, and what it must come to: in decimals, from the story alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, LiteralString

import psycopg

from tests.fees.scene import HOUR, NINE, add_fee, set_fee, thinker_named
from tests.support.acting import act, one, thinker, unchecked
from tests.support.days import portal_today

DECIMALS = {"EUR": 2, "CHF": 2, "JPY": 0, "KWD": 3}

# the vouchers: their issuer, price and currency
VOUCHERS = {
    "massage": ("anna", "120.00", "EUR"),
    "legal": ("ben", "80.25", "EUR"),
    "piano": ("ben", "99.95", "CHF"),
    "violin": ("ben", "99.95", "CHF"),
    "garden": ("anna", "15000", "JPY"),
    "dive": ("ben", "12.345", "KWD"),
}

# the issuer owes the portal 2 percent, from the 16th on 2.5; the holder, who is always dora, owes a partner 0.5 percent
PORTAL, PARTNER = "togethersystems", "partner"
RATES = {PORTAL: "0.0200", PARTNER: "0.0050"}
FEES = {PORTAL: "voucher.booking", PARTNER: "voucher.partner"}

ADMIN = thinker("ada", "admin")

# the days of the month, in order: what happens, and to which booking
MONTH: list[tuple[int, str, int, str]] = [
    (1, "book", 1, "massage"),
    (2, "book", 2, "legal"),
    (3, "book", 3, "piano"),
    (4, "book", 4, "garden"),
    (5, "book", 5, "dive"),
    (6, "book", 6, "massage"),
    (7, "cancel late", 6, ""),
    (8, "book", 7, "violin"),
    (9, "cancel", 7, ""),
    (10, "price", 0, "violin 120.00"),
    (10, "book", 8, "violin"),
    (11, "book", 9, "legal"),
    (12, "book", 10, "dive"),
    (13, "book", 11, "garden"),
    (15, "book", 12, "massage"),
    (16, "rate", 0, "0.0250"),
    (16, "book", 13, "massage"),
    (17, "book", 14, "legal"),
    (18, "book", 15, "piano"),
    (19, "book", 16, "garden"),
    (20, "book", 17, "dive"),
    (22, "book", 18, "piano"),
    (23, "cancel", 18, ""),
    (24, "credit", 10, "0.100"),
    (25, "waive", 11, ""),
    (28, "book", 19, "massage"),
]

# the day on which the books are closed; the month's invoices are out when booking 12 is cancelled
AFTERWARDS: list[tuple[str, int, str]] = [("cancel", 12, ""), ("book", 20, "massage")]


@dataclass(frozen=True)
class Entry:
    """A charge, a reversal or an adjustment."""

    on: date
    kind: str
    booking: int
    beneficiary: str
    payer: str
    currency: str
    base: Decimal | None
    rate: Decimal | None
    amount: Decimal
    in_month: bool = True


@dataclass
class Booking:
    """A booking; `status` is what became of it."""

    number: int
    on: date
    price: Decimal
    currency: str
    issuer: str
    id: str = ""
    cancelled: bool = False


@dataclass
class Story:
    """What the accountant knows: bookings, entries and the identities that the database gave."""

    first: date
    today: date
    bookings: dict[int, Booking] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    prices: dict[str, Decimal] = field(default_factory=lambda: {v: Decimal(p) for v, (_, p, _) in VOUCHERS.items()})
    rates: dict[str, Decimal] = field(default_factory=lambda: {b: Decimal(rate) for b, rate in RATES.items()})
    settlements: dict[tuple[str, str], str] = field(default_factory=dict)
    voided: str = ""

    @property
    def due(self) -> dict[tuple[str, str], date]:
        """The last day on which each invoice is paid in time; one of them is over."""
        days = {
            (beneficiary, currency): self.today + timedelta(days=30)
            for beneficiary in (PORTAL, PARTNER)
            for currency in DECIMALS
        }
        del days[PARTNER, "KWD"]  # not invoiced
        return days | {(PORTAL, "KWD"): self.today - timedelta(days=1)}

    @property
    def last(self) -> date:
        """The last day of the month."""
        return (self.first + timedelta(days=31)).replace(day=1) - timedelta(days=1)

    def book(self, on: date, number: int, voucher: str, *, in_month: bool = True) -> None:
        """Charges both fees: a rate of the price, rounded half up to the currency's unit."""
        issuer, _, currency = VOUCHERS[voucher]
        booking = Booking(number, on, self.prices[voucher], currency, issuer)
        self.bookings[number] = booking
        for beneficiary, payer in ((PORTAL, issuer), (PARTNER, "dora")):
            rate = self.rates[beneficiary]
            amount = (booking.price * rate).quantize(unit(currency), ROUND_HALF_UP)
            self.entries.append(
                Entry(on, "charge", number, beneficiary, payer, currency, booking.price, rate, amount, in_month)
            )

    def correct(self, on: date, kind: str, number: int, beneficiary: str, amount: Decimal, in_month: bool) -> None:
        """Adds a reversal or an adjustment of the charge for a booking."""
        [c] = [e for e in self.of(beneficiary) if (e.booking, e.kind) == (number, "charge")]
        self.entries.append(Entry(on, kind, number, beneficiary, c.payer, c.currency, None, None, amount, in_month))

    def cancel(self, on: date, number: int, *, in_month: bool = True) -> None:
        """Takes back what is left of both charges."""
        self.bookings[number].cancelled = True
        for beneficiary in (PORTAL, PARTNER):
            left = total(e for e in self.of(beneficiary) if e.booking == number)
            self.correct(on, "reversal", number, beneficiary, -left, in_month)

    def of(
        self, beneficiary: str, currency: str | None = None, payer: str | None = None, *, in_month: bool | None = None
    ) -> list[Entry]:
        """Returns the entries of a beneficiary."""
        return [
            e
            for e in self.entries
            if e.beneficiary == beneficiary
            and currency in (None, e.currency)
            and payer in (None, e.payer)
            and in_month in (None, e.in_month)
        ]


def unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-DECIMALS[currency])


def money(cents: int, currency: str) -> Decimal:
    """Returns minor units of a currency as a decimal."""
    return Decimal(cents).scaleb(-DECIMALS[currency])


def total(entries: Iterable[Entry]) -> Decimal:
    return sum((e.amount for e in entries), Decimal(0))


class Telling:
    """Tells the story to the database, and to the accountant."""

    def __init__(self, connection: psycopg.Connection) -> None:
        """Prepares the vouchers and the fees; the month is the last one."""
        self.connection = connection
        today = portal_today(connection)
        self.story = Story((today.replace(day=1) - timedelta(days=1)).replace(day=1), today)
        for uid in ("ada", "anna", "ben", "dora", PARTNER):
            thinker_named(connection, uid)
        add_fee(
            connection, FEES[PARTNER], "voucher",
            percentage=RATES[PARTNER], payer="holder", beneficiary_id=thinker_named(connection, PARTNER),
        )  # fmt: skip
        with unchecked(connection):
            connection.execute("update public.fee_versions set valid_from = '2020-01-01'")
        for voucher, (issuer, price, currency) in VOUCHERS.items():
            act(
                connection, thinker(issuer), "issue_voucher",
                voucher_id=voucher, price_amount=cents(price, currency), price_currency=currency,
                valid_from=NINE, valid_until=NINE + 8 * HOUR,
            )  # fmt: skip
        self.began: datetime = one(connection, "select now()")

    def tell(self) -> Story:
        """Tells everything, and returns what the accountant knows."""
        for day, happens, number, what in MONTH:
            self.step(self.story.first.replace(day=day), happens, number, what, in_month=True)
            self.date(self.story.first.replace(day=day))
        self.close()
        for happens, number, what in AFTERWARDS:
            self.step(self.story.today, happens, number, what, in_month=False)
        return self.story

    def step(self, on: date, happens: str, number: int, what: str, *, in_month: bool) -> None:
        """Does one thing."""
        story = self.story
        match happens:
            case "book":
                story.book(on, number, what, in_month=in_month)
                answer = act(
                    self.connection, thinker("dora"), "book_voucher",
                    voucher_id=what, slot_start=NINE + (self.slot(what)) * HOUR,
                )  # fmt: skip
                story.bookings[number].id = answer["booking"]["id"]
            case "cancel":
                self.cancel(number)
                story.cancel(on, number, in_month=in_month)
            case "cancel late":
                # the slot has begun: the fees stay
                with unchecked(self.connection):
                    self.connection.execute(
                        "update public.voucher_bookings set slot_start = %s, slot_end = %s where id = %s",
                        (*(datetime(on.year, on.month, on.day, hour, tzinfo=UTC) for hour in (8, 9)), self.id(number)),
                    )
                self.cancel(number)
                story.bookings[number].cancelled = True
            case "price":
                voucher, price = what.split()
                story.prices[voucher] = Decimal(price)
                self.connection.execute(
                    "update public.vouchers set price_amount = %s where id = %s",
                    (cents(price, VOUCHERS[voucher][2]), voucher),
                )
            case "rate":
                story.rates[PORTAL] = Decimal(what)
                set_fee(self.connection, FEES[PORTAL], percentage=what)
            case "credit":
                story.correct(on, "adjustment", number, PORTAL, -Decimal(what), in_month)
                self.adjust(number, -cents(what, story.bookings[number].currency), "a late start")
            case "waive":
                left = total(e for e in story.of(PORTAL) if e.booking == number)
                story.correct(on, "adjustment", number, PORTAL, -left, in_month)
                self.adjust(number, None, "the first garden is free")

    def id(self, number: int) -> str:
        return self.story.bookings[number].id

    def slot(self, voucher: str) -> int:
        """Returns the number of bookings that the voucher had so far: each takes a slot of its own."""
        taken: int = one(self.connection, "select count(*) from public.voucher_bookings where voucher_id = %s", voucher)
        return taken

    def cancel(self, number: int) -> None:
        act(self.connection, thinker("dora"), "cancel_booking", booking_id=self.id(number))

    def adjust(self, number: int, amount: int | None, reason: str) -> None:
        """Adjusts the portal's charge for a booking."""
        charge = one(
            self.connection,
            "select id from public.fee_events where subject_id = %s and fee_id = %s and base_cents is not null",
            *(self.id(number), FEES[PORTAL]),
        )
        act(self.connection, ADMIN, "adjust_fee", fee_event_id=charge, amount_cents=amount, reason=reason)

    def date(self, day: date) -> None:
        """Dates what was written since the story began to noon of a day."""
        statement: LiteralString = "; ".join(
            f"update public.{table} set {column} = %(day)s where {column} >= %(began)s"
            for table, column in (
                ("voucher_bookings", "created_at"),
                ("voucher_bookings", "cancelled_at"),
                ("fee_events", "created_at"),
                ("fee_versions", "valid_from"),
            )
        )
        noon = one(
            self.connection, "select (%s::date + time '12:00') at time zone time_zone from private.settings", day
        )
        with unchecked(self.connection), psycopg.ClientCursor(self.connection) as cursor:
            cursor.execute(statement, {"day": noon, "began": self.began})

    def close(self) -> None:
        """Settles and invoices the month: one invoice is replaced, one is written off, one is never sent."""
        self.settle()
        for currency in ("CHF", "EUR", "JPY", "KWD"):
            self.move("invoice_settlement", PORTAL, currency)
        self.story.voided = self.story.settlements[PORTAL, "CHF"]
        self.move("void_settlement", PORTAL, "CHF", reason="the wrong address")
        self.settle()
        self.move("invoice_settlement", PORTAL, "CHF")
        for currency in ("EUR", "JPY", "CHF"):
            self.move("invoice_settlement", PARTNER, currency)
        # anna pays in two parts, and ben nothing of the same invoice
        self.move("pay_settlement", PORTAL, "EUR", amount_cents=500, reference="first part", payer_uid="anna")
        self.move("pay_settlement", PORTAL, "EUR", reference="second part", payer_uid="anna")
        self.move("pay_settlement", PORTAL, "CHF", paid_on=self.story.today, payer_uid="ben")
        self.move("pay_settlement", PARTNER, "CHF")
        self.move("write_off_settlement", PARTNER, "JPY", reason="not worth a letter")
        # one should have been paid yesterday
        with unchecked(self.connection):
            self.connection.execute(
                "update public.settlements set due_on = %s where id = %s",
                (self.story.due[PORTAL, "KWD"], self.story.settlements[PORTAL, "KWD"]),
            )

    def settle(self) -> None:
        made = act(
            self.connection, ADMIN, "settle_fees",
            period_from=self.story.first, period_to=self.story.last + timedelta(days=1),
        )  # fmt: skip
        self.story.settlements |= {(s["beneficiary_uid"], s["currency"]): s["id"] for s in made}

    def move(self, function: str, beneficiary: str, currency: str, **arguments: Any) -> None:
        settlement = self.story.settlements[beneficiary, currency]
        act(self.connection, ADMIN, function, settlement_id=settlement, **arguments)


def cents(amount: str, currency: str) -> int:
    """Returns a decimal in minor units of its currency."""
    return int(Decimal(amount).scaleb(DECIMALS[currency]))


def tell(connection: psycopg.Connection) -> Story:
    """Tells the story in one transaction, so that all of it is on one day where midnight comes meanwhile."""
    with connection.transaction():
        return Telling(connection).tell()
