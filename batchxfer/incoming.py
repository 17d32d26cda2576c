"""A file that one thread fetches while another one loads it. Its reader comes to no end before the file was taken."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator

from batchxfer.spool import CHUNK

LONGEST_SECONDS = 30.0
"""How long a load waits for a file that was to be here soon: its transaction is open all the while."""


class GivenUp(Exception):
    """The file is not loaded while it is fetched. Nobody's failure: it is loaded afterwards, or not at all."""


class Incoming:
    """The content of a file that is fetched. The fetcher says `came` until it is here, and then `taken`, or `give_up`; only
    then does who reads its `pieces` know that these were all, or gets GivenUp."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._file: int | None = None
        self._bytes = 0
        self._sha256: str | None = None
        self._given_up = False
        self._is_read = False

    # the fetcher's

    def came(self, descriptor: int, size: int) -> None:
        """The first `size` bytes can be read from the open file `descriptor`, which may be closed afterwards."""
        with self._changed:
            self._bytes = size
            try:
                if self._file is None and not self._given_up:
                    self._file = os.dup(descriptor)
            except OSError:
                self._given_up = True
            self._changed.notify_all()

    def taken(self, sha256: str) -> None:
        """All of it is here, durable, verified and recorded."""
        with self._changed:
            self._sha256 = sha256
            self._changed.notify_all()

    def give_up(self) -> None:
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody reads it any more."""
        with self._changed:
            self._given_up = True
            file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                os.close(file)

    # the reader's

    @property
    def is_taken(self) -> bool:
        return self._sha256 is not None

    def pieces(self) -> Iterator[bytes]:
        """The bytes, once, as far as they are here, until it was taken. Raises GivenUp; also where what was read is not what
        was taken, and when it is asked for a second time: there is time for that when the file is here."""
        with self._changed:
            if self._is_read:
                raise GivenUp
            self._is_read = True
        until, at, digest = time.monotonic() + LONGEST_SECONDS, 0, hashlib.sha256()
        while (end := self._wait(at, until)) > at:
            while at < end:
                piece = self._read(min(CHUNK, end - at), at)
                digest.update(piece)
                at += len(piece)
                yield piece
        if digest.hexdigest() != self._sha256:
            raise GivenUp

    def _wait(self, at: int, until: float) -> int:
        """How many bytes are here: more than `at`, or all."""
        with self._changed:
            while not self._given_up and self._bytes <= at and self._sha256 is None:
                if not self._changed.wait(until - time.monotonic()):
                    self._given_up = True
            if self._given_up:
                raise GivenUp
            return self._bytes

    def _read(self, size: int, at: int) -> bytes:
        with self._changed:
            if self._file is None:
                raise GivenUp
            try:
                piece = os.pread(self._file, size, at)
            except OSError as exc:
                raise GivenUp from exc
        if not piece:
            raise GivenUp
        return piece
