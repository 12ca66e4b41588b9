"""Every table, caller and operation, by trying the operation. tables.yaml holds the expectations."""

import re
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.access.actors import CALLERS, acting
from tests.support.yaml_file import read_yaml

EXPECTED: dict[str, dict[str, str]] = read_yaml(Path(__file__).with_name("tables.yaml"))

WRITES: dict[str, LiteralString] = {
    "insert": "insert into {table} default values",
    "update": "update {table} set {column} = {column}",
    "delete": "delete from {table}",
}


def identifier(table: str) -> sql.Identifier:
    """Returns the name of a table; the schema is public unless the name contains one."""
    return sql.Identifier(*(table if "." in table else f"public.{table}").split("."))


def key(world: psycopg.Connection, table: str) -> sql.Composable:
    """Returns what identifies a row: its ctid, or, because rows of views have none, all its columns."""
    name = identifier(table).as_string()
    [(is_view,)] = world.execute("select relkind = 'v' from pg_class where oid = %s::regclass", (name,)).fetchall()
    return sql.SQL("{}::text").format(sql.Identifier(table.split(".")[-1])) if is_view else sql.SQL("ctid::text")


def test_every_table_and_view_has_expectations(world: psycopg.Connection) -> None:
    found = world.execute(
        "select case nspname when 'public' then relname else nspname || '.' || relname end "
        "from pg_class join pg_namespace n on n.oid = relnamespace "
        "where nspname in ('public', 'private', 'stats') and relkind in ('r', 'p', 'v', 'm', 'f') "
        "and not relispartition"
    ).fetchall()
    assert {name for (name,) in found} == set(EXPECTED)


@pytest.mark.parametrize("table", EXPECTED)
def test_select(world: psycopg.Connection, table: str) -> None:
    rows: list[tuple[str, str]] = world.execute(
        sql.SQL("select {}, {} from {}").format(key(world, table), sql.SQL(EXPECTED[table]["rows"]), identifier(table))
    ).fetchall()
    expected = {name: expected_rows(EXPECTED[table][caller.column], rows) for name, caller in CALLERS.items()}

    named = dict(rows)
    select = sql.SQL("select {} from {}").format(key(world, table), identifier(table))
    seen: dict[str, list[str] | None] = {}
    for name, caller in CALLERS.items():
        try:
            with acting(world, caller):
                seen[name] = sorted(named[row] for (row,) in world.execute(select))
        except psycopg.Error as error:
            assert_denied(error, table)
            seen[name] = None
    assert seen == expected


def expected_rows(cell: str, rows: list[tuple[str, str]]) -> list[str] | None:
    """Returns the sorted names of the rows that a cell of tables.yaml means; None where it says `refused`."""
    if cell == "refused":
        return None
    assert rows, "the world has none"
    every = {name for _, name in rows}
    names = {"none": set(), "all": every}.get(cell, set(cell.split()))
    assert names <= every, "the world has no such rows"
    return sorted(name for _, name in rows if name in names)


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("table", EXPECTED)
def test_nobody_writes(world: psycopg.Connection, table: str, operation: str) -> None:
    described = world.execute(sql.SQL("select * from {} limit 0").format(identifier(table))).description
    assert described
    statement = sql.SQL(WRITES[operation]).format(table=identifier(table), column=sql.Identifier(described[-1].name))
    assert callers_who_may(world, statement, table) == []


@pytest.mark.parametrize("operation", ["select", *WRITES])
def test_nobody_accesses_a_partition_directly(world: psycopg.Connection, operation: str) -> None:
    """Events are read through the table: the partitions have no policies."""
    partitions = world.execute(
        "select relnamespace::regnamespace || '.' || relname from pg_class where relispartition and relkind = 'r'"
    ).fetchall()
    assert len(partitions) >= 5
    statement = {"select": "select from {table}"}.get(operation) or WRITES[operation]
    for (table,) in partitions:
        composed = sql.SQL(statement).format(table=identifier(table), column=sql.Identifier("id"))
        assert callers_who_may(world, composed, table) == [], table


def callers_who_may(world: psycopg.Connection, statement: sql.Composed, table: str) -> list[str]:
    """Returns the callers that have the permission for the statement."""
    found = []
    for name, caller in CALLERS.items():
        try:
            with acting(world, caller):
                world.execute(statement)
            found.append(name)
        except psycopg.Error as error:
            assert_denied(error, table)
    return found


def assert_denied(error: psycopg.Error, table: str) -> None:
    """Permission is denied for this table or its schema, or this is a view that nobody can write."""
    schema, _, name = table.rpartition(".")
    message = error.diag.message_primary or ""
    refusals = (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.FeatureNotSupported,
    )
    assert isinstance(error, refusals), message
    # PostgreSQL may name a view on which this view is built
    assert message in (
        f"permission denied for table {name}",
        f"permission denied for view {name}",
        f"permission denied for schema {schema}",
    ) or re.fullmatch(r'cannot (insert into|update|delete from) (column "\w+" of )?view "\w+"', message)
