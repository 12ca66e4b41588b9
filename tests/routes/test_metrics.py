"""What /metrics says of requests and of the database, and who may read it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.charging import charge, reverse
from tests.support.databases import Server
from tests.support.jobs import charge_last_month
from tests.support.metrics import read_metrics
from tests.support.outages import away
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_until

KEY = "a long random text"


@pytest.fixture
def keyed(database: str, tmp_path: Path) -> Iterator[str]:
    with serve(settings_in(tmp_path, ts_api_key=KEY, rate_limit="on"), database) as url:
        yield url


def test_requests_are_counted_by_template_and_status(portal: str) -> None:
    with Connection(portal) as client:
        for number in range(3):
            client.get(f"/api/telbank/transfers/in-{number}")
        client.post("/api/presence/heartbeat", {"thinker_id": "anna"})
    of = ("portal_requests_total", "GET", "/api/telbank/transfers/{transfer_id}")
    wait_until(lambda: read_metrics(portal).get((*of, "404")) == 3)
    read = read_metrics(portal)
    assert read["portal_requests_total", "POST", "/api/presence/heartbeat", "200"] == 1
    assert read["portal_request_seconds_count", *of[1:]] == 3
    assert read["portal_request_seconds_sum", *of[1:]] > 0


def test_hostile_paths_and_methods_make_no_series(portal: str) -> None:
    def names() -> set[tuple[str, ...]]:
        return {name for name in read_metrics(portal) if "/metrics" not in name}

    def send(run: str) -> None:
        with Connection(portal) as client:
            for number in range(20):
                client.get(f"/{run}/{number}")
                client.get(f"/api/telbank/transfers/{run}-{number}")
                client.ask(f"{run}{number}", f"/{run}")
                client.ask(f"{run}{number}", "/api/voucher/list")

    send("tulip")
    wait_until(lambda: read_metrics(portal).get(("portal_requests_total", "other", "unmatched", "405"), 0) == 20)
    before = names()
    send("poppy")
    wait_until(lambda: read_metrics(portal)["portal_requests_total", "other", "unmatched", "405"] == 40)
    assert names() == before
    assert not any("tulip" in label or "poppy" in label for name in before for label in name)


def test_connections_and_calls_are_gauges(portal: str) -> None:
    with Connection(portal), Connection(portal):
        # those two, and that of the request
        wait_until(lambda: read_metrics(portal).get(("portal_connections",), 0) >= 2)
    read = read_metrics(portal)
    assert read[("portal_calls_limit",)] == 16
    assert read[("portal_calls",)] == read[("portal_calls_waiting",)] == 0
    wait_until(lambda: read_metrics(portal)[("portal_connections",)] <= 1)


def test_refusals_of_rate_limits_are_counted(keyed: str, database: str) -> None:
    with Connection(keyed) as client:
        for _ in range(62):
            client.get("/api/autofix/status")
    assert read_metrics(keyed, x_ts_apikey=KEY)["portal_rate_limited_total", "autofix/status"] == 2


def test_only_operators_read_them(keyed: str, database: str) -> None:
    headers: dict[str, dict[str, str]] = {"nothing": {}, "another key": {"X-TS-APIKEY": "wrong"}}
    with Connection(keyed) as client, psycopg.connect(database, autocommit=True) as connection:
        body = client.post("/api/presence/verify", {"token": "t"}).body
        headers["a thinker"] = {"Authorization": f"Bearer {body['access_token']}"}
        refused = {name: client.ask("GET", "/metrics", headers=sent).status for name, sent in headers.items()}
        assert refused == {"nothing": 401, "another key": 401, "a thinker": 403}
        # what is known since then is for operators, too
        assert read_metrics(keyed, x_ts_apikey=KEY)
        assert client.ask("GET", "/metrics", headers=headers["a thinker"]).status == 403
        connection.execute("update public.thinkers set roles = '{admin}'")
        assert ("portal_database_up",) in read_metrics(keyed, **headers["a thinker"])


def test_jobs_and_invariants_are_those_of_their_last_runs(portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            """
            insert into private.job_runs (job, started_at, finished_at, done, error) values
              ('check-invariants', now() - interval '3 hours', now(), 14, null),
              ('check-invariants', now() - interval '2 hours', now(), null,
               'Violated: bookings_do_not_overlap (2), invoice_numbers_have_no_gap (1)'),
              ('check-invariants', now() - interval '1 hour', now(), null, 'canceling statement (4)'),
              ('expire-vouchers', now() - interval '1 hour', now(), 5, null)
            """
        )
    read = read_metrics(portal)
    assert {name: value for name, value in read.items() if name[0].startswith("portal_invariant")} == {
        ("portal_invariant_violations", "bookings_do_not_overlap"): 2,
        ("portal_invariant_violations", "invoice_numbers_have_no_gap"): 1,
        ("portal_invariants_violated",): 2,
    }
    assert read["portal_job_last_success_age_seconds", "expire-vouchers"] == pytest.approx(3600, abs=300)
    states = [read[f"portal_job_{state}", name] for name in ("check-invariants", "expire-vouchers")
              for state in ("failing", "late")]  # fmt: skip
    assert states == [1, 0, 0, 1]
    assert ("portal_job_last_success_age_seconds", "purge-old-events") not in read


def test_before_a_check_nothing_is_known_of_invariants(portal: str) -> None:
    assert ("portal_invariants_violated",) not in read_metrics(portal)


def test_fees_in_no_settlement_are_told_by_currency(portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        charge_last_month(connection)
    read = read_metrics(portal)
    assert {name: value for name, value in read.items() if name[0] == "portal_unsettled_fees_cents"} == {
        ("portal_unsettled_fees_cents", "EUR"): 240
    }
    # a week and as much of this month as is over
    assert 6 < read["portal_unsettled_fees_age_seconds", "EUR"] / 86400 < 39


def test_a_credit_that_waits_has_no_age(portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for currency, payer in (("CHF", "anna"), ("EUR", "anna"), ("EUR", "ben")):
            settled = charge(connection, "2025-01-10", 500, currency, payer=payer)
            connection.execute("select public.settle_fees('2025-01-01', '2025-02-01')")
            reverse(connection, settled, "2025-02-10")
        for currency in ("CHF", "EUR"):
            # the credit is more
            charge(connection, "2025-02-11", 100, currency, payer="anna")
        charge(connection, "yesterday", 800, payer="ben")
    read = read_metrics(portal)
    ages = {name[1]: age for name, age in read.items() if name[0] == "portal_unsettled_fees_age_seconds"}
    assert ages == {"EUR": pytest.approx(1.5 * 86400, abs=86400)}
    assert [read["portal_unsettled_fees_cents", currency] for currency in ("CHF", "EUR")] == [-400, -100]


def test_a_database_that_is_away_is_told(portal: str, server: Server) -> None:
    read = read_metrics(portal)
    assert read[("portal_database_up",)] == 1
    assert read[("portal_database_size_bytes",)] > 1_000_000
    assert read[("portal_event_partitions",)] > 1
    assert 0 < read[("portal_disk_free_bytes",)] <= read[("portal_disk_size_bytes",)]
    with away(server):
        wait_until(lambda: read_metrics(portal)[("portal_database_up",)] == 0)
    wait_until(lambda: read_metrics(portal)[("portal_database_up",)] == 1)
