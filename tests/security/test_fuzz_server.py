"""Whatever a server sends: an answer, or an error with words. Never a traceback, never no end, never all the memory."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.endpoints.sftp.failures import Broken
from batchxfer.endpoints.sftp.hostkeys import HostKey
from batchxfer.endpoints.sftp.looks import Root
from batchxfer.endpoints.sftp.session import Server, SftpSession
from batchxfer.endpoints.sftp.watchdog import Watchdog
from batchxfer.endpoints.sftp.wire import Wire
from batchxfer.errors import AttemptError, BatchxferError
from tests.soak import examples

pytestmark = pytest.mark.soak


class Babbler:
    """A channel whose other side answers as it likes: `replies` are made of the requests' numbers, then it hangs up."""

    def __init__(self, replies: list[tuple[int, int, bytes]], *, greeting: bytes) -> None:
        self._sent = 0
        self._replies = replies
        self._waiting = greeting

    def send(self, data: memoryview) -> int:
        at = 0
        while at < len(data):
            at += 4 + int.from_bytes(data[at : at + 4], "big")
            self._sent += 1
            if self._sent > 1:
                self._answer(self._sent - 1)
        return len(data)

    def _answer(self, request: int) -> None:
        if self._replies:
            kind, shift, body = self._replies.pop(0)
            self._say(kind, request + shift, body)

    def _say(self, kind: int, request: int, body: bytes) -> None:
        packet = struct.pack(">BI", kind, request & 0xFFFFFFFF) + body
        self._waiting += struct.pack(">I", len(packet)) + packet

    @property
    def has_more(self) -> bool:
        return bool(self._waiting)

    def recv(self, size: int) -> bytes:
        piece, self._waiting = self._waiting[:size], self._waiting[size:]
        return piece


class DeadLink:
    alive = True
    transport: Any = None

    def close(self) -> None:
        self.alive = False


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


U32 = st.one_of(st.integers(0, 30), st.sampled_from([2**31, 2**32 - 1]), st.integers(0, 2**32 - 1)).map(
    lambda n: struct.pack(">I", n)
)
FIELDS = st.one_of(U32, st.binary(max_size=20).map(string), st.binary(max_size=9))
BODY = st.lists(FIELDS, max_size=8).map(b"".join)
KINDS = st.one_of(st.sampled_from([101, 102, 103, 104, 105, 201]), st.integers(0, 255))
REPLIES = st.lists(st.tuples(KINDS, st.sampled_from([0] * 12 + [1, -1, 7]), BODY), max_size=25)
VERSION = st.one_of(
    st.just(struct.pack(">IBI", 5, 2, 3)),
    st.just(struct.pack(">IBI", 5 + 30, 2, 3) + string(b"limits@openssh.com") + string(b"1234")),
    st.binary(max_size=20),
    st.just(struct.pack(">IB", 2**32 - 1, 2)),
)


def _all(session: SftpSession) -> list[Callable[[], object]]:
    return [
        lambda: session.stat("a"),
        lambda: list(islice(session.list("."), 1000)),
        lambda: session.upload("a", io.BytesIO(b"x" * 100_000), exclusive=True),
        lambda: list(islice(session.read("a"), 1000)),
        lambda: session.rename("a", "b"),
        lambda: session.replace("a", "b"),
        lambda: session.remove("a"),
        lambda: session.make_folder("d"),
        lambda: session.stat_all(["a", "b"]),
        lambda: session.remove_all(["a", "b", "c"]),
        lambda: _read_all(session, ["a", "b", "c"]),
    ]


def _read_all(session: SftpSession, names: list[str]) -> None:
    readings = [session.begin_reading(name, size=len(name)) for name in names]
    for reading in readings:
        with closing(reading), suppress(AttemptError):
            reading.look()
            list(islice(reading.pieces(), 1000))
            reading.look_again()


def talking(wire: Wire, watchdog: Watchdog) -> SftpSession:
    version, extensions = wire.start()
    return SftpSession(
        where="endpoint 'x'",
        root=Root("."),
        deadline_seconds=30,
        link=DeadLink(),  # type: ignore[arg-type]
        wire=wire,
        watchdog=watchdog,
        server=Server(key=HostKey(type=None, fingerprint="x"), methods=(), version=version, extensions=extensions),
    )


@examples(70, 100_000)
@given(greeting=VERSION, replies=REPLIES, steps=st.lists(st.integers(0, 10), max_size=6))
def test_whatever_a_server_answers_is_an_answer_or_an_error_with_words(
    greeting: bytes, replies: list[tuple[int, int, bytes]], steps: list[int]
) -> None:
    watchdog = Watchdog(stall_seconds=30, end=lambda: None)
    try:
        wire = Wire(Babbler(list(replies), greeting=greeting), watchdog)
        session = None
        with suppress(Broken, struct.error, UnicodeError):
            session = talking(wire, watchdog)
        for step in steps if session is not None else ():
            with suppress(AttemptError):
                _all(session)[step]()
    finally:
        watchdog.close()


class Endless(Babbler):
    """Answers every question for names with more names."""

    def __init__(self, reply: bytes) -> None:
        super().__init__([], greeting=struct.pack(">IBI", 5, 2, 3))
        self._reply = reply

    def _answer(self, request: int) -> None:
        kind, body = (102, string(b"h")) if request == 1 else (104, self._reply)
        self._say(kind, request, body)


def test_a_list_of_names_without_an_end_is_broken_off() -> None:
    one = string(b"n" * 250_000) + string(b"") + struct.pack(">I", 0)
    watchdog = Watchdog(stall_seconds=30, end=lambda: None)
    wire = Wire(Endless(struct.pack(">I", 4) + one * 4), watchdog)
    session = talking(wire, watchdog)
    with pytest.raises(BatchxferError, match="does not end"):
        sum(1 for _ in session.list("."))
    watchdog.close()
