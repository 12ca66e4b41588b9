"""What each scheduled job changes, and what it leaves."""

import psycopg
import pytest

from tests.support.acting import call, one, thinker
from tests.support.jobs import Run, charge_last_month, run

pytestmark = pytest.mark.clock


def names(connection: psycopg.Connection) -> list[str]:
    return [name for (name,) in connection.execute("select name from private.jobs order by name")]


def test_the_registry_lists_the_jobs(connection: psycopg.Connection) -> None:
    assert names(connection) == [
        "check-invariants",
        "cleanup-cron-history",
        "expire-vouchers",
        "presence-offline",
        "purge-idempotency-keys",
        "purge-old-events",
        "settle-fees-monthly",
    ]


def test_every_job_runs(connection: psycopg.Connection) -> None:
    assert {name: run(connection, name).error for name in names(connection)} == dict.fromkeys(names(connection))


def test_a_thinker_silent_for_more_than_a_minute_goes_offline(connection: psycopg.Connection) -> None:
    call(connection, thinker("gone"), "send_heartbeat", status="offline")
    with connection.transaction():
        connection.execute(
            "insert into public.presence_sessions (thinker_id, last_seen_at) "
            "select private.ensure_thinker('silent-' || seconds), now() - seconds * interval '1 s' "
            "from unnest(array[59, 60, 61]) as seconds"
        )
        # now() stays the same until the end of the transaction
        assert run(connection, "presence-offline") == Run(1, None)
        assert run(connection, "presence-offline") == Run(0, None)
    found = connection.execute(
        "select private.uid_of(thinker_id), status, silenced from public.presence_sessions order by 1"
    ).fetchall()
    assert found == [
        ("gone", "offline", False),
        ("silent-59", "online", False),
        ("silent-60", "online", False),
        ("silent-61", "offline", True),
    ]


def test_a_run_sets_five_thousand_thinkers_offline_at_most(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into public.presence_sessions (thinker_id, last_seen_at) "
        "select private.ensure_thinker('silent-' || n), now() - interval '1 hour' from generate_series(1, 5001) n"
    )
    assert [run(connection, "presence-offline") for _ in range(3)] == [Run(5000, None), Run(1, None), Run(0, None)]


def test_vouchers_that_nobody_booked_in_time_expire(connection: psycopg.Connection) -> None:
    with connection.transaction():
        for seconds in (-1, 0, 1):
            connection.execute(
                "insert into public.vouchers (id, issuer_id, valid_from, valid_until) "
                "select 'v' || %s, private.ensure_thinker('anna'), now() - interval '1 day', "
                "now() + %s * interval '1 s'",
                (seconds, seconds),
            )
        connection.execute(
            "insert into public.vouchers (id, issuer_id, valid_from, valid_until, status) "
            "select status, private.ensure_thinker('anna'), now() - interval '2 days', "
            "now() - interval '1 day', status "
            "from unnest(array['booked', 'consumed', 'cancelled']) as status"
        )
        assert run(connection, "expire-vouchers") == Run(1, None)
        assert run(connection, "expire-vouchers") == Run(0, None)
    found = connection.execute("select id, status from public.vouchers order by id").fetchall()
    assert dict(found) == {
        "v-1": "expired",
        "v0": "issued",
        "v1": "issued",
        "booked": "booked",
        "consumed": "consumed",
        "cancelled": "cancelled",
    }


@pytest.mark.parametrize(
    ("job", "table", "id_"),
    [("expire-vouchers", "public.vouchers", "'v'"), ("presence-offline", "public.presence_sessions", "id")],
)
def test_locked_rows_wait_for_the_next_run(
    connection: psycopg.Connection, database: str, job: str, table: str, id_: str
) -> None:
    connection.execute(
        "insert into public.vouchers (id, issuer_id, valid_from, valid_until) "
        "values ('v', private.ensure_thinker('anna'), now() - interval '2 days', now() - interval '1 day')"
    )
    call(connection, thinker("anna"), "send_heartbeat")
    connection.execute("update public.presence_sessions set last_seen_at = now() - interval '1 hour'")
    with psycopg.connect(database) as other:
        other.execute(f"select from {table} where id = {id_} for update".encode())
        assert run(connection, job) == Run(0, None)
    assert run(connection, job) == Run(1, None)


