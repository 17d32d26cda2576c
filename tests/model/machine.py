"""What every model has in common: a daemon, a second worker, the clock, kills, pauses, a person who types, and notices.

A case is the same each time it is tried: nothing is drawn from what depends on chance, such as the order of ids.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batchxfer.errors import BatchxferError
from batchxfer.model import Run, RunStatus
from batchxfer.wiring import load_project
from tests.faults.partner import BreaksAt
from tests.ledgers import HandClock, SqlitePlace
from tests.model.processes import MOST_ROUNDS, Killed, Process, Sleeper
from tests.soak import SOAKING

NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.RETRYING})
ENDED = frozenset({RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED})
REASONED = frozenset({RunStatus.HELD, RunStatus.FAILED, RunStatus.RETRYING, RunStatus.EXCLUDED})
STOPPED = frozenset({"held", "failed"})
JOB = "hourly"

CONFIG = """
ledger = "sqlite:///var/ledger.db"
spool = "spool"
[databases.shop]
url = "sqlite:///shop.db"
[endpoints.bank]
protocol = "local"
root = "out"
[[notify]]
command = ["tell"]
remind = "3650d"
"""


class World:
    """What outlives a process: the partner, the databases, whoever is told, and what goes wrong next."""

    def __init__(self) -> None:
        self.breaks = BreaksAt()
        self.database_is_away = 0
        self.nobody_listens = 0
        self.told: list[dict[str, Any]] = []

    def pending_breaks(self) -> BreaksAt:
        breaks, self.breaks = self.breaks, BreaksAt()
        return breaks

    def hear(self, command: Sequence[str], event: bytes, folder: Path) -> None:
        if self.nobody_listens:
            self.nobody_listens -= 1
            raise subprocess.CalledProcessError(1, list(command), stderr=b"busy")
        self.told.append(json.loads(event))

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self.breaks, self.database_is_away, self.nobody_listens = BreaksAt(), 0, 0


class Faults(logging.Handler):
    """What a process met that nobody foresaw, such as a write that a claim which is lost let through."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "action", None) == "fault":
            self.found.append(f"{record.getMessage()}: {record.exc_info[1] if record.exc_info else ''}")


