"""The dashboard and the alert rules of docs/monitoring/ ask for series and labels that a server has."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import promql_parser
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.settings import ROOT
from tests.support.jobs import charge_last_month
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_until
from tests.support.yaml_file import read_yaml

FOLDER = ROOT / "docs" / "monitoring"
OF_PROMETHEUS = {"instance", "job"}
ALERTS = [
    "PortalDown",
    "PortalDatabaseDown",
    "PortalErrors",
    "PortalSlow",
    "PortalJobLate",
    "PortalJobFailing",
    "PortalInvariantViolated",
    "PortalDiskFull",
    "PortalFeesUnsettled",
]


@pytest.fixture
def series(database: str, tmp_path: Path) -> dict[str, set[str]]:
    """Returns the labels of each series, of a server that has something to tell of everything."""
    with psycopg.connect(database, autocommit=True) as connection:
        charge_last_month(connection)
        connection.execute(
            "insert into private.job_runs (job, started_at, finished_at, done, error) values"
            " ('check-invariants', now(), now(), null, 'Violated: bookings_do_not_overlap (2)'),"
            " ('expire-vouchers', now(), now(), 1, null)"
        )
    with serve(settings_in(tmp_path, rate_limit="on"), database) as url, Connection(url) as client:
        wait_until(lambda: client.get("/api/autofix/status").status == 429)
        text = httpx.get(f"{url}/metrics").text
    found = defaultdict(set, {"up": OF_PROMETHEUS})
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] |= {*sample.labels, *OF_PROMETHEUS}
    return found


def expressions() -> Iterator[str]:
    """Yields what the rules and the panels ask for."""
    for group in read_yaml(FOLDER / "alerts.yml")["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def selectors(expression: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    """Returns what selects series in an expression."""
    found: list[promql_parser.VectorSelector] = []

    def visit(part: promql_parser.Expr) -> None:
        if isinstance(part, promql_parser.MatrixSelector):
            part = part.vector_selector
        if isinstance(part, promql_parser.VectorSelector):
            found.append(part)

    promql_parser.walk(expression, visit)
    return found


def test_every_expression_asks_for_series_that_exist(series: dict[str, set[str]]) -> None:
    asked = set()

    def check_labels(part: promql_parser.Expr) -> None:
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            for selector in selectors(part.expr):
                assert set(part.modifier.labels) <= series[str(selector.name)], expression

    for expression in expressions():
        parsed = promql_parser.parse(expression)
        for selector in selectors(parsed):
            assert selector.name in series, expression
            assert {matcher.name for matcher in selector.matchers.matchers} <= series[selector.name], expression
            asked.add(selector.name)
        promql_parser.walk(parsed, check_labels)
    # nothing that a server tells is forgotten
    assert asked == {name for name in series if not name.endswith(("_sum", "_count"))}


def test_each_rule_tells_what_is_wrong() -> None:
    [group] = read_yaml(FOLDER / "alerts.yml")["groups"]
    assert [rule["alert"] for rule in group["rules"]] == ALERTS
    assert all(rule["annotations"]["summary"] for rule in group["rules"])


def test_the_panels_do_not_overlap() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len({panel["id"] for panel in panels}) == len(panels)
