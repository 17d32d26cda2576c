"""The daemon: APScheduler wakes it; each time it ticks, starts what may start, and tells what is to be told.

APScheduler only rings: what is due is the planner's to say, from the ledger. A monotonic wait of at most TICK_SECONDS stands
beside it, since a wall clock that steps back would keep APScheduler waiting.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from batchxfer import holidays_seen
from batchxfer.config import Project
from batchxfer.crew import Crew, Ended
from batchxfer.errors import BatchxferError, ConfigError, DatabaseUnavailable, LedgerError, StorageError, UsageError
from batchxfer.model import OpenRun, Run, RunStatus
from batchxfer.notify import Notifier
from batchxfer.pruning import prune
from batchxfer.quantities import counted
from batchxfer.systemd import ServiceManager
from batchxfer.ticking import Ticker
from batchxfer.waiting import Answer, Waiting
from batchxfer.wiring import Workplace

log = logging.getLogger("batchxfer")

# Whoever is gone is taken over at a tick: well within the 15 s that this may take after a lease has run out.
TICK_SECONDS = 10.0
LEAST_SECONDS = 0.01
LAST_SECONDS = 5.0
PRUNE_SECONDS = 6 * 3600.0
_SETTLED = frozenset({RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.SKIPPED})


class Bell:
    """Wakes one thread. It may be rung in a signal handler: unlike threading.Event's, its lock cannot be held by the very
    thread that the handler interrupts."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        self._rings.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until it rings, or rang since the last wait, and at most so long."""
        with suppress(queue.Empty):
            self._rings.get(timeout=seconds)
            while True:
                self._rings.get_nowait()


@dataclass
class Wishes:
    """What signals ask of the daemon; `bell` wakes it."""

    bell: Bell = field(default_factory=Bell)
    stop: bool = False
    reload: bool = False

    def ask_to_stop(self) -> None:
        self.stop = True
        self.bell.ring()

    def ask_to_reload(self) -> None:
        self.reload = True
        self.bell.ring()


class Shift:
    """One project at work on one ledger: what waits, what the crew does. Used by one thread."""

    def __init__(
        self, workplace: Workplace, bell: Bell, only: Collection[str] | None = None, before: Shift | None = None
    ) -> None:
        self.workplace = workplace
        self._ticker = Ticker(workplace.project, workplace.ledger, only)
        workers = workplace.project.config.workers
        earlier: Crew | None = before._crew if before is not None else None
        self._crew: Crew = Crew(workers, workplace.ledger, workplace.worker, self._ticker.still_due, bell.ring, earlier)
        self._waiting = Waiting()
        self._rings_at: float | None = None

    @property
    def busy(self) -> bool:
        return self._crew.busy > 0

    @property
    def rings_at(self) -> float | None:
        """When there may be something new to do, on time.monotonic()'s clock."""
        return self._rings_at

    def tick(self) -> tuple[OpenRun, ...]:
        """Find what may start; the runs whose files are missing since now."""
        found = self._ticker.tick()
        self._waiting.clear()
        self._line_up(found.runs)
        self._rings_at = None
        freed = self.workplace.worker.give_back_again(found.claims)
        self._look_again(found.at, found.at if freed else found.next_at)
        return found.missed

    def _look_again(self, now: datetime, at: datetime | None) -> None:
        """The ledger's clock may be another machine's: what counts is how long it is until then."""
        if at is not None:
            then = time.monotonic() + (at - now).total_seconds()
            self._rings_at = then if self._rings_at is None else min(self._rings_at, then)

    def start(self) -> None:
        """Start what waits and has room."""
        self._waiting.start(self._offer)

    def _line_up(self, runs: Iterable[OpenRun]) -> None:
        known = self.workplace.project.config.endpoints
        for run in runs:
            job = self.workplace.project.jobs.get(run.job)
            endpoints = run.endpoints or (job.file.endpoint_names if job else ())
            self._waiting.add(run, tuple(name for name in endpoints if name in known))

    def _offer(self, run: OpenRun, endpoints: tuple[str, ...]) -> Answer:
        return self._crew.offer(run, endpoints, self.workplace.toolbox.connection_limit, self.workplace.runner)

    def collect(self) -> list[Ended]:
        """What has ended since; the next run of each of those jobs waits."""
        ended = self._crew.ended()
        # What could not be begun is not begun again at once: the next tick does.
        fruitless = {each.id for each in ended if each.run is None}
        settled = {each.job for each in ended if each.run is not None and each.run.status in _SETTLED}
        jobs = dict.fromkeys(each.job for each in ended)
        for job in jobs:
            self._waiting.forget(job)
        if not fruitless:
            # The crew is not idle while the ledger is asked.
            self.start()
        for job in jobs:
            if job in settled and not self._ticker.has_more(job):
                continue
            found = self._ticker.next_of(job)
            self._line_up(run for run in found.runs if run.id not in fruitless)
            self._look_again(found.at, found.next_at)
        return ended

    def rest(self) -> None:
        """Start nothing more before the next tick."""
        self._waiting.clear()

    def close(self) -> None:
        """Start nothing more."""
        self._crew.close()
        self._waiting.clear()

    def leave(self) -> None:
        """Another configuration may come next. What the ledger does not hear of it, it is told at a later tick."""
        with suppress(BatchxferError):
            self._ticker.leave()

    def drain(self, until: float) -> bool:
        """Let what runs end until then (time.monotonic()), and hand back what does not; whether all threads have ended."""
        self.close()
        ended = self._crew.wait(until)
        # Another shift may have handed them all back already.
        if not ended and (handed := self.workplace.worker.hand_back()):
            log.warning("handed back, to be done later: %s", counted(handed, "run"), extra={"action": "handed-back"})
        self.workplace.connections.close()
        return ended or self._crew.wait(time.monotonic() + LAST_SECONDS)


