"""Compiles a paper in a process of its own, because typst keeps the memory of the papers that it has made."""

import sys
from datetime import datetime
from pathlib import Path

import typst


def main(paper: str, created: str) -> None:
    """Write the PDF of a paper beside it, as one that was created at this time (ISO 8601)."""
    file = Path(paper)
    typst.compile(file, root=file.parent, output=file.with_suffix(".pdf"), timestamp=datetime.fromisoformat(created))


if __name__ == "__main__":
    main(*sys.argv[1:])
