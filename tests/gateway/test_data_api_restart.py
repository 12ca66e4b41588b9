"""The Data API, or the database behind it, goes away under a running app and comes back."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.data_api import through_data_api
from tests.support.databases import Server
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

AWAY = {"ok": False, "error": "Datenbank nicht erreichbar, bitte gleich noch einmal"}


def test_requests_get_503_while_the_data_api_is_away(database: str, tmp_path: Path) -> None:
    with ExitStack() as data_api:
        settings = data_api.enter_context(through_data_api(settings_in(tmp_path), database))
        with serve(settings, None) as url, Connection(url) as connection:
            assert connection.get("/api/voucher/list").status == 200
            data_api.close()
            answers = [
                connection.get("/api/voucher/list"),
                connection.post("/api/voucher/issue", {"issuerUid": "anna"}),
            ]
            health = connection.get("/health")
    assert [(answer.status, answer.body) for answer in answers] == [(503, AWAY), (503, AWAY)]
    assert health.status == 503


def test_requests_get_503_while_the_database_of_a_data_api_is_away(
    database: str, server: Server, tmp_path: Path
) -> None:
    with (
        through_data_api(settings_in(tmp_path), database) as settings,
        serve(settings, None) as url,
        Connection(url) as connection,
    ):
        assert connection.get("/health").status == 200
        server.stop()
        try:
            answers = [
                connection.get("/api/voucher/list"),
                connection.post("/api/voucher/issue", {"issuerUid": "anna"}),
            ]
        finally:
            server.start()
        assert [(answer.status, answer.body) for answer in answers] == [(503, AWAY), (503, AWAY)]
        # PostgREST tries to connect again at growing intervals, up to half a minute
        wait_until(lambda: connection.get("/health").status == 200)
        assert connection.post("/api/voucher/issue", {"issuerUid": "anna"}).status == 200
