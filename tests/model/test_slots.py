"""Whatever happens in whatever order, the ledger and the partner agree with a model that is a set of slots.

The machine plans, claims, builds and sends one job's slots; the line breaks, the database is away, the process is killed before
or after any write, the clock steps, and a person types commands. `make soak` goes on for long.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.crew import carry_out
from batchxfer.errors import BatchxferError, DatabaseUnavailable
from batchxfer.model import Column, ColumnType, DeliveryStatus, Outcome, Run, RunStatus, TypeName
from batchxfer.operations import Operations
from batchxfer.ports import Ledger, Query
from batchxfer.runner import Runner
from batchxfer.ticking import Ticker
from batchxfer.wiring import Toolbox, load_project
from batchxfer.worker import Worker
from tests.faults.partner import BreaksAt, MemorySession, Partner
from tests.ledgers import HandClock, SqlitePlace
from tests.soak import examples

NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.RETRYING})
MOST_ROUNDS = 200

CONFIG = """
ledger = "sqlite:///var/ledger.db"
spool = "spool"
[databases.shop]
url = "sqlite:///shop.db"
[endpoints.bank]
protocol = "local"
root = "out"
"""
FORMAT = 'kind = "delimited"\n'
JOB = """
[schedule]
cron = "0 * * * *"
catch_up = "all"
catch_up_window = "365d"
[source]
database = "shop"
query = "select :slot as slot"
[guard]
max_rows = 1
[file]
format = "csv"
endpoint = "bank"
path = "{slot_utc:%Y%m%dT%H}.csv"
done_file = "{path}.done"
[retry]
after = ["5m", "30m", "2h"]
"""


class Killed(BaseException):
    """The process is gone: nothing after it is done."""


class Mortal:
    """A ledger whose process is killed before or after its n-th call; dead, it does nothing any more."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.dies_at: int | None = None
        self.after = False
        self.calls = 0
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        if not callable(found) or name in ("now", "close"):
            return found

        def call(*args: Any, **options: Any) -> Any:
            if self.dead:
                raise Killed
            self.calls += 1
            dies = self.calls == self.dies_at
            if dies and not self.after:
                self.dead = True
                raise Killed
            result = found(*args, **options)
            if dies:
                self.dead = True
                raise Killed
            return result

        return call


class World:
    """What outlives a process: the partner, the database, and what goes wrong next."""

    def __init__(self) -> None:
        self.partner = Partner()
        self.breaks = BreaksAt()
        self.database_is_away = 0
        self.rows = 1
        self.queries: list[str] = []

    # the database

    @contextmanager
    def read(self, query: Query) -> Iterator[Any]:
        if self.database_is_away:
            self.database_is_away -= 1
            raise DatabaseUnavailable("database 'shop' is restarting")
        self.queries.append(str(query.parameters["slot"]))
        yield _Answer(f"{query.parameters['slot']} {len(self.queries)}", self.rows)

    # the partner

    @property
    def place(self) -> str:
        return "memory"

    def connect(self) -> MemorySession:
        session = MemorySession(self.partner, self.breaks)
        self.breaks = BreaksAt()
        return session


class _Answer:
    """Each query's rows are others, so that one that runs twice is seen."""

    columns = (Column("slot", ColumnType(TypeName.TEXT)),)

    def __init__(self, text: str, rows: int) -> None:
        self._text, self._rows = text, rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"slot": [self._text] * self._rows})


class Tools:
    """The project's own codec, and the world in the place of databases and servers."""

    def __init__(self, project: Project, world: World) -> None:
        self._toolbox, self._world = Toolbox(project), world
        self.codec, self.format = self._toolbox.codec, self._toolbox.format
        self.target, self.decoder = self._toolbox.target, self._toolbox.decoder

    def source(self, name: str) -> Any:
        return self._world


