"""Fetching a pull's files: each that was seen comes here whole, is compared with what was taken before, and gets its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from batchxfer import paths, pull
from batchxfer.activity import Activity, Listener
from batchxfer.config import Project
from batchxfer.errors import AttemptError, DeadlineError, HeldError, NetworkError
from batchxfer.inbox import Arrival, Follower
from batchxfer.intake import BAD_RECORDS
from batchxfer.looking import Looker
from batchxfer.model import FetchedFile, FetchStatus, Run, SeenFile
from batchxfer.ports import Ledger, Reading, Session
from batchxfer.pull_attempt import Attempt, Pull

Follow = Callable[[Run, FetchedFile], Follower | None]


class Fetcher:
    """Fetches what was seen for the pulls of one project."""

    def __init__(self, project: Project, ledger: Ledger, looker: Looker, listener: Listener) -> None:
        self._project = project
        self._ledger = ledger
        self._looker = looker
        self._listener = listener

    def fetch_all(
        self, this: Pull, run: Run, session: Session, attempt: Attempt, follow: Follow
    ) -> AttemptError | None:
        """Fetch what was seen. What concerns one file alone keeps no other from being fetched: the first such error.

        `follow` says who is told of a file's arrival."""
        wanted = [file for file in run.files if file.status is FetchStatus.SEEN]
        with closing(pull.Ahead(session, wanted, this.agreement)) as ahead:
            return self._fetch_each(this, run, wanted, session, ahead, attempt, follow)

    def _fetch_each(
        self,
        this: Pull,
        run: Run,
        wanted: Sequence[FetchedFile],
        session: Session,
        ahead: pull.Ahead,
        attempt: Attempt,
        follow: Follow,
    ) -> AttemptError | None:
        failure: AttemptError | None = None
        for file in wanted:
            attempt.begun(session.server_key)
            try:
                self._fetch(this, run, file, session, ahead, follow)
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

    def _fetch(
        self, this: Pull, run: Run, file: FetchedFile, session: Session, ahead: pull.Ahead, follow: Follow
    ) -> None:
        arrival = self._arrival(this, file)
        if file.local_path and file.sha256 and arrival.accepted(file.local_path, file.sha256):
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.FETCHED, reason=None)
            return
        follower = follow(run, file)
        if follower is not None and not self._may_well_be_left(this, run, file):
            arrival.follower = follower
        self._receive(this, run, file, session, ahead, arrival)
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

    def _receive(
        self, this: Pull, run: Run, file: FetchedFile, session: Session, ahead: pull.Ahead, arrival: Arrival
    ) -> None:
        with ExitStack() as exits:
            reading = exits.enter_context(closing(ahead.take(file)))
            if (sidecar := ahead.take_sidecar(file)) is not None:
                exits.enter_context(closing(sidecar))
            now = self._settled_again(this, file, session, arrival, reading)
            if now is not file:
                # Its checksum file has changed with it.
                sidecar = None
                reading = exits.enter_context(closing(pull.begin_reading(session, now)))
            progress = partial(self._tell, this, run, now)
            pull.fetch(session, this.where, now, this.agreement, arrival, reading, sidecar=sidecar, progress=progress)

    def _arrival(self, this: Pull, file: FetchedFile) -> Arrival:
        into = this.definition.file.into
        name = paths.split(file.path)[1]
        if name.endswith(BAD_RECORDS):
            # Else another file's bad records could be put in its place.
            name += ".fetched"
        target = paths.render_taken(paths.parse_taken(into.removeprefix("/"), this.job.name), this.facts, name)
        return Arrival(Path("/", target) if into.startswith("/") else self._project.folder / target, file.file)

    def _settled_again(
        self, this: Pull, file: FetchedFile, session: Session, arrival: Arrival, reading: Reading
    ) -> FetchedFile:
        """The file as it is now: one that changed since it was seen must be stable anew. Raises Gone, Changed."""
        try:
            pull.check_unchanged(this.where, file, reading.look())
        except pull.Gone:
            raise
        except pull.Changed:
            seen = session.stat(file.path)
            notes: list[str] = []
            now = [] if seen is None else [SeenFile(path=file.path, size=seen.size, modified=seen.modified)]
            if seen is None or seen.kind != "file" or not self._looker.stable(this, session, now, notes):
                raise
            arrival.discard()
            facts = {"size": seen.size, "modified": seen.modified}
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.SEEN, **facts)
            return replace(file, size=seen.size, modified=seen.modified)
        return file

    def _unwanted(self, this: Pull, run: Run, file: FetchedFile, sha256: str) -> str | None:
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

    def _may_well_be_left(self, this: Pull, run: Run, file: FetchedFile) -> bool:
        """Whether it must be here before anything is done with it: as far as can be said, it will be left alone then."""
        before = self._ledger.previous_version(run.job, file.endpoint, file.path, file.file)
        if before is None or before.gone:
            return False
        changed = this.definition.file.changed
        return before.bytes == file.size or changed == "skip" or (changed == "hold" and not run.guard_released)

    def _policy(self, this: Pull, run: Run, file: FetchedFile, key: str, what: str) -> str | None:
        policy = getattr(this.definition.file, key)
        if policy == "skip":
            return f'{what}, and {key} = "skip"'
        if policy == "hold" and not run.guard_released:
            raise HeldError(
                f'{this.where}: {file.path} has {what}, and {key} = "hold"',
                hint=f"take it with: batchxfer release {run.id}; or leave it with: batchxfer exclude {run.id} --why …",
            )
        return None

    def _tell(self, this: Pull, run: Run, file: FetchedFile, done: int) -> None:
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
