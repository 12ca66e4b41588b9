"""The expectations hold in a restored database, too, whose host grants everybody every new table and function."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.access import test_functions as functions
from tests.access import test_tables as tables
from tests.cli.running import portal
from tests.support.databases import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def restored(
    server: Server, world: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a restored copy of the world, in autocommit mode."""
    backup = tmp_path_factory.mktemp("backup") / "portal.zip"
    portal("backup", str(backup), DATABASE_URL=server.url(world.info.dbname))
    with server.database() as url, psycopg.connect(url, autocommit=True) as connection:
        for kind in ("tables", "sequences", "functions"):
            everybody = f"grant all on {kind} to anon, authenticated, service_role"
            connection.execute(f"alter default privileges in schema public {everybody}".encode())
        portal("restore", str(backup), DATABASE_URL=url)
        yield connection


def test_tables(restored: psycopg.Connection) -> None:
    for table in tables.EXPECTED:
        tables.test_select(restored, table)
        for operation in tables.WRITES:
            tables.test_nobody_writes(restored, table, operation)


def test_functions(restored: psycopg.Connection) -> None:
    for function in functions.EXPECTED:
        functions.test_execute(restored, function)
