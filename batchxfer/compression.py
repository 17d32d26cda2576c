"""gzip and zstd on the way out: a stream that compresses what is written to it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Protocol

Write = Callable[[bytes], object]

GZIP_LEVEL = 6


class Compressor(Protocol):
    def write(self, data: bytes | memoryview) -> None: ...

    def close(self) -> None:
        """Write what is still held back. The stream below stays open."""


def compressor(kind: str, write: Write) -> Compressor:
    """A compressor of `kind` (none, gzip, zstd) in front of `write`."""
    kinds: dict[str, Callable[[Write], Compressor]] = {"none": _Plain, "gzip": _Gzip, "zstd": _Zstd}
    return kinds[kind](write)


class _Plain:
    def __init__(self, write: Write) -> None:
        self.write: Any = write

    def close(self) -> None:
        pass


class _Gzip:
    """RFC 1952 without a name and without a time, so that equal content gives equal bytes."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)

    def write(self, data: bytes | memoryview) -> None:
        if piece := self._deflate.compress(data):
            self._write(piece)

    def close(self) -> None:
        self._write(self._deflate.flush())


class _Zstd:
    """One zstd frame (RFC 8878), by Arrow's own library."""

    def __init__(self, write: Write) -> None:
        import pyarrow as pa

        self._write = write
        self._stream = pa.CompressedOutputStream(pa.PythonFile(_Sink(write), mode="w"), "zstd")

    def write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)

    def close(self) -> None:
        self._stream.close()


class _Sink:
    """The least of a file that Arrow writes to; closing it leaves what is below open."""

    closed = False

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        self._write(data)
        return len(data)

    def flush(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
