"""What a shell offers at a tab: names of the project. Read in a hurry, and silent about anything that is wrong."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from batchxfer.cli.options import CONFIG_VARIABLE, DEFAULT_CONFIG

RECENT_RUNS = 30


def jobs(context: typer.Context, incomplete: str) -> Iterator[str]:
    """Names of jobs: the files in the jobs' folder."""
    with contextlib.suppress(Exception):
        path = _config_path(context)
        folder = path.parent / str(_read(path).get("jobs", "jobs"))
        yield from _matching((file.stem for file in folder.glob("*.toml")), incomplete)


def endpoints(context: typer.Context, incomplete: str) -> Iterator[str]:
    with contextlib.suppress(Exception):
        yield from _matching(_read(_config_path(context)).get("endpoints", {}), incomplete)


def subjects(context: typer.Context, incomplete: str) -> Iterator[str]:
    """What can be paused: jobs, and endpoints behind an @."""
    yield from jobs(context, incomplete)
    yield from (f"@{name}" for name in endpoints(context, incomplete.removeprefix("@")))


def runs(context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Ids of the newest runs, with what they are."""
    with contextlib.suppress(Exception):
        from batchxfer.cli.clock import SystemClock
        from batchxfer.wiring import load_project, open_ledger

        ledger = open_ledger(load_project(_config_path(context)), SystemClock(), create=False)
        if ledger is None:
            return
        try:
            for run in ledger.runs(limit=RECENT_RUNS):
                if run.id.startswith(incomplete.upper()):
                    yield run.id, f"{run.job} {run.due.slot:%Y-%m-%dT%H:%M}Z {run.status}"
        finally:
            ledger.close()


def _config_path(context: typer.Context) -> Path:
    # The words before the command are read, and nothing is done with them yet.
    chosen = context.params.get("config") or context.find_root().params.get("config")
    return Path(chosen or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
