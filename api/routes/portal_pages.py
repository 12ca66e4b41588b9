"""The portal's own pages, from the same origin as its API (PORTAL_DIR)."""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import File, Redirect


def portal_pages(folder: Path) -> HTTPRouteHandler:
    """A route that serves the files of a folder, and `index.html` for a folder in it.

    Hidden files (a checkout's .git) and links out of the folder get 404.
    """
    root = folder.resolve()

    @get(["/", "/{path:path}"], include_in_schema=False)
    async def page(request: Request[Any, Any, Any], path: FromPath[str] = "/") -> File | Redirect:
        parts = PurePosixPath(path).parts[1:]
        try:
            file = root.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError) as error:  # no such file; a name too long; a NUL in it
            raise NotFoundException from error
        if any(part.startswith(".") for part in parts) or not file.is_relative_to(root):
            raise NotFoundException
        if file.is_dir():
            if not request.scope["raw_path"].endswith(b"/"):
                query = f"?{request.url.query}" if request.url.query else ""
                # relative, because a proxy may serve the pages below a prefix
                return Redirect(f"./{quote(parts[-1])}/{query}")
            file /= "index.html"
        if not file.is_file():
            raise NotFoundException
        return File(file, filename=file.name, content_disposition_type="inline")

    return page
