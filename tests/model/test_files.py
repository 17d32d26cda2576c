"""Whatever happens in whatever order, each of a partner's files is loaded once, whole, and then put away as agreed.

The machine pulls and loads; files grow, are put in another's place, are no CSV, or are withdrawn; the line breaks, the table's
database is away or loses its last reply, a process is killed before or after any call, or stands still while another takes
over, the clock steps, and a person types commands. `make soak` goes on for long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from batchxfer.errors import DatabaseUnavailable, FolderMissing, ForeignFile, LoadError
from batchxfer.model import ColumnType, Run, RunStatus, TargetColumn, TypeName
from batchxfer.ports import Entry, FileStat, LoadCounts, LoadKey
from tests.faults.partner import BreaksAt
from tests.ledgers import HandClock
from tests.model.machine import HOUR, NOW, Machine, World, new_project, steps  # noqa: F401
from tests.soak import examples

PULL = """
direction = "pull"
[schedule]
cron = "0 * * * *"
[file]
format = "csv"
endpoint = "bank"
path = "{path}"
expect = "{expect}"
stable_for = "10s"
{then}
[load]
database = "shop"
table = "sales"
[retry]
after = ["5m", "30m", "2h"]
"""
THEN = ('then = "leave"', 'then = "delete"', 'then = "move"\nmove_to = "archive/{name}"')
ROWS = 3
NOT_CSV = 'line\n"it never ends'


@dataclass
class Version:
    """A file as the partner meant it, and as much of it as is there by now."""

    number: int
    path: str
    rows_there: int = ROWS
    is_broken: bool = False
    is_withdrawn: bool = False
    """The partner took it away, or put another in its place."""

    @property
    def lines(self) -> list[str]:
        return [f"{self.number}.{row}" for row in range(ROWS)]

    @property
    def content(self) -> bytes:
        return (NOT_CSV if self.is_broken else "\n".join(["line", *self.lines[: self.rows_there], ""])).encode()

    @property
    def modified(self) -> datetime:
        return NOW + timedelta(seconds=10 * self.number + self.rows_there)


@dataclass
class Shelf:
    """What stands at the partner's, and where batchxfer has moved it."""

    files: dict[str, Version] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    taken_away: list[Version] = field(default_factory=list)

    def put(self, path: str, *, rows: int = ROWS, broken: bool = False) -> None:
        if (before := self.files.get(path)) is not None:
            before.is_withdrawn = True
        self.files[path] = Version(len(self.versions), path, rows, broken)
        self.versions.append(self.files[path])

    def grow(self) -> None:
        for version in self.files.values():
            version.rows_there = min(version.rows_there + 1, ROWS)

    def stat(self, path: str) -> FileStat | None:
        version = self.files.get(path)
        return None if version is None else FileStat(size=len(version.content), modified=version.modified)


class Watch(HandClock):
    """While somebody sleeps, what grows at the partner's grows on."""

    def __init__(self, grow: Callable[[], None]) -> None:
        super().__init__(NOW)
        self._grow = grow

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._grow()


