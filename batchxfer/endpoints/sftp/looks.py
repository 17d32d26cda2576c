"""Looks at names on the server, and where the names are: below the endpoint's root."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from batchxfer.endpoints.sftp import failures, wire
from batchxfer.endpoints.sftp.attributes import file_stat
from batchxfer.endpoints.sftp.failures import Refused
from batchxfer.endpoints.sftp.wire import Wire, string, unpack
from batchxfer.errors import printable
from batchxfer.ports import FileStat


@dataclass(frozen=True)
class Root:
    """What is put before every path."""

    path: str

    def name(self, path: str) -> str:
        """As it is shown."""
        return printable(self._whole(path))

    def field(self, path: str) -> bytes:
        """As a request has it."""
        return string(self._whole(path).encode("utf-8", "surrogateescape"))

    def _whole(self, path: str) -> str:
        if self.path in ("", "."):
            return path
        return f"{self.path.rstrip('/')}/{path}" if path not in ("", ".") else self.path


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen at a path, and the number of the request that asked."""

    request: int
    path: str
    seen: FileStat | None


class Looks:
    """What is at a name. Each raises Refused where the server does not say."""

    def __init__(self, wire: Wire, root: Root) -> None:
        self._wire = wire
        self._root = root

    def at(self, path: str) -> FileStat | None:
        """What is at `path`, None where nothing is; a link is not followed, where the server can do so."""
        return self.hear(self.ask(path), path)

    def at_each(self, paths: Sequence[str]) -> list[FileStat | None]:
        """What is at each of these paths, asked for all at once."""
        waiting = deque((self.ask(path, more=True), path) for path in paths)
        seen = []
        try:
            while waiting:
                seen.append(self.hear(*waiting.popleft()))
        finally:
            for request, _ in waiting:
                self._wire.forget(request)
        return seen

    def ask(self, path: str, *, more: bool = False) -> int:
        """The request of a look; it may leave with others."""
        return self._wire.send(wire.LSTAT, self._root.field(path), more=more)

    def hear(self, request: int, path: str) -> FileStat | None:
        """The answer to `ask`; asks anew where the server knows only the look that follows links."""
        try:
            return self._seen(request)
        except Refused as refusal:
            if refusal.code != failures.UNSUPPORTED:
                raise
            return self.beyond(path)

    def beyond(self, path: str) -> FileStat | None:
        """What is at `path`, or where its link leads."""
        return self._seen(self._wire.send(wire.STAT, self._root.field(path)))

    def hear_in_passing(self, request: int, path: str) -> Look | None:
        """The reply to a look that was sent behind another request; None where the server does not say."""
        with contextlib.suppress(Refused):
            return Look(request=request, path=path, seen=self._seen(request))
        return None

    def shows(self, path: str) -> bool:
        """Whether something is seen at `path`, where another refusal is what is told."""
        with contextlib.suppress(Refused):
            return self.at(path) is not None
        return False

    def finds(self, path: str) -> bool:
        """Whether something is at `path`; a server that lets nobody look shows nothing. One that fails to look is not asked
        to go on: its rename might overwrite what is there."""
        try:
            return self.at(path) is not None
        except Refused as refusal:
            if not failures.forbids(refusal):
                raise
            return False

    def _seen(self, request: int) -> FileStat | None:
        try:
            return file_stat(unpack(self._wire.receive(request), wire.ATTRS))
        except Refused as refusal:
            if refusal.code in (failures.NO_SUCH_FILE, failures.NO_SUCH_PATH):
                return None
            raise
