"""Days follow the portal's time zone through all changes of its UTC offset; every row counts on exactly one day."""

from datetime import UTC, date, datetime
from typing import LiteralString
from zoneinfo import ZoneInfo

import psycopg
import pytest

from api.actor import SERVER
from tests.stats.reckoning import DAY, HOUR, MINUTE, midnight
from tests.stats.world import MICROSECOND, changes, odd_moments
from tests.support.acting import act, one, unchecked
from tests.support.days import portal_today

pytestmark = pytest.mark.clock

CHANGING = (
    "Europe/Berlin",
    "America/New_York",
    # midnight to one o'clock is skipped
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Beirut",
    # one o'clock is set back to midnight, which occurs twice
    "America/Havana",
    "Atlantic/Azores",
    # the offset changes by half an hour
    "Australia/Lord_Howe",
)
ZONES = (*CHANGING, "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC")
ZONE = pytest.mark.parametrize("zone", ZONES)


def now(connection: psycopg.Connection) -> datetime:
    moment: datetime = one(connection, "select now()")
    return moment.astimezone(UTC)


def move(connection: psycopg.Connection, zone: str) -> ZoneInfo:
    """The operator changes the portal's time zone."""
    # without its event, which would count as well
    with unchecked(connection):
        connection.execute("update private.settings set time_zone = %s", (zone,))
    return ZoneInfo(zone)


def log(connection: psycopg.Connection, *moments: datetime, kind: str = "presence.heartbeat") -> None:
    with unchecked(connection):
        connection.cursor().executemany(
            "insert into public.events (type, created_at) values (%s, %s)", [(kind, moment) for moment in moments]
        )


def events_by_day(connection: psycopg.Connection) -> dict[date, int]:
    return dict(connection.execute("select day, sum(events)::int from stats.events_by_day group by day").fetchall())


@ZONE
def test_days_are_consecutive_until_today(connection: psycopg.Connection, zone: str) -> None:
    move(connection, zone)
    log(connection, now(connection) - 3650 * DAY)
    with connection.transaction():
        today = portal_today(connection)
        days = connection.execute("select day, starts_at, ends_at from stats.days order by starts_at").fetchall()
        shown = act(connection, SERVER, "presence_stats", from_day=today - 1000 * DAY)["days"]
        assert days[-1][1] <= now(connection) < days[-1][2]
    assert [day for day, _, _ in days] == [today - n * DAY for n in range(len(days) - 1, -1, -1)]
    assert len(days) >= 3650
    assert [start for _, start, _ in days[1:]] == [end for _, _, end in days[:-1]]
    assert {end - start for _, start, end in days} <= {DAY + n * HOUR / 2 for n in (-2, -1, 0, 1, 2)}
    assert [row["day"] for row in shown] == [str(today - n * DAY) for n in range(1000, -1, -1)]


@pytest.mark.parametrize("zone", CHANGING)
def test_a_day_has_its_real_length(connection: psycopg.Connection, zone: str) -> None:
    info = move(connection, zone)
    log(connection, now(connection) - 405 * DAY)
    changed = changes(zone, now(connection))
    assert len(changed) >= 2
    for day in changed:
        length = one(connection, "select ends_at - starts_at from stats.days where day = %s", day)
        assert length == midnight(day + DAY, info) - midnight(day, info)
        assert length != DAY


def test_the_changes_of_the_offset_in_berlin_in_2026(connection: psycopg.Connection) -> None:
    # literal dates, so that not everything depends on one table of time zones
    spring = ["2026-03-28 22:59:59.999999Z", "2026-03-28 23:00Z", "2026-03-29 00:30Z", "2026-03-29 01:30Z"]
    spring += ["2026-03-29 21:59:59.999999Z", "2026-03-29 22:00Z"]
    autumn = ["2026-10-24 21:59:59.999999Z", "2026-10-24 22:00Z", "2026-10-24 23:30Z", "2026-10-25 00:30Z"]
    autumn += ["2026-10-25 01:30Z", "2026-10-25 22:59:59.999999Z", "2026-10-25 23:00Z"]
    log(connection, *map(datetime.fromisoformat, spring + autumn))
    expected = {"2026-03-28": 1, "2026-03-29": 4, "2026-03-30": 1}
    expected |= {"2026-10-24": 1, "2026-10-25": 5, "2026-10-26": 1}
    assert {str(day): number for day, number in events_by_day(connection).items() if number} == expected


@ZONE
def test_a_row_counts_on_the_day_of_its_local_time(connection: psycopg.Connection, zone: str) -> None:
    info = move(connection, zone)
    moments = odd_moments(zone, now(connection))
    log(connection, *moments)
    expected: dict[date, int] = {}
    for moment in moments:
        day = moment.astimezone(info).date()
        expected[day] = expected.get(day, 0) + 1
    assert events_by_day(connection) == expected


@ZONE
def test_the_very_first_row_is_counted(connection: psycopg.Connection, zone: str) -> None:
    info = move(connection, zone)
    # the latest day with a change of the offset, and a common day
    day = next(iter(changes(zone, now(connection))), now(connection).astimezone(info).date() - 100 * DAY)
    for moment in (midnight(day, info) + 30 * MINUTE, midnight(day, info), midnight(day, info) - MICROSECOND):
        log(connection, moment)
        assert one(connection, "select min(day) from stats.days") == moment.astimezone(info).date()
        assert sum(events_by_day(connection).values()) == one(connection, "select count(*) from public.events")


