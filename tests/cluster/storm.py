"""A storm of bookings while the primary of a cluster fails, and what its clients see of that."""

import http.client
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise
from threading import Event

import psycopg
from psycopg import sql

from api.database.migrations import migrate
from api.errors import ApiError
from tests.cluster.cluster import Cluster
from tests.cluster.failures import Failure
from tests.storms.books import Books, Fate, Progress, check, joined
from tests.storms.scene import set_up
from tests.storms.test_api_storm import IN_PROGRESS, Line, ask_until_heard, book_and_cancel, running
from tests.support.parallel import at_once
from tests.support.pooler import run_pooler
from tests.support.serving import Answer
from tests.support.waiting import wait_until

WORKERS = 8
PAUSE_SECONDS = 0.02
"""Between two requests of a client: else it would have tried all slots before the cluster is whole again."""

MORE = 50
"""Acknowledged writes that are waited for before the failure, after it, and when the cluster is whole again."""

TOLD = {
    ApiError(code).message("de"): code for code in ("database_away", "database_read_only", "busy", "outcome_unknown")
}
"""What a client may be told, with 503, while there is no primary."""


STALE = "stale"
"""What it may be told, too, where a server goes on that was replaced while it stood still (docs/cluster.md)."""


class Watch(Progress):
    """When writes were acknowledged, and what clients were told instead."""

    def __init__(self) -> None:
        super().__init__(0, WORKERS)
        self.is_over = False
        self.moments: list[float] = []
        self.told: list[str] = []

    def begins(self) -> bool:
        return not self.is_over

    def acknowledge(self) -> None:
        self.moments.append(time.monotonic())

    def wait_for_more(self) -> None:
        """Waits for further acknowledged writes."""
        enough = len(self.moments) + MORE
        wait_until(lambda: len(self.moments) >= enough or not self._working, seconds=120)
        assert len(self.moments) >= enough, "the workers have given up"

    def longest_gap(self, since: float) -> float:
        """The longest time without an acknowledged write from a moment on."""
        return max(after - before for before, after in pairwise([since, *(m for m in self.moments if m > since)]))


class WatchedLine(Line):
    """A connection that records the errors it gets instead of answers."""

    def __init__(self, url: str, watch: Watch) -> None:
        up = Event()
        up.set()
        super().__init__(url, up)
        self._watch = watch

    def post(self, path: str, body: dict[str, str], **headers: str) -> Answer | None:
        time.sleep(PAUSE_SECONDS)
        try:
            answer = self._connected().post(path, body, **headers)
        except (OSError, http.client.HTTPException) as error:
            # the server itself stays: it answers whatever its database does
            raise AssertionError("the server has hung up") from error
        if answer.status == 503:
            self._watch.told.append(TOLD[answer.body["error"]])
            return None
        if (answer.status, answer.body.get("error")) == IN_PROGRESS:
            self._watch.told.append("request_in_progress")
            return None
        if answer.status == 404:
            # its own booking: by a primary that was replaced, and does not know so yet
            self._watch.told.append(STALE)
            return None
        return answer


@dataclass(frozen=True)
class Outcome:
    """What a failure cost: nothing was lost or doubled, and no invariant is violated, or there is no outcome."""

    failure: str
    way: str
    gap_seconds: float
    acknowledged: int
    told: Counter[str]


def prepare(cluster: Cluster) -> str:
    """Makes the database that each storm copies, and returns its name."""
    name = "scene"
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    migrate(cluster.url(name))
    set_up(cluster.url(name))
    return name


@contextmanager
def by_hosts(cluster: Cluster, database: str) -> Iterator[str]:
    """A URL that names all servers."""
    yield cluster.url(database)


@contextmanager
def by_proxy(cluster: Cluster, database: str) -> Iterator[str]:
    """Through HAProxy, which asks Patroni who is the primary."""
    with cluster.proxy() as port:
        yield cluster.url_at(port, database)


@contextmanager
def by_pooler(cluster: Cluster, database: str) -> Iterator[str]:
    """Through PgBouncer, which gives each transaction another connection, and HAProxy behind it."""
    with cluster.proxy() as port, run_pooler(cluster.url_at(port, database)) as url:
        yield url


WAYS = {"hosts": by_hosts, "haproxy": by_proxy, "pgbouncer": by_pooler}
"""How the server reaches the primary."""


def storm(cluster: Cluster, template: str, failure: Failure, way: str = "hosts") -> Outcome:
    """Books and cancels through `portal run` while the primary fails, another one takes over, and it comes back.

    Raises AssertionError where an acknowledged write is lost or doubled, or an invariant is violated.
    """
    cluster.wait_until_whole()
    database = f"storm_{secrets.token_hex(4)}"
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        names = map(sql.Identifier, (database, template))
        connection.execute(sql.SQL("create database {} template {} strategy file_copy").format(*names))
    watch = Watch()
    moments: list[float] = []
    with WAYS[way](cluster, database) as url, running(url) as api:

        def work(seed: int) -> Books:
            books, keys = Books(), (f"{seed}-{number}" for number in count())
            line = WatchedLine(api.url, watch)
            with watch.working():
                book_and_cancel(line, partial(ask_until_heard, keys=keys), watch, books, seed)
            line.close()
            return books

        def fail() -> Books:
            try:
                watch.wait_for_more()
                primary = cluster.primary
                assert primary is not None
                moments.append(time.monotonic())
                failure.begin(cluster, primary)
                wait_until(lambda: cluster.primary not in (None, primary), seconds=120)
                watch.wait_for_more()
                failure.mend(primary)
                cluster.wait_until_whole()
                watch.wait_for_more()
            finally:
                watch.is_over = True
            return Books()

        books = joined(at_once([*[partial(work, seed) for seed in range(WORKERS)], fail]))
    check(books, cluster.url(database))
    assert books.of(Fate.UNKNOWN) == 0
    assert set(books.reasons) <= {"Slot nicht verfügbar"}
    return Outcome(failure.name, way, watch.longest_gap(moments[0]), books.of(Fate.ACKNOWLEDGED), Counter(watch.told))
