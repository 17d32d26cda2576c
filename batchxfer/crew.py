"""A bounded crew of threads that carries out runs; an endpoint gets no more of them than it has connections."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from batchxfer.errors import BatchxferError, BusyError, OwnershipLost, PermanentError
from batchxfer.model import OpenRun, Run
from batchxfer.ports import Ledger
from batchxfer.runner import Runner
from batchxfer.worker import Worker

log = logging.getLogger("batchxfer")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that the crew is done with; `run` is None where another worker had it, or the ledger was out of reach."""

    job: str
    run: Run | None
    error: BatchxferError | None = None


class Crew:
    """Threads for `workers` runs at a time. `on_ended` is called, in any thread, whenever one has ended."""

    def __init__(self, workers: int, ledger: Ledger, worker: Worker, on_ended: Callable[[], None]) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="run")
        self._workers = workers
        self._ledger = ledger
        self._worker = worker
        self._on_ended = on_ended
        self._guard = threading.Lock()
        self._flights: dict[str, tuple[Future[None], OpenRun, tuple[str, ...]]] = {}
        self._ended: list[Ended] = []

    @property
    def busy(self) -> int:
        with self._guard:
            return len(self._flights)

    def offer(self, run: OpenRun, endpoints: tuple[str, ...], limit: Callable[[str], int], runner: Runner) -> bool:
        """Start the run where there is room, for it and at each of its `endpoints`; whether it was started."""
        with self._guard:
            at_work = Counter(name for _, _, names in self._flights.values() for name in names)
            if len(self._flights) >= self._workers or any(at_work[name] >= limit(name) for name in endpoints):
                return False
            if any(flight.job == run.job for _, flight, _ in self._flights.values()):
                return False
            future = self._threads.submit(self._fly, run, runner)
            self._flights[run.id] = (future, run, endpoints)
            return True

    def ended(self) -> list[Ended]:
        """What has ended since the last call."""
        with self._guard:
            ended, self._ended = self._ended, []
            return ended

    def wait(self, seconds: float | None) -> bool:
        """Wait until all have ended, at most so long; whether they have."""
        with self._guard:
            futures = [future for future, _, _ in self._flights.values()]
        return not wait(futures, timeout=seconds).not_done

    def close(self) -> None:
        """Start nothing more, and do not wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _fly(self, run: OpenRun, runner: Runner) -> None:
        try:
            ended = carry_out(run, self._ledger, self._worker, runner)
        finally:
            with self._guard:
                self._flights.pop(run.id, None)
        with self._guard:
            self._ended.append(ended)
        self._on_ended()


def carry_out(run: OpenRun, ledger: Ledger, worker: Worker, runner: Runner) -> Ended:
    """Claim the run and execute it. Whatever goes wrong is in the ledger, or in the log where that cannot be reached."""
    try:
        with worker.claimed(run.id) as claim:
            try:
                runner.execute(claim, ledger.find_run(run.id))
            except BatchxferError:
                raise
            except Exception as exc:
                log.exception("run %s ended with an error that nobody foresaw", run.id, extra={"action": "fault"})
                runner.stop(claim, ledger.find_run(run.id), _unforeseen(exc))
        return Ended(job=run.job, run=ledger.find_run(run.id))
    except (BusyError, OwnershipLost) as error:
        log.info("%s", error.message, extra={"action": "busy", "run": run.id, "job": run.job})
        return Ended(job=run.job, run=None, error=error)
    except BatchxferError as error:
        log.error("run %s: %s", run.id, error.message, extra={"action": "run-failed", "run": run.id, "job": run.job})
        return Ended(job=run.job, run=None, error=error)


def _unforeseen(exc: Exception) -> PermanentError:
    return PermanentError(
        f"an error of batchxfer itself: {type(exc).__name__}: {exc}",
        hint="please report it with the log; what was sent until then is in the ledger, and a retry looks first",
    )
