"""Tables without lines: columns side by side, cut to the terminal's width, whole in a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from batchxfer.cli.output import Output, is_terminal, visible

GAP = "  "
NARROWEST = 10


@dataclass(frozen=True)
class Cell:
    """A text in one column, and the colour of it on a terminal."""

    text: str
    style: str | None = None


Row = Sequence[str | Cell]


def draw(header: Sequence[str], rows: Sequence[Row], output: Output, *, right: Sequence[int] = ()) -> None:
    """Print a table on stdout; columns in `right` (by number) are aligned to the right, the last one gives way."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [
        max(_width(text) for text in (title, *(row[number].text for row in cells)))
        for number, title in enumerate(header)
    ]
    if is_terminal(sys.stdout):
        room = shutil.get_terminal_size().columns - sum(width + len(GAP) for width in widths[:-1])
        widths[-1] = min(widths[-1], max(room, NARROWEST))
    for row in ([Cell(title, "bold") for title in header], *cells):
        fitted = [
            _fit(cell, width, number in right, output)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        output.say_drawn(GAP.join(fitted).rstrip())


def _cell(value: str | Cell) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(visible(" ".join(cell.text.split())), cell.style)


def _width(text: str) -> int:
    """Columns that a text takes: wide characters take two."""
    from rich.cells import cell_len

    return cell_len(text)


def _fit(cell: Cell, width: int, right: bool, output: Output) -> str:
    from rich.cells import set_cell_size

    text = cell.text if _width(cell.text) <= width else set_cell_size(cell.text, width - 1).rstrip() + "…"
    space = " " * (width - _width(text))
    styled = output.styled(text, cell.style)
    return space + styled if right else styled + space
