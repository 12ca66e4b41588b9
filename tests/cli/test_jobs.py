"""The commands `portal jobs`, as a person types them."""

import os
import subprocess

import psycopg
import pytest
from psycopg import sql
from rich.text import Text

from api.cli.owner import operator_transaction, owner_connection
from api.errors import PortalError
from tests.cli.running import PORTAL, portal, rows
from tests.support.acting import one
from tests.support.jobs import redefine


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setenv("DATABASE_URL", database)


def states() -> dict[str, str]:
    """The state of each job, as `portal jobs` shows it."""
    return {name: state for name, state, *_ in rows(portal("jobs"))}


def test_the_table_shows_the_state_of_every_job(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update private.jobs set added_at = now()")
        assert set(states().values()) == {"never ran"}
        connection.execute("update private.jobs set added_at = now() - interval '1 hour'")
        redefine(connection, "check-invariants", "begin raise 'broken [on] purpose'; end")
        connection.execute("select private.run_job(name) from private.jobs where name = 'check-invariants'")
        connection.execute(
            "insert into private.job_runs (job, started_at, finished_at, done) "
            "values ('cleanup-cron-history', now() - interval '27 hours', now(), 12),"
            " ('settle-fees-monthly', now() - interval '27 hours', now(), 3)"
        )
    found = states()
    assert found["check-invariants"] == "failed"
    assert found["cleanup-cron-history"] == "late"
    assert found["settle-fees-monthly"] == "on time"
    assert found["expire-vouchers"] == "late: never ran"
    assert found["purge-old-events"] == "never ran"
    output = portal("jobs")
    assert "Failed: broken [on] purpose" in output
    assert "1 d ago" in output
    assert "30 12 1-3 * *" in output


def test_below_the_table_is_who_runs_the_jobs(database: str) -> None:
    hint = "`portal run` runs jobs while it serves, pg_cron after `portal jobs install`."
    assert portal("jobs").splitlines()[-2:] == ["Run by nobody: all jobs.", hint]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select private.jobs_for_server('here:1')")
        assert portal("jobs").splitlines()[-1] == "Run by portal run: all jobs."
        connection.execute(
            "create or replace function private.is_active_in_pg_cron(job text) returns boolean "
            "return case when job like 'purge%' then true when job like 'c%' then false end"
        )
    assert portal("jobs").splitlines()[-4:] == [
        "Run by nobody: check-invariants, cleanup-cron-history.",
        "Run by portal run: expire-vouchers, presence-offline, settle-fees-monthly.",
        "Run by pg_cron: purge-idempotency-keys, purge-old-events.",
        hint,
    ]


def test_no_timeout_ends_a_job(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        set_timeout(connection)
        redefine(
            connection, "check-invariants", "begin return (current_setting('statement_timeout') = '0')::integer; end"
        )
    assert portal("jobs", "run", "check-invariants") == "check-invariants: 1 done\n"


def test_no_timeout_ends_what_an_operator_does(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        set_timeout(connection)
    with owner_connection() as connection:
        assert one(connection, "show statement_timeout") == "2min"
        with operator_transaction(connection):
            assert one(connection, "show statement_timeout") == "0"


def set_timeout(connection: psycopg.Connection) -> None:
    """Sets the timeout that the owner has in a Supabase project, for all new sessions."""
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("alter database {} set statement_timeout = '2min'").format(name))


def test_a_job_is_run_by_hand(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into public.vouchers (id, issuer_id, valid_from, valid_until) "
            "values ('v', private.ensure_thinker('anna'), now() - interval '2 days', now() - interval '1 day')"
        )
        assert portal("jobs", "run", "expire-vouchers") == "expire-vouchers: 1 done\n"
        assert one(connection, "select status from public.vouchers") == "expired"
    assert states()["expire-vouchers"] == "on time"


def test_a_failure_has_exit_code_1(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        redefine(connection, "expire-vouchers", "begin raise 'broken on purpose'; end")
    result = subprocess.run(
        [*PORTAL, "jobs", "run", "expire-vouchers"], env=os.environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert Text.from_ansi(result.stderr).plain.rstrip() == "portal: expire-vouchers failed: broken on purpose"


def test_a_job_that_is_already_running_is_not_started(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("select private.run_job('expire-vouchers')")
        assert portal("jobs", "run", "expire-vouchers") == "expire-vouchers is running elsewhere.\n"


def test_a_disabled_job_explains_itself() -> None:
    assert portal("jobs", "run", "settle-fees-monthly") == (
        "Switched off: update private.settings set settles_on_schedule = true.\nsettle-fees-monthly: 0 done\n"
    )


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        PortalError, match=r"There is no job 'x'. The jobs are check-invariants, cleanup-cron-history, "
    ):
        portal("jobs", "run", "x")


def test_install_names_what_is_missing(database: str) -> None:
    output = portal("jobs", "install")
    assert output.startswith("Nothing is scheduled: pg_cron does not work on this database. ")
    assert output.endswith("0 jobs are scheduled.\n")


def test_a_missing_migration_is_explained(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database)
    with pytest.raises(PortalError, match="not up to date: run `portal migrate`"):
        portal("jobs")


def test_the_data_api_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("SUPABASE_URL", "https://x.supabase.co")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "key")
    monkeypatch.setenv("JWT_SECRET", "x" * 32)
    with pytest.raises(PortalError, match="set DATABASE_URL too"):
        portal("jobs")
