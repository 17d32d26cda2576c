"""Tables without lines: columns side by side, cut to the terminal's width, whole in a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from batchxfer.cli.output import Output, is_terminal
from batchxfer.errors import visible

GAP = "  "
NARROWEST = 10
ENOUGH = 20
"""Columns of the terminal that the last column needs to say something."""


@dataclass(frozen=True)
class Cell:
    """A text in one column, and the colour of it on a terminal."""

    text: str
    style: str | None = None


Row = Sequence[str | Cell]


def draw(
    header: Sequence[str],
    rows: Sequence[Row],
    output: Output,
    *,
    right: Sequence[str] = (),
    expendable: Sequence[str] = (),
) -> None:
    """Print a table on stdout. Columns in `right` are aligned to the right.

    Where a terminal is narrow, the `expendable` columns go, one by one; then the last one is cut, then the widest one.
    """
    columns = [[Cell(title, "bold"), *(_cell(row[number]) for row in rows)] for number, title in enumerate(header)]
    if is_terminal(sys.stdout):
        columns = _fitting(columns, expendable, shutil.get_terminal_size().columns)
    widths = [max(_width(cell.text) for cell in column) for column in columns]
    if is_terminal(sys.stdout):
        widths = _cut(widths, shutil.get_terminal_size().columns)
    for line in zip(*columns, strict=True):
        fitted = [
            _fit(cell, width, column[0].text in right, output)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        output.say_drawn(GAP.join(fitted).rstrip())


def _fitting(columns: list[list[Cell]], expendable: Sequence[str], room: int) -> list[list[Cell]]:
    """The columns, less as many of the expendable ones as it takes to leave the last one some room."""
    for title in expendable:
        if sum(max(_width(cell.text) for cell in column) + len(GAP) for column in columns[:-1]) + ENOUGH <= room:
            break
        columns = [column for column in columns if column[0].text != title]
    return columns


def _cut(widths: list[int], room: int) -> list[int]:
    """Widths that fit: the last column gives way first, then the widest of the others."""
    widths = list(widths)
    for number in (len(widths) - 1, widths.index(max(widths[:-1], default=0))):
        excess = sum(widths) + len(GAP) * (len(widths) - 1) - room
        widths[number] = max(widths[number] - max(excess, 0), min(widths[number], NARROWEST))
    return widths


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
