"""gzip and zstd: a stream that compresses what is written to it, and the way back, with limits."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from batchxfer.errors import UnreadableFile

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


# --- on the way in -------------------------------------------------------------------------------

PIECE = 1 << 20
MOST_BYTES = 256 << 30
MOST_RATIO = 250
FREE_BYTES = 64 << 20
"""Up to so many bytes the ratio is not asked: small files of one letter are not bombs."""


def decompressed(
    kind: str, chunks: Iterable[bytes], *, max_bytes: int = MOST_BYTES, max_ratio: int = MOST_RATIO
) -> Iterator[bytes]:
    """The bytes in `chunks` (none, gzip, zstd), in pieces of at most a MiB.

    Raises UnreadableFile for what is cut off, damaged, or grows beyond the limits.
    """
    kinds: dict[str, Callable[[Iterable[bytes], _Limits], Iterator[bytes]]] = {"gzip": _gunzip, "zstd": _unzstd}
    if kind == "none":
        yield from chunks
        return
    yield from kinds[kind](chunks, _Limits(max_bytes, max_ratio))


class _Limits:
    """Counts what goes in and comes out."""

    def __init__(self, max_bytes: int, max_ratio: int) -> None:
        self._max_bytes, self._max_ratio = max_bytes, max_ratio
        self.read = self.made = 0

    def check(self, piece: bytes) -> bytes:
        self.made += len(piece)
        if self.made > self._max_bytes:
            raise UnreadableFile(f"it is more than {self._max_bytes:,} bytes when it is unpacked")
        if self.made > FREE_BYTES and self.made > self.read * self._max_ratio:
            raise UnreadableFile(
                f"it unpacks to more than {self._max_ratio} times its size, which no ordinary file does",
                hint="if the partner means it, unpack it by hand first",
            )
        return piece


_FOLLOWED = "something else follows it"
_BEGINNINGS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_ZIP = b"PK\x03\x04"


def hint_from(beginning: bytes) -> str | None:
    """What to write where bytes that were taken for text begin as a compressed file does."""
    for mark, kind in _BEGINNINGS.items():
        if beginning.startswith(mark):
            return f'it begins as {kind} does: write compress = "{kind}" in [file]'
    if beginning.startswith(_ZIP):
        return "it begins as a ZIP archive does: ask the partner for the file itself, or for gzip"
    return None


def not_compressed(kind: str) -> UnreadableFile:
    return UnreadableFile(
        f"it does not begin as {kind} does",
        hint='where the partner does not compress, write compress = "none" in [file]',
    )


def _damaged(kind: str, why: object) -> UnreadableFile:
    return UnreadableFile(f"it is not whole {kind}: {why}", hint="ask the partner to send it again")


def _gunzip(chunks: Iterable[bytes], limits: _Limits) -> Iterator[bytes]:
    """One member after another, and then zeros of padding, as gunzip does."""
    inflate, begun, ended, padded = zlib.decompressobj(zlib.MAX_WBITS | 16), False, False, False
    for chunk in chunks:
        limits.read += len(chunk)
        while chunk:
            if ended and (padded or chunk[0] == 0):
                if chunk.strip(b"\0"):
                    raise _damaged("gzip", _FOLLOWED)
                padded, chunk = True, b""
                continue
            if ended:
                inflate, ended = zlib.decompressobj(zlib.MAX_WBITS | 16), False
            try:
                piece = inflate.decompress(chunk, PIECE)
            except zlib.error as error:
                why = str(error).rpartition(": ")[2]
                if why == "incorrect header check":
                    raise _damaged("gzip", _FOLLOWED) if begun else not_compressed("gzip") from None
                raise _damaged("gzip", why) from None
            begun = True
            if piece:
                yield limits.check(piece)
            ended = inflate.eof
            chunk = inflate.unused_data if ended else inflate.unconsumed_tail
    if not begun or not ended:
        raise _damaged("gzip", "it ends too early" if begun else "it is empty")


def _unzstd(chunks: Iterable[bytes], limits: _Limits) -> Iterator[bytes]:
    import pyarrow as pa

    source = _Source(chunks, limits)
    try:
        with pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd") as stream:
            while piece := stream.read(PIECE):
                yield limits.check(piece)
    except OSError as error:
        if "Unknown frame" in str(error):
            raise _damaged("zstd", _FOLLOWED) if limits.made else not_compressed("zstd") from None
        raise _damaged("zstd", str(error).rpartition(": ")[2].lower()) from None
    if not limits.read:
        raise _damaged("zstd", "it is empty")


class _Source:
    """The least of a file that Arrow reads from."""

    closed = False

    def __init__(self, chunks: Iterable[bytes], limits: _Limits) -> None:
        self._chunks, self._limits, self._left = iter(chunks), limits, b""

    def read(self, size: int = -1) -> bytes:
        while not self._left:
            piece = next(self._chunks, None)
            if piece is None:
                return b""
            self._left = piece
        taken = self._left if size < 0 else self._left[:size]
        self._left = self._left[len(taken) :]
        self._limits.read += len(taken)
        return taken

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
