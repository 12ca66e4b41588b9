"""A real pg_cron on PostgreSQL 15 runs real jobs.

In a container where a Docker engine answers, of the image TEST_POSTGRES_IMAGE or supabase/postgres; else from Debian's
packages. pg_cron works on one database of a server, and minutes are the shortest that it knows: the tests share both,
and what can fire in the same minute does.
"""

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import docker
import psycopg
import pytest
from docker.errors import DockerException

from api.database.migrations import migrate
from tests.support import waiting
from tests.support.acting import call, one, thinker
from tests.support.databases import DEBIAN, MissingServerError, Server, run_container, run_local
from tests.support.jobs import Job, charge_last_month, job, redefine
from tests.support.missing import missing

pytestmark = pytest.mark.slow

CONFIGURATION = {
    "shared_preload_libraries": "pg_cron",
    "cron.database_name": "postgres",
    # otherwise pg_hba.conf would have to allow it
    "cron.use_background_workers": "on",
}


@pytest.fixture(scope="module")
def cron_server() -> Iterator[Server]:
    """A PostgreSQL 15 with pg_cron for this module."""
    image = os.environ.get("TEST_POSTGRES_IMAGE")
    if image or is_engine_there():
        try:
            with run_container(image or "supabase/postgres", CONFIGURATION) as server:
                yield server
            return
        except MissingServerError as error:
            if image:
                missing(str(error))
    programs = Path(DEBIAN.format(15))
    if not (programs.parent / "lib" / "pg_cron.so").exists():
        missing("These tests need pg_cron: a Docker engine, or (Debian: apt install postgresql-15 postgresql-15-cron).")
    with run_local(programs, CONFIGURATION) as server:
        yield server


