"""The operator's page at /admin: the files of `static/`, and Vega from an installed package.

The page needs no sign-in, because it holds no data: the data comes from /api/admin, which authenticates requests.
"""

import gzip
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Annotated

from anyio import to_thread
from litestar import Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, HeaderParameter

from api.http import etag

_FOLDER = Path(__file__).parent / "static"
_INDEX, _VEGA = "index.html", "vega.js"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_HEADERS = {
    # no other origin, no inline script, no eval: a text from the database can never run as a script
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    # over plain http browsers tell only by the referrer that a request is of a page of this server
    "referrer-policy": "same-origin",
    "cache-control": "no-cache",  # the browser revalidates by the etag each time
    "vary": "accept-encoding",
}

# in a process of its own: bundling blocks the interpreter for more than a second, and its engine takes 80 MB
_MAKE_VEGA = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle('export {vegaEmbed}'))"
_making = Lock()


@dataclass(frozen=True)
class Asset:
    """A file with its headers, ready to be sent."""

    media_type: str
    body: bytes
    gzipped: bytes
    tag: str

    @classmethod
    def of(cls, suffix: str, body: bytes) -> "Asset":
        """Returns the asset with this body; the suffix of its name decides the media type."""
        return cls(_MEDIA_TYPES[suffix], body, gzip.compress(body, mtime=0), etag.weak_etag(body))


@cache
def _files() -> dict[str, Asset]:
    """The files of `static/`, by name."""
    files = [file for file in _FOLDER.iterdir() if file.suffix in _MEDIA_TYPES]
    return {file.name: Asset.of(file.suffix, file.read_bytes()) for file in files}


@cache
def _vega() -> Asset:
    """Vega, Vega-Lite and vega-embed as one module."""
    made = subprocess.run([sys.executable, "-I", "-c", _MAKE_VEGA], capture_output=True, check=True)  # noqa: S603 (ours)
    return Asset.of(".js", made.stdout)


def _asset(name: str) -> Asset | None:
    """Returns the asset of this name, if there is one. The first request for Vega bundles it; others wait."""
    if name == _VEGA:
        with _making:
            return _vega()
    return _files().get(name)


# the page names its files admin/..., which is /admin/admin/... where its own address is /admin/
@get(["/", "/{name:str}", "/admin/{name:str}"])
async def page(
    name: FromPath[str] = _INDEX,
    accept_encoding: Annotated[str, HeaderParameter(name="accept-encoding")] = "",
    if_none_match: Annotated[str, HeaderParameter(name="if-none-match")] = "",
) -> Response[bytes]:
    """The page, or one of its files."""
    asset = await to_thread.run_sync(_asset, name)
    if asset is None:
        raise NotFoundException
    headers = _HEADERS | {"etag": asset.tag}
    if etag.matches(if_none_match, asset.tag):
        return Response(b"", status_code=304, headers=headers)
    if "gzip" in accept_encoding:
        return Response(asset.gzipped, headers=headers | {"content-encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


admin_pages = Router("/admin", route_handlers=[page], include_in_schema=False)
