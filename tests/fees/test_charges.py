"""Charges through functions and plain SQL: in the same transaction, once, with an explanation, and reversed."""

from decimal import Decimal
from functools import partial
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors

from api.actor import SERVER, Actor
from tests.fees.arithmetic import SAFE
from tests.fees.scene import (
    HOLDER,
    ISSUER,
    NINE,
    PORTAL,
    add_fee,
    amounts,
    book,
    booked,
    cancel,
    fee_events,
    issue,
    late,
    set_fee,
    settle,
    thinker_named,
)
from tests.support.acting import act, act_or_reason, call, call_or_reason, connections, one, thinker, unchecked
from tests.support.charging import violations
from tests.support.parallel import at_once

BORROWER, LENDER = thinker("borrower"), thinker("lender", "lender")


def test_a_booking_is_charged_two_percent_by_default(books: psycopg.Connection) -> None:
    booking = booked(books, 12345)
    [event] = fee_events(books)
    assert (event.fee_id, event.subject_type, event.subject_id) == ("voucher.booking", "voucher_booking", booking)
    assert (event.amount_cents, event.currency, event.beneficiary_id) == (247, "EUR", PORTAL)
    assert (event.base_cents, event.rate, event.fixed_cents) == (12345, Decimal("0.02"), 0)
    assert (event.unrounded, event.bound) == (Decimal("246.9"), None)
    assert (event.reverses, event.settlement_id) == (None, None)
    assert event.created_at == one(books, "select created_at from public.voucher_bookings")
    assert violations(books) == {}


def test_a_charge_is_rolled_back_with_its_booking(database: str) -> None:
    with connections(database, 2) as (first, second):
        issue(second)
        with first.transaction(force_rollback=True):
            book(first)
            assert amounts(first) == [(240, "EUR")]
            assert amounts(second) == []
        assert amounts(second) == []
        with first.transaction():
            book(first)
        assert amounts(second) == [(240, "EUR")]


def test_a_refused_booking_is_charged_nothing(books: psycopg.Connection) -> None:
    booked(books)
    refused = act_or_reason(books, thinker("late"), "book_voucher", voucher_id="v", slot_start=NINE)
    assert refused == "slot_taken"
    assert amounts(books) == [(240, "EUR")]


@pytest.mark.parametrize(("price", "currency"), [(None, None), (0, "EUR"), (0, "JPY")])
def test_a_free_voucher_leaves_no_fee_event(books: psycopg.Connection, price: int | None, currency: str | None) -> None:
    booked(books, price, currency)
    assert fee_events(books) == []
    assert violations(books) == {}


def test_bookings_in_plain_sql_are_charged_each(books: psycopg.Connection) -> None:
    issue(books, "dear", 10000, "JPY")
    issue(books, "cheap", 25, "KWD")
    books.execute(
        "insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)"
        " select v.id, v.issuer_id, private.ensure_thinker('holder'), v.valid_from + h * interval '1 hour',"
        " v.valid_from + (h + 1) * interval '1 hour' from public.vouchers v, generate_series(0, 2) h"
    )
    assert amounts(books) == [(1, "KWD")] * 3 + [(200, "JPY")] * 3


def test_an_issuer_that_books_its_own_voucher_blocks_the_slot_and_pays_nothing(books: psycopg.Connection) -> None:
    add_fee(books, "voucher.handling", "voucher", fixed_amount=30, currency="EUR")
    booking = book(books, issue(books), holder=ISSUER)
    assert act_or_reason(books, HOLDER, "book_voucher", voucher_id="v", slot_start=NINE) == "slot_taken"
    assert one(books, "select count(*) from private.booking_facts") == 0
    cancel(books, booking, ISSUER)
    assert fee_events(books) == []
    assert violations(books) == {}


def test_the_price_is_that_of_the_voucher_at_its_booking(books: psycopg.Connection) -> None:
    booking = booked(books, 10000)
    cancel(books, booking)
    books.execute("update public.vouchers set price_amount = 20000, price_currency = 'USD'")
    later = book(books, slot=1)
    assert amounts(books, booking) == [(-200, "EUR"), (200, "EUR")]
    assert amounts(books, later) == [(400, "USD")]


