"""Every function and role of the Data API, by calling the function. functions.yaml holds the expectations."""

import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from api.actor import Actor
from tests.access.actors import CALLERS, acting
from tests.support.yaml_file import read_yaml

EXPECTED: dict[str, list[bool]] = read_yaml(Path(__file__).with_name("functions.yaml"))

# one stranger represents all signed-in thinkers
ROLES = {"anon": "anon", "authenticated": "stranger", "service_role": "service_role"}

OF_SERVERS = [name for name, who in EXPECTED.items() if name.startswith("public.") and who == [False, False, True]]

OURS = "pronamespace::regnamespace::text in ('public', 'private')"


def test_every_function_has_one_expectation(world: psycopg.Connection) -> None:
    found = world.execute(
        "select pronamespace::regnamespace || '.' || proname from pg_proc "
        f"where {OURS} and prorettype <> 'trigger'::regtype order by 1"
    ).fetchall()
    assert [name for (name,) in found] == sorted(EXPECTED)


@pytest.mark.parametrize("function", EXPECTED)
def test_execute(world: psycopg.Connection, function: str) -> None:
    may = dict(zip(ROLES, EXPECTED[function], strict=True))
    assert {role: may_execute(world, function, role) for role in ROLES} == may


@pytest.mark.parametrize("role", ROLES)
def test_nobody_executes_a_trigger_function(world: psycopg.Connection, role: str) -> None:
    found = world.execute(
        f"select oid::regproc::text from pg_proc where {OURS} and prorettype = 'trigger'::regtype"
    ).fetchall()
    assert found
    assert [function for (function,) in found if may_execute(world, function, role)] == []


@pytest.mark.parametrize("caller", ["anon", "anon without claims", "stranger"])
@pytest.mark.parametrize("function", OF_SERVERS)
def test_a_wrong_grant_opens_no_function_of_a_server(world: psycopg.Connection, function: str, caller: str) -> None:
    with world.transaction(force_rollback=True):
        world.execute("grant execute on all functions in schema public to anon, authenticated")
        with pytest.raises(psycopg.Error, match="not_a_server"), acting(world, CALLERS[caller]):
            world.execute(call_with_nulls(world, function))


@pytest.mark.parametrize("caller", ["anon", "stranger"])
def test_every_function_with_the_rights_of_its_owner_refuses_a_large_statement(
    world: psycopg.Connection, caller: str
) -> None:
    """No policy asks for it; the test of every table is in test_queries.py."""
    found = world.execute(
        "select 'public.' || proname from pg_proc where pronamespace = 'public'::regnamespace and prosecdef"
        " and has_function_privilege(%s, oid, 'execute') and not exists"
        " (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')",
        (CALLERS[caller].role,),
    ).fetchall()
    assert found
    answers = {}
    for (function,) in found:
        try:
            with acting(world, CALLERS[caller]):
                world.execute(sql.Composed([call_with_nulls(world, function), sql.SQL("-- " + "x" * 16_384)]))
        except psycopg.Error as error:
            answers[function] = error.diag.message_primary
    assert answers == {function: "query_too_large" for (function,) in found}


def test_every_function_asks_whether_the_session_has_ended(world: psycopg.Connection) -> None:
    ended = json.dumps(Actor("authenticated", "anna", session_id=uuid4()).claims())
    found = world.execute(
        "select 'public.' || proname from pg_proc where pronamespace = 'public'::regnamespace"
        " and has_function_privilege('authenticated', oid, 'execute') and not exists"
        " (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')"
    ).fetchall()
    answers = {}
    for (function,) in found:
        try:
            with acting(world, replace(CALLERS["owner"], claims=ended)):
                world.execute(call_with_nulls(world, function))
        except psycopg.Error as error:
            answers[function] = error.diag.message_primary
    # they say nothing
    others = ("public.ping", "public.check_request")
    assert answers == {function: "session_ended" for (function,) in found if function not in others}


def call_with_nulls(world: psycopg.Connection, function: str) -> sql.SQL:
    """Returns a statement that calls the function with nulls."""
    found = world.execute(
        "select array(select format_type(t, null) from unnest(proargtypes) with ordinality as a (t, n) order by n), "
        "provariadic <> 0 from pg_proc where oid = %s::regproc",
        (function,),
    ).fetchone()
    assert found
    types, variadic = found
    # in a subquery, because PostgreSQL does not call a strict function of constant nulls at all
    nulls = ", ".join(f"null::{type_} as a{n}" for n, type_ in enumerate(types)) or "1"
    arguments = [f"a{n}" for n in range(len(types))]
    if variadic:
        arguments[-1] = f"variadic {arguments[-1]}"
    return sql.SQL(f"select {function}({', '.join(arguments)}) from (select {nulls} offset 0) as nulls")


def may_execute(world: psycopg.Connection, function: str, role: str) -> bool:
    """Returns whether the caller may call the function with nulls; the effects are rolled back."""
    call = call_with_nulls(world, function)
    schema, _, name = function.partition(".")
    try:
        with acting(world, CALLERS[ROLES[role]]):
            world.execute(call)
    except psycopg.errors.InsufficientPrivilege as denied:
        doors = (f"permission denied for function {name}", f"permission denied for schema {schema}")
        if denied.diag.message_primary not in doors:
            raise  # the function itself refused: the caller may execute it
        return False
    except psycopg.Error:
        return True
    return True
