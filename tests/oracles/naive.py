"""A second way to write every format: one row and one value at a time, as plainly as DESIGN's tables say it.

It shares no code with the codecs. A row is a list of Python values: int, str (decimals too), float, `Float4`, bool, date,
time, datetime, bytes, None. `table` is a format as its TOML has it, with the defaults left out.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

END = {"lf": "\n", "crlf": "\r\n", "none": ""}


class Unwritable(Exception):
    """A value that the format cannot represent."""


class Float4(float):
    """A float of four bytes."""


def encode(table: dict[str, Any], names: list[str], types: list[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """The whole file. `types` are the names of the columns' types."""
    writer = WRITERS[table["kind"]]
    end = END[table.get("line_ending", "lf")]
    text = control(table, "header_record", names, rows, end)
    if table["kind"] == "delimited" and table.get("header", True):
        text += delimited_header(table, names) + end
    for row in rows:
        text += writer(table, names, types, row) + end
    text += control(table, "trailer_record", names, rows, end)
    errors = "replace" if table.get("unencodable") == "replace" else "strict"
    return text.encode(table.get("encoding", "utf-8"), errors) if text else b""


def control(table: dict[str, Any], key: str, names: list[str], rows: Sequence[Sequence[Any]], end: str) -> str:
    """`rows`, `sum[name]` and `count[name]` with a width or nothing."""
    if key not in table:
        return ""

    def put(match: re.Match[str]) -> str:
        what, name, spec = match.groups()
        if what == "rows":
            return format(len(rows), spec or "")
        column = [row[names.index(name)] for row in rows if row[names.index(name)] is not None]
        if what == "count":
            return format(len(column), spec or "")
        return format(f"{sum((Decimal(value) for value in column), Decimal(0)):f}", spec or "")

    return re.sub(r"\{(\w+)(?:\[(\w+)\])?(?::([^}]*))?\}", put, table[key]) + end


# --- values --------------------------------------------------------------------------------------


def write(value: Any, kind: str, table: dict[str, Any]) -> str:
    """One value, not NULL, as text."""
    match kind:
        case "float":
            text = shortest_float4(value) if isinstance(value, Float4) else repr(float(value))
            return text.replace(".", table.get("decimal_point", "."))
        case "decimal":
            return str(value).replace(".", table.get("decimal_point", "."))
        case "boolean":
            return str(table.get("true", "true") if value else table.get("false", "false"))
        case "bytes":
            return value.hex() if table.get("bytes") == "hex" else base64.b64encode(value).decode()
        case "date":
            return moment(value, table.get("date_format", "iso"))
        case "time":
            return moment(value, table.get("time_format", "iso"))
        case "timestamp":
            return moment(value, table.get("timestamp_format", "iso"))
        case "timestamptz":
            zone = ZoneInfo(table.get("timezone", "UTC"))
            return moment(value.astimezone(zone), table.get("timestamp_format", "iso"))
        case _:
            return str(value)


def shortest_float4(value: float) -> str:
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("f", float(text)) == struct.pack("f", value):
            return repr(float(text))
    return repr(float(value))  # nan


def moment(value: date | time | datetime, pattern: str) -> str:
    if pattern == "iso":
        return value.isoformat()
    text = pattern.replace("%%", "\0")
    if not isinstance(value, time):
        text = text.replace("%Y", f"{value.year:04}").replace("%G", f"{value.isocalendar()[0]:04}")
    return value.strftime(text).replace("\0", "%")


# --- delimited -----------------------------------------------------------------------------------


def delimited(table: dict[str, Any], names: list[str], types: list[str], row: Sequence[Any]) -> str:
    fields = []
    for kind, value in zip(types, row, strict=True):
        if value is None:
            fields.append(table.get("null", ""))
        else:
            text = write(value, kind, table)
            fields.append(delimited_field(formula_safe(text, table) if kind == "text" else text, table))
    return delimited_record(fields, table)


def delimited_header(table: dict[str, Any], names: list[str]) -> str:
    return delimited_record([delimited_field(formula_safe(name, table), table) for name in names], table)


def delimited_record(fields: list[str], table: dict[str, Any]) -> str:
    delimiter = table.get("delimiter", ",")
    return str(delimiter.join(fields) + (delimiter if table.get("trailing_delimiter") else ""))


def formula_safe(text: str, table: dict[str, Any]) -> str:
    return "'" + text if table.get("spreadsheet_safe") and text[:1] in tuple("=+-@\t\r\n＝＋－＠") else text