@pytest.mark.parametrize(
    ("price", "amount", "bound"),
    [(2499, 50, "minimum"), (2500, 50, None), (50000, 1000, None), (50001, 1000, "maximum"), (0, 50, "minimum")],
)
def test_a_booking_is_charged_within_the_bounds(
    books: psycopg.Connection, price: int, amount: int, bound: str | None
) -> None:
    set_fee(books, currency="EUR", min_cents=50, max_cents=1000)
    booked(books, price)
    [event] = fee_events(books)
    assert (event.amount_cents, event.bound, event.unrounded) == (amount, bound, price * Decimal("0.02"))


def test_a_fixed_part_in_another_currency_is_a_second_charge_and_both_are_reversed(books: psycopg.Connection) -> None:
    set_fee(books, fixed_amount=35, currency="EUR", min_cents=100, max_cents=100)
    booking = booked(books, 5025, "JPY")
    assert amounts(books) == [(35, "EUR"), (101, "JPY")]
    cancel(books, booking)
    assert amounts(books) == [(-101, "JPY"), (-35, "EUR"), (35, "EUR"), (101, "JPY")]
    assert violations(books) == {}


def test_every_active_fee_of_the_scope_and_no_other_is_charged(books: psycopg.Connection) -> None:
    anna = thinker_named(books, "anna")
    add_fee(books, "voucher.handling", "voucher", fixed_amount=30, currency="EUR", beneficiary_id=anna)
    add_fee(books, "voucher.off", "voucher", fixed_amount=31, currency="EUR", active=False)
    add_fee(books, "room.rent", "room", fixed_amount=32, currency="EUR")
    add_fee(books, "mortgage.accepted", "mortgage", fixed_amount=33, currency="EUR")
    set_fee(books, "transfer.logged", active=True, fixed_amount=34, currency="EUR")
    booking = booked(books, 1000)
    assert [(e.fee_id, e.amount_cents, e.beneficiary_id) for e in fee_events(books)] == [
        ("voucher.booking", 20, PORTAL),
        ("voucher.handling", 30, anna),
    ]
    cancel(books, booking)
    assert [(e.fee_id, e.amount_cents, e.beneficiary_id) for e in fee_events(books)][:2] == [
        ("voucher.handling", -30, anna),
        ("voucher.booking", -20, PORTAL),
    ]


def test_an_inactive_fee_is_reversed_but_not_charged(books: psycopg.Connection) -> None:
    before = booked(books)
    set_fee(books, active=False)
    book(books, slot=1)
    assert amounts(books) == [(240, "EUR")]
    cancel(books, before)
    assert amounts(books) == [(-240, "EUR"), (240, "EUR")]


def test_a_charge_that_fails_fails_the_booking(books: psycopg.Connection) -> None:
    issue(books)
    books.execute("alter table public.fees drop constraint amounts_are_safe")
    set_fee(books, fixed_amount=2**63 - 1, currency="EUR")
    with pytest.raises(errors.NumericValueOutOfRange), books.transaction():
        book(books)
    assert one(books, "select status from public.vouchers") == "issued"
    for table in ("voucher_bookings", "fee_events"):
        assert one(books, f"select count(*) from public.{table}") == 0
    assert one(books, "select count(*) from public.events where type = 'voucher.book'") == 0


def test_the_largest_price_at_the_highest_fee_is_charged(books: psycopg.Connection) -> None:
    set_fee(books, percentage=1, fixed_amount=SAFE, currency="EUR")
    booked(books, SAFE)
    assert amounts(books) == [(2 * SAFE, "EUR")]


# transfers


def log(connection: psycopg.Connection, fiat_major: str, currency: str) -> str:
    """Logs a transfer, and returns its id."""
    answer = act(
        connection,
        HOLDER,
        "log_transfer",
        direction="in",
        crypto_amount=1,
        crypto_symbol="ETH",
        fiat_major=Decimal(fiat_major),
        fiat_currency=currency,
    )
    transfer: str = answer["id"]
    return transfer


def test_transfers_are_charged_nothing_by_default(books: psycopg.Connection) -> None:
    log(books, "100", "EUR")
    assert fee_events(books) == []


@pytest.mark.parametrize(
    ("fiat", "currency", "expected"),
    [
        ("100", "EUR", [(100, "EUR")]),
        ("0.50", "EUR", [(1, "EUR")]),
        ("0.49", "EUR", [(0, "EUR")]),
        ("50", "JPY", [(1, "JPY")]),
        ("0.050", "KWD", [(1, "KWD")]),
        ("100", "eur", [(100, "EUR")]),
        ("0", "EUR", []),
        ("-100", "EUR", [(100, "EUR")]),
        ("-0.01", "JPY", []),
        ("90071992547409.91", "EUR", [(90071992547410, "EUR")]),
    ],
)
def test_a_transfer_is_charged_on_its_fiat_amount(
    books: psycopg.Connection, fiat: str, currency: str, expected: list[tuple[int, str]]
) -> None:
    set_fee(books, "transfer.logged", active=True, percentage=Decimal("0.01"))
    transfer = log(books, fiat, currency)
    assert amounts(books) == expected
    assert {(e.subject_type, e.subject_id) for e in fee_events(books)} <= {("transfer", transfer)}
    assert violations(books) == {}


