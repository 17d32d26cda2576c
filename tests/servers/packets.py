"""A line to an SSH server that counts packets, and cuts, freezes or bends at a given one.

The lengths of packets are in the clear until the keys are agreed on, and with AES-GCM, which batchxfer asks for first, they
stay so: each packet up is one step of the protocol, and each SFTP request or reply begins a packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass

UP, DOWN = "up", "down"
FIN, RST, FREEZE, FLIP = "fin", "rst", "freeze", "flip"

_NEWKEYS = 21
_TAG = 16


@dataclass
class Cut:
    """What happens to the nth packet (from 1) in one direction, the line of text that comes first counted too.

    `fin` and `rst` end the connection in its place, `freeze` lets nothing pass from there on, `flip` changes a bit in it.
    With `half`, its first half still passes.
    """

    direction: str
    nth: int
    how: str
    half: bool = False

    def __str__(self) -> str:
        return f"{self.how}{'-half' if self.half else ''} at packet {self.nth} {self.direction}"


class PacketLine:
    """Passes packets both ways. `passed` counts them, `bytes_up` and `bytes_down` what they hold."""

    def __init__(self, target: tuple[str, int], cut: Cut | None = None, *, buffers: int | None = None) -> None:
        self.target = target
        self.cut = cut
        self.fired = False
        self.frozen = False
        self.passed = {UP: 0, DOWN: 0}
        self.bytes_up = self.bytes_down = 0
        self.open: set[asyncio.Transport] = set()
        listener = socket.create_server(("127.0.0.1", 0))
        if buffers is not None:
            # Connections that are accepted have what the listener has.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        self.port = int(listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self._server = self._run(self._listen(listener))

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def reaches(self, direction: str) -> bool:
        """Whether the packet that now comes is the one; counts it."""
        self.passed[direction] += 1
        cut = self.cut
        if cut is None or self.fired or cut.direction != direction or self.passed[direction] != cut.nth:
            return False
        self.fired = True
        return True

    def _run(self, coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)  # type: ignore[arg-type]

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        return await self._loop.create_server(lambda: _Side(self, UP), sock=listener)

    async def _end(self) -> None:
        self._server.close()  # type: ignore[attr-defined]
        for transport in list(self.open):
            transport.abort()
        await asyncio.sleep(0)


class _Side(asyncio.Protocol):
    """One end of a connection: what comes from there goes to the other."""

    def __init__(self, line: PacketLine, direction: str) -> None:
        self._line = line
        self._direction = direction
        self._other: _Side | None = None
        self._waiting = bytearray()
        self._greeted = self._sealed = False
        self.transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._line.open.add(transport)
        if self._direction == UP:
            transport.pause_reading()
            self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        other = _Side(self._line, DOWN)
        other._other, self._other = self, other
        try:
            await asyncio.get_running_loop().create_connection(lambda: other, *self._line.target)
        except OSError:
            self._abort()
            return
        if self.transport is not None and not self.transport.is_closing() and not self._line.frozen:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self._line.open.discard(self.transport)
        if self._other is not None and self._other.transport is not None:
            self._other.transport.close()

    def pause_writing(self) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and self._other.transport is not None and not self._line.frozen:
            self._other.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._direction == UP:
            self._line.bytes_up += len(data)
        else:
            self._line.bytes_down += len(data)
        self._waiting += data
        while not self._line.frozen and (size := self._next()):
            packet = bytes(self._waiting[:size])
            del self._waiting[:size]
            if self._line.reaches(self._direction):
                self._strike(packet)
                return
            self._pass(packet)

    def _next(self) -> int:
        """The size of the next packet, 0 where it has not come whole."""
        if not self._greeted:
            size = self._waiting.find(b"\n") + 1
            self._greeted = self._waiting.startswith(b"SSH-") and size > 0
            return size
        if len(self._waiting) < 6:
            return 0
        (length,) = struct.unpack_from(">I", self._waiting)
        size = 4 + int(length) + (_TAG if self._sealed else 0)
        if len(self._waiting) < size:
            return 0
        if not self._sealed:
            self._sealed = self._waiting[5] == _NEWKEYS
        return size

    def _pass(self, packet: bytes) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.write(packet)

    def _strike(self, packet: bytes) -> None:
        cut = self._line.cut
        assert cut is not None
        if cut.how == FLIP:
            at = len(packet) // 2
            self._pass(packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :])
            self.data_received(b"")
            return
        if cut.half:
            self._pass(packet[: len(packet) // 2])
        if cut.how == FREEZE:
            self._line.frozen = True
            for transport in list(self._line.open):
                transport.pause_reading()
            return
        for side in (self, self._other):
            if side is not None and cut.how == RST:
                side._abort()
            elif side is not None and side.transport is not None:
                side.transport.close()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self.transport.abort()


@contextlib.contextmanager
def packets_to(host: str, port: int, cut: Cut | None = None, *, buffers: int | None = None) -> Iterator[PacketLine]:
    line = PacketLine((host, port), cut, buffers=buffers)
    try:
        yield line
    finally:
        line.close()
