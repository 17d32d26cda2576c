"""The bytes of each file of a delivery: an artifact's, or a few that are known; growing.py has those that are still built."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from batchxfer.errors import HeldError
from batchxfer.model import Artifact, FileRole
from batchxfer.ports import Readable
from batchxfer.spool import VerifyingReader, unreadable


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
                hint="bring the file back from a backup, then: batchxfer retry RUN; or query again: batchxfer rerun RUN",
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
            hint="bring the file back from a backup, then: batchxfer retry RUN; or query again: batchxfer rerun RUN",
        )


def content_of(role: FileRole, data: Content, data_path: str) -> Content:
    """What the file of that role holds; `data` is the data file's, and was read before its sidecars are asked for."""
    if role is FileRole.DATA:
        return data
    return Text(f"{data.sha256}  {data_path.rpartition('/')[2]}\n".encode() if role is FileRole.CHECKSUM else b"")


def stored(artifact: Artifact) -> Stored:
    return Stored(path=artifact.path, size=artifact.bytes, sha256=artifact.sha256)
