"""Every table, caller and operation, by trying the operation. tables.yaml holds the expectations."""

import re
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
import yaml
from psycopg import sql

from tests.access.actors import CALLERS, acting

EXPECTED: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("tables.yaml").read_text())

WRITES: dict[str, LiteralString] = {
    "insert": "insert into {table} default values",
    "update": "update {table} set {column} = {column}",
    "delete": "delete from {table}",
}


def identifier(table: str) -> sql.Identifier:
    """Returns the name of a table; the schema is public unless the name contains one."""
    return sql.Identifier(*(table if "." in table else f"public.{table}").split("."))


def key(table: str) -> sql.Composable:
    """Returns what identifies a row: its ctid, or, because rows of views have none, all its columns."""
    schema, _, name = table.rpartition(".")
    is_view = schema == "stats" or name.endswith("_facts") or name in ("statement_lines", "unsettled_fee_events")
    return sql.SQL("{}::text").format(sql.Identifier(name)) if is_view else sql.SQL("ctid::text")


def test_every_table_and_view_has_expectations(world: psycopg.Connection) -> None:
    found = world.execute(
        "select case nspname when 'public' then relname else nspname || '.' || relname end "
        "from pg_class join pg_namespace n on n.oid = relnamespace "
        "where nspname in ('public', 'private', 'stats') and relkind in ('r', 'p', 'v', 'm', 'f') "
        "and not relispartition"
    ).fetchall()
    assert {name for (name,) in found} == set(EXPECTED)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("table", EXPECTED)
def test_select(world: psycopg.Connection, table: str, caller: str) -> None:
    cell = EXPECTED[table][CALLERS[caller].column]
    if cell == "refused":
        assert_denied(world, caller, sql.SQL("select {} from {}").format(key(table), identifier(table)), table)
        return

    name = sql.SQL(EXPECTED[table]["rows"])
    rows: list[tuple[str, str]] = world.execute(
        sql.SQL("select {}, {} from {}").format(key(table), name, identifier(table))
    ).fetchall()
    named = dict(rows)
    names = {"none": set(), "all": set(named.values())}.get(cell, set(cell.split()))
    assert rows, "the world has none"
    assert names <= set(named.values()), "the world has no such rows"

    with acting(world, CALLERS[caller]):
        seen = [row for (row,) in world.execute(sql.SQL("select {} from {}").format(key(table), identifier(table)))]
    assert sorted(named[row] for row in seen) == sorted(name for _, name in rows if name in names)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("table", EXPECTED)
def test_nobody_writes(world: psycopg.Connection, table: str, operation: str, caller: str) -> None:
    described = world.execute(sql.SQL("select * from {} limit 0").format(identifier(table))).description
    assert described
    statement = sql.SQL(WRITES[operation]).format(table=identifier(table), column=sql.Identifier(described[0].name))
    assert_denied(world, caller, statement, table)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", ["select", *WRITES])
def test_nobody_accesses_a_partition_directly(world: psycopg.Connection, operation: str, caller: str) -> None:
    """Events are read through the table: the partitions have no policies."""
    partitions = world.execute(
        "select relnamespace::regnamespace || '.' || relname from pg_class where relispartition and relkind = 'r'"
    ).fetchall()
    assert len(partitions) >= 5
    statement = {"select": "select from {table}"}.get(operation) or WRITES[operation]
    for (table,) in partitions:
        composed = sql.SQL(statement).format(table=identifier(table), column=sql.Identifier("id"))
        assert_denied(world, caller, composed, table)


def assert_denied(world: psycopg.Connection, caller: str, statement: sql.Composed, table: str) -> None:
    """Permission is denied for this table or its schema, or this is a view that nobody can write."""
    schema, _, name = table.rpartition(".")
    refusals = (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.FeatureNotSupported,
    )
    with pytest.raises(refusals) as denied, acting(world, CALLERS[caller]):
        world.execute(statement)
    message = denied.value.diag.message_primary or ""
    # PostgreSQL may name a view on which this view is built
    assert message in (
        f"permission denied for table {name}",
        f"permission denied for view {name}",
        f"permission denied for schema {schema}",
    ) or re.fullmatch(r'cannot (insert into|update|delete from) (column "\w+" of )?view "\w+"', message)
