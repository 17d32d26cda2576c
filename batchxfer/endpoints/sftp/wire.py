"""SFTP version 3 over a channel: requests out, replies in, each request answered once.

paramiko's own client throws away replies that come after a close, loses status codes and decodes names, so it is not used;
its channel is. Protocol: draft-ietf-secsh-filexfer-02.
"""

from __future__ import annotations

import struct
import time
from typing import NamedTuple, Protocol

from batchxfer.endpoints.sftp.failures import Broken, Refused
from batchxfer.endpoints.sftp.watchdog import Watchdog

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT = 3, 4, 5, 6, 7, 8
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME = 11, 12, 13, 14, 15, 16, 17, 18
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
EXTENDED, EXTENDED_REPLY = 200, 201

_NAMED = frozenset({OPEN, OPENDIR, READDIR, REMOVE, MKDIR, RENAME, EXTENDED})
"""Requests whose refusal may say something of a path. Of a look it does not: what is not there is no refusal."""
NO_ATTRIBUTES = struct.pack(">I", 0)
_LARGEST_PACKET = 16 * 1024 * 1024
_RECEIVE_BYTES = 4 * 1024
# So many may wait for more to be sent with them; each that is sent by itself is a packet.
_UNSENT_FIELDS = 128


class Channel(Protocol):
    """What is used of paramiko's channel."""

    def send(self, data: memoryview) -> int: ...

    def recv(self, size: int) -> memoryview: ...

    @property
    def has_more(self) -> bool:
        """Whether `recv` would not wait."""


class Reply(NamedTuple):
    kind: int
    body: memoryview


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


