"""A time means the same in a request over HTTP and in a call of a function."""

from collections.abc import Iterator

import psycopg
import pytest

from api.models.times import iso_millis, iso_time
from tests.support.acting import one
from tests.support.serving import Connection

SAME = [
    "2030-05-01T24:00:00Z",
    "2030-05-01 24:00",
    "2030-05-01T24:00:00.000+02:00",
    "2030-12-31T23:59:60Z",
    "2030-05-01T09:30:00.123Z",
    "2030-05-01T09:30:00-11:30",
    "2030-02-28T24:00:00+0530",
]
REFUSED = [
    "2030-05-01T24:00:01Z",
    "2030-05-01T24:01:00Z",
    "2030-05-01T24:00:00.001Z",
    "2030-05-01T25:00:00Z",
    "2030-05-01T09:60:00Z",
    "2030-05-01T09:00:61Z",
    "2030-12-31T23:59:60.5Z",
    "2030-05-01T09:00:00+01:60",
    "2030-02-29T00:00:00Z",
]


@pytest.fixture
def session(shared_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shared_database) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


@pytest.mark.parametrize("text", SAME)
def test_a_time_is_that_of_postgres(session: psycopg.Connection, text: str) -> None:
    assert iso_time(text) == one(session, "select %s::text::timestamptz", text)


@pytest.mark.parametrize("text", REFUSED)
def test_no_time_of_postgres_is_refused(session: psycopg.Connection, text: str) -> None:
    assert iso_time(text) is None
    with pytest.raises(psycopg.DataError):
        one(session, "select %s::text::timestamptz", text)


def test_the_end_of_a_day_is_taken_over_http(shared_portal: str) -> None:
    voucher = {"issuerUid": "a", "validFrom": "2030-05-01T24:00:00Z", "validUntil": "2030-05-02T01:00:00Z"}
    with Connection(shared_portal) as connection:
        issued = connection.post("/api/voucher/issue", voucher)
        [slot] = connection.get(f"/api/slots/available?voucherId={issued.body['voucher']['voucherId']}").body["items"]
        assert issued.body["voucher"]["validFrom"] == slot["start"] == "2030-05-02T00:00:00.000Z"
        # a slot has one id, the listed one
        alias = {"voucherId": slot["voucherId"], "slotId": "slot-2030-05-01T24:00:00.000Z", "holderUid": "b"}
        assert connection.post("/api/voucher/book", alias).body["error"] == "Slot nicht verfügbar"


@pytest.mark.parametrize("fraction", ["", ".1", ".12", ".123", ".1239", ".000001", ".999999"])
@pytest.mark.parametrize("day", ["0001-01-02", "2030-05-01", "9999-12-30"])
def test_a_time_of_any_zone_is_written_alike(session: psycopg.Connection, day: str, fraction: str) -> None:
    utc = one(session, "select to_jsonb(%s::text::timestamptz) #>> '{}'", f"{day}T20:00:00{fraction}Z")
    session.execute("set timezone = 'Asia/Tokyo'")
    tokyo = one(session, "select to_jsonb(%s::text::timestamptz) #>> '{}'", f"{day}T20:00:00{fraction}Z")
    assert iso_millis(utc) == iso_millis(tokyo) == f"{day}T20:00:00.{fraction[1:4]:0<3}Z"
