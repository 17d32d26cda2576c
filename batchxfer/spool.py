"""The folder where artifacts live: record batches in, a finished file with its digest out.

A file appears under its name only when it is whole and on disk (temporary name, fsync, rename, fsync of the folder);
whatever goes wrong before that leaves nothing behind. Files are for their owner only.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from batchxfer.compression import compressor
from batchxfer.errors import StorageError
from batchxfer.model import Artifact
from batchxfer.ports import PROJECT_ID
from batchxfer.writeback import Writeback

if TYPE_CHECKING:
    from hashlib import _Hash

    from batchxfer.layout import Encoder
    from batchxfer.ports import Rows

CHUNK = 1 << 20
TELL_BYTES = 1 << 20
"""How often who follows a file is told what was written."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """How far a build has come, in rows and bytes as they are in the file."""

    rows: int
    bytes: int


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn this machine's refusals into StorageError with what to do."""
    try:
        yield
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = f"free some space below {path.parent}" if full else f"look at the disk and the rights of {path.parent}"
        raise StorageError(
            f"cannot write {path}: {exc.strerror or exc}. Nothing of it was kept", hint=f"{hint}, then try again"
        ) from exc


def unreadable(path: Path, exc: OSError) -> StorageError:
    """A file of ours that is there and cannot be read just now."""
    hint = f"look at the disk of {path.parent}, the rights there and the limit of open files; it is tried again"
    return StorageError(f"cannot read {path}: {exc.strerror or exc}", hint=hint)


