"""Each invariant can fail: rows that break one rule, without triggers and constraints, are found by that rule alone."""

from collections.abc import Callable, Iterator
from typing import LiteralString

import psycopg
import pytest

from api.actor import SERVER
from tests.fees.scene import add_fee, book, booked, cancel, charge, issue, set_fee, settle, thinker_named
from tests.support.acting import act, one, thinker, unchecked
from tests.support.charging import violations
from tests.support.databases import Server
from tests.support.jobs import run

BORROWER, LENDER = thinker("borrower"), thinker("lender", "lender")


@pytest.fixture(scope="module")
def everything(server: Server, migrated: str) -> Iterator[psycopg.Connection]:
    """Books with something of everything: the fee was in force long before, and no rule is broken.

    A voucher `v` with three bookings, one of them cancelled (settled, in euros), `w` with one (not settled, in yen),
    `free` with one, a transfer (charged and settled in dinars), an application with two offers, another that is
    accepted; the settlement in euros is paid, and a page has reported something.
    """
    # a database of its own, because others would wait for its rows
    with (
        server.database(template=migrated) as url,
        psycopg.connect(url) as books,
        books.transaction(force_rollback=True),
    ):
        fill(books)
        assert violations(books) == {}
        yield books


@pytest.fixture
def kept(everything: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The same; what a test does is rolled back."""
    with everything.transaction(force_rollback=True):
        yield everything


def fill(books: psycopg.Connection) -> None:
    """Writes what `everything` describes."""
    with unchecked(books):
        books.execute("update public.fee_versions set valid_from = '2020-01-01'")
    issue(books)
    cancel(books, book(books, slot=0))
    book(books, slot=1)
    book(books, slot=2)
    charge(books, 7, currency="KWD")
    in_euros = next(made["id"] for made in settle(books) if made["currency"] == "EUR")
    for move in ("invoice_settlement", "pay_settlement"):
        act(books, SERVER, move, settlement_id=in_euros)
    booked(books, 500, "JPY", "w")
    booked(books, None, None, "free")
    act(books, BORROWER, "apply_for_mortgage", application_id="a", desired_loan=100, currency="EUR")
    act(books, BORROWER, "record_telemetry", events=[{"type": "page.view"}])
    for offer in ("o", "p"):
        act(books, LENDER, "offer_mortgage", application_id="a", offer_id=offer)
    act(books, BORROWER, "apply_for_mortgage", application_id="b")
    act(books, LENDER, "offer_mortgage", application_id="b", offer_id="q")
    act(books, BORROWER, "accept_mortgage_offer", offer_id="q")


def test_the_list_of_rules(books: psycopg.Connection) -> None:
    rows = books.execute("select name, violations, meaning <> '' from stats.invariants").fetchall()
    assert rows == [(name, 0, True) for name in RULES]


def test_service_role_may_read_the_rules(kept: psycopg.Connection) -> None:
    kept.execute("set local role service_role")
    assert violations(kept) == {}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        kept.execute("set local role authenticated; select * from stats.invariants")


RULES = [
    "bookings_do_not_overlap",
    "voucher_status_agrees_with_bookings",
    "every_booking_is_charged_once",
    "every_cancellation_is_reversed_once",
    "corrections_agree_with_their_charge",
    "every_charge_has_its_subject",
    "charges_agree_with_their_subject",
    "settlements_total_their_fee_events",
    "payments_agree_with_their_settlement",
    "invoice_numbers_have_no_gap",
    "balance_adds_up",
    "no_fee_event_is_in_two_settlements",
    "every_accepted_offer_has_one_contract",
    "every_write_has_its_event",
]

ACTIVE = (
    "select id from public.voucher_bookings where voucher_id = 'v' and status = 'booked' order by slot_start limit 1"
)
CANCELLED = "select id from public.voucher_bookings where status = 'cancelled'"
CHARGE_OF_W = "select id from public.fee_events where currency = 'JPY'"
NO_OVERLAP = "alter table public.voucher_bookings drop constraint bookings_of_a_voucher_never_overlap"
NO_UNIQUE = "drop index public.one_charge_a_fee_and_subject"

ADJUST: LiteralString = (
    "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id,"
    " adjusts, reason, operator)"
)
EVENT_OF_ADJUSTMENT: LiteralString = (
    "insert into public.events (type, subject_type, subject_id)"
    " select 'fee.adjusted', 'fee_event', id::text from public.fee_events where adjusts is not null"
)

# what is not balanced breaks another rule, too
UNBALANCED = {"balance_adds_up": 1}

# the rules, each with the number of rows that break it, and the statement that breaks them
BREAKS: list[tuple[dict[str, int], LiteralString]] = [
    (
        {"bookings_do_not_overlap": 1},
        f"{NO_OVERLAP}; update public.voucher_bookings set slot_start = slot_start + interval '30 minutes',"
        f" slot_end = slot_end + interval '30 minutes' where id = ({ACTIVE})",
    ),
    ({"voucher_status_agrees_with_bookings": 1}, "update public.vouchers set status = 'issued' where id = 'v'"),
    (
        {"voucher_status_agrees_with_bookings": 2},
        "update public.vouchers set status = 'expired' where id in ('v', 'w')",
    ),
    ({"voucher_status_agrees_with_bookings": 1}, "update public.vouchers set holder_id = null where id = 'w'"),
    ({"voucher_status_agrees_with_bookings": 1}, "update public.vouchers set holder_id = issuer_id where id = 'w'"),
    # a booking that was not charged, charged in another currency, or charged twice
    ({"every_booking_is_charged_once": 1}, f"delete from public.fee_events where id = ({CHARGE_OF_W})"),
    ({"every_booking_is_charged_once": 1}, f"update public.fee_events set currency = 'USD' where id = ({CHARGE_OF_W})"),
    (
        {"every_booking_is_charged_once": 1},
        f"{NO_UNIQUE}; insert into public.fee_events select (jsonb_populate_record(e,"
        f" jsonb_build_object('id', gen_random_uuid()))).* from public.fee_events e where id = ({CHARGE_OF_W})",
    ),
    # the same for charges that do not depend on the price
    (
        {"every_booking_is_charged_once": 4},
        "insert into public.fees (id, scope, fixed_amount, currency, active)"
        " values ('fixed', 'voucher', 5, 'CHF', true);"
        " insert into public.fee_versions"
        " (fee_id, scope, percentage, fixed_amount, currency, active, beneficiary_id, valid_from)"
        " select id, scope, 0, fixed_amount, currency, active, beneficiary_id, '2020-01-01' from public.fees"
        " where id = 'fixed'",
    ),
    # a cancellation without a reversal; a valid booking that was reversed
    (
        {"every_cancellation_is_reversed_once": 1},
        "with gone as (delete from public.fee_events where reverses is not null returning *),"
        " line as (delete from public.settlement_lines l using gone where l.fee_event_id = gone.id),"
        " part as (update public.settlement_payments p set amount_cents = p.amount_cents - gone.amount_cents from gone"
        "   where p.settlement_id = gone.settlement_id)"
        " update public.settlements s set total_cents = s.total_cents - gone.amount_cents from gone"
        " where gone.settlement_id = s.id",
    ),
    (
        {"every_cancellation_is_reversed_once": 1},
        "insert into public.fee_events"
        " (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, reverses)"
        " select fee_id, subject_type, subject_id, -amount_cents, currency, beneficiary_id, payer_id, id"
        f" from public.fee_events where id = ({CHARGE_OF_W})",
    ),
    # a reversal of another amount, fee, payer; an adjustment below zero; an adjustment of a reversal
    (
        {"corrections_agree_with_their_charge": 1},
        "update public.fee_events set amount_cents = amount_cents + 1 where reverses is not null;"
        " update public.settlement_payments set amount_cents = amount_cents + 1;"
        " update public.settlements set total_cents = total_cents + 1 where currency = 'EUR'",
    ),
    (
        {"corrections_agree_with_their_charge": 1},
        "update public.fee_events set fee_id = 'transfer.logged' where reverses is not null",
    ),
    (
        {"corrections_agree_with_their_charge": 1},
        "update public.fee_events set payer_id = beneficiary_id where reverses is not null",
    ),
    (
        {"corrections_agree_with_their_charge": 1},
        f"{ADJUST} select fee_id, subject_type, subject_id, -amount_cents - 1, currency, beneficiary_id, payer_id, id,"
        f" 'r', 'o' from public.fee_events where id = ({CHARGE_OF_W}); {EVENT_OF_ADJUSTMENT}",
    ),
    (
        {"corrections_agree_with_their_charge": 2},
        f"{ADJUST} select fee_id, subject_type, subject_id, 1, currency, beneficiary_id, payer_id, id, 'r', 'o'"
        f" from public.fee_events where reverses is not null; {EVENT_OF_ADJUSTMENT}",
    ),
    # a late cancellation whose charge was reversed although the fee stays
    (
        {"every_cancellation_is_reversed_once": 1},
        "update public.fee_versions set valid_from = '2020-01-01';"
        " update public.voucher_bookings set slot_start = cancelled_at where status = 'cancelled'",
    ),
    # a charge for a subject that does not exist
    ({"every_charge_has_its_subject": 1}, "update public.fee_events set subject_id = 'x' where currency = 'KWD'"),
    (
        {"every_charge_has_its_subject": 2},
        "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
        " base_cents, rate, fixed_cents, unrounded)"
        " select 'transfer.logged', t, 'x', 0, 'EUR', private.thinker_id('issuer'), 0, 0, 0, 0"
        " from unnest(array['transfer', 'mortgage_contract']) t",
    ),
    # a charge on another base than the price
    (
        {"charges_agree_with_their_subject": 1},
        "update public.voucher_bookings set price_amount = price_amount + 1 where voucher_id = 'w'",
    ),
    # a settlement whose total is not the sum of its lines, or whose lines are not its fee events
    (
        UNBALANCED | {"settlements_total_their_fee_events": 1},
        "update public.settlements set total_cents = 8 where currency = 'KWD'",
    ),
    (
        {"balance_adds_up": 2, "settlements_total_their_fee_events": 2},
        "update public.fee_events set settlement_id = null",
    ),
    (
        UNBALANCED | {"settlements_total_their_fee_events": 1},
        "update public.settlements set status = 'voided', voided_at = now(), voided_by = 'o' where currency = 'KWD';"
        " insert into public.events (type, subject_type, subject_id)"
        " select 'settlement.voided', 'settlement', id::text from public.settlements where currency = 'KWD'",
    ),
    (
        {"settlements_total_their_fee_events": 1},
        "delete from public.settlement_lines where fee_event_id = (select id from public.fee_events where currency ="
        " 'KWD')",
    ),
    # payments of another amount than the total, and of a settlement that is not invoiced
    (
        {"payments_agree_with_their_settlement": 1},
        "update public.settlement_payments set amount_cents = amount_cents - 1",
    ),
    (
        {"payments_agree_with_their_settlement": 2},
        "update public.settlement_payments p set settlement_id = s.id from public.settlements s"
        " where s.currency = 'KWD'; update public.events e set subject_id = s.id::text from public.settlements s"
        " where s.currency = 'KWD' and e.type = 'settlement.payment'",
    ),
    # a number that was left out
    ({"invoice_numbers_have_no_gap": 1}, "update private.invoice_numbers set last = 2"),
    ({"invoice_numbers_have_no_gap": 1}, "delete from private.invoice_numbers"),
    # one charge in two settlements; a charge in a settlement of another beneficiary or currency
    (
        {"no_fee_event_is_in_two_settlements": 1},
        f"{NO_UNIQUE}; insert into public.fee_events select (jsonb_populate_record(e,"
        " jsonb_build_object('id', gen_random_uuid()))).* from public.fee_events e where currency = 'KWD';"
        " insert into public.settlement_lines select settlement_id, id, '2026-01-01' from public.fee_events"
        " where currency = 'KWD' on conflict do nothing;"
        " update public.settlements set total_cents = 14 where currency = 'KWD'",
    ),
    (
        {"balance_adds_up": 2, "no_fee_event_is_in_two_settlements": 1},
        "update public.settlements set currency = 'USD' where currency = 'KWD'",
    ),
    (
        {"balance_adds_up": 2, "no_fee_event_is_in_two_settlements": 1},
        "update public.settlements set beneficiary_id = private.thinker_id('issuer') where currency = 'KWD'",
    ),
    # an accepted offer without a contract, a contract without an accepted offer
    (
        {"every_accepted_offer_has_one_contract": 1},
        "update public.mortgage_offers set status = 'accepted' where id = 'o'",
    ),
    (
        {"every_accepted_offer_has_one_contract": 2},
        "insert into public.mortgage_contracts (offer_id, created_at)"
        " select unnest(array['o', 'p']), '2001-01-01'",  # from a time whose events were purged
    ),
    # a write without its event, or with two
    ({"every_write_has_its_event": 1}, "delete from public.events where type = 'voucher.issue' and subject_id = 'v'"),
    ({"every_write_has_its_event": 5}, "delete from public.events where type = 'voucher.book'"),
    ({"every_write_has_its_event": 1}, "delete from public.events where type = 'voucher.cancel'"),
    ({"every_write_has_its_event": 2}, "delete from public.events where type = 'mortgage.application'"),
    ({"every_write_has_its_event": 3}, "delete from public.events where type = 'mortgage.offer'"),
    ({"every_write_has_its_event": 1}, "delete from public.events where type = 'transfer.logged'"),
    ({"every_write_has_its_event": 2}, "delete from public.events where type = 'settlement.created'"),
    ({"every_write_has_its_event": 1}, "delete from public.events where type = 'settlement.invoiced'"),
    ({"every_write_has_its_event": 1}, "delete from public.events where type = 'settlement.paid'"),
    ({"every_write_has_its_event": 1}, "delete from public.events where type = 'telemetry.event'"),
    ({"every_write_has_its_event": 1}, "insert into public.telemetry_events (type) values ('page.view')"),
    (
        {"every_write_has_its_event": 1},
        "update public.mortgage_contracts set borrower_signed_at = now(), updated_at = now()",
    ),
    (
        {"every_write_has_its_event": 1},
        "insert into public.events (type, subject_type, subject_id)"
        " select type, subject_type, subject_id from public.events where type = 'voucher.cancel'",
    ),
    (
        {"every_write_has_its_event": 1},
        "insert into public.contracts (name, byte_size, storage_url, hash_sha256)"
        " values ('c', 0, 'contracts/c/c', repeat('0', 64))",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "how"), BREAKS)
def test_a_violation_is_found_by_its_rules_alone(
    kept: psycopg.Connection, rules: dict[str, int], how: LiteralString
) -> None:
    with unchecked(kept):
        kept.execute(how)
    assert violations(kept) == rules


@pytest.mark.parametrize(("rules", "how"), BREAKS)
def test_the_dashboard_shows_the_violations(
    kept: psycopg.Connection, rules: dict[str, int], how: LiteralString
) -> None:
    assert run(kept, "check-invariants").error is None
    with unchecked(kept):
        kept.execute(how)
    assert shown(kept) == rules


def test_the_dashboard_looks_at_the_log_since_the_day_before_the_last_good_check(kept: psycopg.Connection) -> None:
    with unchecked(kept):
        kept.execute("update public.transfers set created_at = created_at - interval '3 days'")
    assert run(kept, "check-invariants").error is None
    with unchecked(kept):
        kept.execute("delete from public.events where type = 'transfer.logged'")
    assert shown(kept) == {}
    with unchecked(kept):
        kept.execute("delete from public.events where type = 'voucher.issue' and subject_id = 'w'")
    assert shown(kept) == {"every_write_has_its_event": 1}
    # its event is there, but older than what the dashboard looks at
    with unchecked(kept):
        kept.execute("update public.events set created_at = created_at - interval '3 days' where subject_id = 'free'")
    assert shown(kept) == {"every_write_has_its_event": 1}
    # the job looks at all, and once it has found something the dashboard does, too
    assert run(kept, "check-invariants").error == "Violated: every_write_has_its_event (2)"
    assert shown(kept) == {"every_write_has_its_event": 2}


def shown(connection: psycopg.Connection) -> dict[str, int]:
    """Returns the violated rules of the dashboard, each with its number of rows."""
    invariants = act(connection, SERVER, "system_stats")["invariants"]
    assert {rule["name"] for rule in invariants} == set(RULES)
    return {rule["name"]: rule["violations"] for rule in invariants if rule["violations"]}


def test_every_rule_is_violated_here() -> None:
    assert set().union(*(rules for rules, _ in BREAKS)) == set(RULES)


# valid rows


def booked_before_and_after(connection: psycopg.Connection, change: Callable[[], None]) -> None:
    """A booking, a change of the fee ten hours later, and another booking ten hours after that."""
    booked(connection, voucher_id="before")
    with unchecked(connection):
        connection.execute("update public.voucher_bookings set created_at = created_at - interval '20 hours'")
    change()
    with unchecked(connection):
        connection.execute(
            "update public.fee_versions set valid_from = now() - interval '10 hours' where valid_from > '2020-01-01'"
        )
    booked(connection, voucher_id="after")


CHANGES: dict[str, Callable[[psycopg.Connection], None]] = {
    "no longer active": lambda c: set_fee(c, active=False),
    "another price": lambda c: set_fee(c, percentage=1),
    "nothing": lambda c: set_fee(c, percentage=0),
    "of something else": lambda c: set_fee(c, scope="room"),
    "another is charged as well": lambda c: add_fee(c, "voucher.more", "voucher", percentage=1),
    "a fee of something else is charged": lambda c: set_fee(c, "transfer.logged", scope="voucher", active=True),
    "in another currency": lambda c: set_fee(c, fixed_amount=5, currency="USD"),
    "at most nothing": lambda c: set_fee(c, max_cents=0, currency="EUR"),
    "for somebody else": lambda c: set_fee(c, beneficiary_id=thinker_named(c, "anna")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_fee_breaks_no_rule(
    kept: psycopg.Connection, change: Callable[[psycopg.Connection], None]
) -> None:
    booked_before_and_after(kept, lambda: change(kept))
    assert violations(kept) == {}


def test_an_uncharged_booking_is_found_although_the_fee_changed_later(kept: psycopg.Connection) -> None:
    booked_before_and_after(kept, lambda: set_fee(kept, percentage=1))
    with unchecked(kept):
        kept.execute(
            "delete from public.fee_events where subject_type = 'voucher_booking' and subject_id in ("
            " select id from public.voucher_bookings where voucher_id in ('before', 'after'))"
        )
    assert violations(kept) == {"every_booking_is_charged_once": 2}


def test_writes_whose_events_were_purged_break_no_rule(kept: psycopg.Connection) -> None:
    with unchecked(kept):
        kept.execute("update public.transfers set created_at = created_at - interval '14 months'")
        kept.execute("delete from public.events where type = 'transfer.logged'")
    assert violations(kept) == {}


@pytest.mark.clock
def test_history_is_charged_when_it_is_inserted_and_breaks_no_rule(kept: psycopg.Connection) -> None:
    with unchecked(kept):
        kept.execute("update public.fee_versions set valid_from = '2020-01-01'")
    set_fee(kept, active=False)
    kept.execute(
        "insert into public.vouchers (id, issuer_id, valid_from, valid_until, price_amount, price_currency, created_at)"
        " select 'old', issuer_id, '2025-01-01', '2025-01-02', 500, 'EUR', now() - interval '2 months'"
        " from public.vouchers limit 1"
    )
    kept.execute(
        "insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at)"
        " select 'old', id, issuer_id, issuer_id, valid_from, valid_until, created_at from public.vouchers"
        " where id = 'old'"
    )
    kept.execute("update public.vouchers set status = 'booked', holder_id = issuer_id where id = 'old'")
    logged = one(
        kept, "select created_at = now() from public.events where subject_id = 'old' and type = 'voucher.book'"
    )
    assert logged
    assert one(kept, "select count(*) from public.fee_events where subject_id = 'old'") == 0
    assert violations(kept) == {}
