"""`make dev`: serve the checkout, restart on a change of Python, apply a changed function of sql/ at once.

Only a checkout has this module: the wheel leaves it out.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psycopg
from watchfiles import Change, watch

from api.cli.owner import console
from api.database import connect, open_database
from api.errors import PortalError
from api.settings import ROOT, load_settings

_CREATE = re.compile(r"^create (?:or replace )?(\w+)", re.MULTILINE)
_REPLACEABLE = {"function", "view", "trigger"}


def main() -> None:
    """Serve until Ctrl-C."""
    # SIGINT too: a shell script starts background commands with SIGINT ignored
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    settings = load_settings()
    if settings.has_only_data_api:
        sys.exit("make dev needs a connection to the database itself: set DATABASE_URL too.")
    # holds the embedded server, which each server process joins: a restart takes no time for it
    with open_database(settings) as url:
        server = _start()
        try:
            for changes in watch(ROOT / "api", ROOT / "sql", watch_filter=_is_source, debounce=200):
                files = sorted(Path(path) for _, path in changes)
                _apply(url, [file for file in files if file.suffix == ".sql"])
                if any(file.suffix != ".sql" for file in files):
                    console.print("Restarting.", style="yellow")
                    _stop(server)
                    server = _start()
        except KeyboardInterrupt:
            pass
        finally:
            _stop(server)


def _is_source(change: Change, path: str) -> bool:
    """Whether the server or the database must follow a change; the server reads the files of the page at its start."""
    suffix = Path(path).suffix
    return suffix in (".py", ".html", ".css", ".js") or (suffix == ".sql" and change != Change.deleted)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen([Path(sys.executable).with_name("portal"), "run"])  # noqa: S603 (our own program)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()


def _apply(url: str, files: Iterable[Path]) -> None:
    """Applies files that only create functions, views and triggers, and prints what became of each file.

    Anything else (tables, policies, changed columns of a view, changed parameters) needs a fresh database.
    """
    for file in files:
        sql, name = file.read_text(), file.relative_to(ROOT)
        kinds = set(_CREATE.findall(sql))
        if not kinds or kinds - _REPLACEABLE:
            console.print(f"{name} needs a fresh database: stop, delete DATA_DIR, start again.", style="red")
            continue
        try:
            with connect(url) as connection, connection.transaction():
                connection.execute(_CREATE.sub(r"create or replace \1", sql).encode())
        except (PortalError, psycopg.Error) as error:
            console.print(f"{name} is not applied: {str(error).strip()}", style="red")
        else:
            console.print(f"{name} is applied.", style="green")


if __name__ == "__main__":
    main()
