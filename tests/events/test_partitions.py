"""The log has monthly partitions: created ahead, sorted later, dropped whole; no row is lost or changed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from api.database.migrations import migrate
from tests.support.acting import connections, one
from tests.support.databases import empty
from tests.support.parallel import at_once

pytestmark = pytest.mark.clock

THIS_MONTH = "date_trunc('month', now(), 'UTC')"


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a migrated database with the partitions of today."""
    with psycopg.connect(database, autocommit=True) as connection:
        make(connection)
        drop_older(connection, "0")
        yield connection


def write(connection: psycopg.Connection, *moments: datetime | str) -> None:
    """Writes an event at each moment, named after it."""
    connection.cursor().executemany(
        "insert into public.events (type, created_at) values (%s, %s)", [(str(moment), moment) for moment in moments]
    )


def log(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """Returns every row with all its columns."""
    return connection.execute("select e.* from public.events e order by created_at, id").fetchall()


def homes(connection: psycopg.Connection) -> dict[str, str]:
    """Returns the partition of each event, by the event's type."""
    found = connection.execute("select type, tableoid::regclass::text from public.events").fetchall()
    return {kind: partition.removeprefix("private.events_") for kind, partition in found}


def partitions(connection: psycopg.Connection) -> list[str]:
    """Returns the partitions' names without their prefix, oldest first."""
    found = connection.execute("select partition::text from private.event_partitions()").fetchall()
    return [name.removeprefix("private.events_") for (name,) in found]


def make(connection: psycopg.Connection) -> None:
    connection.execute("select private.make_event_partitions()")


def drop_older(connection: psycopg.Connection, than: str | None) -> int:
    dropped: int = one(connection, "select private.drop_old_event_partitions(%s::interval)", than)
    return dropped


def month(connection: psycopg.Connection, months_from_now: int) -> datetime:
    """Returns the begin of a month in UTC."""
    begins: datetime = one(connection, f"select {THIS_MONTH} + make_interval(months => %s)", months_from_now)
    return begins.astimezone(UTC)


def name_of(begins: datetime) -> str:
    return f"{begins:%Y_%m}"


def ahead(connection: psycopg.Connection) -> list[str]:
    """Returns this month and the next three."""
    return [name_of(month(connection, number)) for number in range(4)]


def test_the_coming_months_and_a_default_have_partitions(empty_database: str) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert partitions(connection) == [*ahead(connection), "default"]


def test_new_events_are_in_the_partition_of_this_month(connection: psycopg.Connection) -> None:
    connection.execute("insert into public.events (type) values ('x')")
    assert homes(connection) == {"x": ahead(connection)[0]}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_a_month_ends_at_midnight_utc_in_any_time_zone(connection: psycopg.Connection, zone: str) -> None:
    next_month = month(connection, 1)
    moments = (next_month - timedelta(microseconds=1), next_month, datetime(2021, 3, 1, tzinfo=UTC))
    settings = "select set_config('timezone', %s, false), set_config('datestyle', %s, false)"
    connection.execute(settings, (zone, "German"))
    write(connection, *moments, moments[2] - timedelta(microseconds=1))
    make(connection)
    assert list(homes(connection).values()).count("2021_02") == 1
    connection.execute(settings, ("UTC", "ISO"))
    assert [homes(connection)[str(moment)] for moment in moments] == [*ahead(connection)[:2], "2021_03"]
    assert partitions(connection) == ["2021_02", "2021_03", *ahead(connection), "default"]


def test_an_event_without_a_month_gets_one_unless_it_is_too_far_ahead(connection: psycopg.Connection) -> None:
    soon, later = month(connection, 3), month(connection, 4)
    past = {
        # thousands of months would need more locks than a server has
        "0001-01-01Z": "default",
        "1999-12-31 23:59Z": "default",
        "2020-02-29Z": "2020_02",
        "2020-02-01Z": "2020_02",
    }
    write(connection, *past, soon, later, "9999-12-31 23:59Z")
    assert {homes(connection)[moment] for moment in past} == {"default"}
    before = log(connection)

    make(connection)

    assert log(connection) == before
    expected = past | {str(soon): name_of(soon), str(later): "default", "9999-12-31 23:59Z": "default"}
    assert homes(connection) == expected
    assert partitions(connection) == ["2020_02", *ahead(connection), "default"]


def test_a_job_that_did_not_run_for_months_sorts_the_events_of_that_time(connection: psycopg.Connection) -> None:
    # as if the last run was long ago: no month has a partition, and all events are in the default partition
    for name in ahead(connection):
        connection.execute(sql.SQL("drop table private.{}").format(sql.Identifier(f"events_{name}")))
    moments = [month(connection, number) for number in range(-3, 6)]
    write(connection, *moments)
    assert set(homes(connection).values()) == {"default"}
    before = log(connection)

    make(connection)

    assert log(connection) == before
    assert [homes(connection)[str(moment)] for moment in moments] == [
        *(name_of(moment) for moment in moments[:7]),
        "default",
        "default",
    ]


def test_a_second_run_changes_nothing(connection: psycopg.Connection) -> None:
    write(connection, "2020-02-01Z", "9999-12-31Z")
    make(connection)
    made = connection.execute("select partition::oid from private.event_partitions()").fetchall()
    make(connection)
    assert connection.execute("select partition::oid from private.event_partitions()").fetchall() == made


def test_a_year_partition_made_by_an_operator_is_kept(connection: psycopg.Connection) -> None:
    connection.execute(
        "create table private.events_2020 partition of public.events for values from ('2020-01-01Z') to ('2021-01-01Z')"
    )
    write(connection, "2020-02-01Z", "2021-02-01Z")
    make(connection)
    assert homes(connection) == {"2020-02-01Z": "2020", "2021-02-01Z": "2021_02"}


@pytest.mark.slow
@pytest.mark.parametrize("first_missing", [0, 3])
@pytest.mark.parametrize("years", [(), (18, 19)])
def test_concurrent_runs_beside_many_writers_lose_nothing(
    database: str, connection: psycopg.Connection, years: tuple[int, ...], first_missing: int
) -> None:
    for name in ahead(connection)[first_missing:]:
        connection.execute(sql.SQL("drop table private.{}").format(sql.Identifier(f"events_{name}")))
    write(connection, *(f"20{year}-{number:02}-15Z" for year in years for number in range(1, 13)))
    made = Event()

    def keep_writing(connection: psycopg.Connection) -> int:
        written = 0
        while not made.is_set() or written < 20:
            connection.execute("insert into public.events (type) values ('now')")
            connection.execute("insert into public.events (type, created_at) values ('then', '2017-05-05Z')")
            written += 1
        return written

    def make_some(connection: psycopg.Connection) -> int:
        make(connection)
        made.set()
        return 0

    with connections(database, 8) as opened:
        written = sum(
            at_once([*(partial(make_some, c) for c in opened[:4]), *(partial(keep_writing, c) for c in opened[4:])])
        )
    assert one(connection, "select count(*) from public.events where type = 'now'") == written
    assert one(connection, "select count(*) from public.events where type = 'then'") == written
    assert one(connection, "select count(*) from public.events") == 12 * len(years) + 2 * written
    make(connection)
    assert set(homes(connection).values()) & {"default"} == set()
    assert ahead(connection)[3] in partitions(connection)


@pytest.mark.parametrize(
    "statement", ["select private.make_event_partitions()", "select private.drop_old_event_partitions('1 month')"]
)
def test_a_run_behind_a_long_query_gives_up_before_others_wait_long(
    database: str, connection: psycopg.Connection, statement: LiteralString
) -> None:
    write(connection, "2019-01-01Z")
    make(connection)
    write(connection, "2018-01-01Z")
    before = (partitions(connection), log(connection))
    with psycopg.connect(database) as reader:
        reader.execute("select count(*) from public.events")
        connection.execute("set statement_timeout = '20s'")
        began = one(connection, "select clock_timestamp()")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute(statement)
        assert one(connection, "select clock_timestamp() - %s", began) < timedelta(seconds=5)
    assert (partitions(connection), log(connection)) == before
    # the setting was local to the function
    assert one(connection, "show lock_timeout") == "0"
    connection.execute(statement)
    assert (partitions(connection), log(connection)) != before


def test_creating_a_month_does_not_wait_for_writers(database: str, connection: psycopg.Connection) -> None:
    connection.execute(
        sql.SQL("drop table private.{}").format(sql.Identifier(f"events_{name_of(month(connection, 3))}"))
    )
    with psycopg.connect(database) as writer:
        writer.execute("insert into public.events (type) values ('x')")
        make(connection)
        writer.execute("insert into public.events (type) values ('y')")
    assert homes(connection).keys() == {"x", "y"}
    assert ahead(connection)[3] in partitions(connection)


def test_only_months_older_than_the_limit_are_dropped(connection: psycopg.Connection) -> None:
    kept_since = one(connection, "select now() at time zone 'UTC' - interval '13 months'").replace(tzinfo=UTC)
    # beside the edges of months: events just over and just under the limit, in the month that holds both
    write(
        connection,
        *(month(connection, -number) for number in range(20)),
        *(month(connection, -number) - timedelta(microseconds=1) for number in range(20)),
        kept_since - timedelta(hours=1),
        kept_since + timedelta(hours=1),
        "9999-12-31Z",
    )
    make(connection)
    first_kept = kept_since.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    kept = [row for row in log(connection) if row[6] >= first_kept]
    assert len(kept) < len(log(connection))

    # the months before the partly old one: 14 to 20 months ago
    assert drop_older(connection, "13 months") == 7

    assert log(connection) == kept
    assert partitions(connection)[0] == name_of(first_kept)
    assert drop_older(connection, "13 months") == 0


@pytest.mark.parametrize("older_than", ["0", "-10 years", None])
def test_a_month_that_is_not_over_is_never_dropped(connection: psycopg.Connection, older_than: str | None) -> None:
    write(connection, month(connection, -1), month(connection, 0), month(connection, 3), "9999-12-31Z")
    make(connection)
    drop_older(connection, older_than)
    assert set(ahead(connection)) | {"default"} <= set(partitions(connection))
    assert len(log(connection)) >= 3


@pytest.mark.slow
def test_a_purge_beside_many_writers_loses_nothing(database: str, connection: psycopg.Connection) -> None:
    old = [month(connection, -number) for number in range(15, 35)]
    purged = Event()

    def keep_writing(connection: psycopg.Connection) -> int:
        written = 0
        while not purged.is_set() or written < 20:
            connection.execute("insert into public.events (type) values ('now')")
            written += 1
        return written

    def keep_purging(connection: psycopg.Connection) -> int:
        dropped = 0
        for moment in old:
            write(connection, moment)
            make(connection)
            dropped += drop_older(connection, "13 months")
        purged.set()
        return -dropped

    with connections(database, 6) as opened:
        results = at_once([partial(keep_purging, opened[0]), *(partial(keep_writing, c) for c in opened[1:])])
    assert results[0] == -20
    assert one(connection, "select count(*) from public.events where type = 'now'") == sum(results[1:])
    assert one(connection, "select count(*) from public.events") == sum(results[1:])


@pytest.mark.parametrize(
    "change", ["update {} set created_at = now()", "update {} set type = 'y'", "delete from {}", "truncate {}"]
)
def test_no_partition_can_be_changed_by_the_owner(connection: psycopg.Connection, change: LiteralString) -> None:
    write(connection, "2020-02-01Z", month(connection, 0), month(connection, 1), month(connection, 3), "9999-12-31Z")
    make(connection)
    before = log(connection)
    tables = ["public.events", *(f"private.events_{name}" for name in partitions(connection))]
    for table in tables:
        # an empty partition can only be truncated, and even that is refused
        if one(connection, f"select count(*) from {table}") or "truncate" in change:
            with pytest.raises(psycopg.Error, match="append_only"):
                connection.execute(change.format(table))
    assert len(homes(connection)) == 5
    assert log(connection) == before


def test_a_partition_has_row_level_security_and_no_grants(connection: psycopg.Connection) -> None:
    write(connection, "2020-02-01Z")
    make(connection)
    found = connection.execute(
        "select c.relname, c.relrowsecurity, c.relacl, a.attstattarget, "
        "obj_description(c.oid, 'pg_class') is not null, (select count(*) from pg_index i where i.indrelid = c.oid) "
        "from private.event_partitions() p join pg_class c on c.oid = p.partition "
        "join pg_attribute a on a.attrelid = c.oid and a.attname = 'subject_id'"
    ).fetchall()
    assert [row[1:] for row in found] == [(True, None, 0, True, 4)] * 6
    assert found[0][0] == "events_2020_02"


def test_a_database_is_emptied_for_a_test_with_all_its_months(database: str, connection: psycopg.Connection) -> None:
    write(connection, "2020-02-01Z", month(connection, 0), "9999-12-31Z")
    make(connection)
    empty(database)
    assert log(connection) == []