def test_after_a_change_of_the_zone_every_row_is_on_its_new_day(connection: psycopg.Connection) -> None:
    moments = [now(connection) - n * HOUR for n in range(30, 30 + 24 * 60)]
    log(connection, *moments)
    for zone in ZONES:
        info = move(connection, zone)
        expected: dict[date, int] = {}
        for moment in moments:
            day = moment.astimezone(info).date()
            expected[day] = expected.get(day, 0) + 1
        assert events_by_day(connection) == expected, zone


SUMS: dict[str, tuple[LiteralString, LiteralString]] = {
    "issued": ("select sum(issued) from stats.bookings_by_day", "public.vouchers"),
    "bookings": ("select sum(bookings) from stats.bookings_by_day", "public.voucher_bookings"),
    "applications": ("select sum(applications) from stats.mortgages_by_day", "public.mortgage_applications"),
    "offers": ("select sum(offers) from stats.mortgages_by_day", "public.mortgage_offers"),
    "offers by status": ("select sum(offers) from stats.offers_by_day", "public.mortgage_offers"),
    "accepted": ("select sum(accepted) from stats.mortgages_by_day", "public.mortgage_contracts"),
    "transfers": ("select sum(transfers) from stats.transfers_by_day", "public.transfers"),
    "fee events": ("select sum(fee_events) from stats.fees_by_day", "public.fee_events"),
    "events": ("select sum(events) from stats.events_by_day", "public.events"),
    "reports": ("select sum(reports) from stats.errors_by_day", "public.telemetry_events"),
    "thinkers": ("select sum(new_thinkers) from stats.presence_by_day", "public.thinkers"),
}


@ZONE
def test_the_sum_of_days_is_the_total(world: psycopg.Connection, zone: str) -> None:
    with world.transaction(force_rollback=True):
        info = move(world, zone)
        # rows dated after today count when their day comes
        until = midnight(now(world).astimezone(info).date() + DAY, info)
        for figure, (total, table) in SUMS.items():
            everything = one(world, f"select count(*) from {table} where created_at < %s", until)
            assert everything > 30
            assert one(world, total) == everything, figure


def test_an_appointment_over_midnight_counts_on_both_days(connection: psycopg.Connection) -> None:
    info = move(connection, "Europe/Berlin")
    for day in (*changes("Europe/Berlin", now(connection)), now(connection).date() - 50 * DAY):
        # rolled back, because the last of these days may be one of the others, or next to one
        with connection.transaction(force_rollback=True):
            begin = midnight(day, info) - 45 * MINUTE
            voucher_of(connection, "v", begin, begin + 2 * HOUR, 120, created_at=begin)
            appointment(connection, "v", begin, begin + 2 * HOUR)
            rows = connection.execute(
                "select day, offered_minutes, booked_minutes from stats.utilisation_by_day where day between %s and %s"
                " order by day",
                (day - DAY, day),
            ).fetchall()
        assert rows == [(day - DAY, 45, 45), (day, 75, 75)]


def test_an_unlimited_window_offers_each_day_completely(connection: psycopg.Connection) -> None:
    info = move(connection, "Europe/Berlin")
    first = datetime(1, 1, 1, tzinfo=UTC)
    last = datetime(9999, 12, 31, 23, tzinfo=UTC)
    voucher_of(connection, "always", first, last, 60, created_at=now(connection) - 300 * DAY)
    for day in (*changes("Europe/Berlin", now(connection), 290), now(connection).date() - 3 * DAY):
        offered = one(connection, "select offered_minutes from stats.utilisation_by_day where day = %s", day)
        assert offered == (midnight(day + DAY, info) - midnight(day, info)) / MINUTE


def test_short_appointments_leave_the_rest_of_the_hour_free(connection: psycopg.Connection) -> None:
    info = move(connection, "Europe/Berlin")
    for day in changes("Europe/Berlin", now(connection)):
        begin = midnight(day - DAY, info)
        voucher_of(connection, f"v-{day}", begin, begin + 5 * DAY, 50, created_at=begin)
        offered = one(connection, "select offered_minutes from stats.utilisation_by_day where day = %s", day)
        assert offered == (midnight(day + DAY, info) - midnight(day, info)) / HOUR * 50


def voucher_of(
    connection: psycopg.Connection, id_: str, begin: datetime, end: datetime, duration: int, created_at: datetime
) -> None:
    """Inserts a voucher without a template."""
    with unchecked(connection):
        connection.execute(
            "insert into public.vouchers (id, issuer_id, valid_from, valid_until, duration_minutes, created_at)"
            " select %s, id, %s, %s, %s, %s from public.thinkers limit 1",
            (id_, begin, end, duration, created_at),
        )


def appointment(connection: psycopg.Connection, voucher: str, begin: datetime, end: datetime) -> None:
    with unchecked(connection):
        connection.execute(
            "insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)"
            " select %s, id, private.new_uuid(), %s, %s from public.thinkers limit 1",
            (voucher, begin, end),
        )
