"""A moved clock: `python -m tests.clock.moved 2026-11-26T23:30Z bash .ci/run` runs a command at that moment.

libfaketime moves it for the command and for every process that it starts: servers of PostgreSQL, Node.js, Chromium; not
for containers. The clock is moved, not stopped. Timers, and what measures how long something takes, stay as they are.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path


def run_at(moment: datetime, *command: str) -> int:
    """Runs a command as if it were that moment, and returns its exit code. Exits if the time cannot be faked."""
    package = find_spec("libfaketime")
    if not package or not package.origin:
        sys.exit("The clock cannot be moved: libfaketime is missing (make .venv/.synced-dev).")
    with tempfile.TemporaryDirectory() as folder:
        # where the user of the database servers can read it too
        Path(folder).chmod(0o755)
        source = Path(package.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
        library = shutil.copy(source, folder)
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAKETIME": f"{moment.timestamp() - time.time():+.0f}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        # the library is for Linux on x86-64; other systems would ignore it
        program = [sys.executable, "-c", "import time; print(time.time())"]
        told = subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout
        if abs(float(told) - moment.timestamp()) > 60:
            sys.exit("The clock cannot be moved on this machine.")
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(run_at(datetime.fromisoformat(sys.argv[1]), *sys.argv[2:]))
