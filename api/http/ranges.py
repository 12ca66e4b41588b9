"""Answers with a file, a range of its bytes, or nothing where the client has it (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from litestar import Request, Response
from litestar.response import Stream

from api.http import etag

IS_HEAD = "is_head"
"""The name in a request's state that tells that it was a HEAD."""

# without backtracking, which takes hours for a header of spaces
_RANGE = re.compile(r"\s*+bytes\s*+=\s*+(\d{0,18}+)\s*+-\s*+(\d{0,18}+)\s*+", re.ASCII | re.IGNORECASE)


async def answer_file(
    request: Request[Any, Any, Any],
    *,
    size: int,
    tag: str,
    media_type: str,
    headers: dict[str, str],
    read: Callable[[range], Awaitable[AsyncIterator[bytes]]],
) -> Response[Any]:
    """The answer to a GET of a file with this size in bytes and this strong entity tag.

    304 where If-None-Match names the tag; 206 for a range of bytes, unless If-Range names another tag; 416 for a range
    behind the end; else 200. `read` opens the file for a range, which is never empty, and returns its bytes in chunks;
    those of a HEAD are not read.
    """
    headers = headers | {"etag": tag, "accept-ranges": "bytes"}
    if etag.matches(request.headers.get("if-none-match", ""), tag):
        return Response(b"", status_code=304, headers=headers)
    asked = None
    if request.headers.get("if-range", tag) == tag:
        asked = asked_range(request.headers.get("range", ""), size)
    if asked is not None and not asked:
        return Response(b"", status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
    part = range(size) if asked is None else asked
    headers["content-length"] = str(len(part))
    if asked is not None:
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    if not part:
        return Response(b"", headers=headers, media_type=media_type)
    status = 200 if asked is None else 206
    chunks = await read(part)
    if request.state.get(IS_HEAD):
        return Response(b"", status_code=status, headers=headers, media_type=media_type)
    return Stream(chunks, status_code=status, headers=headers, media_type=media_type)


def asked_range(header: str, size: int) -> range | None:
    """The bytes that the header Range asks for, empty if the file has none of them; None for the whole file.

    A header that asks for several ranges, or for none, counts as missing, as RFC 9110 allows.
    """
    match = _RANGE.fullmatch(header)
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)
