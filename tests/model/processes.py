"""Processes of batchxfer in a model: each may be killed, or stand still, at any of its steps.

A step is what is done right before, and right after, each call to the ledger, to the partner and to a target.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.crew import carry_out
from batchxfer.notify import Notifier
from batchxfer.operations import Operations
from batchxfer.ports import Ledger
from batchxfer.runner import Runner
from batchxfer.ticking import Ticker
from batchxfer.wiring import Toolbox
from batchxfer.worker import Worker
from tests.ledgers import HandClock

MOST_ROUNDS = 200
SECONDS = 20.0
_NO_STEPS = frozenset({"now", "close", "begin_attempt", "end_attempt"})


class Killed(BaseException):
    """The process is gone: nothing after it is done."""


class Fate:
    """What befalls a process: at one of its steps it is killed, at another it stands still. Dead, it does nothing any more."""

    def __init__(self) -> None:
        self.steps = 0
        self.dies_at: int | None = None
        self.stops_at: int | None = None
        self.dead = False
        self.still = threading.Event()
        self.go_on = threading.Event()

    def step(self) -> None:
        if not self.dead:
            self.steps += 1
            self.dead = self.steps == self.dies_at
            if self.steps == self.stops_at:
                self.still.set()
                assert self.go_on.wait(SECONDS), "nobody woke it"
        if self.dead:
            raise Killed


class Watched:
    """Something outside of the process: each call of it is two steps."""

    def __init__(self, inner: Any, fate: Fate) -> None:
        self.inner, self._fate = inner, fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found) or name in _NO_STEPS:
            return found

        def call(*args: Any, **options: Any) -> Any:
            self._fate.step()
            result = found(*args, **options)
            self._fate.step()
            return result

        return call


class Tools:
    """The project's own codecs, and the world in the place of databases and servers."""

    def __init__(self, project: Project, world: Any, fate: Fate) -> None:
        self._toolbox, self._world, self._fate = Toolbox(project), world, fate
        self.codec, self.format, self.decoder = self._toolbox.codec, self._toolbox.format, self._toolbox.decoder

    def source(self, name: str) -> Any:
        return self._world

    def target(self, name: str) -> Any:
        return self

    @contextmanager
    def begin(self) -> Any:
        with self._world.begin() as loading:
            yield Watched(loading, self._fate)


class _Door:
    """The partner's door, as one process knows it."""

    place = "memory"

    def __init__(self, world: Any, fate: Fate) -> None:
        self._world, self._fate = world, fate

    def connect(self) -> Any:
        return Watched(self._world.connect(), self._fate)


class Process:
    """One process of batchxfer, until it is killed. `tell` runs a notice's command."""

    def __init__(
        self,
        project: Project,
        ledger: Ledger,
        world: Any,
        clock: HandClock,
        tell: Callable[[Sequence[str], bytes, Path], None],
    ) -> None:
        self.fate = Fate()
        self.opened = ledger
        self.ledger = cast("Ledger", Watched(ledger, self.fate))
        connections = Connections(lambda name: cast("Any", _Door(world, self.fate)))
        tools = cast("Any", Tools(project, world, self.fate))
        self.runner = Runner(project, self.ledger, tools, connections, clock)
        self.worker = Worker(self.ledger, ledger.owner)
        self.operations = Operations(project, self.ledger, self.runner, self.worker, clock)
        self.ticker = Ticker(project, self.ledger)
        self._notifier = Notifier(project, self.ledger, tell)

    def tick(self) -> int:
        """One tick of the daemon, and all that may start then; how many runs that were."""
        done = 0
        while done < MOST_ROUNDS and (found := self.tick_once()):
            done += found
        return done

    def tick_once(self) -> int:
        found = self.ticker.tick()
        for run in found.runs:
            carry_out(run, self.ledger, self.worker, self.ticker.still_due, self.runner)
        return len(found.runs)

    def tell(self) -> None:
        self._notifier.tell()


class Sleeper:
    """Another process, in a thread of its own, that stands still at one of its steps."""

    def __init__(self, process: Process, at: int) -> None:
        self.process = process
        process.fate.stops_at = at
        self._wrong: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        assert process.fate.still.wait(SECONDS), "it neither ended nor stood still"

    @property
    def stands_still(self) -> bool:
        return self._thread.is_alive()

    def wake(self) -> None:
        """It goes on where it stood, to its end."""
        self.process.fate.go_on.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        if self._wrong is not None:
            raise self._wrong

    def die(self) -> None:
        self.process.fate.dead = True
        self.wake()

    def _work(self) -> None:
        try:
            self.process.tick_once()
        except Killed:
            pass
        except BaseException as wrong:
            self._wrong = wrong
        finally:
            self.process.fate.still.set()
