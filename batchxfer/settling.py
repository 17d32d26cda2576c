"""What becomes of a run whose attempt did not end well, and whether it may begin at all: the same for push and pull."""

from __future__ import annotations

import logging
import re
import shlex
from dataclasses import replace
from datetime import datetime

from batchxfer import retry, slots
from batchxfer.config import Project
from batchxfer.definitions import AnyJob, EndpointOptions, PullJob
from batchxfer.errors import (
    AttemptError,
    ErrorInfo,
    HeldError,
    LedgerRestored,
    LoginRefused,
    PastCutoff,
    WrongEnvironment,
)
from batchxfer.facts import Restored
from batchxfer.judging import may_have_been_sent
from batchxfer.model import Claim, Delivery, DeliveryStatus, Outcome, Pause, Run, RunStatus
from batchxfer.ports import Ledger

log = logging.getLogger("batchxfer")

OPEN = frozenset({DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.PUBLISHING, DeliveryStatus.RETRYING})

STATUS_AFTER = {
    retry.RetryAt: DeliveryStatus.RETRYING,
    retry.GiveUp: DeliveryStatus.FAILED,
    retry.Hold: DeliveryStatus.HELD,
}


RECONCILED = "reconciled"
"""The event that says that a run was looked at since the ledger was put back."""


def was_reconciled(ledger: Ledger, run: Run, restored: Restored) -> bool:
    """Whether the run was looked at since the ledger was put back."""
    return any(event.kind == RECONCILED and event.at >= restored.at for event in ledger.events(run.id))


def may_be_forgotten(run: Run, job: AnyJob, restored: Restored) -> bool:
    """Whether the ledger that is lost may have known more of the run. What was taken of a partner's folder it knew for any
    slot that comes to look there."""
    return isinstance(job, PullJob) or may_have_been_sent(run.due.slot, restored)


def forgotten(delivery: Delivery, restored: Restored, *, is_pull: bool, why: str | None = None) -> LedgerRestored:
    """Why a run waits after the ledger was put back. `why` is why nobody could look yet."""
    since = f"the ledger was put back from a backup and knows nothing after {restored.known_until.isoformat()}"
    at = f"{delivery.path} at {delivery.endpoint!r}"
    what = f"what matches {at} may have been fetched" if is_pull else f"{at} may have been sent"
    return LedgerRestored(
        f"{since}: {what} since" + (f", and nobody could look: {why}" if why else ""),
        hint="look at the endpoints, and let the rest go, with: batchxfer reconcile",
    )


