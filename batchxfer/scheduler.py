"""The daemon: APScheduler wakes it; each time it ticks, starts what may start, and tells what is to be told.

APScheduler only rings: what is due is the planner's to say, from the ledger. A monotonic wait of at most TICK_SECONDS stands
beside it, since a wall clock that steps back would keep APScheduler waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batchxfer.config import Project
from batchxfer.crew import Crew, Ended
from batchxfer.errors import BatchxferError, ConfigError
from batchxfer.model import OpenRun
from batchxfer.notify import Notifier
from batchxfer.systemd import ServiceManager
from batchxfer.ticking import Ticker
from batchxfer.wiring import Workplace

log = logging.getLogger("batchxfer")

TICK_SECONDS = 15.0
LAST_SECONDS = 5.0


@dataclass
class Wishes:
    """What signals ask of the daemon; `bell` wakes it."""

    bell: threading.Event = field(default_factory=threading.Event)
    stop: bool = False
    reload: bool = False

    def ask_to_stop(self) -> None:
        self.stop = True
        self.bell.set()

    def ask_to_reload(self) -> None:
        self.reload = True
        self.bell.set()


class Shift:
    """One project at work on one ledger: what is queued, what the crew does. Used by one thread."""

    def __init__(self, workplace: Workplace, bell: threading.Event, only: Collection[str] | None = None) -> None:
        self.workplace = workplace
        self._only = only
        self._ticker = Ticker(workplace.project, workplace.ledger, only)
        self._crew = Crew(workplace.project.config.workers, workplace.ledger, workplace.worker, bell.set)
        self._queue: deque[OpenRun] = deque()
        self._next_at: datetime | None = None

    @property
    def busy(self) -> bool:
        return self._crew.busy > 0

    @property
    def next_at(self) -> datetime | None:
        """When there may be something to do again."""
        return self._next_at

    def tick(self) -> None:
        found = self._ticker.tick()
        self._queue = deque(found.runs)
        self._next_at = found.next_at

    def start(self) -> None:
        """Start what is queued and has room."""
        self._queue = deque(run for run in self._queue if not self._offer(run))

    def _offer(self, run: OpenRun) -> bool:
        known = self.workplace.project.config.endpoints
        job = self.workplace.project.jobs.get(run.job)
        endpoints = run.endpoints or (job.file.endpoint_names if job else ())
        return self._crew.offer(
            run,
            tuple(name for name in endpoints if name in known),
            self.workplace.toolbox.connection_limit,
            self.workplace.runner,
        )

    def collect(self) -> list[Ended]:
        """What has ended since; the next run of each of those jobs is queued."""
        ended = self._crew.ended()
        for job in dict.fromkeys(each.job for each in ended):
            found = self._ticker.next_of(job)
            self._queue = deque(run for run in self._queue if run.job != job)
            self._queue.extend(found.runs)
            if found.next_at is not None:
                self._next_at = min(self._next_at or found.next_at, found.next_at)
        return ended

    def drain(self, grace_seconds: float) -> None:
        """Start nothing more; let what runs end, and hand back what does not end in time."""
        self._crew.close()
        if self._crew.wait(grace_seconds):
            return
        handed = self.workplace.worker.hand_back()
        log.warning("%d runs are handed back to be done later", handed, extra={"action": "handed-back"})
        self.workplace.connections.close()
        self._crew.wait(LAST_SECONDS)


def run_due(workplace: Workplace, only: Collection[str] | None = None) -> list[Ended]:
    """One tick without a daemon: plan, run what is due and what is to be tried again, and return when nothing is left that
    could be done now."""
    bell = threading.Event()
    shift = Shift(workplace, bell, only)
    ended: list[Ended] = []
    try:
        shift.tick()
        while True:
            bell.clear()
            ended += shift.collect()
            shift.start()
            if not shift.busy:
                last = shift.collect()
                ended += last
                if not last:
                    return ended
            else:
                bell.wait(TICK_SECONDS)
    except BaseException:
        shift.drain(0.0)
        raise


class Daemon:
    """Serves one ledger until it is asked to stop."""

    def __init__(
        self,
        workplace: Workplace,
        wishes: Wishes,
        *,
        load: Callable[[], Project],
        manager: ServiceManager,
        grace_seconds: float = 30.0,
    ) -> None:
        self._shift = Shift(workplace, wishes.bell)
        self._wishes = wishes
        self._load = load
        self._manager = manager
        self._grace_seconds = grace_seconds
        self._ledger = workplace.ledger
        self._retired: list[Shift] = []
        self._notifying = threading.Event()
        self._ending = threading.Event()

    def serve(self) -> None:
        """Work until `wishes.stop`. Raises BusyError where another daemon has the ledger."""
        self._ledger.serve()
        teller = threading.Thread(target=self._tell, name="notify", daemon=True)
        teller.start()
        scheduler = self._scheduler()
        scheduler.start()
        self._log_start()
        self._manager.ready("serving")
        try:
            while not self._wishes.stop:
                self._round(scheduler)
        finally:
            self._manager.stopping()
            scheduler.shutdown(wait=False)
            log.info("ending: nothing more is started", extra={"action": "stopping"})
            for shift in [*self._retired, self._shift]:
                shift.drain(self._grace_seconds)
            self._ending.set()
            self._notifying.set()
            teller.join(timeout=LAST_SECONDS)

    def _log_start(self) -> None:
        project = self._shift.workplace.project
        log.info("serving %d jobs of %s", len(project.jobs), project.path, extra={"action": "serving"})

    def _round(self, scheduler: Any) -> None:
        self._wishes.bell.clear()
        if self._wishes.reload:
            self._wishes.reload = False
            self._reload()
        try:
            self._work()
            self._arm(scheduler, self._shift.next_at)
        except BatchxferError as error:
            log.error("%s; tried again in %.0f s", error.message, TICK_SECONDS, extra={"action": "tick-failed"})
        self._manager.alive()
        self._notifying.set()
        self._wishes.bell.wait(TICK_SECONDS)

    def _work(self) -> None:
        self._dismiss()
        self._shift.collect()
        self._shift.tick()
        self._shift.start()
        self._shift.workplace.connections.close_idle()

    def _dismiss(self) -> None:
        """Let go of the shifts of earlier configurations that have ended."""
        for shift in [shift for shift in self._retired if not shift.busy]:
            shift.workplace.connections.close()
            self._retired.remove(shift)

    # waking

    def _scheduler(self) -> Any:
        """Rings every TICK_SECONDS, and at the next instant that matters."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        from apscheduler.schedulers.background import BackgroundScheduler

        scheduler = BackgroundScheduler(timezone="UTC")
        scheduler.add_job(self._wishes.bell.set, "interval", seconds=TICK_SECONDS, id="tick", coalesce=True)
        return scheduler

    def _arm(self, scheduler: Any, instant: datetime | None) -> None:
        if instant is not None:
            scheduler.add_job(
                self._wishes.bell.set,
                "date",
                run_date=instant,
                id="next",
                replace_existing=True,
                misfire_grace_time=None,
            )

    # the rest

    def _reload(self) -> None:
        """Take up the configuration as it is now, where it is valid; what runs goes on as it was begun."""
        self._manager.reloading(time.monotonic_ns() // 1000)
        try:
            project = self._load()
        except ConfigError as error:
            for problem in error.problems:
                log.error("%s", problem, extra={"action": "reload-refused"})
            log.error(
                "the configuration was not taken up: serving goes on as before", extra={"action": "reload-refused"}
            )
        else:
            self._retired.append(self._shift)
            self._shift = Shift(self._shift.workplace.renewed(project), self._wishes.bell)
            log.info("the configuration was taken up: %d jobs", len(project.jobs), extra={"action": "reloaded"})
        self._manager.ready("serving")

    def _tell(self) -> None:
        notifiers: dict[int, Notifier] = {}
        while not self._ending.is_set():
            self._notifying.wait()
            self._notifying.clear()
            project = self._shift.workplace.project
            notifier = notifiers.get(id(project))
            if notifier is None:
                notifiers = {id(project): Notifier(project, self._ledger)}
                notifier = notifiers[id(project)]
            try:
                notifier.tell()
            except BatchxferError as error:
                log.error("notices wait: %s", error.message, extra={"action": "notify-failed"})
            except Exception:
                log.exception("notices wait", extra={"action": "notify-failed"})
