"""What is measured: each route as the call of its SQL function, and as one statement written by hand on bare tables.

requests.lua has the same as HTTP requests, and tests/node/express.mjs keeps the same in Maps. In the statements `n` is
the number of the request; `thinkers`, `holders` and `begins` are the sizes of the data (world.py).
"""

from dataclasses import dataclass
from typing import Literal

THINKER = "'thinker-' || lpad(to_hex(:n::int % :thinkers::int), 12, '0')"
PAIRED = "'paired-' || :n::int % 1000"
SLOT = "to_timestamp(:begins::bigint + :n::int / 1000 * 3600)"


@dataclass(frozen=True)
class Route:
    """A route.

    `uid` is an SQL expression for the thinker that acts, if one does, under the database role `role`.
    """

    name: str
    is_write: bool
    role: Literal["authenticated", "service_role"]
    uid: str | None
    call: str
    bare: str


ROUTES = (
    Route(
        "heartbeat",
        True,
        "authenticated",
        THINKER,
        "public.send_heartbeat(pair_code => 'pair-' || :n::int % :thinkers::int / 2, status => 'online')",
        f"""
        with seen as (
          insert into bare.presence_sessions as s (
            id, thinker_id, pair_code, status, silenced, last_seen_at, created_at
          )
          select gen_random_uuid(), t.id, 'pair-' || :n::int % :thinkers::int / 2, 'online', false, now(), now()
          from bare.thinkers t
          where t.public_id = {THINKER}
          on conflict (thinker_id) do update
          set pair_code = excluded.pair_code, status = excluded.status, last_seen_at = excluded.last_seen_at
          returning *
        ), logged as (
          insert into bare.events (id, type, actor_id, subject_type, subject_id, meta, created_at)
          select gen_random_uuid(), 'presence.heartbeat', s.thinker_id, 'presence_session', s.id::text,
            jsonb_build_object('pairCode', s.pair_code, 'status', s.status), now()
          from seen s
        )
        select to_jsonb(s) from seen s
        """,
    ),
    Route(
        "match",
        False,
        "authenticated",
        PAIRED,
        "public.match_presence(pair_code => 'paired-' || :n::int % 1000 / 2)",
        f"""
        select s.room_id
        from bare.thinkers t
        join bare.presence_sessions s on s.thinker_id = t.id
        where t.public_id = {PAIRED}
          and s.pair_code = 'paired-' || :n::int % 1000 / 2
          and s.status = 'online'
          and exists (
            select from bare.presence_sessions o
            where o.pair_code = s.pair_code
              and o.thinker_id <> s.thinker_id
              and o.status = 'online'
              and o.last_seen_at >= now() - interval '60 seconds'
          )
        """,
    ),
    Route(
        "issue",
        True,
        "authenticated",
        THINKER,
        "public.issue_voucher(title => 'Beratung', valid_from => to_timestamp(:begins::bigint),"
        " valid_until => to_timestamp(:begins::bigint + 8 * 3600), price_amount => 12000)",
        f"""
        with issued as (
          insert into bare.vouchers (
            id, issuer_id, service_type, title, description, duration_minutes, valid_from, valid_until, allowed_slots,
            price_amount, price_currency, status, transferable, terms, created_at
          )
          select 'v-' || gen_random_uuid(), t.id, 'generic.service', 'Beratung', '', 60,
            to_timestamp(:begins::bigint), to_timestamp(:begins::bigint + 8 * 3600), '[]', 12000, 'EUR', 'issued',
            false, '{{}}', now()
          from bare.thinkers t
          where t.public_id = {THINKER}
          returning *
        ), logged as (
          insert into bare.events (id, type, actor_id, subject_type, subject_id, meta, created_at)
          select gen_random_uuid(), 'voucher.issue', v.issuer_id, 'voucher', v.id,
            jsonb_build_object('serviceType', v.service_type), now()
          from issued v
        )
        select to_jsonb(v) from issued v
        """,
    ),
    Route(
        "slots",
        False,
        "service_role",
        None,
        "public.available_slots(voucher_id => 'open-' || :n::int % 100)",
        """
        select jsonb_agg(jsonb_build_object(
          'voucher_id', v.id, 'slot_start', slot, 'slot_end', slot + v.duration_minutes * interval '1 minute'
        ))
        from bare.vouchers v
        cross join lateral generate_series(
          v.valid_from, v.valid_until - v.duration_minutes * interval '1 minute', interval '1 hour'
        ) as slot
        where v.id = 'open-' || :n::int % 100
          and slot > now()
          and not exists (
            select from bare.voucher_bookings b
            where b.voucher_id = v.id and b.slot_start = slot and b.status = 'booked'
          )
        """,
    ),
    Route(
        "book",
        True,
        "service_role",
        THINKER,
        f"public.book_voucher(voucher_id => 'book-' || :n::int % 1000, slot_start => {SLOT})",
        f"""
        with booked as (
          insert into bare.voucher_bookings (
            id, voucher_id, issuer_id, holder_id, slot_start, slot_end, status, created_at, no_overlap_across_vouchers,
            price_amount, price_currency
          )
          select 'b-' || gen_random_uuid(), v.id, v.issuer_id, t.id, slot,
            slot + v.duration_minutes * interval '1 minute', 'booked', now(), false, v.price_amount, v.price_currency
          from bare.vouchers v
          cross join bare.thinkers t
          cross join {SLOT} as slot
          where v.id = 'book-' || :n::int % 1000 and t.public_id = {THINKER}
          returning *
        ), held as (
          update bare.vouchers v
          set status = 'booked', holder_id = b.holder_id
          from booked b
          where v.id = b.voucher_id
          returning v.*
        ), logged as (
          insert into bare.events (id, type, actor_id, subject_type, subject_id, meta, created_at)
          select gen_random_uuid(), 'voucher.book', b.holder_id, 'voucher_booking', b.id,
            jsonb_build_object('voucherId', b.voucher_id, 'slotStart', b.slot_start), now()
          from booked b
        ), charged as (
          insert into bare.fee_events (
            id, fee_id, subject_type, subject_id, base_cents, rate, fixed_cents, unrounded, amount_cents, currency,
            beneficiary_id, payer_id, created_at
          )
          select gen_random_uuid(), 'voucher.booking', 'voucher_booking', b.id, b.price_amount, 0.02, 0,
            b.price_amount * 0.02, round(b.price_amount * 0.02), b.price_currency, t.id, b.issuer_id, now()
          from booked b
          join bare.thinkers t on t.public_id = 'togethersystems'
        )
        select to_jsonb(b) || to_jsonb(v) from booked b cross join held v
        """,
    ),
    Route(
        "transfer",
        True,
        "service_role",
        None,
        "public.log_transfer(direction => 'in', crypto_amount => 1.5, crypto_symbol => 'ETH', fiat_major => 2500,"
        " fiat_currency => 'EUR', wallet_address => 'wallet-' || :n::int % :thinkers::int)",
        """
        with transfer as (
          insert into bare.transfers (
            id, direction, wallet_address, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, meta,
            status, created_at, updated_at
          )
          values (
            'in-' || gen_random_uuid(), 'in', 'wallet-' || :n::int % :thinkers::int, 1.5, 'ETH', 250000, 'EUR',
            'Fiat→Crypto inflow', '{}', 'logged', now(), now()
          )
          returning *
        ), logged as (
          insert into bare.events (id, type, subject_type, subject_id, meta, created_at)
          select gen_random_uuid(), 'transfer.logged', 'transfer', t.id,
            jsonb_build_object('walletAddress', t.wallet_address, 'direction', t.direction), now()
          from transfer t
        )
        select to_jsonb(t) from transfer t
        """,
    ),
    Route(
        "bookings",
        False,
        "service_role",
        None,
        "public.list_bookings(holder_uid => 't' || 1 + :n::int % :holders::int, max_rows => 1000)",
        """
        select jsonb_agg(to_jsonb(b) || jsonb_build_object('issuer_uid', i.public_id, 'holder_uid', h.public_id))
        from bare.thinkers h
        cross join lateral (
          select * from bare.voucher_bookings b where b.holder_id = h.id order by b.created_at desc limit 1000
        ) as b
        join bare.thinkers i on i.id = b.issuer_id
        where h.public_id = 't' || 1 + :n::int % :holders::int
        """,
    ),
    Route(
        "events",
        False,
        "service_role",
        None,
        "public.list_events(max_rows => 50)",
        """
        select jsonb_agg(to_jsonb(e) || jsonb_build_object('actor_uid', t.public_id))
        from (select * from bare.events order by created_at desc limit 50) as e
        left join bare.thinkers t on t.id = e.actor_id
        """,
    ),
)


