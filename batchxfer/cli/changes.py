"""What a rerun changed: the file as it was beside the file as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchxfer.cli.words import counted, size
from batchxfer.model import Artifact

if TYPE_CHECKING:
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


def _shown(artifact: Artifact | None) -> str:
    if artifact is None:
        return "no file"
    return f"{counted(artifact.rows, 'row')}, {size(artifact.bytes)}, sha256 {artifact.sha256[:8]}…"
