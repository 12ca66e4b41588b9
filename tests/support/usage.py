"""A database in use: rows in most tables, and all of them to compare."""

import psycopg

from tests.support.acting import call, thinker

ANNA, BEN = thinker("anna"), thinker("ben", "lender")


def use(connection: psycopg.Connection) -> None:
    """Writes one or more rows into most tables, through the functions that clients call."""
    window = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z", "price_amount": 1000}
    call(connection, ANNA, "send_heartbeat", pair_code="familie")
    for voucher in ("kept", "given back"):
        call(connection, ANNA, "issue_voucher", voucher_id=voucher, **window)
        call(connection, BEN, "book_voucher", voucher_id=voucher, slot_start="2030-01-07 09:00Z")
    call(connection, BEN, "cancel_booking", voucher_id="given back")
    call(connection, ANNA, "apply_for_mortgage", application_id="house", property_id="house")
    call(connection, BEN, "offer_mortgage", application_id="house", offer_id="offer")
    call(connection, ANNA, "accept_mortgage_offer", offer_id="offer")
    connection.execute("select public.settle_fees('2000-01-01', '2100-01-01')")


def tables(connection: psycopg.Connection) -> list[str]:
    """Returns every table with rows of the portal; partitions are left out."""
    found = connection.execute(
        "select oid::regclass::text from pg_class"
        " where relnamespace in ('public'::regnamespace, 'private'::regnamespace)"
        " and relkind in ('r', 'p') and not relispartition order by 1"
    ).fetchall()
    return [name for (name,) in found]


def rows(connection: psycopg.Connection) -> dict[str, list[dict[str, object]]]:
    """Returns every row of every table of the portal."""
    return {
        table: [row for (row,) in connection.execute(f"select to_jsonb(t) from {table} t order by t".encode())]
        for table in tables(connection)
    }
