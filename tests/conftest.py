"""Fixtures for all tests: a server, and databases on it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from api.database.migrations import migrate, seed
from api.settings import Settings
from tests.support.data_api import data_api_name, run_data_api
from tests.support.databases import DEBIAN, MissingServerError, Server, run_local, run_server, server_name
from tests.support.missing import missing
from tests.support.npm import install
from tests.support.serving import serve, settings_in

_MEMORY = Path("/dev/shm")  # noqa: S108

# a database is a thousand files: in memory they are copied ten times as fast as on a disk
if (
    "TMPDIR" not in os.environ
    and _MEMORY.is_dir()
    and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(_MEMORY).free > 4 * 2**30
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

_SLOW_FOLDERS = ("storms", "admin", "fuzz", "seed", "clients", "cli")

_EXTENSIONS = ("pgtap", "plpgsql_check")


@pytest.hookimpl(trylast=True)
def pytest_report_header() -> str:
    """Prints which PostgreSQL is tested, and through which Data API."""
    try:
        return f"{server_name()}, Data API: {data_api_name()}"
    except MissingServerError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow tests, and runs their folders first, so that none of them begins last.

    Slow are whole folders, modules that say so, and the second run of a test, through the Data API.
    """
    for item in items:
        if item.path.parent.name in _SLOW_FOLDERS or "data api" in item.name:
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.parent.name not in _SLOW_FOLDERS)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server of this process, started when the first test needs it."""
    with run_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(server: Server) -> str:
    """The name of a migrated database without data, a template for copies: do not connect to it."""
    name = server.create()
    migrate(server.url(name))
    return name


@pytest.fixture
def database(server: Server, migrated: str) -> Iterator[str]:
    """The URL, as superuser, of a migrated database of the test's own."""
    with server.database(template=migrated) as url:
        yield url


@pytest.fixture
def empty_database(server: Server) -> Iterator[str]:
    """The URL, as superuser, of an empty database of the test's own."""
    with server.database() as url:
        yield url


@pytest.fixture
def portal(database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of the app, over real HTTP, on the test's own database."""
    with serve(settings_in(tmp_path), database) as url:
        yield url


@pytest.fixture(scope="module")
def shared_database(server: Server, migrated: str) -> Iterator[str]:
    """The URL, as superuser, of a migrated database for all tests of a module."""
    with server.database(template=migrated) as url:
        yield url


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of shared_portal."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def shared_portal(shared_database: str, shared_folder: Path) -> Iterator[str]:
    """The URL of the app, over real HTTP, on shared_database."""
    with serve(settings_in(shared_folder), shared_database) as url:
        yield url


@pytest.fixture
def data_api(database: str) -> Iterator[str]:
    """The URL of a project whose Data API (<URL>/rest/v1) is on the test's own database."""
    with run_data_api(database) as url:
        yield url


@pytest.fixture(scope="module")
def shared_data_api(shared_database: str) -> Iterator[str]:
    """The URL of a project whose Data API (<URL>/rest/v1) is on shared_database."""
    with run_data_api(shared_database) as url:
        yield url


@pytest.fixture(scope="session")
def npm_programs() -> Path:
    """The folder with the programs of tests/node, `supabase` among them."""
    return install()


@pytest.fixture(scope="session")
def checked(server: Server) -> Iterator[str]:
    """The URL, as superuser, of a database as `supabase db reset` leaves it, with pgTAP and plpgsql_check.

    On the session's server where it has them, else on Debian's PostgreSQL 15. What a test does there it takes back.
    """
    with ExitStack() as stack:
        if not _has_extensions(server):
            programs = Path(DEBIAN.format(15))
            if (programs / "initdb").exists():
                server = stack.enter_context(run_local(programs))
        if not _has_extensions(server):
            missing(
                "These tests need pgTAP and plpgsql_check "
                "(Debian: apt install postgresql-15 postgresql-15-pgtap postgresql-15-plpgsql-check)."
            )
        url = stack.enter_context(server.database())
        migrate(url)
        seed(url)
        with psycopg.connect(url, autocommit=True) as connection:
            for extension in _EXTENSIONS:
                connection.execute(f"create extension {extension} with schema extensions".encode())
            # as on a Supabase project
            database = sql.Identifier(connection.info.dbname)
            connection.execute(
                sql.SQL('alter database {} set search_path = "$user", public, extensions').format(database)
            )
        yield url


def _has_extensions(server: Server) -> bool:
    with psycopg.connect(server.url()) as connection:
        found = connection.execute(
            "select count(*) from pg_available_extensions where name = any (%s)", (list(_EXTENSIONS),)
        ).fetchone()
    return found == (len(_EXTENSIONS),)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ignores the developer's settings: what a test does not set has its default, and data is in a temporary folder."""
    with pytest.MonkeyPatch.context() as environment:
        for name in Settings.model_fields:
            environment.delenv(name.upper(), raising=False)
        environment.setenv("DATA_DIR", str(tmp_path_factory.getbasetemp() / "data"))
        environment.setattr("api.settings.load_dotenv", lambda _: False)
        yield
