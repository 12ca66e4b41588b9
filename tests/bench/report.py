"""The tables of a run, and the comparison of two."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

from api.cli.owner import console
from api.cli.tables import Row, Table
from tests.bench.load import Figure
from tests.bench.measure import Run
from tests.bench.routes import ROUTES

Figures = dict[tuple[str, str], Figure]
"""By route and series."""


def show(run: Run) -> None:
    """Prints the tables, ratios first."""
    figures = _by_name(run.routes)
    console.print()
    _print(
        ("route", *(name for name, _ in _RATIOS)),
        ((route.name, *(_rounded(ratio(figures, route.name)) for _, ratio in _RATIOS)) for route in ROUTES),
    )
    console.print("ideal: 1 / (1/sql + 1/framework), as if nothing else took time; by cpu: the same of CPU a request\n")
    _print(
        ("64 connections", "on one", "on 64", "ratio"),
        ((one.route, f"{one.rps:,.0f}", other.series, _rounded(one.rps / other.rps)) for one, other in _pairs(run)),
    )
    console.print()
    _print(("growth", "series", "p50 ms", "to the smallest", "cpu ms", "to the smallest"), _growth(run.growth))
    console.print(f"\nheartbeats that are heap-only updates: {run.heap_only:.3f}\n")
    _print_figures(run.routes)


def _pairs(run: Run) -> Iterable[tuple[Figure, Figure]]:
    return list(pairwise(run.contention))[::2]


def _growth(figures: list[Figure]) -> Iterable[tuple[str, ...]]:
    for route in dict.fromkeys(figure.route for figure in figures):
        sizes = [figure for figure in figures if figure.route == route]
        for size in sizes:
            cpu, smallest = _cpu(size), _cpu(sizes[0])
            yield (
                *(route, size.series, _rounded(size.p50_ms), _rounded(size.p50_ms / sizes[0].p50_ms)),
                *(_rounded(cpu or None), _rounded(cpu / smallest if smallest else None)),
            )


def _print_figures(figures: Iterable[Figure]) -> None:
    _print(
        ("route", "series", "requests/s", "p50 ms", "p99 ms", "API cpu ms", "DB cpu ms"),
        (
            (
                figure.route,
                figure.series,
                f"{figure.rps:,.0f}",
                *map(_rounded, (figure.p50_ms, figure.p99_ms, figure.api_cpu_ms, figure.db_cpu_ms)),
            )
            for figure in figures
        ),
    )


def write(file: Path, run: Run) -> None:
    """Writes the figures for `compare`."""
    figures = [asdict(figure) for figure in (*run.routes, *run.contention, *run.growth)]
    file.write_text(json.dumps(figures, indent=1) + "\n")


def compare(first: Path, second: Path) -> None:
    """Prints the second run beside the first, ratios first: what both measured."""
    a, b = (_by_name(Figure(**row) for row in json.loads(file.read_text())) for file in (first, second))
    _print(
        ("route", *(name for name, _ in _RATIOS)),
        (
            (
                route.name,
                *(f"{_rounded(ratio(a, route.name))} > {_rounded(ratio(b, route.name))}" for _, ratio in _RATIOS),
            )
            for route in ROUTES
        ),
    )
    console.print()
    _print(
        ("route", "series", "B / A", "requests/s", "p50 ms", "p99 ms", "cpu ms"),
        (
            (
                *name,
                _rounded(b[name].rps / a[name].rps),
                f"{a[name].rps:,.0f} > {b[name].rps:,.0f}",
                f"{a[name].p50_ms:.2f} > {b[name].p50_ms:.2f}",
                f"{a[name].p99_ms:.2f} > {b[name].p99_ms:.2f}",
                f"{_cpu(a[name]):.2f} > {_cpu(b[name]):.2f}",
            )
            for name in a
            if name in b
        ),
    )


def _by_name(figures: Iterable[Figure]) -> Figures:
    return {(figure.route, figure.series): figure for figure in figures}


def _cpu(figure: Figure) -> float:
    """The CPU time of a request, of the API and of the database."""
    return (figure.api_cpu_ms or 0) + (figure.db_cpu_ms or 0)


def _quotient(figures: Figures, route: str, series: str, other: str) -> float:
    return figures[route, series].rps / figures[route, other].rps


def _cpu_quotient(figures: Figures, route: str, series: str, *others: str) -> float:
    """What the others take of the CPU that the series takes."""
    return sum(_cpu(figures[route, other]) for other in others) / _cpu(figures[route, series])


def _of_ideal(figures: Figures, route: str) -> float:
    return _quotient(figures, route, "api", "sql") + _quotient(figures, route, "api", "framework")


_RATIOS: tuple[tuple[str, Callable[[Figures, str], float]], ...] = (
    ("api / ideal", _of_ideal),
    ("by cpu", lambda figures, route: _cpu_quotient(figures, route, "api", "sql", "framework")),
    ("sql / bare", lambda figures, route: _quotient(figures, route, "sql", "bare")),
    ("by cpu", lambda figures, route: _cpu_quotient(figures, route, "sql", "bare")),
    ("api / express", lambda figures, route: _quotient(figures, route, "api", "express")),
    ("by cpu", lambda figures, route: _cpu_quotient(figures, route, "api", "express")),
    ("p99 / p50", lambda figures, route: figures[route, "api"].p99_ms / figures[route, "api"].p50_ms),
)


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _print(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    Table(console, *names, numbers=set(names) - {names[0], "series"}).print([Row(cells) for cells in rows])
