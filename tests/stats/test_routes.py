"""GET /api/admin/stats/... answers what the functions return, in the portal's spelling, through each gateway."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from pydantic import SecretStr

from api.actor import SERVER
from tests.support.acting import call, one
from tests.support.data_api import JWT_SECRET, through_data_api, token
from tests.support.jobs import redefine, run
from tests.support.serving import Answer, Connection, serve, settings_in

pytestmark = pytest.mark.clock

KEY = "a long random text"
ROUTES = {
    "presence": "presence_stats",
    "vouchers": "voucher_stats",
    "mortgages": "mortgage_stats",
    "telbank": "telbank_stats",
    "fees": "fee_stats",
    "system": "system_stats",
}
ROUTE = pytest.mark.parametrize("route", ROUTES)


@pytest.fixture(scope="module", params=["direct", "data api"])
def url(request: pytest.FixtureRequest, world_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app that asks for a key or a token, through each of the gateways."""
    folder: Path = tmp_path_factory.mktemp("keyed")
    settings = settings_in(folder, ts_api_key=SecretStr(KEY), jwt_secret=JWT_SECRET, rate_limit="off")
    with ExitStack() as running:
        if request.param == "direct":
            yield running.enter_context(serve(settings, world_url))
        else:
            settings = running.enter_context(through_data_api(settings, world_url))
            yield running.enter_context(serve(settings, None))


@pytest.fixture
def client(url: str) -> Iterator[Connection]:
    with Connection(url) as connection:
        yield connection


@pytest.fixture(scope="module")
def _with_runs(world_url: str) -> None:
    """An admin, and jobs of which one has failed and one has not."""
    with psycopg.connect(world_url, autocommit=True) as connection:
        connection.execute(
            "insert into public.thinkers (id, public_id, roles) values (private.thinker_id('ada'), 'ada', '{admin}')"
        )
        # the copied database may be old
        connection.execute("update private.jobs set added_at = now()")
        redefine(connection, "cleanup-cron-history", "begin raise 'not today'; end")
        run(connection, "cleanup-cron-history")
        run(connection, "purge-idempotency-keys")


def ask(client: Connection, route: str, query: str = "") -> Answer:
    return client.ask("GET", f"/api/admin/stats/{route}{query}", headers={"X-TS-APIKEY": KEY})


