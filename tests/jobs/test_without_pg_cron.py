"""Without pg_cron nothing is scheduled, and an operator learns why."""

import psycopg

from tests.support.acting import one


def test_nothing_is_scheduled_and_the_owner_gets_an_explanation(connection: psycopg.Connection) -> None:
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    assert one(connection, "select private.install_jobs()") == 0
    [notice] = notices
    assert notice.startswith("Nothing is scheduled: pg_cron does not work on this database.")
    assert f"cron.database_name = {connection.info.dbname}" in notice
    assert one(connection, "select to_regnamespace('cron') is null")


def test_the_dashboard_shows_that_nobody_runs_the_jobs(connection: psycopg.Connection) -> None:
    assert one(connection, "select public.system_stats() -> 'clock'") is False
