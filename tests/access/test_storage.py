"""Who reads and writes the documents in Supabase Storage: the objects of the bucket contracts."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest

from tests.access.actors import CALLERS, Caller, acting
from tests.support.supabase import STORAGE

# of an operator who allows everything in all buckets, and thought of another one
EVERYTHING: LiteralString = "create policy everything on storage.objects using (true) with check (true)"

CLIENTS = {name: caller for name, caller in CALLERS.items() if caller.role in ("anon", "authenticated")}


@pytest.fixture
def stored(world: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The world with its documents in a bucket, an object there without a row, and an object in another bucket."""
    with world.transaction(force_rollback=True):
        world.execute(STORAGE)
        world.execute("select private.open_bucket()")
        world.execute(
            "insert into storage.buckets (id, name) values ('contracts', 'contracts'), ('avatars', 'avatars')"
        )
        world.execute("insert into storage.objects (bucket_id, name) select 'contracts', storage_url from contracts")
        world.execute(
            "insert into storage.objects (bucket_id, name) values ('contracts', 'contracts/x/stray'), "
            "('avatars', 'anna')"
        )
        yield world


def objects(connection: psycopg.Connection, caller: Caller, bucket: str) -> set[str]:
    with acting(connection, caller):
        return {
            name for (name,) in connection.execute("select name from storage.objects where bucket_id = %s", (bucket,))
        }


def documents(connection: psycopg.Connection, caller: Caller) -> set[str]:
    try:
        with acting(connection, caller):
            return {path for (path,) in connection.execute("select storage_url from public.contracts")}
    except psycopg.errors.InsufficientPrivilege:
        return set()


@pytest.mark.parametrize("policy", ["select", EVERYTHING], ids=["", "everything is allowed"])
def test_an_object_is_read_by_those_who_see_its_document(stored: psycopg.Connection, policy: LiteralString) -> None:
    stored.execute(policy)
    read = {name: objects(stored, caller, "contracts") for name, caller in CLIENTS.items()}
    assert read == {name: documents(stored, caller) for name, caller in CLIENTS.items()}
    assert read["party"] == {f"contracts/{path}" for path in ("a/terms", "a/plan", "b/annex", "m/mortgage")}


def test_the_server_reads_every_object(stored: psycopg.Connection) -> None:
    assert "contracts/x/stray" in objects(stored, CALLERS["service_role"], "contracts")


WRITES: dict[str, LiteralString] = {
    "upload": "insert into storage.objects (bucket_id, name) values ('contracts', 'contracts/y/new')",
    "upsert": "insert into storage.objects (bucket_id, name) values ('contracts', 'contracts/a/plan')"
    " on conflict (bucket_id, name) do update set metadata = '{}'",
    "change": "update storage.objects set metadata = '{}' where bucket_id = 'contracts'",
    "move": "update storage.objects set name = 'x' where name = 'contracts/a/plan'",
    "move out": "update storage.objects set bucket_id = 'avatars' where name = 'contracts/a/plan'",
    "move in": "update storage.objects set bucket_id = 'contracts' where name = 'anna'",
    "delete": "delete from storage.objects where bucket_id = 'contracts'",
}


@pytest.mark.parametrize("policy", ["select", EVERYTHING], ids=["", "everything is allowed"])
def test_only_the_server_writes(stored: psycopg.Connection, policy: LiteralString) -> None:
    stored.execute(policy)
    written = [
        (name, what)
        for name, caller in CLIENTS.items()
        for what, write in WRITES.items()
        if writes(stored, caller, write)
    ]
    assert written == []
    assert [what for what, write in WRITES.items() if not writes(stored, CALLERS["service_role"], write)] == []


def writes(connection: psycopg.Connection, caller: Caller, statement: LiteralString) -> bool:
    """Returns whether the statement changes a row, and takes the change back."""
    try:
        with acting(connection, caller):
            return connection.execute(statement).rowcount > 0
    except psycopg.errors.InsufficientPrivilege:
        return False


def test_other_buckets_are_left_alone(stored: psycopg.Connection) -> None:
    stored.execute(EVERYTHING)
    assert [objects(stored, caller, "avatars") for caller in CLIENTS.values()] == [{"anna"}] * len(CLIENTS)
    delete: LiteralString = "delete from storage.objects where bucket_id = 'avatars'"
    assert [name for name, caller in CLIENTS.items() if not writes(stored, caller, delete)] == []


def test_a_second_call_changes_nothing(stored: psycopg.Connection) -> None:
    policies = "select polname, oid from pg_policy where polrelid = 'storage.objects'::regclass order by 1"
    before = stored.execute(policies).fetchall()
    stored.execute("select private.open_bucket()")
    assert (len(before), stored.execute(policies).fetchall()) == (6, before)
