"""One claimed run, from its definition to a recorded outcome: build the artifact once, deliver it to each endpoint.

Failures are decided by `retry` and recorded with their reason; only OwnershipLost and what is no AttemptError leave.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batchxfer import naming, push, retry, slots, snapshots, spool
from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.definitions import EndpointOptions, FormatOptions, Job
from batchxfer.errors import AttemptError, GuardTripped, HeldError, LoginRefused, PastCutoff, WrongEnvironment
from batchxfer.ids import new_id
from batchxfer.layout import Encoder
from batchxfer.model import (
    Artifact,
    Claim,
    Column,
    Delivery,
    DeliveryStatus,
    Evidence,
    FileRole,
    FileStatus,
    Outcome,
    Pause,
    Run,
    RunStatus,
)
from batchxfer.paths import PathError
from batchxfer.ports import Clock, Codec, Ledger, Query, Source
from batchxfer.resolve import Policy
from batchxfer.snapshots import Definition

if TYPE_CHECKING:
    pass

log = logging.getLogger("batchxfer")

OPEN = frozenset({DeliveryStatus.PENDING, DeliveryStatus.SENDING, DeliveryStatus.PUBLISHING, DeliveryStatus.RETRYING})

STATUS_AFTER = {
    retry.RetryAt: DeliveryStatus.RETRYING,
    retry.GiveUp: DeliveryStatus.FAILED,
    retry.Hold: DeliveryStatus.HELD,
}


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What is going on, for a progress bar: `stage` is building or sending; `bytes` so far, `total` where it is known."""

    stage: str
    run: Run
    bytes: int
    rows: int | None = None
    total: int | None = None
    endpoint: str | None = None
    path: str | None = None


Listener = Callable[[Activity], None]


class Adapters(Protocol):
    """What wiring finds by name."""

    def source(self, name: str) -> Source: ...

    def codec(self, options: FormatOptions, columns: tuple[Column, ...]) -> Codec: ...

    def format(self, text: str) -> FormatOptions:
        """A format from its JSON text, as a snapshot keeps it."""


