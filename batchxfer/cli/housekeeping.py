"""`prune`: artifacts that were delivered long ago, and files in the spool that nothing knows any more."""

from __future__ import annotations

from typing import Annotated

import typer

from batchxfer.cli import project
from batchxfer.cli.options import AsJson, ConfigPath, context_of
from batchxfer.cli.words import counted, size
from batchxfer.errors import ExitCode


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
    from batchxfer import pruning

    words = context_of(context, config, as_json)
    loaded = project.load(words)
    with project.opened(words, loaded) as place:
        do = pruning.unneeded if dry_run else pruning.prune
        found = do(loaded, place.ledger, place.clock) if place else pruning.NOTHING
    if words.output.as_json:
        words.output.document(
            {
                "removed": not dry_run,
                "bytes": found.bytes,
                "artifacts": [{"run": run.id, "path": str(artifact.path)} for run, artifact in found.artifacts],
                "orphans": [str(path) for path in found.orphans],
            }
        )
    else:
        verb = "would be removed" if dry_run else "removed"
        counts = f"{counted(len(found.artifacts), 'artifact')} and {counted(len(found.orphans), 'orphaned file')}"
        words.output.say(f"{counts} {verb}, {size(found.bytes)}")
    return ExitCode.DONE
