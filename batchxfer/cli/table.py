"""Tables without lines: columns side by side, no wider than the terminal, whole in a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchxfer.cli.output import Output, is_terminal
from batchxfer.errors import visible

GAP = "  "
NARROWEST = 10
ENOUGH = 20
"""Columns of the terminal that the last column needs to say something."""
BELOW = " " * 4


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

    Where a terminal is narrow, the `expendable` columns go, one by one; then the widest one is cut. The last column says
    why, or where: what has no room beside the others stands below its row, and is never cut.
    """
    columns = [[Cell(title, "bold"), *(_cell(row[number]) for row in rows)] for number, title in enumerate(header)]
    if is_terminal(sys.stdout):
        columns = _fitting(columns, expendable, shutil.get_terminal_size().columns)
    widths = [max(_width(cell.text) for cell in column) for column in columns]
    if is_terminal(sys.stdout):
        widths = _cut(widths, shutil.get_terminal_size().columns)
    for number, line in enumerate(zip(*columns, strict=True)):
        fitted = [
            _fit(cell, width, column[0].text in right, output)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        is_below = number > 0 and _width(line[-1].text) > widths[-1]
        output.say_drawn(GAP.join(fitted[:-1] if is_below else fitted).rstrip())
        for part in _wrapped(line[-1].text, shutil.get_terminal_size().columns - len(BELOW)) if is_below else ():
            output.say_drawn(BELOW + output.styled(part, line[-1].style))


def _wrapped(text: str, room: int) -> Iterator[str]:
    """Lines of whole words; a word that is wider (a path) has a line of its own."""
    line = ""
    for word in text.split():
        if line and _width(f"{line} {word}") > room:
            yield line
            line = word
        else:
            line = f"{line} {word}".lstrip()
    yield line


def _fitting(columns: list[list[Cell]], expendable: Sequence[str], room: int) -> list[list[Cell]]:
    """The columns, less as many of the expendable ones as it takes to leave the last one some room."""
    for title in expendable:
        if sum(max(_width(cell.text) for cell in column) + len(GAP) for column in columns[:-1]) + ENOUGH <= room:
            break
        columns = [column for column in columns if column[0].text != title]
    return columns


def _cut(widths: list[int], room: int) -> list[int]:
    """Widths that fit: the last column gives way first (what it says may stand below), then the widest of the others."""
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
