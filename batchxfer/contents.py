"""The bytes of each file of a delivery: an artifact's, those of one that is still being built, or a few that are known."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from batchxfer.errors import AttemptError, HeldError, StorageError, TransientError
from batchxfer.model import Artifact, FileRole
from batchxfer.ports import Readable, Session
from batchxfer.spool import VerifyingReader, unreadable

PATIENCE_SECONDS = 10.0
"""How long a connection is kept for a file that does not grow."""


class Content(Protocol):
    """The bytes of one file. `size` and `sha256` are known at the latest when all of it was read."""

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def open(self) -> contextlib.AbstractContextManager[Readable]:
        """Raises HeldError where it is gone, or was not what was recorded, and StorageError."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A finished file on this machine."""

    path: Path
    size: int
    sha256: str

    @contextlib.contextmanager
    def open(self) -> Iterator[Readable]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError as exc:
            raise HeldError(
                f"the artifact {self.path} is gone",
                hint="bring the file back from a backup and retry, or rerun to query again",
            ) from exc
        except OSError as exc:
            raise unreadable(self.path, exc) from exc
        with file:
            reader = VerifyingReader(file)
            yield reader
            check_digest(self.path, reader.hexdigest(), self.sha256)


@dataclass(frozen=True)
class Text:
    """A few bytes that are known."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @contextlib.contextmanager
    def open(self) -> Iterator[Readable]:
        yield io.BytesIO(self.data)


def check_digest(path: Path, read: str, recorded: str) -> None:
    """Raise HeldError where what was read of an artifact is not what was recorded."""
    if read != recorded:
        raise HeldError(
            f"the artifact {path} was damaged on this machine: its sha256 is not the recorded {recorded}",
            hint="bring the file back from a backup and retry, or rerun to query again",
        )


def content_of(role: FileRole, data: Content, data_path: str) -> Content:
    """What the file of that role holds; `data` is the data file's, and was read before its sidecars are asked for."""
    if role is FileRole.DATA:
        return data
    return Text(f"{data.sha256}  {data_path.rpartition('/')[2]}\n".encode() if role is FileRole.CHECKSUM else b"")


def stored(artifact: Artifact) -> Stored:
    return Stored(path=artifact.path, size=artifact.bytes, sha256=artifact.sha256)


# --- a file that is being built ------------------------------------------------------------------


class TakenBack(Exception):
    """The file is not to be published, or not now: what was sent of it is taken away again.

    `error` says why; None where the process is asked to end. Nobody's failure: the delivery is as if it had not begun.
    """

    def __init__(self, error: AttemptError | None) -> None:
        super().__init__(error)
        self.error = error


class Growing:
    """A file that one thread builds while another sends it. It ends only once it is released: whole, and recorded;
    until then its sender waits. Built by `grow … whole`, then `release` or `take_back`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._path: Path | None = None
        self._bytes = 0
        self._whole = False
        self._artifact: Artifact | None = None
        self._taken_back: TakenBack | None = None
        self._on_release: Callable[[], None] | None = None

    # the builder's

    def grow(self, path: Path, size: int) -> None:
        """So many bytes can be read from `path`."""
        with self._changed:
            self._path, self._bytes = path, size
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
        with self._opened() as file:
            reader = VerifyingReader(file)
            yield _Follower(self, reader)
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

    def _wait_until(self, come: Callable[[], bool]) -> None:
        """Raises TakenBack, also where the file does not grow."""
        while self._taken_back is None and not come():
            if not self._changed.wait(None if self._whole else PATIENCE_SECONDS):
                self._taken_back = TakenBack(TransientError(_NOTHING_COMES, hint="the file is sent once it is built"))
        if self._taken_back is not None:
            raise self._taken_back


_NOTHING_COMES = f"the query gave nothing for {PATIENCE_SECONDS:g}s: the connection is not kept for it"


class _Follower:
    """Reads a growing file to its end."""

    def __init__(self, growing: Growing, reader: VerifyingReader) -> None:
        self._growing = growing
        self._reader = reader
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        self._growing.wait_for(self._at, size)
        piece = self._reader.read(size)
        if not piece and not self._growing.is_released:
            why = "the file that is built has fewer bytes than were written to it"
            raise TakenBack(StorageError(why, hint="it is sent once it is built"))
        self._at += len(piece)
        return piece
