"""A database in use keeps its rows through the migrations that follow the first one."""

import shutil
from pathlib import Path

import psycopg

from api.database.migrations import MIGRATIONS, migrate
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


def rows(connection: psycopg.Connection) -> dict[str, list[dict[str, object]]]:
    """Returns every row of every table of the portal."""
    tables = connection.execute(
        "select oid::regclass::text from pg_class where relnamespace::regnamespace::text in ('public', 'private') "
        "and relkind in ('r', 'p') and not relispartition"
    ).fetchall()
    return {
        table: [row for (row,) in connection.execute(f"select to_jsonb(t) from {table} t order by t".encode())]
        for (table,) in tables
    }


def test_rows_survive_the_migrations_that_follow_the_first(empty_database: str, tmp_path: Path) -> None:
    first, *following = sorted(MIGRATIONS.glob("*.sql"))
    shutil.copy(first, tmp_path)
    migrate(empty_database, tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        use(connection)
        before = rows(connection)
        assert len([table for table, found in before.items() if found]) > 15

        for file in following:
            shutil.copy(file, tmp_path)
        # until a second migration exists, test at least an invented one
        (tmp_path / "99990101000000_notes.sql").write_text(
            "alter table public.vouchers add column note text not null default 'none';"
            "alter table public.events add column note text;"
            "update public.vouchers set note = 'booked' where status = 'booked';"
        )
        migrate(empty_database, tmp_path)

        # a row may have new columns; its old columns keep their values
        after = rows(connection)
        lost = {
            table: [row for row in found if not any(row.items() <= other.items() for other in after.get(table, []))]
            for table, found in before.items()
        }
        assert {table: found for table, found in lost.items() if found} == {}
        notes = connection.execute("select id, note from public.vouchers order by id").fetchall()
        assert notes == [("given back", "none"), ("kept", "booked")]
