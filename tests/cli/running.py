"""Runs the command line in this process, in a process of its own, or on a terminal of a given width."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from typer.testing import CliRunner, Result

from api.cli.main import app

PORTAL = [sys.executable, "-c", "from api.cli.main import main; main()"]


def run(*arguments: str, **settings: str) -> Result:
    """Runs a command in this process, its output not on a terminal. Raises the command's PortalError."""
    return CliRunner().invoke(app, arguments, env=settings, catch_exceptions=False)


def portal(*arguments: str, **settings: str) -> str:
    """The output of a command that must succeed, with nothing on standard error."""
    result = run(*arguments, **settings)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def rows(output: str) -> list[list[str]]:
    """The rows of the table in an output, without the names of its columns."""
    lines = [re.split(" {2,}", line) for line in output.splitlines()]
    return [line for line in lines if len(line) > 1][1:]


def on_terminal(columns: int, *arguments: str) -> list[str]:
    """The lines that a command shows on a terminal of this width, without colours; it must succeed."""
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(
        [*PORTAL, *arguments], stdin=inner, stdout=inner, stderr=inner, env=environment | {"TERM": "xterm-256color"}
    ) as process:
        os.close(inner)
        output = b""
        try:
            while part := os.read(terminal, 10_000):
                output += part
        except OSError:
            pass  # Linux reports a closed terminal as an error
        assert process.wait(timeout=30) == 0, output.decode()
    os.close(terminal)
    # a status line is erased from its start
    text = re.sub(r"\r?\x1b\[2K|\x1b\[[0-9;?]*[A-Za-z]", "", output.decode())
    return [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
