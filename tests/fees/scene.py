"""Helpers that create prices, charges and settlements."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from api.actor import Actor, thinker_id
from tests.support.acting import act, one, thinker, unchecked

NINE = datetime(2030, 5, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)

ISSUER, HOLDER = thinker("issuer"), thinker("holder")
PORTAL = thinker_id("togethersystems")


@dataclass(frozen=True)
class FeeEvent:
    """A row of `public.fee_events`."""

    id: UUID
    fee_id: str
    subject_type: str
    subject_id: str
    amount_cents: int
    currency: str
    created_at: datetime
    beneficiary_id: UUID
    base_cents: int | None
    rate: Decimal | None
    fixed_cents: int | None
    unrounded: Decimal | None
    bound: str | None
    reverses: UUID | None
    settlement_id: UUID | None
    reason: str | None
    payer_id: UUID | None
    adjusts: UUID | None
    operator: str | None


def fee_events(connection: psycopg.Connection, subject_id: str | None = None) -> list[FeeEvent]:
    """Returns charges and reversals in the order of amounts; of one subject if one is named."""
    with connection.cursor(row_factory=class_row(FeeEvent)) as cursor:
        return cursor.execute(
            "select * from public.fee_events where subject_id = coalesce(%s, subject_id)"
            ' order by amount_cents, currency collate "C", id',
            (subject_id,),
        ).fetchall()


def amounts(connection: psycopg.Connection, subject_id: str | None = None) -> list[tuple[int, str]]:
    """Returns only the amounts and currencies of the same fee events."""
    return [(event.amount_cents, event.currency) for event in fee_events(connection, subject_id)]


def set_fee(connection: psycopg.Connection, fee_id: str = "voucher.booking", **columns: object) -> None:
    """Changes columns of a fee."""
    assignments = (sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in columns)
    statement = sql.SQL("update public.fees set {} where id = %(fee_id)s").format(sql.SQL(", ").join(assignments))
    assert connection.execute(statement, columns | {"fee_id": fee_id}).rowcount == 1


def add_fee(connection: psycopg.Connection, fee_id: str, scope: str, **columns: object) -> None:
    """Adds another, active fee."""
    connection.execute("insert into public.fees (id, scope, active) values (%s, %s, true)", (fee_id, scope))
    if columns:
        set_fee(connection, fee_id, **columns)


def thinker_named(connection: psycopg.Connection, uid: str) -> UUID:
    """Returns the id of a thinker, and creates the thinker if necessary."""
    thinker: UUID = one(connection, "select private.ensure_thinker(%s)", uid)
    return thinker


def issue(
    connection: psycopg.Connection,
    voucher_id: str = "v",
    price: int | None = 12000,
    currency: str | None = "EUR",
    hours: int = 8,
) -> str:
    """Issues a voucher with this number of slots, and returns its id."""
    act(
        connection,
        ISSUER,
        "issue_voucher",
        voucher_id=voucher_id,
        price_amount=price,
        price_currency=None if price is None else currency,
        valid_from=NINE,
        valid_until=NINE + hours * HOUR,
    )
    return voucher_id


def book(connection: psycopg.Connection, voucher_id: str = "v", slot: int = 0, holder: Actor = HOLDER) -> str:
    """Books a slot of a voucher, and returns the booking's id."""
    answer = act(connection, holder, "book_voucher", voucher_id=voucher_id, slot_start=NINE + slot * HOUR)
    booking: str = answer["booking"]["id"]
    return booking


def booked(
    connection: psycopg.Connection, price: int | None = 12000, currency: str | None = "EUR", voucher_id: str = "v"
) -> str:
    """Issues a voucher, books it, and returns the booking's id."""
    return book(connection, issue(connection, voucher_id, price, currency))


def cancel(connection: psycopg.Connection, booking: str, actor: Actor = HOLDER) -> None:
    """Cancels a booking."""
    act(connection, actor, "cancel_booking", booking_id=booking)


def late(connection: psycopg.Connection, booking: str) -> None:
    """Lets the slot of a booking start now."""
    with unchecked(connection):
        connection.execute(
            "update public.voucher_bookings set slot_start = clock_timestamp(), slot_end = clock_timestamp() + '1 hour'"
            " where id = %s",
            (booking,),
        )


def charge(
    connection: psycopg.Connection,
    amount: int = 100,
    at: datetime | None = None,
    currency: str = "EUR",
    beneficiary: UUID = PORTAL,
) -> UUID:
    """Inserts a charge for a transfer at a time, without the functions, and returns the fee event's id."""
    [subject] = connection.execute(
        "insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label)"
        " values (private.new_id('in'), 'in', 1, 'ETH', 1, 'EUR', '') returning id"
    ).fetchone() or [None]
    event: UUID = one(
        connection,
        "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
        " beneficiary_id, base_cents, rate, fixed_cents, unrounded)"
        " values ('transfer.logged', 'transfer', %s, %s, %s, coalesce(%s, now()), %s, 0, 0, %s, %s) returning id",
        subject, amount, currency, at, beneficiary, amount, amount,
    )  # fmt: skip
    return event


def settle(
    connection: psycopg.Connection, period_from: str = "2026-01-01", period_to: str = "9999-01-01", **flags: bool
) -> list[dict[str, Any]]:
    """Settles as an operator does, in plain SQL."""
    dry_run: LiteralString = "dry_run => true" if flags.get("dry_run") else "dry_run => false"
    settlements: list[dict[str, Any]] = one(
        connection, f"select public.settle_fees(%s, %s, {dry_run})", period_from, period_to
    )
    return settlements


def settled(connection: psycopg.Connection, *charges: UUID) -> list[UUID | None]:
    """Returns the settlement of each of these fee events."""
    rows: dict[UUID, UUID | None] = dict(
        connection.execute("select id, settlement_id from public.fee_events").fetchall()
    )
    return [rows[charge] for charge in charges]
