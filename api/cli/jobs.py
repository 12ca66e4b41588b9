"""The commands `portal jobs`: what the clock does, and doing it by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import typer
from psycopg.rows import class_row
from rich.markup import escape
from rich.table import Column, Table

from api.cli.owner import console, operate
from api.errors import PortalError

app = typer.Typer(rich_markup_mode="rich")


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

    @property
    def is_failing(self) -> bool:
        """Whether its last run failed."""
        return self.last_error_at is not None and self.last_error_at == self.last_run_at

    @property
    def state(self) -> str:
        """What an operator wants to know first, in words and colour."""
        if self.last_run_at is None:
            return "[red]late: never ran[/]" if self.is_late else "[yellow]never ran[/]"
        if self.is_failing:
            return "[red]failed[/]"
        return "[red]late[/]" if self.is_late else "[green]on time[/]"


@app.callback(invoke_without_command=True)
def jobs(context: typer.Context) -> None:
    """Show what the clock does: which job ran when, which is late, which failed and why.

    [bold]portal jobs install[/] schedules them with pg_cron; without it, [bold]portal jobs run[/] does one now.

    [dim]$[/] portal jobs\n
    [dim]$[/] portal jobs run expire-vouchers\n
    [dim]$[/] portal jobs install
    """
    if context.invoked_subcommand is not None:
        return
    with operate() as connection, connection.cursor(row_factory=class_row(Job)) as cursor:
        found = cursor.execute(
            "select name, does, schedule, last_run_at, is_late, last_done, last_error_at, last_error from stats.jobs"
        ).fetchall()
    console.print(_table(found))


@app.command()
def run(name: str = typer.Argument(help="As `portal jobs` shows it.")) -> None:
    """Run a job now, whatever its schedule. Where it fails nothing is changed, and the exit code is 1.

    [dim]$[/] portal jobs run purge-old-events
    """
    with operate() as connection:
        _tell_notices(connection)
        try:
            row = connection.execute("select (r).done, (r).error from private.run_job(%s) as r", (name,)).fetchone()
        except psycopg.errors.InvalidParameterValue as error:
            raise PortalError(f"{error.diag.message_primary} {error.diag.message_hint}") from error
    assert row
    done, failure = row
    if failure is not None:
        raise PortalError(f"{name} failed: {failure}")
    if done is not None:
        console.print(f"[green]{escape(name)}:[/] {done} done")


@app.command()
def install() -> None:
    """Schedule every job with pg_cron; where it is missing, say what to do. Can be repeated.

    [dim]$[/] portal jobs install
    """
    with operate() as connection:
        _tell_notices(connection)
        row = connection.execute("select private.install_jobs()").fetchone()
    assert row
    console.print(f"{row[0]} jobs are scheduled.")


def _tell_notices(connection: psycopg.Connection) -> None:
    """Prints the database's notices; a warning comes again as the job's error."""
    connection.add_notice_handler(
        lambda notice: (
            console.print(f"[yellow]{escape(notice.message_primary or '')}[/]", soft_wrap=True)
            if notice.severity_nonlocalized == "NOTICE"
            else None
        )
    )


def _table(found: list[Job]) -> Table:
    table = Table(Column("job", no_wrap=True, overflow="fold"), "does", "schedule (UTC)", "last run", "done", "state")
    for job in found:
        state = f"{job.state}: {escape(job.last_error or '')}" if job.is_failing else job.state
        done = "" if job.last_done is None else str(job.last_done)
        table.add_row(job.name, escape(job.does), job.schedule, _ago(job.last_run_at), done, state)
    return table


def _ago(time: datetime | None) -> str:
    """How long ago, in the largest unit that fits."""
    if time is None:
        return ""
    seconds = int((datetime.now(UTC) - time).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{max(seconds, 0)} s ago"
