"""Jobs run as pg_cron and the command line run them."""

from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row


class Run(NamedTuple):
    """What private.run_job noted of a run."""

    done: int | None
    error: str | None


def run(connection: psycopg.Connection, job: str) -> Run:
    """Runs the job now."""
    row = connection.execute("select (r).done, (r).error from private.run_job(%s) as r", (job,)).fetchone()
    assert row
    return Run(*row)


def redefine(connection: psycopg.Connection, job: str, body: str) -> None:
    """Makes the job do something else: the body of a plpgsql function that returns bigint."""
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
    cursor = connection.cursor(row_factory=namedtuple_row)
    [row] = cursor.execute("select * from stats.jobs where name = %s", (name,)).fetchall()
    is_failing = row.last_error_at is not None and row.last_error_at == row.last_run_at
    return Job(row.last_run_at is not None, row.is_late, row.last_done, row.last_error, is_failing)


def charge_last_month(connection: psycopg.Connection) -> None:
    """A fee event of the month before this one, over 2.40 EUR."""
    connection.execute(
        "insert into public.transfers (id, direction, crypto_amount, crypto_symbol, fiat_amount, fiat_currency, label) "
        "values ('tx', 'in', 1, 'ETH', 12000, 'EUR', '')"
    )
    connection.execute(
        "insert into public.fee_events (fee_id, subject_type, subject_id, amount_cents, currency, created_at, "
        "beneficiary_id, base_cents, rate, fixed_cents, unrounded) "
        "select id, 'transfer', 'tx', 240, 'EUR', date_trunc('month', now()) - interval '1 week', "
        "beneficiary_id, 12000, 0.02, 0, 240 from public.fees where id = 'transfer.logged'"
    )
