"""What asyncssh's server answers to one request, changed: refused, done and yet refused, lost, twice, bent in any way.

Other faults replace what a server does (tests.servers.faults); these replace what it says, whatever it did.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from asyncssh.sftp import SFTPServerHandler

STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
KINDS = {
    3: "open",
    4: "close",
    5: "read",
    6: "write",
    7: "lstat",
    11: "opendir",
    12: "readdir",
    13: "remove",
    14: "mkdir",
    16: "realpath",
    17: "stat",
    18: "rename",
    b"posix-rename@openssh.com": "posix-rename",
    b"limits@openssh.com": "limits",
}


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _status(code: int) -> bytes:
    return struct.pack(">I", code) + _string(b"no") + _string(b"en")


@dataclass
class Fault:
    """What becomes of the nth request (from 1) of one kind: subclasses say it. `nth` 0 means each of them."""

    kind: str
    nth: int = 1
    came: int = 0

    def meets(self, kind: str) -> bool:
        if kind != self.kind:
            return False
        self.came += 1
        return self.nth in (0, self.came)

    def is_done(self) -> bool:
        """Whether the server does what it is asked for."""
        return True

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        """The packets that are sent in place of the right one."""
        return [packet]

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.kind} {self.nth or 'each'}"


@dataclass
class Refuses(Fault):
    """Does not do it, and says so with a status."""

    code: int = 4

    def is_done(self) -> bool:
        return False

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [struct.pack(">BI", STATUS, request) + _status(self.code)]

    def __str__(self) -> str:
        return f"{super().__str__()} with status {self.code}"


@dataclass
class DoesAndRefuses(Refuses):
    """Does it, and says that it did not."""

    def is_done(self) -> bool:
        return True


@dataclass
class SaysYes(Fault):
    """Does nothing, and says that it did."""

    def is_done(self) -> bool:
        return False

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [struct.pack(">BI", STATUS, request) + _status(0)]


class LosesAnswer(Fault):
    """Does it, and never says so."""

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return []


class AnswersTwice(Fault):
    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [packet, packet]


class AnswersAnother(Fault):
    """Answers a request that was never made."""

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [packet[:1] + struct.pack(">I", request + 1000) + packet[5:]]


class AnswersOfAnotherKind(Fault):
    """Names where a status is due, a handle where attributes are."""

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        kind = HANDLE if packet[0] != HANDLE else NAME
        return [bytes([kind]) + packet[1:]]


class AnswersHalf(Fault):
    """The packet ends too early."""

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [packet[:7]]


class SendsEmptyPacket(Fault):
    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [b"", packet]


class SendsHugePacket(Fault):
    """Says that 4 GB follow."""

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [HUGE, packet]


@dataclass
class SaysSize(Fault):
    """Tells another size than the file has: so many bytes more, `size` where that is given."""

    more: int = 0
    size: int | None = None

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        if packet[0] != ATTRS or not packet[8] & 1:
            return [packet]
        (size,) = struct.unpack_from(">Q", packet, 9)
        told = max(size + self.more, 0) if self.size is None else self.size
        return [packet[:9] + struct.pack(">Q", told) + packet[17:]]


class TellsNoSize(Fault):
    def answers(self, request: int, packet: bytes) -> list[bytes]:
        return [packet[:5] + struct.pack(">I", 0)] if packet[0] == ATTRS else [packet]


@dataclass
class SaysKind(Fault):
    """Tells that a file is a folder, a link, a pipe."""

    mode: int = 0o040755

    def answers(self, request: int, packet: bytes) -> list[bytes]:
        if packet[0] != ATTRS:
            return [packet]
        (size,) = struct.unpack_from(">Q", packet, 9)
        return [packet[:5] + struct.pack(">IQI", 5, size, self.mode)]


HUGE = struct.pack(">I", 0xFFFFFFFF)


@dataclass
class Answering:
    """A block in which every server of this process has these faults. `asked` counts the requests of each kind."""

    faults: list[Fault] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    written: int = 0
    _meant: dict[tuple[int, int], Fault] = field(default_factory=dict)

    def __enter__(self) -> Answering:
        process, send = SFTPServerHandler._process_packet, SFTPServerHandler.send_packet
        answering = self

        async def process_packet(handler: Any, kind: int, request: int, packet: Any) -> None:
            fault = answering._take(kind, packet.get_remaining_payload())
            if fault is not None:
                answering._meant[id(handler), request] = fault
                if not fault.is_done():
                    handler.send_packet(STATUS, request, struct.pack(">I", request), _status(0))
                    return
            await process(handler, kind, request, packet)

        def send_packet(handler: Any, kind: int, request: int | None, *parts: bytes) -> None:
            fault = answering._meant.pop((id(handler), request or 0), None)
            if fault is None or request is None:
                send(handler, kind, request, *parts)
                return
            for packet in fault.answers(request, bytes([kind]) + b"".join(parts)):
                handler._writer.write(packet if packet == HUGE else _string(packet))

        self._patches = [
            mock.patch.object(SFTPServerHandler, "_process_packet", process_packet),
            mock.patch.object(SFTPServerHandler, "send_packet", send_packet),
        ]
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patch in self._patches:
            patch.stop()

    def _take(self, number: int, payload: bytes) -> Fault | None:
        name: int | bytes = payload[4 : 4 + int.from_bytes(payload[:4], "big")] if number == 200 else number
        kind = KINDS.get(name, str(name))
        self.asked[kind] += 1
        if kind == "write":
            self.written += len(payload)
        return next((fault for fault in self.faults if fault.meets(kind)), None)
