"""Every figure, computed in Python from plain rows: written from the comments of the views, not from their SQL.

A row belongs to the day that a clock on the wall shows; where a day begins matters only where appointments are cut.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import LiteralString, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import class_row

from tests.support.acting import one

Row = dict[str, object]
T = TypeVar("T")

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
TEN_YEARS = 3653
DECIMALS = {"JPY": 0, "KWD": 3}


@dataclass(frozen=True)
class Thinker:
    id: UUID
    public_id: str
    created_at: datetime


@dataclass(frozen=True)
class Session:
    pair_code: str | None
    status: str
    last_seen_at: datetime


@dataclass(frozen=True)
class Event:
    type: str
    actor_id: UUID | None
    created_at: datetime


@dataclass(frozen=True)
class Report:
    type: str
    created_at: datetime


@dataclass(frozen=True)
class Template:
    id: str
    title: str


@dataclass(frozen=True)
class Voucher:
    id: str
    terms: object
    status: str
    price_amount: int | None
    price_currency: str | None
    valid_from: datetime
    valid_until: datetime
    duration_minutes: int
    created_at: datetime


@dataclass(frozen=True)
class Booking:
    voucher_id: str
    status: str
    slot_start: datetime
    slot_end: datetime
    created_at: datetime
    cancelled_at: datetime | None


@dataclass(frozen=True)
class Application:
    status: str
    desired_loan: int | None
    currency: str | None
    created_at: datetime


@dataclass(frozen=True)
class Offer:
    id: str
    status: str
    interest_rate: Decimal | None
    created_at: datetime


@dataclass(frozen=True)
class MortgageContract:
    offer_id: str
    created_at: datetime


@dataclass(frozen=True)
class Transfer:
    direction: str
    network: str | None
    fiat_amount: int
    fiat_currency: str
    created_at: datetime


@dataclass(frozen=True)
class FeeEvent:
    fee_id: str
    beneficiary_id: UUID
    currency: str
    amount_cents: int
    reverses: UUID | None
    settlement_id: UUID | None
    created_at: datetime
    adjusts: UUID | None
    payer_id: UUID | None


@dataclass(frozen=True)
class Settlement:
    id: UUID
    beneficiary_id: UUID
    period_from: date
    period_to: date
    total_cents: int
    currency: str
    status: str
    created_at: datetime
    number: str | None
    invoiced_at: datetime | None
    due_on: date | None


@dataclass(frozen=True)
class Payment:
    settlement_id: UUID
    payer_id: UUID | None
    amount_cents: int
    paid_on: date


@dataclass(frozen=True)
class Job:
    name: str
    does: str
    schedule: str
    late_after: timedelta
    added_at: datetime


@dataclass(frozen=True)
class JobRun:
    job: str
    started_at: datetime
    done: int | None
    error: str | None


@dataclass(frozen=True)
class JobServer:
    seen_at: datetime


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Returns the first moment of a day: the first of two midnights, or the end of the gap if midnight is skipped."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def decimals(currency: str) -> int:
    return DECIMALS.get(currency, 2)


def code(currency: str) -> str:
    """Returns the currency code as fees count it."""
    return "".join(currency.split()).upper()[:32] or "XXX"


def minutes(length: timedelta) -> Decimal:
    """Rounds to two decimals, half away from zero."""
    return _rounded(Decimal(length // timedelta(microseconds=1)) / 60_000_000, 2)


def fraction(part: Decimal | int, whole: Decimal | int, places: int) -> Decimal | None:
    """Returns None if the whole is zero or missing."""
    with localcontext(prec=100):
        return _rounded(Decimal(part) / whole, places) if whole else None


def _rounded(number: Decimal, places: int) -> Decimal:
    with localcontext(prec=100):
        return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def slots(voucher: Voucher) -> Iterator[tuple[datetime, datetime]]:
    """Returns the hourly slots from the beginning, as long as a whole appointment fits."""
    start, length = voucher.valid_from, voucher.duration_minutes * MINUTE
    while start + length <= voucher.valid_until:
        yield start, start + length
        start += HOUR


def united(intervals: Iterable[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Returns the union of intervals that are sorted by their beginnings."""
    begin = end = None
    for start, stop in intervals:
        if begin is None or end is None:
            begin, end = start, stop
        elif start > end:
            yield begin, end
            begin, end = start, stop
        else:
            end = max(end, stop)
    if begin and end:
        yield begin, end


