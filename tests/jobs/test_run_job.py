"""How private.run_job runs a job, and what it records."""

from datetime import timedelta

import psycopg
import pytest

from tests.support.acting import one
from tests.support.jobs import Job, Run, job, redefine, run

pytestmark = pytest.mark.clock

# changes something, and fails afterwards
BREAKS = "begin update private.settings set time_zone = 'UTC'; raise 'broken on purpose'; end"


def test_a_run_is_recorded_with_its_result(connection: psycopg.Connection) -> None:
    redefine(connection, "presence-offline", "begin perform pg_sleep(0.2); return 7; end")
    assert run(connection, "presence-offline") == Run(7, None)
    [noted] = connection.execute("select job, finished_at - started_at, done, error from private.job_runs").fetchall()
    assert noted[1] > timedelta(seconds=0.2)
    assert (noted[0], noted[2], noted[3]) == ("presence-offline", 7, None)
    assert one(connection, "select clock_timestamp() - max(finished_at) from private.job_runs") < timedelta(minutes=1)


def test_a_failed_run_leaves_only_its_error(connection: psycopg.Connection) -> None:
    redefine(connection, "expire-vouchers", BREAKS)
    warnings: list[tuple[str | None, str | None]] = []
    connection.add_notice_handler(lambda notice: warnings.append((notice.severity, notice.message_primary)))
    assert run(connection, "expire-vouchers") == Run(None, "broken on purpose")
    assert warnings == [("WARNING", "expire-vouchers failed: broken on purpose")]
    assert one(connection, "select time_zone from private.settings") == "Europe/Berlin"
    assert one(connection, "select error from private.job_runs") == "broken on purpose"


def test_a_cancelled_run_is_recorded(connection: psycopg.Connection) -> None:
    redefine(connection, "expire-vouchers", "begin perform pg_sleep(60); return 1; end")
    connection.execute("set statement_timeout = '100ms'")
    assert run(connection, "expire-vouchers") == Run(None, "canceling statement due to statement timeout")


def test_a_job_does_not_run_twice_at_the_same_moment(connection: psycopg.Connection, database: str) -> None:
    notices: list[str | None] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    with psycopg.connect(database) as other:
        # not committed: it is still running
        assert run(other, "expire-vouchers") == Run(0, None)
        assert run(connection, "expire-vouchers") == Run(None, None)
        assert notices == ["expire-vouchers is running elsewhere."]
        assert run(connection, "presence-offline") == Run(0, None)
        other.commit()
        assert run(connection, "expire-vouchers") == Run(0, None)


@pytest.mark.parametrize("name", ["no-such-job", "", "run_job", None])
def test_only_registered_jobs_are_run(connection: psycopg.Connection, name: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="There is no job") as refusal:
        connection.execute("select private.run_job(%s)", (name,))
    assert refusal.value.diag.message_hint is not None
    assert "expire-vouchers, presence-offline" in refusal.value.diag.message_hint
    assert one(connection, "select count(*) from private.job_runs") == 0


def test_the_view_shows_late_jobs(connection: psycopg.Connection) -> None:
    def is_late(age: str) -> bool:
        connection.execute("update private.job_runs set started_at = now() - %s::interval", (age,))
        late: bool = one(connection, "select is_late from stats.jobs where name = 'expire-vouchers'")
        return late

    run(connection, "expire-vouchers")
    with connection.transaction():
        assert not is_late("15 minutes")
        assert is_late("15 minutes 1 second")


def test_a_job_that_never_ran_becomes_late(connection: psycopg.Connection) -> None:
    assert job(connection, "expire-vouchers") == Job(False, False, None, None, False)
    connection.execute("update private.jobs set added_at = now() - interval '16 minutes'")
    assert job(connection, "expire-vouchers") == Job(False, True, None, None, False)
    assert job(connection, "settle-fees-monthly") == Job(False, False, None, None, False)


def test_the_view_shows_the_last_error(connection: psycopg.Connection) -> None:
    redefine(connection, "expire-vouchers", "begin return 5; end")
    run(connection, "expire-vouchers")
    assert job(connection, "expire-vouchers") == Job(True, False, 5, None, False)
    redefine(connection, "expire-vouchers", BREAKS)
    run(connection, "expire-vouchers")
    assert job(connection, "expire-vouchers") == Job(True, False, 5, "broken on purpose", True)
    redefine(connection, "expire-vouchers", "begin return 6; end")
    run(connection, "expire-vouchers")
    assert job(connection, "expire-vouchers") == Job(True, False, 6, "broken on purpose", False)


def test_a_job_that_only_fails_becomes_late(connection: psycopg.Connection) -> None:
    redefine(connection, "expire-vouchers", BREAKS)
    run(connection, "expire-vouchers")
    connection.execute("update private.jobs set added_at = now() - interval '16 minutes'")
    assert job(connection, "expire-vouchers") == Job(True, True, None, "broken on purpose", True)


def test_a_skipped_run_does_not_count(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into private.job_runs (job, started_at, finished_at) values ('expire-vouchers', now(), now())"
    )
    assert job(connection, "expire-vouchers") == Job(False, False, None, None, False)
