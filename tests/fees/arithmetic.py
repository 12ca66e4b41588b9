"""What a fee charges, in exact decimals, written from the specification and not from the SQL; strategies for prices."""

from dataclasses import asdict, dataclass
from decimal import Decimal, localcontext
from typing import Literal

from hypothesis import strategies as st

from tests.support.charging import rounded

SAFE = 2**53 - 1
"""The largest amount that the portal accepts."""

Bound = Literal["minimum", "maximum"]


@dataclass(frozen=True)
class Price:
    """The price of a fee: amounts in the minor unit of the currency."""

    percentage: Decimal = Decimal(0)
    fixed_amount: int = 0
    currency: str | None = None
    min_cents: int | None = None
    max_cents: int | None = None

    def columns(self) -> dict[str, object]:
        """Returns the columns of `public.fees`; the percentage as text, so that it stays exact in JSON."""
        return asdict(self) | {"percentage": str(self.percentage)}


@dataclass(frozen=True)
class Charged:
    """One charge."""

    amount: int
    currency: str
    unrounded: Decimal
    bound: Bound | None = None


def charged(price: Price, base: int, currency: str | None) -> list[Charged]:
    """Returns the charges for something worth `base`, by currency."""
    with localcontext(prec=100):
        percentage = base * price.percentage
        if base and price.currency and price.currency != currency:
            # two currencies: two charges, without bounds
            assert currency
            parts = [(percentage, currency), (Decimal(price.fixed_amount), price.currency)]
            return sorted((Charged(rounded(p), c, p) for p, c in parts if p), key=lambda row: row.currency)
        total = percentage + price.fixed_amount
        bound: Bound
        if price.min_cents is not None and total < price.min_cents:
            amount, bound = price.min_cents, "minimum"
        elif price.max_cents is not None and total > price.max_cents:
            amount, bound = price.max_cents, "maximum"
        elif total:
            code = price.currency or currency
            assert code
            return [Charged(rounded(total), code, total)]
        else:
            return []
        assert price.currency
        return [Charged(amount, price.currency, total, bound)]


amounts = st.one_of(st.integers(0, 300), st.integers(0, SAFE), st.just(SAFE))
currencies = st.sampled_from(["EUR", "USD", "JPY", "KWD", "CLF"])


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Generates prices that the table of fees accepts."""
    percentage = Decimal(draw(st.one_of(st.integers(0, 10000), st.sampled_from([0, 1, 200, 5000, 10000])))) / 10000
    currency = draw(st.none() | currencies)
    if currency is None:
        return Price(percentage)
    fixed = draw(st.just(0) | amounts)
    highest = draw(st.none() | amounts.filter(lambda amount: amount >= fixed))
    lowest = draw(st.none() | amounts.filter(lambda amount: highest is None or amount <= highest))
    return Price(percentage, fixed, currency, lowest, highest)
