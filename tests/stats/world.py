"""A portal with some hundred rows of every kind, also unusual ones, inserted directly; the same in each run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import LiteralString
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from api.actor import thinker_id
from tests.stats.reckoning import DAY, HOUR, MINUTE, Voucher, midnight, slots
from tests.support.acting import one, unchecked

DAYS = 430
"""How many days before today the world begins."""

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "UTC")
MICROSECOND = timedelta(microseconds=1)
NAMESPACE = UUID(int=0)

CURRENCIES = ("EUR", "EUR", "JPY", "KWD", "Ж€", "A-VERY-LONG-CURRENCY-OF-32-SIGNS")
SENT = ("EUR", "eur", "JPY", "j p y", " usd ", "\tKWD", "  ", "€", "junk", "a-very-long-currency-of-32-signs")
NETWORKS = (None, "Polygon", "polygon", "Ethereum Mainnet", "", " ", "x" * 199 + "äöü", "'; drop table")
DURATIONS = (30, 45, 50, 60, 90, 120, 1440)
TERMS: tuple[object, ...] = (
    {"template": "consulting"}, {"template": "consulting"}, {"template": "therapy"}, {"template": "viewing"},
    {"template": "machine", "more": 1}, {"template": "membership"}, {"template": "unknown"}, {"template": None},
    {"template": ["consulting"]}, {}, ["consulting"], "consulting", 5, None,
)  # fmt: skip
LENGTHS = (
    timedelta(0), 20 * MINUTE, HOUR, HOUR - MICROSECOND, 8 * HOUR, 8 * HOUR + 10 * MINUTE, 25 * HOUR, 3 * DAY,
    9 * DAY + 59 * MINUTE, 40 * DAY,
)  # fmt: skip
EVENTS = (
    "presence.heartbeat", "presence.heartbeat", "presence.match", "presence.offline", "presence.verify",
    "voucher.book", "transfer.logged", "presencexheartbeat", "presence.no.heartbeat", "presence.rematch",
    "telemetry.event",
)  # fmt: skip
REPORTS = ("page.view", "js.error", "LoadFAILED", "click", "terror", "fai l")
FEES = ("voucher.booking", "transfer.logged", "mortgage.notary")


def changes(zone: str, now: datetime, days: int = 400) -> list[date]:
    """Returns the days of the last months that do not have 24 hours."""
    info = ZoneInfo(zone)
    today = now.astimezone(info).date()
    past = [today - n * DAY for n in range(1, days)]
    return [day for day in past if midnight(day + DAY, info) - midnight(day, info) != DAY]


def odd_moments(zone: str, now: datetime) -> list[datetime]:
    """Returns moments around midnight, and around both changes of the UTC offset."""
    info = ZoneInfo(zone)
    days = [now.astimezone(info).date() - n * DAY for n in (1, 5, 29, 30, 200)]
    found = []
    for day in (*days, *changes(zone, now)):
        begin, end = midnight(day, info), midnight(day + DAY, info)
        found += [begin - MICROSECOND, begin, begin + MICROSECOND, end - MICROSECOND, end]
        # local time 1:30, 2:30 (twice, if the hour occurs twice) and 3:30
        found += [begin + n * HOUR + 30 * MINUTE for n in range(4)]
    return found


class _Maker:
    """Draws rows."""

    def __init__(self, now: datetime, seed: int) -> None:
        self.now = now
        self.begin = midnight(now.astimezone(BERLIN).date() - DAYS * DAY, BERLIN)
        self.random = Random(seed)
        self.odd = [moment for zone in ZONES for moment in odd_moments(zone, now)]
        self._numbers = iter(range(10**9))

    def id(self) -> UUID:
        return uuid5(NAMESPACE, str(next(self._numbers)))

    def moment(self) -> datetime:
        """Mostly in the past; some in the rest of today, and later."""
        kind = self.random.random()
        if kind < 0.4:
            return self.now - self.random.random() * (self.now - self.begin)
        if kind < 0.65:
            return self.now - self.random.random() * 40 * DAY
        if kind < 0.9:
            return self.random.choice(self.odd)
        if kind < 0.95:
            return self.now + self.random.random() * 12 * HOUR
        return self.now + self.random.random() * 3 * DAY

    def price(self) -> tuple[int, str] | tuple[None, None]:
        if self.random.random() < 0.2:
            return None, None
        amount = self.random.choice((0, 1, 12000, self.random.randrange(2**53)))
        return amount, self.random.choice(CURRENCIES)


def fill(connection: psycopg.Connection, seed: int = 1) -> None:
    """Writes the world; `connection` is in autocommit mode."""
    now: datetime = one(connection, "select now()")
    make = _Maker(now.astimezone(UTC), seed)
    with unchecked(connection):
        connection.execute("insert into public.fees (id, scope) values ('mortgage.notary', 'mortgage')")
        thinkers = _thinkers(connection, make)
        _presence(connection, make, thinkers)
        _vouchers(connection, make, thinkers)
        _mortgages(connection, make, thinkers)
        _transfers(connection, make)
        _fees(connection, make)


def _insert(
    connection: psycopg.Connection, statement: LiteralString, number: int, row: Callable[[int], Sequence[object]]
) -> None:
    connection.cursor().executemany(statement, [row(n) for n in range(number)])


def _thinkers(connection: psycopg.Connection, make: _Maker) -> list[UUID]:
    uids = [f"thinker-{n}" for n in range(40)]
    _insert(
        connection,
        "insert into public.thinkers (id, public_id, created_at) values (%s, %s, %s)",
        len(uids),
        lambda n: (thinker_id(uids[n]), uids[n], make.moment() if n else make.begin),
    )
    return [UUID(str(thinker_id(uid))) for uid in uids]


def _presence(connection: psycopg.Connection, make: _Maker, thinkers: list[UUID]) -> None:
    draw = make.random
    seen = (0, 30, 59, 61, 90, 86400, -5)
    _insert(
        connection,
        "insert into public.presence_sessions (thinker_id, pair_code, status, last_seen_at) values (%s, %s, %s, %s)",
        len(thinkers),
        lambda n: (
            thinkers[n],
            draw.choice((None, "familie", "projekt_alpha", "Familie", f"pair-{n}")),
            draw.choice(("online", "online", "offline")),
            # dated ahead by an hour, so that nobody goes offline between two reads
            make.now - draw.choice(seen) * timedelta(seconds=1) * 60,
        ),
    )
    _insert(
        connection,
        "insert into public.events (type, actor_id, created_at) values (%s, %s, %s)",
        600,
        lambda _: (draw.choice(EVENTS), draw.choice([None, *thinkers[:9]]), make.moment()),
    )
    _insert(
        connection,
        "insert into public.telemetry_events (type, created_at) values (%s, %s)",
        120,
        lambda _: (draw.choice(REPORTS), make.moment()),
    )


def _vouchers(connection: psycopg.Connection, make: _Maker, thinkers: list[UUID]) -> None:
    draw = make.random
    statuses = ("issued", "booked", "booked", "consumed", "cancelled", "expired")
    vouchers = []
    for number in range(90):
        begin = make.moment() + draw.choice((0, 0, 17, 3599)) * timedelta(seconds=1)
        amount, currency = make.price()
        # in turns, so that each duration meets each length
        length = LENGTHS[number % len(LENGTHS)]
        vouchers.append(
            Voucher(
                f"voucher-{number}", draw.choice(TERMS), draw.choice(statuses), amount, currency,
                begin, begin + length, DURATIONS[number // len(LENGTHS) % len(DURATIONS)], make.moment(),
            )
        )  # fmt: skip
    _insert(
        connection,
        "insert into public.vouchers (id, terms, status, price_amount, price_currency, valid_from, valid_until,"
        " duration_minutes, created_at, issuer_id) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        len(vouchers),
        lambda n: (
            vouchers[n].id, Jsonb(vouchers[n].terms), vouchers[n].status, vouchers[n].price_amount,
            vouchers[n].price_currency, vouchers[n].valid_from, vouchers[n].valid_until,
            vouchers[n].duration_minutes, vouchers[n].created_at, thinkers[0],
        ),
    )  # fmt: skip
    # as the trigger does
    connection.execute(
        "insert into private.named_templates (voucher_id, template_id)"
        " select id, terms ->> 'template' from public.vouchers where terms ->> 'template' is not null"
    )
    bookings = [booking for voucher in vouchers for booking in _bookings(make, voucher)]
    _insert(
        connection,
        "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, status,"
        " created_at, cancelled_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        len(bookings),
        lambda n: (f"booking-{n}", bookings[n][0], thinkers[0], thinkers[1], *bookings[n][1:]),
    )
    # without triggers nothing copies the price
    connection.execute(
        "update public.voucher_bookings b set price_amount = v.price_amount, price_currency = v.price_currency"
        " from public.vouchers v where v.id = b.voucher_id"
    )


def _bookings(
    make: _Maker, voucher: Voucher
) -> Iterator[tuple[str, datetime, datetime, str, datetime, datetime | None]]:
    """Inserts some of a voucher's slots, one after the other; some of them are cancelled."""
    free = voucher.valid_from
    for start, end in slots(voucher):
        if make.random.random() < 0.97 - 3 / (3 + len(LENGTHS)) and voucher.valid_until - voucher.valid_from > DAY:
            continue
        created = make.moment()
        if make.random.random() < 0.3:
            yield voucher.id, start, end, "cancelled", created, max(created, make.moment())
        elif start >= free:
            free = end
            yield voucher.id, start, end, "booked", created, None
    if voucher.valid_until - voucher.valid_from < HOUR:
        # imported: an appointment outside of the offered slots, over midnight
        # the night after, so that it meets no slot of a voucher of late in the evening
        end = midnight((voucher.valid_until + 2 * DAY).astimezone(BERLIN).date(), BERLIN) + 21 * MINUTE
        yield voucher.id, end - HOUR, end, "booked", make.moment(), None