def test_a_transfer_in_plain_sql_is_charged_and_its_correction_is_not(books: psycopg.Connection) -> None:
    set_fee(books, "transfer.logged", active=True, fixed_amount=5, currency="EUR")
    books.execute(
        "insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label)"
        " values ('one', 'in', 1, 'ETH', 1, 'USD', ''), ('none', 'in', 1, 'ETH', -1, 'EUR', ''),"
        " ('free', 'in', 1, 'ETH', 0, 'JPY', '')"
    )
    assert [(e.subject_id, e.amount_cents, e.currency) for e in fee_events(books)] == [
        ("one", 5, "EUR"),
        ("free", 5, "EUR"),
    ]


@pytest.mark.parametrize("actor", [thinker("sender"), Actor("service_role", "sender")], ids=["thinker", "server"])
def test_a_correction_of_a_thinker_is_charged_as_the_transfer_that_it_may_be(
    books: psycopg.Connection, actor: Actor
) -> None:
    set_fee(books, "transfer.logged", active=True, percentage=Decimal("0.01"))
    for direction, amount in (("in", 1000), ("out", -1000)):
        act(
            books, actor, "log_transfer", direction=direction, crypto_amount=amount, crypto_symbol="ETH",
            fiat_major=amount, fiat_currency="EUR",
        )  # fmt: skip
    assert amounts(books) == [(1000, "EUR")] * (2 if actor.role == "authenticated" else 1)
    assert violations(books) == {}


# mortgages

EURO = {"desired_loan": 25000000, "currency": "EUR"}

LOANS: list[tuple[object, dict[str, object], tuple[int, str] | None]] = [
    # offer, request -> the base of the fee
    (None, EURO, (25000000, "EUR")),
    ({"amount": 20000000, "currency": "CHF"}, EURO, (20000000, "CHF")),
    ({"amount": 20000000}, EURO, (20000000, "EUR")),
    ({"amount": 20000000, "currency": None}, EURO, (20000000, "EUR")),
    ({"amount": 20000000, "currency": 978}, EURO, (20000000, "EUR")),
    ({"amount": 20000000, "currency": "chf"}, EURO, (20000000, "CHF")),
    ({"amount": 0.5}, EURO, (1, "EUR")),
    ({"amount": 2.4}, EURO, (2, "EUR")),
    ({"amount": 0}, EURO, None),
    ({"amount": SAFE}, EURO, (SAFE, "EUR")),
    # a larger principal beside the amount counts, up to the desired loan, and no other number does
    ({"amount": 1, "principal": 25000000}, EURO, (25000000, "EUR")),
    ({"amount": 1, "principal": 20000000}, EURO, (20000000, "EUR")),
    ({"amount": 1, "currency": "CHF", "of": {"bank": {"amount": 3}, "Principal": 20000000}}, EURO, (20000000, "CHF")),
    ({"amount": 1, "principal": "20000000.4"}, EURO, (20000000, "EUR")),
    ({"amount": 1, "AMOUNT": "99000000"}, EURO, (25000000, "EUR")),
    ({"amount": 1, "tranches": [{"amount": 20000000}]}, EURO, (20000000, "EUR")),
    ({"amount": 1, "principal": "much", "of": {"principal": [2]}}, EURO, (1, "EUR")),
    ({"amount": 10000000, "createdAt": 1764219600000}, {"desired_loan": SAFE}, (10000000, "EUR")),
    ({"amount": 20000000, "value_of_the_house": 99000000}, EURO, (20000000, "EUR")),
    ({"amount": 30000000, "value_of_the_house": 99000000}, EURO, (30000000, "EUR")),
    ({"amount": 20000000, "years": 20, "rate": 0.03, "huge": 1e300, "text": "25000000"}, EURO, (20000000, "EUR")),
    ({"amount": 1, "principal": 25000000}, {}, (25000000, "EUR")),
    # the offer has no amount of money: the request counts
    ({"amount": SAFE + 1, "currency": "CHF"}, EURO, (25000000, "EUR")),
    ({"amount": 1e300, "currency": "CHF"}, EURO, (25000000, "EUR")),
    ({"amount": -1, "currency": "CHF"}, EURO, (25000000, "EUR")),
    ({"amount": "20000000", "currency": "CHF"}, EURO, (25000000, "EUR")),
    ({"amount": True}, EURO, (25000000, "EUR")),
    ({"amount": [1]}, EURO, (25000000, "EUR")),
    ({"amount": None}, EURO, (25000000, "EUR")),
    ({"currency": "CHF"}, EURO, (25000000, "EUR")),
    ({}, EURO, (25000000, "EUR")),
    ([], EURO, (25000000, "EUR")),
    ([{"amount": 1}], EURO, (25000000, "EUR")),
    # the request has none either
    (None, {}, None),
    ({"amount": "much"}, {}, None),
    ({"amount": 100}, {}, (100, "EUR")),
    # nor the offer a number as its amount: what it names otherwise is no way around the fee
    ({"amount": "20000000", "currency": "CHF"}, {}, (20000000, "CHF")),
    ({"principal": 20000000}, {}, (20000000, "EUR")),
    ({"amount": 100, "currency": "JPY"}, {}, (100, "JPY")),
]


