"""Where a fetched file is written on this machine: whole under its name, or not at all; never over another file.

While it is fetched it is `.NAME.ID.part`. What a broken link left is made durable and kept as `.NAME.ID.kept`, and only that is
gone on with: what a killed process left may have holes after a power cut.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

from batchxfer import paths
from batchxfer.errors import HeldError, StorageError
from batchxfer.spool import chunks, storage_errors, sync_folder, unreadable
from batchxfer.writeback import Writeback

OVERLAP_BYTES = 256 << 10
"""How much of what is here already is fetched again and compared, before the rest is."""


class Follower(Protocol):
    """Who is told of a file on its way in."""

    def came(self, descriptor: int, size: int) -> None:
        """Its first `size` bytes are in the open file `descriptor`."""

    def began_anew(self) -> None:
        """What was here is forgotten."""


class Arrival:
    """One file on its way in. `target` is the name that it should have, `key` tells its temporary names from all others'."""

    follower: Follower | None = None

    def __init__(self, target: Path, key: str) -> None:
        self.target = target
        self._part = target.with_name(f".{target.name}.{key}.part")
        self._kept = target.with_name(f".{target.name}.{key}.kept")
        self._file: int | None = None
        self._writeback: Writeback | None = None
        self._digest = hashlib.sha256()
        self.bytes = 0

    # writing

    def open(self) -> None:
        """Begin, or go on where a broken link left off: `bytes` are here already."""
        with storage_errors(self.target):
            self._part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self._part.unlink()
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._kept, self._part)
            self._file = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._digest, self.bytes = hashlib.sha256(), 0
            for piece in chunks(self._part):
                self._digest.update(piece)
                self.bytes += len(piece)
            os.lseek(self._file, 0, os.SEEK_END)
        self._writeback = Writeback(self._file)

    def restart(self) -> None:
        """Forget what is here."""
        if self.follower is not None:
            self.follower.began_anew()
        with storage_errors(self.target):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._digest, self.bytes = hashlib.sha256(), 0

    def tail(self) -> bytes:
        """The end of what is here, to be compared."""
        with storage_errors(self.target):
            size = min(self.bytes, OVERLAP_BYTES)
            return os.pread(self._descriptor, size, self.bytes - size)

    def write(self, data: bytes | memoryview) -> None:
        view, size = memoryview(data), memoryview(data).nbytes
        self._digest.update(view)
        self.bytes += size
        with storage_errors(self.target):
            while view:
                view = view[os.write(self._descriptor, view) :]
            if self._writeback is not None:
                self._writeback.wrote(size)
        if self.follower is not None:
            self.follower.came(self._descriptor, self.bytes)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def digest(self, algorithm: str) -> str:
        """Of the finished file, by any algorithm that hashlib has."""
        if algorithm == self._digest.name:
            return self.sha256
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with storage_errors(self.target):
            for piece in chunks(self._part):
                digest.update(piece)
        return digest.hexdigest()

    @property
    def _descriptor(self) -> int:
        if self._file is None:
            raise ValueError("not open")
        return self._file

    # ending

    def finish(self) -> None:
        """Make the bytes durable."""
        with storage_errors(self.target):
            self._make_durable()
        self._close()

    def keep(self) -> None:
        """Keep what is here for the next attempt; where that fails, nothing is kept."""
        try:
            self._make_durable()
            self._close()
            os.rename(self._part, self._kept)
        except (OSError, ValueError):
            self.discard()

    def discard(self) -> None:
        self._close()
        for path in (self._part, self._kept):
            with contextlib.suppress(OSError):
                path.unlink()

    def _make_durable(self) -> None:
        self._end_writeback()
        os.fsync(self._descriptor)

    def _end_writeback(self) -> None:
        writeback, self._writeback = self._writeback, None
        if writeback is not None:
            writeback.end()

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._end_writeback()
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def accept(self, intend: Callable[[Path], None]) -> Path:
        """Give the finished file its name, or the next one that is free (`a.2.csv`). `intend` is told each name before it is
        tried, and what it raises stops it there."""
        for name in self._names():
            if name.exists() or name.is_symlink():
                continue
            intend(name)
            with storage_errors(name):
                if _take_name(self._part, name):
                    self._part.unlink(missing_ok=True)
                    sync_folder(name.parent)
                    return name
        raise StorageError(f"no name is free beside {self.target}", hint="tidy the folder up")  # pragma: no cover

    def accepted(self, name: Path, sha256: str) -> bool:
        """Whether an attempt that was killed had given the file its name: there with these bytes, and not somebody else's."""
        try:
            here = name.stat(follow_symlinks=False)
        except OSError:
            return False
        with contextlib.suppress(FileNotFoundError):
            if not os.path.samestat(here, self._part.stat(follow_symlinks=False)):
                return False
        if digest_of(name) != sha256:
            return False
        self.discard()
        return True

    def _names(self) -> Iterator[Path]:
        for number in count(1):
            yield self.target.with_name(paths.numbered(self.target.name, number))


def _take_name(part: Path, name: Path) -> bool:
    """Give `part` the name where it is free, in one step; whether it was."""
    try:
        os.link(part, name, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links: the name is taken first, by an empty file, and then replaced.
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        os.replace(part, name)
    return True


def digest_of(path: Path) -> str | None:
    """The sha256 of a file; None where it is not there."""
    digest = hashlib.sha256()
    try:
        for piece in chunks(path):
            digest.update(piece)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return digest.hexdigest()


_BRING_BACK = (
    "bring it back from a backup, then: batchxfer retry RUN; or never load it: batchxfer exclude RUN --why TEXT"
)


def whole(path: Path | None, sha256: str | None) -> Iterator[bytes]:
    """The bytes of a fetched file. Raises HeldError where they are gone, or not those that were fetched; that is known only
    at the end, which must be reached before anything is done with them that cannot be undone."""
    digest, gone = (
        hashlib.sha256(),
        HeldError(f"the fetched file {path} is gone", hint=_BRING_BACK),
    )
    if path is None:
        raise gone
    try:
        for piece in chunks(path):
            digest.update(piece)
            yield piece
    except FileNotFoundError as exc:
        raise gone from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc
    if digest.hexdigest() != sha256:
        raise HeldError(
            f"the fetched file {path} was changed on this machine: its sha256 is not the recorded {sha256}",
            hint=_BRING_BACK,
        )