def spelled(value: object) -> Any:
    """Returns the names in camelCase, but `from` and `to`; times in milliseconds."""
    if isinstance(value, dict):
        names = {"from_day": "from", "to_day": "to"}
        return {
            names.get(name) or re.sub("_(.)", lambda found: found[1].upper(), name): spelled(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [spelled(item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value):
        at = datetime.fromisoformat(value)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
    return value


@ROUTE
@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("", {}),
        ("?from=&to=", {}),
        ("?to=2026-08-01", {"to_day": "2026-08-01"}),
        ("?from=2026-05-01&to=2026-08-31", {"from_day": "2026-05-01", "to_day": "2026-08-31"}),
        ("?from=0001-01-01&to=0001-01-01", {"from_day": "0001-01-01", "to_day": "0001-01-01"}),
    ],
)
@pytest.mark.usefixtures("_with_runs")
def test_the_answer_equals_the_result_of_the_function(
    client: Connection, world_url: str, route: str, query: str, days: dict[str, str]
) -> None:
    answer = ask(client, route, query)
    assert answer.status == 200, answer.body
    with psycopg.connect(world_url, autocommit=True) as connection:
        expected = call(connection, SERVER, ROUTES[route], **days)
        # in the form in which the API shows jobs
        for job in expected.get("jobs", []):
            del job["is_late"], job["last_done"]
        connection.execute("set timezone = 'UTC'")
    assert answer.body == {"ok": True} | spelled(expected)
    assert list(answer.body)[:4] == ["ok", "from", "to", "timeZone"]


@pytest.mark.usefixtures("_with_runs")
def test_jobs_have_their_times_and_errors(client: Connection) -> None:
    jobs = {job["name"]: job for job in ask(client, "system").body["jobs"]}
    failed, good = jobs["cleanup-cron-history"], jobs["purge-idempotency-keys"]
    assert (failed["state"], failed["lastError"], failed["lastGoodRunAt"]) == ("failed", "not today", None)
    assert failed["lastRunAt"] == failed["lastErrorAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", failed["lastErrorAt"])
    assert (good["state"], good["lastError"], good["lastErrorAt"]) == ("good", None, None)
    assert good["lastRunAt"] == good["lastGoodRunAt"] is not None
    assert jobs["expire-vouchers"]["state"] == "waiting"


@ROUTE
@pytest.mark.usefixtures("_with_runs")
def test_admins_and_the_key_get_the_same(client: Connection, route: str) -> None:
    path = f"/api/admin/stats/{route}?from=2026-01-01&to=2026-11-01"
    bearer = f"Bearer {token('authenticated', 'ada')}"
    assert client.get(path, authorization=bearer).body == ask(client, route, "?from=2026-01-01&to=2026-11-01").body


@ROUTE
def test_outsider_may_not(client: Connection, route: str) -> None:
    path = f"/api/admin/stats/{route}"
    for headers in (
        {},
        {"X-TS-APIKEY": "wrong"},
        {"Authorization": f"Bearer {token('authenticated', 'ada', secret='x' * 32)}"},
        {"Authorization": f"Bearer {token('authenticated', 'ada', lifetime=-60)}"},
        {"Authorization": "Bearer nonsense"},
    ):
        answer = client.ask("GET", path, headers=headers)
        assert (answer.status, answer.body["ok"]) == (401, False), headers


@ROUTE
def test_thinker_may_not(client: Connection, route: str) -> None:
    answer = client.get(f"/api/admin/stats/{route}", authorization=f"Bearer {token('authenticated', 'thinker-1')}")
    assert (answer.status, answer.body) == (403, {"ok": False, "error": "only admins may see this"})


NO_DAYS = (
    "2026-02-30", "2026-2-1", " 2026-02-01", "2026-02-01 ", "today", "20260201", "2026-02-01T00:00:00Z", "now",
    "infinity", "-infinity", "2026-02-01\n", "2026-00-10", "0000-01-01", "10000-01-01", "-001-01-01", "2026/02/01",
    "２０２６-02-01", "2026-02-01\0", "\0", "2" * 10_000, "null", "'", "2026-W06-1", "2026-032", "2025-02-29",
)  # fmt: skip


@ROUTE
@pytest.mark.parametrize("name", ["from", "to"])
def test_an_invalid_day_is_refused(client: Connection, route: str, name: str) -> None:
    # all of them on one route, and one on each of the others, which read days in the same way
    for text in NO_DAYS if route == "presence" else NO_DAYS[:1]:
        answer = ask(client, route, f"?{name}={quote(text)}")
        assert (answer.status, answer.body) == (400, {"ok": False, "error": f"{name} is not a valid date"}), text


@ROUTE
def test_an_invalid_period_is_refused(client: Connection, route: str) -> None:
    sentence = "a period has 1 to 1096 days of the years 1 to 9999"
    for query in (
        "?from=2026-02-02&to=2026-02-01",
        "?from=2023-01-01&to=2026-01-01",
        "?to=0001-01-20",
        "?from=9999-12-31",
    ):
        answer = ask(client, route, query)
        assert (answer.status, answer.body) == (400, {"ok": False, "error": sentence}), query


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_figures_are_read_only(client: Connection, method: str) -> None:
    answer = client.ask(method, "/api/admin/stats/presence", headers={"X-TS-APIKEY": KEY})
    assert answer.status in (404, 405)


def test_the_answer_names_the_time_zone(client: Connection, world_url: str) -> None:
    with psycopg.connect(world_url) as connection:
        zone = one(connection, "select time_zone from private.settings")
    assert {ask(client, route).body["timeZone"] for route in ROUTES} == {zone}
