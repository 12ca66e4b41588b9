"""A connection to the app of a module."""

from collections.abc import Iterator

import pytest

from tests.support.serving import Connection


@pytest.fixture
def client(shared_portal: str) -> Iterator[Connection]:
    """A connection to the app."""
    with Connection(shared_portal) as connection:
        yield connection
