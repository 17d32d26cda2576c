"""`name=value name=value`: logfmt and its relatives; what would be misread is quoted, with JSON's escapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from batchxfer.codec._late import late
from batchxfer.codec._options import common_complaints, line_ending_complaints, text_keys
from batchxfer.definitions import Complaint, FormatOptions


class Options(FormatOptions):
    """Keys of `kind = "key-value"`."""

    separator: str = Field(" ", min_length=1, description="What stands between two pairs: one or more characters.")
    assign: str = Field("=", min_length=1, description="What stands between a name and its value.")
    quote: Literal["minimal", "all", "none"] = Field(
        "minimal", description="Which values are quoted: those that need it, all but NULL, or none."
    )
    null: Literal["empty", "omit"] = Field("empty", description="NULL as a name without a value, or left out.")

    @property
    def tells_integers_from_decimals(self) -> bool:
        return False

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        yield from super().complaints(table)
        yield from common_complaints(table)
        yield from line_ending_complaints(table)
        yield from _complaints(table)


def _complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    given = text_keys(table, separator=" ", assign="=")
    separator, assign = given["separator"] or " ", given["assign"] or "="
    for key, text in (("separator", separator), ("assign", assign)):
        found = sorted(set(text) & set('"\\\r\n'))
        if found:
            yield Complaint(key=key, problem=f"{key} {text!r} has {found[0]!r} in it", hint="choose another one")
    if separator in assign or assign in separator:
        yield Complaint(key="assign", problem=f"assign {assign!r} and separator {separator!r} cannot be told apart")


def __getattr__(name: str) -> Any:
    return late(__name__, name)
