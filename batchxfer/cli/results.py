"""What came of runs, as an exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchxfer.errors import BatchxferError, ExitCode, worst
from batchxfer.model import Run, RunStatus

EXIT_CODES: Mapping[RunStatus, ExitCode] = {
    RunStatus.DELIVERED: ExitCode.DONE,
    RunStatus.EXCLUDED: ExitCode.DONE,
    RunStatus.SKIPPED: ExitCode.DONE,
    RunStatus.RETRYING: ExitCode.RETRYING,
    # Nothing starts before a person (or an earlier slot) lets it.
    RunStatus.PENDING: ExitCode.HELD,
    RunStatus.HELD: ExitCode.HELD,
    RunStatus.FAILED: ExitCode.FAILED,
    RunStatus.MISSING: ExitCode.FAILED,
    RunStatus.RUNNING: ExitCode.BUSY,
}


def exit_code(run: Run) -> ExitCode:
    """What a run's state says to a script. What waits for a file is looked for again."""
    if run.status is RunStatus.PENDING and run.retry_at is not None:
        return ExitCode.RETRYING
    return EXIT_CODES[run.status]


@dataclass(kw_only=True)
class Result:
    """What came of it: the runs in order, and the error that ended the series."""

    runs: list[Run] = field(default_factory=list)
    error: BatchxferError | None = None

    @property
    def exit_code(self) -> ExitCode:
        codes = [exit_code(run) for run in self.runs]
        return worst([*codes, self.error.exit_code] if self.error else codes)