def announce_holidays(workplace: Workplace) -> None:
    """Say which days an upgrade of the holidays package changed, and plan with them from now on."""
    for change in holidays_seen.remember(workplace.project, workplace.clock.now().date()):
        log.warning("%s: slots may move; see batchxfer plan", change, extra={"action": "holidays-changed"})


def run_due(workplace: Workplace, only: Collection[str] | None = None) -> list[Ended]:
    """One tick without a daemon: plan, run what is due and what is to be tried again, and return when nothing is left that
    could be done now."""
    bell = Bell()
    shift = Shift(workplace, bell, only)
    announce_holidays(workplace)
    ended: list[Ended] = []
    try:
        missed = shift.tick()
        ended += [Ended(id=run.id, job=run.job, run=workplace.ledger.find_run(run.id)) for run in missed]
        while True:
            ended += shift.collect()
            shift.start()
            if shift.busy:
                bell.wait(TICK_SECONDS)
            elif last := shift.collect():
                ended += last
            else:
                return ended
    except BaseException:
        shift.drain(time.monotonic())
        raise
    finally:
        tell(Notifier(workplace.project, workplace.ledger))


def tell(notifier: Notifier) -> None:
    """Tell what is to be told; where that fails it is told later."""
    try:
        notifier.tell()
    except BatchxferError as error:
        log.error("notices wait: %s", error.message, extra={"action": "notify-failed"})
    except Exception:
        log.exception("notices wait", extra={"action": "notify-failed"})


