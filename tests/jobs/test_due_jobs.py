"""Which jobs a server finds due, and that of several servers one runs them; without a server process."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from cronsim import CronSimError

from api.scheduler import Scheduler, last_due
from tests.support.acting import one
from tests.support.jobs import redefine, run
from tests.support.parallel import at_once
from tests.support.waiting import wait_for_row

pytestmark = pytest.mark.clock

JOB = "expire-vouchers"

Connection = psycopg.Connection


def run_due(connection: Connection, due: str = "now()", server: str = "here:1") -> int | None:
    """Runs the job as a server does; returns what it did, or None if it was not run."""
    done: int | None = one(connection, f"select (r).done from private.run_due_job('{JOB}', {due}, '{server}') as r")
    return done


def due_after(connection: Connection) -> dict[str, datetime]:
    """From when on each job is due."""
    return dict(connection.execute("select name, due_after from private.jobs_for_server('here:1')").fetchall())


async def tick(*servers: Scheduler) -> None:
    """Lets servers look for due jobs at once, and waits for the jobs."""
    async with asyncio.TaskGroup() as tasks:
        await asyncio.gather(*(server.start_due_jobs(tasks) for server in servers))


def make_all_due(connection: Connection) -> None:
    connection.execute("update private.jobs set schedule = '* * * * *', added_at = now() - interval '1 hour'")


@contextmanager
def busy(connection: Connection, database: str) -> Iterator[None]:
    """The job does not end meanwhile."""
    redefine(connection, JOB, "begin perform pg_advisory_xact_lock_shared(1); return 7; end")
    with psycopg.connect(database) as other:
        other.execute("select pg_advisory_xact_lock(1)")
        yield


def test_a_job_is_due_after_its_last_run_or_its_addition(connection: Connection) -> None:
    [added] = set(due_after(connection).values())
    assert added == one(connection, "select max(added_at) from private.jobs")
    # one that another run kept away, and one of a clock that was wrong
    connection.execute(
        "insert into private.job_runs (job, started_at, finished_at, done) values"
        f" ('{JOB}', now(), now(), null), ('{JOB}', now() + interval '1 day', now() + interval '1 day', 1)"
    )
    assert due_after(connection)[JOB] == added
    for body in ("begin return 1; end", "begin raise 'broken on purpose'; end"):
        redefine(connection, JOB, body)
        run(connection, JOB)
        last = "select started_at from private.job_runs order by id desc limit 1"
        assert due_after(connection)[JOB] == one(connection, last)


def test_a_due_job_runs_once_and_names_its_server(connection: Connection) -> None:
    redefine(connection, JOB, "begin return 7; end")
    assert run_due(connection, "now() - interval '1 minute'") == 7
    assert run_due(connection, "now() - interval '1 minute'", "there:2") is None
    assert run_due(connection, "now() + interval '1 minute'", "there:2") == 7
    servers = connection.execute("select server from private.job_runs order by id").fetchall()
    assert servers == [("here:1",), ("there:2",)]


def test_a_due_job_that_an_operator_has_run_or_that_failed_waits_for_its_next_time(connection: Connection) -> None:
    for body in ("begin return 7; end", "begin raise 'broken on purpose'; end"):
        before = one(connection, "select quote_literal(clock_timestamp())")
        redefine(connection, JOB, body)
        run(connection, JOB)
        assert run_due(connection, before) is None


def test_a_due_job_that_is_running_is_not_run(connection: Connection, database: str) -> None:
    before = one(connection, "select quote_literal(clock_timestamp())")
    with psycopg.connect(database) as other:
        assert run_due(other, before) == 0
        assert run_due(connection, before) is None
        other.rollback()
        assert run_due(connection, before) == 0
    assert one(connection, "select count(*) from private.job_runs") == 1


def test_many_servers_run_a_due_job_once(connection: Connection, database: str) -> None:
    before = one(connection, "select quote_literal(clock_timestamp())")

    def run_it(server: str) -> int | None:
        with psycopg.connect(database, autocommit=True) as other:
            return run_due(other, before, server)

    assert sorted(at_once([partial(run_it, f"here:{n}") for n in range(8)]), key=str) == [0, *[None] * 7]


def test_servers_that_look_at_once_run_each_job_once(connection: Connection, database: str) -> None:
    make_all_due(connection)
    asyncio.run(tick(Scheduler(database), Scheduler(database), Scheduler(database)))
    runs = connection.execute("select job, count(*), count(done), count(server) from private.job_runs group by job")
    assert {name: counts for name, *counts in runs} == {
        name: [1, 1, 1] for (name,) in connection.execute("select name from private.jobs")
    }


def test_a_job_that_takes_long_delays_no_other_and_is_not_started_again(connection: Connection, database: str) -> None:
    make_all_due(connection)
    server = Scheduler(database)

    async def look_twice() -> None:
        async with asyncio.TaskGroup() as tasks:
            with busy(connection, database):
                for count in (1, 2):
                    await server.start_due_jobs(tasks)
                    query = f"select from private.job_runs where job = 'presence-offline' offset {count - 1}"
                    await asyncio.to_thread(wait_for_row, connection, query)
                    connection.execute(
                        "update private.job_runs set started_at = started_at - interval '1 hour' "
                        "where job = 'presence-offline'"
                    )
                assert one(connection, f"select count(*) from private.job_runs where job = '{JOB}'") == 0

    asyncio.run(look_twice())
    assert connection.execute(f"select done from private.job_runs where job = '{JOB}'").fetchall() == [(7,)]


def test_a_schedule_that_is_changed_or_wrong_needs_no_restart(
    connection: Connection, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    make_all_due(connection)
    server = Scheduler(database)

    def schedule(text: str) -> None:
        connection.execute("update private.jobs set schedule = %s where name = %s", (text, JOB))
        asyncio.run(tick(server))

    for _ in range(2):
        schedule("99 * * * *")
    assert caplog.messages == [f"the job {JOB} has no schedule that can be read: 99 * * * * (Bad minute)"]
    assert one(connection, "select count(*) from private.job_runs") == 6
    schedule("* * * * *")
    assert one(connection, f"select count(*) from private.job_runs where job = '{JOB}'") == 1
    schedule("99 * * * *")
    assert len(caplog.messages) == 2


def test_a_job_that_fails_says_so_once(connection: Connection, database: str, caplog: pytest.LogCaptureFixture) -> None:
    make_all_due(connection)
    server = Scheduler(database)
    redefine(connection, JOB, "begin raise 'broken on purpose'; end")
    for _ in range(2):
        asyncio.run(tick(server))
        connection.execute("update private.job_runs set started_at = started_at - interval '1 hour'")
    assert caplog.messages == [f"the job {JOB} fails: broken on purpose"]
    assert one(connection, f"select array_agg(error) from private.job_runs where job = '{JOB}'") == [
        "broken on purpose",
        "broken on purpose",
    ]


def test_a_database_that_is_away_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Scheduler("postgresql://127.0.0.1:1/none")
    for _ in range(3):
        asyncio.run(tick(server))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith("the scheduled jobs wait for the database: ")


@pytest.mark.parametrize(
    ("schedule", "before_now"),
    [
        ("* * * * *", timedelta(0)),
        ("*/5 * * * *", timedelta(0)),
        ("29 12 * * *", timedelta(minutes=1)),
        ("31 12 * * *", timedelta(hours=23, minutes=59)),
        # the day of now is a Friday
        ("30 12 * * 5", timedelta(0)),
        ("30 12 * * 0", timedelta(days=5)),
        ("30 12 * * 7", timedelta(days=5)),
        ("30 12 * * mon", timedelta(days=4)),
        # a day of the month or a day of the week
        ("30 12 1 * 3", timedelta(days=2)),
        ("30 12 31 * *", timedelta(days=27)),
    ],
)
def test_schedules_mean_what_cron_means(schedule: str, before_now: timedelta) -> None:
    now = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
    for seconds in (timedelta(0), timedelta(seconds=59.9)):
        assert last_due(schedule, now + seconds) == now - before_now
    assert last_due(schedule, (now + timedelta(hours=1)).astimezone()) is not None


def test_a_schedule_that_nothing_meets_is_never_due() -> None:
    with pytest.raises(CronSimError):
        last_due("0 0 30 2 *", datetime.now(UTC))
    # the last Monday of a month, if it is the 1st or the 21st
    assert last_due("0 0 */20 * 1L", datetime.now(UTC)) is None