class Machine(RuleBasedStateMachine):
    template: ClassVar[Path | None] = None
    words: ClassVar[tuple[str, ...]] = ()
    world: Any

    def begin_with(self, job: str, world: World, clock: HandClock) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="batchxfer-model-"))
        for name, text in (
            ("config.toml", CONFIG),
            ("formats/csv.toml", 'kind = "delimited"\n'),
            (f"jobs/{JOB}.toml", job),
        ):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if Machine.template is not None:
            shutil.copytree(Machine.template, self.folder, dirs_exist_ok=True)
        self.job_text = job
        self.project = load_project(self.folder / "config.toml")
        self.world, self.clock = world, clock
        self.place = SqlitePlace(self.folder, self.clock)
        self.seen_until = self.first_seen = NOW
        self.typed: dict[str, set[str]] = defaultdict(set)
        self.perhaps_told_again: Counter[str] = Counter()
        self.sleeper: Sleeper | None = None
        self.auditor = self.place.open()
        self.faults = Faults()
        logging.getLogger("batchxfer").addHandler(self.faults)
        self.start()
        self.tick()
        self.it_ticks_at_each_slot(2)

    def start(self) -> None:
        self.process = self.another_process()

    def another_process(self) -> Process:
        return Process(self.project, self.place.open(), self.world, self.clock, self.world.hear)

    def teardown(self) -> None:
        if not hasattr(self, "place"):
            return
        try:
            self.come_to_rest()
        finally:
            if self.sleeper is not None:
                self.sleeper.die()
            logging.getLogger("batchxfer").removeHandler(self.faults)
            self.place.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- what happens ----------------------------------------------------------------------------

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Whatever is done; where the process was killed, the next one begins."""
        try:
            yield
        except Killed:
            self.place.end_process(self.process.opened)
            self.start()

    # Three of them: without ticks nothing happens, and a case may leave any rule out.
    @rule(minutes=st.sampled_from([0, 1, 10]))
    def a_moment_later_it_ticks(self, minutes: int) -> None:
        self.clock.instant += timedelta(minutes=minutes)
        self.tick()

    @rule(hours=st.integers(1, 3))
    def after_some_slots_it_ticks(self, hours: int) -> None:
        for _ in range(hours):
            self.an_hour_goes_by()
        self.tick()

    @rule(hours=st.integers(1, 3))
    def it_ticks_at_each_slot(self, hours: int) -> None:
        for _ in range(hours):
            self.an_hour_goes_by()
            self.tick()

    def an_hour_goes_by(self) -> None:
        self.clock.instant += HOUR

    def tick(self) -> None:
        with self.alive():
            self.seen_until = max(self.seen_until, self.clock.now())
            self.process.tick()

    @rule()
    def tell(self) -> None:
        known = len(self.world.told)
        with self.alive():
            try:
                self.process.tell()
            except Killed:
                # Told, and nobody could write down that it was.
                self.perhaps_told_again.update(event["notice"] for event in self.world.told[known:][-1:])
                raise

    @rule(minutes=st.integers(1, 90))
    def the_clock_steps_back(self, minutes: int) -> None:
        self.clock.instant -= timedelta(minutes=minutes)

    @rule(at=st.integers(1, 14), after=st.booleans())
    def the_line_will_break(self, at: int, after: bool) -> None:
        self.world.breaks = BreaksAt(at=at, after=after)

    @rule(times=st.integers(1, 3))
    def the_database_goes_away(self, times: int) -> None:
        self.world.database_is_away = times

    @rule(times=st.integers(1, 3))
    def nobody_listens(self, times: int) -> None:
        self.world.nobody_listens = times

    @rule(step=st.integers(0, 120))
    def the_process_is_killed(self, step: int) -> None:
        """Now, or so many steps later."""
        fate = self.process.fate
        fate.dies_at = fate.steps + step
        if not step:
            self.place.end_process(self.process.opened)
            self.start()

    @rule(why=st.sampled_from(["maintenance", None, None, None]))
    def a_person_pauses_the_job_or_resumes_it(self, why: str | None) -> None:
        with self.alive():
            if why is None:
                self.process.ledger.resume(JOB)
            elif JOB not in self.auditor.pauses():
                self.process.ledger.pause(JOB, why)

    @rule(which=st.integers(0, 1000), word=st.integers(0, 1000))
    def a_person_types(self, which: int, word: int) -> None:
        # Their ids begin with the same instant, and go on by chance.
        if runs := sorted(self.runs(), key=lambda run: (run.due.slot, run.revision)):
            self.type(self.words[word % len(self.words)], runs[which % len(runs)])

    def type(self, word: str, run: Run) -> None:
        with self.alive(), contextlib.suppress(BatchxferError):
            operations = self.process.operations
            self.typed[run.due.slot.isoformat()].add(word)
            if word in ("accept", "exclude"):
                getattr(operations, word)(run, "says a person")
            elif word == "rerun":
                operations.rerun(run, {})
            else:
                getattr(operations, word)(run)

    # --- a second worker -------------------------------------------------------------------------

    @precondition(lambda self: self.sleeper is None)
    @rule(at=st.integers(10, 160))
    def a_second_worker_stands_still(self, at: int) -> None:
        self.an_hour_goes_by()
        self.seen_until = max(self.seen_until, self.clock.now())
        self.sleeper = Sleeper(self.another_process(), at)
        if not self.sleeper.stands_still:
            self.end_sleeper()

    @precondition(lambda self: self.sleeper is not None)
    @rule()
    def it_is_given_up(self) -> None:
        """Its claim is anybody's, though it is still there: as when its lease has run out."""
        assert self.sleeper is not None
        store = self.sleeper.process.opened._store  # type: ignore[attr-defined]
        store._locks.release(keep=store._locks.owners)

    @precondition(lambda self: self.sleeper is not None)
    @rule()
    def it_goes_on(self) -> None:
        assert self.sleeper is not None
        self.sleeper.wake()
        self.end_sleeper()

    @precondition(lambda self: self.sleeper is not None)
    @rule()
    def it_dies(self) -> None:
        assert self.sleeper is not None
        self.sleeper.die()
        self.end_sleeper()

    def end_sleeper(self) -> None:
        assert self.sleeper is not None
        self.place.end_process(self.sleeper.process.opened)
        self.sleeper = None

    # --- what holds ------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        return self.auditor.runs(limit=None)

    def newest(self) -> dict[datetime, Run]:
        newest: dict[datetime, Run] = {}
        for run in self.runs():
            kept = newest.setdefault(run.due.slot, run)
            newest[run.due.slot] = max(kept, run, key=lambda each: each.revision)
        return newest

    @invariant()
    def what_holds(self) -> None:
        if not hasattr(self, "place"):
            return
        runs = self.runs()
        for run in runs:
            assert run.reason or run.status not in REASONED
            assert "error of batchxfer itself" not in (run.reason or ""), run.reason
        assert not self.faults.found, "nobody foresaw it"
        self.check_told_once()
        self.check(runs)

    def check_told_once(self) -> None:
        told = Counter(event["notice"] for event in self.world.told)
        assert all(count <= 1 + self.perhaps_told_again[notice] for notice, count in told.items()), told
        assert not any(event["reminder"] for event in self.world.told if not self.perhaps_told_again[event["notice"]])

    def check(self, runs: list[Run]) -> None:
        """What a model holds of all runs, after each step."""
        raise NotImplementedError

    # --- the end ---------------------------------------------------------------------------------

    def come_to_rest(self) -> None:
        """Nothing goes wrong any more: each slot that was owed ends, and is in the ledger once."""
        self.world.mend()
        self.process.fate.dies_at = None
        self.process.ledger.resume(JOB)
        self.clock.instant = max(self.clock.instant, self.seen_until) + 2 * HOUR
        self.an_hour_goes_by()
        if self.sleeper is not None:
            self.it_is_given_up()
            self.work_off()
            self.it_goes_on()
        self.work_off()
        newest = self.newest()
        assert sorted(newest) == self.owed()
        left = [run for run in newest.values() if run.status in OPEN and not self.may_wait(run)]
        assert not left, left
        for _ in range(2):
            self.clock.instant += timedelta(minutes=2)
            self.tell()
        self.check_notices(newest)

    def work_off(self) -> None:
        for _ in range(MOST_ROUNDS):
            self.seen_until = max(self.seen_until, self.clock.now())
            self.process.tick()
            waiting = [run.retry_at for run in self.runs() if run.status is RunStatus.RETRYING and run.retry_at]
            if not waiting:
                return
            self.clock.instant = max(self.clock.instant, *waiting) + timedelta(seconds=1)
        raise AssertionError("it comes to no end")

    def may_wait(self, run: Run) -> bool:
        """Whether it is no fault of the daemon's that a run has not ended."""
        return False

    def owed(self) -> list[datetime]:
        """The model: every full hour since the job was first seen."""
        first = self.first_seen.replace(minute=0, second=0, microsecond=0) + HOUR
        count = int((self.seen_until - first) / HOUR) + 1 if self.seen_until >= first else 0
        return [first + number * HOUR for number in range(count)]

    def check_notices(self, newest: dict[datetime, Run]) -> None:
        """Each cause has one notice, and somebody was told of it where it lasts; what has ended is told of no more."""
        noted = [
            Noted(*map(str, row)) for row in self.place.execute("select id, kind, run, over_at is null from notices")
        ]
        self.check_causes(noted)
        heard = {event["notice"] for event in self.world.told}
        lasting = [notice for notice in noted if notice.lasts == "1"]
        assert not [notice for notice in lasting if notice.id not in heard], "nobody was told"
        for slot, run in newest.items():
            of_slot = {each.id for each in self.runs() if each.due.slot == slot}
            kinds = {notice.kind for notice in lasting if notice.run in of_slot}
            if run.status in ENDED:
                assert not kinds, (run.status, kinds)
            else:
                # What is late, or was missing before it failed, is so still.
                assert kinds & STOPPED == {str(run.status)} & STOPPED, (run.status, kinds)
                assert "missing" in kinds or run.status is not RunStatus.MISSING
            self.check_recovered(run, of_slot)

    def check_causes(self, noted: list[Noted]) -> None:
        query = "select run, kind from events where kind in ('held', 'failed', 'missing')"
        causes = Counter((str(run), str(kind)) for run, kind in self.place.execute(query))
        notices = Counter((notice.run, notice.kind) for notice in noted if notice.kind not in ("late", "recovered"))
        assert notices.keys() == causes.keys(), (notices, causes)
        for cause, count in notices.items():
            # Who tries what is missing still has no new cause.
            assert count == causes[cause] or (cause[1] == "missing" and count < causes[cause]), (cause, count)

    def check_recovered(self, run: Run, of_slot: set[str]) -> None:
        """Whoever was told of a slot is told of its good end."""
        told = {event["kind"] for event in self.world.told if event["run"] in of_slot}
        if run.status is RunStatus.DELIVERED and told and "exclude" not in self.typed[run.due.slot.isoformat()]:
            assert "recovered" in told, told


@dataclass(frozen=True)
class Noted:
    """A notice as an auditor finds it."""

    id: str
    kind: str
    run: str
    lasts: str


def steps(examples: settings) -> settings:
    """A case has as many steps as hypothesis takes by itself; in the suite fewer."""
    return examples if SOAKING else settings(examples, stateful_step_count=30)


@pytest.fixture(autouse=True, scope="module")
def new_project(new_sqlite_project: Path) -> Iterator[None]:
    """Making a ledger takes a while."""
    Machine.template = new_sqlite_project
    yield
    Machine.template = None


__all__ = ["HOUR", "JOB", "NOW", "Machine", "World", "new_project", "steps"]
