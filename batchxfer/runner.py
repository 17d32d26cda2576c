"""One claimed run, from its definition to a recorded outcome: build the artifact once, deliver it to each endpoint.

Failures are decided by `retry` and recorded with their reason; only OwnershipLost and what is no AttemptError leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from batchxfer import naming, push, snapshots, spool
from batchxfer.activity import Activity, Listener
from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.definitions import AnyJob, EndpointOptions, FormatOptions, Guard, Job, PullJob
from batchxfer.errors import AttemptError, GuardTripped, HeldError, PastCutoff, TransientError
from batchxfer.growing import Growing, TakenBack
from batchxfer.headstart import HeadStart
from batchxfer.ids import new_id
from batchxfer.intake import PullAdapters
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
    Run,
)
from batchxfer.paths import PathError
from batchxfer.ports import Clock, Codec, Ledger, Query, Source
from batchxfer.puller import Puller
from batchxfer.resolve import Policy
from batchxfer.settling import OPEN, Settling, outcome_of
from batchxfer.shortages import shortages
from batchxfer.snapshots import Definition

_NOT_PUBLISHED = (FileStatus.PENDING, FileStatus.SENDING)


class Adapters(PullAdapters, Protocol):
    """What wiring finds by name."""

    def source(self, name: str) -> Source: ...

    def codec(self, options: FormatOptions, columns: tuple[Column, ...]) -> Codec: ...


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
        self._settling = Settling(project, ledger, environment)
        self._listener = listener or (lambda activity: None)
        self._puller = Puller(project, ledger, adapters, connections, clock, self._settling, self._listener)

    def execute(
        self,
        claim: Claim,
        run: Run,
        *,
        anew: bool = False,
        resend: bool = False,
        insist: bool = False,
        only: str | None = None,
    ) -> Run:
        """Do what is due of `run`; its deliveries say what came of it.

        `anew` takes today's definition for what was never begun; `resend` looks at what was delivered and sends what is gone;
        `insist` also tries an endpoint that refused a login and is left alone since; `only`: this endpoint alone.
        """
        job = self._project.jobs.get(run.job)
        if job is None:
            return self._settling.stop(
                claim, run, HeldError(f"job {run.job!r} is no longer there", hint="bring its file back")
            )
        if anew or run.snapshot is None:
            try:
                run = self._adopt(claim, run, job)
            except PathError as error:
                return self._settling.stop(claim, run, error)
        run = self._settling.hold_other_environments(claim, run)
        run = self._settling.hold_forgotten(claim, run, job)
        if not self._due(run, resend, only):
            return run
        try:
            self._settling.check_cutoff(run, job)
        except PastCutoff as error:
            return self._settling.too_late(claim, run, job, error)
        if isinstance(job, Job):
            run = self._ensure_artifact(claim, run, job, only)
        artifact = run.artifact
        for delivery in self._due(run, resend, only) if artifact or isinstance(job, PullJob) else ():
            known = self._ledger.pauses().get(f"@{delivery.endpoint}")
            paused = known is not None
            # A person's pause is nobody's to pass over.
            waits = known is not None and (known.until is None or not insist)
            pause = self._settling.pause_of(job, delivery) if waits else None
            if pause is None and isinstance(job, PullJob):
                run = self._puller.pull(claim, run, job, delivery, paused=paused)
            elif pause is None and isinstance(job, Job) and artifact is not None:
                run = self._deliver(claim, run, job, delivery, artifact, resend=resend, paused=paused)
            elif pause is not None and pause.until is not None:
                run = self._settling.wait(claim, delivery, pause.why, pause.until)
        return run

    def _due(self, run: Run, resend: bool, only: str | None) -> list[Delivery]:
        wanted = OPEN | {DeliveryStatus.DELIVERED} if resend else OPEN
        # What is pending may wait for a look, but not against a person's word.
        return [
            d
            for d in run.deliveries
            if d.status in wanted
            and only in (None, d.endpoint)
            and (d.status is DeliveryStatus.PENDING or d.retry_at is None or resend or d.retry_at <= self._ledger.now())
        ]

    def check_environment(self, name: str) -> None:
        """Raise WrongEnvironment where the endpoint is meant for another machine than this; no socket is opened."""
        self._settling.check_environment(name)

    def stop(self, claim: Claim, run: Run, error: AttemptError) -> Run:
        """Nothing of the run can go on: each open delivery takes the error as its own."""
        return self._settling.stop(claim, run, error)

    # what the run is

    def adopt(self, claim: Claim, run: Run) -> Run:
        """Make the run's deliveries by today's definition, and do nothing yet. Raises PathError."""
        return self._adopt(claim, run, self._project.jobs[run.job])

    def _adopt(self, claim: Claim, run: Run, job: AnyJob) -> Run:
        parameters = snapshots.todays_parameters(run, job)
        if parameters != run.parameters:
            run = self._ledger.set_parameters(claim, parameters)
        planned = naming.planned_deliveries(self._project, job, run.due, revision=run.revision, run=run.id)
        return self._ledger.adopt(claim, snapshots.take(self._project, job), planned)

    # building

    def _ensure_artifact(self, claim: Claim, run: Run, job: Job, only: str | None) -> Run:
        try:
            spool.check_there(self._project.spool)
        except AttemptError as error:
            return self._settling.stop(claim, run, error)
        if run.artifact is not None and not run.artifact.path.exists():
            if any(file.status is not FileStatus.PENDING for d in run.deliveries for file in d.files):
                return self._settling.stop(claim, run, self._lost_artifact(run.artifact))
            run = self._ledger.drop_artifact(claim)
        if run.artifact is None:
            return self._build(claim, run, job, only)
        tripped = self._guard(run, run.artifact, job)
        return self._settling.stop(claim, run, tripped) if tripped else run

    def _lost_artifact(self, artifact: Artifact) -> HeldError:
        return HeldError(
            f"the artifact {artifact.path} is gone, and some of it was sent before: querying again could give other bytes",
            hint="bring the file back from a backup, then: batchxfer retry RUN; or query again: batchxfer rerun RUN",
        )

    def _build(self, claim: Claim, run: Run, job: Job, only: str | None) -> Run:
        """Write the artifact, and let it through, or not. A large one is on its way to its first endpoint meanwhile."""
        attempt = self._ledger.begin_attempt(claim, None)
        first = self._first(run, job, only)
        send = None if first is None else partial(self._send_ahead, claim, run, job, first)
        with HeadStart(send) as ahead:
            try:
                with shortages("cannot build the file"):
                    artifact = self._write_artifact(run, job, ahead)
            except AttemptError as error:
                ahead.take_back(error)
                self._ledger.end_attempt(claim, attempt.id, outcome_of(error), error.info)
                return self._settling.stop(claim, self._fresh(run, ahead), error)
            run = self._ledger.record_artifact(claim, attempt.id, artifact)
            tripped = self._guard(run, artifact, job)
            if tripped:
                return self._settling.stop(claim, run, tripped)
            if first and ahead.has_begun and f"@{first.endpoint}" in self._ledger.pauses():
                ahead.take_back(TransientError(f"endpoint {first.endpoint!r} was paused while the file was built"))
            ahead.release(artifact)
            return self._fresh(run, ahead)

    def _fresh(self, run: Run, ahead: HeadStart) -> Run:
        return self._ledger.find_run(run.id) if ahead.has_begun else run

    def _first(self, run: Run, job: Job, only: str | None) -> Delivery | None:
        """The delivery that may begin while the file is built: the first, where its final name comes by a rename. What a guard
        may hold does not leave this machine before the guard has seen it."""
        if job.guard != Guard() and not run.guard_released:
            return None
        for delivery in self._due(run, resend=False, only=only)[:1]:
            options = self._project.config.endpoints.get(delivery.endpoint)
            renames = options is not None and options.publish == "rename"
            is_new = all(file.status in _NOT_PUBLISHED for file in delivery.files) and delivery.delivered_at is None
            return delivery if renames and is_new else None
        return None

    def _send_ahead(self, claim: Claim, run: Run, job: Job, delivery: Delivery, growing: Growing) -> None:
        """In a thread of its own. A pause is looked at when the file is there."""
        if f"@{delivery.endpoint}" not in self._ledger.pauses():
            self._deliver(claim, run, job, delivery, growing, resend=False, paused=False)

    def _write_artifact(self, run: Run, job: Job, follower: spool.Follower) -> Artifact:
        now = self._clock.now()
        identifier = new_id(now)
        folder = self._project.spool / run.job
        name = f"{run.due.slot:%Y%m%dT%H%M%SZ}-{identifier}"
        return self.write(run, folder / name, artifact=identifier, at=now, follower=follower)

    def write(
        self, run: Run, path: Path, *, artifact: str, at: datetime, follower: spool.Follower | None = None
    ) -> Artifact:
        """Query, and write the file of `run` to `path`, as its snapshot says. The ledger is not touched.

        Raises AttemptError."""
        # Arrow is imported where rows are.
        from batchxfer.layout import Encoder, takes_any_number

        definition = self._definition(run)
        source = self._adapters.source(definition.database)
        parameters = naming.query_parameters(run.job, run.due, run.parameters)
        query = Query(text=definition.query, parameters=parameters, any_number=takes_any_number(definition.format))
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
                follower=follower,
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

    def _guard(self, run: Run, artifact: Artifact, job: Job) -> GuardTripped | None:
        rows, guard = artifact.rows, job.guard
        low = guard.min_rows is not None and rows < guard.min_rows
        high = guard.max_rows is not None and rows > guard.max_rows
        if run.guard_released or not (low or high):
            return None
        limit = f"min_rows = {guard.min_rows}" if low else f"max_rows = {guard.max_rows}"
        return GuardTripped(
            f"{rows:,} rows, and the job's [guard] has {limit}: nothing was sent",
            hint=f"look at it with: batchxfer show {run.id}; send it with: batchxfer release {run.id}",
        )

    # delivering

    def _deliver(
        self,
        claim: Claim,
        run: Run,
        job: Job,
        delivery: Delivery,
        artifact: Artifact | Growing,
        *,
        resend: bool,
        paused: bool,
    ) -> Run:
        attempt = self._ledger.begin_attempt(claim, delivery.endpoint)
        # Delivered once and open again: a resend that did not come to its end still has to look.
        again = resend or delivery.delivered_at is not None
        try:
            with shortages(f"endpoint {delivery.endpoint!r}: cannot send"):
                evidence = self._try(claim, run, job, delivery, artifact, attempt.id, resend=again, paused=paused)
        except TakenBack as taken:
            # Where the process is asked to end, the attempt ends with its claim.
            if taken.error is not None:
                self._ledger.end_attempt(claim, attempt.id, outcome_of(taken.error), taken.error.info)
            return run
        except AttemptError as error:
            return self._settling.failed(claim, run, job, delivery, attempt.id, error)
        return self._ledger.settle(
            claim,
            delivery.id,
            DeliveryStatus.DELIVERED,
            attempt=attempt.id,
            outcome=Outcome.DELIVERED,
            evidence=evidence,
        )

    def _try(
        self,
        claim: Claim,
        run: Run,
        job: Job,
        delivery: Delivery,
        artifact: Artifact | Growing,
        attempt: str,
        *,
        resend: bool,
        paused: bool,
    ) -> Evidence:
        options = self._settling.endpoint(delivery.endpoint)
        self._settling.check_environment(delivery.endpoint)

        def record(role: FileRole, status: FileStatus, **facts: object) -> None:
            self._ledger.record_file(claim, delivery.id, role, status, **facts)  # type: ignore[arg-type]

        def progress(done: int) -> None:
            # While it is built, that is what is shown.
            if isinstance(artifact, Growing) and not artifact.is_released:
                return
            self._listener(
                Activity(
                    stage="sending",
                    run=run,
                    bytes=done,
                    total=artifact.bytes if isinstance(artifact, Artifact) else artifact.size,
                    endpoint=delivery.endpoint,
                    path=delivery.path,
                )
            )

        with self._connections.session(delivery.endpoint) as session:
            if paused:
                self._ledger.accept_login(delivery.endpoint)
            if isinstance(artifact, Growing):
                artifact.hold_deadline(session)
            try:
                return push.deliver(
                    session,
                    delivery,
                    artifact,
                    self._agreement(run, delivery, options),
                    record,
                    attempt=attempt,
                    resend=resend,
                    progress=progress,
                    before_publish=lambda: self._settling.check_cutoff(run, job),
                )
            except TakenBack as exc:
                taken = exc
        # Nothing is wrong with the session: the next delivery gets it.
        raise taken

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
