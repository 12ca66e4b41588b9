"""A cluster for all tests here, which leave it whole."""

import os
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, run_cluster
from tests.cluster.storm import prepare
from tests.support.databases import MissingServerError
from tests.support.missing import missing

# they take ten minutes: only where they are asked for
collect_ignore_glob = [] if os.environ.get("TEST_CLUSTER") else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of three servers."""
    try:
        with run_cluster() as cluster:
            yield cluster
    except MissingServerError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def scene(cluster: Cluster) -> str:
    """The name of a database on it that storms copy."""
    return prepare(cluster)