class Reader:
    """Takes fields off a reply. Raises Broken where it ends too early."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def string(self) -> bytes:
        return bytes(self._take(self.u32()))

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def _take(self, size: int) -> memoryview:
        if size > self.left:
            raise Broken("the server sent a reply that ends too early")
        taken = self._body[self._at : self._at + size]
        self._at += size
        return taken


class Wire:
    """One SFTP conversation, used by one thread. Raises Broken, Refused, or what the channel raises."""

    def __init__(self, channel: Channel, watchdog: Watchdog) -> None:
        self._channel = channel
        self._watchdog = watchdog
        self._received = memoryview(b"")
        self._unsent: list[bytes] = []
        self.last_request = 0
        self.round_trip_seconds: float | None = None
        self._expected: dict[int, Reply | None] = {}
        self._forgotten: set[int] = set()

    def start(self) -> tuple[int, dict[str, bytes]]:
        """Agree on version 3; returns the server's version and its extensions."""
        self._send_packet(struct.pack(">IBI", 5, INIT, 3))
        packet = self._receive_packet()
        if packet[0] != VERSION:
            raise Broken("the server does not speak SFTP")
        reader, extensions = Reader(packet[1:]), {}
        version = reader.u32()
        while reader.left:
            name = reader.string().decode("utf-8", "backslashreplace")
            extensions[name] = reader.string()
        return version, extensions

    def send(self, kind: int, *fields: bytes, more: bool = False) -> int:
        """Send a request and return its number; its reply must be received or forgotten.

        With `more` to come it leaves with the next one, or when a reply is waited for.
        """
        self.last_request = request = (self.last_request + 1) & 0xFFFFFFFF
        self._expected[request] = None
        header = struct.pack(">IBI", 5 + sum(map(len, fields)), kind, request)
        self._unsent += (header, *fields)
        if not more:
            self.flush()
        return request

    def receive(self, request: int) -> Reply:
        """The reply to one request, whatever order replies come in."""
        while (reply := self._expected[request]) is None:
            self.flush()
            self._receive_one()
        del self._expected[request]
        return reply

    def came(self, request: int) -> Reply | None:
        """The reply to a request, where it has been heard; it stays to be received."""
        return self._expected[request]

    def hear_what_came(self) -> None:
        """Take up the replies that are here, and wait for none; what has waited long enough for more is sent."""
        if len(self._unsent) >= _UNSENT_FIELDS:
            self.flush()
        while self._channel.has_more or self._holds_a_packet():
            self._receive_one()

    def forget(self, request: int) -> None:
        """Nobody waits for this reply any more."""
        if self._expected.pop(request) is None:
            self._forgotten.add(request)

    def ask(self, kind: int, *fields: bytes) -> Reply:
        began = time.monotonic()
        reply = self.receive(self.send(kind, *fields))
        taken = time.monotonic() - began
        # The shortest says how far the server is, whatever it had to do for others.
        self.round_trip_seconds = min(self.round_trip_seconds or taken, taken)
        return reply

    def command(self, kind: int, *fields: bytes) -> None:
        """A request whose only good answer is OK."""
        raise_refusal(self.ask(kind, *fields), named=kind in _NAMED)

    def get(self, expected: int, kind: int, *fields: bytes) -> Reader:
        """A request whose good answer is a packet of the kind `expected`."""
        return unpack(self.ask(kind, *fields), expected, named=kind in _NAMED)

    def flush(self) -> None:
        """Send what has waited for more."""
        if self._unsent:
            packets, self._unsent = b"".join(self._unsent), []
            self._send_packet(packets)

    def _send_packet(self, packet: bytes) -> None:
        view = memoryview(packet)
        while view:
            with self._watchdog.waiting:
                sent = self._channel.send(view)
            if sent <= 0:
                raise Broken("the server closed the channel")
            view = view[sent:]

    def _receive_one(self) -> None:
        packet = self._receive_packet()
        if len(packet) < 5:
            raise Broken("the server sent a reply that ends too early")
        request = int.from_bytes(packet[1:5], "big")
        if request in self._forgotten:
            self._forgotten.discard(request)
        elif request in self._expected and self._expected[request] is None:
            self._expected[request] = Reply(packet[0], packet[5:])
        else:
            raise Broken(f"the server answered request {request}, which was not asked")

    def _holds_a_packet(self) -> bool:
        held = self._received
        return len(held) >= 4 and len(held) - 4 >= int.from_bytes(held[:4], "big")

    def _receive_packet(self) -> memoryview:
        size = int.from_bytes(self._take(4), "big")
        if not 0 < size <= _LARGEST_PACKET:
            raise Broken("what the server sent is not SFTP (is something printed at login?)")
        return self._take(size)

    def _take(self, size: int) -> memoryview:
        if size <= len(self._received):
            taken, self._received = self._received[:size], self._received[size:]
            return taken
        pieces, missing = [self._received], size - len(self._received)
        while missing > 0:
            # Short replies are taken together; of a long one no more is taken than belongs to it.
            pieces.append(self._receive(max(missing, _RECEIVE_BYTES)))
            missing -= len(pieces[-1])
        whole = memoryview(b"".join(pieces))
        self._received = whole[size:]
        return whole[:size]

    def _receive(self, size: int) -> memoryview:
        with self._watchdog.waiting:
            piece = self._channel.recv(size)
        if not piece:
            raise Broken("the server closed the channel")
        return piece


def raise_refusal(reply: Reply, *, named: bool = False) -> None:
    """Raises Refused unless the reply is the status OK."""
    reader = unpack(reply, STATUS)
    code = reader.u32()
    if code != 0:
        # Servers of version 2 send no text.
        text = reader.string() if reader.left else b""
        raise Refused(code, text.decode("utf-8", "backslashreplace"), named=named)


def unpack(reply: Reply, expected: int, *, named: bool = False) -> Reader:
    """The fields of a reply of the kind `expected`. Raises Refused for a status instead, Broken for anything else."""
    if reply.kind == expected:
        return Reader(reply.body)
    if reply.kind == STATUS:
        raise_refusal(reply, named=named)
    raise Broken(f"the server answered with a packet of type {reply.kind} where {expected} was due")