class Settling:
    """Settles the runs of one project. `environment` is this machine's name."""

    def __init__(self, project: Project, ledger: Ledger, environment: str | None = None) -> None:
        self._project = project
        self._ledger = ledger
        self._environment = environment

    # may it begin

    def check_environment(self, name: str) -> None:
        """Raise WrongEnvironment where the endpoint is meant for another machine than this; no socket is opened."""
        endpoint = self._project.config.endpoints.get(name)
        wanted = endpoint.environment if endpoint else None
        if wanted in (None, self._environment):
            return
        here = f"says {self._environment!r}" if self._environment else "has none"
        raise WrongEnvironment(
            f"endpoint {name!r} is for environment {wanted!r}, and this machine {here}: nothing was done there",
            hint="run it where it belongs, or set `environment` in config.toml; then retry",
        )

    def endpoint(self, name: str) -> EndpointOptions:
        options = self._project.config.endpoints.get(name)
        if options is None:
            raise HeldError(
                f"endpoint {name!r} is no longer in config.toml",
                hint="bring it back, then: batchxfer retry RUN; or: batchxfer exclude RUN --why TEXT",
            )
        return options

    def hold_other_environments(self, claim: Claim, run: Run) -> Run:
        for delivery in run.deliveries:
            if delivery.status in OPEN:
                try:
                    self.check_environment(delivery.endpoint)
                except WrongEnvironment as error:
                    run = self._hold(claim, run, delivery, error)
        return run

    def hold_forgotten(self, claim: Claim, run: Run, job: AnyJob) -> Run:
        """What may have been done before the ledger was put back from a backup is not done before somebody has looked."""
        restored = self._ledger.restored()
        if restored is None or not may_be_forgotten(run, job, restored):
            return run
        waiting = [delivery for delivery in run.deliveries if delivery.status in OPEN]
        if waiting and was_reconciled(self._ledger, run, restored):
            return run
        for delivery in waiting:
            run = self._hold(claim, run, delivery, forgotten(delivery, restored, is_pull=isinstance(job, PullJob)))
        return run

    def check_cutoff(self, run: Run, job: AnyJob) -> None:
        cutoff = self.cutoff(run, job)
        if cutoff is None or run.guard_released or self._ledger.now() <= cutoff:
            return
        if job.schedule is not None and job.schedule.past_cutoff != "send":
            shown = cutoff.astimezone(job.schedule.cutoff_timezone or self._project.zone_of(job))
            ended, begin = ("published", "send") if job.direction == "push" else ("fetched", "fetch")
            raise PastCutoff(
                f"job {run.job!r}: its cutoff, {shown:%Y-%m-%d %H:%M %Z}, has passed: nothing more is {ended}",
                hint=f"{begin} it all the same with: batchxfer release {run.id}",
            )

    def cutoff(self, run: Run, job: AnyJob) -> datetime | None:
        return slots.cutoff_of(job.schedule, self._project.zone_of(job), run.due.slot)

    def too_late(self, claim: Claim, run: Run, job: AnyJob, error: PastCutoff) -> Run:
        if job.schedule is not None and job.schedule.past_cutoff == "skip":
            return self._ledger.skip(claim, error.message)
        return self.stop(claim, run, error)

    def pause_of(self, job: AnyJob, delivery: Delivery) -> Pause | None:
        """The pause to wait for. After a refused login one delivery may try, each time the pause has run out."""
        trial = retry.login_trial(job.retry, delivery.retries, self._ledger.now())
        return self._ledger.try_login(delivery.endpoint, trial)

    def wait(self, claim: Claim, delivery: Delivery, why: str, until: datetime) -> Run:
        reason = f"endpoint {delivery.endpoint!r} waits since a login was refused: {why}"
        return self._ledger.settle(claim, delivery.id, DeliveryStatus.RETRYING, reason=reason, retry_at=until)

    # what came of it

    def failed(self, claim: Claim, run: Run, job: AnyJob, delivery: Delivery, attempt: str, error: AttemptError) -> Run:
        log.info(
            "%s",
            error.message,
            extra={"action": "attempt-failed", "job": job.name, "endpoint": delivery.endpoint, "kind": error.kind},
        )
        return self.settle(claim, run, job, delivery, error, attempt=attempt)

    def stop(self, claim: Claim, run: Run, error: AttemptError) -> Run:
        """Nothing of the run can go on: each open delivery takes the error as its own."""
        job = self._project.jobs.get(run.job)
        if not run.deliveries:
            held = isinstance(error, HeldError)
            return self._ledger.stop(claim, RunStatus.HELD if held else RunStatus.FAILED, error.message)
        for delivery in run.deliveries:
            if delivery.status in OPEN:
                run = self.settle(claim, run, job, delivery, error) if job else self._hold(claim, run, delivery, error)
        return run

    def _hold(self, claim: Claim, run: Run, delivery: Delivery, error: AttemptError) -> Run:
        return self._ledger.settle(
            claim, delivery.id, DeliveryStatus.HELD, reason=error.message, error=_for_this(run, delivery, error)
        )

    def settle(
        self,
        claim: Claim,
        run: Run,
        job: AnyJob,
        delivery: Delivery,
        error: AttemptError,
        *,
        attempt: str | None = None,
    ) -> Run:
        decision = retry.decide(
            job.retry,
            delivery.retries,
            error,
            self._ledger.now(),
            self.cutoff(run, job),
            past_cutoff=job.schedule.past_cutoff if job.schedule else "hold",
        )
        if isinstance(error, LoginRefused) and isinstance(decision, retry.RetryAt):
            self._ledger.refuse_login(delivery.endpoint, error.message, decision.at)
        return self._ledger.settle(
            claim,
            delivery.id,
            STATUS_AFTER[type(decision)],
            attempt=attempt,
            outcome=outcome_of(error) if attempt else None,
            reason=error.message if isinstance(decision, retry.RetryAt) else decision.reason,
            retry_at=decision.at if isinstance(decision, retry.RetryAt) else None,
            used_retry=isinstance(decision, retry.RetryAt) and decision.uses_retry,
            error=_for_this(run, delivery, error),
        )


_TYPED = re.compile(r"\bbatchxfer (retry|resend|rerun|accept|exclude) RUN\b")


def _for_this(run: Run, delivery: Delivery, error: AttemptError) -> ErrorInfo:
    """The error with what to type for this run; where it has several endpoints, for this one alone: the others may have
    taken theirs away, and would get it again."""
    here = f" --endpoint {shlex.quote(delivery.endpoint)}" if len(run.deliveries) > 1 else ""

    def typed(match: re.Match[str]) -> str:
        return f"batchxfer {match[1]} {run.id}{'' if match[1] == 'rerun' else here}"

    info = error.info
    return replace(info, hint=_TYPED.sub(typed, info.hint)) if info.hint else info


def outcome_of(error: AttemptError) -> Outcome:
    """How an attempt that ended with `error` is recorded."""
    return {1: Outcome.PERMANENT, 3: Outcome.TRANSIENT, 4: Outcome.HELD}[int(error.exit_code)]
