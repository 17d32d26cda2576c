"""Progress on a terminal: rows, bytes and rate on stderr while a run is built and sent; nothing in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchxfer.cli.output import Output, is_terminal
from batchxfer.cli.words import counted
from batchxfer.errors import visible

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from batchxfer.activity import Activity

PATIENCE_SECONDS = 0.4
"""What is over sooner is not drawn."""
LEAST_WORDS = 20


@contextmanager
def watching(output: Output) -> Iterator[Bar | None]:
    """A listener for wiring.workplace that draws; None where nobody watches."""
    if output.as_json or not is_terminal(sys.stderr):
        yield None
        return
    bar = Bar()
    try:
        yield bar
    finally:
        bar.clear()


class Bar:
    """A bar for what goes on now, drawn once it takes a while."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._progress: Progress | None = None
        self._shown: tuple[str, str, str | None] | None = None
        self._task: TaskID | None = None

    def __call__(self, activity: Activity) -> None:
        if time.monotonic() - self._began < PATIENCE_SECONDS:
            return
        if self._progress is None:
            self._progress = _drawing()
            self._progress.start()
        task = self._task_of(self._progress, activity)
        rows = "" if activity.rows is None else counted(activity.rows, "row")
        self._progress.update(task, completed=activity.bytes, total=activity.total, rows=rows)

    def clear(self) -> None:
        """Take the bar away, so that a line can be printed; the next activity brings it back."""
        if self._progress is not None:
            self._progress.stop()
        self._began, self._progress, self._shown, self._task = time.monotonic(), None, None, None

    def _task_of(self, progress: Progress, activity: Activity) -> TaskID:
        shown = (activity.run.id, activity.stage, activity.endpoint)
        if self._task is not None and shown == self._shown:
            return self._task
        if self._task is not None:
            progress.remove_task(self._task)
        self._shown = shown
        self._task = progress.add_task(visible(_told(activity)), total=activity.total, rows="")
        return self._task


def _told(activity: Activity) -> str:
    way = "from" if activity.stage == "fetching" else "to"
    where = f" {way} {activity.endpoint}" if activity.endpoint else ""
    return f"{activity.stage} {activity.run.job}{where}"


def _drawing() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False, markup=False)
    return Progress(*_columns(console.width), console=console, transient=True, redirect_stdout=False)


def _columns(width: int) -> list[ProgressColumn]:
    """What has room on one line: the bar goes first, then the rate, then the rows; words are cut, figures never."""
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TransferSpeedColumn
    from rich.table import Column

    def whole(least: int) -> Column:
        return Column(no_wrap=True, min_width=least)

    left = width - len("⠋ ") - len("999.9/999.9 GB ")
    figures: list[ProgressColumn] = []
    for room, column in (
        (20, TextColumn("{task.fields[rows]}", markup=False, table_column=whole(0))),
        (12, TransferSpeedColumn(table_column=whole(10))),
        (25, BarColumn(bar_width=24, table_column=whole(24))),
    ):
        if left - room >= LEAST_WORDS:
            figures.insert(0, column)
            left -= room
    words = Column(no_wrap=True, overflow="ellipsis", max_width=max(left, 1))
    told = TextColumn("{task.description}", markup=False, table_column=words)
    place = 1 if figures and isinstance(figures[0], BarColumn) else 0
    figures.insert(place, DownloadColumn(table_column=whole(14)))
    return [SpinnerColumn(), told, *figures]
