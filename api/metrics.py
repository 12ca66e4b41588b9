"""What Prometheus reads of the server processes and of the database (docs/monitoring.md, "Metrics").

Several processes write into files of a folder that they share, and whichever is asked adds them up.
"""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sized
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.actor import SERVER
from api.errors import ApiError
from api.gateway import Row
from api.gateway.shares import Shares, Usage

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder; prometheus_client reads it when it is imported."""

_MEMORY = Path("/dev/shm")  # noqa: S108

_GAUGES = "gauge_livesum"
_FILES = ("counter", "histogram", _GAUGES)
"""What prometheus_client writes of a process, each into a file that it maps into its memory."""

_FILE_BYTES = 2**20
"""What is reserved of each: more than all routes need."""

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}
"""Those that are told apart. A client may choose any other: each would be a series for ever, and a long line."""

_UPGRADED = 101

_SECONDS = 1.0
"""How often a process writes its gauges."""

_FIGURES_SECONDS = 5.0
"""How long the figures of the database are used again."""

disable_created_metrics()  # type: ignore[no-untyped-call]


def shared_folder(processes: int) -> TemporaryDirectory[str]:
    """A folder for the files of so many processes: in memory, or where that has no space on the disk."""
    with suppress(OSError):
        if shutil.disk_usage(_MEMORY).free > 2 * processes * len(_FILES) * _FILE_BYTES:
            return TemporaryDirectory(prefix="portal-metrics-", dir=_MEMORY)
    return TemporaryDirectory(prefix="portal-metrics-")


def reserve(folder: Path, number: int) -> None:
    """Make the files of the process of this number. If they are there from one that has died, its counters go on.

    They have no holes: where the disk has no space for one, writing into it would kill the process.
    """
    folder.mkdir(mode=0o700, exist_ok=True)  # systemd deletes what a user who has logged out has in memory
    for name in _FILES:
        file = folder / f"{name}_{number}.db"
        if not file.exists():
            file.write_bytes(bytes(_FILE_BYTES))
        elif name == _GAUGES:
            with file.open("r+b") as gauges:
                gauges.write(bytes(8))  # how much of the file is used


def write_as(number: int) -> None:
    """Write what this process counts into the files of this number."""
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


class Metrics:
    """The requests of this process, and how busy it is."""

    def __init__(self, usage: Usage) -> None:
        """Begin with nothing, in this process's files where there is a folder."""
        self._usage = usage
        self._registry = CollectorRegistry()
        of_request = ("method", "route", "status")
        self._requests = Counter(
            "portal_requests", "Requests that were answered, and WebSockets that ended.", of_request,
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "portal_request_seconds", "From the head of a request to the end of its answer.", of_request[:2],
            registry=self._registry,
        )  # fmt: skip
        self._limited = Counter(
            "portal_rate_limited", "Requests that a rate limit refused.", ("limit",), registry=self._registry
        )
        self._connections = self._gauge("portal_connections", "Open connections of clients.")
        self._calls = self._gauge("portal_calls", "Calls of the database that are being made.")
        self._waiting = self._gauge("portal_calls_waiting", "Calls that wait until others have ended.")
        self._calls_limit = self._gauge("portal_calls_limit", "How many calls can be made at once.")
        # finding a child by its labels takes longer than counting
        self._known: dict[tuple[str, str, int | None], tuple[Counter, Histogram]] = {}

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry, multiprocess_mode="livesum")

    def count(self, method: str, route: str, status: int | None, seconds: float) -> None:
        """Count a request that has ended, without an answer if its status is None."""
        key = method, route, status
        requests, latency = self._known.get(key) or self._child(*key)
        requests.inc()
        if status != _UPGRADED:
            latency.observe(seconds)

    def _child(self, method: str, route: str, status: int | None) -> tuple[Counter, Histogram]:
        label = "none" if status is None else str(status)
        child = self._requests.labels(method, route, label), self._seconds.labels(method, route)
        self._known[method, route, status] = child
        return child

    def refuse(self, limit: str) -> None:
        """Count a request that the rate limit of this name refused."""
        self._limited.labels(limit).inc()

    @asynccontextmanager
    async def watching(self, connections: Sized) -> AsyncIterator[None]:
        """Write each second how many connections there are, and calls."""
        task = asyncio.create_task(self._watch(connections))
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self, connections: Sized) -> None:
        while True:
            self._connections.set(len(connections))
            self._calls.set(self._usage.calls)
            self._waiting.set(self._usage.waiting)
            self._calls_limit.set(self._usage.most)
            await asyncio.sleep(_SECONDS)

    def text(self) -> bytes:
        """The metrics of all processes, in Prometheus' format."""
        folder = os.environ.get(FOLDER)
        if folder is None:
            return generate_latest(self._registry)
        everywhere = CollectorRegistry()
        MultiProcessCollector(everywhere, folder)  # type: ignore[no-untyped-call]
        return generate_latest(everywhere)


