"""The formats that commands write, and the file or the output that they write to."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO, TypeAlias

import typer

from api.errors import PortalError


class Format(StrEnum):
    """A format: `table` for people, the others for programs."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


Output: TypeAlias = Annotated[Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Default: the terminal.")]


@contextmanager
def open_output(output: Path | None) -> Iterator[TextIO]:
    """Yields the file to write, or standard output. Raises PortalError where the file cannot be written."""
    if output is None:
        yield sys.stdout
        return
    with open_binary_output(output) as file, TextIOWrapper(file, encoding="utf-8", newline="") as text:
        yield text


@contextmanager
def open_binary_output(output: Path) -> Iterator[BinaryIO]:
    """Yields the file to write as bytes. Raises PortalError where it cannot be written.

    Only its owner can read a new file: what is written may be about persons.
    """
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
    except OSError as error:
        raise cannot_write(output, error) from error


def cannot_write(output: Path, error: OSError) -> PortalError:
    """The error of a file that cannot be written."""
    return PortalError(f"Cannot write {output} ({error.strerror}).")
