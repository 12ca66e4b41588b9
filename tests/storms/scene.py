"""The vouchers that the storms book, and their fees, computed in Python."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg

from tests.support.acting import call, thinker
from tests.support.charging import rounded

NINE = datetime(2030, 5, 1, 9, tzinfo=UTC)
SLOTS = 300
"""Hours that each voucher offers."""

TRANSFER_RATES = (Decimal("0.01"), Decimal("0.02"))
"""What a transfer costs; an operator changes it all the time."""


@dataclass(frozen=True)
class Offer:
    """A voucher: its id, and its price in minor units, or None."""

    id: str
    price: int
    currency: str


OFFERS = tuple(
    Offer(f"voucher-{i}", price, currency)
    for i, (price, currency) in enumerate(
        [(9900, "EUR"), (2525, "EUR"), (1, "EUR"), (0, "EUR"), (4975, "CHF"), (125, "USD"), (333, "JPY"), (7777, "KWD")]
        + [(100_000 + 77 * i, "EUR") for i in range(8)]
    )
)

Charges = Counter[tuple[str, str, int]]
"""How often which fee is charged, in which currency and how much."""


def charges(offer: Offer) -> Charges:
    """Returns the charges of a booking of this offer: 2 percent, and for the partner 0.5 percent and 25 cents."""
    parts: Charges = Counter()
    if offer.price:
        parts["voucher.booking", offer.currency, rounded(offer.price * Decimal("0.02"))] += 1
    partner = offer.price * Decimal("0.005")
    if offer.currency == "EUR" or not offer.price:
        parts["voucher.partner", "EUR", rounded(partner + 25)] += 1
    else:
        parts["voucher.partner", offer.currency, rounded(partner)] += 1
        parts["voucher.partner", "EUR", 25] += 1
    return parts


def set_up(url: str) -> None:
    """Sets the fees, and issues the vouchers."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into public.thinkers (id, public_id) values (private.thinker_id('partner'), 'partner')"
        )
        connection.execute(
            "insert into public.fees (id, scope, percentage, fixed_amount, currency, active, beneficiary_id)"
            " values ('voucher.partner', 'voucher', 0.005, 25, 'EUR', true, private.thinker_id('partner'))"
        )
        connection.execute(
            "update public.fees set active = true, percentage = %s where id = 'transfer.logged'", TRANSFER_RATES[:1]
        )
        backdate_prices(connection)
        for offer in OFFERS:
            call(
                connection,
                thinker("issuer"),
                "issue_voucher",
                voucher_id=offer.id,
                valid_from=NINE,
                valid_until=NINE + timedelta(hours=SLOTS),
                price_amount=offer.price,
                price_currency=offer.currency,
            )


def backdate_prices(connection: psycopg.Connection) -> None:
    """Makes the prices valid for the last year: the invariants skip bookings in the minute of a change."""
    with connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute("update public.fee_versions set valid_from = valid_from - interval '1 year'")