@pytest.mark.parametrize(("loan", "asked", "base"), LOANS)
def test_the_base_of_the_fee_is_the_accepted_loan(
    books: psycopg.Connection, loan: object, asked: dict[str, object], base: tuple[int, str] | None
) -> None:
    add_fee(books, "mortgage.accepted", "mortgage", percentage=1)
    act(books, BORROWER, "apply_for_mortgage", application_id="a", **asked)
    act(books, LENDER, "offer_mortgage", application_id="a", offer_id="o", loan=loan)
    act(books, LENDER, "offer_mortgage", application_id="a", offer_id="other", loan={"amount": 1})
    assert fee_events(books) == []
    contract = act(books, BORROWER, "accept_mortgage_offer", offer_id="o")["contract"]
    events = fee_events(books)
    assert [(e.base_cents, e.currency) for e in events] == ([base] if base else [])
    assert {(e.subject_type, e.subject_id) for e in events} <= {("mortgage_contract", contract["id"])}


@pytest.mark.parametrize("currency", ["EUR\u200b", " EUR", "ABC", "x" * 1000])
def test_an_offer_in_an_unknown_currency_is_refused(books: psycopg.Connection, currency: str) -> None:
    act(books, BORROWER, "apply_for_mortgage", application_id="a", **EURO)
    loan = {"amount": 1, "currency": currency}
    assert act_or_reason(books, LENDER, "offer_mortgage", application_id="a", loan=loan) == "currency_unknown"


@pytest.mark.parametrize(
    ("loan", "difference"),
    [
        (None, {}),
        ({"amount": 25000000}, {}),
        ({"amount": 20000000}, {"amount": 20000000, "currency": "EUR"}),
        ({"amount": 25000000, "currency": "CHF"}, {"amount": 25000000, "currency": "CHF"}),
    ],
)
def test_an_offer_that_differs_from_the_application_says_so(
    books: psycopg.Connection, loan: object, difference: dict[str, object]
) -> None:
    act(books, BORROWER, "apply_for_mortgage", application_id="a", **EURO)
    offer = act(books, LENDER, "offer_mortgage", application_id="a", offer_id="o", loan=loan)
    assert offer["loan"] == loan
    assert offer["differs_from_application"] is bool(difference)
    act(books, BORROWER, "accept_mortgage_offer", offer_id="o")
    logged = books.execute("select meta -> 'loan' from public.events where subject_type = 'mortgage_offer'").fetchall()
    assert logged == [(difference or None,)] * 2


@pytest.mark.parametrize("loan", ["5", '"EUR"', "null", "true"])
def test_a_loan_that_is_not_an_object_counts_as_none(books: psycopg.Connection, loan: str) -> None:
    add_fee(books, "mortgage.accepted", "mortgage", percentage=Decimal("0.01"))
    act(books, BORROWER, "apply_for_mortgage", application_id="a", **EURO)
    act(books, LENDER, "offer_mortgage", application_id="a", offer_id="o")
    books.execute("update public.mortgage_offers set loan = %s::jsonb", (loan,))
    # in plain SQL
    books.execute("update public.mortgage_offers set status = 'accepted'")
    books.execute("insert into public.mortgage_contracts (offer_id) values ('o')")
    assert amounts(books) == [(250000, "EUR")]


