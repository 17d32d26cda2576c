"""`prune`: artifacts that were delivered long ago, and files in the spool that nothing knows any more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import project
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.cli.words import counted, size
from batchxfer.errors import ExitCode, StorageError
from batchxfer.model import Artifact, Run, RunStatus

if TYPE_CHECKING:
    from batchxfer.wiring import Workplace

ORPHANS_KEPT = timedelta(days=1)
OURS = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9A-HJKMNP-TV-Z]{26}([.-].*)?", re.ASCII)
"""A spool that was pointed at somebody's folder by mistake must not be emptied."""


def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Remove old artifacts and leftovers from the spool.

    Artifacts delivered longer ago than keep_artifacts, and files of ended builds and dry runs older than a day. What is not
    delivered is never removed.
    """
    words = context_of(context, config, as_json)
    with project.opened(words, project.load(words)) as place:
        artifacts = list(_old_artifacts(place)) if place else []
        orphans = _orphans(place) if place else []
        freed = sum(artifact.bytes for _, artifact in artifacts) + sum(path.stat().st_size for path in orphans)
        if place is not None and not dry_run:
            _remove(place, artifacts, orphans)
    if words.output.as_json:
        words.output.document(
            {
                "removed": not dry_run,
                "bytes": freed,
                "artifacts": [{"run": run.id, "path": str(artifact.path)} for run, artifact in artifacts],
                "orphans": [str(path) for path in orphans],
            }
        )
    else:
        verb = "would be removed" if dry_run else "removed"
        counts = f"{counted(len(artifacts), 'artifact')} and {counted(len(orphans), 'orphaned file')}"
        words.output.say(f"{counts} {verb}, {size(freed)}")
    return ExitCode.DONE


def _old_artifacts(place: Workplace) -> Iterator[tuple[Run, Artifact]]:
    before = place.ledger.now() - place.project.config.keep_artifacts
    for run, artifact in place.ledger.prunable(before):
        # A resend may be reading it.
        if run.status is not RunStatus.RUNNING:
            yield run, artifact


def _orphans(place: Workplace) -> list[Path]:
    from batchxfer.spool import orphans

    older_than = place.clock.now() - ORPHANS_KEPT
    found = orphans(place.project.spool, place.ledger.artifact_paths(), older_than)
    return [path for path in found if OURS.fullmatch(path.name)]


def _remove(place: Workplace, artifacts: list[tuple[Run, Artifact]], orphans: list[Path]) -> None:
    """The file first: where this ends in between, the next prune goes on."""
    for _, artifact in artifacts:
        _unlink(artifact.path)
        place.ledger.mark_pruned(artifact.id)
    for path in orphans:
        _unlink(path)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise StorageError(
            f"cannot remove {path}: {exc.strerror}", hint=f"look at the rights of {path.parent}"
        ) from exc
