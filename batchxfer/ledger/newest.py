"""The newest event that the spool knows of: what tells a ledger that was put back from a backup.

Once a commit is on disk, the number and the instant of the newest event go into a small file in the spool. A ledger that has no
event of that number, or another one, has forgotten something. The file is always behind the ledger, never ahead of it: so it
needs no sync of its own, and where it is lost or torn nothing is known, which is what a new project knows.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batchxfer.ports import PROJECT_ID

NAME = "newest-event"
# Always the same length, and well within a page: written at once, over what was there.
_WIDTH = 100


@dataclass(frozen=True)
class NewestEvent:
    """An event by its number, and when it happened."""

    id: int
    at: datetime


def read(spool: Path) -> NewestEvent | None:
    """The event that `spool` remembers; None where it remembers none."""
    try:
        text = (spool / NAME).read_bytes()[:_WIDTH].decode("ascii")
        number, at, check = text.split()
        if check != _check(f"{number} {at}"):
            return None
        return NewestEvent(int(number), datetime.fromisoformat(at))
    except (OSError, ValueError):
        return None


class Memory:
    """Writes what `spool` remembers. What cannot be written is not remembered: the work goes on."""

    def __init__(self, spool: Path) -> None:
        self._path = spool / NAME
        self._guard = threading.Lock()
        self._known: NewestEvent | None = None
        self._was_read = False

    @property
    def known(self) -> NewestEvent | None:
        """What is remembered, as far as this process knows."""
        with self._guard:
            if self._was_read:
                return self._known
        return self.read_again()

    def read_again(self) -> NewestEvent | None:
        with self._guard:
            self._known, self._was_read = read(self._path.parent), True
            return self._known

    def remember(self, newest: NewestEvent) -> None:
        text = f"{newest.id} {newest.at.isoformat(timespec='microseconds')}"
        line = f"{text} {_check(text)}".ljust(_WIDTH - 1) + "\n"
        with self._guard:
            if self._known is not None and newest.id <= self._known.id:
                return
            with contextlib.suppress(OSError):
                descriptor = self._open()
                try:
                    os.pwrite(descriptor, line.encode(), 0)
                    self._known, self._was_read = newest, True
                finally:
                    os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            # Not in the empty place of a spool that is away.
            os.stat(self._path.with_name(PROJECT_ID))
            return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def forget(self) -> None:
        """Begin anew with a ledger whose numbers are lower."""
        with self._guard:
            self._known, self._was_read = None, True


def _check(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