# prices change


def test_a_change_of_price_does_not_alter_earlier_charges(books: psycopg.Connection) -> None:
    first = booked(books, 10000)
    charged = fee_events(books, first)
    set_fee(books, percentage=Decimal("0.05"), fixed_amount=30, currency="EUR", max_cents=1000)
    second = book(books, slot=1)
    assert fee_events(books, first) == charged
    assert amounts(books, second) == [(530, "EUR")]
    cancel(books, first)
    assert amounts(books, first) == [(-200, "EUR"), (200, "EUR")]


def test_a_change_of_beneficiary_does_not_alter_earlier_charges(books: psycopg.Connection) -> None:
    first = booked(books, 10000)
    anna = thinker_named(books, "anna")
    set_fee(books, beneficiary_id=anna)
    book(books, slot=1)
    cancel(books, first)
    owed = [(e.amount_cents, e.beneficiary_id) for e in fee_events(books)]
    assert sorted(owed, key=str) == sorted([(-200, PORTAL), (200, PORTAL), (200, anna)], key=str)
    assert violations(books) == {}


def versions(connection: psycopg.Connection, fee_id: str = "voucher.booking") -> list[tuple[object, ...]]:
    return connection.execute(
        "select scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id,"
        " reversed_after_start, payer from public.fee_versions where fee_id = %s order by valid_from, id",
        (fee_id,),
    ).fetchall()


def fee_changes(connection: psycopg.Connection) -> list[tuple[str, dict[str, object]]]:
    return connection.execute(
        "select subject_id, meta from public.events where type = 'fee.changed' order by id"
    ).fetchall()


DEFAULT = ("voucher", Decimal("0.02"), 0, None, None, None, True, PORTAL, False, None)
DEFAULT_META = {
    "scope": "voucher",
    "percentage": 0.02,
    "fixed_amount": 0,
    "currency": None,
    "min_cents": None,
    "max_cents": None,
    "active": True,
    "beneficiary_id": str(PORTAL),
    "reversed_after_start": False,
    "payer": None,
}


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ({"percentage": Decimal("0.03")}, DEFAULT_META | {"percentage": 0.03}),
        ({"active": False}, DEFAULT_META | {"active": False}),
        ({"scope": "room"}, DEFAULT_META | {"scope": "room"}),
        ({"reversed_after_start": True}, DEFAULT_META | {"reversed_after_start": True}),
        ({"payer": "holder"}, DEFAULT_META | {"payer": "holder"}),
        (
            {"fixed_amount": 5, "currency": "EUR", "min_cents": 1, "max_cents": 9},
            DEFAULT_META | {"fixed_amount": 5, "currency": "EUR", "min_cents": 1, "max_cents": 9},
        ),
    ],
)
def test_a_change_of_a_fee_leaves_a_version_and_an_event(
    books: psycopg.Connection, columns: dict[str, object], kept: dict[str, object]
) -> None:
    assert versions(books) == [DEFAULT]
    books.execute("set local portal.operator = 'alice'")
    set_fee(books, "voucher.booking", **columns)
    [default, changed] = versions(books)
    assert default == DEFAULT
    assert [float(v) if isinstance(v, Decimal) else v for v in changed[:7]] == list(kept.values())[:7]
    assert changed[-2:] == (kept["reversed_after_start"], kept["payer"])
    assert fee_changes(books) == [("voucher.booking", {"before": DEFAULT_META, "after": kept, "by": "alice"})]
    assert one(books, "select changed_by from public.fee_versions order by valid_from desc limit 1") == "alice"


def test_a_new_fee_leaves_a_version_and_an_event(books: psycopg.Connection) -> None:
    books.execute("insert into public.fees (id, scope) values ('new', 'room')")
    assert versions(books, "new") == [("room", Decimal(0), 0, None, None, None, False, PORTAL, False, None)]
    [(fee, meta)] = fee_changes(books)
    assert (fee, meta["before"]) == ("new", None)
    assert meta["after"] == DEFAULT_META | {"scope": "room", "percentage": 0.0, "active": False}


@pytest.mark.parametrize("change", ["percentage = percentage", "percentage = 0.0200", "meta = '{\"note\": 1}'"])
def test_an_update_without_a_change_of_price_leaves_no_version(
    books: psycopg.Connection, change: LiteralString
) -> None:
    books.execute(f"update public.fees set {change} where id = 'voucher.booking'")
    assert versions(books) == [DEFAULT]
    assert fee_changes(books) == []


