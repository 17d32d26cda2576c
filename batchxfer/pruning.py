"""What the spool no longer needs: artifacts that were delivered long ago, and leftovers that nothing knows any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from batchxfer.config import Project
from batchxfer.errors import StorageError
from batchxfer.model import Artifact, Run, RunStatus
from batchxfer.ports import Clock, Ledger
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
    found = orphans(project.spool, ledger.artifact_paths(), clock.now() - ORPHANS_KEPT)
    left = [path for path in found if OURS.fullmatch(path.name)]
    freed = sum(artifact.bytes for _, artifact in old) + sum(_size(path) for path in left)
    return Unneeded(artifacts=old, orphans=left, bytes=freed)


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
