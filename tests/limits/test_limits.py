"""Limits of each thinker, in SQL: the same through every door, and nobody else's."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, LiteralString

import psycopg
import pytest

from api.actor import SERVER, Actor
from tests.support.acting import act_or_reason, call, call_or_reason, connections, one, thinker, unchecked
from tests.support.parallel import at_once
from tests.support.serving import Connection

pytestmark = pytest.mark.clock

ANNA, BEN, MALLORY = thinker("anna"), thinker("ben"), thinker("mallory")
WINDOW = {"valid_from": "2090-05-01T09:00:00Z", "valid_until": "2090-05-02T09:00:00Z"}

Act = Callable[[Actor, int], Any]
"""Does something for the nth time as the actor; returns the result or the error code."""


@pytest.fixture
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """A transaction as the operator, with a voucher and an application of anna; rolled back."""
    with psycopg.connect(shared_database) as connection:
        act_or_reason(connection, ANNA, "issue_voucher", voucher_id="v", **WINDOW)
        act_or_reason(connection, ANNA, "apply_for_mortgage", application_id="a")
        yield connection
        connection.rollback()


def issue(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    return act_or_reason(connection, actor, "issue_voucher")


def name_new(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    return act_or_reason(connection, actor, "issue_voucher", holder_uid=f"new-{actor.uid}-{n}")


def apply(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    return act_or_reason(connection, actor, "apply_for_mortgage")


def offer(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    lender = thinker(actor.uid or "", "lender")
    return act_or_reason(connection, lender, "offer_mortgage", application_id="a")


def change_presence(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    """Comes online, reports it again, chooses another pair code and goes, and comes back."""
    status = "offline" if n == 2 else "online"
    return act_or_reason(connection, actor, "send_heartbeat", pair_code=f"code {n // 2}", status=status)


def report(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    return act_or_reason(connection, actor, "record_telemetry", events=[{"type": "seen"}])


def report_types(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    return act_or_reason(connection, actor, "record_telemetry", events=[{"type": "seen"}, {"type": f"seen {n % 4}"}])


def book_and_cancel(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    """Books the first slot of anna's voucher, and gives it back."""
    booked = act_or_reason(connection, actor, "book_voucher", voucher_id="v", slot_start=WINDOW["valid_from"])
    act_or_reason(connection, actor, "cancel_booking", voucher_id="v")
    return booked


