"""The chat of a room, for the pages of two browsers."""

from collections.abc import Mapping

import psycopg
import pytest

from api.routes import room_chat
from tests.rooms.talking import handshake_refusal, heard, join, joined, refusal, say, talking, text_heard
from tests.sessions.conftest import Browser


def headers(browser: Browser, page: str, site: str = "same-origin") -> Mapping[str, str]:
    """What the browser sends with the handshake of a page."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return {"Cookie": cookie, "Origin": page, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "websocket"}


def match(*browsers: Browser) -> str:
    """Lets the pages meet as the portal does; returns their room."""
    code = browsers[0].uid
    for browser in browsers:
        sent = {"thinker_id": browser.uid, "pair_code": code, "status": "online"}
        assert browser.post("/api/presence/heartbeat", sent).status == 200
    room: str = (
        browsers[0].post("/api/presence/match", {"thinker_id": browsers[0].uid, "pair_code": code}).body["room_id"]
    )
    return room


def test_two_pages_talk_and_none_as_the_other(anna: Browser, ben: Browser, public_url: str) -> None:
    room = match(anna, ben)
    by_anna, by_ben = headers(anna, public_url), headers(ben, public_url)
    with joined(public_url, room, anna.uid, by_anna) as first, joined(public_url, room, ben.uid, by_ben) as second:
        say(second, "Hallo", uid=anna.uid)
        assert text_heard(first) == (ben.uid, "Hallo")
    with talking(public_url, by_ben) as other:
        join(other, room, anna.uid)
        assert refusal(other) == ("Nur für die eigene Uid erlaubt", 4403)


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_a_page_of_another_origin_opens_no_chat(anna: Browser, public_url: str, site: str) -> None:
    match(anna)
    foreign = headers(anna, "https://attacker.example", site)
    assert handshake_refusal(public_url, foreign)[0] in (401, 403)


def test_a_chat_ends_with_the_session(
    anna: Browser, ben: Browser, public_url: str, shared_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_chat, "CHECK_SECONDS", -1.0)
    room = match(anna, ben)
    by_anna, by_ben = headers(anna, public_url), headers(ben, public_url)
    with joined(public_url, room, ben.uid, by_ben) as speaking, joined(public_url, room, anna.uid, by_anna) as silent:
        with psycopg.connect(shared_database) as connection:
            connection.execute("select private.release_thinker(%s)", (anna.uid,))
        assert heard(speaking)["type"] == "system"
        say(speaking, "Hallo")
        assert refusal(silent)[1] == 4401
