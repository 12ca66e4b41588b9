"""The load: wrk sends requests, pgbench calls functions. Each measurement is one Figure."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil

from api.database.embedded import PROGRAMS
from tests.bench.servers import Running, cpu_seconds

CONNECTIONS = 16

_LUA = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True)
class Figure:
    """What one measurement found; CPU in milliseconds a request, of both cores together."""

    route: str
    series: str
    rps: float
    p50_ms: float
    p99_ms: float
    api_cpu_ms: float | None
    db_cpu_ms: float | None


class Load:
    """Measures for some seconds at a time, after a warm-up, and the CPU of the database, too."""

    def __init__(self, seconds: int, warm_up: int, database: psutil.Process) -> None:
        """Takes the length of a measurement and of a warm-up, and the database's main process."""
        self._seconds = seconds
        self._warm_up = warm_up
        self._database = database

    def http(self, route: str, series: str, server: Running, variables: Callable[[], Mapping[str, str]]) -> Figure:
        """Measures a route of a server. Ends with a sentence where an answer is none of 2xx."""
        if self._warm_up:
            self._http(self._warm_up, route, series, server, variables())
        return self._http(self._seconds, route, series, server, variables())

    def _http(self, seconds: int, route: str, series: str, server: Running, variables: Mapping[str, str]) -> Figure:
        environment = {**variables, "route": route}
        spent_before = cpu_seconds(server.process), cpu_seconds(self._database)
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(_LUA), server.url]
        result = json.loads(_run(command, f"{route}, {series}", environment).splitlines()[-1])
        spent = cpu_seconds(server.process) - spent_before[0], cpu_seconds(self._database) - spent_before[1]
        requests = result["requests"]
        if result["refused"] or result["broken"] or not requests:
            _end(
                f"{route}, {series}: of {requests} requests {result['refused']} were refused, and"
                f" {result['broken']} got no answer."
            )
        return Figure(
            route,
            series,
            requests / result["seconds"],
            result["p50_ms"],
            result["p99_ms"],
            spent[0] / requests * 1000,
            spent[1] / requests * 1000 if server.has_database else None,
        )

    def sql(
        self,
        route: str,
        series: str,
        script: str,
        url: str,
        variables: Mapping[str, str],
        connections: int = CONNECTIONS,
    ) -> Figure:
        """Measures statements on connections of pgbench. Ends with a sentence where one of them fails.

        As wrk's requests, all have numbers of their own: `n`.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "script"
            file.write_text(f"\\set i :i + 1\n\\set n :first + :i * :clients + :client_id\n{script}")
            settings = {**variables, "clients": str(connections), "i": "0"}
            command = [
                *(str(PROGRAMS / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={connections}"),
                *(f"--time={self._warm_up + self._seconds}", f"--file={file}", "--log", f"--log-prefix={folder}/log"),
                *(f"--define={name}={value}" for name, value in settings.items()),
                url,
            ]
            others = set(self._database.children())
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                # a backend compiles its functions when it is first asked
                time.sleep(self._warm_up)
                began, spent = time.time(), cpu_seconds(self._database)
                _, errors = process.communicate()
            # the main process has the time of its children when they are gone, and not while they go
            psutil.wait_procs(set(self._database.children()) - others, timeout=5)
            spent = cpu_seconds(self._database) - spent
            if process.returncode != 0:
                _end(f"{route}, {series}: {errors.partition('ERROR:')[2].splitlines()[0] or errors}")
            # client, transaction, microseconds, script, and when it ended: seconds and microseconds
            lines = [line.split() for log in Path(folder).glob("log*") for line in log.read_text().splitlines()]
        times = sorted(int(line[2]) / 1000 for line in lines if int(line[4]) + int(line[5]) / 1e6 > began)
        if not times:
            _end(f"{route}, {series}: no call was answered.")
        return Figure(
            route,
            series,
            len(times) / self._seconds,
            times[len(times) // 2],
            times[len(times) * 99 // 100],
            None,
            spent / len(times) * 1000,
        )


def _run(command: list[str], what: str, environment: Mapping[str, str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    if result.returncode != 0:
        _end(f"{what}: {Path(command[0]).name} failed: {result.stderr or result.stdout}")
    return result.stdout


def _end(sentence: str) -> NoReturn:
    raise SystemExit(sentence)
