"""`portal run` runs the jobs where no pg_cron does: the processes as an operator starts, stops and loses them."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from api.database.migrations import migrate
from api.scheduler import Scheduler
from tests.cli.running import PORTAL
from tests.support.acting import one
from tests.support.databases import run_server
from tests.support.jobs import redefine
from tests.support.outages import away
from tests.support.waiting import wait_for_row

pytestmark = pytest.mark.slow

JOB = "expire-vouchers"

JOB_WAITS = (
    "select from pg_stat_activity "
    "where datname = current_database() and application_name = 'togethersystems-jobs' and wait_event_type = 'Lock'"
)
"""Finds a running job that waits for what the test holds."""


@contextmanager
def serving(database: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A `portal run` on the database; at the end it is stopped, if it still runs."""
    settings = {"DATABASE_URL": database, "DATA_DIR": str(folder), "PORT": "0", "WORKERS": "1", "LOG_LEVEL": "warning"}
    with subprocess.Popen(
        [*PORTAL, "run"], env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_until_it_serves(process: subprocess.Popen[str]) -> str:
    """Its output until it answers: before, Python itself handles a signal."""
    assert process.stdout
    output = ""
    while "Ctrl-C" not in output:
        output += process.stdout.readline()
    port = re.search(r"http://\S+:(\d+)", output)
    assert port, output
    assert httpx.get(f"http://127.0.0.1:{port[1]}/health/live", timeout=30).status_code == 200
    return output


@pytest.fixture
def due(connection: psycopg.Connection) -> psycopg.Connection:
    """A database whose jobs were due while no server was there; a voucher has expired, and one will."""
    connection.execute("update private.jobs set added_at = now() - interval '1 hour'")
    connection.execute(
        "insert into public.vouchers (id, issuer_id, valid_from, valid_until) "
        "select id, private.ensure_thinker('anna'), now() - interval '2 days', now() + days * interval '1 day' "
        "from (values ('past', -1), ('valid', 1)) as v (id, days)"
    )
    return connection


def test_a_server_alone_expires_vouchers(due: psycopg.Connection, database: str, tmp_path: Path) -> None:
    run_by = "select run_by from stats.jobs where name = 'expire-vouchers'"
    with serving(database, tmp_path) as process:
        wait_for_row(due, "select from public.vouchers where id = 'past' and status = 'expired'")
        assert one(due, run_by) == "portal run"
        assert one(due, f"select split_part(server, ':', 2)::integer from private.job_runs where job = '{JOB}'") == (
            process.pid
        )
    assert one(due, "select status from public.vouchers where id = 'valid'") == "issued"
    assert one(due, run_by) == "nobody"


def test_two_servers_run_a_due_job_once(due: psycopg.Connection, database: str, tmp_path: Path) -> None:
    redefine(due, JOB, "begin perform pg_advisory_xact_lock_shared(1); return 7; end")
    with psycopg.connect(database) as other, serving(database, tmp_path), serving(database, tmp_path):
        other.execute("select pg_advisory_xact_lock(1)")
        wait_for_row(due, f"select from private.job_servers having count(*) = 2 and exists ({JOB_WAITS})")
        other.rollback()
        wait_for_row(due, f"select from private.job_runs where job = '{JOB}'")
    assert due.execute(f"select done from private.job_runs where job = '{JOB}'").fetchall() == [(7,)]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_a_server_was_running_when_it_ended_another_one_runs(
    due: psycopg.Connection, database: str, tmp_path: Path, ending: signal.Signals
) -> None:
    redefine(
        due,
        JOB,
        "begin update public.vouchers set status = 'expired' where id = 'past';"
        " perform pg_advisory_xact_lock_shared(1); return 7; end",
    )
    with psycopg.connect(database) as other:
        other.execute("select pg_advisory_xact_lock(1)")
        with serving(database, tmp_path) as first:
            wait_for_row(due, JOB_WAITS)
            begun = read_until_it_serves(first)
            first.send_signal(ending)
            output = begun + first.communicate()[0]
        if ending != signal.SIGKILL:
            # cancelled without a word
            assert (first.returncode, output.splitlines()[-2:]) == (0, ["  stop        Ctrl-C", "Stopped."])
        # the database notices within seconds that a server was killed
        wait_for_row(due, f"select where not exists ({JOB_WAITS})")
        assert one(due, "select status from public.vouchers where id = 'past'") == "issued"
        assert one(due, f"select count(*) from private.job_runs where job = '{JOB}'") == 0
        with serving(database, tmp_path):
            wait_for_row(due, JOB_WAITS)
            other.rollback()
            wait_for_row(due, f"select from private.job_runs where job = '{JOB}' and done = 7")
    assert one(due, "select status from public.vouchers where id = 'past'") == "expired"


def test_the_jobs_go_on_when_the_database_is_back(caplog: pytest.LogCaptureFixture) -> None:
    with run_server() as server, server.database() as url:
        migrate(url)
        scheduler = Scheduler(url)

        async def look() -> None:
            async with asyncio.TaskGroup() as tasks:
                await scheduler.start_due_jobs(tasks)

        for _ in range(2):
            with away(server):
                asyncio.run(look())
                asyncio.run(look())
            with psycopg.connect(url) as connection:
                connection.execute("update private.jobs set added_at = now() - interval '1 hour'")
                connection.execute("delete from private.job_runs")
            asyncio.run(look())
            with psycopg.connect(url) as connection:
                assert one(connection, f"select done from private.job_runs where job = '{JOB}'") == 0
    # once each time
    assert [line.partition(":")[0] for line in caplog.messages] == ["the scheduled jobs wait for the database"] * 2
