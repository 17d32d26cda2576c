"""Fetches the rows of an SQLite query, many in one packet: in this process, or as a program in a process of its own.

Python runs one thread at a time, and the driver asks for it anew at each row. A process of its own has Python for itself. The
program reads a request from its standard input and writes answers to its standard output; it imports nothing but what Python
brings, so that it has started in no time. It ends with who started it: as soon as that one is gone, or reads no more.
"""

from __future__ import annotations

import gc
import marshal
import os
import sqlite3
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINE, TEXT, BLOB, NUMBER = "line", "text", "blob", "number"
"""What a column is: texts of JSON as blobs, texts, blobs, or what has no length."""

STEPS = 10_000
"""Steps of SQLite's machine between two looks at the clock: well under a millisecond."""
MOST_AT_ONCE = 64
"""So many rows are fetched before their size is looked at: those to come may be much larger than those before."""
MOST_ROWS = 16_000
"""In a packet: so many that what is done once for each costs little."""
MOST_NEXT = 4_000

READY, ROWS, END, FAILED = b"ready", b"rows.", b"end..", b"error"
"""Answers: it sees the database and goes on to the rows; some of them; there are no more; what the driver raised."""
HEAD = struct.Struct("<5sQQ")
"""Before each answer: its kind, how many rows it has, how many bytes follow."""


def packets(
    cursor: sqlite3.Cursor, *, kinds: Sequence[str], piece: int, skip: int, most_rows: int, most_bytes: int
) -> Iterator[tuple[int, list[Any]]]:
    """The rows of a cursor but the first `skip`, in packets: how many, and their columns.

    A column is a list, or the lines of one text in UTF-8, where its values can be told from it again. `piece` is how many rows
    are fetched at first.
    """
    for _ in islice(cursor, skip):
        pass
    packet = _Packet(kinds)
    while rows := cursor.fetchmany(min(piece, most_rows, MOST_AT_ONCE)):
        columns = _columns(rows, kinds)
        size = sum(map(_size, columns))
        piece = max(1, min(most_bytes * len(rows) // max(size, 1), len(rows) * 4, MOST_NEXT))
        if packet.rows and (packet.rows + len(rows) > most_rows or packet.size + size > most_bytes):
            yield packet.rows, packet.columns()
            packet = _Packet(kinds)
        if size <= most_bytes:
            packet.add(len(rows), size, columns)
            continue
        del columns
        for start in range(0, len(rows), piece):
            some = rows[start : start + piece]
            yield len(some), _columns(some, kinds)
    if packet.rows:
        yield packet.rows, packet.columns()


class _Packet:
    def __init__(self, kinds: Sequence[str]) -> None:
        self.rows = 0
        self.size = 0
        self._pieces: list[list[Any]] = [[] for _ in kinds]
        self._kinds = kinds

    def add(self, rows: int, size: int, columns: Sequence[Any]) -> None:
        self.rows += rows
        self.size += size
        for pieces, column in zip(self._pieces, columns, strict=True):
            pieces.append(column)

    def columns(self) -> list[Any]:
        return [_together(pieces, kind) for pieces, kind in zip(self._pieces, self._kinds, strict=True)]


def _columns(rows: Sequence[Sequence[Any]], kinds: Sequence[str]) -> list[Any]:
    return [_joined(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]


def _joined(values: Sequence[Any], kind: str) -> bytes | list[Any]:
    """The values as the lines of one text; as a list where they are not texts, or have lines themselves."""
    if kind == LINE:
        return b"\n".join(values)
    try:
        if kind == TEXT and (text := "\n".join(values).encode()).count(b"\n") == len(values) - 1:
            return text
    except TypeError:
        pass
    return list(values)


def _together(pieces: Sequence[Any], kind: str) -> bytes | list[Any]:
    if all(isinstance(piece, bytes) for piece in pieces):
        return b"\n".join(pieces)
    return [value for piece in pieces for value in (listed(piece, kind) if isinstance(piece, bytes) else piece)]


def listed(lines: bytes, kind: str = TEXT) -> list[Any]:
    """The values that are the lines of one text."""
    return lines.split(b"\n") if kind == LINE else lines.decode().split("\n")


def _size(column: bytes | list[Any]) -> int:
    if isinstance(column, bytes):
        return len(column)
    return sum(len(value) for value in column if isinstance(value, str | bytes))


# --- the program ---------------------------------------------------------------------------------


def main() -> None:
    # Whoever asks all processes to end means the one that started this one, which may be about to end in peace.
    for number in (SIGHUP, SIGINT, SIGTERM):
        signal(number, SIG_IGN)
    # What is made is freed as soon as it is written; there are no circles in it.
    gc.disable()
    try:
        request: dict[str, Any] = marshal.load(sys.stdin.buffer)  # noqa: S302 - from the process that started this one
        try:
            for answer in _answers(request):
                _write(*answer)
        except (sqlite3.Error, MemoryError, OverflowError) as exc:
            _write(FAILED, 0, marshal.dumps((type(exc).__name__, str(exc))))
    except (EOFError, BrokenPipeError):
        # Nobody waits for the rest.
        os._exit(1)


def _answers(request: dict[str, Any]) -> Iterator[tuple[bytes, int, bytes]]:
    connection = _opened(request)
    yield READY, 0, sqlite3.sqlite_version.encode()
    cursor = connection.execute(request["text"], request["arguments"])
    for rows, columns in packets(cursor, **request["limits"]):
        yield ROWS, rows, marshal.dumps(columns)
    yield END, 0, b""


def _opened(request: dict[str, Any]) -> sqlite3.Connection:
    """A connection in a transaction that has begun to read."""
    # Who waits for a lock here would wait for the process that started this one, which waits for this one.
    connection = sqlite3.connect(request["uri"], uri=True, timeout=0, isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    ends, parent = time.monotonic() + request["seconds"], request["parent"]
    connection.set_progress_handler(lambda: time.monotonic() > ends or os.getppid() != parent, STEPS)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection


def _write(kind: bytes, rows: int, data: bytes) -> None:
    for part in (HEAD.pack(kind, rows, len(data)), data):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    main()
