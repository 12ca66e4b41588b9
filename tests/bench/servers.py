"""The processes that answer: the portal as `portal run` starts it, the framework alone, Express, and PostgreSQL."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from api.settings import Settings
from tests.cli.running import PORTAL
from tests.support.data_api import JWT_SECRET, run_data_api, token
from tests.support.npm import NODE, install


@dataclass(frozen=True)
class Running:
    """A server that answers at `url`, and whether it asks the database."""

    url: str
    process: psutil.Process
    has_database: bool


@contextmanager
def portal(database_url: str, folder: Path, **settings: str) -> Iterator[Running]:
    """Runs `portal run` on a database, without rate limits, as on a machine of its own."""
    # an empty variable is a setting that is not set, whatever .env says
    ours = {name.upper(): "" for name in Settings.model_fields} | {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(folder),
        "PORT": "0",
        "RATE_LIMIT": "off",
    }
    with _run([*PORTAL, "run"], ours | settings, has_database=True) as running:
        yield running


@contextmanager
def portal_on_data_api(database_url: str, folder: Path) -> Iterator[Running]:
    """Runs `portal run` on a Data API."""
    with (
        run_data_api(database_url) as url,
        portal("", folder, SUPABASE_URL=url, SUPABASE_ANON_KEY=token("anon"), JWT_SECRET=JWT_SECRET) as running,
    ):
        yield running


@contextmanager
def framework(database_url: str) -> Iterator[Running]:
    """Runs the route that does nothing, in as many processes as the portal on this database."""
    with _run([sys.executable, "-m", "tests.bench.nothing"], {"DATABASE_URL": database_url}) as running:
        yield running


@contextmanager
def express(sizes: Mapping[str, str]) -> Iterator[Running]:
    """Runs the Express server, with data of these sizes."""
    install()
    with _run(["node", str(NODE / "express.mjs")], sizes) as running:
        yield running


def postgres(data_dir: Path) -> psutil.Process:
    """The main process of the embedded server with its data in this folder."""
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))


def cpu_seconds(process: psutil.Process) -> float:
    """The CPU time of a process and its children, ended ones included."""
    spent = 0.0
    for part in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = part.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


@contextmanager
def _run(command: list[str], environment: Mapping[str, str], *, has_database: bool = False) -> Iterator[Running]:
    """Runs a program that prints its URL."""
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if url := re.search(r"http://[0-9.]+:[0-9]+", line):
                    httpx.get(url[0], timeout=60)  # its processes may still be starting
                    yield Running(url[0], psutil.Process(process.pid), has_database)
                    return
            raise SystemExit(f"{command} did not start.")
        finally:
            process.terminate()
