"""What SFTP servers do wrong, or in their own way: one small class each."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncssh
from asyncssh.packet import String, UInt32
from asyncssh.sftp import SFTPServerHandler

from tests.servers.partner import Folder


class Status(asyncssh.SFTPError):
    """A status sent as it is: asyncssh would send codes above 8 to a client of version 3 as 4."""

    def encode(self, version: int) -> bytes:
        return UInt32(self.code) + String(self.reason) + String("en")


class RefusesOneWrite(Folder):
    """Refuses the nth write (from 1) of a file with a status, and carries on."""

    nth = 1
    code = 4
    seen = 0

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        type(self).seen += 1
        if self.seen == self.nth:
            raise Status(self.code, "no")
        return super().write(file_obj, offset, data)


class DiskFull(Folder):
    """Takes so many bytes, then has no room: each server says so in its own way."""

    code = 14
    text = "No space left on device"
    room = 100_000

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        if offset + len(data) > self.room:
            raise Status(self.code, self.text)
        return super().write(file_obj, offset, data)


class RefusesClose(Folder):
    """Takes every write and fails at the close, as a share does that writes late."""

    async def close(self, file_obj: Any) -> None:
        super().close(file_obj)
        raise Status(4, "Input/output error")


class DropsMidWrite(Folder):
    """The line breaks after the nth write."""

    nth = 3
    seen = 0

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        type(self).seen += 1
        if self.seen == self.nth:
            self.cut()
        return super().write(file_obj, offset, data)


class StallsAt(Folder):
    """Never answers one operation."""

    operation = "write"

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "operation"):
            return _never
        return super().__getattribute__(name)


async def _never(*_: Any) -> None:
    await asyncio.Event().wait()


class StatLies(Folder):
    """Says that every file is one byte shorter."""

    def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        attrs = asyncssh.SFTPAttrs.from_local(super().lstat(path))
        attrs.size = (attrs.size or 0) - 1
        return attrs


class RenameRefused(Folder):
    """Has no right to rename."""

    code = 3

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        raise Status(self.code, "")


class RenameRefusedButDone(Folder):
    """Renames, and says that it failed."""

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        raise Status(4, "")


class RenameOverwrites(Folder):
    """Its plain rename overwrites, as with some servers."""

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        return super().posix_rename(oldpath, newpath)


class SomebodyIsFaster(Folder):
    """The final name appears between the look and the rename; refused with a status of its own kind."""

    code = 4

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        (self.root / newpath.decode().lstrip("/")).write_bytes(b"theirs")
        raise Status(self.code, "")


class NoSetstat(Folder):
    """Refuses every change of attributes."""

    def setstat(self, *_: Any) -> None:
        raise Status(8, "setstat")

    def fsetstat(self, *_: Any) -> None:
        raise Status(8, "fsetstat")


class ReorderedReplies(Folder):
    """Answers in any order."""

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        await asyncio.sleep(random.random() / 100)
        return super().write(file_obj, offset, data)

    async def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        await asyncio.sleep(random.random() / 100)
        return super().read(file_obj, offset, size)


class ShortReads(Folder):
    """Gives less than was asked for, each time another amount."""

    def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        return super().read(file_obj, offset, 1 + (offset * 7919 + size) % size)


class WriteOnlyMailbox(Folder):
    """Takes files and lets nobody look."""

    def stat(self, path: bytes) -> Any:
        raise Status(3, "")

    lstat = stat

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if pflags & asyncssh.FXF_READ:
            raise Status(3, "")
        return super().open(path, pflags, attrs)


class NoExclusiveCreate(Folder):
    """Does not know the flag for an exclusive create."""

    code = 8

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if pflags & asyncssh.FXF_EXCL:
            raise Status(self.code, "")
        return super().open(path, pflags, attrs)


class NoLstat(Folder):
    """Knows only the stat that follows links."""

    def lstat(self, path: bytes) -> Any:
        raise Status(8, "")


class TakesFilesAtOnce(Folder):
    """A consumer takes each file as soon as it is renamed."""

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        (self.root / newpath.decode().lstrip("/")).unlink()


class NoExtensions:
    """A block in which servers offer no extensions: no posix-rename, no limits."""

    def __enter__(self) -> None:
        self._kept = SFTPServerHandler._extensions
        SFTPServerHandler._extensions = []

    def __exit__(self, *_: object) -> None:
        SFTPServerHandler._extensions = self._kept


class TakenAt(Folder):
    """Somebody takes the temporary file away before the server does one operation with it."""

    operation = "rename"

    def close(self, file_obj: Any) -> None:
        super().close(file_obj)
        if self.operation == "close":
            self._take()

    def lstat(self, path: bytes) -> Any:
        if self.operation == "lstat" and path.endswith(b".part"):
            self._take()
        return super().lstat(path)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        if self.operation == "rename":
            self._take()
        super().rename(oldpath, newpath)

    def _take(self) -> None:
        for path in self.root.rglob("*.part"):
            path.unlink()


class SlowlySteady(Folder):
    """Answers each write after a while."""

    seconds = 0.3

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        await asyncio.sleep(self.seconds)
        return super().write(file_obj, offset, data)
