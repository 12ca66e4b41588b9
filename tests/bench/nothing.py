"""Serves a route that does nothing, on as many of the portal's servers: no request through Litestar can be faster."""

import os
import socket
import tempfile
from pathlib import Path

from litestar import Litestar, route
from litestar.enums import HttpMethod

from api.http.workers import serve, workers_for
from tests.support.serving import settings_in


@route("/{path:path}", http_method=[HttpMethod.GET, HttpMethod.POST], status_code=200)
async def nothing() -> dict[str, bool]:
    """Answers every request alike."""
    return {"ok": True}


def make_app() -> Litestar:
    """Makes the application."""
    return Litestar([nothing], openapi_config=None)


def main() -> None:
    """Prints the URL, and serves."""
    with (
        tempfile.TemporaryDirectory() as folder,
        # named as TCP, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener,
    ):
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201
        settings = settings_in(Path(folder))
        serve(make_app, settings, listener, workers_for(settings, os.environ["DATABASE_URL"]))


if __name__ == "__main__":
    main()
