"""Thinkers who were matched talk in their room; nobody else joins, hears or is heard."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from api.routes import room_chat
from tests.rooms.talking import handshake_refusal, heard, join, joined, match, refusal, say, send, talking, text_heard
from tests.support.acting import call, one, thinker
from tests.support.serving import serve, settings_in
from tests.support.signing import KEY, SECRET, signed

NOT_YOURSELF = ("Nur für die eigene Uid erlaubt", 4403)
NOT_YOUR_ROOM = ("only who is in the room may do this", 4403)


@pytest.fixture(scope="module")
def public(shared_database: str, shared_folder: Path) -> Iterator[str]:
    """The URL of an app with a key, on shared_database."""
    settings = settings_in(shared_folder, ts_api_key=KEY, jwt_secret=(SECRET,), rate_limit="off")
    with serve(settings, shared_database) as url:
        yield url


def token(uid: str, **changes: object) -> str:
    return signed(SECRET, **thinker(uid).claims() | changes)


def bearer(uid: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(uid)}"}


def test_two_thinkers_talk(shared_portal: str, shared_database: str) -> None:
    room = match(shared_database, "anna", "ben")
    with joined(shared_portal, room, "anna") as anna, joined(shared_portal, room, "ben") as ben:
        assert heard(anna) == {"type": "system", "room_id": room, "event": "join"}
        before = time.time() * 1000
        say(anna, "Grüße, \u0001 \U0001f600", uid="clara")
        message = heard(ben)
        assert before - 1000 < message.pop("at") < before + 60_000
        payload = {"text": "Grüße, \u0001 \U0001f600"}
        assert message == {"type": "message", "room_id": room, "from": "anna", "payload": payload}
        say(ben, "Hallo")
        # and not what she said herself
        assert text_heard(anna) == ("ben", "Hallo")


def test_rooms_are_apart_and_others_do_not_join(shared_portal: str, shared_database: str) -> None:
    room = match(shared_database, "carl", "dora", code="c")
    other = match(shared_database, "emma", "fritz", code="e")
    with joined(shared_portal, room, "carl") as carl, joined(shared_portal, other, "emma") as emma:
        for uid, place in (("emma", room), ("nobody", room), ("carl", "room-unknown"), ("carl", "")):
            with talking(shared_portal) as socket:
                join(socket, place, uid)
                assert refusal(socket) == NOT_YOUR_ROOM, (uid, place)
        with talking(shared_portal) as socket:
            say(socket, "before a join")
            assert refusal(socket) == NOT_YOUR_ROOM
        say(emma, "in another room")
        with joined(shared_portal, room, "dora") as dora:
            say(dora, "in this one")
            assert text_heard(carl) == ("dora", "in this one")


def test_who_has_left_the_room_is_neither_heard_nor_hears(
    shared_portal: str, shared_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_chat, "CHECK_SECONDS", -1.0)
    changes = {
        "rematched": {"pair_code": "elsewhere"},
        "offline": {"status": "offline"},
    }
    for uid, change in changes.items():
        room = match(shared_database, uid, "gina", code=uid)
        with joined(shared_portal, room, "gina") as gina, joined(shared_portal, room, uid) as gone:
            with joined(shared_portal, room, uid) as listening, psycopg.connect(shared_database) as connection:
                call(connection, thinker(uid), "send_heartbeat", **change)
                connection.commit()
                say(gone, "after the end")
                assert refusal(gone) == NOT_YOUR_ROOM
                say(gina, "for those who are here")
                assert refusal(listening) == NOT_YOUR_ROOM
            send(gina, {"type": "join", "room_id": room, "thinker_id": "gina"})
            assert {heard(gina)["type"] for _ in range(3)} == {"system"}


def test_what_makes_no_sense_is_answered_or_ignored(shared_portal: str, shared_database: str) -> None:
    room = match(shared_database, "hans", "ida", code="h")
    with joined(shared_portal, room, "hans") as hans, joined(shared_portal, room, "ida") as ida:
        for ignored in ({}, {"type": "unknown"}, {"type": "message"}, {"type": "message", "payload": {"text": ""}}):
            send(ida, ignored)
        refused = {
            "{": "invalid JSON body",
            "[]": "invalid JSON body",
            '{"type": "message", "payload": {"text": 1}}': "invalid JSON body",
            '{"type": "message", "payload": {"text": "\\ud800"}}': "invalid JSON body",
            "[" * 30_000: "invalid JSON body",
            '{"type": "join"}': "thinker_id fehlt",
            '{"type": "message", "payload": {"text": "' + "ü" * 2049 + '"}}': "request body too large",
        }
        for sent, error in refused.items():
            ida.send(sent)
            assert (message := heard(ida)) == {"type": "error", "ok": False, "error": error}, message
        longest = "ü" * 2048
        say(ida, longest)
        assert text_heard(hans) == ("ida", longest)


def test_a_thinker_changes_the_room_on_the_same_connection(shared_portal: str, shared_database: str) -> None:
    first = match(shared_database, "jan", "kim", code="first")
    with joined(shared_portal, first, "jan") as jan, joined(shared_portal, first, "kim") as kim:
        second = match(shared_database, "jan", "lea", code="second")
        assert heard(jan)["type"] == "system"
        join(jan, second, "jan")
        assert heard(jan) == {"type": "system", "room_id": second, "event": "join"}
        say(kim, "nobody hears this")
        with joined(shared_portal, second, "lea") as lea:
            say(lea, "here")
            assert text_heard(jan) == ("lea", "here")


def test_a_thinker_joins_with_its_token_only(public: str, shared_database: str) -> None:
    room = match(shared_database, "mia", "noah", code="m")
    cookie = {"Cookie": f"portal_token={token('noah')}", "Origin": public}
    with joined(public, room, "mia", bearer("mia")) as mia, joined(public, room, "noah", cookie) as noah:
        say(noah, "by cookie", uid="mia")
        assert text_heard(mia) == ("noah", "by cookie")
    with talking(public, bearer("mia")) as socket:
        join(socket, room, "noah")
        assert refusal(socket) == NOT_YOURSELF
    with joined(public, room, "noah", {"X-TS-APIKEY": KEY}):
        pass


def test_a_handshake_without_a_caller_or_from_another_origin_is_refused(public: str, shared_portal: str) -> None:
    foreign = "Anfrage von einer anderen Herkunft (Origin oder Host)"
    cookie = {"Cookie": f"portal_token={token('mia')}"}
    assert handshake_refusal(public) == (401, "invalid api key")
    assert handshake_refusal(public, {"Authorization": "Bearer x"}) == (401, "invalid token")
    assert handshake_refusal(public, {"X-TS-APIKEY": "wrong"}) == (401, "invalid api key")
    for origin in ("https://attacker.example", "null", public.replace("127.0.0.1", "localhost"), f"{public}1"):
        assert handshake_refusal(public, cookie, origin=origin) == (403, foreign), origin
        assert handshake_refusal(shared_portal, origin=origin) == (403, foreign), origin
    # DNS rebinding: a name of the attacker leads here
    port = shared_portal.rpartition(":")[2]
    here = socket.create_connection(("127.0.0.1", int(port)))
    assert handshake_refusal(f"http://attacker.example:{port}", sock=here) == (403, foreign)


def test_a_connection_ends_with_its_token(public: str, shared_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room = match(shared_database, "olaf", "pia", code="o")
    expires_at = int(time.time()) + 3600
    # a tenth of a second is left
    monkeypatch.setattr(room_chat, "time", SimpleNamespace(time=lambda: expires_at - 0.1))
    with joined(public, room, "olaf", {"Authorization": f"Bearer {token('olaf', exp=expires_at)}"}) as olaf:
        assert refusal(olaf) == ("Nicht angemeldet", 4401)


def test_only_that_somebody_joined_is_stored_and_once(shared_portal: str, shared_database: str) -> None:
    room = match(shared_database, "rosa", "sam", code="r")
    text = "nobody stores this sentence"
    with psycopg.connect(shared_database, autocommit=True) as connection:
        for _ in range(3):
            with joined(shared_portal, room, "rosa") as rosa, joined(shared_portal, room, "sam") as sam:
                say(rosa, text)
                assert text_heard(sam) == ("rosa", text)
        events = connection.execute(
            "select private.uid_of(actor_id), subject_type, subject_id, meta from public.events "
            "where type = 'presence.join' and subject_id = %s order by 1",
            (room,),
        ).fetchall()
        assert events == [(uid, "room", room, {"pairCode": "r"}) for uid in ("rosa", "sam")]
        tables = connection.execute(
            "select oid::regclass::text from pg_class where relkind in ('r', 'p') and relnamespace in "
            "('public'::regnamespace, 'private'::regnamespace)"
        ).fetchall()
        for (table,) in tables:
            query = f"select count(*) from {table} as t where t::text like %s"
            assert one(connection, query, f"%{text}%") == 0, table
