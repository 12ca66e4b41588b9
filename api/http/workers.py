"""Serves on one socket in several processes, which share nothing but the database."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from tempfile import TemporaryDirectory

from litestar.types import ASGIApp
from prometheus_client.multiprocess import mark_process_dead

from api import logs
from api.database import has_sessions
from api.errors import PortalError
from api.http.server import Server
from api.metrics import FOLDER
from api.settings import Settings

_NOT_STARTED = 3
"""The exit code of a worker that could not begin to serve."""

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
        server = Server(app, settings)
        server.run(sockets=[listener])
        if not server.started:
            raise PortalError(_FAILURE)
        return
    workers: list[SpawnProcess] = []
    metrics = TemporaryDirectory(prefix="portal-metrics-")
    os.environ[FOLDER] = metrics.name  # of the workers: this process has imported prometheus_client without it
    try:
        while True:
            while len(workers) < processes:
                worker = _context.Process(target=_work, args=(make_app, settings, listener))
                worker.start()
                workers.append(worker)
            wait([worker.sentinel for worker in workers])
            for worker in [worker for worker in workers if worker.exitcode is not None]:
                workers.remove(worker)
                mark_process_dead(worker.pid, metrics.name)  # type: ignore[no-untyped-call]
                if worker.exitcode == _NOT_STARTED:
                    raise PortalError(_FAILURE)
                _log.error("a worker has ended with exit code %s, and is replaced", worker.exitcode)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        metrics.cleanup()


def _work(make_app: Callable[[], ASGIApp], settings: Settings, listener: socket.socket) -> None:
    """Serve in this process until it gets a signal to stop, or its parent process is killed."""
    logs.configure(settings)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a closed terminal tells the parent, too
    _end_with_parent(seconds=0)  # it may have been killed while this process started
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server = Server(make_app(), settings)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        raise SystemExit(_NOT_STARTED)


def _end_with_parent(seconds: float | None = None) -> None:
    """End this process at once where its parent is killed within this time: the next server needs the port."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if wait([parent.sentinel], seconds):
        os._exit(1)
