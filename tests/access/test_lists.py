"""A list reads the rows of its caller, not those of all others, and shows what the policies show."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from api.actor import SERVER, Actor
from tests.support.acting import act, one, thinker, unchecked

ANNA, ADMIN = thinker("anna"), thinker("ada", "admin")

FILL = """
    insert into public.thinkers (id, public_id)
    select private.thinker_id(uid), uid from unnest(array['anna', 'ben', 'clara']) as uid;

    -- each tenth row is anna's, or she is a party
    insert into public.vouchers (id, issuer_id, valid_from, valid_until, created_at)
    select 'v' || n, private.thinker_id('ben'), now(), now(), now() - n * interval '1 second'
    from generate_series(1, 20000) n;

    insert into public.voucher_bookings (id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at)
    select 'b' || n, 'v' || n, private.thinker_id(case n % 4000 when 1 then 'anna' else 'ben' end),
      private.thinker_id(case n % 4000 when 2 then 'anna' else 'clara' end), now(), now() + interval '1 hour',
      now() - n / 3 * interval '1 second'
    from generate_series(1, 20000) n;

    insert into public.transfers (
      id, thinker_id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label, created_at
    )
    select 't' || n, private.thinker_id(case n % 4000 when 3 then 'anna' else 'ben' end), 'in', 1, 'ETH', n, 'EUR', '',
      now() - n / 3 * interval '1 second'
    from generate_series(1, 20000) n;

    insert into public.contracts (created_by, name, byte_size, storage_url, hash_sha256, created_at)
    select private.thinker_id(case n % 4000 when 3 then 'anna' else 'ben' end), 'n', 1, 'contracts/' || n || '/n',
      repeat('a', 64), now() - n / 3 * interval '1 second'
    from generate_series(1, 20000) n;

    analyze public.vouchers, public.voucher_bookings, public.transfers, public.contracts;
"""

# what a list read of its table, in this transaction
READ = """
    select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where relid = %s::regclass
"""

LISTS = {
    "list_bookings": ("public.voucher_bookings", 10),
    "list_transfers": ("public.transfers", 5),
    "list_contracts": ("public.contracts", 5),
}


@pytest.fixture(scope="module")
def filled(shared_database: str) -> Iterator[psycopg.Connection]:
    """The operator's session in a database in which others have many rows."""
    with psycopg.connect(shared_database) as connection:
        with unchecked(connection):
            connection.execute(FILL)
        connection.commit()
        yield connection


@pytest.mark.parametrize("function", LISTS)
def test_a_list_reads_few_rows_of_others(filled: psycopg.Connection, function: str) -> None:
    table, own = LISTS[function]
    filled.rollback()
    assert len(act(filled, ANNA, function)) == own
    assert one(filled, READ, table) < 1000


@pytest.mark.parametrize("function", LISTS)
def test_operators_admins_and_servers_see_all(filled: psycopg.Connection, function: str) -> None:
    filled.rollback()
    table, _ = LISTS[function]
    newest = [
        id_
        for (id_,) in filled.execute(f"select id::text from {table} order by created_at desc, id desc limit 7".encode())
    ]
    for actor in (ADMIN, SERVER, Actor("service_role", "anna")):
        assert [row["id"] for row in act(filled, actor, function, max_rows=7)] == newest
    listed: list[Any] = one(filled, f"select public.{function}(max_rows => 7)")
    assert [row["id"] for row in listed] == newest


@pytest.mark.parametrize("function", LISTS)
def test_a_list_is_in_the_order_of_the_table(filled: psycopg.Connection, function: str) -> None:
    filled.rollback()
    own = act(filled, ANNA, function)
    times = [(row.get("created_at"), row["id"]) for row in own]
    assert times == sorted(times, reverse=True)
    # in pages of two
    paged: list[Any] = []
    after = None
    while True:
        page = act(filled, ANNA, function, max_rows=2, after=after)
        paged += page
        after = page[-1].pop("next", None)
        if after is None:
            break
    assert paged == own
