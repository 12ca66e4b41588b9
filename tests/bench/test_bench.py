"""The benchmark measures every route in every series, and ends where an answer is an error. No time decides."""

import json
import shutil
import time
from dataclasses import fields
from pathlib import Path

import psutil
import pytest

from tests.bench import report, servers
from tests.bench.load import Figure, Load
from tests.bench.measure import CROWD, DASHBOARDS, Run, measure
from tests.bench.routes import CONTENTIONS, ROUTES
from tests.bench.world import Size
from tests.support.missing import missing

pytestmark = pytest.mark.slow

SIZE = Size(vouchers=200, thinkers=1000)
SERIES = {"framework", "express", "api", "sql", "bare"} | ({"data-api"} if shutil.which("postgrest") else set())


@pytest.fixture(scope="module", autouse=True)
def _wrk() -> None:
    if shutil.which("wrk") is None:
        missing("The benchmark needs wrk (Debian: apt install wrk).")


@pytest.fixture(scope="module")
def run() -> Run:
    """The shortest run on a small portal."""
    return measure(seconds=1, sizes=[SIZE], warm_up=0)


def test_every_route_is_measured_in_every_series(run: Run) -> None:
    assert {(figure.route, figure.series) for figure in run.routes} == {
        (route.name, series) for route in ROUTES for series in SERIES
    }
    assert {(figure.route, figure.series) for figure in run.contention} == {
        (contention.name, f"{things} {contention.things}") for contention in CONTENTIONS for things in (1, CROWD)
    }
    assert {(figure.route, figure.series) for figure in run.growth} == {
        (name, f"{SIZE.vouchers} vouchers") for name in (*(route.name for route in ROUTES), *DASHBOARDS)
    }


def test_every_figure_is_one(run: Run) -> None:
    for figure in (*run.routes, *run.contention, *run.growth):
        assert figure.rps > 0, figure
        assert 0 < figure.p50_ms <= figure.p99_ms, figure
    for figure in run.routes:
        assert (figure.api_cpu_ms is None) == (figure.series in ("sql", "bare")), figure
        assert (figure.db_cpu_ms is None) == (figure.series in ("framework", "express")), figure
    assert 0 < run.heap_only <= 1


def test_a_run_is_shown_written_and_compared(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.show(run)
    shown = capsys.readouterr().out
    file = tmp_path / "run.json"
    report.write(file, run)
    rows = json.loads(file.read_text())
    assert len(rows) == len(run.routes) + len(run.contention) + len(run.growth)
    assert {tuple(row) for row in rows} == {tuple(field.name for field in fields(Figure))}

    report.compare(file, file)
    compared = capsys.readouterr().out
    for route in ROUTES:
        # with its ratios first
        assert route.name in shown.partition("ideal:")[0]
        assert route.name in compared


def test_a_refused_request_ends_the_run() -> None:
    variables = {"thinkers": "1000", "holders": "1", "begins": str(int(time.time()) + 3600), "first": "0"}
    load = Load(seconds=1, warm_up=0, database=psutil.Process())
    with servers.express(variables) as server:
        assert load.http("book", "express", server, lambda: variables).rps > 0
        # the same slots again
        with pytest.raises(SystemExit, match=r"^book, express: of \d+ requests [1-9]\d* were refused"):
            load.http("book", "express", server, lambda: variables)


def test_a_failed_statement_ends_the_run(database: str) -> None:
    load = Load(seconds=1, warm_up=0, database=psutil.Process())
    with pytest.raises(SystemExit, match=r"^book, sql: +division by zero$"):
        load.sql("book", "sql", "select 1 / 0;", database, {"first": "0"})
