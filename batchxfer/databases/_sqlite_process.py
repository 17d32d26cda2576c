"""Starts the program of _sqlite_rows, and takes what it answers."""

from __future__ import annotations

import marshal
import os
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batchxfer.databases import _sqlite_rows
from batchxfer.databases._sqlite_rows import END, FAILED, HEAD, READY, ROWS

_START_SECONDS = 10.0
_GRACE_SECONDS = 5.0
"""It ends its query by itself when its time is over."""
_MOST_BYTES = 1 << 40
_OTHERS = {"OverflowError": OverflowError, "MemoryError": MemoryError}

Packet = tuple[int, list[Any]]
"""How many rows, and their columns."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A query whose rows are fetched in packets, as _sqlite_rows.packets says."""

    text: str
    arguments: Any
    kinds: Sequence[str]
    piece: int
    skip: int
    most_rows: int
    most_bytes: int

    @property
    def limits(self) -> dict[str, Any]:
        """What `packets` is called with beside the cursor."""
        return {
            "kinds": list(self.kinds),
            "piece": self.piece,
            "skip": self.skip,
            "most_rows": self.most_rows,
            "most_bytes": self.most_bytes,
        }


class BrokenOff(Exception):
    """The process ended before the rows did, or answers what nobody understands."""


class Process:
    """A query whose rows are fetched by a process of its own.

    `packets` may be iterated in one thread while another calls `kill`; `close` comes after both.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process = process
        self._until = time.monotonic() + _START_SECONDS
        self._ends = time.monotonic() + seconds + _GRACE_SECONDS
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)

    @property
    def _in(self) -> Any:
        return self._process.stdin

    @property
    def _out(self) -> Any:
        return self._process.stdout

    def begin(self, request: bytes) -> bool:
        """Hand it the request; whether it has begun to read. Not where there is a lock in its way."""
        try:
            with self._in as pipe:
                pipe.write(request)
            kind, _, data = self._answer()
        except (OSError, BrokenOff, sqlite3.Error):
            return False
        self._until = self._ends
        # Another SQLite might give other rows.
        return kind == READY and data == sqlite3.sqlite_version.encode()

    def packets(self) -> Iterator[Packet]:
        """Raises what the driver raised there, and BrokenOff."""
        while True:
            kind, rows, data = self._answer()
            if kind == END:
                return
            if kind == FAILED:
                name, words = _loaded(data)
                raise _OTHERS.get(name, getattr(sqlite3, name, sqlite3.DatabaseError))(words)
            if kind != ROWS:
                raise BrokenOff(f"it answers {kind!r}")
            yield rows, _loaded(data)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """End it where it still runs; nothing of it is left."""
        self._process.kill()
        self._process.wait()
        self._out.close()

    def _answer(self) -> tuple[bytes, int, bytearray]:
        kind, rows, size = HEAD.unpack(self._read(HEAD.size))
        if size > _MOST_BYTES:
            raise BrokenOff(f"it answers {kind!r}")
        return kind, rows, self._read(size)

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            if not self._poll.poll(max(0.0, self._until - time.monotonic()) * 1000):
                # As the driver says it of a query that ends by itself.
                raise sqlite3.OperationalError("interrupted")
            count = self._out.readinto(rest)
            if not count:
                raise BrokenOff(self._how_it_ended())
            rest = rest[count:]
        return data

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return f"it was ended by signal {-code}" if code < 0 else f"it ended with {code}"


def started(uri: str, asked: Asked, *, seconds: float) -> Process | None:
    """A process that has begun to read the database, and goes on to the query; None where this machine starts none, or there
    is a lock in its way."""
    request = {
        "uri": uri,
        "seconds": seconds,
        "parent": os.getpid(),
        "text": asked.text,
        "arguments": asked.arguments,
        "limits": asked.limits,
    }
    try:
        data = marshal.dumps(request)
        # In a group of its own: Ctrl-C in a terminal is this process's to take, which then ends that one.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", _sqlite_rows.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            process_group=0,
        )
    except (OSError, ValueError):
        return None
    found = Process(process, seconds)
    try:
        if found.begin(data):
            return found
    except BaseException:
        found.close()
        raise
    found.close()
    return None


def _loaded(data: bytearray) -> Any:
    try:
        return marshal.loads(data)  # noqa: S302 - from a process that this one has started
    except (EOFError, ValueError, TypeError) as exc:
        raise BrokenOff(f"its answer cannot be read: {exc}") from exc
