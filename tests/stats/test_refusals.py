"""Which callers may ask for figures, and for which days, by calling the functions directly."""

from collections.abc import Iterator

import psycopg
import pytest

from api.actor import SERVER, Actor
from tests.stats.test_empty import FUNCTIONS
from tests.support.acting import call, call_or_reason, one, thinker


@pytest.fixture(scope="module")
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """As superuser, in autocommit mode; nothing is written."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    ("from_day", "to_day"),
    [
        ("2026-02-02", "2026-02-01"),
        ("2023-01-01", "2026-01-01"),
        ("0001-01-01", "9999-12-31"),
        ("-infinity", "2026-01-01"),
        ("2026-01-01", "infinity"),
        ("-infinity", "infinity"),
        ("infinity", "infinity"),
        (None, "infinity"),
        (None, "-infinity"),
        ("infinity", None),
        ("0001-12-31 BC", "0001-01-01"),
        ("4713-01-01 BC", None),
        (None, "0044-03-15 BC"),
        ("9999-12-31", "10000-01-01"),
        ("10000-01-01", "10000-01-02"),
        (None, "10000-01-01"),
        (None, "5874897-12-31"),
        # 30 days that would begin before the first year
        (None, "0001-01-29"),
        ("9999-01-01", None),
    ],
)
def test_an_invalid_period_is_refused(connection: psycopg.Connection, from_day: str | None, to_day: str | None) -> None:
    answers = {
        function: call_or_reason(connection, SERVER, function, from_day=from_day, to_day=to_day)
        for function in FUNCTIONS
    }
    assert answers == dict.fromkeys(FUNCTIONS, "days_invalid")


@pytest.mark.parametrize(
    ("from_day", "to_day"),
    [
        ("2026-02-01", "2026-02-01"),
        # 1,096 days
        ("2023-01-01", "2025-12-31"),
        ("0001-01-01", "0001-01-01"),
        ("9999-12-31", "9999-12-31"),
        ("9997-01-01", "9999-12-31"),
    ],
)
def test_the_longest_and_the_outermost_periods(connection: psycopg.Connection, from_day: str, to_day: str) -> None:
    for function in FUNCTIONS:
        answer = call(connection, SERVER, function, from_day=from_day, to_day=to_day)
        assert (answer["from_day"], answer["to_day"]) == (from_day, to_day), function


def test_the_earliest_end_of_30_days(connection: psycopg.Connection) -> None:
    assert call(connection, SERVER, "fee_stats", to_day="0001-02-01")["from_day"] == "0001-01-03"
    assert one(connection, "select date '0001-02-01' - date '0001-01-03'") == 29


@pytest.mark.parametrize(
    "actor",
    [
        thinker("ann"),
        thinker("ann", "lender"),
        thinker("ann", "notary"),
        thinker("ann", "lender", "notary"),
        thinker("ann", "Admin"),
        thinker("togethersystems"),
        Actor("authenticated", None),
    ],
    ids=str,
)
def test_only_admins_may(connection: psycopg.Connection, actor: Actor) -> None:
    for function in FUNCTIONS:
        assert call_or_reason(connection, actor, function) == "not_an_admin", function
        # refused before the days are checked
        assert call_or_reason(connection, actor, function, from_day="infinity") == "not_an_admin", function


def test_a_lender_may_not(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into public.thinkers (id, public_id, roles) values"
            " (private.thinker_id('lena'), 'lena', '{lender,notary}'), (private.thinker_id('ada'), 'ada', '{admin}')"
        )
        for function in FUNCTIONS:
            assert call_or_reason(connection, thinker("lena"), function) == "not_an_admin"
            assert call(connection, thinker("ada"), function) == call(connection, SERVER, function)
            assert call(connection, thinker("olga", "admin"), function) == call(connection, SERVER, function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_anon_may_not_call_it(connection: psycopg.Connection, function: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"function {function}"):
        call(connection, Actor("anon"), function)