class Books:
    """All rows of a transaction, and the figures computed from them; days are in the portal's time zone."""

    def __init__(self, connection: psycopg.Connection) -> None:
        def rows(shape: type[T], table: LiteralString, columns: LiteralString) -> list[T]:
            with connection.cursor(row_factory=class_row(shape)) as cursor:
                return cursor.execute(f"select {columns} from {table}").fetchall()

        connection.execute("set local timezone = 'UTC'")
        self.time_zone: str = one(connection, "select time_zone from private.settings")
        self.zone = ZoneInfo(self.time_zone)
        self.now: datetime = one(connection, "select now()")
        self.thinkers = rows(Thinker, "public.thinkers", "id, public_id, created_at")
        self.sessions = rows(Session, "public.presence_sessions", "pair_code, status, last_seen_at")
        self.events = rows(Event, "public.events", "type, actor_id, created_at")
        self.reports = rows(Report, "public.telemetry_events", "type, created_at")
        self.templates = {t.id: t.title for t in rows(Template, "public.voucher_templates", "id, title")}
        self.vouchers = rows(
            Voucher,
            "public.vouchers",
            "id, terms, status, price_amount, price_currency, valid_from, valid_until, duration_minutes, created_at",
        )
        self.bookings = rows(
            Booking,
            "public.voucher_bookings where holder_id <> issuer_id",
            "voucher_id, status, slot_start, slot_end, created_at, cancelled_at",
        )
        self.applications = rows(
            Application, "public.mortgage_applications", "status, desired_loan, currency, created_at"
        )
        self.offers = rows(Offer, "public.mortgage_offers", "id, status, interest_rate, created_at")
        self.contracts = rows(MortgageContract, "public.mortgage_contracts", "offer_id, created_at")
        self.transfers = rows(
            Transfer,
            "public.transfers",
            "direction, left(network, 200) as network, fiat_amount, fiat_currency, created_at",
        )
        self.fee_events = rows(
            FeeEvent,
            "public.fee_events",
            "fee_id, beneficiary_id, currency, amount_cents, reverses, settlement_id, created_at, adjusts, payer_id",
        )
        self.settlements = rows(
            Settlement,
            "public.settlements",
            "id, beneficiary_id, period_from, period_to, total_cents, currency, status, created_at, number,"
            " invoiced_at, due_on",
        )
        self.payments = rows(Payment, "public.settlement_payments", "settlement_id, payer_id, amount_cents, paid_on")
        self.jobs = rows(Job, "private.jobs", "name, description as does, schedule, late_after, added_at")
        self.job_runs = rows(JobRun, "private.job_runs", "job, started_at, done, error")
        self.job_servers = rows(JobServer, "private.job_servers", "seen_at")

        self.uids = {thinker.id: thinker.public_id for thinker in self.thinkers}
        self.voucher = {voucher.id: voucher for voucher in self.vouchers}
        self.today = self.day(self.now)
        counted: tuple[Iterable[Event | Report | Voucher | Booking | Application | Offer], ...] = (
            self.events, self.reports, self.vouchers, self.bookings, self.applications, self.offers,
        )  # fmt: skip
        more: tuple[Iterable[Thinker | MortgageContract | Transfer | FeeEvent], ...] = (
            self.thinkers, self.contracts, self.transfers, self.fee_events,
        )  # fmt: skip
        moments = [row.created_at for table in (*counted, *more) for row in table]
        first = max(min(map(self.day, moments), default=self.today), self.today - TEN_YEARS * DAY)
        self.days = [first + n * DAY for n in range((self.today - first).days + 1)]
        self._days = frozenset(self.days)

    def day(self, moment: datetime) -> date:
        """Returns the calendar day in the portal's time zone."""
        return moment.astimezone(self.zone).date()

    def on_days(self, items: Iterable[T], moment: Callable[[T], datetime | None]) -> dict[date, list[T]]:
        """Groups items by day."""
        found: dict[date, list[T]] = defaultdict(list)
        for item in items:
            at = moment(item)
            if at is not None and (day := self.day(at)) in self._days:
                found[day].append(item)
        return found

    def minutes_of_days(self, start: datetime, end: datetime) -> Iterator[tuple[date, timedelta]]:
        """Returns how much of an interval lies on each day."""
        while start < end:
            day = self.day(start)
            until = min(end, midnight(day + DAY, self.zone))
            if day in self._days:
                yield day, until - start
            start = until

    def template(self, voucher: Voucher) -> str | None:
        """Returns the template that the terms name, if it is known."""
        named = voucher.terms.get("template") if isinstance(voucher.terms, dict) else None
        return named if isinstance(named, str) and named in self.templates else None

    def presence_by_day(self) -> list[Row]:
        events = self.on_days((e for e in self.events if e.type.startswith("presence.")), lambda e: e.created_at)
        thinkers = self.on_days(self.thinkers, lambda t: t.created_at)
        return [
            {
                "day": day,
                # a thinker that falls silent may have been online the day before
                "thinkers": len({e.actor_id for e in events[day] if e.type != "presence.offline"} - {None}),
                "heartbeats": sum(e.type == "presence.heartbeat" for e in events[day]),
                "matches": sum(e.type == "presence.match" for e in events[day]),
                "new_thinkers": len(thinkers[day]),
            }
            for day in self.days
        ]

    def is_online(self, session: Session) -> bool:
        return session.status == "online" and session.last_seen_at > self.now - MINUTE

    def presence_now(self) -> list[Row]:
        return [{"online": sum(map(self.is_online, self.sessions))}]

    def pair_codes(self) -> list[Row]:
        used = Counter(s.pair_code for s in self.sessions if s.pair_code is not None)
        online = Counter(s.pair_code for s in self.sessions if self.is_online(s))
        return [{"pair_code": code, "sessions": n, "online": online[code]} for code, n in used.items()]

    def bookings_by_day(self) -> list[Row]:
        issued = self.on_days(self.vouchers, lambda v: v.created_at)
        bookings = self.on_days(self.bookings, lambda b: b.created_at)
        cancelled = self.on_days(self.bookings, lambda b: b.cancelled_at)
        return [
            {
                "day": day,
                "issued": len(issued[day]),
                "bookings": len(bookings[day]),
                "cancellations": len(cancelled[day]),
            }
            for day in self.days
        ]

    def vouchers_by_status(self) -> list[Row]:
        return [{"status": s, "vouchers": n} for s, n in Counter(v.status for v in self.vouchers).items()]

    def revenue_by_day(self) -> list[Row]:
        found: dict[tuple[date, str], list[tuple[bool, int]]] = defaultdict(list)
        for day, bookings in self.on_days(self.bookings, lambda b: b.created_at).items():
            for booking in bookings:
                voucher = self.voucher[booking.voucher_id]
                if voucher.price_amount is not None and voucher.price_currency is not None:
                    found[day, voucher.price_currency].append((booking.status == "booked", voucher.price_amount))
        return [
            {
                "day": day,
                "currency": currency,
                "decimals": decimals(currency),
                "bookings": sum(standing for standing, _ in prices),
                "amount_cents": sum(price for standing, price in prices if standing),
                "booked": len(prices),
                "booked_cents": sum(price for _, price in prices),
            }
            for (day, currency), prices in found.items()
        ]

    def utilisation_by_day(self) -> list[Row]:
        offered: dict[tuple[date, str | None], timedelta] = defaultdict(timedelta)
        booked: dict[tuple[date, str | None], timedelta] = defaultdict(timedelta)
        for voucher in self.vouchers:
            if voucher.status != "cancelled":
                for start, end in united(slots(voucher)):
                    for day, length in self.minutes_of_days(start, end):
                        offered[day, self.template(voucher)] += length
        for booking in self.bookings:
            voucher = self.voucher[booking.voucher_id]
            if booking.status == "booked" and voucher.status != "cancelled":
                for day, length in self.minutes_of_days(booking.slot_start, booking.slot_end):
                    booked[day, self.template(voucher)] += length
        return [
            {
                "day": day,
                "template_id": template,
                "title": template and self.templates[template],
                "offered_minutes": minutes(offered[day, template]),
                "booked_minutes": minutes(booked[day, template]),
            }
            for day, template in offered.keys() | booked.keys()
        ]

    def applications_by_status(self) -> list[Row]:
        return [{"status": s, "applications": n} for s, n in Counter(a.status for a in self.applications).items()]

    def mortgages_by_day(self) -> list[Row]:
        applications = self.on_days(self.applications, lambda a: a.created_at)
        offers = self.on_days(self.offers, lambda o: o.created_at)
        # an offer is accepted when its contract is made
        accepted = self.on_days(self.contracts, lambda c: c.created_at)
        return [
            {
                "day": day,
                "applications": len(applications[day]),
                "offers": len(offers[day]),
                "accepted": len(accepted[day]),
            }
            for day in self.days
        ]

    def offers_by_day(self) -> list[Row]:
        found: dict[tuple[date, str], list[Offer]] = defaultdict(list)
        for day, offers in self.on_days(self.offers, lambda o: o.created_at).items():
            for offer in offers:
                found[day, offer.status].append(offer)
        shown: list[Row] = []
        for (day, status), offers in found.items():
            rates = [o.interest_rate for o in offers if o.interest_rate is not None]
            shown.append(
                {
                    "day": day,
                    "status": status,
                    "offers": len(offers),
                    "rates": len(rates),
                    "rates_total": sum(rates) if rates else None,
                    "lowest_rate": min(rates, default=None),
                    "highest_rate": max(rates, default=None),
                }
            )
        return shown

    def requested_by_day(self) -> list[Row]:
        sums: dict[tuple[date, str], list[int]] = defaultdict(list)
        for day, applications in self.on_days(self.applications, lambda a: a.created_at).items():
            for application in applications:
                if application.desired_loan is not None and application.currency is not None:
                    sums[day, application.currency].append(application.desired_loan)
        return [
            {
                "day": day,
                "currency": currency,
                "decimals": decimals(currency),
                "applications": len(loans),
                "amount_cents": sum(loans),
            }
            for (day, currency), loans in sums.items()
        ]

    def transfers_by_day(self) -> list[Row]:
        found: dict[tuple[date, str | None, str], list[Transfer]] = defaultdict(list)
        for day, transfers in self.on_days(self.transfers, lambda t: t.created_at).items():
            for transfer in transfers:
                found[day, transfer.network, code(transfer.fiat_currency)].append(transfer)
        return [
            {"day": day, "network": network, "currency": currency, "decimals": decimals(currency), **_flow(transfers)}
            for (day, network, currency), transfers in found.items()
        ]

    def fees_by_day(self) -> list[Row]:
        found: dict[tuple[date, str, str, str], list[FeeEvent]] = defaultdict(list)
        for day, fee_events in self.on_days(self.fee_events, lambda f: f.created_at).items():
            for event in fee_events:
                found[day, event.fee_id, self.uids[event.beneficiary_id], event.currency].append(event)
        return [
            {
                "day": day,
                "fee_id": fee,
                "beneficiary_uid": uid,
                "currency": currency,
                "decimals": decimals(currency),
                **_charged(fee_events),
            }
            for (day, fee, uid, currency), fee_events in found.items()
        ]

    def owed(self) -> list[Row]:
        due: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for event in self.fee_events:
            if event.settlement_id is None:
                due[self.uids[event.beneficiary_id], event.currency]["unsettled"] += event.amount_cents
        for settlement in self.settlements:
            cents = due[self.uids[settlement.beneficiary_id], settlement.currency]
            cents["paid"] += self._paid(settlement)
            if settlement.status != "voided":
                left = settlement.total_cents - self._paid(settlement)
                cents[settlement.status] += left
                cents["overdue"] += left if self._is_overdue(settlement) else 0
        return [
            {
                "beneficiary_uid": uid,
                "currency": currency,
                "decimals": decimals(currency),
                "unsettled_cents": cents["unsettled"],
                "open_cents": cents["open"],
                "invoiced_cents": cents["invoiced"],
                "paid_cents": cents["paid"],
                "owed_cents": cents["unsettled"] + cents["open"] + cents["invoiced"],
                "written_off_cents": cents["written_off"],
                "overdue_cents": cents["overdue"],
            }
            for (uid, currency), cents in due.items()
        ]

    def _paid(self, settlement: Settlement) -> int:
        return sum(p.amount_cents for p in self.payments if p.settlement_id == settlement.id)

    def _is_overdue(self, settlement: Settlement) -> bool:
        return settlement.status == "invoiced" and settlement.due_on is not None and settlement.due_on < self.today

    def receivables(self) -> list[Row]:
        owing = {s.id: s for s in self.settlements if s.status in ("open", "invoiced")}
        parts: dict[tuple[UUID | None, UUID, str], dict[UUID | None, list[FeeEvent]]] = defaultdict(dict)
        for event in self.fee_events:
            if event.settlement_id is None or event.settlement_id in owing:
                key = (event.settlement_id, event.beneficiary_id, event.currency)
                parts[key].setdefault(event.payer_id, []).append(event)
        due: dict[tuple[UUID | None, UUID, str], Counter[str]] = defaultdict(Counter)
        days: dict[tuple[UUID | None, UUID, str], list[date]] = defaultdict(list)
        for (settlement, beneficiary, currency), payers in parts.items():
            paid: Counter[UUID | None] = Counter()
            for payment in self.payments:
                if payment.settlement_id == settlement:
                    paid[payment.payer_id] += payment.amount_cents
            unnamed = paid[None]
            oldest = sorted(
                payers, key=lambda payer: (min(e.created_at for e in payers[payer]), payer is None, str(payer))
            )
            for payer in oldest:
                left = sum(e.amount_cents for e in payers[payer]) - (paid[payer] if payer else 0)
                if settlement:
                    part = min(max(left, 0), unnamed)
                    left, unnamed = left - part, unnamed - part
                cents = due[payer, beneficiary, currency]
                status = owing[settlement].status if settlement else "unsettled"
                cents[status] += left
                cents["overdue"] += left if settlement and self._is_overdue(owing[settlement]) else 0
                cents["parts"] += left != 0
                if left > 0:
                    days[payer, beneficiary, currency].append(self.day(min(e.created_at for e in payers[payer])))
        return [
            {
                "payer_uid": self.uids[payer] if payer else None,
                "beneficiary_uid": self.uids[beneficiary],
                "currency": currency,
                "decimals": decimals(currency),
                "unsettled_cents": cents["unsettled"],
                "open_cents": cents["open"],
                "invoiced_cents": cents["invoiced"],
                "overdue_cents": cents["overdue"],
                "owed_cents": cents["unsettled"] + cents["open"] + cents["invoiced"],
                "since": min(days[payer, beneficiary, currency], default=None),
            }
            for (payer, beneficiary, currency), cents in due.items()
            if cents["parts"]
        ]

    def all_settlements(self) -> list[Row]:
        return [
            {
                "id": s.id,
                "beneficiary_uid": self.uids[s.beneficiary_id],
                "period_from": s.period_from,
                "period_to": s.period_to,
                "total_cents": s.total_cents,
                "currency": s.currency,
                "decimals": decimals(s.currency),
                "status": s.status,
                "created_at": s.created_at,
                "number": s.number,
                "invoiced_at": s.invoiced_at,
                "due_on": s.due_on,
                "paid_cents": self._paid(s),
                "last_paid_on": max((p.paid_on for p in self.payments if p.settlement_id == s.id), default=None),
                "is_overdue": self._is_overdue(s),
            }
            for s in self.settlements
        ]

    def events_by_day(self) -> list[Row]:
        return [
            {"day": day, "type": kind, "events": number}
            for day, events in self.on_days(self.events, lambda e: e.created_at).items()
            for kind, number in Counter(e.type for e in events).items()
        ]

    def errors_by_day(self) -> list[Row]:
        reports = self.on_days(self.reports, lambda r: r.created_at)
        return [
            {
                "day": day,
                "reports": len(reports[day]),
                "errors": sum("error" in r.type.lower() or "fail" in r.type.lower() for r in reports[day]),
            }
            for day in self.days
        ]

    def all_days(self) -> list[Row]:
        return [
            {"day": day, "starts_at": midnight(day, self.zone), "ends_at": midnight(day + DAY, self.zone)}
            for day in self.days
        ]

    def all_jobs(self) -> list[Row]:
        shown: list[Row] = []
        # tests/jobs has a database with pg_cron
        is_served = any(self.now - server.seen_at < timedelta(minutes=3) for server in self.job_servers)
        for job in self.jobs:
            runs = sorted((r for r in self.job_runs if r.job == job.name), key=lambda r: r.started_at)
            good = next((r for r in reversed(runs) if r.done is not None), None)
            bad = next((r for r in reversed(runs) if r.error is not None), None)
            last = max((r.started_at for r in (good, bad) if r), default=None)
            is_late = (good.started_at if good else job.added_at) < self.now - job.late_after
            failed = bad is not None and bad.started_at == last
            shown.append(
                {
                    "name": job.name,
                    "does": job.does,
                    "schedule": job.schedule,
                    "last_run_at": last,
                    "last_good_run_at": good and good.started_at,
                    "is_late": is_late,
                    "last_done": good and good.done,
                    "last_error_at": bad and bad.started_at,
                    "last_error": bad and bad.error,
                    "state": "failed" if failed else "late" if is_late else "good" if last else "waiting",
                    "run_by": "portal run" if is_served else "nobody",
                }
            )
        return shown

    def views(self) -> dict[str, Callable[[], list[Row]]]:
        """Each view of the schema stats except `invariants`, which tests/fees/test_invariants.py covers."""
        return {
            "applications_by_status": self.applications_by_status,
            "bookings_by_day": self.bookings_by_day,
            "days": self.all_days,
            "errors_by_day": self.errors_by_day,
            "events_by_day": self.events_by_day,
            "fees_by_day": self.fees_by_day,
            "jobs": self.all_jobs,
            "mortgages_by_day": self.mortgages_by_day,
            "offers_by_day": self.offers_by_day,
            "owed": self.owed,
            "pair_codes": self.pair_codes,
            "presence_by_day": self.presence_by_day,
            "presence_now": self.presence_now,
            "receivables": self.receivables,
            "requested_by_day": self.requested_by_day,
            "revenue_by_day": self.revenue_by_day,
            "settlements": self.all_settlements,
            "transfers_by_day": self.transfers_by_day,
            "utilisation_by_day": self.utilisation_by_day,
            "vouchers_by_status": self.vouchers_by_status,
        }

    def answers(self, first: date, last: date) -> dict[str, Row]:
        """What each function returns for a period, without current times, jobs and invariants."""
        period: Row = {"from_day": first, "to_day": last, "time_zone": self.time_zone}
        answers = (self._presence, self._vouchers, self._mortgages, self._telbank, self._fees, self._system)
        names = ("presence_stats", "voucher_stats", "mortgage_stats", "telbank_stats", "fee_stats", "system_stats")
        return {name: period | answer(first, last) for name, answer in zip(names, answers, strict=True)}

    def _of(self, moment: datetime | None, first: date, last: date) -> bool:
        return moment is not None and first <= self.day(moment) <= min(last, self.today)

    def _presence(self, first: date, last: date) -> Row:
        return {
            "online": self.presence_now()[0]["online"],
            "pair_codes": self.pair_codes(),
            "days": _within(self.presence_by_day(), first, last),
        }

    def _vouchers(self, first: date, last: date) -> Row:
        revenue: dict[str, list[int]] = defaultdict(list)
        for booking in self.bookings:
            voucher = self.voucher[booking.voucher_id]
            if self._of(booking.created_at, first, last) and voucher.price_currency:
                standing = [voucher.price_amount or 0] if booking.status == "booked" else []
                revenue[voucher.price_currency] += standing
        offered: dict[object, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for row in _within(self.utilisation_by_day(), first, last):
            sums = offered[row["template_id"], row["title"]]
            sums[0] += Decimal(str(row["offered_minutes"]))
            sums[1] += Decimal(str(row["booked_minutes"]))
        known = Counter(dict.fromkeys(("issued", "booked", "consumed", "cancelled", "expired"), 0))
        known.update(v.status for v in self.vouchers)
        return {
            "vouchers": dict(known),
            "bookings": sum(self._of(b.created_at, first, last) for b in self.bookings),
            "cancellations": sum(self._of(b.cancelled_at, first, last) for b in self.bookings),
            "revenue": [
                {"currency": c, "decimals": decimals(c), "bookings": len(amounts), "amount_cents": sum(amounts)}
                for c, amounts in revenue.items()
            ],
            "templates": [
                {
                    "template_id": template,
                    "title": title,
                    "offered_minutes": total,
                    "booked_minutes": booked,
                    "utilisation": fraction(booked, total, 4),
                }
                for (template, title), (total, booked) in _pairs(offered)
            ],
            "days": _within(self.bookings_by_day(), first, last),
            "revenue_days": _within(self.revenue_by_day(), first, last),
        }

    def _mortgages(self, first: date, last: date) -> Row:
        offers = [o for o in self.offers if self._of(o.created_at, first, last)]
        status = Counter({"open": 0, "accepted": 0, "withdrawn": 0})
        status.update(o.status for o in offers)
        rates = [o.interest_rate for o in offers if o.interest_rate is not None]
        known = Counter({"open": 0, "offered": 0, "accepted": 0, "rejected": 0})
        known.update(a.status for a in self.applications)
        loans: dict[str, list[int]] = defaultdict(list)
        for application in self.applications:
            if application.currency and self._of(application.created_at, first, last):
                loans[application.currency].append(application.desired_loan or 0)
        return {
            "applications": dict(known),
            "offers": dict(status),
            "acceptance_rate": fraction(status["accepted"], len(offers), 4),
            "interest": {
                "offers": len(rates),
                "average": fraction(sum(rates, Decimal(0)), len(rates), 6),
                "minimum": min(rates, default=None),
                "maximum": max(rates, default=None),
            },
            "requested": [
                {"currency": c, "decimals": decimals(c), "applications": len(of), "amount_cents": sum(of)}
                for c, of in loans.items()
            ],
            "days": _within(self.mortgages_by_day(), first, last),
        }

    def _telbank(self, first: date, last: date) -> Row:
        totals: dict[str, list[Transfer]] = defaultdict(list)
        flows: dict[tuple[str | None, str], list[Transfer]] = defaultdict(list)
        for transfer in self.transfers:
            if self._of(transfer.created_at, first, last):
                currency = code(transfer.fiat_currency)
                totals[currency].append(transfer)
                flows[transfer.network, currency].append(transfer)
        return {
            "totals": [{"currency": c, "decimals": decimals(c), **_flow(of)} for c, of in totals.items()],
            "flows": [
                {"network": network, "currency": c, "decimals": decimals(c), **_flow(of)}
                for (network, c), of in flows.items()
            ],
            "days": _within(self.transfers_by_day(), first, last),
        }

    def _fees(self, first: date, last: date) -> Row:
        charged: dict[tuple[str, str], list[FeeEvent]] = defaultdict(list)
        fees: dict[tuple[str, str], list[FeeEvent]] = defaultdict(list)
        days: dict[tuple[date, str], list[FeeEvent]] = defaultdict(list)
        for event in self.fee_events:
            if self._of(event.created_at, first, last):
                charged[self.uids[event.beneficiary_id], event.currency].append(event)
                fees[event.fee_id, event.currency].append(event)
                days[self.day(event.created_at), event.currency].append(event)
        of_beneficiary = ("fee_events", "accrued_cents", "settled_cents", "open_cents")
        of_day = ("fee_events", "charged_cents", "reversed_cents", "adjusted_cents", "accrued_cents")
        return {
            "owed": self.owed(),
            "receivables": self.receivables(),
            "charged": [
                {"beneficiary_uid": uid, "currency": c, "decimals": decimals(c)}
                | {key: value for key, value in _charged(of).items() if key in of_beneficiary}
                for (uid, c), of in charged.items()
            ],
            "fees": [
                {
                    "fee_id": fee,
                    "currency": c,
                    "decimals": decimals(c),
                    "fee_events": len(of),
                    "amount_cents": sum(e.amount_cents for e in of),
                }
                for (fee, c), of in fees.items()
            ],
            "days": [
                {"day": day, "currency": c, "decimals": decimals(c)}
                | {key: value for key, value in _charged(of).items() if key in of_day}
                for (day, c), of in days.items()
            ],
        }

    def _system(self, first: date, last: date) -> Row:
        events = [e for e in self.events if self._of(e.created_at, first, last)]
        by_day = Counter(self.day(e.created_at) for e in events)
        return {
            "types": [{"type": kind, "events": n} for kind, n in Counter(e.type for e in events).items()],
            "days": [
                {"day": row["day"], "events": number, "errors": row["errors"]}
                for row in _within(self.errors_by_day(), first, last)
                if isinstance(row["day"], date)
                for number in [by_day[row["day"]]]
            ],
        }


def _within(rows: list[Row], first: date, last: date) -> list[Row]:
    return [row for row in rows if isinstance(row["day"], date) and first <= row["day"] <= last]


def _pairs(sums: dict[object, list[Decimal]]) -> Iterator[tuple[tuple[object, object], tuple[Decimal, Decimal]]]:
    for key, (offered, booked) in sums.items():
        assert isinstance(key, tuple)
        yield key, (offered, booked)


def _flow(transfers: list[Transfer]) -> Row:
    came = sum(t.fiat_amount for t in transfers if t.direction == "in")
    went = sum(t.fiat_amount for t in transfers if t.direction == "out")
    return {"transfers": len(transfers), "in_cents": came, "out_cents": went, "net_cents": came - went}


def _charged(fee_events: list[FeeEvent]) -> Row:
    charged = sum(e.amount_cents for e in fee_events if e.reverses is None and e.adjusts is None)
    adjusted = sum(e.amount_cents for e in fee_events if e.adjusts is not None)
    taken_back = sum(e.amount_cents for e in fee_events if e.reverses is not None)
    settled = sum(e.amount_cents for e in fee_events if e.settlement_id is not None)
    return {
        "fee_events": len(fee_events),
        "charged_cents": charged,
        "reversed_cents": taken_back,
        "accrued_cents": charged + taken_back + adjusted,
        "settled_cents": settled,
        "open_cents": charged + taken_back + adjusted - settled,
        "adjusted_cents": adjusted,
    }
