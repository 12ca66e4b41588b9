"""A `portal run` of the test's own, as an operator starts it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.cli.running import PORTAL
from tests.support.serving import Connection


class Running(NamedTuple):
    """A `portal run`; `log` is what it has written to standard error."""

    url: str
    process: psutil.Popen
    log: Path

    def workers(self) -> set[psutil.Process]:
        """Returns the processes that serve; the others keep track of resources, or are the database."""
        serving = set()
        for child in self.process.children():
            # one that has just died has no command line any more
            with suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(child.cmdline()):
                    serving.add(child)
        return serving

    def answers(self) -> bool:
        """Returns whether a request on a new connection is answered."""
        with Connection(self.url) as connection:
            return connection.get("/health").status == 200


@contextmanager
def run_portal(database: str, folder: Path, **changes: str) -> Iterator[Running]:
    """Runs it with two workers, and these settings, on a free port; stops it at the end."""
    settings = {"DATABASE_URL": database, "DATA_DIR": str(folder), "PORT": "0", "WORKERS": "2"} | changes
    log = folder / "log"
    with log.open("w") as stderr:
        process = psutil.Popen(
            [*PORTAL, "run"],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=stderr,
            # as a script's command in the background
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
    try:
        output = ""
        while "Ctrl-C" not in output:
            output += process.stdout.readline().decode()
            assert process.poll() is None, log.read_text()
        port = re.search(r"http://\S+:(\d+)", output)
        assert port, output
        running = Running(f"http://127.0.0.1:{port[1]}", process, log)
        assert running.answers()
        yield running
    finally:
        if process.is_running():
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except psutil.TimeoutExpired:
            # a test has failed before it ended a server with a STOP_DELAY
            process.send_signal(signal.SIGINT)
            process.wait()
        process.stdout.close()
