"""What the migrations make of a database that was in use before them."""

import shutil
from datetime import UTC
from pathlib import Path

import psycopg
from psycopg import sql

from api.actor import SERVER
from api.database.migrations import MIGRATIONS, migrate
from tests.support.acting import call, one, thinker

ANNA, BEN = thinker("anna"), thinker("ben")


def migrate_before(name: str, url: str, folder: Path) -> None:
    """Applies what comes before the migration with this name; with its number, where two have it."""
    for file in sorted(MIGRATIONS.glob("*.sql")):
        if f"_{file.stem}".endswith(f"_{name}"):
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


# of a year ago, at both edges of a month, of now, of a month that is made ahead, and far beyond
MOMENTS = (
    "'0001-01-01Z'",
    "date_trunc('month', now(), 'UTC') - interval '1 year'",
    "date_trunc('month', now(), 'UTC') - interval '1 microsecond'",
    "date_trunc('month', now(), 'UTC')",
    "now()",
    "now() + interval '2 months'",
    "'9999-12-31 23:59:59Z'",
)
EVERY_EVENT = "select to_jsonb(e)::text from public.events e order by e.created_at, e.id"


def test_the_log_is_the_same_when_it_is_kept_in_months(empty_database: str, tmp_path: Path) -> None:
    migrate_before("20261123220003_events", empty_database, tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        call(connection, ANNA, "send_heartbeat", pair_code="familie")
        for moment in MOMENTS * 3:
            connection.execute(
                "insert into public.events (type, actor_id, subject_type, subject_id, meta, created_at) "
                f"values ('x.error', private.thinker_id('anna'), 'voucher', 'v', '{{\"a\": 1}}', {moment})".encode()
            )
        admin = thinker("ada", "admin")
        log = connection.execute(EVERY_EVENT).fetchall()
        answers = [call(connection, admin, function) for function in ("list_events", "error_summary", "dashboard")]
        shortened = [call(connection, admin, "list_events", max_rows=number) for number in (1, 7, 200)]

        # months are those of UTC, wherever the server stands
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} set timezone = 'America/Los_Angeles'").format(database))
        migrate(empty_database)

        assert connection.execute(EVERY_EVENT).fetchall() == log
        now = [call(connection, admin, function) for function in ("list_events", "error_summary", "dashboard")]
        # which came later
        del now[2]["backup"]
        assert now == answers
        assert [call(connection, admin, "list_events", max_rows=number) for number in (1, 7, 200)] == shortened
        homes = connection.execute("select distinct tableoid::regclass::text from public.events").fetchall()
        # 0001-01, a year ago, last month, this one, in two months, and what is too far away
        assert len(homes) == 6
        bounds = connection.execute(
            "select ends_at from private.event_partitions() where ends_at is not null"
        ).fetchall()
        assert {(ends_at.astimezone(UTC).day, ends_at.astimezone(UTC).hour) for (ends_at,) in bounds} == {(1, 0)}
        assert one(connection, "select min(created_at) from private.events_default") == one(
            connection, "select max(created_at) from public.events"
        )
        assert one(connection, "select to_regclass('private.unpartitioned_events')") is None


def test_what_was_accepted_and_signed_before_has_its_events(empty_database: str, tmp_path: Path) -> None:
    migrate_before("20261123220003_events", empty_database, tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for name in ("old", "drafted", "offered"):
            call(connection, ANNA, "apply_for_mortgage", application_id=name)
            call(connection, thinker("ben", "lender"), "offer_mortgage", application_id=name, offer_id=name)
        # years ago, in a month of which there is no event
        connection.execute(
            "with accepted as (update public.mortgage_offers set status = 'accepted' where id = 'old' returning id) "
            "insert into public.mortgage_contracts (id, offer_id, status, created_at, borrower_signed_at, "
            "lender_signed_at, notary_signed_at, updated_at) "
            "select 'old', id, 'archived', '2021-01-31Z', '2021-02-01Z', '2021-03-02Z', '2021-03-01Z', '2021-03-02Z' "
            "from accepted"
        )
        call(connection, ANNA, "accept_mortgage_offer", offer_id="drafted")
        drafted = one(connection, "select id from public.mortgage_contracts where offer_id = 'drafted'")
        call(connection, BEN, "sign_mortgage_contract", contract_id=drafted, signer="lender")
        accepted, signed = connection.execute(
            "select created_at, lender_signed_at from public.mortgage_contracts where id = %s", (drafted,)
        ).fetchall()[0]

        migrate(empty_database)
        call(connection, ANNA, "sign_mortgage_contract", contract_id=drafted, signer="borrower")

        found = connection.execute(
            "select private.uid_of(actor_id), subject_id, meta ->> 'signer', meta ->> 'status', created_at, "
            "tableoid::regclass::text from public.events where type = 'mortgage.sign' order by created_at"
        ).fetchall()
        assert [row[:4] for row in found] == [
            ("anna", "old", "borrower", "draft"),
            (None, "old", "notary", "draft"),
            ("ben", "old", "lender", "signed"),
            ("ben", drafted, "lender", "draft"),
            ("anna", drafted, "borrower", "draft"),
        ]
        assert [row[5] for row in found[:3]] == [f"private.events_2021_0{month}" for month in (2, 3, 3)]
        assert found[3][4] == signed
        found = connection.execute(
            "select private.uid_of(actor_id), subject_type, subject_id, meta, created_at from public.events "
            "where type = 'mortgage.accept' order by created_at"
        ).fetchall()
        assert [row[:4] for row in found] == [
            ("anna", "mortgage_offer", name, {"applicationId": name, "lenderUid": "ben"}) for name in ("old", "drafted")
        ]
        assert found[1][4] == accepted


def test_what_an_operator_made_of_the_views_goes_on(empty_database: str, tmp_path: Path) -> None:
    migrate_before("dashboards", empty_database, tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create view public.late_jobs as select name from stats.jobs where is_late")
        connection.execute("create view public.broken as select name, violations from stats.invariants")
        connection.execute("grant usage on schema stats to anon")
        connection.execute("grant select on stats.jobs, private.jobs, private.job_runs to anon")
        migrate(empty_database)
        # whom an operator let read the jobs
        connection.execute("set role anon")
        assert one(connection, "select count(*) from stats.jobs") == 7
        connection.execute("reset role")
        assert one(connection, "select count(*) from public.broken where violations = 0") == 9
        connection.execute(
            "update private.jobs set added_at = added_at - interval '2 days' where name = 'expire-vouchers'"
        )
        assert one(connection, "select name from public.late_jobs") == "expire-vouchers"
