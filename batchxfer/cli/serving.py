"""`serve`: the daemon."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import logs, project, signals
from batchxfer.cli.collisions import collisions
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.errors import ConfigError, ExitCode, UsageError

if TYPE_CHECKING:
    from datetime import timedelta

    from batchxfer.config import Project

SOCKET_VARIABLE = "NOTIFY_SOCKET"


def serve(
    context: typer.Context,
    grace: Annotated[
        str,
        typer.Option(metavar="DURATION", help="How long runs may go on after SIGTERM, before they are handed back."),
    ] = "30s",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Run jobs when they are due, and try again what failed.

    SIGTERM or Ctrl-C: nothing more is started, what runs may end within --grace and is then handed back; a second one ends at
    once. SIGHUP reads the configuration again. On a SQLite ledger a second `serve` ends with exit status 5; on PostgreSQL any
    number shares the work.
    """
    words = context_of(context, config, as_json)
    patience = _grace(grace)
    logs.to_stderr(logging.INFO, as_json=words.output.as_json, of_libraries=True)
    logs.log_faults_of_threads()
    loaded = load_sound(words)
    asked, all_ended = _serve(words, loaded, patience)
    name = "Ctrl-C" if asked == signal.SIGINT else signal.Signals(asked).name
    if words.output.as_json:
        words.output.document({"stopped_by": name})
    status = ExitCode.INTERRUPTED if asked == signal.SIGINT else ExitCode.DONE
    if not all_ended:
        _leave(status)
    return status


def _serve(words: Context, loaded: Project, patience: timedelta) -> tuple[int, bool]:
    """The signal that ended it, and whether all runs had ended by then."""
    from batchxfer.scheduler import Daemon, Wishes
    from batchxfer.systemd import ServiceManager

    # Not for the commands that the daemon runs: they would speak in its name.
    manager = ServiceManager(os.environ.pop(SOCKET_VARIABLE, None))
    wishes = Wishes()
    with (
        signals.asks(wishes.ask_to_stop, wishes.ask_to_reload) as asked,
        # The daemon logs by itself that the ledger was put back.
        project.opened(words, loaded, create=True, is_quiet=True) as place,
    ):
        assert place is not None  # noqa: S101 - it was to be made
        daemon = Daemon(
            place, wishes, load=lambda: load_sound(words), manager=manager, grace_seconds=patience.total_seconds()
        )
        all_ended = daemon.serve()
    return asked[0], all_ended


def load_sound(words: Context) -> Project:
    """The project. Raises ConfigError also where two deliveries would share a path."""
    loaded = project.load(words)
    if problems := collisions(loaded):
        raise ConfigError(problems)
    return loaded


def _grace(text: str) -> timedelta:
    from batchxfer.quantities import parse_duration

    try:
        return parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"--grace {exc}") from exc


def _leave(status: ExitCode) -> None:
    """End without waiting for what cannot be ended: it owns nothing any more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(int(status))
