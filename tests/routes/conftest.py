"""Apps that a whole module may share."""

from collections.abc import Iterator

import pytest

from tests.databases import Server
from tests.serving import Connection, serve, settings_in


@pytest.fixture(scope="module")
def app_database(server: Server, migrated: str) -> Iterator[str]:
    """The URL of the app's database."""
    with server.database(template=migrated) as url:
        yield url


@pytest.fixture(scope="module")
def app_url(app_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an app on this module's database."""
    with serve(settings_in(tmp_path_factory.mktemp("data")), app_database) as url:
        yield url


@pytest.fixture
def client(app_url: str) -> Iterator[Connection]:
    """A connection to the app."""
    with Connection(app_url) as connection:
        yield connection