class Process:
    """One process of batchxfer, until it is killed."""

    def __init__(self, project: Project, ledger: Ledger, world: World, clock: HandClock) -> None:
        self.ledger = Mortal(ledger)
        known = cast("Ledger", self.ledger)
        connections = Connections(lambda name: cast("Any", world))
        self.runner = Runner(project, known, cast("Any", Tools(project, world)), connections, clock)
        self.worker = Worker(known, ledger.owner)
        self.operations = Operations(project, known, self.runner, self.worker, clock)
        self.ticker = Ticker(project, known)

    def tick(self) -> int:
        """One tick of the daemon, and all that may start then; how many runs that were."""
        done = 0
        found = self.ticker.tick()
        while found.runs and done < MOST_ROUNDS:
            for run in found.runs:
                known = cast("Ledger", self.ledger)
                carry_out(run, known, self.worker, self.ticker.still_due, self.runner)
                done += 1
            found = self.ticker.tick()
        return done


class Machine(RuleBasedStateMachine):
    template: Path | None = None

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="batchxfer-model-"))
        for name, text in (("config.toml", CONFIG), ("formats/csv.toml", FORMAT), ("jobs/hourly.toml", JOB)):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if Machine.template is not None:
            shutil.copytree(Machine.template, self.folder, dirs_exist_ok=True)
        self.project = load_project(self.folder / "config.toml")
        self.world = World()
        self.clock = HandClock(NOW)
        self.place = SqlitePlace(self.folder, self.clock)
        self.seen_until = self.first_seen = NOW
        self.by_hand: set[str] = set()
        self.bytes: dict[tuple[str, str], str] = {}
        self.start()
        self.tick()

    def start(self) -> None:
        self.process = Process(self.project, self.place.open(), self.world, self.clock)

    def teardown(self) -> None:
        if not hasattr(self, "place"):
            return
        try:
            self.come_to_rest()
        finally:
            self.place.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- what happens ----------------------------------------------------------------------------

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Whatever is done; where the process was killed, the next one begins."""
        try:
            yield
        except Killed:
            self.place.end_process(self.process.ledger._ledger)
            self.start()

    @rule()
    def tick(self) -> None:
        with self.alive():
            self.seen_until = max(self.seen_until, self.clock.now())
            self.process.tick()

    @rule(minutes=st.integers(1, 200))
    def time_passes(self, minutes: int) -> None:
        self.clock.instant += timedelta(minutes=minutes)

    @rule(minutes=st.integers(1, 90))
    def the_clock_steps_back(self, minutes: int) -> None:
        self.clock.instant -= timedelta(minutes=minutes)

    @rule(at=st.integers(1, 14), after=st.booleans())
    def the_line_will_break(self, at: int, after: bool) -> None:
        self.world.breaks = BreaksAt(at=at, after=after)

    @rule(times=st.integers(1, 3))
    def the_database_goes_away(self, times: int) -> None:
        self.world.database_is_away = times

    @rule(call=st.integers(1, 40), after=st.booleans())
    def the_process_will_be_killed(self, call: int, after: bool) -> None:
        ledger = self.process.ledger
        ledger.dies_at, ledger.after = ledger.calls + call, after

    @rule()
    def the_process_is_killed(self) -> None:
        self.process.ledger.dead = True
        self.place.end_process(self.process.ledger._ledger)
        self.start()

    @rule(rows=st.integers(0, 2))
    def the_query_finds(self, rows: int) -> None:
        self.world.rows = rows

    @precondition(lambda self: "hourly" not in self.place.opened[-1].pauses())
    @rule()
    def a_person_pauses_the_job(self) -> None:
        with self.alive():
            self.process.ledger.pause("hourly", "maintenance")

    @rule()
    def a_person_resumes_the_job(self) -> None:
        with self.alive():
            self.process.ledger.resume("hourly")

    @rule(data=st.data(), word=st.sampled_from(["retry", "resend", "release", "rerun", "accept", "exclude"]))
    def a_person_types(self, data: st.DataObject, word: str) -> None:
        runs = self.place.opened[-1].runs(limit=None)
        if not runs:
            return
        run = data.draw(st.sampled_from(sorted(runs, key=lambda run: run.id)))
        with self.alive(), contextlib.suppress(BatchxferError):
            operations = self.process.operations
            if word in ("accept", "exclude"):
                getattr(operations, word)(run, "says a person")
            elif word == "rerun":
                self.by_hand.add(run.due.slot.isoformat())
                operations.rerun(run, {})
            elif word == "retry":
                # What was never begun takes today's definition.
                self.by_hand.add(run.due.slot.isoformat())
                operations.retry(run)
            else:
                getattr(operations, word)(run)

    # --- what holds ------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        return self.place.opened[-1].runs(limit=None)

    @invariant()
    def nothing_is_published_twice_or_in_part(self) -> None:
        if not hasattr(self, "world"):
            return
        published = Counter(path for path, _ in self.world.partner.published)
        assert not [path for path, count in published.items() if count > 1], published
        for path, content in self.world.partner.published:
            assert self.world.partner.files.get(path) == content, "what the partner has does not change"
            if not path.endswith(".done"):
                assert content.startswith(b"slot\n")
                assert content.endswith(b"\n")

    @invariant()
    def what_is_delivered_is_there(self) -> None:
        if not hasattr(self, "world"):
            return
        for run in self.runs():
            for delivery in run.deliveries:
                if delivery.status is not DeliveryStatus.DELIVERED or (
                    delivery.evidence is not None and delivery.evidence.how == "accepted"
                ):
                    continue
                content = self.world.partner.files.get(delivery.path)
                assert content is not None, f"{delivery.path} is delivered, and not there"
                assert hashlib.sha256(content).hexdigest() == delivery.sha256

    @invariant()
    def what_was_begun_to_be_sent_keeps_its_bytes(self) -> None:
        if not hasattr(self, "world"):
            return
        for run in self.runs():
            if run.artifact is None or not any(delivery.delivered_at for delivery in run.deliveries):
                continue
            known = self.bytes.setdefault((run.id, "sha256"), run.artifact.sha256)
            assert known == run.artifact.sha256

    @invariant()
    def what_is_not_delivered_has_a_reason(self) -> None:
        if not hasattr(self, "world"):
            return
        for run in self.runs():
            if run.status in (RunStatus.HELD, RunStatus.FAILED, RunStatus.RETRYING, RunStatus.EXCLUDED):
                assert run.reason

    @invariant()
    def what_was_built_is_not_built_again_by_itself(self) -> None:
        if not hasattr(self, "world"):
            return
        for run in self.runs():
            # Nobody takes artifacts away here.
            assert "the artifact" not in (run.reason or "")
            if run.due.slot.isoformat() not in self.by_hand:
                assert [attempt.outcome for attempt in run.attempts].count(Outcome.BUILT) <= 1

    def come_to_rest(self) -> None:
        """Nothing goes wrong any more: each slot that was owed ends, and is in the ledger once."""
        world, ledger = self.world, self.process.ledger
        world.breaks, world.database_is_away, world.rows = BreaksAt(), 0, 1
        ledger.dies_at = None
        ledger.resume("hourly")
        self.clock.instant = max(self.clock.instant, self.seen_until) + 3 * HOUR
        for _ in range(MOST_ROUNDS):
            self.seen_until = self.clock.now()
            self.process.tick()
            waiting = [run.retry_at for run in self.runs() if run.status is RunStatus.RETRYING and run.retry_at]
            if not waiting:
                break
            self.clock.instant = max(self.clock.instant, *waiting) + timedelta(seconds=1)
        self.nothing_is_published_twice_or_in_part()
        self.what_is_delivered_is_there()
        newest: dict[datetime, Run] = {}
        for run in self.runs():
            kept = newest.setdefault(run.due.slot, run)
            newest[run.due.slot] = max(kept, run, key=lambda each: each.revision)
        assert sorted(newest) == self.owed()
        assert not {run.status for run in newest.values()} & OPEN
        told = Counter(world.queries)
        for run in newest.values():
            if run.due.slot.isoformat() not in self.by_hand and run.status is RunStatus.DELIVERED:
                assert told[str(run.due.slot)] >= 1 or run.artifact is None

    def owed(self) -> list[datetime]:
        """The model: every full hour since the job was first seen."""
        first = self.first_seen.replace(minute=0, second=0, microsecond=0) + HOUR
        count = int((self.seen_until - first) / HOUR) + 1 if self.seen_until >= first else 0
        return [first + number * HOUR for number in range(count)]


@pytest.fixture(autouse=True, scope="module")
def new_project(new_sqlite_project: Path) -> Iterator[None]:
    Machine.template = new_sqlite_project
    yield
    Machine.template = None


@pytest.mark.soak
class TestSlots(Machine.TestCase):  # type: ignore[name-defined,misc]
    settings = examples(6, 20_000)
