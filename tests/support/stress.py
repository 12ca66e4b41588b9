"""How large the largest tests are: STRESS=full runs them at their full size, as before a release."""

import os
from typing import TypeVar

T = TypeVar("T")


def sized(usual: T, full: T) -> T:
    """The size of a test: `full` where the environment says STRESS=full."""
    return full if os.environ.get("STRESS") == "full" else usual
