"""What the migrations make of a database that was in use before them."""

import shutil
from pathlib import Path

import psycopg

from api.identity import SERVER
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


def test_fees_that_an_operator_had_made_go_on(empty_database: str, tmp_path: Path) -> None:
    migrate_before("settlements", empty_database, tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(
            """
            insert into public.thinkers (id, public_id) values (private.thinker_id('anna'), 'anna');
            insert into public.fees (id, scope, percentage, active, beneficiary_id)
            values ('voucher.booking', 'voucher', 0.05, false, null),
                   ('annas', 'transfer', 0.01, true, private.thinker_id('anna'));
            insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency)
            values ('annas', 'transfer', 'tx-1', 7, 'EUR');
            insert into public.settlements (beneficiary_id, period_from, period_to, total_cents, currency, status)
            values (private.thinker_id('anna'), '2026-09-01', '2026-10-01', 5, 'EUR', 'paid');
            """
        )
        migrate(empty_database)

        # the prices stay, and whoever was owed nothing by name is the portal
        prices = connection.execute(
            "select f.id, f.percentage::text, f.active, private.uid_of(f.beneficiary_id), v.percentage = f.percentage"
            " from public.fees f join public.fee_versions v on v.fee_id = f.id order by f.id"
        ).fetchall()
        assert prices == [
            ("annas", "0.0100", True, "anna", True),
            ("transfer.logged", "0.0000", False, "togethersystems", True),
            ("voucher.booking", "0.0500", False, "togethersystems", True),
        ]
        # what was charged by hand can be settled, what was paid stays so
        assert one(connection, "select total_cents from public.settlements where paid_at is not null") == 5
        [settlement] = call(connection, SERVER, "settle_fees", period_from="2026-01-01", period_to="2100-01-01")
        assert (settlement["beneficiary_uid"], settlement["total_cents"]) == ("anna", 7)
