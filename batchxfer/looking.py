"""Looking for a pull's files: which of those at the partner are new, complete, and this slot's to take."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from batchxfer import naming, pull
from batchxfer.config import Project
from batchxfer.errors import AttemptError, HeldError
from batchxfer.model import FetchedFile, FetchStatus, Run, SeenFile
from batchxfer.ports import Clock, FileStat, Ledger, Session
from batchxfer.pull_attempt import TAKEN, Pull


class Looker:
    """Looks for what the pulls of one project may take. What it finds out for a person goes into `notes`."""

    def __init__(self, project: Project, ledger: Ledger, clock: Clock) -> None:
        self._project = project
        self._ledger = ledger
        self._clock = clock

    def look(self, this: Pull, run: Run, session: Session, notes: list[str]) -> Run:
        """Record what is there and may be taken. A run that has files already goes on with these."""
        if any(file.status in TAKEN for file in run.files) or run.revision > 1:
            return run
        if (newer := self._newer_slot(this, run)) is not None:
            notes.append(f"the slot {newer} has come since, and takes what is there")
            return run
        found = pull.look(session, this.agreement)
        if found.absent is not None:
            notes.append(f"there is no folder {found.absent}")
        known = self._ledger.known_files(run.job, this.delivery.endpoint, [*found.files, *_paths(found.refused)])
        wanted = [file for file in found.files.values() if _is_new(file, known.get(file.path))]
        if found.files and not wanted:
            notes.append(f"{len(found.files):,} known already")
        stable = self.stable(this, session, wanted, notes)
        taken = self._choose(this, run, stable, notes)
        refused = [file for file in found.refused if not _was_refused(file, known.get(file.path))]
        if taken or refused:
            run = self._ledger.see(this.claim, this.delivery.endpoint, [*taken, *refused])
        return run

    def look_for_mended(self, this: Pull, run: Run, session: Session) -> Run:
        """Of files that no load would take, those that the partner has put another in place of are to be fetched anew.

        Where nobody can look, what is here is loaded: the format, or the table, may have been mended instead.
        """
        with suppress(AttemptError):
            for file in run.files:
                if file.status is FetchStatus.FETCHED and file.reason and (now := _other(this, session, file)):
                    facts = {"size": now.size, "modified": now.modified, "local_path": None, "sha256": None}
                    self._ledger.record_fetch(this.claim, file.id, FetchStatus.SEEN, reason=None, **facts)
        return self._ledger.find_run(run.id)

    def _newer_slot(self, this: Pull, run: Run) -> str | None:
        """The latest slot takes what is there, where the names do not say whose they are."""
        if naming.is_dated(this.job):
            return None
        newest = next(iter(self._ledger.runs(job=run.job, limit=1)), None)
        if newest is None or newest.due.slot <= run.due.slot:
            return None
        return newest.due.slot.astimezone(self._project.zone_of(this.job)).isoformat()

    def stable(self, this: Pull, session: Session, wanted: list[SeenFile], notes: list[str]) -> list[SeenFile]:
        """Those that are complete: by their done file, or by staying as they are."""
        sure, unsure = pull.ready(session, this.agreement, wanted) if this.agreement.has_sidecars else ([], wanted)
        if lacking := len(wanted) - len(sure) - len(unsure):
            notes.append(f"{lacking} without their done or checksum file")
        return [*sure, *self._staying(this, session, unsure, notes)]

    def _staying(self, this: Pull, session: Session, present: list[SeenFile], notes: list[str]) -> list[SeenFile]:
        if not present or not this.definition.file.stable_for:
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

    def _choose(self, this: Pull, run: Run, stable: list[SeenFile], notes: list[str]) -> list[SeenFile]:
        ordered = sorted(stable, key=pull.by_age)
        if this.definition.file.expect != "once" or len(ordered) <= 1:
            return ordered
        if not naming.is_dated(this.job):
            more = len(ordered) - 1
            notes.append(f"{more} more {'is' if more == 1 else 'are'} left for later slots")
            return ordered[:1]
        if run.guard_released:
            return ordered
        raise HeldError(
            f"{this.where}: {len(ordered)} files match {this.delivery.path}, and the job expects one: "
            + ", ".join(file.path for file in ordered[:3]),
            hint=f'take them all with: batchxfer release {run.id}; or write expect = "some"',
        )


def _other(this: Pull, session: Session, file: FetchedFile) -> FileStat | None:
    """What is at a file's path instead of it; whether it stays so is seen when it is fetched."""
    now = session.stat(file.path)
    if now is None or now.kind != "file" or now.size > this.agreement.max_bytes:
        return None
    return None if (now.size, now.modified) == (file.size, file.modified) else now


def _paths(files: Sequence[SeenFile]) -> list[str]:
    return [file.path for file in files]


def _is_new(seen: SeenFile, known: FetchedFile | None) -> bool:
    """Whether a listed file is to be looked at closer: never seen, changed since, or back after we took it away."""
    if known is None or known.status is FetchStatus.REFUSED or known.gone:
        return True
    return (seen.size, seen.modified) != (known.size, known.modified)


def _was_refused(seen: SeenFile, known: FetchedFile | None) -> bool:
    return known is not None and known.status is FetchStatus.REFUSED and known.reason == seen.refused
