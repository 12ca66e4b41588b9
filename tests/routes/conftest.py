"""A connection to the app of a module, and the name of what failed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.serving import Connection


@pytest.fixture
def client(shared_portal: str) -> Iterator[Connection]:
    """A connection to the app."""
    with Connection(shared_portal) as connection:
        yield connection


@contextmanager
def naming(case: str) -> Iterator[None]:
    """Adds the name of the case, such as the request, to an assertion that fails in the block."""
    try:
        yield
    except AssertionError as error:
        error.add_note(case)
        raise
