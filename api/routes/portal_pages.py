"""The portal's own pages, from the same origin as its API (PORTAL_DIR)."""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
from anyio import to_thread
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from api.http.admin_sessions import admin_sessions_of
from api.http.ranges import answer_file
from api.http.sessions import sessions_of
from api.legacy.routing import MAX_PATH

_OPERATORS_PAGE = "admin-monitoring.html"
"""A page for operators. It shows no error of an answer that is not 2xx, so that others need a sentence in its place."""

_FOR_OPERATORS = """<!doctype html>
<html lang="de">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Nur für Betreiber</title>
<p>Diese Seite ist nur für Betreiber. <a href="./admin">Anmelden</a>
<p lang="en">This page is for operators only. <a href="./admin">Sign in</a>
"""

_CHUNK = 2**18


def portal_pages(folder: Path) -> HTTPRouteHandler:
    """A route that serves the files of a folder.

    A folder in it is answered with its `index.html`, `/page` with `page.html`, and an unknown path with the portal's
    `404.html`. Hidden files (a checkout's .git) and links out of the folder count as unknown.
    """
    root = folder.resolve()

    @get(["/", "/{path:path}"], include_in_schema=False)
    async def page(request: Request[Any, Any, Any], path: FromPath[str] = "/") -> Response[Any]:
        if request.scope["raw_path"].endswith(b"/"):
            path = f"{path.rstrip('/')}/"  # Litestar leaves it out
        # in a thread, because it asks the disk for each part of the path
        file = await to_thread.run_sync(_find, root, path)
        if file is None:
            return await _not_found(root, path)
        admin_sessions = admin_sessions_of(request.app.state)
        if file == root / _OPERATORS_PAGE and admin_sessions and not admin_sessions.has_cookie(request):
            headers = {"cache-control": "no-store"}
            return Response(_FOR_OPERATORS, status_code=403, media_type="text/html", headers=headers)
        if await anyio.Path(file).is_file():
            return await _answer(request, file)
        query = f"?{request.scope['query_string'].decode('latin-1')}" if request.scope["query_string"] else ""
        # relative, because a proxy may serve the pages below a prefix
        return Redirect(f"./{quote(file.name)}/{query}")

    return page


def _find(root: Path, path: str) -> Path | None:
    """The file for a path, or the folder whose slash is missing; None for what is unknown, hidden or outside."""
    parts = path.split("/")
    if len(path) > MAX_PATH or any(part.startswith(".") for part in parts):
        return None
    for name in (f"{path}index.html",) if path.endswith("/") else (path, f"{path}.html"):
        with suppress(OSError, ValueError):  # no such file; a name too long; a NUL in it
            file = (root / name.lstrip("/")).resolve(strict=True)
            if file.is_relative_to(root) and (file.is_file() or (file.is_dir() and name == path)):
                return file
    return None


async def _not_found(root: Path, path: str) -> Response[Any]:
    """The portal's page for what is not there. Raises NotFoundException if it has none, and for routes of the API."""
    page = await to_thread.run_sync(_find, root, "/404.html")
    if page is None or path.startswith("/api/"):
        raise NotFoundException
    return Response(await anyio.Path(page).read_bytes(), status_code=404, media_type="text/html")


async def _answer(request: Request[Any, Any, Any], file: Path) -> Response[Any]:
    async def read(part: range) -> AsyncIterator[bytes]:
        return _chunks(file, part)

    found = await anyio.Path(file).stat()
    sessions, is_page = sessions_of(request.app.state), file.suffix == ".html"
    # the browser asks each time whether a page has changed
    headers = {"cache-control": "private, no-cache" if is_page and sessions else "no-cache"}
    if is_page and sessions and not sessions.has_cookie(request):
        headers["set-cookie"] = sessions.cookie(request)
    kind, encoding = mimetypes.guess_type(file.name)
    return await answer_file(
        request,
        size=found.st_size,
        tag=f'"{found.st_mtime_ns:x}-{found.st_size:x}"',
        media_type=kind if kind and not encoding else "application/octet-stream",
        headers=headers,
        read=read,
    )


async def _chunks(file: Path, part: range) -> AsyncIterator[bytes]:
    async with await anyio.open_file(file, "rb") as opened:
        await opened.seek(part.start)
        left = len(part)
        while left and (chunk := await opened.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk
