"""The commands `portal jobs`: show the scheduled jobs, schedule them, run one now."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import psycopg
import typer
from psycopg.rows import class_row

from api.cli.owner import console, owner_connection, patient_transaction
from api.cli.tables import Row, Table
from api.cli.texts import visible
from api.errors import PortalError

app = typer.Typer()


@dataclass(frozen=True)
class Job:
    """A row of stats.jobs."""

    name: str
    does: str
    schedule: str
    last_run_at: datetime | None
    is_late: bool
    last_done: int | None
    last_error_at: datetime | None
    last_error: str | None
    run_by: str

    @property
    def is_failing(self) -> bool:
        """Whether its last run failed."""
        return self.last_error_at is not None and self.last_error_at == self.last_run_at

    @property
    def state(self) -> str:
        """The state in words."""
        if self.last_run_at is None:
            return "late: never ran" if self.is_late else "never ran"
        if self.is_failing:
            return "failed"
        return "late" if self.is_late else "on time"

    @property
    def row(self) -> Row:
        """The row of the table."""
        done = "" if self.last_done is None else str(self.last_done)
        note = f"Failed: {self.last_error}" if self.is_failing else self.does
        style = "red" if self.is_failing or self.is_late else ""
        return Row((self.name, self.state, _age(self.last_run_at), done, self.schedule), note, style)


@app.callback(invoke_without_command=True)
def jobs(context: typer.Context) -> None:
    """Show, run or schedule the jobs that keep the portal tidy.

    Without a command: show when each job last ran, which one is late and why one failed. `done` is the number of rows
    that the last successful run changed; the schedule is cron's, in UTC. pg_cron runs the jobs that it has, and
    `portal run` the others.

    \b
    $ portal jobs                       show the jobs
    $ portal jobs run expire-vouchers   run one now
    $ portal jobs install               schedule all with pg_cron
    """
    if context.invoked_subcommand is not None:
        return
    with owner_connection() as connection, connection.cursor(row_factory=class_row(Job)) as cursor:
        found = cursor.execute(
            "select name, does, schedule, last_run_at, is_late, last_done, last_error_at, last_error, run_by "
            "from stats.jobs"
        ).fetchall()
    Table(console, "job", "state", "last run", "done", "schedule", numbers={"done"}, note="description").print(
        job.row for job in found
    )
    runners: dict[str, list[str]] = {}
    for job in found:
        runners.setdefault(job.run_by, []).append(job.name)
    for runner, names in runners.items():
        which = "all jobs" if len(runners) == 1 else ", ".join(names)
        console.print(f"Run by {runner}: {which}.", soft_wrap=not console.is_terminal)
    if "nobody" in runners:
        console.print("`portal run` runs jobs while it serves, pg_cron after `portal jobs install`.")


@app.command()
def run(name: Annotated[str, typer.Argument(help="A name that `portal jobs` shows.")]) -> None:
    """Run a job now.

    A job that fails changes nothing; then the exit code is 1.

    \b
    $ portal jobs run purge-old-events
    """
    with owner_connection() as connection, patient_transaction(connection):
        _print_notices(connection)
        row = connection.execute("select (r).done, (r).error from private.run_job(%s) as r", (name,)).fetchone()
    assert row
    done, failure = row
    if failure is not None:
        raise PortalError(f"{name} failed: {failure}")
    if done is not None:
        console.print(f"{name}: {done} done")


@app.command()
def install() -> None:
    """Schedule every job with pg_cron, instead of by `portal run`.

    Run it again to update the schedules. Where pg_cron is missing, it says what to do.

    \b
    $ portal jobs install
    """
    with owner_connection() as connection:
        _print_notices(connection)
        row = connection.execute("select private.install_jobs()").fetchone()
    assert row
    console.print(f"{row[0]} jobs are scheduled.")


def _print_notices(connection: psycopg.Connection) -> None:
    """Prints the database's notices from now on. Leaves warnings out: run_job returns them as the job's error."""
    connection.add_notice_handler(
        lambda notice: (
            console.print(visible(notice.message_primary or ""), style="yellow")
            if notice.severity_nonlocalized == "NOTICE"
            else None
        )
    )


def _age(time: datetime | None) -> str:
    """How long ago a time is, in the largest unit that fits."""
    if time is None:
        return ""
    seconds = int((datetime.now(UTC) - time).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{max(seconds, 0)} s ago"