def function_script(route: Route) -> str:
    """The call as pgbench sends it: role, claims and time limits, then the function, in one round trip."""
    return acting(route.role, route.uid, f"select {route.call}, current_setting('response.headers', true);")


def bare_script(route: Route) -> str:
    """The statement by hand as pgbench sends it."""
    return " ".join(route.bare.split()) + ";"


def acting(role: str, uid: str | None, statement: str) -> str:
    """A statement as the direct gateway sends it (api/gateway/direct.py)."""
    claims = f"""'{{"role": "{role}"}}'"""
    if uid is not None:
        claims = (
            f"(select json_build_object('role', '{role}', 'sub', t.id, 'public_id', t.public_id)::text"
            f" from public.thinkers t where t.public_id = {uid})"
        )
    return (
        "\\startpipeline\n"
        f"select set_config('role', '{role}', true), set_config('request.jwt.claims', {claims}, true),"
        " set_config('lock_timeout', '3s', true), set_config('statement_timeout', '5s', true);\n"
        f"{statement}\n"
        "\\endpipeline\n"
    )


@dataclass(frozen=True)
class Contention:
    """What 64 connections do on one thing, or on as many things as they are: `of` is the number of things."""

    name: str
    things: str
    statement: str


_MINE = ":client_id::int % :of::int"

CONTENTIONS = (
    Contention(
        "issue",
        "issuers",
        acting(
            "authenticated",
            f"'paired-' || {_MINE}",
            "select public.issue_voucher(title => 'Beratung', valid_from => to_timestamp(:begins::bigint),"
            " valid_until => to_timestamp(:begins::bigint + 8 * 3600), price_amount => 12000);",
        ),
    ),
    Contention(
        "match",
        "pair codes",
        acting(
            "authenticated",
            f"'paired-' || {_MINE} * 2",
            f"select public.match_presence(pair_code => 'paired-' || {_MINE});",
        ),
    ),
    Contention(
        "charge",
        "beneficiaries",
        "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id,"
        " base_cents, rate, fixed_cents, unrounded)"
        " select 'voucher.booking', 'voucher_booking', 'b-' || :n::int, 240, 'EUR', t.id, 12000, 0.02, 0, 240"
        f" from public.thinkers t where t.public_id = 'paired-' || {_MINE};",
    ),
)
