"""What /metrics says, by name and labels."""

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, ...], float]
"""Each sample by its name, and the values of its labels in the order of their names."""


def read_metrics(url: str, **headers: str) -> Samples:
    """Returns the samples of a server."""
    answer = httpx.get(f"{url}/metrics", headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }
