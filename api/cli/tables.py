"""Tables in plain columns, without a frame: they fit into 80 columns, and grep, cut and awk can read them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from api.cli.texts import visible_line

_GAP = "  "


@dataclass(frozen=True)
class Row:
    """The cells of a row, a sentence about it, and the Rich style that draws attention to it."""

    cells: tuple[str, ...]
    note: str = ""
    style: str = ""


class Table:
    """Prints rows in columns that are as wide as the widest cell so far.

    On a terminal the note of a row stands below it, wrapped and indented. Elsewhere the note is the last column, so
    that each row is one line. An empty cell is a dash; characters that cannot be seen are escaped.
    """

    def __init__(self, console: Console, *names: str, numbers: Collection[str] = (), note: str | None = None) -> None:
        """Takes the names of the columns, those of them that are aligned to the right, and the name of the notes."""
        self._console = console
        self._has_notes_below = note is not None and console.is_terminal
        self._names = names if note is None or console.is_terminal else (*names, note)
        self._is_number = [name in numbers for name in self._names]
        self._widths: list[int] = []

    def print(self, rows: Iterable[Row]) -> None:
        """Prints rows, and before the first ones the names of the columns. Prints nothing where there is no row."""
        rows = [self._complete(row) for row in rows]
        if not rows:
            return
        if not self._widths:
            self._widths = [0] * len(self._names)
            rows.insert(0, Row(self._names, style="bold"))
        columns = zip(*(row.cells for row in rows), strict=True)
        self._widths = [max(width, *map(cell_len, cells)) for width, cells in zip(self._widths, columns, strict=True)]
        if not self._console.is_terminal:
            self._console.file.writelines(f"{self._line(row)}\n" for row in rows)
            return
        for row in rows:
            self._console.print(Text(self._line(row), row.style), soft_wrap=True)
            if self._has_notes_below and row.note:
                self._console.print(Padding(Text(row.note, "dim"), (0, 0, 0, len(_GAP)), expand=False), soft_wrap=False)

    def _complete(self, row: Row) -> Row:
        """The row with its note as the last cell where it does not stand below, and dashes for empty cells."""
        note = visible_line(row.note)
        notes = [note] if len(self._names) > len(row.cells) else []
        cells = (visible_line(cell) or "-" for cell in chain(row.cells, notes))
        return Row(tuple(cells), note, row.style)

    def _line(self, row: Row) -> str:
        cells = []
        for cell, width, is_number in zip(row.cells, self._widths, self._is_number, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if is_number else cell + space)
        return _GAP.join(cells).rstrip()
