"""`name=value name=value`: logfmt and its relatives; what would be misread is quoted, with JSON's escapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from batchxfer.codec._late import late
from batchxfer.codec._options import (
    GIVE_A_NAME,
    common_complaints,
    line_ending_complaints,
    name_complaints,
    text_keys,
)
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
    def tells_empty_from_null(self) -> bool:
        return self.quote != "none" or self.null == "omit"

    @property
    def tells_integers_from_decimals(self) -> bool:
        return False

    def unwritable(self) -> Iterator[Complaint]:
        for number, column in enumerate(self.columns or ()):
            name = column.as_ or column.name
            if name and (why := name_fault(name, self.separator or " ", self.assign or "=")):
                problem = f"the name {name!r} cannot be written: {why}"
                yield Complaint(key=f"columns[{number}]", problem=problem, hint=GIVE_A_NAME)

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
    yield from name_complaints(table, lambda name: _structure_fault(name, separator, assign))


def name_fault(name: str, separator: str, assign: str) -> str | None:
    """Why a name cannot be written in a pair, or None. Of others' files more can be read."""
    if not name:
        return "it is empty"
    for what in (separator, assign, " ", '"', "\\"):
        if what in name:
            return f"it has {what!r} in it"
    if any(character < " " or character == "\x7f" for character in name):
        return "it has a control character in it"
    return _structure_fault(name, separator, assign)


def _structure_fault(name: str, separator: str, assign: str) -> str | None:
    for what in (separator, assign):
        if what in name:
            return f"it has {what!r} in it"
    if (name + assign).find(assign) != len(name):
        return f"it runs into {assign!r}"
    if separator in name + assign:
        return f"with {assign!r} behind it, it has the separator {separator!r} in it"
    return None


def __getattr__(name: str) -> Any:
    return late(__name__, name)
