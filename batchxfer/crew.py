"""A bounded crew of threads that carries out runs; an endpoint gets no more of them than it has connections."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from batchxfer.errors import BatchxferError, BusyError, OwnershipLost, PermanentError
from batchxfer.model import OpenRun, Run
from batchxfer.ports import Ledger
from batchxfer.runner import Runner
from batchxfer.waiting import Answer
from batchxfer.worker import Worker

log = logging.getLogger("batchxfer")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that the crew is done with; `run` is None where it was not ours to do, or the ledger was out of reach."""

    id: str
    job: str
    run: Run | None
    error: BatchxferError | None = None


@dataclass(frozen=True)
class _Flight:
    thread: threading.Thread
    job: str
    endpoints: tuple[str, ...]


StillDue = Callable[[str, str], bool]
"""Whether a claimed run of a job is the one to start, now that nobody else can claim it: job, run."""


class Crew:
    """Threads for `workers` runs at a time. `on_ended` is called, in any thread, whenever one has ended.

    What the crew `before` it still does counts as its own, until that has ended.
    """

    def __init__(
        self,
        workers: int,
        ledger: Ledger,
        worker: Worker,
        still_due: StillDue,
        on_ended: Callable[[], None],
        before: Crew | None = None,
    ) -> None:
        self._workers = workers
        self._ledger = ledger
        self._worker = worker
        self._still_due = still_due
        self._on_ended = on_ended
        self._before = before
        self._guard = threading.Lock()
        self._flights: dict[str, _Flight] = {}
        self._ended: list[Ended] = []
        self._closed = False

    @property
    def busy(self) -> int:
        with self._guard:
            return len(self._flights)

    def _at_work(self) -> list[_Flight]:
        """What this crew does, and those before it."""
        earlier = self._before._at_work() if self._before is not None else []
        if not earlier:
            self._before = None
        with self._guard:
            return [*earlier, *self._flights.values()]

    def offer(self, run: OpenRun, endpoints: tuple[str, ...], limit: Callable[[str], int], runner: Runner) -> Answer:
        """Start the run where there is room, for it and at each of its `endpoints`."""
        at_work = self._at_work()
        taken = Counter(name for flight in at_work for name in flight.endpoints)
        if self._closed or len(at_work) >= self._workers:
            return Answer.NO_WORKER
        if any(taken[name] >= limit(name) for name in endpoints):
            return Answer.NO_CONNECTION
        if any(flight.job == run.job for flight in at_work):
            return Answer.JOB_AT_WORK
        with self._guard:
            # A daemon thread: what hangs in a driver must not keep the process from ending.
            thread = threading.Thread(target=self._fly, args=(run, runner), name=f"run-{run.id}", daemon=True)
            # Begun first: one that cannot be must not keep its job from ever flying again. It ends after `_guard` is free.
            thread.start()
            self._flights[run.id] = _Flight(thread, run.job, endpoints)
            return Answer.STARTED

    def ended(self) -> list[Ended]:
        """What has ended since the last call."""
        with self._guard:
            ended, self._ended = self._ended, []
            return ended

    def wait(self, until: float) -> bool:
        """Wait until all have ended, at most until `time.monotonic()` is `until`; whether they have."""
        with self._guard:
            threads = [flight.thread for flight in self._flights.values()]
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in threads)

    def close(self) -> None:
        """Start nothing more, and do not wait."""
        with self._guard:
            self._closed = True

    def _fly(self, run: OpenRun, runner: Runner) -> None:
        ended = carry_out(run, self._ledger, self._worker, self._still_due, runner)
        with self._guard:
            self._flights.pop(run.id, None)
            self._ended.append(ended)
        self._on_ended()


def carry_out(run: OpenRun, ledger: Ledger, worker: Worker, still_due: StillDue, runner: Runner) -> Ended:
    """Claim the run and execute it. Whatever goes wrong is in the ledger, or in the log where that cannot be reached."""
    about = {"run": run.id, "job": run.job, "slot": run.slot}
    try:
        with worker.held(run.id) as hold:
            # Since it was found another node, or a person, may have done it, or begun an earlier one.
            if not still_due(run.job, run.id):
                return Ended(id=run.id, job=run.job, run=None)
            log.info("%s begins: due %s", run.job, run.slot.isoformat(), extra={"action": "begun", **about})
            try:
                runner.execute(hold.claim, ledger.find_run(run.id))
            except BatchxferError:
                raise
            except Exception as exc:
                log.exception("run %s ended with an error that nobody foresaw", run.id, extra={"action": "fault"})
                runner.stop(hold.claim, ledger.find_run(run.id), _unforeseen(exc))
        return Ended(id=run.id, job=run.job, run=hold.left or ledger.find_run(run.id))
    except (BusyError, OwnershipLost) as error:
        log.info("%s", error.message, extra={"action": "busy", **about})
        return Ended(id=run.id, job=run.job, run=None, error=error)
    except BatchxferError as error:
        log.error("run %s: %s", run.id, error.message, extra={"action": "run-failed", **about})
        return Ended(id=run.id, job=run.job, run=None, error=error)
    except Exception as exc:
        log.exception("run %s ended with an error that nobody foresaw", run.id, extra={"action": "fault", **about})
        return Ended(id=run.id, job=run.job, run=None, error=_unforeseen(exc))


def _unforeseen(exc: Exception) -> PermanentError:
    return PermanentError(
        f"an error of batchxfer itself: {type(exc).__name__}: {exc}",
        hint="please report it with the log; what was sent until then is in the ledger, and a retry looks first",
    )