def check_there(spool: Path) -> None:
    """Raise StorageError where the spool is away: files must not go into the empty place of a disk that is not mounted, and
    an artifact that lies on it is not gone."""
    try:
        (spool / PROJECT_ID).stat()
    except FileNotFoundError as exc:
        raise StorageError(
            f"the spool {spool} is away: it has no {PROJECT_ID}",
            hint="mount or restore it, or mend `spool` in config.toml; it is tried again",
        ) from exc
    except OSError as exc:
        raise unreadable(spool / PROJECT_ID, exc) from exc


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What was written to a file since its follower was told last, and the sha256 of the file up to it and with it."""

    size: int
    pieces: tuple[bytes | memoryview, ...]
    before: _Hash
    after: _Hash


class Follower(Protocol):
    """Somebody who reads a file while it is written."""

    def grow(self, path: Path, stretch: Stretch) -> None:
        """So much more can be read from `path`."""

    def whole(self) -> None:
        """Those are all; it is made durable, and gets its name."""


class HashingFile:
    """A new file, for its owner only, that counts and digests (sha256) what is written to it."""

    def __init__(self, path: Path, follower: Follower | None = None) -> None:
        self.path = path
        self.bytes = 0
        self._digest = hashlib.sha256()
        with storage_errors(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=CHUNK)
        self._writeback = Writeback(descriptor)
        self._telling = None if follower is None else _Telling(follower, self._digest)

    def write(self, data: bytes | memoryview) -> None:
        with storage_errors(self.path):
            self._file.write(data)
            self._digest.update(data)
            size = memoryview(data).nbytes
            self.bytes += size
            self._writeback.wrote(size)
        if self._telling is not None and self._telling.wrote(data, size):
            self._tell(self._telling)

    def _tell(self, telling: _Telling) -> None:
        with storage_errors(self.path):
            self._file.flush()
        telling.tell(self.path, self._digest)

    def finish(self) -> str:
        """Make it durable, and return its digest as hex."""
        if self._telling is not None:
            self._tell(self._telling)
            self._telling.follower.whole()
        with storage_errors(self.path):
            self._file.flush()
            self._writeback.end()
            os.fsync(self._file.fileno())
            self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self._writeback.end()
        with contextlib.suppress(OSError):
            self._file.close()
        # What cannot be taken away does no harm (prune finds it), and must not hide what went wrong.
        with contextlib.suppress(OSError):
            self.path.unlink()


class _Telling:
    """Collects what was written until it is worth telling."""

    def __init__(self, follower: Follower, digest: _Hash) -> None:
        self.follower = follower
        self._before = digest.copy()
        self._pieces: list[bytes | memoryview] = []
        self._bytes = 0

    def wrote(self, data: bytes | memoryview, size: int) -> bool:
        """Whether it is to be told now."""
        self._pieces.append(data)
        self._bytes += size
        return self._bytes >= TELL_BYTES

    def tell(self, path: Path, digest: _Hash) -> None:
        if not self._bytes:
            return
        after = digest.copy()
        stretch = Stretch(size=self._bytes, pieces=tuple(self._pieces), before=self._before, after=after)
        self._before, self._pieces, self._bytes = after, [], 0
        self.follower.grow(path, stretch)


@contextlib.contextmanager
def _discarded_on_error(file: HashingFile) -> Iterator[HashingFile]:
    try:
        yield file
    except BaseException:
        file.discard()
        raise


def build(
    path: Path,
    rows: Rows,
    encoder: Encoder,
    *,
    artifact: str,
    compress: str,
    at: datetime,
    progress: Callable[[Built], None] | None = None,
    follower: Follower | None = None,
) -> Artifact:
    """Write `rows` through `encoder` into a new file at `path`, and tell what it is; `follower` reads it meanwhile.

    Raises what `rows` and `encoder` raise (QueryError, UnwritableValue …) and StorageError; then no file remains.
    """
    partial = path.with_name(f"{path.name}.part")
    with _discarded_on_error(HashingFile(partial, follower)) as file:
        _write(file, rows, encoder, compress, progress)
        digest = file.finish()
        with storage_errors(path):
            os.rename(partial, path)
            sync_folder(path.parent)
    return Artifact(id=artifact, path=path, rows=encoder.rows, bytes=file.bytes, sha256=digest, created_at=at)


def _write(
    file: HashingFile, rows: Rows, encoder: Encoder, compress: str, progress: Callable[[Built], None] | None
) -> None:
    stream = compressor(compress, file.write)
    if encoder.needs_totals_first:
        body = file.path.with_name(f"{file.path.name}.body")
        with _discarded_on_error(HashingFile(body)) as held_back:
            _pump(held_back.write, held_back, rows, encoder, progress)
            held_back.finish()
            stream.write(encoder.header_bytes())
            with storage_errors(body):
                for piece in chunks(body):
                    stream.write(piece)
        held_back.discard()
    else:
        _pump(stream.write, file, rows, encoder, progress)
    stream.close()


def _pump(
    write: Callable[[bytes | memoryview], None],
    file: HashingFile,
    rows: Rows,
    encoder: Encoder,
    progress: Callable[[Built], None] | None,
) -> None:
    write(encoder.begin())
    for piece in encoder.encode_all(rows):
        write(piece)
        if progress is not None:
            progress(Built(rows=encoder.rows, bytes=file.bytes))
    write(encoder.end())


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, piece by piece."""
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class VerifyingReader:
    """An artifact being sent; it digests what was read, so that a file damaged on disk is never published."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Raises StorageError, so that a disk that fails here is not taken for a link that broke."""
        try:
            piece = self._file.read(size)
        except OSError as exc:
            raise unreadable(Path(self._file.name), exc) from exc
        self._digest.update(piece)
        return piece

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def orphans(spool: Path, known: set[Path], older_than: datetime) -> list[Path]:
    """Files of ours in the spool that no artifact names and that nobody wrote to since `older_than`."""
    found = []
    for path in spool.glob("*/*"):
        # A build that another process finishes meanwhile may take its file away between the listing and the look.
        with contextlib.suppress(FileNotFoundError):
            old = path.stat().st_mtime < older_than.timestamp()
            if path.is_file() and old and path not in known and not path.parent.name.startswith("."):
                found.append(path)
    return sorted(found)
