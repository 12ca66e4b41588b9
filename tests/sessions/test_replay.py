"""The recorded requests of the legacy servers, sent by one page with a session on a server with a key."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.legacy.conftest import settings_of
from tests.legacy.replay import GENERATIONS, load_deviations, load_scenarios, replay
from tests.sessions.conftest import SAME
from tests.support.databases import Server
from tests.support.serving import Connection, serve
from tests.support.signing import KEY

pytestmark = pytest.mark.slow

SCENARIOS = [
    scenario
    for scenario in load_scenarios()
    # a page has no key, and these count requests
    if scenario.service != "g2key" and not scenario.name.endswith("rate-limits")
]
DEVIATIONS = load_deviations(load_scenarios())
UNCLAIMED = {("presence.heartbeat", "unicode")}  # no page makes up such a uid
# a request that names nobody is the session's, and not nobody's
SIGNED = {("mortgage_b.flow", "borrower-no-header")}
CREATED = {
    ("g2.contracts.upload", step)
    for step in (
        "file-only", "odd-filename", "no-part-type", "empty-file", "two-files-first-wins", "one-megabyte",
        "empty-fields",
    )
}  # fmt: skip
OPERATORS = ("/api/presence/debug", "/api/admin/")


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> int:
    """A generation of the legacy servers."""
    return int(request.param)


@pytest.fixture
def portal(server: Server, migrated: str, generation: int, tmp_path: Path) -> Iterator[str]:
    """The URL of a server with a key, where everybody is a lender and a notary."""
    (tmp_path / "index.html").write_text("<p>portal")
    settings = settings_of(generation, tmp_path, KEY).model_copy(update={"portal_dir": tmp_path, "rate_limit": "off"})
    with server.database(template=migrated) as database:
        with psycopg.connect(database) as connection:
            connection.execute("update private.settings set thinkers_a_session = 1000000")
            connection.execute("alter table public.thinkers alter roles set default '{lender,notary}'")
        with serve(settings, database) as url:
            yield url


def test_a_page_is_answered_as_recorded(portal: str, generation: int) -> None:
    with Connection(portal) as connection:
        cookie = connection.get("/").headers["set-cookie"].partition(";")[0]
    different = set()
    for scenario in SCENARIOS:
        headers = {**SAME, "Cookie": cookie}
        for failure in replay(scenario, generation, {"all": portal}, DEVIATIONS, headers):
            is_for_operators = failure.request.startswith(tuple(f"GET {path}" for path in OPERATORS))
            if not (is_for_operators and failure.answer.startswith("403")):
                different.add((scenario.name, failure.step))
    assert different == {step for step in UNCLAIMED | SIGNED | CREATED if step[1] in steps_of(generation)}


def steps_of(generation: int) -> set[str]:
    """The names of the steps that a generation has."""
    return {step.name for scenario in SCENARIOS for step in scenario.steps_of(generation)}
