"""A file that one thread fetches while another one loads it. Its reader comes to no end before the file was taken."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
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
    then does who reads its `pieces` know that these were all, or gets GivenUp.

    The fetcher takes no lock: a signal in the middle of that would keep the reader waiting for ever.
    """

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()
        # Held by who reads, or closes.
        self._using_file = threading.Lock()
        self._file: int | None = None
        self._bytes = 0
        self._sha256: str | None = None
        self._given_up = False
        self._is_read = False
        self._is_whole = False

    # the fetcher's

    def came(self, descriptor: int, size: int) -> None:
        """The first `size` bytes can be read from the open file `descriptor`, which may be closed afterwards."""
        if self._given_up:
            return
        try:
            if self._file is None:
                self._file = os.dup(descriptor)
        except OSError:
            self._given_up = True
        self._bytes = size
        # One ring is enough for all that came since.
        if self._rings.empty():
            self._rings.put(None)

    def taken(self, sha256: str) -> None:
        """All of it is here, durable, verified and recorded."""
        self._sha256 = sha256
        self._rings.put(None)

    def give_up(self) -> None:
        self._given_up = True
        self._rings.put(None)

    def close(self) -> None:
        """Nobody reads it any more."""
        self._given_up = True
        with self._using_file:
            file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                os.close(file)

    # the reader's

    @property
    def is_taken(self) -> bool:
        return self._sha256 is not None

    @property
    def is_whole(self) -> bool:
        """Whether somebody has read what was taken, all of it."""
        return self._is_whole

    def pieces(self) -> Iterator[bytes]:
        """The bytes as far as they are here, until it was taken. Raises GivenUp; also where what was read is not what was
        taken, and when it is asked for a second time before: there is time for that when the file is here."""
        if self._is_read and not self.is_taken:
            raise GivenUp
        self._is_read, self._is_whole = True, False
        until, at, digest = time.monotonic() + LONGEST_SECONDS, 0, hashlib.sha256()
        while (end := self._wait(at, until)) > at:
            while at < end:
                piece = self._read(min(CHUNK, end - at), at)
                digest.update(piece)
                at += len(piece)
                yield piece
        if digest.hexdigest() != self._sha256:
            raise GivenUp
        self._is_whole = True

    def _wait(self, at: int, until: float) -> int:
        """How many bytes are here: more than `at`, or all."""
        while not self._given_up and self._bytes <= at and not self.is_taken:
            left = until - time.monotonic()
            if left <= 0:
                self._given_up = True
            else:
                with contextlib.suppress(queue.Empty):
                    self._rings.get(timeout=left)
        if self._given_up:
            raise GivenUp
        return self._bytes

    def _read(self, size: int, at: int) -> bytes:
        with self._using_file:
            if self._file is None:
                raise GivenUp
            try:
                piece = os.pread(self._file, size, at)
            except OSError as exc:
                raise GivenUp from exc
        if not piece:
            raise GivenUp
        return piece
