"""Fee events of any time and amount, as triggers would have written them at that time."""

from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import psycopg

from tests.support.acting import one


def charge(
    connection: psycopg.Connection,
    at: str,
    amount: int | None = None,
    currency: str = "EUR",
    beneficiary: str = "togethersystems",
    *,
    base: int = 0,
    rate: str = "0",
    bound: str | None = None,
    payer: str | None = None,
) -> UUID:
    """Charges a fixed amount, or a rate of a base, in minor units; a bound names why the amount differs."""
    fixed = amount if amount is not None and bound is None and not base else 0
    unrounded = base * Decimal(rate) + fixed
    if amount is None:
        amount = rounded(unrounded)
    charged: UUID = one(
        connection,
        "with thinkers as ("
        "  insert into public.thinkers (id, public_id)"
        "  select distinct private.thinker_id(uid), uid from unnest(%s::text[]) as uid where uid is not null"
        "  on conflict (id) do nothing"
        ")"
        " insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at,"
        "   beneficiary_id, payer_id, base_cents, rate, fixed_cents, unrounded, bound)"
        " values ('voucher.booking', 'voucher_booking', private.new_uuid()::text, %s, %s, %s,"
        "   private.thinker_id(%s), private.thinker_id(%s), %s, %s, %s, %s, %s)"
        " returning id",
        *([beneficiary, payer], amount, currency, at, beneficiary, payer, base, rate, fixed, unrounded, bound),
    )
    return charged


def reverse(connection: psycopg.Connection, charged: UUID, at: str) -> UUID:
    """Takes back what is left of a charge."""
    reversal: UUID = one(
        connection,
        "insert into public.fee_events (fee_id, subject_type, subject_id, currency, created_at, beneficiary_id,"
        "   payer_id, reverses)"
        " select c.fee_id, c.subject_type, c.subject_id, c.currency, %s, c.beneficiary_id, c.payer_id, c.id"
        " from public.fee_events c where c.id = %s returning id",
        *(at, charged),
    )
    return reversal


def violations(connection: psycopg.Connection) -> dict[str, int]:
    """Returns the violated rules, each with its number of rows."""
    rows = connection.execute("select name, violations from stats.invariants where violations <> 0").fetchall()
    return dict(rows)


def rounded(amount: Decimal) -> int:
    """Rounds to a whole number, half away from zero."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))
