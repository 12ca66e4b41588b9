"""The data of the dashboard tests: something of every kind, today, and settlements of the month before last."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from tests.support.acting import call, one, thinker, unchecked
from tests.support.charging import charge, reverse
from tests.support.days import portal_today

ANNA, BEN, CLARA, BANK, ADMIN = (
    thinker("anna"),
    thinker("ben"),
    thinker("clara"),
    thinker("bank", "lender"),
    thinker("boss", "admin"),
)

NINE = datetime(2030, 5, 6, 9, tzinfo=UTC)

SETTLED_FEES = 120
"""How many fee events the larger settlement has: more than one page of its statement."""


def fill(database_url: str) -> None:
    """Anna's appointments, Clara's mortgage, Ben's transfers in three currencies, fees and settlements."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        # the copied database may be old, which would make jobs late
        connection.execute("update private.jobs set added_at = now()")
        for actor, pair_code in ((ANNA, "garten"), (BEN, "garten"), (CLARA, "haus")):
            call(connection, actor, "send_heartbeat", pair_code=pair_code)
        call(
            connection,
            ANNA,
            "issue_voucher",
            voucher_id="v-1",
            title="Beratung",
            valid_from=NINE,
            valid_until=NINE + timedelta(hours=8),
            price_amount=12000,
            terms={"template": "consulting"},
        )
        book(connection, slot=0)
        cancelled = book(connection, slot=1)
        call(connection, BEN, "cancel_booking", booking_id=cancelled, reason="krank")

        call(
            connection,
            CLARA,
            "apply_for_mortgage",
            application_id="app-1",
            property_id="haus-1",
            desired_loan=250_000_00,
            duration_years=20,
            rate_type="fixed",
        )
        call(
            connection,
            BANK,
            "offer_mortgage",
            application_id="app-1",
            offer_id="offer-1",
            interest_rate="0.0315",
            monthly_payment=1_410_12,
        )
        call(connection, CLARA, "accept_mortgage_offer", offer_id="offer-1")

        transfer(connection, "in", 1500.75, "EUR", "Polygon")
        transfer(connection, "out", 120, "USD", "Polygon")
        transfer(connection, "in", 95000, "JPY", "Bitcoin")
        call(connection, BEN, "record_telemetry", events=[{"type": "page.error"}])
        settle(connection)


def book(connection: psycopg.Connection, slot: int) -> str:
    """Ben books an hour of Anna's voucher. Returns the booking's id."""
    answer = call(connection, BEN, "book_voucher", voucher_id="v-1", slot_start=NINE + timedelta(hours=slot))
    booking: str = answer["booking"]["id"]
    return booking


def transfer(connection: psycopg.Connection, direction: str, amount: float, currency: str, network: str) -> None:
    """Ben logs a transfer between crypto and fiat money."""
    call(
        connection,
        BEN,
        "log_transfer",
        direction=direction,
        crypto_amount=1,
        crypto_symbol="ETH",
        fiat_major=str(amount),
        fiat_currency=currency,
        network=network,
    )


def settle(connection: psycopg.Connection) -> None:
    """Adds fees in the month before last, and settles them in euros, in yen and in francs.

    Ben owes the francs: a first invoice is replaced, and the second is paid in part, and overdue.
    """
    end = (portal_today(connection).replace(day=1) - timedelta(days=1)).replace(day=1)
    begin = (end - timedelta(days=1)).replace(day=1)
    for _ in range(SETTLED_FEES - 1):
        first = charge(connection, f"{begin:%Y-%m}-10T10:00:00Z", base=12000, rate="0.0201")
    reverse(connection, first, f"{begin:%Y-%m}-11T10:00:00Z")
    charge(connection, f"{begin:%Y-%m}-12T10:00:00Z", 500, "JPY", "treuhand")
    charge(connection, f"{begin:%Y-%m}-13T10:00:00Z", 3000, "CHF", "notariat", payer="ben")
    call(connection, ADMIN, "settle_fees", period_from=begin, period_to=end)
    first_invoice = francs(connection)
    call(connection, ADMIN, "invoice_settlement", settlement_id=first_invoice)
    call(connection, ADMIN, "void_settlement", settlement_id=first_invoice, reason="falsche Anschrift")
    call(connection, ADMIN, "settle_fees", period_from=begin, period_to=end)
    second = francs(connection)
    call(connection, ADMIN, "invoice_settlement", settlement_id=second)
    call(
        connection,
        ADMIN,
        "pay_settlement",
        settlement_id=second,
        amount_cents=1000,
        reference="Bank 7",
        payer_uid="ben",
    )
    with unchecked(connection):
        connection.execute("update public.settlements set due_on = '2026-01-31' where id = %s", (second,))


def francs(connection: psycopg.Connection) -> UUID:
    """Returns the id of the open settlement of Ben's francs."""
    settlement: UUID = one(
        connection,
        "select s.id from public.settlements s join public.settlement_lines l on l.settlement_id = s.id"
        " join public.fee_events e on e.id = l.fee_event_id"
        " where s.status = 'open' and s.currency = 'CHF' and e.payer_id = private.thinker_id('ben')",
    )
    return settlement