def test_idempotency_keys_are_deleted_after_a_day(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute(
            "insert into private.idempotency_keys (actor, key, fingerprint, response, created_at) "
            "select 'anna', seconds, sha256(''), '{}', now() - interval '24 hours' - seconds * interval '1 s' "
            "from unnest(array[-1, 0, 1]) as seconds"
        )
        assert run(connection, "purge-idempotency-keys") == Run(1, None)
    left = connection.execute("select key from private.idempotency_keys order by key").fetchall()
    assert left == [("-1",), ("0",)]


def test_addresses_are_deleted_when_their_window_has_ended(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute(
            "insert into private.request_counts (client, requests, window_ends_at)"
            " select format('192.0.2.%s', seconds), 1, now() + seconds * interval '1 s'"
            " from unnest(array[-1, 0, 1]) as seconds"
        )
        assert run(connection, "purge-idempotency-keys") == Run(0, None)
    left = connection.execute("select client from private.request_counts order by client").fetchall()
    assert left == [("192.0.2.0",), ("192.0.2.1",)]


def test_events_are_kept_as_long_as_the_settings_say(connection: psycopg.Connection) -> None:
    connection.execute("set timezone = 'UTC'")
    connection.execute(
        "insert into public.events (type, created_at) "
        "select 'test', date_trunc('month', now()) - months * interval '1 month' from generate_series(0, 15) as months"
    )
    # each event gets a partition of its month, and two of these are dropped
    assert run(connection, "purge-old-events") == Run(2, None)
    kept = (
        "select extract(year from age) * 12 + extract(month from age) from ("
        "  select age(date_trunc('month', now()), min(created_at)) as age from public.events where type = 'test'"
        ") as oldest"
    )
    assert one(connection, kept) == 13
    connection.execute("update private.settings set events_kept = '1 month'")
    assert run(connection, "purge-old-events") == Run(12, None)
    assert one(connection, kept) == 1


def test_months_are_not_settled_until_the_job_is_enabled(connection: psycopg.Connection) -> None:
    charge_last_month(connection)
    notices: list[str | None] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    assert run(connection, "settle-fees-monthly") == Run(0, None)
    assert notices == ["Switched off: update private.settings set settles_on_schedule = true."]
    assert one(connection, "select count(*) from public.settlements") == 0

    connection.execute("update private.settings set settles_on_schedule = true")
    assert run(connection, "settle-fees-monthly") == Run(1, None)
    assert run(connection, "settle-fees-monthly") == Run(0, None)
    found = connection.execute("select total_cents, created_by from public.settlements").fetchall()
    assert found == [(240, "job settle-fees-monthly")]
    assert one(connection, "select current_setting('portal.operator')") == ""


def test_a_job_that_an_operator_runs_names_the_operator(connection: psycopg.Connection) -> None:
    charge_last_month(connection)
    connection.execute("update private.settings set settles_on_schedule = true")
    connection.execute("set portal.operator = 'alice'")
    assert run(connection, "settle-fees-monthly") == Run(1, None)
    assert one(connection, "select created_by from public.settlements") == "alice"


def test_violated_invariants_are_named(connection: psycopg.Connection) -> None:
    connection.execute(
        "create or replace view stats.invariants as select * from "
        "(values ('a' collate \"C\", 0::bigint, 'x'), ('b', 2, 'y'), ('c', 1, 'z')) as i (name, violations, meaning)"
    )
    assert run(connection, "check-invariants") == Run(None, "Violated: b (2), c (1)")


def test_logs_of_jobs_are_kept_for_14_days(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into private.job_runs (job, started_at, finished_at, done, error) "
        "select job, at, at, done, error from ("
        "  select job, done, error, now() - days * interval '1 day' as at from (values"
        "    ('expire-vouchers', 13.9, 1, null), ('expire-vouchers', 14.1, 2, null),"
        # the last successful run and the last failure stay, even with later runs
        "    ('expire-vouchers', 20, null, 'last'), ('expire-vouchers', 21, null, 'before'),"
        "    ('presence-offline', 15, null, 'recent'), ('presence-offline', 16, null, null),"
        "    ('presence-offline', 17, null, null), ('presence-offline', 18, 3, null), ('presence-offline', 19, 4, null)"
        "  ) as r (job, days, done, error)"
        ") as r"
    )
    assert run(connection, "cleanup-cron-history") == Run(4, None)
    left = connection.execute(
        "select job, done, error from private.job_runs where job <> 'cleanup-cron-history' order by started_at desc"
    ).fetchall()
    assert left == [
        ("expire-vouchers", 1, None),
        ("presence-offline", None, "recent"),
        ("presence-offline", None, None),
        ("presence-offline", 3, None),
        ("expire-vouchers", None, "last"),
    ]
