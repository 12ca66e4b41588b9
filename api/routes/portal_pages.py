"""The portal's own pages, from the same origin as its API (PORTAL_DIR)."""

import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import anyio
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from api.http.ranges import answer_file

_CHUNK = 2**18


def portal_pages(folder: Path) -> HTTPRouteHandler:
    """A route that serves the files of a folder.

    A folder in it is answered with its `index.html`, `/page` with `page.html`, and an unknown path with the portal's
    `404.html`. Hidden files (a checkout's .git) and links out of the folder count as unknown.
    """
    root = folder.resolve()

    @get(["/", "/{path:path}"], include_in_schema=False)
    async def page(request: Request[Any, Any, Any], path: FromPath[str] = "/") -> Response[Any]:
        parts = PurePosixPath(path).parts[1:]
        file = _inside(root, *parts)
        if file is not None and file.is_dir():
            if not request.scope["raw_path"].endswith(b"/"):
                query = f"?{request.url.query}" if request.url.query else ""
                # relative, because a proxy may serve the pages below a prefix
                return Redirect(f"./{quote(parts[-1])}/{query}")
            file = _inside(root, *parts, "index.html")
        elif file is None and parts:
            file = _inside(root, *parts[:-1], f"{parts[-1]}.html")
        if file is None or not file.is_file():
            return _not_found(root, *parts)
        return await _answer(request, file)

    return page


def _inside(root: Path, *parts: str) -> Path | None:
    """The file or folder with this path; None where there is none, where it is hidden or outside of the folder."""
    try:
        file = root.joinpath(*parts).resolve(strict=True)
    except (OSError, ValueError):  # no such file; a name too long; a NUL in it
        return None
    return file if file.is_relative_to(root) and not any(part.startswith(".") for part in parts) else None


def _not_found(root: Path, *parts: str) -> Response[Any]:
    """The portal's page for what is not there. Raises NotFoundException if it has none, and for routes of the API."""
    page = _inside(root, "404.html")
    if page is None or not page.is_file() or parts[:1] == ("api",):
        raise NotFoundException
    return Response(page.read_bytes(), status_code=404, media_type="text/html")


async def _answer(request: Request[Any, Any, Any], file: Path) -> Response[Any]:
    async def read(part: range) -> AsyncIterator[bytes]:
        return _chunks(file, part)

    found = await anyio.Path(file).stat()
    kind, encoding = mimetypes.guess_type(file.name)
    return await answer_file(
        request,
        size=found.st_size,
        tag=f'"{found.st_mtime_ns:x}-{found.st_size:x}"',
        media_type=kind if kind and not encoding else "application/octet-stream",
        # the browser asks each time whether a page has changed
        headers={"cache-control": "no-cache"},
        read=read,
    )


async def _chunks(file: Path, part: range) -> AsyncIterator[bytes]:
    async with await anyio.open_file(file, "rb") as opened:
        await opened.seek(part.start)
        left = len(part)
        while left and (chunk := await opened.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk
