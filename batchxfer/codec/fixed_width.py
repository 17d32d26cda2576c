"""Fields of fixed width, side by side, in characters or in bytes of the encoding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from batchxfer.charset import encoding_problem, is_stateful
from batchxfer.codec._late import late
from batchxfer.codec._options import common_complaints, decimal_point_complaints, encodable_complaints
from batchxfer.definitions import Complaint, FormatOptions


class Options(FormatOptions):
    """Keys of `kind = "fixed-width"`; every column needs a width."""

    width_unit: Literal["chars", "bytes"] = Field(
        "chars", description="What a width counts: characters, or bytes of the encoding."
    )
    decimal_point: str = Field(".", min_length=1, max_length=1, description="Stands in decimals and floats.")

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


def _unit_complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    encoding = table.get("encoding", "utf-8")
    if (
        table.get("width_unit") != "bytes"
        or not isinstance(encoding, str)
        or not encoding
        or encoding_problem(encoding)
    ):
        return
    if is_stateful(encoding):
        problem = f"widths in bytes have no meaning in {encoding}, whose characters have no fixed size"
        yield Complaint(key="width_unit", problem=problem, hint='use "chars", or another encoding')


def __getattr__(name: str) -> Any:
    return late(__name__, name)
