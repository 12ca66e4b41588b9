"""What only one of the test processes of this machine may do at a time."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_process_at_a_time(task: str) -> Iterator[None]:
    """Waits until no other process does the task."""
    lock = Path(tempfile.gettempdir()) / f"portal-tests-{os.getuid()}-{task}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
