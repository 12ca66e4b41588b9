"""Serves on one socket in several processes, which share nothing but the database."""

import gc
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from time import monotonic, sleep

from litestar.types import ASGIApp

from api import logs, metrics
from api.database import has_sessions
from api.errors import PortalError
from api.http.server import Server
from api.settings import Settings

_NOT_STARTED = 3
"""The exit code of a worker that could not begin to serve."""

_SOON = 60.0
_PAUSE = 1.0
"""Seconds: a worker that dies so soon after its start has a reason that the next one may have too, which would take all
of a core for its start."""

_FAILURE = "The server did not start; the lines above say why."

_log = logging.getLogger(__name__)

# a copy of this process would have its locks without the threads that hold them
_context = multiprocessing.get_context("spawn")


def workers_for(settings: Settings, database_url: str | None) -> int:
    """WORKERS; by default one for each core, at most 4.

    One alone where they could not share rooms: through a Data API only, and behind a transaction pooler.
    """
    if settings.workers is not None:
        return settings.workers
    return min(os.cpu_count() or 1, 4) if database_url is not None and has_sessions(database_url) else 1


def serve(make_app: Callable[[], ASGIApp], settings: Settings, listener: socket.socket, processes: int) -> None:
    """Serve on a socket that listens, in this process or in others that it starts, until it is interrupted.

    Raises KeyboardInterrupt then, what `make_app` raises, and PortalError if a server does not start.
    """
    # even if only workers use an application: a wrong setting is reported once, by this process
    app = make_app()
    if processes == 1:
        server = _server(app, settings)
        server.run(sockets=[listener])
        if not server.started:
            raise PortalError(_FAILURE)
        return
    workers: dict[int, SpawnProcess] = {}
    began: dict[int, float] = {}
    folder = metrics.shared_folder(processes)
    os.environ[metrics.FOLDER] = folder.name
    try:
        while True:
            for number in set(range(processes)) - set(workers):
                metrics.reserve(Path(folder.name), number)
                began[number] = monotonic()
                workers[number] = _context.Process(target=_work, args=(make_app, settings, listener, number))
                workers[number].start()
            wait([worker.sentinel for worker in workers.values()])
            for number, worker in list(workers.items()):
                if worker.exitcode is None:
                    continue
                del workers[number]
                if worker.exitcode == _NOT_STARTED:
                    raise PortalError(_FAILURE)
                _log.error("a worker has ended with exit code %s, and is replaced", worker.exitcode)
                if monotonic() - began[number] < _SOON:
                    sleep(_PAUSE)
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            worker.join()
        folder.cleanup()


def _work(make_app: Callable[[], ASGIApp], settings: Settings, listener: socket.socket, number: int) -> None:
    """Serve in this process until it gets a signal to stop, or its parent process is killed."""
    logs.configure(settings)
    metrics.write_as(number)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal tells the parent, too
    _end_with_parent(seconds=0)  # it may have been killed while this process started
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server = _server(make_app(), settings)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise SystemExit(_NOT_STARTED)


def _server(app: ASGIApp, settings: Settings) -> Server:
    """The server of this process, which serves nothing else."""
    server = Server(app, settings)
    # the application stays: the garbage collector would look at all of it, while requests wait
    gc.collect()
    gc.freeze()
    return server


def _end_with_parent(seconds: float | None = None) -> None:
    """End this process at once where its parent is killed within this time: the next server needs the port."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if wait([parent.sentinel], seconds):
        # memory, which nothing else would give back
        shutil.rmtree(os.environ[metrics.FOLDER], ignore_errors=True)
        os._exit(1)