def _mortgages(connection: psycopg.Connection, make: _Maker, thinkers: list[UUID]) -> None:
    draw = make.random
    _insert(
        connection,
        "insert into public.mortgage_applications (id, borrower_id, status, desired_loan, currency, created_at)"
        " values (%s, %s, %s, %s, %s, %s)",
        80,
        lambda n: (
            f"app-{n}", thinkers[2], draw.choice(("open", "offered", "accepted")), *make.price(), make.moment(),
        ),
    )  # fmt: skip
    statuses = ["accepted" if n < 40 else draw.choice(("open", "withdrawn")) for n in range(120)]
    _insert(
        connection,
        "insert into public.mortgage_offers (id, application_id, lender_id, interest_rate, status, created_at,"
        " room_refs) values (%s, %s, %s, %s, %s, %s, '{}')",
        len(statuses),
        lambda n: (
            f"offer-{n}", f"app-{n % 80}", thinkers[3],
            draw.choice((None, Decimal(0), Decimal(draw.randrange(1000)) / 10000, Decimal("99.9999"))),
            statuses[n], make.moment(),
        ),
    )  # fmt: skip
    _insert(
        connection,
        "insert into public.mortgage_contracts (id, offer_id, created_at) values (%s, %s, %s)",
        40,
        lambda n: (f"contract-{n}", f"offer-{n}", make.moment()),
    )


