"""Concurrent requests: a pair meets in one room, and a thinker has one session."""

from functools import partial

import psycopg

from tests.support.acting import call, connections, one, thinker
from tests.support.parallel import ask_at_once, at_once
from tests.support.serving import Answer, Connection

PAIRS, ROUNDS = 10, 10


def match(connection: psycopg.Connection, uid: str, pair_code: str) -> str | None:
    room: str | None = call(connection, thinker(uid), "match_presence", pair_code=pair_code)["room_id"]
    return room


def heartbeat_and_match(connection: psycopg.Connection, uid: str, pair_code: str) -> str | None:
    call(connection, thinker(uid), "send_heartbeat", pair_code=pair_code)
    return match(connection, uid, pair_code)


def test_a_pair_that_matches_at_once_gets_the_same_room(database: str) -> None:
    with connections(database, 2 * PAIRS) as opened:
        for r in range(ROUNDS):
            people = [(f"{who}-{p}", f"pair-{p}-{r}") for p in range(PAIRS) for who in ("left", "right")]
            for connection, (uid, code) in zip(opened, people, strict=True):
                call(connection, thinker(uid), "send_heartbeat", pair_code=code)
            rooms = at_once([partial(match, c, *person) for c, person in zip(opened, people, strict=True)])
            assert None not in rooms
            assert rooms[::2] == rooms[1::2]
            assert len(set(rooms)) == PAIRS
        assert one(opened[0], "select count(*) from public.rooms") == PAIRS * ROUNDS


def test_a_pair_that_arrives_and_matches_at_once_ends_in_one_room(database: str) -> None:
    with connections(database, 2) as opened:
        for r in range(30):
            rooms = at_once(
                [
                    partial(heartbeat_and_match, c, f"{who}-{r}", f"pair-{r}")
                    for c, who in zip(opened, "ab", strict=True)
                ]
            )
            # a thinker that matched before the other arrived is alone, and asks again
            found = {room for room in rooms if room}
            assert len(found) == 1
            assert {match(opened[0], f"a-{r}", f"pair-{r}"), match(opened[1], f"b-{r}", f"pair-{r}")} == found
        assert one(opened[0], "select count(*) from public.rooms") == 30


def test_twenty_first_heartbeats_of_a_thinker_create_one_session(portal: str, database: str) -> None:
    def heartbeat(connection: Connection) -> Answer:
        return connection.post("/api/presence/heartbeat", {"thinker_id": "newcomer", "pair_code": "p"})

    answers = ask_at_once(portal, *[heartbeat] * 20)

    assert {answer.status for answer in answers} == {200}
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from public.presence_sessions") == 1
        assert one(connection, "select count(*) from public.thinkers where public_id = 'newcomer'") == 1


def test_concurrent_telemetry_of_new_thinkers_in_different_order_is_stored(portal: str, database: str) -> None:
    def report(connection: Connection, uids: list[str]) -> Answer:
        return connection.post("/api/telemetry", [{"type": "seen", "actorUid": uid} for uid in uids])

    for r in range(10):
        uids = [f"newcomer-{r}-{i}" for i in range(50)]
        answers = ask_at_once(portal, partial(report, uids=uids), partial(report, uids=uids[::-1]))
        assert [answer.status for answer in answers] == [200, 200]
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from public.telemetry_events") == 10 * 2 * 50
