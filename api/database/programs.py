"""Runs the programs of PostgreSQL: pg_dump, pg_restore and psql."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.database.embedded import PROGRAMS
from api.errors import PortalError

_DEBIAN = Path("/usr/lib/postgresql")


def find_programs(version: int) -> list[Path]:
    """The folders of programs for a server of this major version, best first: its own version, then newer ones.

    Looks at the embedded server, Debian's folders and the PATH. Raises PortalError where all are older.
    """
    on_path = shutil.which("pg_dump")
    folders = [PROGRAMS, *_DEBIAN.glob("*/bin"), *([Path(on_path).parent] if on_path else [])]
    versions = {folder: _version(folder) for folder in folders if (folder / "pg_dump").exists()}
    found = sorted((folder for folder in versions if versions[folder] >= version), key=lambda folder: versions[folder])
    if not found:
        raise PortalError(
            f"The server is PostgreSQL {version}, and there is no pg_dump of version {version} or newer: install it "
            f"(Debian: apt install postgresql-client-{version}), or put it on the PATH."
        )
    return found


@contextmanager
def running(
    program: Path,
    *arguments: str | Path,
    url: str | None = None,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    on_message: Callable[[bytes], None] = lambda _: None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Yields a running program; kills it where the block fails. Passes each line of its messages to `on_message`.

    Raises PortalError with its last error where it fails.
    """
    environment = dict(os.environ)
    target: list[str] = []
    if url is not None:
        # everybody on the machine sees the arguments of a program
        parameters = conninfo_to_dict(url)
        if password := parameters.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        target = [f"--dbname={make_conninfo('', **parameters)}"]
    messages: list[bytes] = []
    with subprocess.Popen(  # noqa: S603 (arguments of ours)
        [program, *arguments, *target], env=environment, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        reader = Thread(target=_read, args=(process.stderr, messages, on_message))
        reader.start()
        try:
            # a program that has stopped reading says why in its messages
            with suppress(BrokenPipeError):
                yield process
        except BaseException:
            process.kill()
            raise
        finally:
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            reader.join()
    if process.returncode != 0:
        raise PortalError(f"{program.name} failed: {_error(messages)}")


def _read(stream: IO[bytes], messages: list[bytes], on_message: Callable[[bytes], None]) -> None:
    for line in stream:
        on_message(line)
        messages.append(line)
        del messages[:-100]


def _error(messages: list[bytes]) -> str:
    """The first error among the messages, else the last message."""
    lines = [line.decode(errors="replace").strip() for line in messages]
    errors = [line for line in lines if re.search(r"error:|ERROR:|FATAL:", line)]
    return (errors or lines[-1:] or ["it says nothing"])[0]


def _version(folder: Path) -> int:
    # "pg_dump (PostgreSQL) 18.6 (Debian 18.6-1)"
    output = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    number = re.search(r"\) (\d+)", output)
    return int(number[1]) if number else 0
