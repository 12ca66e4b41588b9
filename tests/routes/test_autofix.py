"""GET /api/autofix/status: the errors of the last 30 days; for outsiders a number that costs little to ask for."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.parallel import ask_at_once
from tests.support.serving import Connection, serve, settings_in

KEY = "a long random text"


@pytest.fixture(scope="module")
def url(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app with a key, on a database with errors of 150 types, each as often as its number."""
    with psycopg.connect(shared_database) as connection:
        connection.execute(
            "insert into public.events (type, meta)"
            " select 'telemetry.event', jsonb_build_object('type', 'error ' || i)"
            " from generate_series(1, 150) as i, generate_series(1, i)"
        )
    settings = settings_in(tmp_path_factory.mktemp("data"), ts_api_key=KEY, rate_limit="off")
    with serve(settings, shared_database) as url:
        yield url


def test_the_most_frequent_types_are_shown(url: str) -> None:
    with Connection(url) as connection:
        stats = connection.get("/api/autofix/status", x_ts_apikey=KEY).body["stats"]
    assert stats["total"] == 150 * 151 / 2
    assert stats["byType"] == {f"error {i}": i for i in range(51, 151)}
    assert len(stats["recent"]) == 20


def test_outsiders_get_a_number_that_is_counted_once(url: str, shared_database: str) -> None:
    *answers, health = ask_at_once(url, *[lambda c: c.get("/api/autofix/status")] * 20, lambda c: c.get("/health"))
    assert health.status == 200
    with psycopg.connect(shared_database) as connection:
        connection.execute("insert into public.events (type) values ('one.more.error')")
        connection.commit()
        # requests do not read the events now
        connection.execute("lock table public.events")
        answers += ask_at_once(url, *[lambda c: c.get("/api/autofix/status")] * 20)
    assert {answer.status for answer in answers} == {200}
    assert {answer.body["stats"]["total"] for answer in answers} == {150 * 151 // 2}
    assert all(answer.body["stats"]["byType"] == {} and answer.body["events"] == [] for answer in answers)