def test_versions_of_a_fee_are_append_only(books: psycopg.Connection) -> None:
    for statement in ("update public.fee_versions set active = false", "delete from public.fee_versions"):
        with pytest.raises(psycopg.Error, match="append_only"), books.transaction():
            books.execute(statement)
    # PostgreSQL 18 renamed it
    with pytest.raises((errors.ForeignKeyViolation, errors.RestrictViolation)), books.transaction():
        books.execute("delete from public.fees where id = 'transfer.logged'")


# cancellations


def test_a_cancellation_reverses_the_charge_once(books: psycopg.Connection) -> None:
    booking = booked(books)
    for actor in (HOLDER, ISSUER, SERVER):
        cancel(books, booking, actor)
    [back, charge] = fee_events(books)
    assert (back.reverses, back.amount_cents, back.currency) == (charge.id, -240, "EUR")
    assert (back.fee_id, back.subject_type, back.subject_id) == ("voucher.booking", "voucher_booking", booking)
    assert (back.base_cents, back.rate, back.fixed_cents, back.unrounded, back.bound) == (None,) * 5
    assert violations(books) == {}


def test_a_new_booking_after_a_cancellation_is_charged_again(books: psycopg.Connection) -> None:
    issue(books)
    for _ in range(3):
        cancel(books, book(books))
    book(books)
    assert amounts(books) == [(-240, "EUR")] * 3 + [(240, "EUR")] * 4
    assert violations(books) == {}


def test_cancellations_in_plain_sql_reverse_the_charges(books: psycopg.Connection) -> None:
    issue(books)
    for slot in range(3):
        book(books, slot=slot)
    for _ in range(2):
        books.execute("update public.voucher_bookings set status = 'cancelled', cancelled_at = now()")
    assert amounts(books) == [(-240, "EUR")] * 3 + [(240, "EUR")] * 3


def test_a_charge_of_zero_is_reversed_too(books: psycopg.Connection) -> None:
    cancel(books, booked(books, 1))
    assert amounts(books) == [(0, "EUR"), (0, "EUR")]
    assert violations(books) == {}


def test_a_cancellation_after_the_settlement_belongs_to_the_next(books: psycopg.Connection) -> None:
    booking = booked(books)
    [first] = settle(books)
    cancel(books, booking)
    # a negative sum waits for more
    assert settle(books) == settle(books, dry_run=True) == []
    book(books, slot=1)
    [second] = settle(books)
    assert (first["total_cents"], second["total_cents"]) == (240, 0)
    assert [str(e.settlement_id) for e in fee_events(books, booking)] == [second["id"], first["id"]]
    assert settle(books) == []
    assert violations(books) == {}


# from the start of the slot on


@pytest.mark.parametrize("actor", [HOLDER, ISSUER, SERVER])
def test_a_cancellation_from_the_start_on_leaves_the_charge(books: psycopg.Connection, actor: Actor) -> None:
    booking = booked(books)
    late(books, booking)
    cancel(books, booking, actor)
    assert one(books, "select status from public.voucher_bookings") == "cancelled"
    assert amounts(books) == [(240, "EUR")]
    assert violations(books) == {}


def test_a_cancellation_reads_the_charges_of_its_booking_only(books: psycopg.Connection) -> None:
    booking = booked(books)
    # as with many charges; of the few of other tests a vacuum may have counted none
    books.execute("update pg_class set relpages = 1, reltuples = 100000 where oid = 'public.fee_events'::regclass")
    books.execute("set local enable_seqscan = off")
    seq_scans = "select seq_scan from pg_stat_xact_user_tables where relid = 'public.fee_events'::regclass"
    index_scans = "select pg_stat_get_xact_numscans('public.one_charge_a_fee_and_subject'::regclass)"
    before = one(books, seq_scans), one(books, index_scans)
    cancel(books, booking, HOLDER)
    assert (one(books, seq_scans), one(books, index_scans)) == (before[0], before[1] + 1)
    assert amounts(books, booking) == [(-240, "EUR"), (240, "EUR")]


