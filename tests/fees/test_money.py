"""Tables of amounts: what a fee charges, to the minor unit."""

from decimal import Decimal

import psycopg
import pytest
from hypothesis import example, given, settings
from psycopg.types.json import Jsonb

from tests.fees.arithmetic import SAFE, Charged, Price, amounts, charged, currencies, prices
from tests.support.acting import one
from tests.support.stress import sized


def fee_charges(connection: psycopg.Connection, price: Price, base: int, currency: str | None) -> list[Charged]:
    """Returns what the database charges, by currency, and checks that the explanation adds up."""
    rows = connection.execute(
        "select amount_cents, currency, base_cents, rate, fixed_cents, unrounded, bound"
        ' from private.compute_fee(jsonb_populate_record(null::public.fees, %s), %s, %s) order by currency collate "C"',
        (Jsonb(price.columns()), base, currency),
    ).fetchall()
    for _, _, base_cents, rate, fixed_cents, unrounded, _ in rows:
        # numbers of 53 bits times four decimals are exact within the 28 digits of decimals
        assert base_cents * rate + fixed_cents == unrounded
    return [Charged(amount, code, unrounded, bound) for amount, code, _, _, _, unrounded, bound in rows]


def percent(number: str) -> Decimal:
    return Decimal(number) / 100


# fee, base, its currency -> amount, currency, unrounded, bound; all amounts in minor units
Row = tuple[int, str, str] | tuple[int, str, str, str]

TWO = Price(percent("2"))
TWO_WITHIN = Price(percent("2"), 0, "EUR", 50, 1000)
TWO_AT_LEAST = Price(percent("2"), 0, "EUR", min_cents=50)
TWO_AT_MOST = Price(percent("2"), 0, "EUR", max_cents=1000)
ALWAYS_300 = Price(percent("2"), 0, "EUR", 300, 300)
FIXED_35 = Price(Decimal(0), 35, "EUR")
TWO_AND_35 = Price(percent("2"), 35, "EUR")
ALL = Price(Decimal(1))
TINY = Price(percent("0.01"))

