"""What a rerun changed: the file as it was beside the file as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchxfer.cli.pulls import rows_of
from batchxfer.cli.words import counted, size
from batchxfer.model import Artifact, RunStatus

if TYPE_CHECKING:
    from batchxfer.definitions import LoadOptions
    from batchxfer.operations import Rerun


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Two files of one slot; None where none was built."""

    before: Artifact | None
    after: Artifact | None

    @property
    def is_same(self) -> bool | None:
        """Whether both hold the same bytes; None where one is missing."""
        if self.before is None or self.after is None:
            return None
        return self.before.sha256 == self.after.sha256

    @property
    def sentence(self) -> str:
        if self.after is None:
            return "no file was built this time" + (f"; before: {_shown(self.before)}" if self.before else "")
        if self.before is None:
            return f"no file was built before; now: {_shown(self.after)}"
        if self.is_same:
            return f"nothing changed: the same {counted(self.after.rows, 'row')}, the same sha256"
        more = self.after.rows - self.before.rows
        rows = f"{more:+,} row{'' if abs(more) == 1 else 's'}" if more else "as many rows, other content"
        return f"changed: {rows}; {_shown(self.before)} before, {_shown(self.after)} now"


def changes(rerun: Rerun) -> Changes:
    return Changes(before=rerun.before.artifact, after=rerun.after.artifact)


def changed(rerun: Rerun, load: LoadOptions | None) -> str:
    """What there is to say of a rerun."""
    if not rerun.after.is_pull:
        return changes(rerun).sentence
    before, after = rows_of(rerun.before), rows_of(rerun.after)
    if after is None or rerun.after.status is not RunStatus.DELIVERED:
        return "nothing was loaded this time"
    compared = "" if before is None else ", as before" if before == after else f", and {before:,} before"
    twice = '; with mode = "append" what was loaded before is there too' if load and load.mode == "append" else ""
    return f"loaded again: {counted(after, 'row')}{compared}{twice}"


def _shown(artifact: Artifact | None) -> str:
    if artifact is None:
        return "no file"
    return f"{counted(artifact.rows, 'row')}, {size(artifact.bytes)}, sha256 {artifact.sha256[:8]}…"
