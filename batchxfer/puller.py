"""One claimed pull, from its glob to a recorded outcome: look, fetch, load, and do with the remote files what was agreed.

Each file goes seen → fetched → loaded → done, its intent in the ledger before each step, so that an attempt that follows a
crash goes on where the last one was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batchxfer import load, naming, paths, pull, snapshots
from batchxfer.activity import Activity, Listener
from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.definitions import FormatOptions, PullJob
from batchxfer.errors import (
    AttemptError,
    DeadlineError,
    GuardTripped,
    HeldError,
    LoadError,
    NetworkError,
    UnreadableFile,
)
from batchxfer.inbox import Arrival, whole
from batchxfer.model import (
    Claim,
    Column,
    Delivery,
    DeliveryStatus,
    Evidence,
    FetchedFile,
    FetchStatus,
    Outcome,
    Run,
    SeenFile,
    TargetColumn,
)
from batchxfer.ports import Clock, Decoder, FileStat, Ledger, LoadKey, Session, Target
from batchxfer.settling import Settling
from batchxfer.shortages import shortages
from batchxfer.snapshots import PullDefinition

if TYPE_CHECKING:
    from batchxfer.decoding import Reading

TAKEN = frozenset({FetchStatus.SEEN, FetchStatus.FETCHED, FetchStatus.LOADED, FetchStatus.DONE})
ACCEPTED = TAKEN - {FetchStatus.SEEN}
POLL = timedelta(minutes=5)
BAD_RECORDS = ".bad.jsonl"
_REFUSED_BY_LOAD = frozenset({UnreadableFile.kind, LoadError.kind, GuardTripped.kind})
SLOWER = 50
"""What is missing for so long is looked for after a fiftieth of that time."""


class PullAdapters(Protocol):
    """What wiring finds by name."""

    def target(self, name: str) -> Target: ...

    def decoder(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> Decoder: ...

    def format(self, text: str) -> FormatOptions:
        """A format from its JSON text, as a snapshot keeps it."""


@dataclass(frozen=True, kw_only=True)
class _Pull:
    """What one attempt works with."""

    claim: Claim
    job: PullJob
    delivery: Delivery
    definition: PullDefinition
    agreement: pull.Agreement
    facts: Mapping[str, object]
    where: str


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
        self._clock = clock
        self._settling = settling
        self._listener = listener

    def pull(self, claim: Claim, run: Run, job: PullJob, delivery: Delivery, *, paused: bool) -> Run:
        """One attempt. A look that finds nothing yet is none: only failures, and what was fetched, are recorded as attempts."""
        attempt = _Attempt(self._ledger, claim, delivery)
        waits: str | None = None
        try:
            this = self._prepare(claim, run, job, delivery)
            with shortages(f"{this.where}: cannot fetch"):
                run = self._bring(this, run, attempt, paused=paused)
        except _Waiting as waiting:
            waits = str(waiting)
        except AttemptError as error:
            return self._settling.failed(claim, self._again(run), job, delivery, attempt.begun().id, error)
        # Beyond the `try`: where nobody knows whether the end was recorded, nothing else is said of this attempt.
        return self._deliver(this, run, attempt) if waits is None else self._wait(this, run, waits, attempt)

    def _again(self, run: Run) -> Run:
        return self._ledger.find_run(run.id)

    def _prepare(self, claim: Claim, run: Run, job: PullJob, delivery: Delivery) -> _Pull:
        self._settling.endpoint(delivery.endpoint)
        definition = snapshots.read_pull(run, self._adapters.format)
        file = definition.file
        return _Pull(
            claim=claim,
            job=job,
            delivery=delivery,
            definition=definition,
            agreement=naming.pull_agreement(delivery.path, file),
            facts=naming.pull_facts(self._project, job, run.due, delivery.endpoint),
            where=f"endpoint {delivery.endpoint!r}",
        )

    # --- the whole way ---------------------------------------------------------------------------

    def _bring(self, this: _Pull, run: Run, attempt: _Attempt, *, paused: bool) -> Run:
        """Look, fetch, load, and what becomes of the files then; the run as it is afterwards."""
        failure: AttemptError | None = None
        notes: list[str] = []
        if _was_refused_by_load(run) and not paused:
            run = self._look_for_mended(this, run)
        if _needs_session(run):
            with self._connections.session(this.delivery.endpoint) as session:
                if paused:
                    self._ledger.accept_login(this.delivery.endpoint)
                run = self._look(this, run, session, notes)
                failure = self._fetch_all(this, run, session, attempt)
            run = self._again(run)
        if failure is None or not _is_one_load(this):
            run, load_failure = self._load_all(this, run, attempt)
            failure = failure or load_failure
            self._finish_all(this, run, attempt)
            run = self._again(run)
        if failure is not None:
            raise failure
        if this.definition.file.expect != "any" and not _accepted(run):
            raise _Waiting("; ".join([f"no file matches {this.delivery.path} yet", *notes]))
        return run

    def _wait(self, this: _Pull, run: Run, reason: str, attempt: _Attempt) -> Run:
        """Look again after `poll`; the longer it is missing, the more rarely."""
        now, schedule = self._ledger.now(), this.job.schedule
        poll = schedule.poll if schedule is not None else POLL
        later = now + max(poll, (now - run.due.slot) / SLOWER)
        attempt.end(Outcome.TRANSIENT)
        return self._ledger.settle(this.claim, this.delivery.id, DeliveryStatus.PENDING, reason=reason, retry_at=later)

    def _deliver(self, this: _Pull, run: Run, attempt: _Attempt) -> Run:
        files = [file for file in run.files if file.status in ACCEPTED]
        rows = sum(file.rows or 0 for file in files)
        refused = [file for file in run.files if file.status is FetchStatus.REFUSED]
        words = [f"{len(files)} fetched"]
        words += [f"{rows:,} {'row' if rows == 1 else 'rows'} loaded"] if this.definition.load else []
        bad = sum(file.bad_rows or 0 for file in files)
        words += [f"{bad:,} bad {'record' if bad == 1 else 'records'} put aside"] if bad else []
        words += [f"{len(refused)} refused, such as {refused[0].path}: {refused[0].reason}"] if refused else []
        evidence = Evidence(how="fetched", detail=", ".join(words), server_key=attempt.server_key)
        return self._ledger.settle(
            this.claim,
            this.delivery.id,
            DeliveryStatus.DELIVERED,
            attempt=attempt.id,
            outcome=Outcome.DELIVERED if attempt.id else None,
            evidence=evidence,
        )

    # --- looking ---------------------------------------------------------------------------------

    def _look(self, this: _Pull, run: Run, session: Session, notes: list[str]) -> Run:
        """Record what is there and may be taken. A run that has files already goes on with these."""
        if any(file.status in TAKEN for file in run.files) or run.revision > 1:
            return run
        if (newer := self._newer_slot(this, run)) is not None:
            notes.append(f"the slot {newer} has come since, and takes what is there")
            return run
        found = pull.look(session, this.agreement)
        known = self._ledger.known_files(run.job, this.delivery.endpoint, [*found.files, *_paths(found.refused)])
        wanted = [file for file in found.files.values() if _is_new(file, known.get(file.path))]
        stable = self._stable(this, session, wanted, notes)
        taken = self._choose(this, run, stable, notes)
        refused = [file for file in found.refused if not _was_refused(file, known.get(file.path))]
        if taken or refused:
            run = self._ledger.see(this.claim, this.delivery.endpoint, [*taken, *refused])
        return run

    def _look_for_mended(self, this: _Pull, run: Run) -> Run:
        """Of files that no load would take, those that the partner has put another in place of are fetched anew.

        Where nobody can look, what is here is loaded: the format, or the table, may have been mended instead.
        """
        with suppress(AttemptError), self._connections.session(this.delivery.endpoint) as session:
            for file in run.files:
                if file.status is FetchStatus.FETCHED and file.reason and (now := _other(this, session, file)):
                    facts = {"size": now.size, "modified": now.modified, "local_path": None, "sha256": None}
                    self._ledger.record_fetch(this.claim, file.id, FetchStatus.SEEN, reason=None, **facts)
        return self._again(run)

    def _newer_slot(self, this: _Pull, run: Run) -> str | None:
        """The latest slot takes what is there, where the names do not say whose they are."""
        if naming.is_dated(this.job):
            return None
        newest = next(iter(self._ledger.runs(job=run.job, limit=1)), None)
        if newest is None or newest.due.slot <= run.due.slot:
            return None
        return newest.due.slot.astimezone(self._project.zone_of(this.job)).isoformat()

    def _stable(self, this: _Pull, session: Session, wanted: list[SeenFile], notes: list[str]) -> list[SeenFile]:
        """Those that are complete: by their done file, or by staying as they are."""
        present = pull.ready(session, this.agreement, wanted) if this.agreement.has_sidecars else wanted
        if len(present) < len(wanted):
            notes.append(f"{len(wanted) - len(present)} without their done or checksum file")
        if not present or this.agreement.done_file is not None:
            return present
        began, stable_for = self._clock.now(), this.definition.file.stable_for
        session.end_attempt()
        self._clock.sleep(stable_for.total_seconds())
        session.begin_attempt()
        # A process that is asked to end sleeps less, and has seen nothing then.
        waited = self._clock.now() - began >= stable_for
        stable = pull.unchanged(present, pull.look(session, this.agreement)) if waited else []
        if len(stable) < len(present):
            notes.append(f"{len(present) - len(stable)} still changing")
        return stable

    def _choose(self, this: _Pull, run: Run, stable: list[SeenFile], notes: list[str]) -> list[SeenFile]:
        ordered = sorted(stable, key=pull.by_age)
        if this.definition.file.expect != "once" or len(ordered) <= 1:
            return ordered
        if not naming.is_dated(this.job):
            notes.append(f"{len(ordered) - 1} more are left for later slots")
            return ordered[:1]
        if run.guard_released:
            return ordered
        raise HeldError(
            f"{this.where}: {len(ordered)} files match {this.delivery.path}, and the job expects one: "
            + ", ".join(file.path for file in ordered[:3]),
            hint=f'take them all with: batchxfer release {run.id}; or write expect = "some"',
        )

    # --- fetching --------------------------------------------------------------------------------

    def _fetch_all(self, this: _Pull, run: Run, session: Session, attempt: _Attempt) -> AttemptError | None:
        """Fetch what was seen. What concerns one file alone keeps no other from being fetched: the first such error."""
        failure: AttemptError | None = None
        for file in run.files:
            if file.status is not FetchStatus.SEEN:
                continue
            attempt.begun(session.server_key)
            try:
                self._fetch(this, run, file, session)
            except pull.Gone:
                reason = "it was gone before it could be fetched"
                self._ledger.record_fetch(this.claim, file.id, FetchStatus.SKIPPED, reason=reason)
            except (NetworkError, DeadlineError):
                raise
            except AttemptError as error:
                self._ledger.record_fetch(this.claim, file.id, FetchStatus.SEEN, reason=error.message)
                failure = failure or error
                if not session.alive:
                    break
        return failure

    def _fetch(self, this: _Pull, run: Run, file: FetchedFile, session: Session) -> None:
        arrival = self._arrival(this, file)
        if file.local_path and file.sha256 and arrival.accepted(file.local_path, file.sha256):
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.FETCHED, reason=None)
            return
        file = self._settled_again(this, file, session, arrival)
        pull.fetch(session, this.where, file, this.agreement, arrival, progress=partial(self._tell, this, run, file))
        if (reason := self._unwanted(this, run, file, arrival.sha256)) is not None:
            arrival.discard()
            facts = {"reason": reason, "bytes": arrival.bytes, "sha256": arrival.sha256}
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.SKIPPED, **facts)
            return
        facts = {"bytes": arrival.bytes, "sha256": arrival.sha256}

        def intend(name: Path) -> None:
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.SEEN, local_path=name, **facts)

        path = arrival.accept(intend)
        self._ledger.record_fetch(this.claim, file.id, FetchStatus.FETCHED, local_path=path, reason=None)

    def _arrival(self, this: _Pull, file: FetchedFile) -> Arrival:
        into = this.definition.file.into
        name = paths.split(file.path)[1]
        if name.endswith(BAD_RECORDS):
            # Else another file's bad records could be put in its place.
            name += ".fetched"
        target = paths.render_taken(paths.parse_taken(into.removeprefix("/"), this.job.name), this.facts, name)
        return Arrival(Path("/", target) if into.startswith("/") else self._project.folder / target, file.file)

    def _settled_again(self, this: _Pull, file: FetchedFile, session: Session, arrival: Arrival) -> FetchedFile:
        """The file as it is now: one that changed since it was seen must be stable anew. Raises Gone, Changed."""
        try:
            pull.check_unchanged(session, this.where, file)
        except pull.Gone:
            raise
        except pull.Changed:
            seen = session.stat(file.path)
            notes: list[str] = []
            now = [] if seen is None else [SeenFile(path=file.path, size=seen.size, modified=seen.modified)]
            if seen is None or seen.kind != "file" or not self._stable(this, session, now, notes):
                raise
            arrival.discard()
            facts = {"size": seen.size, "modified": seen.modified}
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.SEEN, **facts)
            return replace(file, size=seen.size, modified=seen.modified)
        return file

    def _unwanted(self, this: _Pull, run: Run, file: FetchedFile, sha256: str) -> str | None:
        """Why the file is left alone now that its bytes are known; None where it is taken. Raises HeldError."""
        before = self._ledger.previous_version(run.job, file.endpoint, file.path, file.file)
        if before is not None and not before.gone:
            if before.sha256 == sha256:
                return f"the same bytes as run {before.run} took from this path"
            return self._policy(this, run, file, "changed", f"other bytes than run {before.run} took from this path")
        same = self._ledger.same_content(run.job, sha256, file.file)
        if same is not None and same.path != file.path:
            return self._policy(
                this, run, file, "same_content", f"the same bytes as {same.path}, which run {same.run} took"
            )
        return None

    def _policy(self, this: _Pull, run: Run, file: FetchedFile, key: str, what: str) -> str | None:
        policy = getattr(this.definition.file, key)
        if policy == "skip":
            return f'{what}, and {key} = "skip"'
        if policy == "hold" and not run.guard_released:
            raise HeldError(
                f'{this.where}: {file.path} has {what}, and {key} = "hold"',
                hint=f"take it with: batchxfer release {run.id}; or leave it with: batchxfer exclude {run.id} --why …",
            )
        return None

    def _tell(self, this: _Pull, run: Run, file: FetchedFile, done: int) -> None:
        self._listener(
            Activity(
                stage="fetching",
                run=run,
                bytes=done,
                total=file.size,
                endpoint=this.delivery.endpoint,
                path=file.path,
            )
        )

    # --- loading ---------------------------------------------------------------------------------

    def _load_all(self, this: _Pull, run: Run, attempt: _Attempt) -> tuple[Run, AttemptError | None]:
        """Load what was fetched, in its order; the first that fails stops those after it."""
        files = [file for file in run.files if file.status is FetchStatus.FETCHED]
        options = this.definition.load
        if not files or options is None:
            return run, None
        attempt.begun()
        groups = [files] if _is_one_load(this) else [[file] for file in files]
        for group in groups:
            try:
                self._load(this, run, group)
            except AttemptError as error:
                for file in group:
                    self._ledger.record_fetch(this.claim, file.id, FetchStatus.FETCHED, reason=error.message)
                return self._again(run), error
        return self._again(run), None

    def _load(self, this: _Pull, run: Run, files: Sequence[FetchedFile]) -> None:
        options = this.definition.load
        assert options is not None  # noqa: S101 - asked before
        guard = None if run.guard_released else this.job.guard
        pieces = [self._piece(this, run, file) for file in files]
        loaded = load.load(
            self._adapters.target(options.database),
            pieces,
            options,
            guard,
            hint=f"look at it with: batchxfer show {run.id}; load it with: batchxfer release {run.id}",
            progress=lambda rows: self._listener(Activity(stage="loading", run=run, bytes=0, rows=rows, total=None)),
        )
        for file, piece, one in zip(files, pieces, loaded, strict=True):
            bad_path = piece.bad_path if one.counts.bad_rows else None
            facts = {"rows": one.counts.rows, "bad_rows": one.counts.bad_rows, "bad_path": bad_path}
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.LOADED, reason=None, **facts)

    def _piece(self, this: _Pull, run: Run, file: FetchedFile) -> load.Piece:
        local = file.local_path
        if local is None:
            raise HeldError(
                f"the fetched file of {file.path} is not known", hint="exclude the run, and fetch it by hand"
            )
        ending = BAD_RECORDS if run.revision == 1 else f".r{run.revision}{BAD_RECORDS}"

        def opened(table: Sequence[TargetColumn], patient: bool) -> Reading:
            # Arrow is imported where rows are.
            from batchxfer.decoding import Reading

            options, layout = this.definition.load, this.definition.format
            assert options is not None  # noqa: S101 - asked before
            assert layout is not None  # noqa: S101 - a load without a format is refused
            database = self._project.config.databases[options.database]
            return Reading(
                whole(local, file.sha256),
                layout,
                self._adapters.decoder,
                table,
                compress=this.definition.file.compress,
                facts=this.facts,
                naive_zone=database.timezone,
                patient=patient,
            )

        return load.Piece(
            key=LoadKey(project=self._ledger.project_id, file=file.file, revision=run.revision),
            name=file.path,
            open=opened,
            bad_path=local.with_name(local.name + ending),
        )

    # --- what becomes of the remote files --------------------------------------------------------

    def _finish_all(self, this: _Pull, run: Run, attempt: _Attempt) -> None:
        """Do what was agreed with the remote file of each that is loaded (or, where nothing is loaded, fetched)."""
        last = FetchStatus.LOADED if this.definition.load else FetchStatus.FETCHED
        files = [file for file in run.files if file.status is last]
        if not files:
            return
        attempt.begun()
        if this.definition.file.then == "leave" or run.revision > 1:
            for file in files:
                self._ledger.record_fetch(this.claim, file.id, FetchStatus.DONE)
            return
        with self._connections.session(this.delivery.endpoint) as session:
            for file in files:
                self._finish(this, file, session, last)

    def _finish(self, this: _Pull, file: FetchedFile, session: Session, last: FetchStatus) -> None:
        if this.definition.file.then == "delete":
            note = pull.remove(session, this.where, file, this.agreement)
        else:
            note = self._move(this, file, session, last)
        gone = note is None
        self._ledger.record_fetch(this.claim, file.id, FetchStatus.DONE, reason=note, gone=gone)

    def _move(self, this: _Pull, file: FetchedFile, session: Session, last: FetchStatus) -> str | None:
        template = paths.parse_taken(this.definition.file.move_to or "", this.job.name)
        target = paths.render_taken(template, this.facts, paths.split(file.path)[1])
        options = self._settling.endpoint(this.delivery.endpoint)

        def intend(name: str) -> None:
            self._ledger.record_fetch(this.claim, file.id, last, moved_to=name)

        given = naming.folders_given(options, template)
        return pull.move(session, this.where, file, this.agreement, target, given, intend)


class _Attempt:
    """The attempt of a pull, which begins once there is something to record."""

    def __init__(self, ledger: Ledger, claim: Claim, delivery: Delivery) -> None:
        self._ledger = ledger
        self._claim = claim
        self._delivery = delivery
        self._attempt: str | None = None
        self._failure: AttemptError | None = None
        self.server_key: str | None = None

    @property
    def id(self) -> str | None:
        return self._attempt

    def begun(self, server_key: str | None = None) -> _Begun:
        self.server_key = server_key or self.server_key
        if self._failure is not None:
            raise self._failure
        if self._attempt is None:
            try:
                self._attempt = self._ledger.begin_attempt(self._claim, self._delivery.endpoint).id
            except AttemptError as error:
                # It may have begun all the same: nothing more is said to the ledger under this claim.
                self._failure = error
                raise
        return _Begun(self._attempt)

    def end(self, outcome: Outcome) -> None:
        if self._attempt is not None:
            self._ledger.end_attempt(self._claim, self._attempt, outcome)


@dataclass(frozen=True)
class _Begun:
    id: str


def _was_refused_by_load(run: Run) -> bool:
    """Whether the last thing that was done was a load that nothing came of."""
    error = run.attempts[-1].error if run.attempts and run.revision == 1 else None
    return error is not None and error.kind in _REFUSED_BY_LOAD


def _other(this: _Pull, session: Session, file: FetchedFile) -> FileStat | None:
    """What is at a file's path instead of it; whether it stays so is seen when it is fetched."""
    now = session.stat(file.path)
    if now is None or now.kind != "file" or now.size > this.agreement.max_bytes:
        return None
    return None if (now.size, now.modified) == (file.size, file.modified) else now


def _needs_session(run: Run) -> bool:
    """Whether there is something to look for, or to fetch."""
    return not any(file.status in TAKEN for file in run.files) or any(
        file.status is FetchStatus.SEEN for file in run.files
    )


def _is_one_load(this: _Pull) -> bool:
    """Whether all files of the slot are loaded together: replaced, or counted, as one."""
    options, guard = this.definition.load, this.job.guard
    return options is not None and (
        options.mode == "replace" or guard.min_rows is not None or guard.max_rows is not None
    )


def _accepted(run: Run) -> bool:
    return any(file.status in ACCEPTED for file in run.files)


def _paths(files: Sequence[SeenFile]) -> list[str]:
    return [file.path for file in files]


def _is_new(seen: SeenFile, known: FetchedFile | None) -> bool:
    """Whether a listed file is to be looked at closer: never seen, changed since, or back after we took it away."""
    if known is None or known.status is FetchStatus.REFUSED or known.gone:
        return True
    return (seen.size, seen.modified) != (known.size, known.modified)


def _was_refused(seen: SeenFile, known: FetchedFile | None) -> bool:
    return known is not None and known.status is FetchStatus.REFUSED and known.reason == seen.refused
