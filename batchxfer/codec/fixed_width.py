"""Fields of fixed width, side by side, in characters or in bytes of the encoding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from batchxfer.charset import encoding_problem, is_stateful
from batchxfer.codec._late import late
from batchxfer.codec._options import common_complaints, decimal_point_complaints, encodable_complaints
from batchxfer.definitions import Complaint, FormatOptions
from batchxfer.model import ColumnType, TypeName

NUMBERS = (TypeName.INTEGER, TypeName.DECIMAL, TypeName.FLOAT)
PAD_HINT = 'write align = "right" and pad = "0", or pad with spaces'
_LEAST: Mapping[TypeName, tuple[str, int]] = {
    TypeName.DATE: ("date_format", len("2026-11-23")),
    TypeName.TIME: ("time_format", len("01:02:03")),
    TypeName.TIMESTAMP: ("timestamp_format", len("2026-11-23T01:02:03")),
    TypeName.TIMESTAMPTZ: ("timestamp_format", len("2026-11-23T01:02:03+00:00")),
    TypeName.UUID: ("", len("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
}
"""What every value of a type takes, unless the key of the format says how it is written."""


class Options(FormatOptions):
    """Keys of `kind = "fixed-width"`; every column needs a width."""

    width_unit: Literal["chars", "bytes"] = Field(
        "chars", description="What a width counts: characters, or bytes of the encoding."
    )
    decimal_point: str = Field(".", min_length=1, max_length=1, description="Stands in decimals and floats.")

    @property
    def tells_empty_from_null(self) -> bool:
        return False

    def unwritable(self) -> Iterator[Complaint]:
        for number, column in enumerate(self.columns or ()):
            key, least = _LEAST.get(column.type.name, ("", 0)) if column.type is not None else ("", 0)
            if getattr(self, key, "iso") != "iso" or column.overflow == "cut" or (column.width or least) >= least:
                continue
            hint = f"make the column wider, or set {key}" if key else "make the column wider"
            problem = f"a value takes {least} characters or more, and the column has {column.width}"
            yield Complaint(key=f"columns[{number}].width", problem=problem, hint=hint)

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        yield from super().complaints(table)
        yield from common_complaints(table)
        yield from decimal_point_complaints(table)
        yield from _column_complaints(table)
        yield from _unit_complaints(table)


def _column_complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    columns = table.get("columns")
    if not isinstance(columns, list | tuple) or not columns:
        yield Complaint(
            key="columns", problem="a fixed-width format needs [[columns]]", hint="with a name and a width each"
        )
        return
    for number, column in enumerate(columns):
        if not isinstance(column, Mapping):
            continue
        if "width" not in column:
            yield Complaint(key=f"columns[{number}].width", problem=f"column {column.get('name')!r} has no width")
        if column.get("pad") in ("\r", "\n"):
            yield Complaint(key=f"columns[{number}].pad", problem="pad is a line break")
        elif isinstance(column.get("pad"), str):
            yield from encodable_complaints(column, "pad", table.get("encoding"), f"columns[{number}].pad")
        if (kind := _type_of(column)) is not None:
            yield from _type_complaints(column, kind, f"columns[{number}]")


def _type_of(column: Mapping[str, Any]) -> ColumnType | None:
    kind = column.get("type")
    try:
        return ColumnType.parse(kind) if isinstance(kind, str) else None
    except ValueError:
        return None


def _type_complaints(column: Mapping[str, Any], kind: ColumnType, where: str) -> Iterator[Complaint]:
    pad = column.get("pad")
    if isinstance(pad, str) and (why := pad_fault(kind, column.get("align") == "right", pad)):
        yield Complaint(key=f"{where}.pad", problem=why, hint=PAD_HINT)


def pad_fault(kind: ColumnType, is_right: bool, pad: str) -> str | None:
    """Why a number cannot stand in such a padding, or None: it would be read as another one."""
    if kind.name not in NUMBERS or pad not in tuple("0123456789+-"):
        return None
    # Behind a point zeros say nothing, and so they do before all digits.
    says_nothing = pad == "0" and (is_right or (kind.name is TypeName.DECIMAL and bool(kind.scale)))
    return None if says_nothing else f"a number would be read as another one with {pad!r} {_where(is_right)} it"


def _where(is_right: bool) -> str:
    return "before" if is_right else "behind"


def _unit_complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    encoding = table.get("encoding", "utf-8")
    if (
        table.get("width_unit") != "bytes"
        or not isinstance(encoding, str)
        or not encoding
        or encoding_problem(encoding)
    ):
        return
    yield from _odd_complaints(table, len("  ".encode(encoding, "replace")) - len(" ".encode(encoding, "replace")))
    if is_stateful(encoding):
        problem = f"widths in bytes have no meaning in {encoding}, whose characters have no fixed size"
        yield Complaint(key="width_unit", problem=problem, hint='use "chars", or another encoding')


def _odd_complaints(table: Mapping[str, Any], unit: int) -> Iterator[Complaint]:
    columns = table.get("columns")
    for number, column in enumerate(columns if isinstance(columns, list | tuple) else ()):
        width = column.get("width") if isinstance(column, Mapping) else None
        if isinstance(width, int) and unit > 1 and width % unit:
            problem = f"{width} bytes cannot be filled: a character takes {unit} or more in this encoding"
            yield Complaint(key=f"columns[{number}].width", problem=problem)


def __getattr__(name: str) -> Any:
    return late(__name__, name)
