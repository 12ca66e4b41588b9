"""Runs the scheduled jobs of a database beside `portal run`, where pg_cron does not (docs/operation.md, "Jobs").

What is due is in the database: a job is due if it has not run since the last time that its schedule names. So what was
missed is made up for once, of several servers one runs it, and a changed schedule holds from the next minute on.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import psycopg
from cronsim import CronSim, CronSimError

_MINUTE = 60.0
"""Seconds: no schedule is finer."""

_PARTING_SECONDS = 1.0
"""How long a server that stops may take to say so."""

_log = logging.getLogger(__name__)


@contextmanager
def run_jobs(url: str) -> Iterator[None]:
    """Run the jobs of the database at this libpq URL meanwhile; at the end those that still run are cancelled."""
    loop = asyncio.new_event_loop()
    running = loop.create_task(Scheduler(url).run())
    # a second Ctrl-C does not wait for it
    thread = Thread(target=loop.run_until_complete, args=(running,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(running.cancel)
        thread.join()
        loop.close()


def last_due(schedule: str, now: datetime) -> datetime | None:
    """The last time up to now that a schedule names; None if it names none in 50 years. Raises CronSimError."""
    # of a time with microseconds CronSim takes the second itself, too
    return next(CronSim(schedule, now.astimezone(UTC).replace(microsecond=1), reverse=True), None)


class Scheduler:
    """Starts jobs when they are due, each on a connection of its own, so that none waits for another."""

    def __init__(self, url: str) -> None:
        """Take the libpq URL of the database, as its owner; it may lead through a transaction pooler."""
        self._url = url
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._troubles: set[str] = set()

    async def run(self) -> None:
        """Start what is due every minute, until the task is cancelled; then what it started is rolled back."""
        try:
            with suppress(asyncio.CancelledError):
                async with asyncio.TaskGroup() as tasks:
                    while True:
                        seconds = await self.start_due_jobs(tasks)
                        await asyncio.sleep(seconds)
        finally:
            with suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(_PARTING_SECONDS), await self._connect() as connection:
                    await connection.execute("delete from private.job_servers where name = %s", (self._name,))

    async def start_due_jobs(self, tasks: asyncio.TaskGroup) -> float:
        """Start each job that is due; return the seconds to the next minute of the database."""
        try:
            async with await self._connect() as connection:
                found = await connection.execute(
                    "select name, schedule, due_after from private.jobs_for_server(%s)", (self._name,)
                )
                jobs: list[tuple[str, str, datetime]] = await found.fetchall()
                asked: list[tuple[datetime]] = await (await connection.execute("select now()")).fetchall()
        except psycopg.errors.ReadOnlySqlTransaction:
            return _MINUTE  # a replica, whose primary has the jobs, or a full disk
        except psycopg.Error as error:
            self._note("the scheduled jobs wait for the database", str(error))
            return _MINUTE
        self._note("the scheduled jobs wait for the database", None)
        [(now,)] = asked
        for name, schedule, due_after in jobs:
            due_at = self._last_due(name, schedule, now)
            if due_at is not None and due_at > due_after:
                tasks.create_task(self._run(name, due_at))
        return _MINUTE - now.second - now.microsecond / 1e6

    def _last_due(self, name: str, schedule: str, now: datetime) -> datetime | None:
        """The last time that a job was due; None if its schedule is wrong, which the log says."""
        trouble = f"the job {name} has no schedule that can be read"
        try:
            due_at = last_due(schedule, now)
        except CronSimError as error:
            self._note(trouble, f"{schedule} ({error})")
            return None
        self._note(trouble, None)
        return due_at

    async def _run(self, name: str, due_at: datetime) -> None:
        try:
            async with await self._connect() as connection, connection.transaction():
                # for this transaction only: behind a transaction pooler the next one may have another connection.
                # without the second one the database would go on for a server that was killed
                await connection.execute(
                    "set local statement_timeout = 0; set local client_connection_check_interval = '5s'"
                )
                ran = await connection.execute(
                    "select (r).error from private.run_due_job(%s, %s, %s) as r", (name, due_at, self._name)
                )
                [[failure]] = await ran.fetchall()
        except psycopg.Error as error:
            failure = str(error)
        self._note(f"the job {name} fails", failure)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            client_encoding="utf8",
            connect_timeout=10,
            application_name="togethersystems-jobs",
        )

    def _note(self, trouble: str, reason: str | None) -> None:
        """Write a line to the log when a trouble begins, and none while it lasts; without a reason it is over."""
        if reason is None:
            self._troubles.discard(trouble)
        elif trouble not in self._troubles:
            self._troubles.add(trouble)
            _log.warning("%s: %s", trouble, reason)
