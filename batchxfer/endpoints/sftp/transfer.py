"""Moving the bytes of a file: requests ahead of their replies, each reply looked at."""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from batchxfer.endpoints.sftp.failures import EOF, Broken, Refused
from batchxfer.endpoints.sftp.wire import (
    CLOSE,
    DATA,
    EXTENDED,
    EXTENDED_REPLY,
    LSTAT,
    READ,
    WRITE,
    Wire,
    raise_refusal,
    string,
    unpack,
)
from batchxfer.errors import StorageError
from batchxfer.ports import Progress, Readable

LIMITS = "limits@openssh.com"
KIB = 1024
_PLAIN_BYTES = 32 * KIB
_MOST_WRITE_BYTES = 255 * KIB
_MOST_READ_BYTES = 255 * KIB
_PACKET_OVERHEAD = 1 * KIB
_WRITES_AHEAD_BYTES = 4 * 1024 * KIB
# A line of 50 ms carries 40 MB/s with 2 MiB on their way, and eight times as much with more; nearby, more is only in the way.
_READS_AHEAD_BYTES, _FAR_READS_AHEAD_BYTES = 2 * 1024 * KIB, 16 * 1024 * KIB
FAR_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a request may carry, and how many may be unanswered."""

    write_bytes: int = _PLAIN_BYTES
    read_bytes: int = _PLAIN_BYTES
    writes: int = 64
    reads: int = 64
    far_reads: int = 64


def ask_limits(wire: Wire) -> int:
    """The request for what the server takes; it leaves with the next one."""
    return wire.send(EXTENDED, string(LIMITS.encode()), more=True)


def hear_limits(wire: Wire, request: int | None) -> Limits:
    """What the server takes; every server takes 32 KiB."""
    if request is None:
        return Limits()
    try:
        reader = unpack(wire.receive(request), EXTENDED_REPLY)
    except Refused:
        return Limits()
    packet, read, write = reader.u64(), reader.u64(), reader.u64()
    return _limits(packet, read, write)


def _limits(packet: int, read: int, write: int) -> Limits:
    """0 means that the server does not say."""
    most = packet - _PACKET_OVERHEAD if packet > 2 * _PACKET_OVERHEAD else _PLAIN_BYTES
    write_bytes = max(min(write, most, _MOST_WRITE_BYTES) if write else _PLAIN_BYTES, KIB)
    read_bytes = max(min(read, most, _MOST_READ_BYTES) if read else _PLAIN_BYTES, KIB)
    return Limits(
        write_bytes=write_bytes,
        read_bytes=read_bytes,
        writes=min(_WRITES_AHEAD_BYTES // write_bytes, 64),
        reads=min(_READS_AHEAD_BYTES // read_bytes, 64),
        far_reads=min(_FAR_READS_AHEAD_BYTES // read_bytes, 512),
    )


class Upload:
    """Writes to one open file. `finish` returns only after every reply, and that to the close, said yes.

    A look at `path` is sent with the close, so that it costs no round trip of its own. A server that is known to do everything
    `in_order` gets the close with the last write; another might close the file under a write that is still on its way.
    """

    def __init__(
        self, wire: Wire, handle: bytes, path: bytes, limits: Limits, progress: Progress | None, *, in_order: bool
    ) -> None:
        self._wire = wire
        self._handle = handle
        self._path = path
        self._limits = limits
        self._progress = progress
        self._in_order = in_order
        self._unanswered: deque[tuple[int, int]] = deque()
        self._closing: tuple[int, ...] = ()
        self._written = 0

    def send(self, content: Readable) -> int:
        """Write all of `content`; the number of bytes."""
        try:
            offset = 0
            while data := _read(content, self._limits.write_bytes):
                self._write(offset, data)
                offset += len(data)
        except Exception:
            self.abandon()
            raise
        return offset

    def finish(self) -> int:
        """Close the file; the request whose reply says what is at the path now. Raises Refused with the first refusal."""
        try:
            if not self._in_order:
                self._drain(0)
            close = self._wire.send(CLOSE, string(self._handle), more=True)
            self._closing = (close, self._wire.send(LSTAT, self._path))
            self._drain(0)
        except Exception:
            self.abandon()
            raise
        close, look = self._closing
        self._closing = (look,)
        try:
            raise_refusal(self._wire.receive(close))
        except Exception:
            self.abandon()
            raise
        return look

    def abandon(self) -> None:
        """Close the file after a failure; what the server still says of it does not matter."""
        closed = bool(self._closing)
        for request in (*(request for request, _ in self._unanswered), *self._closing):
            self._wire.forget(request)
        self._unanswered.clear()
        self._closing = ()
        # The failure that led here is the one that is told.
        if not closed:
            with contextlib.suppress(Exception):
                self._wire.forget(self._wire.send(CLOSE, string(self._handle)))

    def _write(self, offset: int, data: bytes) -> None:
        self._drain(self._limits.writes - 1)
        fields = (string(self._handle), struct.pack(">QI", offset, len(data)), data)
        # A short one is the last one, mostly.
        request = self._wire.send(WRITE, *fields, more=len(data) < self._limits.write_bytes)
        self._unanswered.append((request, len(data)))

    def _drain(self, allowed: int) -> None:
        """Take the replies to the oldest writes until only so many are unanswered."""
        while len(self._unanswered) > allowed:
            request, size = self._unanswered.popleft()
            raise_refusal(self._wire.receive(request))
            self._written += size
            if self._progress is not None:
                self._progress(self._written)


def _read(content: Readable, size: int) -> bytes:
    try:
        return content.read(size)
    except OSError as exc:
        raise StorageError(
            f"the file to be sent cannot be read: {exc.strerror or exc}", hint="check this machine's disk"
        ) from exc


class Download:
    """The bytes of an open file from `offset` to its end, in order. Few reads are ahead at first, more as they are filled.

    Where it is `expected` to have so many bytes, one read is at its end, so that the answers to the first ones say all.
    """

    def __init__(
        self,
        wire: Wire,
        handle: bytes,
        limits: Limits,
        *,
        offset: int = 0,
        expected: int | None = None,
        far: bool = False,
    ) -> None:
        self._wire = wire
        self._handle = handle
        self._offset = offset
        self._size = limits.read_bytes
        self._expected = expected
        self._most = limits.far_reads if far else limits.reads
        self._ahead = 2
        self._waiting: deque[tuple[int, int, int]] = deque()
        self.was_in_one = self.is_used = False

    def begin(self) -> None:
        """Ask for the first bytes, and wait for nothing. `was_in_one`: nothing more has to be asked, as it looks."""
        self._ask_ahead()
        self.was_in_one = self._expected is not None and self._offset > self._expected

    def pieces(self) -> Iterator[bytes]:
        self.is_used = True
        try:
            while True:
                self._ask_ahead()
                request, at, wanted = self._waiting.popleft()
                data = _data(self._wire, request, wanted)
                if data is None:
                    return
                yield data
                self._heard(at, wanted, len(data))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Nobody waits for what was asked."""
        for request, _, _ in self._waiting:
            self._wire.forget(request)
        self._waiting.clear()

    def _heard(self, at: int, wanted: int, got: int) -> None:
        if got < wanted:
            # A server may give less than was asked: the rest of it comes first, and less is asked from now on.
            self._waiting.appendleft(self._ask(at + got, wanted - got))
            self._size = max(got, 4 * KIB)
            self.was_in_one = False
        else:
            self._ahead = min(self._ahead + 1, self._most)
        if self._expected is not None and at >= self._expected:
            # It has grown: its end is where it is found.
            self._expected, self.was_in_one = None, False

    def _ask_ahead(self) -> None:
        while len(self._waiting) < self._ahead and (size := self._next_size()):
            self._waiting.append(self._ask(self._offset, size))
            self._offset += size

    def _next_size(self) -> int:
        """Of the next read; 0 where the last one is beyond the end already."""
        if self._expected is None or self._offset == self._expected:
            return self._size
        return min(self._size, max(self._expected - self._offset, 0))

    def _ask(self, offset: int, size: int) -> tuple[int, int, int]:
        request = self._wire.send(READ, string(self._handle), struct.pack(">QI", offset, size), more=True)
        return request, offset, size


def _data(wire: Wire, request: int, wanted: int) -> bytes | None:
    """What one read gave, None at the end of the file."""
    try:
        data = unpack(wire.receive(request), DATA).string()
    except Refused as refusal:
        if refusal.code == EOF:
            return None
        raise
    if not 0 < len(data) <= wanted:
        raise Broken(f"the server answered a read of {wanted} bytes with {len(data)}")
    return data
