"""Portals without rows, with one row of each kind, and with very old rows."""

from datetime import timedelta
from decimal import Decimal
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from api.actor import SERVER
from tests.stats.reckoning import DAY, Books
from tests.stats.test_figures import counted, plain, read, sorted_lists
from tests.support.acting import act, call, one, unchecked
from tests.support.days import use_portal_zone

pytestmark = pytest.mark.clock

FUNCTIONS = ("presence_stats", "voucher_stats", "mortgage_stats", "telbank_stats", "fee_stats", "system_stats")

PORTAL = "(select id from public.thinkers order by created_at limit 1)"
ONE: dict[str, LiteralString] = {
    "thinker": "thinkers (id, public_id, created_at) values (private.thinker_id('ann'), 'ann', {at})",
    "event": "events (type, created_at) values ('voucher.book', {at})",
    "voucher": "vouchers (id, issuer_id, valid_from, valid_until, price_amount, price_currency, created_at)"
    " values ('v', {thinker}, {at}, {at} + interval '2 hours', 100, 'EUR', {at})",
    "booking": "voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at, price_amount,"
    " price_currency)"
    " values ('b', 'v', {thinker}, private.new_uuid(), {at}, {at} + interval '1 hour', {at}, 100, 'EUR')",
    "application": "mortgage_applications (id, borrower_id, desired_loan, currency, created_at)"
    " values ('a', {thinker}, 100, 'EUR', {at})",
    "offer": "mortgage_offers (id, application_id, lender_id, interest_rate, room_refs, created_at)"
    " values ('o', 'a', {thinker}, 0.03, '{{}}', {at})",
    "mortgage contract": "mortgage_contracts (id, offer_id, created_at) values ('c', 'o', {at})",
    "transfer": "transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, created_at,"
    " updated_at) values ('t', 'in', 1, 'ETH', 1, 'EUR', '', {at}, {at})",
    "fee event": "fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, base_cents,"
    " rate, fixed_cents, unrounded, created_at)"
    " values ('voucher.booking', 'transfer', 't', 1, 'EUR', {thinker}, 0, 0, 1, 1, {at})",
    "report": "telemetry_events (type, created_at) values ('js.error', {at})",
    "session": "presence_sessions (thinker_id, pair_code) values ({thinker}, 'familie')",
    "settlement": "settlements (beneficiary_id, period_from, period_to, total_cents, currency)"
    " values ({thinker}, '2026-01-01', '2026-02-01', 1, 'EUR')",
}
"""A row of each kind, of a time."""


def insert(connection: psycopg.Connection, kind: str, ago: timedelta) -> None:
    """Inserts a row of this age; days are those of the portal's calendar, of 23 to 25 hours."""
    at = sql.SQL("(now() - {}::interval)").format(sql.Literal(ago))
    statement = sql.SQL("insert into public." + ONE[kind]).format(at=at, thinker=sql.SQL(PORTAL))
    use_portal_zone(connection)
    with unchecked(connection):
        connection.execute(statement)


def assert_agrees(connection: psycopg.Connection) -> None:
    """Asserts that the figures of the last ten days equal those computed in Python."""
    with connection.transaction(force_rollback=True):
        books = Books(connection)
        for name, view in books.views().items():
            assert counted(read(connection, name)) == counted(view()), name
        expected = books.answers(books.today - 9 * DAY, books.today)
        for function, answer in expected.items():
            shown = act(connection, SERVER, function, from_day=books.today - 9 * DAY, to_day=books.today)
            shown = {name: value for name, value in shown.items() if name not in ("clock", "jobs", "invariants")}
            assert sorted_lists(shown) == sorted_lists(plain(answer)), function