def _transfers(connection: psycopg.Connection, make: _Maker) -> None:
    draw = make.random
    amounts = (0, 1, -1, 2**53 - 1, 1 - 2**53)
    # no more combinations than an answer lists: every unusual network, and every unusual currency
    combinations = (
        *((network, sent) for network in NETWORKS[:3] for sent in SENT[:4]),
        *((network, draw.choice(SENT[:2])) for network in NETWORKS),
        *((None, sent) for sent in SENT),
    )

    def transfer(number: int) -> Sequence[object]:
        created = make.moment()
        return (
            f"tx-{number}", draw.choice(("in", "out")), combinations[number % len(combinations)][0],
            draw.choice((*amounts, draw.randrange(10**6), -draw.randrange(10**6))),
            combinations[number % len(combinations)][1], created, created,
        )  # fmt: skip

    _insert(
        connection,
        "insert into public.transfers (id, direction, network, fiat_amount, fiat_currency, created_at, updated_at,"
        " crypto_amount, crypto_symbol, label) values (%s, %s, %s, %s, %s, %s, %s, 1, 'ETH', '')",
        400,
        transfer,
    )


def _fees(connection: psycopg.Connection, make: _Maker) -> None:
    draw = make.random
    beneficiaries = [UUID(str(thinker_id(uid))) for uid in ("togethersystems", "thinker-4", "thinker-5")]
    statuses = ("open", "invoiced", "paid", "voided", "written_off", "invoiced")
    settlements = [
        (make.id(), of, currency, status) for of in beneficiaries for currency in ("EUR", "JPY") for status in statuses
    ]
    # a beneficiary whose balance is zero
    settlements.append((make.id(), UUID(str(thinker_id("thinker-6"))), "VOID", "voided"))

    def settlement(number: int) -> Sequence[object]:
        id_, of, currency, status = settlements[number]
        total = draw.randrange(1, 2**62) * (-1 if status in ("open", "voided") and draw.random() < 0.5 else 1)
        steps = {
            "invoiced": status in ("invoiced", "paid", "written_off"),
            "paid": status == "paid", "voided": status == "voided", "written_off": status == "written_off",
        }  # fmt: skip
        moments = [make.now if steps[step] else None for step in steps]
        operators = ["operator" if steps[step] else None for step in steps]
        due = make.now.date() + draw.choice((-2, -1, 0, 1, 2)) * DAY if steps["invoiced"] else None
        invoice = f"2026-{number:04}" if steps["invoiced"] else None
        reason = "bankrupt" if steps["written_off"] else None
        return id_, of, currency, status, *moments, *operators, invoice, due, reason, total, make.moment()

    _insert(
        connection,
        "insert into public.settlements (id, beneficiary_id, currency, status, invoiced_at, paid_at, voided_at,"
        " written_off_at, invoiced_by, paid_by, voided_by, written_off_by, number, due_on, write_off_reason,"
        " period_from, period_to, total_cents, created_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, '2025-01-01', '2025-02-01', %s, %s)",
        len(settlements),
        settlement,
    )
    payers = [None, *(UUID(str(thinker_id(f"thinker-{n}"))) for n in (7, 8))]
    invoiced = [s for s in settlements if s[3] in ("invoiced", "paid", "written_off")]
    _insert(
        connection,
        "insert into public.settlement_payments (settlement_id, payer_id, amount_cents, paid_on)"
        " values (%s, %s, %s, %s)",
        30,
        lambda _: (draw.choice(invoiced)[0], draw.choice(payers), draw.randrange(1, 2**54), make.moment().date()),
    )
    charges: list[tuple[UUID, UUID, str, int]] = []

    def charge(number: int) -> Sequence[object]:
        settled = draw.choice([None, *(s for s in settlements if s[3] != "voided")])
        of, currency = settled[1:3] if settled else (draw.choice(beneficiaries), draw.choice(CURRENCIES))
        amount = draw.choice((0, 1, 240, draw.randrange(2**53)))
        charges.append((make.id(), of, currency, amount))
        return (
            charges[-1][0], draw.choice(FEES), f"subject-{number}", amount, currency, make.moment(), of, amount,
            amount, settled and settled[0], draw.choice(payers),
        )  # fmt: skip

    _insert(
        connection,
        "insert into public.fee_events (id, fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
        " beneficiary_id, base_cents, rate, fixed_cents, unrounded, settlement_id,"
        " payer_id) values (%s, %s, 'transfer', %s, %s, %s, %s, %s, 0, 0, %s, %s, %s, %s)",
        200,
        charge,
    )

    def reversal(number: int) -> Sequence[object]:
        charged, of, currency, amount = charges[number]
        return make.id(), FEES[0], f"subject-{number}", -amount, currency, make.moment(), of, charged

    _insert(
        connection,
        "insert into public.fee_events (id, fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
        " beneficiary_id, reverses) values (%s, %s, 'transfer', %s, %s, %s, %s, %s, %s)",
        60,
        reversal,
    )

    def adjustment(number: int) -> Sequence[object]:
        charged, of, currency, _ = charges[100 + number]
        amount = draw.choice((-1, 1)) * draw.randrange(1, 1000)
        return FEES[0], f"subject-{100 + number}", amount, currency, make.moment(), of, draw.choice(payers), charged

    _insert(
        connection,
        "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
        " beneficiary_id, payer_id, adjusts, reason, operator)"
        " values (%s, 'transfer', %s, %s, %s, %s, %s, %s, %s, 'goodwill', 'operator')",
        40,
        adjustment,
    )


@contextmanager
def in_zone(connection: psycopg.Connection, zone: str) -> Iterator[None]:
    """Puts the portal into another time zone within the transaction; rolled back at the end."""
    with connection.transaction(force_rollback=True):
        connection.execute("update private.settings set time_zone = %s", (zone,))
        yield
