"""A file that one thread builds while another sends it: what was just written from memory, what was before from disk."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from batchxfer.contents import check_digest
from batchxfer.errors import AttemptError, StorageError, TransientError
from batchxfer.model import Artifact
from batchxfer.ports import Readable, Session
from batchxfer.spool import CHUNK, Stretch, unreadable

PATIENCE_SECONDS = 10.0
"""How long a connection is kept for a file that does not grow."""
KEPT_BYTES = 16 << 20
"""How much is kept in memory for its sender; one who is slower reads from disk."""


class TakenBack(Exception):
    """The file is not to be published, or not now: what was sent of it is taken away again.

    `error` says why; None where the process is asked to end. Nobody's failure: the delivery is as if it had not begun.
    """

    def __init__(self, error: AttemptError | None) -> None:
        super().__init__(error)
        self.error = error


class Growing:
    """The content of a file that is built. It ends only once it is released: whole, and recorded; until then its sender waits.
    Built by `grow … whole`, then `release` or `take_back`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._path: Path | None = None
        self._stretches: list[Stretch] = []
        self._bytes = 0
        self._kept_bytes = 0
        self._is_read = False
        self._whole = False
        self._artifact: Artifact | None = None
        self._taken_back: TakenBack | None = None
        self._on_release: Callable[[], None] | None = None

    # the builder's

    def grow(self, path: Path, stretch: Stretch) -> None:
        """So much more can be read from `path`."""
        with self._changed:
            kept = self._is_read and self._kept_bytes + stretch.size <= KEPT_BYTES
            self._kept_bytes += stretch.size if kept else 0
            self._stretches.append(stretch if kept else replace(stretch, pieces=()))
            self._path, self._bytes = path, self._bytes + stretch.size
            self._changed.notify_all()

    def whole(self) -> None:
        """Nothing more comes; what is left to be done takes as long as it takes."""
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def release(self, artifact: Artifact) -> None:
        """It may be published."""
        with self._changed:
            self._artifact = artifact
            self._changed.notify_all()

    def take_back(self, error: AttemptError | None) -> None:
        """It is not to be published; too late where it was released and all of it is sent."""
        with self._changed:
            self._taken_back = TakenBack(error)
            self._changed.notify_all()

    # the sender's

    @property
    def is_released(self) -> bool:
        return self._artifact is not None

    @property
    def size(self) -> int:
        return self._known().bytes

    @property
    def sha256(self) -> str:
        return self._known().sha256

    def _known(self) -> Artifact:
        if self._artifact is None:
            raise ValueError("the file is not whole yet")
        return self._artifact

    def hold_deadline(self, session: Session) -> None:
        """The deadline of the attempt begins when the file is released: it is the sending that must not take too long."""
        with self._changed:
            if self._artifact is None:
                session.end_attempt()
                self._on_release = session.begin_attempt

    @contextlib.contextmanager
    def open(self) -> Iterator[Readable]:
        with self._opened() as file, self._kept():
            reader = _Follower(self, file)
            yield reader
            check_digest(self._known().path, reader.hexdigest(), self.sha256)

    def _opened(self) -> BinaryIO:
        with self._changed:
            self._wait_until(lambda: self._path is not None)
            path = self._path or Path()
        try:
            return path.open("rb")
        except FileNotFoundError:
            # It has its final name by now, and will be released, or not.
            with self._changed:
                self._wait_until(lambda: self._artifact is not None)
            return self._known().path.open("rb")

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """What is written while it is read is kept for the reader."""
        with self._changed:
            self._is_read = True
        try:
            yield
        finally:
            with self._changed:
                self._is_read = False
                self._stretches = [replace(stretch, pieces=()) for stretch in self._stretches]
                self._kept_bytes = 0

    def wait_for(self, start: int, size: int) -> None:
        """Until `size` bytes from `start` can be read, or all that are left. Raises TakenBack."""
        with self._changed:
            self._wait_until(
                lambda: (
                    self._bytes >= start + size or (self._whole and self._bytes > start) or self._artifact is not None
                )
            )
            act = self._on_release if self._artifact is not None else None
            if act is not None:
                self._on_release = None
        if act is not None:
            act()

    def stretch(self, index: int) -> Stretch | None:
        """One after the other: those before are forgotten. None where there is none yet."""
        with self._changed:
            if index and (done := self._stretches[index - 1]).pieces:
                self._stretches[index - 1] = replace(done, pieces=())
                self._kept_bytes -= done.size
            return self._stretches[index] if index < len(self._stretches) else None

    def _wait_until(self, come: Callable[[], bool]) -> None:
        """Raises TakenBack, also where the file does not grow."""
        while self._taken_back is None and not come():
            if not self._changed.wait(None if self._whole else PATIENCE_SECONDS):
                self._taken_back = TakenBack(TransientError(_NOTHING_COMES, hint=_LATER))
        if self._taken_back is not None:
            raise self._taken_back


_LATER = "it is sent once it is built"
_NOTHING_COMES = f"the query gave nothing for {PATIENCE_SECONDS:g}s: the connection is not kept for it"


_NOTHING = memoryview(b"")


class _Follower:
    """Reads a growing file to its end: what is kept from memory, the rest from disk, where it must be what was written."""

    def __init__(self, growing: Growing, file: BinaryIO) -> None:
        self._growing = growing
        self._file = file
        self._at = 0
        self._index = 0
        self._begun_bytes = 0
        self._views: Iterator[memoryview] = iter(())
        self._rest = _NOTHING
        self._digest = self._at_end = hashlib.sha256()

    def hexdigest(self) -> str:
        """Of all stretches that were read to their end."""
        return self._digest.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        self._growing.wait_for(self._at, size)
        parts = []
        while size > 0 and (self._rest or self._go_on()):
            parts.append(self._rest[:size])
            self._rest = self._rest[size:]
            size -= len(parts[-1])
        data = b"".join(parts)
        parts.clear()
        # What was sent is not kept while more is waited for.
        self._go_on()
        self._at += len(data)
        return data

    def _go_on(self) -> bool:
        """Whether there is more by now: it is in `_rest`."""
        while not self._rest:
            self._rest = next(self._views, _NOTHING)
            if not self._rest and not self._begin_stretch():
                return False
        return True

    def _begin_stretch(self) -> bool:
        self._digest = self._at_end
        stretch = self._growing.stretch(self._index)
        if stretch is None:
            return False
        self._index += 1
        kept = (memoryview(piece).cast("B") for piece in stretch.pieces)
        self._views = kept if stretch.pieces else self._from_disk(stretch, self._begun_bytes)
        self._begun_bytes += stretch.size
        self._at_end = stretch.after
        return True

    def _from_disk(self, stretch: Stretch, start: int) -> Iterator[memoryview]:
        left, digest = stretch.size, stretch.before.copy()
        self._file.seek(start)
        while left:
            piece = self._read(min(left, CHUNK))
            if not piece:
                raise TakenBack(
                    StorageError("the file that is built has fewer bytes than were written to it", hint=_LATER)
                )
            digest.update(piece)
            left -= len(piece)
            if not left and digest.digest() != stretch.after.digest():
                raise TakenBack(
                    StorageError("the file that is built has other bytes than were written to it", hint=_LATER)
                )
            yield memoryview(piece)

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as exc:
            raise unreadable(Path(self._file.name), exc) from exc
