"""`backup`: a consistent copy of the ledger, while others write to it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import project
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.cli.words import counted, size
from batchxfer.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.facts import Backup


def backup(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Argument(metavar="TO", help="The new file, or a folder for it; default: beside the ledger."),
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Copy the ledger to a new file while batchxfer runs.

    The copy is what the ledger was at one moment, and is checked; nothing is overwritten, and nothing half copied is left
    under its name. A ledger on PostgreSQL is copied by pg_dump: the command is said (exit status 2).
    """
    from batchxfer.cli.clock import SystemClock
    from batchxfer.wiring import back_up

    words = context_of(context, config, as_json)
    loaded = project.load_to_look(words)
    with project.private_files():
        found = back_up(loaded, _place(to), SystemClock().now())
    _tell(words, loaded, found)
    return ExitCode.DONE


def _place(to: str | None) -> Path | None:
    """`NAME/` means a folder: where it is missing (a disk that is not mounted), no file gets its name."""
    if to is not None and to.endswith("/") and not Path(to).is_dir():
        raise UsageError(f"the folder {to} is not there", hint=f"mount it, or make it: mkdir -p {shlex.quote(to)}")
    return Path(to) if to is not None else None


def _tell(words: Context, loaded: Project, found: Backup) -> None:
    if words.output.as_json:
        from batchxfer.cli.documents import instant

        words.output.document(
            {
                "path": str(found.path),
                "bytes": found.bytes,
                "runs": found.runs,
                "events": found.events,
                "newest_event": instant(found.newest_event),
                "counts": dict(found.statuses),
            }
        )
        return
    until = found.newest_event.isoformat() if found.newest_event else "its beginning"
    words.output.say(f"{found.path}: {size(found.bytes)}, {counted(found.runs, 'run')}, up to {until}")
    words.output.say(
        f"the spool {loaded.spool} is not in it: keep that too, or what is not delivered yet is lost with the disk"
    )
