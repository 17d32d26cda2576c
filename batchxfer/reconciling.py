"""After a ledger was put back from a backup: look at the endpoints for what it may have forgotten, and let the rest go.

What lies under a run's final name is recorded as delivered, with what was read back; what does not is released, and runs as
it would have; what cannot be told stays held, with the question to ask. A partner's files that the ledger does not know, and
that may have been taken, become files of the run that is held. Nothing is sent, fetched or loaded here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from batchxfer import naming, pull
from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.definitions import AnyJob, PullJob
from batchxfer.errors import AttemptError, BatchxferError, BusyError, HeldError, LedgerRestored
from batchxfer.facts import Restored
from batchxfer.judging import Kept, Sight, Verdict, judge, judge_pull
from batchxfer.model import (
    Claim,
    Delivery,
    DeliveryStatus,
    Due,
    Evidence,
    FetchStatus,
    FileRole,
    FileStatus,
    Run,
    RunStatus,
    SeenFile,
)
from batchxfer.ports import Clock, Ledger, Session
from batchxfer.resolve import Seen
from batchxfer.runner import Runner
from batchxfer.settling import OPEN, RECONCILED, forgotten
from batchxfer.sights import check_root, files_of_earlier_slots, files_of_slot, seen_at, sight
from batchxfer.suspects import Suspect, Suspects, Wanted
from batchxfer.ticking import Ticker
from batchxfer.worker import Worker

_BUSY_SECONDS = 10
_RUNS_BEFORE = 5
_STEP_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of one delivery. `error` is why nobody could look; `unknown` are a partner's files that the ledger does
    not know."""

    endpoint: str
    path: str
    verdict: Verdict
    reason: str
    bytes: int | None = None
    sha256: str | None = None
    server_key: str | None = None
    unknown: Sequence[SeenFile] = ()
    error: BatchxferError | None = None


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """One run (None where it is not planned yet) that the ledger may have forgotten, what was seen of it, and how it stands
    now."""

    job: str
    due: Due
    run: Run | None
    looks: tuple[Look, ...]

    @property
    def verdict(self) -> Verdict:
        """The one that matters most."""
        order = (Verdict.NOT_LOOKED, Verdict.UNDECIDED, Verdict.ABSENT, Verdict.FOUND)
        return min((look.verdict for look in self.looks), key=order.index, default=Verdict.ABSENT)