def test_the_moment_of_the_start_is_late_and_the_one_before_is_not(books: psycopg.Connection) -> None:
    issue(books)
    early, at_the_start = book(books), book(books, slot=1)
    for booking, before in ((early, "1 microsecond"), (at_the_start, "0")):
        books.execute(
            "update public.voucher_bookings set status = 'cancelled', cancelled_at = slot_start - %s::interval"
            " where id = %s",
            (before, booking),
        )
    assert amounts(books, early) == [(-240, "EUR"), (240, "EUR")]
    assert amounts(books, at_the_start) == [(240, "EUR")]


def test_a_fee_that_allows_it_is_reversed_from_the_start_on_too(books: psycopg.Connection) -> None:
    add_fee(books, "voucher.handling", "voucher", fixed_amount=30, currency="EUR", reversed_after_start=True)
    booking = booked(books)
    late(books, booking)
    cancel(books, booking)
    assert amounts(books) == [(-30, "EUR"), (30, "EUR"), (240, "EUR")]


def test_an_operator_gives_a_charge_back_once_and_says_why(books: psycopg.Connection) -> None:
    booking = booked(books)
    late(books, booking)
    cancel(books, booking)
    settle(books)
    [charge] = fee_events(books)
    returned = one(books, "select public.reverse_fee(%s, 'nobody came')", charge.id)
    [back, _] = fee_events(books)
    assert (str(back.id), back.reverses, back.amount_cents, back.reason) == (
        *(returned["id"], charge.id, -240, "nobody came"),
    )
    assert (back.currency, back.beneficiary_id, back.settlement_id) == ("EUR", PORTAL, None)
    for event_id, code in ((charge.id, "fee_already_reversed"), (back.id, "fee_event_not_found")):
        refused = act_or_reason(books, SERVER, "reverse_fee", fee_event_id=event_id, reason="again")
        assert refused == code
    assert violations(books) == {}


@pytest.mark.parametrize(
    ("actor", "by"), [(None, "session_user"), (SERVER, "'service_role'"), (thinker("boss", "admin"), "'boss'")]
)
def test_the_log_says_who_gave_a_charge_back(books: psycopg.Connection, actor: Actor | None, by: LiteralString) -> None:
    booked(books)
    thinker_named(books, "boss")
    [charge] = fee_events(books)
    if actor:
        act(books, actor, "reverse_fee", fee_event_id=charge.id, reason="goodwill")
    else:
        books.execute("select public.reverse_fee(%s, 'goodwill')", (charge.id,))
    [logged] = books.execute(
        f"select private.uid_of(actor_id), meta ->> 'by' = {by}, meta ->> 'reason', meta ->> 'reverses'"
        " from public.events where type = 'fee.reversed'"
    ).fetchall()
    assert logged == (actor and actor.uid, True, "goodwill", str(charge.id))


def test_only_operators_give_a_charge_back_and_only_with_a_reason(books: psycopg.Connection) -> None:
    booked(books)
    [charge] = fee_events(books)
    for actor in (HOLDER, ISSUER):
        assert act_or_reason(books, actor, "reverse_fee", fee_event_id=charge.id, reason="mine") == "not_an_admin"
    for empty in (None, "", "  "):
        assert act_or_reason(books, SERVER, "reverse_fee", fee_event_id=charge.id, reason=empty) == "reason_required"
    assert amounts(books) == [(240, "EUR")]


def test_cancellations_and_a_reversal_at_the_start_give_a_charge_back_once(database: str) -> None:
    with connections(database, 3) as (first, second, third):
        issue(first, hours=20)
        for slot in range(20):
            booking = book(first, slot=slot)
            [charge] = fee_events(first, booking)
            with unchecked(first):
                first.execute(
                    "update public.voucher_bookings set slot_start = clock_timestamp() + interval '3 ms' where id = %s",
                    (booking,),
                )
            cancelled, again, reversal = at_once(
                [
                    partial(call, first, HOLDER, "cancel_booking", booking_id=booking),
                    partial(call, second, ISSUER, "cancel_booking", booking_id=booking),
                    partial(call_or_reason, third, SERVER, "reverse_fee", fee_event_id=charge.id, reason="goodwill"),
                ]
            )
            assert cancelled == again
            assert amounts(first, booking) == [(-240, "EUR"), (240, "EUR")]
            assert isinstance(reversal, dict) or reversal == "fee_already_reversed"
        assert violations(first) == {}


# impossible for everybody, even the owner


def charge_again(connection: psycopg.Connection, changes: str) -> None:
    """Inserts a copy of the charge, with changes."""
    connection.execute(
        "insert into public.fee_events select (jsonb_populate_record(c, %s::jsonb)).* from public.fee_events c"
        " where c.reverses is null",
        (changes,),
    )


