"""What the options of several formats have in common: line endings, separators, checks between a format's keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batchxfer.charset import Charset, encoding_problem
from batchxfer.definitions import Complaint
from batchxfer.templates import time_problems

LINE_ENDINGS: Mapping[str, str] = {"lf": "\n", "crlf": "\r\n", "none": ""}

GIVE_A_NAME = "give it another name with as"

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
    for key in _STRUCTURE:
        yield from encodable_complaints(table, key, encoding, key)
    for key in ("date_format", "time_format", "timestamp_format"):
        yield from _time_complaints(table, key)
    written = text_keys(table, true="true", false="false")
    if written["true"] == written["false"]:
        yield Complaint(key="true", problem=f"true and false are both written {written['true']!r}")


def encodable_complaints(table: Mapping[str, Any], key: str, encoding: object, where: str) -> Iterator[Complaint]:
    """For a text that stands in every record: replacing one of its characters would change the records' structure."""
    name = encoding if isinstance(encoding, str) and encoding else "utf-8"
    if not isinstance(table.get(key), str) or encoding_problem(name):
        return
    lacking = Charset(name, replace=False).lacking(table[key])
    if lacking:
        yield Complaint(key=where, problem=f"the encoding {name} has no {', '.join(map(repr, sorted(lacking)))}")


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


def line_ending_complaints(table: Mapping[str, Any]) -> Iterator[Complaint]:
    """For formats whose records only a line ending can tell apart."""
    if table.get("line_ending") == "none":
        problem = 'line_ending = "none" would leave records that cannot be told apart'
        yield Complaint(key="line_ending", problem=problem, hint='use "lf" or "crlf"')


def name_complaints(table: Mapping[str, Any], fault: Callable[[str], str | None]) -> Iterator[Complaint]:
    """For formats that write the columns' names, where these are known: what `fault` says is wrong with one."""
    encoding, columns = table.get("encoding"), table.get("columns")
    replaced = table.get("unencodable") == "replace"
    for number, column in enumerate(columns if isinstance(columns, list | tuple) else ()):
        name = column.get("as", column.get("name")) if isinstance(column, Mapping) else None
        if not isinstance(name, str) or not name:
            continue
        where = f"columns[{number}]"
        if why := fault(name):
            yield Complaint(key=where, problem=f"the name {name!r} cannot be written: {why}", hint=GIVE_A_NAME)
        elif not replaced:
            yield from encodable_complaints({where: name}, where, encoding, where)


def ambiguous_tails(separator: str) -> list[str]:
    """Ends of a value with which the separator after it would be found too early: `|` before `||`."""
    return [separator[:n] for n in range(1, len(separator)) if separator.startswith(separator[n:])]