class Reconciler:
    """Reconciles one project's ledger. Used by one thread."""

    def __init__(
        self,
        project: Project,
        ledger: Ledger,
        runner: Runner,
        worker: Worker,
        connections: Connections,
        clock: Clock,
        restored: Restored,
    ) -> None:
        self._project = project
        self._ledger = ledger
        self._runner = runner
        self._worker = worker
        self._connections = connections
        self._clock = clock
        self._restored = restored
        self._suspects = Suspects(project, ledger, restored)
        self._unreachable: dict[str, BatchxferError] = {}

    def look(self, only: Collection[str] = ()) -> Iterator[Reconciled]:
        """What would be done: the endpoints are looked at, and nothing is recorded."""
        suspects = [*self._suspects.known(only), *self._suspects.unplanned(only)]
        yield from map(self._seen_of, suspects)
        yield from self._not_owed(only, suspects)

    def reconcile(self, only: Collection[str] = ()) -> Iterator[Reconciled]:
        """Plan what came due since, look, and record."""
        Ticker(self._project, self._ledger, restored=self._restored).tick()
        suspects = self._suspects.known(only)
        for suspect in suspects:
            yield self._record(self._seen_of(suspect))
        for seen in self._not_owed(only, suspects):
            run = self._ledger.ensure_run(seen.job, seen.due, self._project.jobs[seen.job].parameters)
            yield self._record(replace(seen, run=run))

    def end(self) -> bool:
        """End it where every run that may be forgotten was looked at; whether it is over."""
        if self._suspects.known():
            return False
        self._ledger.end_restored()
        return True

    def _not_owed(self, only: Collection[str], suspects: Collection[Suspect]) -> Iterator[Reconciled]:
        """What was done by hand, and would not be done again by itself: told where something of it is there."""
        done = {(suspect.job, suspect.due.slot) for suspect in suspects}
        built = [each for each in self._suspects.built(only) if (each.job, each.due.slot) not in done]
        for suspect in [*built, *self._pulls_by_hand(only, {suspect.job for suspect in suspects})]:
            seen = self._seen_of(suspect)
            if seen.verdict is not Verdict.ABSENT:
                yield seen

    def _pulls_by_hand(self, only: Collection[str], seen: Collection[str]) -> Iterator[Suspect]:
        """A slot for each pull without schedule: what is there would be taken by whoever runs it next."""
        now = self._clock.now().replace(microsecond=0)
        for name, job in self._project.jobs.items():
            if isinstance(job, PullJob) and job.schedule is None and name not in seen and (not only or name in only):
                yield self._suspects.by_hand(job, self._project.timetable_of(job).by_hand(now))

    # looking

    def _seen_of(self, suspect: Suspect) -> Reconciled:
        looks = tuple(self._look(suspect, wanted) for wanted in suspect.deliveries)
        return Reconciled(job=suspect.job, due=suspect.due, run=suspect.run, looks=looks)

    def _look(self, suspect: Suspect, wanted: Wanted) -> Look:
        job, path = self._project.jobs[suspect.job], wanted.files[0][1]
        try:
            self._check_may_look(wanted.endpoint)
            with self._connections.session(wanted.endpoint) as session:
                check_root(session, wanted.endpoint)
                if isinstance(job, PullJob):
                    return self._look_for_files(session, job, suspect, wanted)
                return self._look_at_name(session, suspect, wanted)
        except AttemptError as error:
            self._unreachable[wanted.endpoint] = error
            verdict = Verdict.NOT_LOOKED
            return Look(endpoint=wanted.endpoint, path=path, verdict=verdict, reason=error.message, error=error)

    def _check_may_look(self, name: str) -> None:
        if name in self._unreachable:
            raise self._unreachable[name]
        if name not in self._project.config.endpoints:
            raise HeldError(f"endpoint {name!r} is no longer in config.toml", hint="bring it back, then reconcile")
        self._runner.check_environment(name)
        pause = self._ledger.pauses().get(f"@{name}")
        if pause is not None and pause.until is None:
            hint = f"batchxfer resume @{name}, then reconcile"
            raise HeldError(f"endpoint {name!r} is paused: {pause.why}", hint=hint)

    def _look_at_name(self, session: Session, suspect: Suspect, wanted: Wanted) -> Look:
        path = wanted.files[0][1]
        data = sight(session, path)
        sidecars = {other: seen_at(session, other) for _, other in wanted.files[1:]}
        kept = self._kept(suspect, wanted, data)
        leaves = self._leaves_files(session, suspect.job, wanted) if data.seen is Seen.ABSENT else None
        said = judge(wanted.name, data, sidecars, kept, leaves_files=leaves)
        return Look(
            endpoint=wanted.endpoint,
            path=path,
            verdict=said.verdict,
            reason=said.reason,
            bytes=data.bytes,
            sha256=data.sha256,
            server_key=session.server_key,
        )

    def _kept(self, suspect: Suspect, wanted: Wanted, data: Sight) -> Kept:
        """What the spool says of the slot, and of what is there."""
        folder, slot = self._project.spool / suspect.job, suspect.due.slot
        ours, earlier = files_of_slot(folder, slot), {}
        artifact = suspect.run.artifact if suspect.run else None
        if artifact is not None:
            ours[artifact.sha256] = f"{suspect.job}/{artifact.path.name}"
        if data.bytes is not None and not wanted.name.tells_slot:
            earlier = files_of_earlier_slots(folder, slot, data.bytes)
        pruned = self._restored.at - slot > self._project.config.keep_artifacts
        return Kept(ours=ours, earlier=earlier, is_whole=not self._restored.declared and not pruned)

    def _leaves_files(self, session: Session, job: str, wanted: Wanted) -> bool | None:
        """Whether the newest file that is known to have been delivered there still is."""
        for run in self._ledger.runs(job=job, status=RunStatus.DELIVERED, limit=_RUNS_BEFORE):
            for delivery in run.deliveries:
                if delivery.endpoint == wanted.endpoint and delivery.path != wanted.files[0][1]:
                    return seen_at(session, delivery.path) is Seen.THERE
        return None

    def _look_for_files(self, session: Session, job: PullJob, suspect: Suspect, wanted: Wanted) -> Look:
        # A run that has files of its own goes on with these, and takes no others.
        has_files = suspect.run is not None and any(file.status in _ON_THEIR_WAY for file in suspect.run.files)
        unknown = () if has_files else tuple(self._unknown(session, job, wanted))
        said = judge_pull([file.path for file in unknown])
        return Look(
            endpoint=wanted.endpoint,
            path=wanted.files[0][1],
            verdict=said.verdict,
            reason=said.reason,
            server_key=session.server_key,
            unknown=unknown,
        )

    def _unknown(self, session: Session, job: PullJob, wanted: Wanted) -> Iterator[SeenFile]:
        agreement = naming.pull_agreement(wanted.files[0][1], job.file)
        found = pull.look(session, agreement).files
        known = self._ledger.known_files(job.name, wanted.endpoint, found)
        for path, file in sorted(found.items()):
            before = known.get(path)
            if before is None or before.gone or (before.size, before.modified) != (file.size, file.modified):
                yield file

    # recording

    def _record(self, seen: Reconciled) -> Reconciled:
        assert seen.run is not None  # noqa: S101 - it is planned
        for patience in range(int(_BUSY_SECONDS / _STEP_SECONDS), -1, -1):
            try:
                with self._worker.claimed(seen.run.id) as claim:
                    self._record_looks(claim, seen, seen.run.status is RunStatus.SKIPPED)
                break
            except BusyError as error:
                if not patience:
                    busy = {"verdict": Verdict.NOT_LOOKED, "reason": error.message, "error": error}
                    return replace(seen, looks=tuple(replace(look, **busy) for look in seen.looks))  # type: ignore[arg-type]
                self._clock.sleep(_STEP_SECONDS)
        return replace(seen, run=self._ledger.find_run(seen.run.id))

    def _record_looks(self, claim: Claim, seen: Reconciled, was_skipped: bool) -> None:
        run, job = self._ledger.find_run(claim.run), self._project.jobs[seen.job]
        if run.snapshot is None and (seen.verdict is not Verdict.ABSENT if not was_skipped else _is_any_found(seen)):
            run = self._runner.adopt(claim, run)
        for delivery in run.deliveries:
            look = next((look for look in seen.looks if look.endpoint == delivery.endpoint), None)
            if look is None or delivery.status is DeliveryStatus.DELIVERED:
                continue
            if look.verdict is Verdict.FOUND:
                self._found(claim, delivery, look)
            elif not was_skipped:
                self._not_found(claim, run, job, delivery, look)
        if seen.verdict is not Verdict.NOT_LOOKED:
            looks = {look.endpoint: f"{look.verdict}: {look.reason}" for look in seen.looks}
            self._ledger.add_event(run.id, RECONCILED, {"looks": looks})

    def _found(self, claim: Claim, delivery: Delivery, look: Look) -> None:
        if delivery.status not in OPEN:
            self._ledger.settle(claim, delivery.id, DeliveryStatus.PENDING)
        for file in delivery.files:
            is_data = file.role is FileRole.DATA
            self._ledger.record_file(
                claim,
                delivery.id,
                file.role,
                FileStatus.PUBLISHED,
                size=look.bytes if is_data else None,
                sha256=look.sha256 if is_data else None,
            )
        evidence = Evidence(how="looked", detail=look.reason, server_key=look.server_key)
        self._ledger.settle(claim, delivery.id, DeliveryStatus.DELIVERED, evidence=evidence)

    def _not_found(self, claim: Claim, run: Run, job: AnyJob, delivery: Delivery, look: Look) -> None:
        if look.verdict is Verdict.ABSENT:
            if delivery.error is not None and delivery.error.kind == LedgerRestored.kind:
                self._ledger.settle(claim, delivery.id, DeliveryStatus.PENDING)
        elif delivery.status in OPEN or delivery.status is DeliveryStatus.HELD:
            if look.unknown:
                self._ledger.see(claim, delivery.endpoint, look.unknown)
            error = self._question(run, job, delivery, look)
            self._ledger.settle(claim, delivery.id, DeliveryStatus.HELD, reason=error.message, error=error.info)

    def _question(self, run: Run, job: AnyJob, delivery: Delivery, look: Look) -> HeldError:
        is_pull = isinstance(job, PullJob)
        if look.error is not None:
            return forgotten(delivery, self._restored, is_pull=is_pull, why=look.error.message)
        if isinstance(job, PullJob):
            loaded = f", and table {job.load.table}" if job.load else ""
            return HeldError(
                f"endpoint {look.endpoint!r}: the ledger was put back from a backup: {look.reason}",
                hint=f"look into {job.file.into}{loaded}: if they were taken, batchxfer accept {run.id} --why TEXT; "
                f"if not, batchxfer retry {run.id}",
            )
        return HeldError(
            f"endpoint {look.endpoint!r}: {look.path} may have been sent before the ledger was put back: {look.reason}",
            hint=f"ask the partner: if it arrived, batchxfer accept {run.id} --why TEXT; if not, batchxfer retry {run.id}",
        )


_ON_THEIR_WAY = frozenset({FetchStatus.SEEN, FetchStatus.FETCHED, FetchStatus.LOADED, FetchStatus.DONE})


def _is_any_found(seen: Reconciled) -> bool:
    return any(look.verdict is Verdict.FOUND for look in seen.looks)
