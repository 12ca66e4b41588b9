"""Runs jobs as pg_cron and the command line do."""

from typing import NamedTuple

import psycopg
from psycopg import sql


class Run(NamedTuple):
    """What private.run_job recorded of a run."""

    done: int | None
    error: str | None


def run(connection: psycopg.Connection, job: str) -> Run:
    """Runs the job now."""
    row = connection.execute("select (r).done, (r).error from private.run_job(%s) as r", (job,)).fetchone()
    assert row
    return Run(*row)


def redefine(connection: psycopg.Connection, job: str, body: str) -> None:
    """Replaces the job's work by the body of a plpgsql function that returns bigint."""
    connection.execute(
        sql.SQL("create or replace function {}() returns bigint language plpgsql set search_path = '' as {}").format(
            sql.Identifier("private", f"job_{job.replace('-', '_')}"), sql.Literal(body)
        )
    )


class Job(NamedTuple):
    """What stats.jobs says of a job, without what never changes."""

    has_run: bool
    is_late: bool
    last_done: int | None
    last_error: str | None
    is_failing: bool


def job(connection: psycopg.Connection, name: str) -> Job:
    """What stats.jobs says."""
    [row] = connection.execute(
        "select last_run_at is not null, is_late, last_done, last_error, coalesce(last_error_at = last_run_at, false) "
        "from stats.jobs where name = %s",
        (name,),
    ).fetchall()
    return Job(*row)


def charge_last_month(connection: psycopg.Connection) -> None:
    """A fee event of the month before this one, over 2.40 EUR."""
    connection.execute(
        "insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label) "
        "values ('tx', 'in', 1, 'ETH', 12000, 'EUR', '')"
    )
    connection.execute(
        "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at, "
        "beneficiary_id, base_cents, rate, fixed_cents, unrounded) "
        "select fees.id, 'transfer', 'tx', 240, 'EUR', "
        "(date_trunc('month', now() at time zone time_zone) - interval '1 week') at time zone time_zone, "
        "beneficiary_id, 12000, 0.02, 0, 240 from public.fees, private.settings where fees.id = 'transfer.logged'"
    )
