"""Each user of Supabase Auth is a thinker."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from api.actor import Actor
from api.database.migrations import apply_platform, migrate
from tests.support.acting import call


@pytest.fixture
def project(empty_database: str) -> Iterator[psycopg.Connection]:
    """A migrated database that had users before, like a Supabase project."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        apply_platform(connection)
        connection.execute("create table auth.users (id uuid primary key)")
        migrate(empty_database)
        yield connection


def sign_up(connection: psycopg.Connection, user: UUID) -> None:
    connection.execute("insert into auth.users values (%s)", (user,))


def thinkers(connection: psycopg.Connection) -> list[tuple[UUID, str]]:
    return connection.execute(
        "select id, public_id from public.thinkers where public_id <> 'togethersystems'"
    ).fetchall()


def test_a_new_user_is_a_thinker_with_the_same_id(project: psycopg.Connection) -> None:
    user = uuid4()
    sign_up(project, user)
    assert thinkers(project) == [(user, str(user))]
    assert call(project, Actor("authenticated", str(user)), "issue_voucher")["issuer_id"] == str(user)


def test_a_thinker_who_acted_before_its_sign_up_was_written_is_the_same(project: psycopg.Connection) -> None:
    user = uuid4()
    call(project, Actor("authenticated", str(user)), "issue_voucher")
    sign_up(project, user)
    assert thinkers(project) == [(user, str(user))]


def test_an_imported_user_with_another_kind_of_id_can_sign_up(project: psycopg.Connection) -> None:
    sign_up(project, UUID("00000000-0000-0000-0000-000000000001"))
    assert thinkers(project) == []


def test_rows_of_a_deleted_user_are_kept(project: psycopg.Connection) -> None:
    user = uuid4()
    sign_up(project, user)
    project.execute("delete from auth.users")
    assert thinkers(project) == [(user, str(user))]
