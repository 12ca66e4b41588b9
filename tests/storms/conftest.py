"""A server that the tests here may kill, and databases with the scene on it."""

from collections.abc import Iterator

import psycopg
import pytest

from api.database.migrations import migrate
from tests.storms.scene import set_up
from tests.support.databases import Server, run_server

_figures = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints what the storms counted and measured."""
    if lines := config.stash.get(_figures, []):
        terminalreporter.section("storms")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> list[str]:
    """A list of lines that are printed at the end of the session."""
    return pytestconfig.stash.setdefault(_figures, [])


@pytest.fixture(scope="module")
def mortal_server() -> Iterator[Server]:
    """A server of the module's own, of the same programs as the session's, that waits for its disc as a real one does.

    What was killed are processes: what the kernel had of them would be written without that, too. (A container is
    told on its command line not to wait, and stays so.)
    """
    with run_server() as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("alter system set fsync = on")
            connection.execute("select pg_reload_conf()")
        yield server


@pytest.fixture
def stormy_database(mortal_server: Server) -> Iterator[str]:
    """The URL, as superuser, of a database with the scene."""
    with mortal_server.database() as url:
        migrate(url)
        set_up(url)
        yield url
