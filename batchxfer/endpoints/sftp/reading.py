"""Files that are begun to be read before their turn comes, so that a partner who is far away is waited for once for many.

A look and an open leave together; the bytes of a small file and the look after them are asked for as soon as it is open. What
a server answers meanwhile waits in its Reading.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from batchxfer.endpoints.sftp import failures, wire
from batchxfer.endpoints.sftp.failures import Refused
from batchxfer.endpoints.sftp.looks import Looks, Root
from batchxfer.endpoints.sftp.transfer import FAR_SECONDS, Download, Limits
from batchxfer.endpoints.sftp.wire import HANDLE, NO_ATTRIBUTES, Wire, string, unpack
from batchxfer.ports import FileStat

_TO_READ = struct.pack(">I", 0x01) + NO_ATTRIBUTES
_MOST_AHEAD_BYTES = 2 * 1024 * 1024
_GONE = (failures.NO_SUCH_FILE, failures.NO_SUCH_PATH)


class Readings:
    """The files of one session that were begun. `step` is put around what talks to the server, and says what for.

    Where a server is not known to do requests in order, the look after the bytes waits for them.
    """

    def __init__(
        self,
        wire: Wire,
        root: Root,
        looks: Looks,
        limits: Callable[[], Limits],
        step: Callable[[str], AbstractContextManager[None]],
        *,
        in_order: bool,
    ) -> None:
        self.wire = wire
        self.root = root
        self.looks = looks
        self.limits = limits
        self.step = step
        self.in_order = in_order
        self._begun: list[Reading] = []
        self._may_be_ahead = True

    def begin(self, path: str, size: int) -> Reading:
        reading = Reading(self, path, size, is_ahead=bool(self._begun))
        if self._may_be_ahead:
            reading.start()
        self._begun.append(reading)
        return reading

    def ask_ahead(self) -> None:
        """Ask for the bytes of what is open by now, as far as it is little."""
        self.wire.hear_what_came()
        room = _MOST_AHEAD_BYTES - sum(reading.asked_bytes for reading in self._begun)
        for reading in self._begun:
            if reading.size > room:
                return
            if reading.is_open and not reading.asked_bytes and reading.size <= self.limits().read_bytes:
                reading.ask()
                room -= reading.asked_bytes

    def make_way(self, one: Reading) -> bool:
        """Close the others, and whether there were some: they may be what keeps a server from opening one more."""
        others = [reading for reading in self._begun if reading is not one and reading.is_started]
        for other in others:
            other.stop()
        return bool(others)

    def stay_behind(self) -> None:
        """One at a time from now on."""
        self._may_be_ahead = False

    def end(self, one: Reading) -> None:
        self._begun.remove(one)
        if not self._begun:
            self.wire.flush()


class Looking:
    """A ports.Looking over SFTP."""

    def __init__(self, readings: Readings, path: str) -> None:
        self._all = readings
        self._path = path
        self._seen: tuple[FileStat | None] | None = None
        self._asked: int | None = readings.looks.ask(path, more=True)

    def look(self) -> FileStat | None:
        with self._all.step(f"look at {self._all.root.name(self._path)}"):
            if self._seen is None:
                asked, self._asked = self._asked, None
                looks = self._all.looks
                self._seen = (looks.at(self._path) if asked is None else looks.hear(asked, self._path),)
            return self._seen[0]

    def close(self) -> None:
        if self._asked is not None:
            self._all.wire.forget(self._asked)
            self._asked = None


class Reading:
    """A ports.Reading over SFTP."""

    def __init__(self, readings: Readings, path: str, size: int, *, is_ahead: bool) -> None:
        self._all = readings
        self._wire = readings.wire
        self._path = path
        self.size = size
        self._name = readings.root.name(path)
        self._seen: tuple[FileStat | None] | None = None
        self._looking: int | None = None
        self._opening: int | None = None
        self._handle: bytes | None = None
        self._download: Download | None = None
        self._looking_again: int | None = None
        self._waited_seconds = 0.0
        self._is_ahead = is_ahead
        self._is_closed = False

    # asking

    def start(self) -> None:
        """Ask for a look and for the open file; both leave with what is asked next."""
        if self._looking is None and self._seen is None:
            self._looking = self._all.looks.ask(self._path, more=True)
        if self._opening is None and self._handle is None:
            self._opening = self._wire.send(wire.OPEN, self._all.root.field(self._path), _TO_READ, more=True)

    @property
    def is_started(self) -> bool:
        return self._opening is not None or self._handle is not None

    @property
    def is_open(self) -> bool:
        """Whether the server has said so."""
        if self._handle is not None:
            return True
        reply = None if self._opening is None else self._wire.came(self._opening)
        return reply is not None and reply.kind == HANDLE

    @property
    def asked_bytes(self) -> int:
        return max(self.size, 1) if self._download else 0

    def ask(self, offset: int = 0) -> Download:
        """Ask for the first bytes of the open file and, where they are all, for the look after them."""
        self._download = download = self._new_download(offset)
        download.begin()
        if self._all.in_order and download.was_in_one:
            self._looking_again = self._all.looks.ask(self._path, more=True)
        return download

    # answers

    def look(self) -> FileStat | None:
        with self._all.step(f"look at {self._name}"):
            if self._seen is None:
                self.start()
                self._seen = (self._hear_look(),)
            return self._seen[0]

    def _hear_look(self) -> FileStat | None:
        began = time.monotonic()
        request, self._looking = self._looking, None
        seen = self._all.looks.at(self._path) if request is None else self._all.looks.hear(request, self._path)
        self._waited_seconds = time.monotonic() - began
        return seen

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        with self._all.step(f"read {self._name}"):
            yield from self._asked(offset).pieces()

    def _asked(self, offset: int) -> Download:
        download = self._download
        if offset or download is None or download.is_used:
            self._forget_download()
            download = self.ask(offset)
        self._all.ask_ahead()
        return download

    def look_again(self) -> FileStat | None:
        with self._all.step(f"look at {self._name}"):
            request, self._looking_again = self._looking_again, None
            if request is None:
                return self._all.looks.at(self._path)
            seen = self._all.looks.hear(request, self._path)
            # Where the bytes did not come with the first reads, the look was before the last of them.
            return seen if self._download and self._download.was_in_one else self._all.looks.at(self._path)

    def _hear_handle(self) -> bytes:
        if self._handle is None:
            self.start()
            try:
                self._handle = self._opened()
            except Refused as refusal:
                made_way = self._all.make_way(self)
                if refusal.code in _GONE or not (made_way or self._is_ahead):
                    raise
                self.start()
                self._handle = self._opened()
                self._all.stay_behind()
        return self._handle

    def _opened(self) -> bytes:
        request, self._opening = self._opening, None
        if request is None:
            raise AssertionError("nothing was asked")
        return unpack(self._wire.receive(request), HANDLE, named=True).string()

    def _new_download(self, offset: int) -> Download:
        far = max(self._waited_seconds, self._wire.round_trip_seconds or 0) > FAR_SECONDS
        expected = self.size if offset <= self.size else None
        return Download(self._wire, self._hear_handle(), self._all.limits(), offset=offset, expected=expected, far=far)

    # ending

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(Exception), self._all.step(f"close {self._name}"):
                self.stop()
                self._all.end(self)

    def stop(self) -> None:
        """As if it had not been started; what was seen stays."""
        self._forget_download()
        if self._looking is not None:
            self._wire.forget(self._looking)
            self._looking = None
        if self._opening is not None:
            with contextlib.suppress(Refused):
                self._handle = self._opened()
        if self._handle is not None:
            self._wire.forget(self._wire.send(wire.CLOSE, string(self._handle), more=True))
            self._handle = None

    def _forget_download(self) -> None:
        if self._download is not None:
            self._download.abandon()
            self._download = None
        if self._looking_again is not None:
            self._wire.forget(self._looking_again)
            self._looking_again = None
