"""Each figure of each view and function equals the one that Python computes from the same rows."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from functools import partial
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from api.actor import SERVER
from tests.stats.reckoning import DAY, Books, Row
from tests.stats.world import DAYS, ZONES, in_zone
from tests.support.acting import act, one
from tests.support.days import portal_today

pytestmark = pytest.mark.clock

# the quick tests try two zones, west and east of UTC
ZONE = pytest.mark.parametrize(
    "zone", [*ZONES[:2], *[pytest.param(zone, marks=pytest.mark.slow) for zone in ZONES[2:]]]
)

PERIODS = {
    "today": (0, 0),
    "a day": (-40, -40),
    "30 days": (-29, 0),
    "the whole": (-1000, 0),
    "before the first row": (-1000, -DAYS - 10),
    "around the first row": (-DAYS - 10, -DAYS + 30),
    "ends in the future": (-3, 300),
    "all in the future": (1, 300),
}
"""Days from today on."""


def plain(row: Row) -> Row:
    """Converts to JSON values: exact numbers, and texts for types that JSON lacks."""
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, (date, datetime, UUID)):
        return str(value)
    return value


def sorted_lists(answer: Row) -> Row:
    """Returns the lists sorted."""
    return {
        key: sorted(value, key=lambda row: json.dumps(row, sort_keys=True, default=str))
        if isinstance(value, list)
        else value
        for key, value in answer.items()
    }


def counted(rows: Iterable[Row]) -> Counter[tuple[tuple[str, object], ...]]:
    return Counter(tuple(sorted(row.items())) for row in rows)


def read(connection: psycopg.Connection, view: str) -> list[Row]:
    """Returns all rows of a view of the schema stats."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql.SQL("select * from stats.{}").format(sql.Identifier(view))).fetchall()


def test_python_computes_every_view(world: psycopg.Connection) -> None:
    views = {name for (name,) in world.execute("select viewname from pg_views where schemaname = 'stats'")}
    with world.transaction():
        assert views == {"invariants", *Books(world).views()}


def test_the_world_has_rows_for_every_view(world: psycopg.Connection) -> None:
    with world.transaction():
        books = Books(world)
    few = {name: rows for name, view in books.views().items() if len(rows := view()) < 3}
    assert few.keys() == {"presence_now"}
    assert few["presence_now"][0]["online"] not in (0, len(books.sessions))
    assert len(books.days) == DAYS + 1
    assert len(books.utilisation_by_day()) > 200


@ZONE
def test_views(world: psycopg.Connection, zone: str) -> None:
    with in_zone(world, zone):
        books = Books(world)
        for name, view in books.views().items():
            assert counted(read(world, name)) == counted(view()), name


@ZONE
@pytest.mark.parametrize("period", PERIODS)
def test_functions(world: psycopg.Connection, zone: str, period: str) -> None:
    with in_zone(world, zone):
        books = Books(world)
        first, last = (books.today + n * DAY for n in PERIODS[period])
        for function, expected in books.answers(first, last).items():
            answer = act(world, SERVER, function, from_day=first, to_day=last)
            if function == "system_stats":
                # tests/jobs covers an installed one
                assert answer.pop("clock") is False
                shown = {name: answer.pop(name) for name in ("jobs", "invariants")}
                for name, rows in shown.items():
                    assert rows == one(world, f"select jsonb_agg(to_jsonb(v) order by v.name) from stats.{name} v"), (
                        name
                    )
            assert sorted_lists(answer) == sorted_lists(plain(expected)), function


@ZONE
def test_the_default_period_is_the_30_days_that_end_today(world: psycopg.Connection, zone: str) -> None:
    with in_zone(world, zone):
        books = Books(world)
        for function in books.answers(books.today, books.today):
            explicit = act(world, SERVER, function, from_day=books.today - 29 * DAY, to_day=books.today)
            assert act(world, SERVER, function) == explicit
            assert explicit["from_day"] == str(books.today - 29 * DAY)
            assert act(world, SERVER, function, to_day=books.today - DAY)["from_day"] == str(books.today - 30 * DAY)
            assert act(world, SERVER, function, from_day=books.today)["to_day"] == str(books.today)


ORDERS = {
    "presence_stats": {"days": ["day"], "pair_codes": ["-sessions", "-online", "pair_code"]},
    "voucher_stats": {
        "days": ["day"],
        "revenue": ["-bookings", "currency"],
        "revenue_days": ["day", "currency"],
        "templates": ["-offered_minutes", "template_id"],
    },
    "mortgage_stats": {"days": ["day"], "requested": ["-applications", "currency"]},
    "telbank_stats": {
        "totals": ["-transfers", "currency"],
        "flows": ["-transfers", "currency", "network"],
        "days": ["day", "currency", "network"],
    },
    "fee_stats": {
        "owed": ["-owed_cents", "beneficiary_uid", "currency"],
        "receivables": ["-overdue_cents", "-owed_cents", "payer_uid", "beneficiary_uid", "currency"],
        "charged": ["-fee_events", "beneficiary_uid", "currency"],
        "fees": ["-fee_events", "fee_id", "currency"],
        "days": ["day", "currency"],
    },
    "system_stats": {"types": ["-events", "type"], "days": ["day"], "jobs": ["name"], "invariants": ["name"]},
}


@pytest.mark.parametrize("function", ORDERS)
def test_lists_are_sorted(world: psycopg.Connection, function: str) -> None:
    with world.transaction(force_rollback=True):
        answer = act(world, SERVER, function, from_day=portal_today(world) - 1000 * DAY)
        lists = {name for name, value in answer.items() if isinstance(value, list)}
        assert lists == ORDERS[function].keys()
        for name, columns in ORDERS[function].items():
            # sorted by the database, because each language sorts texts differently
            order = ", ".join(f"(r ->> '{c[1:]}')::numeric desc" if c[0] == "-" else f"r ->> '{c}'" for c in columns)
            numbers = one(
                world,
                f"select jsonb_agg(n order by {order}) from jsonb_array_elements(%s) with ordinality u (r, n)",
                Jsonb(answer[name], dumps=partial(json.dumps, default=str)),
            )
            assert len(numbers) > 1, name
            assert numbers == list(range(1, len(numbers) + 1)), name