def test_an_empty_portal(connection: psycopg.Connection) -> None:
    """Only the portal itself exists, as a thinker, since today."""
    with unchecked(connection):
        # the copied database may be from yesterday
        connection.execute("update public.thinkers set created_at = now()")
    assert_agrees(connection)
    with connection.transaction():
        answers = {function: act(connection, SERVER, function) for function in FUNCTIONS}
    today = answers["presence_stats"]["to_day"]
    assert answers["presence_stats"]["days"] == [
        {"day": today, "thinkers": 0, "heartbeats": 0, "matches": 0, "new_thinkers": 1}
    ]
    nothing = {"bookings": 0, "cancellations": 0, "revenue": [], "templates": [], "revenue_days": []}
    assert nothing.items() <= answers["voucher_stats"].items()
    assert set(answers["voucher_stats"]["vouchers"].values()) == {0}
    assert answers["mortgage_stats"]["acceptance_rate"] is None
    assert answers["mortgage_stats"]["interest"] == {"offers": 0, "average": None, "minimum": None, "maximum": None}
    assert set(answers["mortgage_stats"]["offers"].values()) == {0}
    assert {name: answers["telbank_stats"][name] for name in ("totals", "flows", "days")} == {
        "totals": [], "flows": [], "days": [],
    }  # fmt: skip
    lists = ("owed", "receivables", "charged", "fees", "days")
    assert [answers["fee_stats"][name] for name in lists] == [[], [], [], [], []]
    assert answers["system_stats"]["days"] == [{"day": today, "events": 0, "errors": 0}]
    assert {i["violations"] for i in answers["system_stats"]["invariants"]} == {0}


def test_without_any_thinker(connection: psycopg.Connection) -> None:
    with unchecked(connection):
        connection.execute("delete from public.thinkers")
    assert_agrees(connection)
    assert one(connection, "select count(*) from stats.days") == 1


@pytest.mark.parametrize("days", [0, 3])
def test_one_row_of_each_kind(connection: psycopg.Connection, days: int) -> None:
    for kind in ONE:
        insert(connection, kind, days * DAY)
    assert_agrees(connection)
    rate, mortgages = Decimal("0.03"), call(connection, SERVER, "mortgage_stats")
    assert mortgages["interest"] == {"offers": 1, "average": rate, "minimum": rate, "maximum": rate}
    assert mortgages["acceptance_rate"] == 0
    [template] = call(connection, SERVER, "voucher_stats")["templates"]
    assert (template["template_id"], template["title"]) == (None, None)


@pytest.mark.parametrize("kind", sorted(ONE.keys() - {"session", "settlement", "booking", "mortgage contract"}))
def test_the_first_row_of_any_kind_begins_the_first_day(connection: psycopg.Connection, kind: str) -> None:
    insert(connection, kind, 5 * DAY)
    assert one(connection, "select count(*) from stats.days") == 6
    assert_agrees(connection)


@pytest.mark.parametrize(("kind", "needs"), [("booking", ["voucher"]), ("mortgage contract", ["application", "offer"])])
def test_a_row_older_than_its_parent_begins_the_first_day(
    connection: psycopg.Connection, kind: str, needs: list[str]
) -> None:
    for need in needs:
        insert(connection, need, timedelta(0))
    insert(connection, kind, 5 * DAY)
    assert one(connection, "select count(*) from stats.days") == 6
    assert_agrees(connection)


def test_a_backdated_row_makes_no_period_longer_than_ten_years(connection: psycopg.Connection) -> None:
    for kind, ago in (("thinker", 3653), ("event", 3654), ("report", 10000), ("transfer", 700000)):
        insert(connection, kind, ago * DAY)
    assert one(connection, "select count(*) from stats.days") == 3654
    assert one(connection, "select max(day) - min(day) from stats.days") == 3653
    assert_agrees(connection)
    assert one(connection, "select sum(new_thinkers) from stats.presence_by_day") == 2
    assert one(connection, "select count(*) from stats.transfers_by_day") == 0


def test_bookings_without_an_offer(connection: psycopg.Connection) -> None:
    insert(connection, "voucher", 2 * DAY)
    with unchecked(connection):
        connection.execute("update public.vouchers set valid_until = valid_from")
    insert(connection, "booking", 2 * DAY)
    assert_agrees(connection)
    [template] = call(connection, SERVER, "voucher_stats")["templates"]
    assert (template["offered_minutes"], template["booked_minutes"], template["utilisation"]) == (0, 60, None)
