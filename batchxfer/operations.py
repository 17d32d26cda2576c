"""What a person (or a script) may do to a run: run, retry, resend, rerun, release, accept, exclude.

Each takes the run's claim first, so that it cannot race with another worker, and gives the run back as it is then.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from batchxfer.config import Project
from batchxfer.definitions import PullJob
from batchxfer.errors import BusyError, HeldError, UsageError
from batchxfer.health import OUT_OF_ORDER, earlier_slot, pause_of
from batchxfer.model import (
    Claim,
    Delivery,
    DeliveryStatus,
    Due,
    Evidence,
    FetchStatus,
    FileStatus,
    ParameterValue,
    Run,
    RunStatus,
)
from batchxfer.paths import PathError
from batchxfer.ports import Clock, Ledger
from batchxfer.quantities import format_duration
from batchxfer.runner import Runner
from batchxfer.suggestions import did_you_mean
from batchxfer.worker import Worker

SETTLED = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED})
# What is missing is looked for: it is taken when it comes after all.
LEFT_ALONE = frozenset({RunStatus.DELIVERED, RunStatus.EXCLUDED, RunStatus.FAILED, RunStatus.HELD})
STEP_SECONDS = 1.0
# So far the clock of the machine on which a slot is run by hand may be ahead of the ledger's.
MOST_AHEAD = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """A rerun's outcome beside what was there before, for telling what changed."""

    before: Run
    after: Run


