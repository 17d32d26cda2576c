"""One text column, written as it is: the query makes the lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from batchxfer.codec._late import late
from batchxfer.codec._options import common_complaints
from batchxfer.definitions import Complaint, FormatOptions


class Options(FormatOptions):
    """Keys of `kind = "lines"`: those that all formats have."""

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        yield from super().complaints(table)
        yield from common_complaints(table)
        columns = table.get("columns")
        if isinstance(columns, list | tuple) and len(columns) > 1:
            yield Complaint(key="columns", problem=f"a format of lines has one column, not {len(columns)}")


def __getattr__(name: str) -> Any:
    return late(__name__, name)
