"""A moved clock: `python -m tests.clock.moved 2026-11-26T23:30Z bash .ci/run` runs a command as if it were that moment.

libfaketime moves it for the command and for every process that it starts: servers of PostgreSQL, Node.js, Chromium; not
for containers. The clock is moved, not stopped. Timers, and what measures how long something takes, stay as they are.
"""

import os
import subprocess
import sys
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path


def moved_to(moment: datetime) -> dict[str, str]:
    """The environment of a process for which it is that moment now. Ends the program where no clock can be moved."""
    package = find_spec("libfaketime")
    if not package or not package.origin:
        sys.exit("The clock cannot be moved: libfaketime is missing (make .venv/.synced-dev).")
    library = Path(package.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{moment.timestamp() - time.time():+.0f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    # the library is of x86-64 Linux; elsewhere it is ignored with no more than a warning
    program = [sys.executable, "-c", "import time; print(time.time())"]
    told = subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout
    if abs(float(told) - moment.timestamp()) > 60:
        sys.exit(f"The clock cannot be moved on this machine by {library}.")
    return environment


if __name__ == "__main__":
    sys.exit(subprocess.run(sys.argv[2:], env=moved_to(datetime.fromisoformat(sys.argv[1])), check=False).returncode)
