"""What a test needs beside Python, and what happens where it is not there."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skips the test with a sentence that says what to install; where `CI` is set, fails it."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
