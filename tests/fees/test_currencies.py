"""Which currencies are accepted, and what becomes of rows with others."""

import psycopg
import pytest

from api.actor import SERVER
from tests.fees.scene import HOLDER, ISSUER, amounts, book, cancel, charge, issue, settle
from tests.support.acting import act, act_or_reason, one, unchecked
from tests.support.charging import violations

# they read like EUR, or do more than that
UNKNOWN = (
    "EUR\u200b", "EUR\u00a0", " EUR", "EUR\n", "E\u0422R", "\uff25\uff35\uff32", "u\u017fd", "\u202eRUE", "\x1b[31mEUR",
    "=EUR", "EU", "EUR0", "ABC", "XXX", "", "E" * 13, "E" * 40,
)  # fmt: skip
TRANSFER = {"direction": "in", "crypto_amount": 1, "crypto_symbol": "ETH", "fiat_major": 1}


@pytest.mark.parametrize("currency", UNKNOWN, ids=ascii)
def test_an_unknown_currency_is_refused_at_every_door(books: psycopg.Connection, currency: str) -> None:
    for function, arguments in (
        ("issue_voucher", {"price_amount": 1, "price_currency": currency}),
        ("apply_for_mortgage", {"desired_loan": 1, "currency": currency}),
        ("log_transfer", TRANSFER | {"fiat_currency": currency}),
    ):
        assert act_or_reason(books, ISSUER, function, **arguments) == "currency_unknown"
    with pytest.raises(psycopg.Error, match="currency_unknown"), books.transaction():
        books.execute("update public.fees set currency = %s", (currency,))


def test_a_currency_without_an_amount_is_no_price(books: psycopg.Connection) -> None:
    assert act_or_reason(books, ISSUER, "issue_voucher", price_currency="EUR") == "price_invalid"
    assert act_or_reason(books, ISSUER, "issue_voucher", price_currency="") == "price_invalid"


@pytest.mark.parametrize("currency", ["EUR", "eur", "Chf", "JPY", "KWD"])
def test_a_known_currency_is_stored_in_capitals(books: psycopg.Connection, currency: str) -> None:
    voucher = act(books, ISSUER, "issue_voucher", price_amount=1, price_currency=currency)
    application = act(books, ISSUER, "apply_for_mortgage", desired_loan=1, currency=currency)
    transfer = act(books, ISSUER, "log_transfer", **TRANSFER, fiat_currency=currency)
    stored = voucher["price_currency"], application["currency"], transfer["fiat_currency"]
    assert stored == (currency.upper(),) * 3


def test_an_operator_adds_a_currency_with_its_decimals(books: psycopg.Connection) -> None:
    assert act_or_reason(books, ISSUER, "log_transfer", **TRANSFER, fiat_currency="USDC") == "currency_unknown"
    books.execute("insert into private.currencies values ('USDC', 6)")
    transfer = act(books, ISSUER, "log_transfer", **TRANSFER, fiat_currency="usdc")
    assert (transfer["fiat_amount"], transfer["fiat_exponent"]) == (1000000, 6)


@pytest.mark.parametrize("code", ["EU", "eur", "EURO\u200b", "1EU", "E" * 13, "\u20ac\u20ac\u20ac", "EUR\n"], ids=ascii)
def test_a_code_is_of_capitals_and_digits(books: psycopg.Connection, code: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation), books.transaction():
        books.execute("insert into private.currencies values (%s, 2)", (code,))


@pytest.mark.parametrize("change", ["update private.currencies set exponent = 3", "delete from private.currencies"])
def test_the_decimals_of_a_currency_stay(books: psycopg.Connection, change: str) -> None:
    with pytest.raises(psycopg.Error, match="append_only"):
        books.execute(change.encode())


def test_rows_with_an_unknown_currency_from_before_stay_usable(books: psycopg.Connection) -> None:
    issue(books)
    with unchecked(books):
        books.execute("update public.vouchers set price_currency = %s", ("EUR\u200b",))
    booking = book(books)
    cancel(books, booking)
    book(books, holder=HOLDER)
    [voucher] = act(books, SERVER, "list_vouchers")
    assert (voucher["price_currency"], voucher["status"]) == ("EUR\u200b", "booked")
    assert amounts(books) == [(-240, "EUR\u200b"), (240, "EUR\u200b"), (240, "EUR\u200b")]
    assert [made["total_cents"] for made in settle(books)] == [240]
    assert violations(books) == {}


def test_no_number_of_currencies_hides_what_is_owed(books: psycopg.Connection) -> None:
    charge(books, 1, currency="EUR")
    codes = [code for (code,) in books.execute("select code from private.currencies where code <> 'EUR'").fetchall()]
    for code in codes:
        charge(books, 10**15, currency=code)
    owed = act(books, SERVER, "fee_stats")["owed"]
    assert [row["owed_cents"] for row in owed if row["currency"] == "EUR"] == [1]
    assert len(owed) == len(codes) + 1 == one(books, "select count(*) from private.currencies")
