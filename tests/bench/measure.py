"""One run: the routes in every series, contention, and growth."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from api.actor import SERVER
from api.cli.owner import console
from api.database.embedded import run_embedded
from tests.bench import servers
from tests.bench.load import Figure, Load
from tests.bench.routes import CONTENTIONS, ROUTES, bare_script, function_script
from tests.bench.world import Size, World
from tests.support.acting import call, one

CROWD = 64
"""How many connections want the same thing."""

DASHBOARDS = ("utilisation_by_day", "system_stats")
"""The dearest figures: measured without HTTP, over a year."""

TIMES = 3
"""How often a dashboard is asked for."""


@dataclass(frozen=True)
class Run:
    """What a run found."""

    routes: list[Figure]
    contention: list[Figure]
    growth: list[Figure]
    heap_only: float
    """The share of heartbeats that no index had to know of."""


def measure(seconds: int, sizes: list[Size], warm_up: int = 1) -> Run:
    """Measures the routes at the first size, and how they slow down at the others.

    Each measurement takes these seconds, after a warm-up. Ends with a sentence where a program
    is missing or an answer is an error.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("The load comes from wrk, which is missing (Debian: apt install wrk).")
    # as the product runs it: the tests' own server does not wait for its disk
    with tempfile.TemporaryDirectory(prefix="bench-") as name, run_embedded(Path(name)) as server_url:
        bench = _Bench(Path(name), server_url, seconds, warm_up)
        world = bench.fill("routes", sizes[0])
        world.make_bare()
        before = _heartbeats(world)
        routes = _told(bench.routes(world))
        updates, heap_only = (after - counted for after, counted in zip(_heartbeats(world), before, strict=True))
        contention = _told(bench.contention(world))
        growth = _told(bench.growth([bench.fill("growth", size) for size in sizes]))
        return Run(routes, contention, growth, heap_only / updates)


class _Bench:
    """The embedded server, and how long to measure."""

    def __init__(self, folder: Path, server_url: str, seconds: int, warm_up: int) -> None:
        self._folder = folder
        self._url = server_url
        self._load = Load(seconds, warm_up, servers.postgres(folder))

    def fill(self, name: str, size: Size) -> World:
        console.print(f"Filling a database: {size.vouchers:,} vouchers ...")
        return World(self._url, f"{name}_{size.vouchers}", size)

    def routes(self, world: World) -> Iterator[Figure]:
        """Every route in every series."""
        with ExitStack() as stack:
            running = {
                "framework": stack.enter_context(servers.framework(world.url)),
                "express": stack.enter_context(servers.express(world.variables())),
                "api": stack.enter_context(servers.portal(world.url, self._folder / "portal")),
            }
            if shutil.which("postgrest"):
                running["data-api"] = stack.enter_context(
                    servers.portal_on_data_api(world.url, self._folder / "portal")
                )
            for route in ROUTES:
                for series, server in running.items():
                    yield self._http(route.name, series, server, world)
                for series, script in {"sql": function_script(route), "bare": bare_script(route)}.items():
                    yield self._load.sql(route.name, series, script, world.url, world.variables(route.name))

    def contention(self, world: World) -> Iterator[Figure]:
        """A crowd that wants one thing, and one in which each wants its own."""
        for contention in CONTENTIONS:
            for things in (1, CROWD):
                variables = world.variables(contention.name) | {"of": str(things)}
                yield self._load.sql(
                    contention.name, f"{things} {contention.things}", contention.statement, world.url, variables, CROWD
                )

    def growth(self, worlds: list[World]) -> Iterator[Figure]:
        """The routes through the API, and the dashboards, at the sizes of these worlds.

        One size right after the other, for the machine may have more to do at another time.
        """
        with ExitStack() as stack:
            servers_of = [
                (world, stack.enter_context(servers.portal(world.url, self._folder / "portal"))) for world in worlds
            ]
            for route in ROUTES:
                for world, server in servers_of:
                    yield self._http(route.name, _size(world), server, world)
        for name in DASHBOARDS:
            for world in worlds:
                times = _dashboard_ms(world, name)
                middle = statistics.median(times)
                yield Figure(name, _size(world), 1000 / middle, middle, max(times), None, None)

    def _http(self, route: str, series: str, server: servers.Running, world: World) -> Figure:
        return self._load.http(route, series, server, partial(world.variables, route))


def _size(world: World) -> str:
    return f"{world.size.vouchers:,} vouchers"


def _dashboard_ms(world: World, name: str) -> list[float]:
    """How long a dashboard took, each time."""
    times = []
    with psycopg.connect(world.url, autocommit=True) as connection:
        for _ in range(TIMES):
            began = time.perf_counter()
            if name == "system_stats":
                call(connection, SERVER, name, from_day=one(connection, "select current_date - 364"))
            else:
                connection.execute("select * from stats.utilisation_by_day where day > current_date - 365").fetchall()
            times.append((time.perf_counter() - began) * 1000)
    return times


def _heartbeats(world: World) -> tuple[int, int]:
    """How many sessions were updated, and how many of these updates were heap-only."""
    with psycopg.connect(world.url) as connection:
        found = connection.execute(
            "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables"
            " where relid = 'public.presence_sessions'::regclass"
        ).fetchone()
    assert found
    return found[0], found[1]


def _told(figures: Iterable[Figure]) -> list[Figure]:
    """The figures, each printed as soon as it is there."""
    found = []
    for figure in figures:
        console.print(f"{figure.route}, {figure.series}: {figure.rps:,.0f} a second")
        found.append(figure)
    return found