def keep_response(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    """Stores another response for a day."""
    return act_or_reason(connection, actor, "issue_voucher", terms=["x" * 1000], idempotency_key=f"key {n}")


def keep_key(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    """Stores the longest key, for a response of a few bytes."""
    return act_or_reason(
        connection, actor, "match_presence", pair_code="of nobody", idempotency_key="😀" * 254 + str(n)
    )


def transfer(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    money = {"crypto_amount": 1, "crypto_symbol": "ETH", "fiat_major": 1, "fiat_currency": "EUR"}
    return act_or_reason(connection, actor, "log_transfer", direction="in", **money)


def write(connection: psycopg.Connection, actor: Actor, n: int) -> Any:
    """A kilobyte and a half, each time by another function."""
    text = "x" * 1500
    match n:
        case 0:
            return act_or_reason(connection, actor, "issue_voucher", description=text)
        case 1:
            return act_or_reason(connection, actor, "apply_for_mortgage", meta={"text": text})
        case 2:
            booked = act_or_reason(connection, actor, "book_voucher", voucher_id="v", slot_start=WINDOW["valid_from"])
            return act_or_reason(connection, actor, "cancel_booking", booking_id=booked["booking"]["id"], reason=text)
        case 3:
            money = {"crypto_amount": 1, "crypto_symbol": "ETH", "fiat_major": 1, "fiat_currency": "EUR"}
            return act_or_reason(connection, actor, "log_transfer", direction="in", label=text, **money)
    return act_or_reason(connection, actor, "record_telemetry", events=[{"type": "seen", "meta": text}])


@pytest.mark.parametrize(
    ("limit", "most", "do"),
    [
        ("vouchers_a_day", 3, issue),
        ("bookings_a_day", 3, book_and_cancel),
        ("transfers_a_day", 3, transfer),
        ("new_thinkers_a_day", 3, name_new),
        ("applications_a_day", 3, apply),
        ("applications_a_day", 3, offer),
        ("presence_changes_a_day", 1, change_presence),
        ("telemetry_a_day", 3, report),
        ("telemetry_types_a_day", 4, report_types),
        ("bytes_a_day", 5500, write),
        # once for the voucher, and once for the response
        ("bytes_a_day", 9000, keep_response),
        # in the row and in the index
        ("bytes_a_day", 7000, keep_key),
        ("bytes_a_day", 4000, transfer),
    ],
)
def test_a_thinker_meets_its_daily_limit_and_nobody_elses(
    connection: psycopg.Connection, limit: LiteralString, most: int, do: Callable[[psycopg.Connection, Actor, int], Any]
) -> None:
    connection.execute(f"update private.settings set {limit} = %s", (most,))
    results = [do(connection, MALLORY, n) for n in range(4)]
    assert [result == "daily_limit_reached" for result in results] == [False, False, False, True]
    assert do(connection, BEN, 0) != "daily_limit_reached"
    # what is refused is not counted, and the next day is another one
    connection.execute("update private.daily_use set day = day - 1")
    assert do(connection, MALLORY, 4) != "daily_limit_reached"


def test_known_uids_and_types_are_no_new_ones(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set new_thinkers_a_day = 1, telemetry_types_a_day = 1")
    for uid in ("new", "new", "anna", "mallory"):
        assert act_or_reason(connection, MALLORY, "issue_voucher", holder_uid=uid) != "daily_limit_reached"
    assert [act_or_reason(connection, MALLORY, "record_telemetry", events=[{"type": "seen"}]) for _ in range(3)] == [
        1
    ] * 3


def test_heartbeats_that_change_nothing_are_not_limited(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set presence_changes_a_day = 0")
    beat = {"pair_code": "code", "status": "online"}
    for sent in ({}, {"status": "online"}, {}):
        assert act_or_reason(connection, MALLORY, "send_heartbeat", **sent)["status"] == "online"
    assert act_or_reason(connection, MALLORY, "send_heartbeat", **beat) == "daily_limit_reached"
    # who was silent comes back
    connection.execute("update public.presence_sessions set status = 'offline', silenced = true")
    assert act_or_reason(connection, MALLORY, "send_heartbeat", status="online")["status"] == "online"


def test_a_server_that_acts_for_no_thinker_has_no_limit(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set telemetry_a_day = 0, telemetry_types_a_day = 0")
    events = [{"type": "seen", "actor_uid": "mallory"}]
    assert act_or_reason(connection, SERVER, "record_telemetry", events=events) == 1
    assert act_or_reason(connection, MALLORY, "record_telemetry", events=events) == "daily_limit_reached"


def test_a_type_of_telemetry_has_at_most_255_characters(connection: psycopg.Connection) -> None:
    assert act_or_reason(connection, MALLORY, "record_telemetry", events=[{"type": "x" * 255}]) == 1
    with pytest.raises(psycopg.errors.CheckViolation, match="telemetry_type_has_1_to_255_characters"):
        act_or_reason(connection, MALLORY, "record_telemetry", events=[{"type": "x" * 256}])


def book(connection: psycopg.Connection, actor: Actor, hour: int) -> Any:
    slot = f"2090-05-01T{hour:02}:00:00Z"
    return act_or_reason(connection, actor, "book_voucher", voucher_id="v", slot_start=slot)


def test_a_thinker_holds_a_limited_number_of_bookings_that_are_not_over(connection: psycopg.Connection) -> None:
    connection.execute("update private.settings set bookings_held = 2")
    first, _, third = [book(connection, MALLORY, hour) for hour in (9, 10, 11)]
    assert third == "too_many_bookings"
    assert book(connection, BEN, 11)["booking"]["holder_uid"] == "ben"
    act_or_reason(connection, MALLORY, "cancel_booking", booking_id=first["booking"]["id"])
    assert book(connection, MALLORY, 12)["booking"]["holder_uid"] == "mallory"
    assert book(connection, MALLORY, 13) == "too_many_bookings"
    with unchecked(connection):
        connection.execute(
            "update public.voucher_bookings set slot_start = '2020-01-01', slot_end = '2020-01-02' where id ="
            " (select id from public.voucher_bookings where holder_id = private.thinker_id('mallory')"
            "  and status = 'booked' limit 1)"
        )
    assert book(connection, MALLORY, 13)["booking"]["holder_uid"] == "mallory"


def test_the_number_of_bookings_is_exact_for_calls_at_once(database: str) -> None:
    with connections(database, 12) as opened:
        first = opened[0]
        first.execute("update private.settings set bookings_held = 3")
        first.execute("insert into public.thinkers (id, public_id) values (private.thinker_id('mallory'), 'mallory')")
        for n in range(12):
            call(first, thinker(f"issuer {n}"), "issue_voucher", voucher_id=f"v{n}", **WINDOW)
        slot = "2090-05-01T09:00:00Z"
        booked = at_once(
            [
                partial(call_or_reason, c, MALLORY, "book_voucher", voucher_id=f"v{n}", slot_start=slot)
                for n, c in enumerate(opened)
            ]
        )
        assert booked.count("too_many_bookings") == 9
        assert one(first, "select count(*) from public.voucher_bookings where status = 'booked'") == 3


def test_calls_of_a_thinker_at_once_do_not_wait_for_each_other(database: str) -> None:
    with connections(database, 3) as opened:
        first, second, third = opened
        call(first, MALLORY, "issue_voucher")
        for connection in (second, third):
            connection.execute("set lock_timeout = '1ms'")
        with first.transaction():
            call(first, MALLORY, "issue_voucher")
            # needs a row of its own, which is there for others afterwards
            call(second, MALLORY, "issue_voucher")
            call(third, MALLORY, "issue_voucher")
            # what is counted one after the other waits
            with pytest.raises(psycopg.errors.LockNotAvailable):
                call(third, MALLORY, "issue_voucher", holder_uid="new")
        assert one(first, "select array_agg(vouchers order by part) from private.daily_use") == [2, 2]


def test_the_limit_of_a_day_is_exact_for_calls_at_once(database: str) -> None:
    with connections(database, 6) as opened:
        # at first calls do not wait for each other, and then each one counts
        most = int(one(opened[0], "show max_connections")) + 20
        opened[0].execute("update private.settings set vouchers_a_day = %s", (most,))

        def issue_many(connection: psycopg.Connection) -> list[Any]:
            return [call_or_reason(connection, MALLORY, "issue_voucher") for _ in range(most // 6 + 10)]

        answers = [answer for answers in at_once([partial(issue_many, c) for c in opened]) for answer in answers]
        assert sum(answer != "daily_limit_reached" for answer in answers) == most
        assert one(opened[0], "select count(*) from public.vouchers") == most
        assert one(opened[0], "select sum(vouchers) from private.daily_use") == most
        assert one(opened[0], "select count(*) from private.daily_use") <= 6


def test_the_routes_say_why(portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        call(connection, ANNA, "issue_voucher", voucher_id="v", **WINDOW)
        connection.execute("update private.settings set bookings_held = 0, vouchers_a_day = 0, applications_a_day = 0")
    slot = {"voucherId": "v", "slotId": "slot-2090-05-01T09:00:00.000Z", "holderUid": "mallory"}
    with Connection(portal) as client:
        booked = client.post("/api/voucher/book", slot)
        issued = client.post("/api/voucher/issue", {"issuerUid": "mallory"})
        applied = client.post("/api/mortgage/application", {"propertyId": "p"}, x_mot_user="mallory")
    assert (booked.status, booked.body["error"]) == (
        409,
        "Mehr als 0 Buchungen, die noch nicht vorbei sind, sind nicht erlaubt",
    )
    assert (issued.status, issued.body["error"]) == (429, "Tageslimit erreicht (vouchers)")
    assert (applied.status, applied.body["error"]) == (429, "daily limit reached (mortgage applications)")
