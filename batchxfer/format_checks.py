"""What is wrong with a format beyond its single keys: its columns and its control records."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from batchxfer.definitions import FormatOptions
from batchxfer.model import TypeName
from batchxfer.paths import RECORD_FIELDS
from batchxfer.suggestions import did_you_mean
from batchxfer.tables import Findings, join
from batchxfer.templates import Template, TemplateError, parse, without_offset

SIDE_BY_SIDE = 'line_ending = "none" leaves nothing to tell it from the records beside it'
_SAMPLE = datetime(2026, 11, 23, 13, 45, 56)  # noqa: DTZ001 - a calendar's day and a clock's hour, of no zone
_SUMMED = (TypeName.INTEGER, TypeName.DECIMAL)


def check_format(options: FormatOptions, where: str, findings: Findings) -> None:
    """Add what is wrong; `options` may be half-read."""
    _check_columns(options, where, findings)
    for key in ("header_record", "trailer_record"):
        text = getattr(options, key)
        if text is not None:
            _check_record(options, text, join(where, key), findings)


def check_writable(options: FormatOptions, where: str, findings: Findings) -> None:
    """Add what keeps files of this format from being written; `options` may be half-read."""
    for complaint in options.unwritable():
        findings.add(join(where, complaint.key), complaint.problem, complaint.hint)


def check_readable(options: FormatOptions, where: str, findings: Findings) -> None:
    """Add what keeps files of this format from being read; `options` may be half-read."""
    for key in ("header_record", "trailer_record"):
        if getattr(options, key) is not None and options.line_ending == "none":
            hint = 'write line_ending = "lf" where each record of the file is a line'
            findings.add(join(where, key), f"a file with it cannot be loaded: {SIDE_BY_SIDE}", hint)
        elif "\n" in (getattr(options, key) or ""):
            findings.add(join(where, key), "it is more than one line, and a file with it cannot be loaded")
    if options.trailer_record == "":
        findings.add(join(where, "trailer_record"), "an empty line at the end of a file says nothing", "take it out")
    for name, count in Counter(column.name for column in options.columns or () if column.name).items():
        if count > 1:
            findings.add(join(where, "columns"), f"{name!r} is filled {count} times: a file with it cannot be loaded")
    for key in ("date_format", "time_format", "timestamp_format"):
        pattern = getattr(options, key)
        if pattern and pattern != "iso" and (what := _untold(pattern, key)):
            findings.add(join(where, key), f"{pattern!r} does not say which {what} it is: it cannot be loaded")


def _untold(pattern: str, key: str) -> str | None:
    """What a reader cannot tell; a timestamp may be a day alone, which begins at midnight."""
    pattern = without_offset(pattern)
    try:
        found = datetime.strptime(_SAMPLE.strftime(pattern), pattern)  # noqa: DTZ007 - a time of no zone
    except ValueError:
        return "one"
    if key != "time_format" and found.date() != _SAMPLE.date():
        return "day"
    has_hour = key == "time_format" or any(code in pattern for code in ("%H", "%I"))
    return "hour" if has_hour and found.hour != _SAMPLE.hour else None


def _check_columns(options: FormatOptions, where: str, findings: Findings) -> None:
    names = [column.as_ or column.name for column in options.columns or () if column.name]
    for name, count in Counter(names).items():
        if count > 1:
            findings.add(
                join(where, "columns"), f"{count} columns are named {name!r}", 'give one another name with "as"'
            )


def _check_record(options: FormatOptions, text: str, where: str, findings: Findings) -> None:
    try:
        template = parse(text, RECORD_FIELDS)
    except TemplateError as exc:
        for problem in exc.problems:
            findings.add(where, problem.problem, problem.hint)
        return
    _check_totals(options, template, where, findings)
    _check_literals(options, template, where, findings)


def _check_totals(options: FormatOptions, template: Template, where: str, findings: Findings) -> None:
    """Totals name the columns by their `name`; without `[[columns]]` only the query knows them."""
    columns = {column.name: column for column in options.columns or () if column.name}
    for field in template.fields:
        if field.argument is None or not columns:
            continue
        column = columns.get(field.argument)
        if column is None:
            findings.add(
                where, f"{{{field.key}}}: no such column", did_you_mean(field.argument, columns, what="columns")
            )
        elif field.name == "sum" and column.type is not None and column.type.name not in _SUMMED:
            findings.add(
                where, f"{{{field.key}}}: the column is {column.type}", "only integers and decimals are summed"
            )


def _check_literals(options: FormatOptions, template: Template, where: str, findings: Findings) -> None:
    text = "".join(part for part in template.parts if isinstance(part, str))
    try:
        text.encode(options.encoding or "utf-8")
    except UnicodeError as exc:
        lacking = f"{text[exc.start]!r}" if isinstance(exc, UnicodeEncodeError) else "a character of it"
        findings.add(where, f"the encoding {options.encoding} has no {lacking}")
    except (LookupError, ValueError):
        # The encoding itself is told of by the format's own options.
        return
