"""Opening what a command works with: the project's configuration, its ledger, one of its jobs, one of its runs."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchxfer.cli import logs
from batchxfer.cli.options import CONFIG_VARIABLE, DEFAULT_CONFIG, Context
from batchxfer.cli.output import is_terminal
from batchxfer.errors import LedgerError, Problem, UsageError

if TYPE_CHECKING:
    from batchxfer.activity import Listener
    from batchxfer.config import Project
    from batchxfer.definitions import AnyJob
    from batchxfer.ports import Ledger
    from batchxfer.wiring import Workplace


def load(context: Context) -> Project:
    """The project. Raises UsageError where there is none, ConfigError with every problem."""
    _check_there(context)
    from batchxfer.wiring import load_project

    return load_project(context.config)


def load_to_look(context: Context) -> Project:
    """The project for a command that only looks at what was: a job that is broken is told, and left out."""
    loaded, problems = load_sound_part(context)
    for problem in problems:
        context.output.warn(str(replace(problem, hint=None)), problem.hint)
    return loaded


def load_sound_part(context: Context) -> tuple[Project, list[Problem]]:
    """The project without its broken jobs, and every problem. Raises ConfigError where the configuration itself has one."""
    _check_there(context)
    from batchxfer import wiring

    return wiring.load_sound_part(context.config)


def _check_there(context: Context) -> None:
    if not context.config.is_file():
        what = "is a folder" if context.config.is_dir() else "is not there"
        raise UsageError(
            f"the configuration {context.config} {what}",
            hint=_where_else(context.config)
            or f"name it with --config or ${CONFIG_VARIABLE}, or begin a project with: batchxfer init my-project",
        )


def _where_else(config: Path) -> str | None:
    """A configuration that was probably meant: the one in that folder, or the one of the project that this is a folder of."""
    if config.is_dir() and (config / DEFAULT_CONFIG).is_file():
        return f"name the file in it: --config {config / DEFAULT_CONFIG}"
    if config != Path(DEFAULT_CONFIG):
        return None
    with contextlib.suppress(FileNotFoundError):  # the folder that it was started in is gone
        for number, folder in enumerate(Path.cwd().parents, 1):
            if (folder / DEFAULT_CONFIG).is_file():
                return f"one is in {folder}: go there, or say --config {'../' * number}{DEFAULT_CONFIG}"
    return None


@contextmanager
def opened(
    context: Context,
    project: Project,
    *,
    create: bool = False,
    listener: Listener | None = None,
    is_quiet: bool = False,
) -> Iterator[Workplace | None]:
    """The project with its ledger open; None where a new project has none yet and `create` is false.

    That the ledger was put back from a backup is said on stderr, unless `is_quiet`."""
    from batchxfer.cli.clock import SystemClock
    from batchxfer.wiring import workplace

    log_to_stderr()
    with private_files(), workplace(project, SystemClock(), create=create, listener=listener) as place:
        if place is not None and not is_quiet:
            _warn_of_restored(context, place.ledger)
        yield place


def _warn_of_restored(context: Context, ledger: Ledger) -> None:
    restored = ledger.restored()
    if restored is not None:
        context.output.warn(
            f"the ledger was put back from a backup: it knows nothing after {restored.known_until.isoformat()}. "
            "What was due since may have been sent, and is held",
            "see what the partners have with: batchxfer reconcile --dry-run; then: batchxfer reconcile",
        )


def warn_root(context: Context, project: Project) -> None:
    """What root makes in another user's project that user cannot read: said to a person before it is made."""
    if os.geteuid() != 0 or not is_terminal(sys.stderr):
        return
    with contextlib.suppress(OSError, KeyError):
        owner = project.spool.owner()
        if project.spool.stat().st_uid != 0:
            context.output.warn(
                f"this is root, and the spool belongs to {owner}: what is made now will be root's, and {owner} cannot read it",
                f"type it as that user: sudo -u {owner} batchxfer …; what was made is theirs again with: "
                f"chown -R {owner} {shlex.quote(str(project.spool))}",
            )


@contextmanager
def private_files() -> Iterator[None]:
    """What is made (ledger, spool, fetched files, copies) is for this user only, whatever the shell's umask says."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def opened_ledger(
    context: Context, project: Project, *, listener: Listener | None = None, is_quiet: bool = False
) -> Iterator[Workplace]:
    """The project with its ledger, which must be there."""
    with opened(context, project, listener=listener, is_quiet=is_quiet) as place:
        if place is None:
            raise LedgerError(
                "this project has no ledger yet: nothing was ever run",
                hint="run a job with: batchxfer run JOB",
            )
        yield place


def log_to_stderr() -> None:
    """Warnings of the work on stderr; a command that logs more has said so before."""
    if not logging.getLogger(logs.LOGGER).handlers:
        logs.to_stderr(logging.WARNING)


def known_job(project: Project, name: str) -> AnyJob:
    """The job of that name. Raises UsageError with what was probably meant."""
    from batchxfer.suggestions import did_you_mean

    job = project.jobs.get(name)
    if job is None:
        # A tab in the project's folder makes the file's path.
        meant = Path(name).stem if name.endswith(".toml") else name
        raise UsageError(f"there is no job {name!r}", hint=did_you_mean(meant, project.jobs, what="the jobs are"))
    return job
