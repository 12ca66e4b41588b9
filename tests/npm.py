"""The programs that the tests take from npm: pinned in tests/node/package-lock.json."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

NODE = Path(__file__).parent / "node"
_MODULES = NODE / "node_modules"


class MissingNodeError(Exception):
    """There is no usable Node.js on this machine."""


def install() -> Path:
    """Installs tests/node/node_modules where it is missing or older than the lock; returns the folder of its programs.

    Raises MissingNodeError.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        raise MissingNodeError("These tests need Node.js 20 or newer with npm (Debian: apt install nodejs npm).")
    # npm writes this file last
    done = _MODULES / ".package-lock.json"
    if not done.exists() or done.stat().st_mtime < (NODE / "package-lock.json").stat().st_mtime:
        command = ["npm", "ci", "--no-audit", "--no-fund"]
        result = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise MissingNodeError(f"npm ci in {NODE} failed: {result.stderr}")
        os.utime(done)
    return _MODULES / ".bin"


def run_node(
    *arguments: str, environment: Mapping[str, str], program: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs Node.js in tests/node, with a program on its standard input if given."""
    install()
    # supabase-js wants WebSocket, used or not; Node.js 20 has it behind this flag
    options = {"NODE_OPTIONS": "--experimental-websocket"}
    return subprocess.run(
        ["node", *arguments],  # noqa: S607
        cwd=NODE,
        env={**os.environ, **options, **environment},
        input=program,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