class Figures:
    """What the database says of jobs, invariants, fees and its size; it is asked every few seconds at most."""

    def __init__(self, shares: Shares) -> None:
        """Take the calls."""
        self._shares = shares
        self._asking: asyncio.Task[Row | None] | None = None
        self._valid_until = 0.0

    async def read(self) -> Row | None:
        """The figures, some seconds old at most; None if the database does not answer."""
        if self._asking is None or (self._asking.done() and time.monotonic() >= self._valid_until):
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Row | None:
        try:
            calls = self._shares.of(is_operator=True, is_read=True)
            figures: Row = await calls.call("system_metrics", SERVER)
        except ApiError:
            return None
        else:
            return figures
        finally:
            self._valid_until = time.monotonic() + _FIGURES_SECONDS


def figures_text(figures: Row | None, folder: Path) -> bytes:
    """The figures of the database, and of the disk of a folder, in Prometheus' format."""
    registry = CollectorRegistry()
    registry.register(_Gauges([*_of_disk(folder), *_of_database(figures)]))
    return generate_latest(registry)


class _Gauges(Collector):
    def __init__(self, gauges: list[GaugeMetricFamily]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._gauges


def _gauge(name: str, meaning: str, values: Mapping[str, float | None] | float | None, label: str = "") -> Any:
    """A gauge with a value, or with one for each value of a label; without what is None."""
    gauge = GaugeMetricFamily(name, meaning, labels=[label] if label else [])
    for of, value in (values if isinstance(values, Mapping) else {"": values}).items():
        if value is not None:
            gauge.add_metric([of] if label else [], value)
    return gauge


def _of_disk(folder: Path) -> Iterable[GaugeMetricFamily]:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    disk = shutil.disk_usage(existing)
    yield _gauge("portal_disk_free_bytes", "Free on the disk of DATA_DIR.", disk.free)
    yield _gauge("portal_disk_size_bytes", "The size of that disk.", disk.total)


def _of_database(figures: Row | None) -> Iterable[GaugeMetricFamily]:
    yield _gauge("portal_database_up", "Whether the database has answered.", float(figures is not None))
    if figures is None:
        return
    jobs, fees = figures["jobs"], figures["unsettled_fees"]
    for name, field, meaning in (
        ("portal_job_last_success_age_seconds", "age", "Since the last successful run of a job began."),
        ("portal_job_late", "is_late", "Whether a job is late."),
        ("portal_job_failing", "is_failing", "Whether the last run of a job failed."),
    ):
        yield _gauge(name, meaning, {job["name"]: job[field] for job in jobs}, "name")
    violated = figures["violated"]
    meaning = "Rows that violate an invariant, of those that the last check found violated."
    yield _gauge("portal_invariant_violations", meaning, violated or {}, "name")
    meaning = "How many invariants the last check (the job check-invariants) found violated."
    yield _gauge("portal_invariants_violated", meaning, None if violated is None else len(violated))
    for name, field, meaning in (
        ("portal_unsettled_fees_cents", "cents", "Fee events in no settlement, in minor units."),
        ("portal_unsettled_fees_age_seconds", "age", "The age of the oldest charge, but for payers in credit."),
    ):
        yield _gauge(name, meaning, {fee["currency"]: fee[field] for fee in fees}, "currency")
    yield _gauge("portal_event_partitions", "Partitions of the log of events.", figures["partitions"])
    yield _gauge("portal_database_size_bytes", "The size of the database.", figures["bytes"])
