"""The tests of a module share a database and an app; the database is emptied before each test."""

import pytest

from tests.support.databases import empty


@pytest.fixture
def database(shared_database: str) -> str:
    """The URL, as superuser, of an empty database."""
    empty(shared_database)
    return shared_database


@pytest.fixture
def portal(shared_portal: str, database: str) -> str:
    """The URL of the app on that database."""
    return shared_portal
