"""What the options of several formats have in common: line endings, and checks between a format's keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from batchxfer.charset import Charset, encoding_problem
from batchxfer.definitions import Complaint
from batchxfer.templates import time_problems

LINE_ENDINGS: Mapping[str, str] = {"lf": "\n", "crlf": "\r\n", "none": ""}

# Replacing a character in these would change the records' structure.
_STRUCTURE = ("delimiter", "quote_char", "escape", "null", "decimal_point", "separator", "assign", "true", "false")


def text_keys(table: Mapping[str, Any], **defaults: str | None) -> dict[str, str | None]:
    """The texts of a table as it was written; the default for a key that is not there or no text."""
    return {key: table[key] if isinstance(table.get(key), str) else default for key, default in defaults.items()}


def common_complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    """What is wrong with the keys that all formats have."""
    encoding = table.get("encoding")
    problem = encoding_problem(encoding) if isinstance(encoding, str) and encoding else None
    if problem:
        yield Complaint(key="encoding", problem=problem, hint="the names are those of Python's text encodings")
    if encoding == "utf-7" and table.get("line_ending") == "none":
        yield Complaint(key="line_ending", problem='utf-7 needs a line ending: "none" would leave its state open')
    else:
        yield from _unencodable_complaints(table, encoding)
    for key in ("date_format", "time_format", "timestamp_format"):
        yield from _time_complaints(table, key)
    written = text_keys(table, true="true", false="false")
    if written["true"] == written["false"]:
        yield Complaint(key="true", problem=f"true and false are both written {written['true']!r}")


def _unencodable_complaints(table: Mapping[str, Any], encoding: object) -> Iterator[Complaint]:
    charset = Charset(encoding if isinstance(encoding, str) and encoding else "utf-8", replace=False)
    for key in _STRUCTURE:
        lacking = charset.lacking(table[key]) if isinstance(table.get(key), str) else None
        if lacking:
            yield Complaint(key=key, problem=f"the encoding {encoding} has no {', '.join(map(repr, sorted(lacking)))}")


def _time_complaints(table: Mapping[str, Any], key: str) -> Iterator[Complaint]:
    pattern = table.get(key)
    if not isinstance(pattern, str) or pattern in ("", "iso"):
        return
    for found in time_problems(pattern, has_time=key != "date_format", has_date=key != "time_format"):
        yield Complaint(key=key, problem=found.problem, hint=found.hint)


def decimal_point_complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    point = table.get("decimal_point")
    if isinstance(point, str) and (not point.isascii() or point.isalnum() or point in "+-\r\n"):
        yield Complaint(
            key="decimal_point", problem=f"{point!r} cannot stand in a number", hint='it is mostly "." or ","'
        )
