"""The state of a job in one word; each test runs jobs or dates their runs back."""

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from api.actor import SERVER
from tests.stats.reckoning import Books
from tests.stats.test_figures import counted, read
from tests.support.acting import call, one
from tests.support.jobs import redefine, run

pytestmark = pytest.mark.clock

JOB = "expire-vouchers"
"""Late after 15 minutes."""

LATE = timedelta(minutes=15)
SECONDS = timedelta(seconds=30)


def state(connection: psycopg.Connection, job: str = JOB) -> str:
    """Returns the state in the view, after checking that the function and Python agree."""
    said: str = one(connection, "select state from stats.jobs where name = %s", job)
    [shown] = (j for j in call(connection, SERVER, "system_stats")["jobs"] if j["name"] == job)
    assert shown["state"] == said
    with connection.transaction():
        assert counted(read(connection, "jobs")) == counted(Books(connection).all_jobs())
    return said


def date_back(connection: psycopg.Connection, by: timedelta) -> None:
    """Dates all runs so far back."""
    connection.execute("update private.job_runs set started_at = started_at - %s", (by,))


def added(connection: psycopg.Connection, ago: timedelta) -> None:
    connection.execute("update private.jobs set added_at = now() - %s", (ago,))


def fail(connection: psycopg.Connection) -> None:
    redefine(connection, JOB, "begin raise 'out of order'; end")
    run(connection, JOB)


def repair(connection: psycopg.Connection) -> None:
    redefine(connection, JOB, "begin return 7; end")
    run(connection, JOB)


@pytest.fixture(autouse=True)
def _new(connection: psycopg.Connection) -> None:
    """Makes the jobs new, because the copied database may be old."""
    added(connection, timedelta(0))


def test_a_new_job_is_waiting(connection: psycopg.Connection) -> None:
    assert set(connection.execute("select distinct state from stats.jobs").fetchall()) == {("waiting",)}
    added(connection, LATE - SECONDS)
    assert state(connection) == "waiting"


def test_a_job_that_never_ran_becomes_late(connection: psycopg.Connection) -> None:
    added(connection, LATE + SECONDS)
    assert state(connection) == "late"
    # other jobs may take a day
    assert state(connection, "check-invariants") == "waiting"


def test_a_job_that_ran_is_good_until_it_is_late(connection: psycopg.Connection) -> None:
    repair(connection)
    assert state(connection) == "good"
    # its age does not matter
    added(connection, timedelta(days=1000))
    assert state(connection) == "good"
    date_back(connection, LATE - SECONDS)
    assert state(connection) == "good"
    date_back(connection, 2 * SECONDS)
    assert state(connection) == "late"
    repair(connection)
    assert state(connection) == "good"


def test_a_failed_job_has_failed_until_it_succeeds(connection: psycopg.Connection) -> None:
    fail(connection)
    assert state(connection) == "failed"
    assert one(connection, "select last_error from stats.jobs where name = %s", JOB) == "out of order"
    assert one(connection, "select last_good_run_at is null from stats.jobs where name = %s", JOB)
    repair(connection)
    assert state(connection) == "good"
    # the error can still be read
    assert one(connection, "select last_error from stats.jobs where name = %s", JOB) == "out of order"
    assert one(connection, "select last_done from stats.jobs where name = %s", JOB) == 7
    fail(connection)
    assert state(connection) == "failed"
    # it is late too, but that matters less
    date_back(connection, LATE + SECONDS)
    added(connection, timedelta(days=1))
    assert state(connection) == "failed"
    assert one(connection, "select is_late from stats.jobs where name = %s", JOB)


def test_a_skipped_run_changes_no_state(connection: psycopg.Connection, database: str) -> None:
    repair(connection)
    date_back(connection, LATE + SECONDS)
    with psycopg.connect(database) as other:
        other.execute("select pg_advisory_xact_lock(private.lock_number(%s))", (f"run_job:{JOB}",))
        assert run(connection, JOB) == (None, None)
        assert state(connection) == "late"
    run(connection, JOB)
    assert state(connection) == "good"


@pytest.mark.parametrize(("happen", "word"), [(repair, "good"), (fail, "failed")])
def test_cleaning_up_changes_no_state(
    connection: psycopg.Connection, happen: Callable[[psycopg.Connection], None], word: str
) -> None:
    connection.execute("update private.jobs set late_after = '32 days' where name = %s", (JOB,))
    happen(connection)
    date_back(connection, timedelta(days=20))
    assert state(connection) == word
    assert run(connection, "cleanup-cron-history").error is None
    assert state(connection) == word


def test_a_server_runs_the_jobs_as_long_as_it_is_there(connection: psycopg.Connection) -> None:
    def run_by(ago: timedelta) -> str:
        connection.execute("update private.job_servers set seen_at = now() - %s", (ago,))
        state(connection)
        word: str = one(connection, "select run_by from stats.jobs where name = %s", JOB)
        assert call(connection, SERVER, "system_stats")["clock"] is (word == "portal run")
        return word

    assert run_by(timedelta(0)) == "nobody"
    connection.execute("select private.jobs_for_server('here:1')")
    assert run_by(timedelta(minutes=3) - SECONDS) == "portal run"
    assert run_by(timedelta(minutes=3) + SECONDS) == "nobody"
    connection.execute("select private.jobs_for_server('there:2')")
    assert run_by(timedelta(0)) == "portal run"


def test_every_job_can_be_good(connection: psycopg.Connection) -> None:
    names = [name for (name,) in connection.execute("select name from private.jobs").fetchall()]
    assert len(names) >= 7
    for name in names:
        assert run(connection, name).error is None
        assert state(connection, name) == "good"
