"""Runs a cluster until Ctrl-C (make cluster), or storms on one: python -m tests.cluster storm [ROUNDS] [WAY]."""

import signal
import sys
from collections import Counter
from contextlib import suppress
from itertools import cycle, islice
from threading import Event

from tests.cluster.cluster import run_cluster
from tests.cluster.failures import FAILURES
from tests.cluster.storm import Outcome, prepare, storm
from tests.support.databases import MissingServerError


def main(arguments: list[str]) -> None:
    """Prints what a user or a reader of docs/cluster.md needs."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            if arguments[:1] == ["storm"]:
                _storm(int(arguments[1]) if arguments[1:] else 10, *arguments[2:3])
            else:
                _serve()
    except MissingServerError as error:
        sys.exit(str(error))


def _serve() -> None:
    _print("Starting three servers ...")
    with run_cluster() as cluster:
        some = next(iter(cluster.nodes.values()))
        _print("The cluster is running; its data is thrown away at the end. Serve on it, in another terminal:")
        _print(f"  DATABASE_URL='{cluster.url()}' make run")
        _print("Who is the primary, and another one instead:")
        _print(f"  patronictl -c {some.folder}/patroni.yml list")
        _print(f"  patronictl -c {some.folder}/patroni.yml switchover --force")
        _print("Ctrl-C stops it.")
        Event().wait()


def _storm(rounds: int, way: str = "hosts") -> None:
    with run_cluster() as cluster:
        scene = prepare(cluster)
        _print("| failure | way | seconds without a write | acknowledged | lost, doubled, violated | told meanwhile |")
        _print("|---|---|---|---|---|---|")
        for failure in islice(cycle(FAILURES.values()), rounds):
            _print(_row(storm(cluster, scene, failure, way)))


def _row(outcome: Outcome) -> str:
    told = ", ".join(f"{number} {what}" for what, number in Counter(outcome.told).most_common())
    return (
        f"| {outcome.failure} | {outcome.way} | {outcome.gap_seconds:.1f} | {outcome.acknowledged} | 0, 0, 0 | {told} |"
    )


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
