"""What the migrations make of a database that was in use before them."""

import shutil
from pathlib import Path

import psycopg

from api.migrations import MIGRATIONS, migrate
from tests.acting import call, one, thinker

ANNA, BEN = thinker("anna"), thinker("ben")


def migrate_before(name: str, url: str, folder: Path) -> None:
    """Applies what comes before the migration with this name."""
    for file in sorted(MIGRATIONS.glob("*.sql")):
        if file.stem.endswith(f"_{name}"):
            break
        shutil.copy(file, folder)
    migrate(url, folder)


def test_who_sees_what_holds_for_what_was_there(empty_database: str, tmp_path: Path) -> None:
    migrate_before("access", empty_database, tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        window = {"valid_from": "2030-01-07 09:00Z", "valid_until": "2030-01-07 18:00Z"}
        call(connection, ANNA, "issue_voucher", voucher_id="for ben", holder_uid="ben", **window)
        call(connection, ANNA, "issue_voucher", voucher_id="for all", **window)
        for pair_code in ["secret"] * 10:
            call(connection, ANNA, "send_heartbeat", pair_code=pair_code)
        connection.execute("analyze")
        assert one(connection, "select count(*) from pg_stats where attname = 'pair_code'") == 1

        migrate(empty_database)

        # given to one thinker, it stays so when he has cancelled
        call(connection, BEN, "book_voucher", voucher_id="for ben", slot_start="2030-01-07 09:00Z")
        call(connection, BEN, "cancel_booking", voucher_id="for ben")
        assert [v["id"] for v in call(connection, thinker("sam"), "list_vouchers")] == ["for all"]
        # what the planner knew is forgotten, and not learned again
        connection.execute("analyze")
        known = "select count(*) from pg_stats where attname in ('pair_code', 'room_id', 'public_id', 'storage_url')"
        assert one(connection, known) == 0
