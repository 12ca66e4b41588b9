"""The log: one line of standard error for each request, and for whatever else has to be told.

The lines are JSON, or readable where standard error is a terminal (docs/monitoring.md, "Logs").
"""

import json
import logging
import os
import sys
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from api.cli.texts import visible, visible_line
from api.settings import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""

_encode = json.JSONEncoder(default=repr).encode  # what is not ASCII becomes an escape, line breaks too

_lines: Any = structlog.get_logger()

# until it is configured: the commands write their output elsewhere
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    logger_factory=structlog.WriteLoggerFactory(sys.stderr),
)


def configure(settings: Settings) -> None:
    """Let this process write the lines from LOG_LEVEL on; until then only warnings are written, without a format.

    Of the libraries only warnings are written: what some tell below that has headers of requests.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    before: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = (
        [_visible, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.JSONRenderer(serializer=_json)]
    )
    structlog.configure(
        processors=[*before, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name, _add_request],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *rendered,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("api").setLevel(level)


def write_request(status: int | None, **fields: object) -> None:
    """Write the line of a request: a warning where the server failed."""
    # at once, because a buffer is lost with its process; a reader that has gone must not stop the server
    with suppress(OSError, ValueError):
        (_lines.warning if status is not None and status >= 500 else _lines.info)("request", status=status, **fields)


def new_request_id() -> str:
    """An id that no other request has."""
    return os.urandom(8).hex()


def _json(line: EventDict, **_: object) -> str:
    return _encode(line)


def _add_request(_: object, __: str, line: EventDict) -> EventDict:
    if (current := request_id.get()) is not None:
        line["id"] = current
    return line


def _visible(_: object, __: str, line: EventDict) -> EventDict:
    """Make texts that strangers may have chosen safe for a terminal; a traceback keeps its lines."""
    return {
        name: value
        if not isinstance(value, str)
        else "\n".join(map(visible, value.split("\n")))
        if name == "exception"
        else visible_line(value)
        for name, value in line.items()
    }