class Operations:
    """The operations of one project, on one ledger."""

    def __init__(self, project: Project, ledger: Ledger, runner: Runner, worker: Worker, clock: Clock) -> None:
        self._project = project
        self._ledger = ledger
        self._runner = runner
        self._worker = worker
        self._clock = clock

    # run

    def run(self, job: str, due: Due, overrides: Mapping[str, ParameterValue], *, wait: bool = False) -> Run:
        """Bring the slot to its end, as the daemon would. What is delivered, excluded, failed or held is left alone.

        Raises BusyError while another worker has it, unless `wait`; `wait` also stays until a retry is due.
        """
        self._await_due(job, due)
        parameters = {**self._project.jobs[job].parameters, **overrides}
        run = self._ledger.ensure_run(job, due, parameters)
        while run.status not in LEFT_ALONE:
            if (reason := self._why_not(run)) is not None:
                return replace(run, reason=reason)
            try:
                run = self._once(run)
            except BusyError:
                if not wait:
                    raise
            if not self._go_on(run, wait):
                break
            run = self._ledger.find_run(run.id)
        return self._with_reason(run)

    def _await_due(self, job: str, due: Due) -> None:
        """Slots go by the ledger's clock: what is not due by it is waited for a little. Raises UsageError where it is long."""
        ahead = due.slot - self._ledger.now()
        if self._project.jobs[job].schedule is None or ahead <= timedelta():
            return
        if ahead > MOST_AHEAD:
            raise UsageError(
                f"the slot {due.slot.isoformat()} is not due yet by the ledger's clock",
                hint=f"that clock is more than {format_duration(MOST_AHEAD)} behind this machine's: one of the two is wrong",
            )
        self._clock.sleep(ahead.total_seconds())

    def _with_reason(self, run: Run) -> Run:
        """The run with why it waits, where nothing has failed."""
        waits = run.status is RunStatus.PENDING and not run.reason and run.job in self._project.jobs
        return replace(run, reason=self._why_not(run)) if waits else run

    def _execute(
        self, claim: Claim, run: Run, *, anew: bool = False, insist: bool = False, only: str | None = None
    ) -> None:
        """Do what is due of the run. What is paused waits, whoever asks; with `anew` for today's definition."""
        current = self._ledger.find_run(run.id)
        if run.job not in self._ledger.pauses():
            self._runner.execute(claim, current, anew=anew, insist=insist, only=only)
        elif anew and run.job in self._project.jobs:
            with suppress(PathError):
                self._runner.adopt(claim, current)

    def _why_not(self, run: Run) -> str | None:
        """Why the daemon would not start it now: it is paused, or an earlier slot is to be settled first."""
        endpoints = tuple(delivery.endpoint for delivery in run.deliveries if delivery.status not in SETTLED)
        job = self._project.jobs[run.job]
        pause = pause_of(run.job, endpoints or job.file.endpoint_names, self._ledger.pauses())
        if pause is not None:
            return pause.told
        return self._why_not_yet(run)

    def _why_not_yet(self, run: Run) -> str | None:
        """Which earlier slot is to be settled first."""
        if run.job not in self._project.jobs or self._project.jobs[run.job].retry.order != "strict":
            return None
        earlier = earlier_slot(run.due.slot, self._ledger.open_runs(run.job))
        return None if earlier is None else OUT_OF_ORDER.format(earlier.slot.isoformat(), earlier.id)

    def _once(self, run: Run) -> Run:
        if self._waits_until(run) is not None:
            return run
        with self._worker.claimed(run.id) as claim:
            self._check_alone(run)
            if run.status is RunStatus.SKIPPED:
                self._reopen(claim, run, but=frozenset({DeliveryStatus.DELIVERED}))
            self._runner.execute(claim, self._ledger.find_run(run.id))
        return self._ledger.find_run(run.id)

    def _check_alone(self, run: Run) -> None:
        """Raise BusyError while another slot of the job runs. Asked after the claim, as the daemon does."""
        for other in self._ledger.open_runs(run.job):
            if other.running and other.id != run.id:
                raise BusyError(
                    f"another slot of job {run.job!r} runs now: {other.slot.isoformat()} (run {other.id})",
                    hint="wait until it has ended; `run` does with --wait",
                )

    def _waits_until(self, run: Run) -> datetime | None:
        """The instant that the run waits for, where nothing of it is due now."""
        if run.status is not RunStatus.RETRYING or run.retry_at is None:
            return None
        return run.retry_at if run.retry_at > self._ledger.now() else None

    def _go_on(self, run: Run, wait: bool) -> bool:
        """Whether to look at the run again, after waiting a little."""
        if not wait or run.status not in (RunStatus.RETRYING, RunStatus.RUNNING, RunStatus.PENDING):
            return False
        until = self._waits_until(run)
        left = (until - self._ledger.now()).total_seconds() if until else STEP_SECONDS
        self._clock.sleep(min(max(left, 0.0), STEP_SECONDS))
        return True

    # one run again

    # Of a run with several endpoints, `only` names the one that is meant; the others stay as they are.

    def retry(self, run: Run, only: str | None = None) -> Run:
        """A fresh series of tries for what is not delivered; on held ones it looks again."""
        _check_endpoint(run, only)
        if run.status is RunStatus.PENDING and (reason := self._why_not_yet(run)) is not None:
            return replace(run, reason=reason)
        with self._worker.claimed(run.id) as claim:
            self._check_alone(run)
            self._reopen(claim, self._ledger.find_run(run.id), only=only)
            self._execute(claim, run, anew=True, insist=True, only=only)
        return self._with_reason(self._ledger.find_run(run.id))

    def release(self, run: Run) -> Run:
        """Send what the guard held."""
        if run.status is not RunStatus.HELD:
            raise UsageError(f"run {run.id} is {run.status}, not held: there is nothing to release")
        with self._worker.claimed(run.id) as claim:
            self._check_alone(run)
            self._ledger.release_guard(claim)
            self._reopen(claim, self._ledger.find_run(run.id))
            self._execute(claim, run)
        return self._with_reason(self._ledger.find_run(run.id))

    def resend(self, run: Run, only: str | None = None) -> Run:
        """The same bytes to the same path: an equal file there stays, what is gone is sent again."""
        if run.is_pull:
            raise UsageError(
                f"run {run.id} fetches: there is nothing to send",
                hint=f"load what was fetched again with: batchxfer rerun {run.id}",
            )
        if run.artifact is None or not run.artifact.path.exists():
            raise UsageError(
                f"run {run.id} has no artifact to send again"
                + (f": {run.artifact.path} is gone" if run.artifact else ""),
                hint=f"query again with: batchxfer rerun {run.id}",
            )
        self._check_not_paused(run, only)
        for delivery in _meant(run, only):
            self._runner.check_environment(delivery.endpoint)
        with self._worker.claimed(run.id) as claim:
            self._check_alone(run)
            excluded = set() if run.status is RunStatus.SKIPPED else {DeliveryStatus.EXCLUDED}
            self._reopen(claim, run, but=frozenset({DeliveryStatus.DELIVERED, *excluded}), only=only)
            self._runner.execute(claim, self._ledger.find_run(run.id), resend=True, only=only)
        return self._with_reason(self._ledger.find_run(run.id))

    def _check_not_paused(self, run: Run, only: str | None) -> None:
        """Raise HeldError where something of what was delivered could not be looked at: it would stay delivered."""
        pauses = self._ledger.pauses()
        for subject in (run.job, *(f"@{delivery.endpoint}" for delivery in _meant(run, only))):
            if subject in pauses and pauses[subject].until is None:
                raise HeldError(
                    f"{subject} is paused: {pauses[subject].why}: nothing was sent",
                    hint=f"resend when the pause has ended: batchxfer resume {subject}",
                )

    def rerun(self, run: Run, overrides: Mapping[str, ParameterValue]) -> Rerun:
        """Query again: as a new revision where a byte of the earlier one was published, else in its place."""
        self._check_loads(run)
        newest = self._ledger.find_slot(run.job, run.due.slot) or run
        if newest.id != run.id:
            raise UsageError(
                f"run {run.id} is revision {run.revision}, and revision {newest.revision} came after it",
                hint=f"rerun the newest one: batchxfer rerun {newest.id}",
            )
        with self._worker.claimed(run.id) as claim:
            self._check_alone(run)
            before = self._ledger.find_run(run.id)
            after = self._ledger.add_revision(run.id) if was_published(before) else before
            if after is before:
                self._start_over(claim, before, overrides)
                self._execute(claim, before, anew=True)
            else:
                if before.is_pull:
                    # What is superseded takes no file any more: those that are not loaded yet are the new revision's.
                    with self._worker.claimed(after.id) as newer:
                        self._ledger.load_again(newer, before.id)
                self._supersede(claim, before, after)
        if after is not before:
            with self._worker.claimed(after.id) as claim:
                self._ledger.set_parameters(claim, {**before.parameters, **overrides})
                self._execute(claim, after, anew=True)
        return Rerun(before=before, after=self._with_reason(self._ledger.find_run(after.id)))

    def _check_loads(self, run: Run) -> None:
        job = self._project.jobs.get(run.job)
        if isinstance(job, PullJob) and job.load is None:
            raise UsageError(
                f"job {run.job!r} loads nothing, so there is nothing to do again",
                hint=f"what is not fetched yet is fetched with: batchxfer retry {run.id}",
            )

    def _start_over(self, claim: Claim, run: Run, overrides: Mapping[str, ParameterValue]) -> None:
        self._reopen(claim, run, but=frozenset({DeliveryStatus.DELIVERED}))
        self._ledger.drop_artifact(claim)
        self._ledger.set_parameters(claim, {**run.parameters, **overrides})

    def _supersede(self, claim: Claim, before: Run, after: Run) -> None:
        """What was not delivered of the earlier revision must not arrive after the newer one."""
        if any(delivery.status not in SETTLED for delivery in before.deliveries):
            self._ledger.exclude(claim, f"superseded by revision {after.revision}, run {after.id}")

    def _reopen(
        self, claim: Claim, run: Run, *, but: frozenset[DeliveryStatus] = SETTLED, only: str | None = None
    ) -> None:
        for delivery in run.deliveries:
            if only in (None, delivery.endpoint) and delivery.status not in but:
                self._ledger.settle(claim, delivery.id, DeliveryStatus.PENDING)

    # what a person knows

    def accept(self, run: Run, why: str, only: str | None = None) -> Run:
        """It did arrive, says a person: recorded as delivered, with their word as the evidence."""
        _check_endpoint(run, only)
        with self._worker.claimed(run.id) as claim:
            current = self._ledger.find_run(run.id)
            if not current.deliveries:
                raise UsageError(f"run {run.id} has never been started: there is nothing that could have arrived")
            if all(delivery.status is DeliveryStatus.EXCLUDED for delivery in current.deliveries):
                raise UsageError(
                    f"run {run.id} is excluded: it was never to arrive",
                    hint=f"query it after all: batchxfer rerun {run.id}",
                )
            for delivery in _meant(current, only):
                if delivery.status not in SETTLED:
                    evidence = Evidence(how="accepted", detail=why)
                    self._leave_files(claim, current, why)
                    self._ledger.settle(claim, delivery.id, DeliveryStatus.DELIVERED, evidence=evidence)
        return self._ledger.find_run(run.id)

    def _leave_files(self, claim: Claim, run: Run, why: str) -> None:
        """What a person has dealt with is not fetched, nor loaded, any more."""
        for file in run.files:
            if file.status in (FetchStatus.SEEN, FetchStatus.FETCHED):
                self._ledger.record_fetch(claim, file.id, FetchStatus.EXCLUDED, reason=f"accepted: {why}")

    def exclude(self, run: Run, why: str, only: str | None = None) -> Run:
        """Never send it."""
        _check_endpoint(run, only)
        if run.status is RunStatus.DELIVERED:
            raise UsageError(f"run {run.id} is delivered: what has arrived cannot be excluded")
        with self._worker.claimed(run.id) as claim:
            if only is None or run.is_pull:
                self._ledger.exclude(claim, why)
            else:
                for delivery in _meant(self._ledger.find_run(run.id), only):
                    self._exclude_one(claim, delivery, why)
        return self._ledger.find_run(run.id)

    def _exclude_one(self, claim: Claim, delivery: Delivery, why: str) -> None:
        if delivery.status is DeliveryStatus.DELIVERED:
            raise UsageError(f"it is delivered to {delivery.endpoint!r}: what has arrived cannot be excluded")
        if delivery.status is not DeliveryStatus.EXCLUDED:
            self._ledger.settle(claim, delivery.id, DeliveryStatus.EXCLUDED, reason=why)


def _meant(run: Run, only: str | None) -> list[Delivery]:
    """The run's deliveries, or the one to an endpoint. Raises UsageError where the run has none to it."""
    _check_endpoint(run, only)
    return [delivery for delivery in run.deliveries if only in (None, delivery.endpoint)]


def _check_endpoint(run: Run, only: str | None) -> None:
    known = [delivery.endpoint for delivery in run.deliveries]
    if only is not None and only not in known:
        hint = did_you_mean(only, known, what="it goes to") if known else f"first: batchxfer retry {run.id}"
        raise UsageError(f"run {run.id} has nothing for endpoint {only!r}", hint=hint)


def was_published(run: Run) -> bool:
    """Whether a byte of the run is, may be, or once was at a final name, or arrived as a person says; of a pull,
    whether a row of it is loaded."""
    if run.is_pull:
        return any(file.loaded_at is not None for file in run.files)
    return any(
        delivery.delivered_at is not None
        or any(file.status in (FileStatus.PUBLISHING, FileStatus.PUBLISHED) or file.created for file in delivery.files)
        for delivery in run.deliveries
    )
