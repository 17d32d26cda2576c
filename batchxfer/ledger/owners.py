"""Who owns claims on a SQLite ledger: each owner holds a lock of the operating system on a file of its own.

The system lets go of the lock when the process ends, however it ends; so a claim whose owner's lock is free is abandoned,
at once, and a process that is only frozen still owns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import time
from collections.abc import Container
from datetime import datetime
from enum import Enum
from pathlib import Path

from batchxfer.errors import BatchxferError, BusyError
from batchxfer.ids import new_id
from batchxfer.ledger.faults import refused

_SUFFIX = ".lock"


class Presence(Enum):
    """What an owner's lock says: held, free since its process ended, or that there is no lock file."""

    HERE = "here"
    GONE = "gone"
    UNKNOWN = "unknown"


def new_owner(now: datetime) -> str:
    """A name for this process that no other has, and that tells an operator where to look: `host.pid.id`."""
    host = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in socket.gethostname())
    return f"{host[:60] or 'host'}.{os.getpid()}.{new_id(now)}"


class OwnerLocks:
    """The locks in `folder`: taken for the owners of this process, looked at for those of others.

    flock, not fcntl's record locks: it also tells two owners of one process apart, and closing another descriptor of the
    file does not lose it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        self._guard = threading.Lock()

    def hold(self, owner: str) -> bool:
        """Hold `owner`'s lock until `release`, and say whether it was taken just now. Raises BusyError where another
        process (or another ledger object) holds that name."""
        with self._guard:
            if owner in self._held:
                return False
            self._held[owner] = self._acquire(owner)
            return True

    def holds(self, owner: str) -> bool:
        with self._guard:
            return owner in self._held

    @property
    def owners(self) -> set[str]:
        """The owners whose locks this process holds."""
        with self._guard:
            return set(self._held)

    def presence(self, owner: str) -> Presence:
        """Whether `owner`'s process lives."""
        if self.holds(owner):
            return Presence.HERE
        try:
            descriptor = os.open(self._path(owner), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return Presence.UNKNOWN
        except OSError as exc:
            raise self._unusable(exc) from exc
        try:
            # Shared, so that two who look at once do not take each other for the owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Presence.HERE
        finally:
            os.close(descriptor)
        return Presence.GONE

    def sweep(self, keep: Container[str]) -> None:
        """Remove the lock files of processes that ended, except those of the owners in `keep`."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob("*" + _SUFFIX):
                owner = path.name.removesuffix(_SUFFIX)
                if owner not in keep and not self.holds(owner):
                    _remove_if_free(path)

    def release(self, *, keep: Container[str] = ()) -> None:
        """Let go of every lock; the files of owners in `keep` stay, and say that their process ended."""
        with self._guard:
            for owner, descriptor in self._held.items():
                if owner not in keep:
                    with contextlib.suppress(OSError):
                        self._path(owner).unlink()
                os.close(descriptor)
            self._held.clear()

    def _acquire(self, owner: str) -> int:
        path = self._path(owner)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                with contextlib.ExitStack() as undo:
                    undo.callback(os.close, descriptor)
                    _lock(descriptor)
                    # A sweep may have removed the file between its opening and the lock: make it anew.
                    if _is_at(descriptor, path):
                        undo.pop_all()
                        return descriptor
        except BlockingIOError as exc:
            raise BusyError(f"the owner {owner!r} is another process's", hint="wait until it has ended") from exc
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _path(self, owner: str) -> Path:
        if not owner or "/" in owner or "\0" in owner or owner.startswith("."):
            raise ValueError(f"not a name for an owner: {owner!r}")
        return self._folder / (owner + _SUFFIX)

    def _unusable(self, exc: OSError) -> BatchxferError:
        return refused(exc, f"the ledger's locks in {self._folder} cannot be used")


_PATIENCE = 200


def _lock(descriptor: int) -> None:
    for patience in range(_PATIENCE, -1, -1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Somebody who only looks lets go within microseconds; an owner does not.
            if not patience:
                raise
            time.sleep(0.001)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _remove_if_free(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, path):
            path.unlink()
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
