"""A scene in which every kind of event can occur."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.databases import Server

# ann issues, borrows and pays; ben holds and lends; the ids are fixed, so that tests can name them
SCENE = b"""
insert into public.thinkers (id, public_id, roles)
values
  (private.thinker_id('ann'), 'ann', '{}'),
  (private.thinker_id('ben'), 'ben', '{lender}'),
  (private.thinker_id('nora'), 'nora', '{notary}');
-- seen a while ago, because a heartbeat leaves an event once in ten seconds
insert into public.presence_sessions (id, thinker_id, pair_code, last_seen_at)
values
  ('00000000-0000-7000-8000-00000000000a', private.thinker_id('ann'), 'familie', now() - interval '20 seconds'),
  ('00000000-0000-7000-8000-00000000000b', private.thinker_id('ben'), 'familie', now() - interval '20 seconds');
insert into public.vouchers (id, issuer_id, valid_from, valid_until, status, holder_id)
values
  ('open', private.thinker_id('ann'), '2030-01-07 09:00Z', '2030-01-07 18:00Z', 'issued', null),
  ('held', private.thinker_id('ann'), '2030-01-07 09:00Z', '2030-01-07 18:00Z', 'booked', private.thinker_id('ben'));
insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end)
values (
  'booking', 'held', private.thinker_id('ann'), private.thinker_id('ben'), '2030-01-07 09:00Z', '2030-01-07 10:00Z'
);
insert into public.mortgage_applications (id, borrower_id)
values ('app', private.thinker_id('ann')), ('app-2', private.thinker_id('ann'));
insert into public.mortgage_offers (id, application_id, lender_id, room_refs, status)
values
  ('offer', 'app', private.thinker_id('ben'), '{}', 'open'),
  ('offer-2', 'app-2', private.thinker_id('ben'), '{}', 'accepted');
insert into public.mortgage_contracts (id, offer_id) values ('contract', 'offer-2');
insert into public.transfers (
  id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, thinker_id, external_account
)
values ('transfer', 'in', 1, 'ETH', 1, 'EUR', 'l', private.thinker_id('ann'), 'DE02120300000000202051');
insert into public.fee_events (
  id, fee_id, subject_type, subject_id, base_cents, rate, fixed_cents, unrounded, amount_cents, currency, beneficiary_id
)
values (
  '00000000-0000-7000-8000-00000000000e', 'voucher.booking', 'voucher_booking', 'booking', 0, 0, 5, 5, 5, 'EUR',
  private.thinker_id('ann')
);
insert into public.fee_events (
  id, fee_id, subject_type, subject_id, base_cents, rate, fixed_cents, unrounded, amount_cents, currency, beneficiary_id
)
select
  id::uuid, 'transfer.logged', 'transfer', settlement, 0, 0, 5, 5, 5, 'EUR', private.thinker_id('ann')
from (
  values
    ('00000000-0000-7000-8000-00000000001c', '00000000-0000-7000-8000-00000000000c'),
    ('00000000-0000-7000-8000-00000000001d', '00000000-0000-7000-8000-00000000000d')
) as charged (id, settlement);
with linked as (
  update public.fee_events e set settlement_id = subject_id::uuid where e.fee_id = 'transfer.logged' returning *
)
insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency)
select l.settlement_id, l.beneficiary_id, '2026-01-01', '2026-02-01', l.amount_cents, l.currency
from linked l;
update public.settlements set status = 'invoiced' where id = '00000000-0000-7000-8000-00000000000d';
"""


@pytest.fixture(scope="module")
def scene(server: Server, migrated: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a database with the scene; tests roll back what they do in a transaction."""
    with server.database(template=migrated) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCENE)
        yield connection
