"""A large file is given to the disk while it is written: else all of it is left for the moment when everybody waits."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import Future
from functools import partial
from typing import Self

from batchxfer.beside import Beside

WORTH_BYTES = 16 << 20
"""How much is written before the disk is asked to take it."""

_make_durable = getattr(os, "fdatasync", os.fsync)
"""Of a file's bytes; macOS has one call for all of it."""


class Writeback:
    """Of one open file. What the disk refuses comes out of `wrote` or `end`: the system says it once, to who asks first.

    A context, or `end` is called, before the file is closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes = 0
        self._beside: Beside | None = None
        self._running: Future[None] | None = None

    def wrote(self, size: int) -> None:
        """So much more was written. Raises OSError."""
        self._bytes += size
        if self._bytes >= WORTH_BYTES and (self._running is None or self._running.done()):
            self._bytes = 0
            self._hear()
            self._begin()

    def end(self) -> None:
        """Wait for the disk, before the file is made durable, or closed. Raises OSError."""
        try:
            self._hear()
        finally:
            if self._beside is not None:
                self._beside.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        # What went wrong before says more.
        with contextlib.nullcontext() if kind is None else contextlib.suppress(OSError):
            self.end()

    def _begin(self) -> None:
        self._beside = self._beside or Beside("writeback")
        # Where this machine starts no more threads just now, all of it is left for the end.
        with contextlib.suppress(RuntimeError):
            self._running = self._beside.submit(partial(_make_durable, self._descriptor))

    def _hear(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()
