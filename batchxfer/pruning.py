"""What the spool no longer needs: artifacts that were delivered long ago, and leftovers that nothing knows any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from batchxfer.config import Project
from batchxfer.errors import StorageError
from batchxfer.model import Artifact, Run, RunStatus
from batchxfer.ports import Clock, Ledger
from batchxfer.sights import slot_of
from batchxfer.spool import orphans

ORPHANS_KEPT = timedelta(days=1)
OURS = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9A-HJKMNP-TV-Z]{26}([.-].*)?", re.ASCII)
"""A spool that was pointed at somebody's folder by mistake must not be emptied."""


@dataclass(frozen=True, kw_only=True)
class Unneeded:
    """What may go: artifacts with their runs, files without one, and the bytes of all."""

    artifacts: Sequence[tuple[Run, Artifact]]
    orphans: Sequence[Path]
    bytes: int

    @property
    def count(self) -> int:
        return len(self.artifacts) + len(self.orphans)


NOTHING = Unneeded(artifacts=(), orphans=(), bytes=0)


def unneeded(project: Project, ledger: Ledger, clock: Clock) -> Unneeded:
    """Artifacts delivered longer ago than `keep_artifacts`, and leftovers of ended builds and dry runs.

    Nothing while the ledger is one that was put back: what it does not know may be what tells that a file was sent.
    """
    if ledger.restored() is not None:
        return NOTHING
    before = ledger.now() - project.config.keep_artifacts
    # A resend may be reading what is running.
    old = [(run, artifact) for run, artifact in ledger.prunable(before) if run.status is not RunStatus.RUNNING]
    left = leftovers(project, ledger, ledger.artifact_paths(), clock)
    freed = sum(artifact.bytes for _, artifact in old) + sum(_size(path) for path in left)
    return Unneeded(artifacts=old, orphans=left, bytes=freed)


def leftovers(project: Project, ledger: Ledger, known: set[Path], clock: Clock) -> list[Path]:
    """Files of ours that nothing needs: of ended builds and of dry runs."""
    found = orphans(project.spool, known, clock.now() - ORPHANS_KEPT)
    before = ledger.now() - project.config.keep_artifacts
    return [path for path in found if OURS.fullmatch(path.name) and not _was_delivered(ledger, path, before)]


def _was_delivered(ledger: Ledger, path: Path, before: datetime) -> bool:
    """Whether it is what `reconcile` found at the partner's, of a slot of which the ledger has forgotten how it was built."""
    slot = slot_of(path)
    run = ledger.find_slot(path.parent.name, slot) if slot is not None else None
    if run is None or run.artifact is not None:
        return False
    return any(delivery.delivered_at is not None and delivery.delivered_at > before for delivery in run.deliveries)


def prune(project: Project, ledger: Ledger, clock: Clock) -> Unneeded:
    """Remove it. Raises StorageError. The file goes first: where this ends in between, the next prune goes on."""
    found = unneeded(project, ledger, clock)
    for _, artifact in found.artifacts:
        _unlink(artifact.path)
        ledger.mark_pruned(artifact.id)
    for path in found.orphans:
        _unlink(path)
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise StorageError(
            f"cannot remove {path}: {exc.strerror}", hint=f"look at the rights of {path.parent}"
        ) from exc