def is_engine_there() -> bool:
    """Returns whether a Docker engine answers, at DOCKER_HOST or its default address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(docker.from_env()) as client:
                return bool(client.ping())
        except DockerException:
            pass
        # docker leaves its socket open where no engine answers: away with it, before another test is blamed
        gc.collect()
    return False


@pytest.fixture(scope="module")
def clock(cron_server: Server) -> Iterator[psycopg.Connection]:
    """The schema owner's connection, in autocommit mode, to the migrated database of pg_cron."""
    migrate(cron_server.url())
    with psycopg.connect(cron_server.url(), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def fired(clock: psycopg.Connection) -> psycopg.Connection:
    """The same connection after a minute in which three jobs were due, one of which fails."""
    call(clock, thinker("anna"), "send_heartbeat")
    clock.execute("update public.presence_sessions set last_seen_at = now() - interval '61 seconds'")
    charge_last_month(clock)
    clock.execute("update private.settings set settles_on_schedule = true")
    redefine(clock, "expire-vouchers", "begin raise 'broken on purpose'; end")
    changed = ["expire-vouchers", "settle-fees-monthly"]
    for name in changed:
        every_minute(clock, name)
    # in some minutes of an hour others are due, too
    due = [*changed, "presence-offline"]
    wait_until(lambda: one(clock, "select %s <@ array_agg(job) from private.job_runs", due))
    return clock


def every_minute(connection: psycopg.Connection, name: str) -> None:
    """Replaces the job's schedule by every minute."""
    connection.execute("select cron.alter_job(jobid, '* * * * *') from cron.job where jobname = %s", (name,))


def wait_until(happened: Callable[[], object]) -> None:
    """Waits for what pg_cron should do at the next full minute."""
    waiting.wait_until(happened, seconds=150)


def jobs(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    """Returns the jobs of the registry, as pg_cron should have them."""
    return connection.execute(
        "select name, schedule, 'set statement_timeout = 0; select private.run_job(''' || name || ''')' "
        "from private.jobs order by name"
    ).fetchall()


def scheduled(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    """Returns the jobs of pg_cron."""
    return connection.execute("select jobname::text, schedule, command from cron.job order by jobname").fetchall()


def test_the_dashboard_shows_that_pg_cron_runs(clock: psycopg.Connection) -> None:
    assert one(clock, "select public.system_stats() -> 'clock'") is True


def test_a_migrated_database_has_its_jobs_scheduled(clock: psycopg.Connection) -> None:
    assert len(jobs(clock)) == 7
    assert scheduled(clock) == jobs(clock)


def test_a_server_runs_only_what_pg_cron_does_not_have(clock: psycopg.Connection) -> None:
    def run_by() -> dict[str, str]:
        return dict(clock.execute("select name, run_by from stats.jobs").fetchall())

    with clock.transaction(force_rollback=True):
        assert clock.execute("select name from private.jobs_for_server('here:1')").fetchall() == []
        assert set(run_by().values()) == {"pg_cron"}

        clock.execute("select cron.unschedule('expire-vouchers')")
        clock.execute("select cron.alter_job(jobid, active => false) from cron.job where jobname = 'presence-offline'")
        assert clock.execute("select name from private.jobs_for_server('here:1')").fetchall() == [("expire-vouchers",)]
        assert run_by() == dict.fromkeys(run_by(), "pg_cron") | {
            "expire-vouchers": "portal run",
            "presence-offline": "nobody",
        }
        clock.execute("set local role stats_reader")
        assert run_by()["check-invariants"] == "pg_cron"


def test_install_can_be_repeated(clock: psycopg.Connection) -> None:
    ids = clock.execute("select jobid, jobname from cron.job order by jobid").fetchall()
    assert one(clock, "select private.install_jobs()") == 7
    assert scheduled(clock) == jobs(clock)
    assert clock.execute("select jobid, jobname from cron.job order by jobid").fetchall() == ids


def test_install_updates_changed_jobs_and_keeps_others(clock: psycopg.Connection) -> None:
    clock.execute("select cron.schedule('another', '0 0 1 1 *', 'select 1')")
    with clock.transaction(force_rollback=True):
        clock.execute("update private.jobs set schedule = '1 2 3 4 5' where name = 'check-invariants'")
        clock.execute("delete from private.jobs where name = 'purge-old-events'")
        assert one(clock, "select private.install_jobs()") == 6
        command = "set statement_timeout = 0; select private.run_job('check-invariants')"
        assert ("check-invariants", "1 2 3 4 5", command) in scheduled(clock)
        assert scheduled(clock) == sorted([*jobs(clock), ("another", "0 0 1 1 *", "select 1")])
    clock.execute("select cron.unschedule('another')")


def test_a_role_that_may_not_schedule_gets_an_explanation(clock: psycopg.Connection) -> None:
    notices: list[str] = []
    with clock.transaction(force_rollback=True):
        clock.execute("create role owner_without_cron")
        clock.execute("grant usage on schema private to owner_without_cron")
        clock.execute("grant execute on function private.install_jobs() to owner_without_cron")
        clock.execute("set local role owner_without_cron")
        clock.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        assert one(clock, "select private.install_jobs()") == 0
    assert notices == [
        "Nothing is scheduled: permission denied for schema cron. "
        "As superuser: create extension pg_cron; grant usage on schema cron to owner_without_cron."
    ]


def test_other_databases_of_the_server_get_an_explanation(cron_server: Server) -> None:
    with cron_server.database() as url:
        migrate(url)
        with psycopg.connect(url) as connection:
            assert one(connection, "select private.install_jobs()") == 0


def test_a_silent_thinker_goes_offline(fired: psycopg.Connection) -> None:
    assert fired.execute("select status, silenced from public.presence_sessions").fetchall() == [("offline", True)]
    assert job(fired, "presence-offline")[:2] == (True, False)
    # the jobs' own log agrees with pg_cron's
    wait_until(
        lambda: one(
            fired,
            "select count(*) > 0 from cron.job_run_details where status = 'succeeded' "
            "and command like '%%select private.run_job(''presence-offline'')'",
        )
    )
    assert one(fired, "select max(done) from private.job_runs where job = 'presence-offline'") == 1


def test_a_failure_is_shown_with_its_error(fired: psycopg.Connection) -> None:
    assert job(fired, "expire-vouchers") == Job(True, False, None, "broken on purpose", True)


def test_a_real_settlement_is_made(fired: psycopg.Connection) -> None:
    settled = fired.execute(
        "select s.total_cents, s.currency, s.status, e.settlement_id = s.id "
        "from public.settlements s cross join public.fee_events e"
    ).fetchall()
    assert settled == [(240, "EUR", "open", True)]
    assert one(fired, "select max(done) from private.job_runs where job = 'settle-fees-monthly'") == 1