CASES: dict[str, tuple[Price, int, str | None, list[Row]]] = {
    # a percentage
    "2 % of 120.00": (TWO, 12000, "EUR", [(240, "EUR", "240")]),
    "2 % of 99.99": (TWO, 9999, "EUR", [(200, "EUR", "199.98")]),
    "2.5 % of 10.10": (Price(percent("2.5")), 1010, "EUR", [(25, "EUR", "25.25")]),
    "a third of 0.03": (Price(percent("33.33")), 3, "EUR", [(1, "EUR", "0.9999")]),
    "all of one cent": (ALL, 1, "EUR", [(1, "EUR", "1")]),
    "all of much": (ALL, 123456789, "EUR", [(123456789, "EUR", "123456789")]),
    # halves are rounded away from zero, whether the digit before is even (0, 2, 4) or odd (1, 3)
    "0.5 beside 0": (TWO, 25, "EUR", [(1, "EUR", "0.5")]),
    "1.5 beside 1": (TWO, 75, "EUR", [(2, "EUR", "1.5")]),
    "2.5 beside 2": (TWO, 125, "EUR", [(3, "EUR", "2.5")]),
    "3.5 beside 3": (TWO, 175, "EUR", [(4, "EUR", "3.5")]),
    "4.5 beside 4": (TWO, 225, "EUR", [(5, "EUR", "4.5")]),
    "just under 0.5": (TWO, 24, "EUR", [(0, "EUR", "0.48")]),
    "just under 1.5": (TWO, 74, "EUR", [(1, "EUR", "1.48")]),
    "just over 1.5": (TWO, 76, "EUR", [(2, "EUR", "1.52")]),
    "0.5 of the smallest rate": (TINY, 5000, "EUR", [(1, "EUR", "0.5")]),
    "just under 0.5 of the smallest rate": (TINY, 4999, "EUR", [(0, "EUR", "0.4999")]),
    "2.5 of the smallest rate": (TINY, 25000, "EUR", [(3, "EUR", "2.5")]),
    "2.4999 of the smallest rate": (TINY, 24999, "EUR", [(2, "EUR", "2.4999")]),
    # 35.5 is the sum that is rounded; its parts are not rounded first
    "a half with a fixed part": (TWO_AND_35, 25, "EUR", [(36, "EUR", "35.5")]),
    "an even half with a fixed part": (Price(percent("2"), 2, "EUR"), 25, "EUR", [(3, "EUR", "2.5")]),
    # tiny amounts are charged as 0, with an explanation
    "the smallest of all": (TINY, 1, "EUR", [(0, "EUR", "0.0001")]),
    "2 % of one cent": (TWO, 1, "EUR", [(0, "EUR", "0.02")]),
    # currencies without and with three decimals: amounts count in their minor unit
    "2 % of 1,980 yen": (TWO, 1980, "JPY", [(40, "JPY", "39.6")]),
    "2 % of 25 yen": (TWO, 25, "JPY", [(1, "JPY", "0.5")]),
    "2 % of one yen": (TWO, 1, "JPY", [(0, "JPY", "0.02")]),
    "3.6 % and 100 yen, of 1,000": (Price(percent("3.6"), 100, "JPY"), 1000, "JPY", [(136, "JPY", "136")]),
    "at least 50 yen": (Price(percent("3.6"), 0, "JPY", 50), 1000, "JPY", [(50, "JPY", "36", "minimum")]),
    "2 % of 1.250 dinars": (TWO, 1250, "KWD", [(25, "KWD", "25")]),
    "2 % of 1.225 dinars": (TWO, 1225, "KWD", [(25, "KWD", "24.5")]),
    "2 % of 1.275 dinars": (TWO, 1275, "KWD", [(26, "KWD", "25.5")]),
    "at most 10.500 dinars": (
        Price(percent("2"), 0, "KWD", None, 10500), 525001, "KWD", [(10500, "KWD", "10500.02", "maximum")],
    ),
    # bounds: an amount that equals a bound is within it, and the unrounded amount is compared
    "exactly the minimum": (TWO_WITHIN, 2500, "EUR", [(50, "EUR", "50")]),
    "just over the minimum": (TWO_WITHIN, 2501, "EUR", [(50, "EUR", "50.02")]),
    "just under the minimum": (TWO_WITHIN, 2499, "EUR", [(50, "EUR", "49.98", "minimum")]),
    "under a minimum to which it would be rounded": (TWO_WITHIN, 2475, "EUR", [(50, "EUR", "49.5", "minimum")]),
    "far under the minimum": (TWO_WITHIN, 1, "EUR", [(50, "EUR", "0.02", "minimum")]),
    "between the bounds": (TWO_WITHIN, 20000, "EUR", [(400, "EUR", "400")]),
    "just under the maximum": (TWO_WITHIN, 49999, "EUR", [(1000, "EUR", "999.98")]),
    "exactly the maximum": (TWO_WITHIN, 50000, "EUR", [(1000, "EUR", "1000")]),
    "just over the maximum": (TWO_WITHIN, 50001, "EUR", [(1000, "EUR", "1000.02", "maximum")]),
    "over a maximum to which it would be rounded": (TWO_WITHIN, 50020, "EUR", [(1000, "EUR", "1000.4", "maximum")]),
    "only a minimum": (TWO_AT_LEAST, 10**8, "EUR", [(2 * 10**6, "EUR", "2000000")]),
    "only a maximum": (TWO_AT_MOST, 100, "EUR", [(2, "EUR", "2")]),
    "one price: exactly": (ALWAYS_300, 15000, "EUR", [(300, "EUR", "300")]),
    "one price: from below": (ALWAYS_300, 14999, "EUR", [(300, "EUR", "299.98", "minimum")]),
    "one price: from above": (ALWAYS_300, 15001, "EUR", [(300, "EUR", "300.02", "maximum")]),
    "one price: of nothing": (ALWAYS_300, 0, "EUR", [(300, "EUR", "0", "minimum")]),
    "at most nothing": (Price(percent("2"), 0, "EUR", 0, 0), 100, "EUR", [(0, "EUR", "2", "maximum")]),
    "fixed part and percentage over the maximum": (
        Price(percent("2"), 35, "EUR", None, 36), 100, "EUR", [(36, "EUR", "37", "maximum")],
    ),
    "fixed part and percentage under the minimum": (
        Price(percent("2"), 35, "EUR", 38), 100, "EUR", [(38, "EUR", "37", "minimum")],
    ),
    # fixed parts
    "fixed only": (FIXED_35, 1000, "EUR", [(35, "EUR", "35")]),
    "both": (TWO_AND_35, 1000, "EUR", [(55, "EUR", "55")]),
    "fixed only, of something in another currency": (FIXED_35, 1000, "USD", [(35, "EUR", "35")]),
    "both, of something in another currency": (TWO_AND_35, 1025, "USD", [(35, "EUR", "35"), (21, "USD", "20.5")]),
    "both, of next to nothing in another currency": (TWO_AND_35, 1, "JPY", [(35, "EUR", "35"), (0, "JPY", "0.02")]),
    "a minimum in another currency holds nothing": (TWO_WITHIN, 100, "USD", [(2, "USD", "2")]),
    "nor does a maximum": (TWO_WITHIN, 10**7, "USD", [(200000, "USD", "200000")]),
    "nor a minimum above the fixed part": (
        Price(percent("2"), 35, "EUR", 100, 200), 10**6, "USD", [(35, "EUR", "35"), (20000, "USD", "20000")],
    ),
    "bounds in another currency, and no percentage": (Price(Decimal(0), 0, "EUR", 50, 60), 100, "USD", []),
    # no charge
    "free, by percentage": (TWO, 0, "EUR", []),
    "free and without a currency": (TWO, 0, None, []),
    "free, with a fixed part": (TWO_AND_35, 0, "EUR", [(35, "EUR", "35")]),
    "free in another currency, with a fixed part": (TWO_AND_35, 0, "USD", [(35, "EUR", "35")]),
    "free without a currency, with a fixed part": (FIXED_35, 0, None, [(35, "EUR", "35")]),
    "free, with a minimum": (TWO_AT_LEAST, 0, "EUR", [(50, "EUR", "0", "minimum")]),
    "free in another currency, with a minimum": (TWO_AT_LEAST, 0, "USD", [(50, "EUR", "0", "minimum")]),
    "free without a currency, with a minimum": (TWO_AT_LEAST, 0, None, [(50, "EUR", "0", "minimum")]),
    "free, with a fixed part under the minimum": (
        Price(percent("2"), 35, "EUR", 50), 0, None, [(50, "EUR", "35", "minimum")],
    ),
    "free, with a maximum": (TWO_AT_MOST, 0, "EUR", []),
    "a fee of nothing": (Price(), 12000, "EUR", []),
    "a fee of nothing, at least nothing": (Price(Decimal(0), 0, "EUR", 0), 12000, "EUR", []),
    # the largest amounts, 2^53 - 1 = 9007199254740991
    "2 % of the largest": (TWO, SAFE, "EUR", [(180143985094820, "EUR", "180143985094819.82")]),
    "half of the largest": (Price(percent("50")), SAFE, "EUR", [(4503599627370496, "EUR", "4503599627370495.5")]),
    "all of the largest": (ALL, SAFE, "EUR", [(9007199254740991, "EUR", "9007199254740991")]),
    "the smallest rate of the largest": (TINY, SAFE, "EUR", [(900719925474, "EUR", "900719925474.0991")]),
    # 9007199254740991 - 900719925474.0991
    "99.99 % of the largest": (
        Price(percent("99.99")), SAFE, "EUR", [(9006298534815517, "EUR", "9006298534815516.9009")],
    ),
    "all of the largest, and as much": (
        Price(Decimal(1), SAFE, "EUR"), SAFE, "EUR", [(18014398509481982, "EUR", "18014398509481982")],
    ),
    "all of the largest, and one more than the maximum": (
        Price(Decimal(1), 1, "EUR", None, SAFE), SAFE, "EUR",
        [(9007199254740991, "EUR", "9007199254740992", "maximum")],
    ),
    "at least the largest": (
        Price(Decimal(0), 0, "EUR", SAFE, SAFE), 0, None, [(9007199254740991, "EUR", "0", "minimum")],
    ),
    "the largest in two currencies": (
        Price(Decimal(1), SAFE, "EUR"), SAFE, "JPY",
        [(9007199254740991, "EUR", "9007199254740991"), (9007199254740991, "JPY", "9007199254740991")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("price", "base", "currency", "expected"), CASES.values(), ids=CASES.keys())
def test_a_fee_charges(
    books: psycopg.Connection, price: Price, base: int, currency: str | None, expected: list[Row]
) -> None:
    rows = fee_charges(books, price, base, currency)
    explained = [(row.amount, row.currency, row.unrounded, *([row.bound] if row.bound else [])) for row in rows]
    assert explained == [(amount, code, Decimal(unrounded), *bound) for amount, code, unrounded, *bound in expected]
    # a check of the expectations: the same decimals, computed by Python
    assert rows == charged(price, base, currency)


@settings(max_examples=sized(usual=150, full=500), deadline=None, derandomize=True, database=None)
@given(prices(), amounts, currencies)
@example(TWO_WITHIN, 2475, "EUR")
def compare(connection: psycopg.Connection, price: Price, base: int, currency: str) -> None:
    with connection.transaction(force_rollback=True):
        # a price that the table accepts
        connection.execute(
            "insert into public.fees (id, scope, percentage, fixed_amount, currency, min_cents, max_cents)"
            " values ('a', 'room', %(percentage)s, %(fixed_amount)s, %(currency)s, %(min_cents)s, %(max_cents)s)",
            price.columns(),
        )
    assert fee_charges(connection, price, base, currency) == charged(price, base, currency)


@pytest.mark.slow
def test_any_fee_charges_what_decimals_give(books: psycopg.Connection) -> None:
    compare(books)


CODES = {
    "EUR": "EUR",
    "eur": "EUR",
    " e u\tr\n": "EUR",
    "": "XXX",
    " \n ": "XXX",
    "Bitcoin Cash": "BITCOINCASH",
    "x" * 40: "X" * 32,
    "€": "€",
}


@pytest.mark.parametrize(("currency", "code"), CODES.items(), ids=[repr(currency) for currency in CODES])
def test_the_currency_of_a_fee(books: psycopg.Connection, currency: str, code: str) -> None:
    assert one(books, "select private.currency_code(%s)", currency) == code