NEW = "6f1a8f5e-0000-4000-8000-000000000001"
UNEXPLAINED = '"base_cents": null, "rate": null, "fixed_cents": null, "unrounded": null'


def test_a_second_charge_of_a_fee_and_subject_is_impossible(books: psycopg.Connection) -> None:
    booked(books)
    with pytest.raises(errors.UniqueViolation) as raised, books.transaction():
        charge_again(books, f'{{"id": "{NEW}", "amount_cents": 1, "unrounded": 1, "fixed_cents": 1, "rate": 0}}')
    assert raised.value.diag.constraint_name == "one_charge_a_fee_and_subject"
    # the second currency of a fixed part
    charge_again(books, f'{{"id": "{NEW}", "currency": "USD"}}')
    assert amounts(books) == [(240, "EUR"), (240, "USD")]


def test_a_second_reversal_is_impossible(books: psycopg.Connection) -> None:
    cancel(books, booked(books))
    [_, charge] = fee_events(books)
    for amount, currency, impossible in ((0, "EUR", errors.UniqueViolation), (-240, "USD", errors.CheckViolation)):
        with pytest.raises(impossible), books.transaction():
            charge_again(
                books,
                f'{{"id": "{NEW}", "reverses": "{charge.id}", "amount_cents": {amount}, "currency": "{currency}",'
                f" {UNEXPLAINED}}}",
            )
    assert amounts(books) == [(-240, "EUR"), (240, "EUR")]


def test_a_new_fee_event_belongs_to_no_settlement(books: psycopg.Connection) -> None:
    booked(books)
    [settlement] = settle(books)
    with pytest.raises(psycopg.Error, match="append_only"), books.transaction():
        charge_again(books, f'{{"id": "{NEW}", "subject_id": "another", "settlement_id": "{settlement["id"]}"}}')
    assert fee_events(books, "another") == []


COLUMNS = [
    "id", "fee_id", "subject_type", "subject_id", "base_cents", "rate", "fixed_cents", "unrounded", "bound",
    "amount_cents", "currency", "beneficiary_id", "reverses", "created_at", "reason", "payer_id", "adjusts", "operator",
]  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_of_a_fee_event_can_be_changed(books: psycopg.Connection, column: LiteralString) -> None:
    booked(books)
    with pytest.raises(psycopg.Error) as raised:
        books.execute(f"update public.fee_events set {column} = {column}")
    assert (raised.value.sqlstate, raised.value.diag.message_primary) == ("PT403", "append_only")


def test_every_column_of_a_fee_event_but_its_settlement_is_protected(books: psycopg.Connection) -> None:
    kept = books.execute(
        "select a.attname from pg_trigger t join pg_attribute a on a.attrelid = t.tgrelid and a.attnum = any (t.tgattr)"
        " where t.tgrelid = 'public.fee_events'::regclass and t.tgname = 'tg_fee_events__refuse'"
        " and t.tgenabled = 'O' order by a.attnum"
    ).fetchall()
    present = books.execute(
        "select attname from pg_attribute where attrelid = 'public.fee_events'::regclass and attnum > 0"
        " and not attisdropped and attname <> 'settlement_id' order by attnum"
    ).fetchall()
    assert kept == present == [(column,) for column in COLUMNS]


@pytest.mark.parametrize("statement", ["delete from public.fee_events", "truncate public.fee_events cascade"])
def test_a_fee_event_is_never_deleted(books: psycopg.Connection, statement: LiteralString) -> None:
    with pytest.raises(psycopg.Error) as raised:
        books.execute(statement)
    assert (raised.value.sqlstate, raised.value.diag.message_primary) == ("PT403", "append_only")


def test_each_booking_pays_the_price_of_its_moment(database: str) -> None:
    with connections(database, 1) as [connection]:
        issue(connection, hours=20)
        for slot in range(20):
            set_fee(connection, percentage=Decimal(slot + 1) / 100)
            book(connection, slot=slot)
        # each charge agrees with the version that was valid when it was written
        of_their_moment = one(
            connection,
            "select count(*) from public.fee_events e where e.rate = ("
            "   select v.percentage from public.fee_versions v"
            "   where v.fee_id = e.fee_id and v.valid_from < e.created_at order by v.valid_from desc limit 1)",
        )
        assert of_their_moment == 20
        assert [amount for amount, _ in amounts(connection)] == [120 * (slot + 1) for slot in range(20)]
