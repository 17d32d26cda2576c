"""A partner's folder in memory, and a session to it that breaks at the n-th call, before or after its effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from batchxfer.errors import FolderMissing, ForeignFile, NetworkError
from batchxfer.ports import Entry, FileStat, Progress, Readable, Reading


@dataclass
class Partner:
    """What the partner has, and each change of a name that was ever visible to them."""

    files: dict[str, bytes] = field(default_factory=dict)
    published: list[tuple[str, bytes]] = field(default_factory=list)

    def publish(self, path: str) -> None:
        self.published.append((path, self.files[path]))


@dataclass
class BreaksAt:
    """Counts the calls of a session; call number `at` breaks, `after` its effect or before it."""

    at: int | None = None
    after: bool = False
    calls: int = 0
    broken: bool = False

    def __call__(self, effect: Callable[[], object]) -> object:
        self.calls += 1
        if self.calls == self.at and not self.after:
            self.broken = True
            raise NetworkError("the link broke before the server did it")
        result = effect()
        if self.calls == self.at:
            self.broken = True
            raise NetworkError("the link broke before the reply came")
        return result


@dataclass
class MemoryLooking:
    """Its answer comes when it is asked for."""

    session: MemorySession
    path: str

    def look(self) -> FileStat | None:
        return self.session.stat(self.path)

    def close(self) -> None: ...


class MemorySession:
    """Implements ports.Session over a Partner. `at_once` decides when a final name is looked at."""

    server_key = "SHA256:test"
    at_once = 1

    def __init__(self, partner: Partner, breaks: BreaksAt | None = None) -> None:
        self.partner = partner
        self.breaks = breaks or BreaksAt()

    @property
    def alive(self) -> bool:
        return not self.breaks.broken

    def begin_attempt(self) -> None: ...

    def end_attempt(self) -> None: ...

    def stat(self, path: str) -> FileStat | None:
        def look() -> FileStat | None:
            content = self.partner.files.get(path)
            return None if content is None else FileStat(size=len(content))

        return self.breaks(look)  # type: ignore[return-value]

    def begin_look(self, path: str) -> MemoryLooking:
        return MemoryLooking(self, path)

    def stat_all(self, paths: Sequence[str]) -> list[FileStat | None]:
        return [self.stat(path) for path in paths]

    def upload(
        self,
        path: str,
        content: Readable,
        *,
        exclusive: bool,
        created: Callable[[], None] | None = None,
        progress: Progress | None = None,
    ) -> int:
        def create() -> None:
            if exclusive and path in self.partner.files:
                raise ForeignFile(f"{path} exists")
            self.partner.files[path] = b""

        self.breaks(create)
        if created is not None:
            created()
        while piece := content.read(7):
            self.breaks(lambda: self._append(path, piece))
        self.breaks(lambda: None)
        return len(self.partner.files[path])

    def _append(self, path: str, piece: bytes) -> None:
        self.partner.files[path] += piece

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        yield self.breaks(lambda: self.partner.files[path][offset:])  # type: ignore[misc]

    def rename(self, old: str, new: str) -> None:
        def move() -> None:
            if old not in self.partner.files:
                raise FolderMissing(f"{old} is not there")
            if new in self.partner.files:
                raise ForeignFile(f"{new} exists")
            self._move(old, new)

        self.breaks(move)

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        for old, new in pairs:
            self.rename(old, new)

    def replace(self, old: str, new: str) -> None:
        self.breaks(lambda: self._move(old, new))

    def _move(self, old: str, new: str) -> None:
        self.partner.files[new] = self.partner.files.pop(old)
        self.partner.publish(new)

    def remove(self, path: str) -> None:
        self.breaks(lambda: self.partner.files.pop(path, None))

    def begin_reading(self, path: str, *, size: int) -> Reading:
        raise NotImplementedError("this partner only takes files")

    def remove_all(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.remove(path)

    def make_folder(self, path: str) -> None:
        self.breaks(lambda: None)

    def list(self, path: str) -> Iterator[Entry]:
        return iter(())

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None: ...
