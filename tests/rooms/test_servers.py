"""Server processes with one database share its rooms, also after it was away."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.rooms.talking import heard, join, joined, match, refusal, say, talking, text_heard
from tests.support.data_api import JWT_SECRET, token
from tests.support.databases import Server
from tests.support.outages import away
from tests.support.serving import serve, settings_in
from tests.support.waiting import wait_for_row

LISTENING = """
select from pg_stat_activity
where application_name = 'togethersystems-rooms' and state = 'idle' and query = 'listen room_notices'
having count(*) = 2
"""


@pytest.fixture
def servers(database: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URLs of two apps on one database."""
    with serve(settings_in(tmp_path), database) as one, serve(settings_in(tmp_path), database) as other:
        yield one, other


def test_two_servers_share_a_room(servers: tuple[str, str], database: str) -> None:
    room = match(database, "anna", "ben", "a" * 255)
    with joined(servers[0], room, "anna") as anna, joined(servers[1], room, "ben") as ben:
        say(anna, "\U0001f600" * 1024)
        assert text_heard(ben) == ("anna", "\U0001f600" * 1024)
        say(ben, "Hallo")
        assert text_heard(anna) == ("ben", "Hallo")
        # the longest that a notification has to hold
        with joined(servers[1], room, "a" * 255) as last:
            say(last, "x" * 4096)
            assert text_heard(anna) == ("a" * 255, "x" * 4096)


def test_a_notice_of_somebody_else_is_not_read_and_says_nothing(servers: tuple[str, str], database: str) -> None:
    room = match(database, "anna", "ben")
    with (
        joined(servers[0], room, "anna") as anna,
        joined(servers[1], room, "ben") as ben,
        psycopg.connect(database, autocommit=True) as stranger,
    ):
        stranger.execute("listen room_notices")
        for payload in ("", "{}", "x" * 7000, "ü"):
            stranger.execute("select pg_notify('room_notices', %s)", (payload,))
        say(anna, "a secret")
        assert text_heard(ben) == ("anna", "a secret")
        seen = [notification.payload for notification in stranger.notifies(timeout=10, stop_after=5)]
        assert len(seen) == 5
        assert not [payload for payload in seen if "secret" in payload or room in payload]


@pytest.mark.slow
def test_a_room_works_within_a_server_that_knows_only_the_data_api(
    database: str, data_api: str, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, supabase_url=data_api, supabase_anon_key=token("anon"), jwt_secret=JWT_SECRET)
    room = match(database, "anna", "ben")
    with serve(settings, None) as url, joined(url, room, "anna") as anna, joined(url, room, "ben") as ben:
        say(ben, "Hallo")
        assert text_heard(anna) == ("ben", "Hallo")
        with talking(url) as other:
            join(other, room, "clara")
            assert refusal(other)[1] == 4403


@pytest.mark.slow
def test_a_room_is_shared_again_after_the_database_was_away(
    servers: tuple[str, str], database: str, server: Server
) -> None:
    room = match(database, "anna", "ben")
    with joined(servers[0], room, "anna") as anna, joined(servers[1], room, "ben") as ben:
        with away(server):
            say(anna, "nobody hears this")
            while (message := heard(anna))["type"] == "system":
                pass
            assert message["type"] == "error"
        with psycopg.connect(database, autocommit=True) as connection:
            wait_for_row(connection, LISTENING.strip())
        say(anna, "again")
        assert text_heard(ben) == ("anna", "again")
