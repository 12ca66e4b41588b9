"""The moved clock applies to the database too, and every test of days is marked."""

import re
import time
from pathlib import Path

import psycopg
import pytest

from tests.support.acting import one

TESTS = Path(__file__).parent.parent

DAYS = re.compile(
    r"current_date|date_trunc|portal_today|use_portal_zone|datetime\.now|date\.today"
    r"|now\(\) - interval '\d+ (day|month)"
)
"""What a test of days or months looks like."""

ONLY_NOW = {
    "tests/admin/test_dashboards.py": "a day of now, whichever it is, in a browser",
    "tests/cli/test_jobs.py": "how long ago something was",
    "tests/imports/test_http.py": "rounds times to milliseconds",
    "tests/legacy/test_matching.py": "a time of now, whichever it is",
    "tests/sessions/test_requests.py": "how old a cookie is",
    "tests/jobs/test_portal_run.py": "processes that have the machine's clock",
    "tests/stats/test_backups.py": "how long something takes",
    "tests/storms/test_million_events.py": "takes minutes",
    "tests/storms/test_month.py": "takes minutes",
    "tests/schema/test_upgrade.py": "of what no released version did",
    "tests/clock/test_clock.py": "this one",
}
"""Those that need not run at every moment, and why."""


@pytest.mark.clock
def test_the_database_has_the_clock_of_the_tests(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert abs(one(connection, "select extract(epoch from clock_timestamp())::float8") - time.time()) < 5


def test_every_test_of_days_runs_at_every_moment() -> None:
    of_days = {
        str(file.relative_to(TESTS.parent)): "mark.clock" in text
        for file in TESTS.rglob("test_*.py")
        if DAYS.search(text := file.read_text())
    }
    assert {file for file, marked in of_days.items() if not marked} <= ONLY_NOW.keys()
