"""The primary of a cluster fails in each way: nothing that was acknowledged is lost or doubled, and writes go on."""

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.failures import FAILURES
from tests.cluster.storm import STALE, storm

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("failure", FAILURES)
def test_nothing_acknowledged_is_lost_or_doubled(cluster: Cluster, scene: str, failure: str) -> None:
    outcome = storm(cluster, scene, FAILURES[failure])

    # while nobody is the primary, clients are told so; a switchover can be over before one of them asks
    if failure != "switchover":
        assert set(outcome.told) & {"database_away", "outcome_unknown"}
    if failure != "disk frozen":
        assert STALE not in outcome.told


@pytest.mark.parametrize("way", ["haproxy", "pgbouncer"])
def test_neither_is_it_through_proxies(cluster: Cluster, scene: str, way: str) -> None:
    outcome = storm(cluster, scene, FAILURES["machine killed"], way)

    assert set(outcome.told) & {"database_away", "outcome_unknown"}
    assert STALE not in outcome.told
