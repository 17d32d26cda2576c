"""`value,value,value`: CSV (RFC 4180) and its relatives, with or without quoting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from batchxfer.codec._late import late
from batchxfer.codec._options import common_complaints, decimal_point_complaints, line_ending_complaints, text_keys
from batchxfer.definitions import Complaint, FormatOptions


class Options(FormatOptions):
    """Keys of `kind = "delimited"`."""

    delimiter: str = Field(",", min_length=1, description="What stands between two values: one or more characters.")
    header: bool = Field(True, description="Whether the first record names the columns.")
    quote: Literal["minimal", "all", "none"] = Field(
        "minimal", description="Which values are quoted: those that need it, all but NULL, or none."
    )
    quote_char: str = Field('"', min_length=1, max_length=1, description="The quote; doubled inside a quoted value.")
    escape: str | None = Field(
        None, min_length=1, max_length=1, description='Stands before what would end a value, with quote = "none".'
    )
    quote_empty: bool = Field(True, description="Whether an empty text is quoted, so that it differs from NULL.")
    trailing_delimiter: bool = Field(False, description="Whether the delimiter also follows the last value.")
    null: str = Field("", description="How NULL is written; never quoted.")
    decimal_point: str = Field(".", min_length=1, max_length=1, description="Stands in decimals and floats.")
    spreadsheet_safe: bool = Field(
        False, description="Whether a text that a spreadsheet would take for a formula gets a ' before it."
    )

    @property
    def tells_integers_from_decimals(self) -> bool:
        return False

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        yield from super().complaints(table)
        yield from common_complaints(table)
        yield from decimal_point_complaints(table)
        yield from line_ending_complaints(table)
        yield from _complaints(table)


def _complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    given = text_keys(table, delimiter=",", quote_char='"', escape=None, null="", quote="minimal", decimal_point=".")
    delimiter, quoting = given["delimiter"] or ",", given["quote"] != "none"
    inside = {"a line ending": "\r\n"} | ({"the quote_char": given["quote_char"] or '"'} if quoting else {})
    for key in ("delimiter", "null"):
        for what, characters in inside.items():
            if set(given[key] or "") & set(characters):
                yield Complaint(key=key, problem=f"{key} {given[key]!r} has {what} in it", hint="choose another one")
    if given["null"] and delimiter in given["null"]:
        yield Complaint(key="null", problem=f"null {given['null']!r} has the delimiter {delimiter!r} in it")
    if quoting and set(given["quote_char"] or "") & set("\r\n"):
        yield Complaint(key="quote_char", problem="quote_char is a line ending")
    yield from _escape_complaints(given["escape"], delimiter, quoting)
    if not quoting and given["escape"] is None and given["decimal_point"] == delimiter and delimiter != ".":
        yield Complaint(
            key="decimal_point", problem=f"decimal_point {delimiter!r} is the delimiter, and nothing is quoted"
        )


def _escape_complaints(escape: str | None, delimiter: str, quoting: bool) -> Iterator[Complaint]:
    if escape is None:
        return
    if quoting:
        yield Complaint(
            key="escape", problem='escape is for quote = "none"', hint="quoted values double the quote instead"
        )
    if escape in delimiter or escape in "\r\n":
        yield Complaint(key="escape", problem=f"escape {escape!r} is part of the delimiter or a line ending")


def __getattr__(name: str) -> Any:
    return late(__name__, name)