def log_end(run: Run) -> None:
    """Tell how a run was left."""
    level = logging.INFO if run.status in ("delivered", "excluded", "pending", "running") else logging.WARNING
    about = {"run": run.id, "job": run.job, "slot": run.due.slot, "retry_at": run.retry_at}
    text = f"{run.job} is {run.status}: due {run.due.slot.isoformat()}"
    if run.artifact is not None:
        about |= {"rows": run.artifact.rows, "bytes": run.artifact.bytes, "sha256": run.artifact.sha256}
        text += f", {run.artifact.rows:,} rows"
    if run.retry_at is not None:
        text += f"; tried again at {run.retry_at.isoformat()}"
    if run.reason:
        text += f"; {run.reason}"
    log.log(level, "%s", text, extra={"action": str(run.status), "reason": run.reason, **about})


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
        # On time.monotonic()'s clock. Between two ticks what ends only makes room for what waits.
        self._ticks_at = 0.0
        self._chores = threading.Event()
        self._ending = threading.Event()

    def serve(self) -> bool:
        """Work until `wishes.stop`; whether everything had ended then. Raises BusyError where another daemon has the
        ledger."""
        self._ledger.serve()
        housekeeper = threading.Thread(target=self._keep_house, name="chores", daemon=True)
        housekeeper.start()
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
            ended = self._drain()
            self._ending.set()
            self._chores.set()
            housekeeper.join(timeout=LAST_SECONDS)
        log.info("ended", extra={"action": "stopped"})
        return ended

    def _drain(self) -> bool:
        shifts = [*self._retired, self._shift]
        for shift in shifts:
            shift.close()
        until = time.monotonic() + self._grace_seconds
        drained = [shift.drain(until) for shift in shifts]
        self._shift.leave()
        for shift in shifts:
            with suppress(BatchxferError):
                self._log_ended(shift)
        return all(drained)

    def _log_ended(self, shift: Shift) -> None:
        for ended in shift.collect():
            if ended.run is not None:
                log_end(ended.run)
            elif isinstance(ended.error, DatabaseUnavailable | StorageError | LedgerError):
                # Whatever waits would find the ledger as it is: one after the other would fail, and say so.
                shift.rest()

    def _log_start(self) -> None:
        project = self._shift.workplace.project
        log.info("serving %s of %s", counted(len(project.jobs), "job"), project.path, extra={"action": "serving"})
        announce_holidays(self._shift.workplace)

    def _round(self, scheduler: Any) -> None:
        if self._wishes.reload:
            self._wishes.reload = False
            self._reload()
        try:
            self._work()
        except BatchxferError as error:
            self._shift.rest()
            self._ticks_at = time.monotonic() + TICK_SECONDS
            log.error("%s; tried again in %.0f s", error.message, TICK_SECONDS, extra={"action": "tick-failed"})
        except Exception:
            # A daemon that ends because of one job ends all of them.
            self._ticks_at = time.monotonic() + TICK_SECONDS
            log.exception("a tick failed; tried again in %.0f s", TICK_SECONDS, extra={"action": "tick-failed"})
        self._arm(scheduler, self._shift.rings_at)
        self._manager.alive()
        self._chores.set()
        self._wishes.bell.wait(max(self._ticks_at - time.monotonic(), 0.0))

    def _work(self) -> None:
        self._dismiss()
        self._log_ended(self._shift)
        if time.monotonic() >= self._ticks_at:
            self._ticks_at = time.monotonic() + TICK_SECONDS
            self._shift.tick()
        if self._shift.rings_at is not None:
            soon = time.monotonic() + LEAST_SECONDS
            self._ticks_at = min(self._ticks_at, max(self._shift.rings_at, soon))
        self._shift.start()
        self._shift.workplace.connections.close_idle()

    def _dismiss(self) -> None:
        """Let go of the shifts of earlier configurations that have ended."""
        for shift in self._retired:
            # They count as connections of an endpoint, and nobody will use them.
            shift.workplace.connections.close_idle(older_than_seconds=0.0)
        for shift in [shift for shift in self._retired if not shift.busy]:
            self._log_ended(shift)
            shift.workplace.connections.close()
            self._retired.remove(shift)
            self._ticks_at = 0.0

    # waking

    def _scheduler(self) -> Any:
        """Rings every TICK_SECONDS, and at the next instant that matters."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        from apscheduler.schedulers.background import BackgroundScheduler

        scheduler = BackgroundScheduler(timezone="UTC")
        scheduler.add_job(self._wishes.bell.ring, "interval", seconds=TICK_SECONDS, id="tick", coalesce=True)
        return scheduler

    def _arm(self, scheduler: Any, rings_at: float | None) -> None:
        if rings_at is None:
            return
        left = timedelta(seconds=max(rings_at - time.monotonic(), 0.0))
        instant = self._shift.workplace.clock.now() + left
        scheduler.add_job(
            self._wishes.bell.ring, "date", run_date=instant, id="next", replace_existing=True, misfire_grace_time=None
        )

    # the rest

    def _reload(self) -> None:
        """Take up the configuration as it is now, where it is valid; what runs goes on as it was begun."""
        self._manager.reloading(time.monotonic_ns() // 1000)
        try:
            shift = self._renewed(self._load())
        except ConfigError as error:
            for problem in error.problems:
                log.error("%s", problem, extra={"action": "reload-refused"})
            self._say_refused()
        except BatchxferError as error:
            log.error("%s", error.message, extra={"action": "reload-refused"})
            self._say_refused()
        except Exception:
            log.exception("the configuration could not be read", extra={"action": "reload-refused"})
            self._say_refused()
        else:
            self._shift.leave()
            self._shift.close()
            self._retired.append(self._shift)
            self._shift, self._ticks_at = shift, 0.0
            announce_holidays(shift.workplace)
            jobs = len(shift.workplace.project.jobs)
            log.info(
                "the configuration was taken up: %s", counted(jobs, "job"), extra={"action": "reloaded", "jobs": jobs}
            )
        self._manager.ready("serving")

    def _renewed(self, project: Project) -> Shift:
        before = self._shift.workplace.project
        if (project.ledger_url, project.spool) != (before.ledger_url, before.spool):
            raise UsageError("`ledger` or `spool` is another one now", hint="that takes a restart of `serve`")
        return Shift(self._shift.workplace.renewed(project), self._wishes.bell, before=self._shift)

    def _say_refused(self) -> None:
        log.error("the configuration was not taken up: serving goes on as before", extra={"action": "reload-refused"})

    def _keep_house(self) -> None:
        """Tell what is to be told, and now and then remove what is no longer needed. Apart from the rest: it may be slow."""
        project, notifier, pruned_at = None, None, None
        while not self._ending.is_set():
            self._chores.wait()
            self._chores.clear()
            workplace = self._shift.workplace
            if notifier is None or workplace.project is not project:
                project, notifier = workplace.project, Notifier(workplace.project, self._ledger)
            tell(notifier)
            if pruned_at is None or time.monotonic() - pruned_at > PRUNE_SECONDS:
                pruned_at = time.monotonic()
                self._prune(workplace)

    def _prune(self, workplace: Workplace) -> None:
        try:
            removed = prune(workplace.project, self._ledger, workplace.clock)
        except BatchxferError as error:
            log.error("pruning waits: %s", error.message, extra={"action": "prune-failed"})
        else:
            if removed.bytes:
                log.info(
                    "removed: %s",
                    counted(removed.count, "old file"),
                    extra={"action": "pruned", "bytes": removed.bytes},
                )