class ShelfSession:
    """What of ports.Session a pull uses, over a Shelf."""

    server_key = "SHA256:test"
    at_once = 2

    def __init__(self, shelf: Shelf, breaks: BreaksAt) -> None:
        self._shelf, self._breaks = shelf, breaks

    @property
    def alive(self) -> bool:
        return not self._breaks.broken

    def begin_attempt(self) -> None: ...

    def end_attempt(self) -> None: ...

    def close(self) -> None: ...

    def list(self, path: str) -> Iterator[Entry]:
        def listed() -> list[Entry]:
            inside = [each for each in self._shelf.files if each.rpartition("/")[0] == path]
            return [Entry(name=each.rpartition("/")[2], stat=self._there(each)) for each in inside]

        return iter(self._breaks(listed))  # type: ignore[call-overload,no-any-return]

    def _there(self, path: str) -> FileStat:
        found = self._shelf.stat(path)
        assert found is not None
        return found

    def stat(self, path: str) -> FileStat | None:
        return self._breaks(lambda: self._shelf.stat(path))  # type: ignore[return-value]

    def stat_all(self, paths: Sequence[str]) -> Sequence[FileStat | None]:
        return [self.stat(path) for path in paths]

    def begin_reading(self, path: str, *, size: int) -> ShelfReading:
        return ShelfReading(self, path)

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        def whole() -> bytes:
            if path not in self._shelf.files:
                raise FolderMissing(f"{path} is not there")
            return self._shelf.files[path].content[offset:]

        content: bytes = self._breaks(whole)  # type: ignore[assignment]
        for start in range(0, len(content), 5):
            yield self._breaks(lambda start=start: content[start : start + 5])  # type: ignore[misc]

    def remove(self, path: str) -> None:
        self._breaks(lambda: self._take_away(path))

    def remove_all(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.remove(path)

    def rename(self, old: str, new: str) -> None:
        def move() -> None:
            if old not in self._shelf.files:
                raise FolderMissing(f"{old} is not there")
            if new in self._shelf.files:
                raise ForeignFile(f"{new} exists")
            version = self._shelf.files[old]
            self._take_away(old)
            self._shelf.files[new] = version

        self._breaks(move)

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        for old, new in pairs:
            self.rename(old, new)

    def make_folder(self, path: str) -> None:
        self._breaks(lambda: None)

    def _take_away(self, path: str) -> None:
        if (version := self._shelf.files.pop(path, None)) is not None:
            self._shelf.taken_away.append(version)


class ShelfReading:
    def __init__(self, session: ShelfSession, path: str) -> None:
        self._session, self._path = session, path
        self._seen: list[FileStat | None] = []

    def look(self) -> FileStat | None:
        if not self._seen:
            self._seen.append(self._session.stat(self._path))
        return self._seen[0]

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        return self._session.read(self._path, offset=offset)

    def look_again(self) -> FileStat | None:
        return self._session.stat(self._path)

    def close(self) -> None: ...


class MemoryLoading:
    """A transaction over a table in memory. `commit_breaks` says before or after what the line breaks."""

    def __init__(self, loaded: dict[LoadKey, list[str]], commit_breaks: str | None) -> None:
        self._loaded, self._breaks = loaded, commit_breaks
        self._rows: list[str] = []
        self._records: dict[LoadKey, list[str]] = {}

    def columns(self, table: str) -> tuple[TargetColumn, ...]:
        return (TargetColumn(name="line", type=ColumnType(TypeName.TEXT)),)

    def recorded(self, keys: Sequence[LoadKey]) -> Mapping[LoadKey, LoadCounts]:
        return {key: LoadCounts(rows=len(self._loaded[key])) for key in keys if key in self._loaded}

    def append(
        self, table: str, columns: Sequence[TargetColumn], batches: Iterable[pa.RecordBatch], *, key: Sequence[str] = ()
    ) -> int:
        fresh = [str(line) for batch in batches for line in batch.column(0).to_pylist()]
        self._rows += fresh
        return len(fresh)

    def record(self, key: LoadKey, counts: LoadCounts) -> None:
        self._records[key], self._rows = self._rows, []

    def commit(self) -> None:
        if self._breaks == "before":
            raise DatabaseUnavailable("the line broke before the commit")
        # The other one's commit came first.
        if known := self._records.keys() & self._loaded.keys():
            raise LoadError(f"{known} is there already")
        self._loaded.update(self._records)
        if self._breaks == "after":
            raise DatabaseUnavailable("the line broke before the reply came")


class ShelfAndTable(World):
    """A partner's shelf, and a table that is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.loaded: dict[LoadKey, list[str]] = {}
        self.commit_breaks: str | None = None

    def connect(self) -> ShelfSession:
        return ShelfSession(self.shelf, self.pending_breaks())

    @contextmanager
    def begin(self) -> Iterator[MemoryLoading]:
        if self.database_is_away:
            self.database_is_away -= 1
            raise DatabaseUnavailable("database 'shop' is restarting")
        breaks, self.commit_breaks = self.commit_breaks, None
        yield MemoryLoading(self.loaded, breaks)

    def mend(self) -> None:
        super().mend()
        self.commit_breaks = None
        # The partner puts a good file in the place of each that was none.
        for path in {version.path for version in self.shelf.versions if version.is_broken}:
            if (there := self.shelf.files.get(path)) is None or there.is_broken:
                self.shelf.put(path)
        while any(version.rows_there < ROWS for version in self.shelf.files.values()):
            self.shelf.grow()


class Files(Machine):
    words = ("retry", "retry", "release", "rerun", "accept", "exclude")
    world: ShelfAndTable

    @initialize(then=st.sampled_from(THEN), dated=st.booleans())
    def begin(self, then: str, dated: bool) -> None:
        self.dated, self.moves = dated, "move" in then
        self.names = 0
        world = ShelfAndTable()
        path, expect = ("in/{slot_utc:%Y%m%dT%H}.csv", "once") if dated else ("in/*.csv", "any")
        self.begin_with(PULL.format(path=path, expect=expect, then=then), world, Watch(world.shelf.grow))

    # --- what happens ----------------------------------------------------------------------------

    def name(self, hours: int) -> str:
        """The name of a file of a slot that is not far away, or a new one."""
        if self.dated:
            return self.path_of(max(self.clock.instant + hours * HOUR, NOW + HOUR))
        self.names += 1
        return f"in/{self.names}.csv"

    @rule(hours=st.integers(-1, 1), rows=st.integers(1, ROWS), broken=st.sampled_from([False] * 5 + [True]))
    def the_partner_puts(self, hours: int, rows: int, broken: bool) -> None:
        self.put(hours, rows, broken=broken)

    def put(self, hours: int, rows: int, *, broken: bool) -> None:
        path = self.name(hours)
        if path not in self.world.shelf.files:
            self.world.shelf.put(path, rows=ROWS if broken else rows, broken=broken)

    def an_hour_goes_by(self) -> None:
        super().an_hour_goes_by()
        self.put(0, ROWS, broken=False)

    # Who stood still between a look and a removal removes what has come in its place since: nobody can ask a server to
    # remove this file, and no other.
    @precondition(lambda self: self.sleeper is None and self.standing())
    @rule(which=st.integers(0, 1000), withdraws=st.booleans())
    def the_partner_changes(self, which: int, withdraws: bool) -> None:
        path = self.standing()[which % len(self.standing())]
        if withdraws:
            self.world.shelf.files.pop(path).is_withdrawn = True
        else:
            self.world.shelf.put(path)

    def standing(self) -> list[str]:
        return sorted(path for path in self.world.shelf.files if path.startswith("in/"))

    @rule(when=st.sampled_from(["before", "after"]))
    def the_commit_will_break(self, when: str) -> None:
        self.world.commit_breaks = when

    # --- what holds ------------------------------------------------------------------------------

    def check(self, runs: list[Run]) -> None:
        self.whole_files_are_loaded_and_each_once()
        self.what_is_taken_away_is_loaded()
        self.what_is_here_is_whole()
        self.what_is_delivered_is_loaded(runs)

    def whole_files_are_loaded_and_each_once(self) -> None:
        meant = {tuple(version.lines): version.number for version in self.world.shelf.versions}
        for rows in self.world.loaded.values():
            assert tuple(rows) in meant, f"in part: {rows}"
        times = Counter((meant[tuple(rows)], key.revision) for key, rows in self.world.loaded.items())
        assert not [which for which, count in times.items() if count > 1], times

    def what_is_taken_away_is_loaded(self) -> None:
        for version in self.world.shelf.taken_away:
            assert self.is_loaded(version), f"{version.path} is gone there, and not in the table"

    def what_is_here_is_whole(self) -> None:
        contents = {version.content for version in self.world.shelf.versions}
        for path in (self.folder / "var/in").rglob("*.csv"):
            assert path.name.startswith(".") or path.read_bytes() in contents

    def what_is_delivered_is_loaded(self, runs: list[Run]) -> None:
        for run in runs:
            evidence = run.deliveries[0].evidence if run.deliveries else None
            if run.status is not RunStatus.DELIVERED or evidence is None or evidence.how == "accepted":
                continue
            for file in run.files:
                assert file.status not in ("seen", "fetched", "loaded")
                if file.status == "done":
                    key = LoadKey(project=self.auditor.project_id, file=file.file, revision=run.revision)
                    assert len(self.world.loaded[key]) == file.rows == ROWS

    def is_loaded(self, version: Version) -> bool:
        return any(rows == version.lines for rows in self.world.loaded.values())

    def may_wait(self, run: Run) -> bool:
        return self.dated and run.status is RunStatus.PENDING and "no file matches" in (run.reason or "")

    def come_to_rest(self) -> None:
        super().come_to_rest()
        for _ in range(2 + sum(version.is_broken for version in self.world.shelf.versions)):
            # What stopped is let go on: its cause is gone. Of files that were none one is found with each try.
            for run in self.newest().values():
                if run.status in (RunStatus.FAILED, RunStatus.HELD):
                    self.type("retry", run)
            self.clock.instant += HOUR
            self.work_off()
        for run in self.newest().values():
            # The good one that came in the place of what was none may have been another slot's to take.
            if run.status is RunStatus.FAILED and "ends inside a value" in (run.reason or ""):
                self.type("exclude", run)
        self.what_holds()
        stopped = {RunStatus.FAILED, RunStatus.HELD}
        assert not stopped & {run.status for run in self.newest().values()}, self.standings()
        for version in self.world.shelf.versions:
            if self.is_owed(version):
                assert self.is_loaded(version), f"{version} was never loaded: {self.standings()}"
                assert version in self.world.shelf.taken_away or 'then = "leave"' in self.job_text

    def standings(self) -> list[str]:
        return [f"{run.due.slot:%d %H} {run.status}: {run.reason}" for run in self.newest().values()]

    def is_owed(self, version: Version) -> bool:
        """The model: what the partner did not take back, and nobody excluded; of a slot that expects one file, the first."""
        if self.dated:
            served = any(self.is_loaded(each) for each in self.world.shelf.versions if each.path == version.path)
            open_slots = [slot for slot in self.owed() if not self.typed[slot.isoformat()] & {"accept", "exclude"}]
            if version.path not in {self.path_of(slot) for slot in open_slots} or served:
                return False
        left = {(file.path, file.modified) for run in self.runs() for file in run.files if file.status == "excluded"}
        return not version.is_withdrawn and (version.path, version.modified) not in left

    def path_of(self, slot: datetime) -> str:
        return f"in/{slot:%Y%m%dT%H}.csv"


@pytest.mark.soak
class TestFiles(Files.TestCase):  # type: ignore[name-defined,misc]
    settings = steps(examples(5, 20_000))