class Runner:
    """Carries out claimed runs of one project. Used by one thread."""

    def __init__(
        self,
        project: Project,
        ledger: Ledger,
        adapters: Adapters,
        connections: Connections,
        clock: Clock,
        *,
        environment: str | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._project = project
        self._ledger = ledger
        self._adapters = adapters
        self._connections = connections
        self._clock = clock
        self._environment = environment
        self._listener = listener or (lambda activity: None)

    def execute(self, claim: Claim, run: Run, *, anew: bool = False, resend: bool = False, insist: bool = False) -> Run:
        """Do what is due of `run`; its deliveries say what came of it.

        `anew` takes today's definition for what was never begun; `resend` looks at what was delivered and sends what is gone;
        `insist` also tries an endpoint that refused a login and is left alone since.
        """
        job = self._project.jobs.get(run.job)
        if job is None:
            return self.stop(claim, run, HeldError(f"job {run.job!r} is no longer there", hint="bring its file back"))
        if anew or run.snapshot is None:
            try:
                run = self._adopt(claim, run, job)
            except PathError as error:
                return self.stop(claim, run, error)
        run = self._hold_other_environments(claim, run)
        if not self._due(run, resend):
            return run
        try:
            self._check_cutoff(run, job)
        except PastCutoff as error:
            return self._too_late(claim, run, job, error)
        run = self._ensure_artifact(claim, run, job)
        for delivery in self._due(run, resend) if run.artifact else ():
            paused = f"@{delivery.endpoint}" in self._ledger.pauses()
            pause = self._pause_of(job, delivery) if paused and not insist else None
            if pause is None:
                run = self._deliver(claim, run, job, delivery, resend=resend, paused=paused)
            elif pause.until is not None:
                run = self._wait(claim, delivery, pause.why, pause.until)
        return run

    def _too_late(self, claim: Claim, run: Run, job: Job, error: PastCutoff) -> Run:
        if job.schedule is not None and job.schedule.past_cutoff == "skip":
            return self._ledger.skip(claim, error.message)
        return self.stop(claim, run, error)

    def _pause_of(self, job: Job, delivery: Delivery) -> Pause | None:
        """The pause to wait for. After a refused login one delivery may try, each time the pause has run out."""
        trial = retry.login_trial(job.retry, delivery.retries, self._ledger.now())
        return self._ledger.try_login(delivery.endpoint, trial)

    def _wait(self, claim: Claim, delivery: Delivery, why: str, until: datetime) -> Run:
        reason = f"endpoint {delivery.endpoint!r} waits since a login was refused: {why}"
        return self._ledger.settle(claim, delivery.id, DeliveryStatus.RETRYING, reason=reason, retry_at=until)

    def _due(self, run: Run, resend: bool) -> list[Delivery]:
        now = self._ledger.now()
        wanted = OPEN | {DeliveryStatus.DELIVERED} if resend else OPEN
        return [d for d in run.deliveries if d.status in wanted and (d.retry_at is None or d.retry_at <= now or resend)]

    # what the run is

    def _adopt(self, claim: Claim, run: Run, job: Job) -> Run:
        parameters = snapshots.todays_parameters(run, job)
        if parameters != run.parameters:
            run = self._ledger.set_parameters(claim, parameters)
        planned = naming.planned_deliveries(self._project, job, run.due, revision=run.revision, run=run.id)
        return self._ledger.adopt(claim, snapshots.take(self._project, job), planned)

    def check_environment(self, name: str) -> None:
        """Raise WrongEnvironment where the endpoint is meant for another machine than this; no socket is opened."""
        endpoint = self._project.config.endpoints.get(name)
        wanted = endpoint.environment if endpoint else None
        if wanted in (None, self._environment):
            return
        here = f"says {self._environment!r}" if self._environment else "has none"
        raise WrongEnvironment(
            f"endpoint {name!r} is for environment {wanted!r}, and this machine {here}: nothing was sent",
            hint="run it where it belongs, or set `environment` in config.toml; then retry",
        )

    def _hold_other_environments(self, claim: Claim, run: Run) -> Run:
        for delivery in run.deliveries:
            if delivery.status in OPEN:
                try:
                    self.check_environment(delivery.endpoint)
                except WrongEnvironment as error:
                    run = self._hold(claim, delivery, error)
        return run

    def _check_cutoff(self, run: Run, job: Job) -> None:
        cutoff = self._cutoff(run, job)
        if cutoff is None or run.guard_released or self._ledger.now() <= cutoff:
            return
        if job.schedule is not None and job.schedule.past_cutoff != "send":
            shown = cutoff.astimezone(job.schedule.cutoff_timezone or self._project.zone_of(job))
            raise PastCutoff(
                f"job {run.job!r}: its cutoff, {shown:%Y-%m-%d %H:%M %Z}, has passed: nothing more is published",
                hint=f"send it all the same with: batchxfer release {run.id}",
            )

    def _cutoff(self, run: Run, job: Job) -> datetime | None:
        return slots.cutoff_of(job.schedule, self._project.zone_of(job), run.due.slot)

    # building

    def _ensure_artifact(self, claim: Claim, run: Run, job: Job) -> Run:
        if run.artifact is not None and not run.artifact.path.exists():
            if any(file.status is not FileStatus.PENDING for d in run.deliveries for file in d.files):
                return self.stop(claim, run, self._lost_artifact(run.artifact))
            run = self._ledger.drop_artifact(claim)
        if run.artifact is None:
            run = self._build(claim, run, job)
        return self._guard(claim, run, job) if run.artifact else run

    def _lost_artifact(self, artifact: Artifact) -> HeldError:
        return HeldError(
            f"the artifact {artifact.path} is gone, and some of it was sent before: querying again could give other bytes",
            hint="bring the file back from a backup and retry, or rerun for a new revision",
        )

    def _build(self, claim: Claim, run: Run, job: Job) -> Run:
        attempt = self._ledger.begin_attempt(claim, None)
        try:
            artifact = self._write_artifact(run, job)
        except AttemptError as error:
            self._ledger.end_attempt(claim, attempt.id, outcome_of(error), error.info)
            return self.stop(claim, run, error)
        return self._ledger.record_artifact(claim, attempt.id, artifact)

    def _write_artifact(self, run: Run, job: Job) -> Artifact:
        now = self._clock.now()
        identifier = new_id(now)
        folder = self._project.spool / run.job
        name = f"{run.due.slot:%Y%m%dT%H%M%SZ}-{identifier}"
        return self.write(run, folder / name, artifact=identifier, at=now)

    def write(self, run: Run, path: Path, *, artifact: str, at: datetime) -> Artifact:
        """Query, and write the file of `run` to `path`, as its snapshot says. The ledger is not touched.

        Raises AttemptError."""
        definition = self._definition(run)
        source = self._adapters.source(definition.database)
        parameters = naming.query_parameters(run.job, run.due, run.parameters)
        query = Query(text=definition.query, parameters=parameters)
        with source.read(query) as rows:
            encoder = Encoder(
                definition.format,
                self._adapters.codec,
                rows.columns,
                self._facts(run, definition),
                naive_zone=self._project.config.databases[definition.database].timezone,
            )
            return spool.build(
                path,
                rows,
                encoder,
                artifact=artifact,
                compress=definition.file.compress,
                at=at,
                progress=lambda built: self._listener(
                    Activity(stage="building", run=run, rows=built.rows, bytes=built.bytes)
                ),
            )

    def _definition(self, run: Run) -> Definition:
        if run.snapshot is None:
            raise HeldError(f"run {run.id} was never started", hint=f"start it with: batchxfer retry {run.id}")
        return snapshots.read(run.snapshot, self._adapters.format)

    def _facts(self, run: Run, definition: Definition) -> Mapping[str, object]:
        """What control records may name; `slot_local` is in the zone of the first endpoint."""
        first = self._project.config.endpoints.get(definition.file.endpoint_names[0])
        job = self._project.jobs[run.job]
        zone = self._project.zone_of(job)
        return naming.facts(
            run.job,
            run.due,
            revision=run.revision,
            run=run.id,
            zone=zone,
            endpoint_zone=first.timezone if first else zone,
        )

    def _guard(self, claim: Claim, run: Run, job: Job) -> Run:
        rows, guard = run.artifact.rows if run.artifact else 0, job.guard
        if run.guard_released:
            return run
        low = guard.min_rows is not None and rows < guard.min_rows
        high = guard.max_rows is not None and rows > guard.max_rows
        if not (low or high):
            return run
        limit = f"min_rows = {guard.min_rows}" if low else f"max_rows = {guard.max_rows}"
        error = GuardTripped(
            f"{rows:,} rows, and the job's [guard] has {limit}: nothing was sent",
            hint=f"look at it with: batchxfer show {run.id}; send it with: batchxfer release {run.id}",
        )
        return self.stop(claim, run, error)

    # delivering

    def _deliver(self, claim: Claim, run: Run, job: Job, delivery: Delivery, *, resend: bool, paused: bool) -> Run:
        attempt = self._ledger.begin_attempt(claim, delivery.endpoint)
        # Delivered once and open again: a resend that did not come to its end still has to look.
        again = resend or delivery.delivered_at is not None
        try:
            evidence = self._try(claim, run, job, delivery, attempt.id, resend=again, paused=paused)
        except AttemptError as error:
            return self._failed(claim, run, job, delivery, attempt.id, error)
        return self._ledger.settle(
            claim,
            delivery.id,
            DeliveryStatus.DELIVERED,
            attempt=attempt.id,
            outcome=Outcome.DELIVERED,
            evidence=evidence,
        )

    def _try(
        self, claim: Claim, run: Run, job: Job, delivery: Delivery, attempt: str, *, resend: bool, paused: bool
    ) -> Evidence:
        artifact = run.artifact
        if artifact is None:
            raise HeldError("there is no artifact to send", hint="rerun to query again")
        options = self._endpoint(delivery.endpoint)
        self.check_environment(delivery.endpoint)

        def record(role: FileRole, status: FileStatus, **facts: object) -> None:
            self._ledger.record_file(claim, delivery.id, role, status, **facts)  # type: ignore[arg-type]

        def progress(done: int) -> None:
            self._listener(
                Activity(
                    stage="sending",
                    run=run,
                    bytes=done,
                    total=artifact.bytes,
                    endpoint=delivery.endpoint,
                    path=delivery.path,
                )
            )

        with self._connections.session(delivery.endpoint) as session:
            if paused:
                self._ledger.accept_login(delivery.endpoint)
            return push.deliver(
                session,
                delivery,
                artifact,
                self._agreement(run, delivery, options),
                record,
                attempt=attempt,
                resend=resend,
                progress=progress,
                before_publish=lambda: self._check_cutoff(run, job),
            )

    def _endpoint(self, name: str) -> EndpointOptions:
        options = self._project.config.endpoints.get(name)
        if options is None:
            raise HeldError(
                f"endpoint {name!r} is no longer in config.toml", hint="bring it back and retry, or exclude the run"
            )
        return options

    def _agreement(self, run: Run, delivery: Delivery, options: EndpointOptions) -> push.Agreement:
        file = self._definition(run).file
        return push.Agreement(
            endpoint=delivery.endpoint,
            policy=Policy(
                replace=file.on_exists == "replace",
                direct=options.publish == "direct",
                taken_at_once=options.vanished == "delivered",
            ),
            verify=file.verify,
            temp_name=options.temp_name,
            given_folders=naming.given_folders(options, file),
        )

    # what came of it

    def _failed(self, claim: Claim, run: Run, job: Job, delivery: Delivery, attempt: str, error: AttemptError) -> Run:
        log.info(
            "%s",
            error.message,
            extra={"action": "attempt-failed", "job": job.name, "endpoint": delivery.endpoint, "kind": error.kind},
        )
        return self._settle(claim, run, job, delivery, error, attempt=attempt)

    def stop(self, claim: Claim, run: Run, error: AttemptError) -> Run:
        """Nothing of the run can go on: each open delivery takes the error as its own."""
        job = self._project.jobs.get(run.job)
        if not run.deliveries:
            held = isinstance(error, HeldError)
            return self._ledger.stop(claim, RunStatus.HELD if held else RunStatus.FAILED, error.message)
        for delivery in run.deliveries:
            if delivery.status in OPEN:
                run = self._settle(claim, run, job, delivery, error) if job else self._hold(claim, delivery, error)
        return run

    def _hold(self, claim: Claim, delivery: Delivery, error: AttemptError) -> Run:
        return self._ledger.settle(claim, delivery.id, DeliveryStatus.HELD, reason=error.message, error=error.info)

    def _settle(
        self, claim: Claim, run: Run, job: Job, delivery: Delivery, error: AttemptError, *, attempt: str | None = None
    ) -> Run:
        decision = retry.decide(
            job.retry,
            delivery.retries,
            error,
            self._ledger.now(),
            self._cutoff(run, job),
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
            error=error.info,
        )


def outcome_of(error: AttemptError) -> Outcome:
    """How an attempt that ended with `error` is recorded."""
    return {1: Outcome.PERMANENT, 3: Outcome.TRANSIENT, 4: Outcome.HELD}[int(error.exit_code)]
