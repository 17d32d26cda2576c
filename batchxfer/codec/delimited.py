"""`value,value,value`: CSV (RFC 4180) and its relatives, with or without quoting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from batchxfer.codec._late import late
from batchxfer.codec._options import (
    ambiguous_tails,
    common_complaints,
    decimal_point_complaints,
    line_ending_complaints,
    name_complaints,
    text_keys,
)
from batchxfer.definitions import Complaint, FormatOptions

UNQUOTED = 'set quote = "minimal", or an escape'


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
    def tells_empty_from_null(self) -> bool:
        return bool(self.null) or (self.quote != "none" and self.quote_empty)

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
    yield from _null_complaints(given["null"], given["escape"], delimiter)
    if quoting and set(given["quote_char"] or "") & set("\r\n"):
        yield Complaint(key="quote_char", problem="quote_char is a line ending")
    yield from _escape_complaints(given["escape"], delimiter, quoting)
    if not quoting and given["escape"] is None:
        yield from _bare_complaints(table, given["null"] or "", delimiter)
    elif table.get("header") is not False:
        yield from name_complaints(table, lambda name: None)
    if not quoting and given["escape"] is None and given["decimal_point"] == delimiter and delimiter != ".":
        yield Complaint(
            key="decimal_point", problem=f"decimal_point {delimiter!r} is the delimiter, and nothing is quoted"
        )


def _null_complaints(null: str | None, escape: str | None, delimiter: str) -> Iterator[Complaint]:
    if not null:
        return
    if delimiter in null:
        yield Complaint(key="null", problem=f"null {null!r} has the delimiter {delimiter!r} in it")
    elif tail := _tail(null, delimiter):
        problem = f"null {null!r} runs into the delimiter {delimiter!r}: its end {tail!r} reads as a part of it"
        yield Complaint(key="null", problem=problem, hint="choose another one")
    if escape and (why := _misread_with_escape(null, escape, delimiter)):
        yield Complaint(key="null", problem=f"null {null!r} {why}", hint="choose another one")


def _misread_with_escape(null: str, escape: str, delimiter: str) -> str | None:
    unescaped, at = "", 0
    while at < len(null):
        at += null[at] == escape
        unescaped += null[at : at + 1]
        at += 1
    if at > len(null):
        return f"ends with the escape {escape!r}, and what stands behind it would be a part of it"
    written = unescaped.replace(escape, escape * 2).replace(delimiter[0], escape + delimiter[0])
    return f"is how the text {unescaped!r} is written" if escape in null and written == null else None


def _tail(text: str, delimiter: str) -> str | None:
    return next((tail for tail in ambiguous_tails(delimiter) if text.endswith(tail)), None)


def _bare_complaints(table: Mapping[str, Any], null: str, delimiter: str) -> Iterator[Complaint]:
    """For texts that are known before there are any rows: nothing is quoted, and nothing can be escaped."""

    def fault(text: str) -> str | None:
        if any(special in text for special in (delimiter, "\r", "\n")):
            return f"it has {'the delimiter' if delimiter in text else 'a line break'} in it, and nothing is quoted"
        if tail := _tail(text, delimiter):
            return f"its end {tail!r} runs into the delimiter {delimiter!r}, and nothing is quoted"
        return "it reads as NULL, and nothing is quoted" if null and text == null else None

    for key in ("true", "false"):
        if isinstance(table.get(key), str) and (why := fault(table[key])):
            yield Complaint(key=key, problem=f"{key} {table[key]!r} cannot be written: {why}", hint=UNQUOTED)
    for key in ("date_format", "time_format", "timestamp_format"):
        pattern = table.get(key)
        if isinstance(pattern, str) and delimiter in re.sub("%.", "\0", pattern):
            problem = f"{key} {pattern!r} has the delimiter in it, and nothing is quoted"
            yield Complaint(key=key, problem=problem, hint=UNQUOTED)
    if table.get("header") is not False:
        yield from name_complaints(table, fault)


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