def delimited_field(text: str, table: dict[str, Any]) -> str:
    quoting, quote, null = table.get("quote", "minimal"), table.get("quote_char", '"'), table.get("null", "")
    delimiter = table.get("delimiter", ",")
    # The delimiter must first be found behind the value, not in it and not across its end.
    clashes = (text + delimiter).index(delimiter) != len(text) or "\r" in text or "\n" in text
    if quoting == "none":
        return bare_field(text, clashes, delimiter, null, table.get("escape"))
    if text == "":
        return quote * 2 if table.get("quote_empty", True) else ""
    if quoting == "all" or clashes or quote in text or text[0] == " " or text[-1] == " " or text == null:
        return str(quote + text.replace(quote, quote + quote) + quote)
    return text


def bare_field(text: str, clashes: bool, delimiter: str, null: str, escape: str | None) -> str:
    reads_as_null = text == null and text != ""
    if escape is None:
        if clashes or reads_as_null:
            raise Unwritable(text)
        return text
    special = {escape, delimiter[0], "\r", "\n"}
    escaped = "".join(escape + character if character in special else character for character in text)
    return escape + escaped if reads_as_null and not null.startswith(escape) else escaped


# --- key-value -----------------------------------------------------------------------------------


def key_value(table: dict[str, Any], names: list[str], types: list[str], row: Sequence[Any]) -> str:
    pairs = []
    for name, kind, value in zip(names, types, row, strict=True):
        if value is not None:
            pairs.append(name + table.get("assign", "=") + key_value_text(write(value, kind, table), table))
        elif table.get("null", "empty") == "empty":
            pairs.append(name + table.get("assign", "="))
    return str(table.get("separator", " ").join(pairs))


def key_value_text(text: str, table: dict[str, Any]) -> str:
    quoting, separator, assign = table.get("quote", "minimal"), table.get("separator", " "), table.get("assign", "=")
    runs_on = (text + separator).index(separator) != len(text)
    if quoting == "none":
        if runs_on or assign in text or "\r" in text or "\n" in text:
            raise Unwritable(text)
        return text
    special = any(character in ' "\\\x7f' or character < " " for character in text)
    if quoting == "all" or runs_on or assign in text or special or text == "":
        return json.dumps(text, ensure_ascii=False)
    return text


# --- JSON lines ----------------------------------------------------------------------------------


def json_lines(table: dict[str, Any], names: list[str], types: list[str], row: Sequence[Any]) -> str:
    ascii_only = table.get("ascii", False)
    members = []
    for name, kind, value in zip(names, types, row, strict=True):
        if value is None and table.get("null") == "omit":
            continue
        key = json.dumps(name, ensure_ascii=ascii_only)
        members.append(key + ":" + json_value(value, kind, table, ascii_only))
    return "{" + ",".join(members) + "}"


def json_value(value: Any, kind: str, table: dict[str, Any], ascii_only: bool) -> str:
    if value is None:
        return "null"
    text = write(value, kind, table)
    if kind == "json":
        return "".join(json.dumps(c)[1:-1] if ascii_only and ord(c) > 127 else c for c in text)
    if kind == "float" or (kind == "decimal" and table.get("decimals", "number") == "number"):
        if not Decimal(text).is_finite():
            raise Unwritable(text)
        return text
    literal = kind == "boolean" and "true" not in table and "false" not in table
    return text if kind == "integer" or literal else json.dumps(text, ensure_ascii=ascii_only)


# --- fixed width, lines --------------------------------------------------------------------------


def fixed_width(table: dict[str, Any], names: list[str], types: list[str], row: Sequence[Any]) -> str:
    return "".join(
        fixed_field("" if value is None else write(value, kind, table), kind, column, table)
        for column, kind, value in zip(table["columns"], types, row, strict=True)
    )


def fixed_field(text: str, kind: str, column: dict[str, Any], table: dict[str, Any]) -> str:
    if "\r" in text or "\n" in text:
        raise Unwritable(text)
    number = kind in ("integer", "decimal", "float")
    width, pad = column["width"], column.get("pad", " ")
    while fixed_size(text, table) > width:
        if number or column.get("overflow", "fail") == "fail":
            raise Unwritable(text)
        text = text[:-1]
    padding = ""
    while fixed_size(text + padding, table) < width:
        padding += pad
    if column.get("align", "left") == "left":
        return text + padding
    return "-" + padding + text[1:] if number and pad == "0" and text.startswith("-") else str(padding + text)


def fixed_size(text: str, table: dict[str, Any]) -> int:
    if table.get("width_unit", "chars") == "chars":
        return len(text)
    errors = "replace" if table.get("unencodable") == "replace" else "strict"
    return len(text.encode(table.get("encoding", "utf-8"), errors))


def lines(table: dict[str, Any], names: list[str], types: list[str], row: Sequence[Any]) -> str:
    (value,) = row
    if value is None:
        raise Unwritable("NULL")
    return str(value)


WRITERS = {
    "delimited": delimited,
    "key-value": key_value,
    "json-lines": json_lines,
    "fixed-width": fixed_width,
    "lines": lines,
}
