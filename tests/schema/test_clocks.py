"""Times that were written an hour ahead, by another clock or before the clock was set back: no write is refused."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest

from api.actor import SERVER
from tests.support.acting import act, one, thinker, unchecked

ANNA, BEN = thinker("anna"), thinker("ben")


@pytest.fixture
def session(shared_database: str) -> Iterator[psycopg.Connection]:
    """The operator's session, rolled back after the test."""
    with psycopg.connect(shared_database) as connection, connection.transaction(force_rollback=True):
        yield connection


def book(session: psycopg.Connection) -> str:
    """Books the only slot of a voucher and dates the booking an hour ahead; returns its id."""
    act(
        session,
        ANNA,
        "issue_voucher",
        voucher_id="v",
        valid_from="2030-01-07T09:00:00Z",
        valid_until="2030-01-07T10:00:00Z",
        price_amount=12000,
    )
    booked = act(session, BEN, "book_voucher", voucher_id="v", slot_start="2030-01-07T09:00:00Z")
    with unchecked(session):
        session.execute("update public.voucher_bookings set created_at = created_at + interval '1 hour'")
    booking: str = booked["booking"]["id"]
    return booking


def test_a_booking_can_be_cancelled(session: psycopg.Connection) -> None:
    booking = book(session)
    cancelled = act(session, BEN, "cancel_booking", booking_id=booking)["booking"]
    assert (cancelled["status"], cancelled["cancelled_at"]) == ("cancelled", cancelled["created_at"])
    assert one(session, "select sum(amount_cents) from public.fee_events") == 0


def test_a_booking_can_be_cancelled_in_plain_sql(session: psycopg.Connection) -> None:
    book(session)
    session.execute("update public.voucher_bookings set status = 'cancelled', cancelled_at = now()")
    assert one(session, "select cancelled_at = created_at from public.voucher_bookings")


def test_a_voucher_until_now_of_a_client_behind_can_be_issued(session: psycopg.Connection) -> None:
    until = "2026-01-01T00:00:00+00:00"
    voucher = act(session, ANNA, "issue_voucher", valid_until=until)
    assert voucher["valid_from"] == voucher["valid_until"] == until


def test_a_transfer_can_be_logged_and_settled(session: psycopg.Connection) -> None:
    session.execute(
        "insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, "
        "created_at) values ('t', 'in', 1, 'ETH', 1, 'EUR', '', now() + interval '1 hour')"
    )
    session.execute("update public.transfers set status = 'settled'")
    assert one(session, "select updated_at = created_at from public.transfers")


def test_the_last_change_of_a_fee_is_the_last_version(session: psycopg.Connection) -> None:
    with unchecked(session):
        session.execute("update public.fee_versions set valid_from = valid_from + interval '1 hour'")
    session.execute("update public.fees set percentage = 0.03 where id = 'voucher.booking'")
    session.execute("update public.fees set percentage = 0.04 where id = 'voucher.booking'")
    [fee] = [fee for fee in act(session, SERVER, "list_fees") if fee["id"] == "voucher.booking"]
    assert [version["percentage"] for version in fee["versions"]] == [0.04, 0.03, 0.02]


@pytest.mark.parametrize("last", ["pay_settlement", "void_settlement"])
def test_the_steps_of_a_settlement_stay_in_order(session: psycopg.Connection, last: str) -> None:
    book(session)
    session.execute("update public.fees set percentage = 0.03 where id = 'voucher.booking'")
    [settlement] = act(session, SERVER, "settle_fees", period_from="2000-01-01", period_to="2100-01-01")
    with unchecked(session):
        session.execute("update public.settlements set created_at = created_at + interval '1 hour'")
    for step in ("invoice_settlement", last):
        act(session, SERVER, step, settlement_id=settlement["id"])
    assert one(
        session,
        "select created_at = invoiced_at and invoiced_at = coalesce(paid_at, voided_at) from public.settlements",
    )


@pytest.mark.parametrize(("ahead", "refused"), [("59 seconds", True), ("1 hour", False)])
def test_a_rate_limit_ends_after_a_minute(session: psycopg.Connection, ahead: LiteralString, refused: bool) -> None:
    session.execute(
        f"insert into private.request_counts values ('c', 100, clock_timestamp() + interval '{ahead}')".encode()
    )
    counted = act(session, SERVER, "count_request", client="c")
    assert counted["requests"] == (101 if refused else 1)
    assert counted["seconds_left"] <= 60


@pytest.mark.parametrize(("ahead", "refused"), [("23 hours", True), ("3 days", False)])
def test_the_limit_of_uploads_ends_after_a_day(
    session: psycopg.Connection, ahead: LiteralString, refused: bool
) -> None:
    session.execute(
        f"insert into private.request_counts values ('c', 100, clock_timestamp() + interval '{ahead}')".encode()
    )
    counted = act(session, SERVER, "count_request", client="c", number=3, period="24 hours")
    assert counted["requests"] == (103 if refused else 3)
    assert 3600 < counted["seconds_left"] <= 86_400
