"""One compact JSON object a line, its keys in the columns' order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from batchxfer.codec._late import late
from batchxfer.codec._options import common_complaints, name_complaints
from batchxfer.definitions import Complaint, FormatOptions


class Options(FormatOptions):
    """Keys of `kind = "json-lines"`."""

    decimals: Literal["number", "string"] = Field(
        "number", description="Exact decimals as numbers with all their digits, or as strings for readers with floats."
    )
    null: Literal["null", "omit"] = Field("null", description="NULL as null, or its key left out.")
    ascii: bool = Field(False, description="Whether what is not ASCII is escaped.")

    @property
    def tells_integers_from_decimals(self) -> bool:
        return self.decimals != "number"

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        yield from super().complaints(table)
        yield from common_complaints(table)
        if table.get("ascii") is not True:
            yield from name_complaints(table, lambda name: None)


def __getattr__(name: str) -> Any:
    return late(__name__, name)
