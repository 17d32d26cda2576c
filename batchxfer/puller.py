"""One claimed pull, from its glob to a recorded outcome: look, fetch, load, and do with the remote files what was agreed.

Each file goes seen → fetched → loaded → done, its intent in the ledger before each step, so that an attempt that follows a
crash goes on where the last one was.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from batchxfer import naming, snapshots
from batchxfer.activity import Listener
from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.definitions import PullJob
from batchxfer.early_load import EarlyLoad
from batchxfer.errors import AttemptError, GuardTripped, LoadError, UnreadableFile
from batchxfer.fetching import Fetcher
from batchxfer.intake import Intake, PullAdapters, is_one_load
from batchxfer.looking import Looker
from batchxfer.model import (
    BUT,
    Claim,
    Delivery,
    DeliveryStatus,
    Evidence,
    FetchedFile,
    FetchStatus,
    Outcome,
    Run,
)
from batchxfer.ports import Clock, Ledger
from batchxfer.pull_attempt import ACCEPTED, TAKEN, Attempt, Pull
from batchxfer.quantities import counted
from batchxfer.settling import Settling
from batchxfer.shortages import shortages

POLL = timedelta(minutes=5)
_REFUSED_BY_LOAD = frozenset({UnreadableFile.kind, LoadError.kind, GuardTripped.kind})
SLOWER = 50
"""What is missing for so long is looked for after a fiftieth of that time."""


class _Waiting(Exception):
    """What is owed has not come yet; the words say how it stands."""


class Puller:
    """Carries out claimed pulls of one project. Used by one thread."""

    def __init__(
        self,
        project: Project,
        ledger: Ledger,
        adapters: PullAdapters,
        connections: Connections,
        clock: Clock,
        settling: Settling,
        listener: Listener,
    ) -> None:
        self._project = project
        self._ledger = ledger
        self._adapters = adapters
        self._connections = connections
        self._settling = settling
        self._looker = Looker(project, ledger, clock)
        self._fetcher = Fetcher(project, ledger, self._looker, listener)
        self._intake = Intake(project, ledger, adapters, connections, settling, listener)

    def pull(self, claim: Claim, run: Run, job: PullJob, delivery: Delivery, *, paused: bool) -> Run:
        """One attempt. A look that finds nothing yet is none: only failures, and what was fetched, are recorded as attempts."""
        attempt = Attempt(self._ledger, claim, delivery)
        waits: str | None = None
        notes: list[str] = []
        try:
            this = self._prepare(claim, run, job, delivery)
            with shortages(f"{this.where}: cannot fetch"):
                run = self._bring(this, run, attempt, notes, paused=paused)
        except _Waiting as waiting:
            waits = str(waiting)
        except AttemptError as error:
            return self._settling.failed(claim, self._again(run), job, delivery, attempt.begun(), error)
        # Beyond the `try`: where nobody knows whether the end was recorded, nothing else is said of this attempt.
        return self._deliver(this, run, attempt, notes) if waits is None else self._wait(this, run, waits, attempt)

    def _again(self, run: Run) -> Run:
        return self._ledger.find_run(run.id)

    def _prepare(self, claim: Claim, run: Run, job: PullJob, delivery: Delivery) -> Pull:
        self._settling.endpoint(delivery.endpoint)
        definition = snapshots.read_pull(run, self._adapters.format)
        file = definition.file
        return Pull(
            claim=claim,
            job=job,
            delivery=delivery,
            definition=definition,
            agreement=naming.pull_agreement(delivery.path, file),
            facts=naming.pull_facts(self._project, job, run.due, delivery.endpoint),
            where=f"endpoint {delivery.endpoint!r}",
        )

    def _bring(self, this: Pull, run: Run, attempt: Attempt, notes: list[str], *, paused: bool) -> Run:
        """Look, fetch, load, and what becomes of the files then; the run as it is afterwards."""
        with self._intake.early(this) as early:
            run, failure = self._visit(this, run, attempt, notes, early, paused=paused)
            if failure is None or not is_one_load(this):
                run, load_failure = self._intake.load_all(this, run, attempt, early)
                failure = failure or load_failure
                self._intake.finish_all(this, run, attempt)
                run = self._again(run)
        if failure is not None:
            raise failure
        if this.definition.file.expect != "any" and not _accepted(run):
            refused = [file for file in run.files if file.status is FetchStatus.REFUSED]
            why = [_told(refused)] if refused else [f"no file matches {this.delivery.path} yet"]
            raise _Waiting("; ".join([*why, *notes]))
        return run

    def _visit(
        self, this: Pull, run: Run, attempt: Attempt, notes: list[str], early: EarlyLoad, *, paused: bool
    ) -> tuple[Run, AttemptError | None]:
        """Look and fetch, where there is something to; the run as it is then, and why a file of it could not be fetched."""
        mend = _was_refused_by_load(run) and not paused
        if not mend and not _needs_session(run):
            return run, None
        with ExitStack() as visit:
            try:
                session = visit.enter_context(self._connections.session(this.delivery.endpoint))
            except AttemptError:
                if _needs_session(run):
                    raise
                return run, None
            if paused:
                self._ledger.accept_login(this.delivery.endpoint)
            if mend:
                run = self._looker.look_for_mended(this, run, session)
            if not _needs_session(run):
                return run, None
            run = self._looker.look(this, run, session, notes)
            with self._intake.made_ready(this):
                failure = self._fetcher.fetch_all(this, run, session, attempt, early.follow)
        return self._again(run), failure

    def _wait(self, this: Pull, run: Run, reason: str, attempt: Attempt) -> Run:
        """Look again after `poll`; the longer it is missing, the more rarely."""
        now, schedule = self._ledger.now(), this.job.schedule
        poll = schedule.poll if schedule is not None else POLL
        later = now + max(poll, (now - run.due.slot) / SLOWER)
        attempt.end(Outcome.TRANSIENT)
        return self._ledger.settle(this.claim, this.delivery.id, DeliveryStatus.PENDING, reason=reason, retry_at=later)

    def _deliver(self, this: Pull, run: Run, attempt: Attempt, notes: list[str]) -> Run:
        files = [file for file in run.files if file.status in ACCEPTED]
        rows = sum(file.rows or 0 for file in files)
        refused = [file for file in run.files if file.status is FetchStatus.REFUSED]
        words = [f"{len(files)} fetched"]
        words += [f"{counted(rows, 'row')} loaded"] if this.definition.load and files else []
        bad = sum(file.bad_rows or 0 for file in files)
        words += [f"{counted(bad, 'bad record')} put aside"] if bad else []
        words += [_told(refused)] if refused else []
        words += [f"{BUT}{', '.join(notes)}"] if notes else []
        evidence = Evidence(how="fetched", detail=", ".join(words), server_key=attempt.server_key)
        return self._ledger.settle(
            this.claim,
            this.delivery.id,
            DeliveryStatus.DELIVERED,
            attempt=attempt.id,
            outcome=Outcome.DELIVERED if attempt.id else None,
            evidence=evidence,
        )


def _was_refused_by_load(run: Run) -> bool:
    """Whether the last thing that was done was a load that nothing came of."""
    error = run.attempts[-1].error if run.attempts and run.revision == 1 else None
    return error is not None and error.kind in _REFUSED_BY_LOAD


def _needs_session(run: Run) -> bool:
    """Whether there is something to look for, or to fetch."""
    return not any(file.status in TAKEN for file in run.files) or any(
        file.status is FetchStatus.SEEN for file in run.files
    )


def _told(refused: Sequence[FetchedFile]) -> str:
    return f"{len(refused)} refused, such as {refused[0].path}: {refused[0].reason}"


def _accepted(run: Run) -> bool:
    return any(file.status in ACCEPTED for file in run.files)
