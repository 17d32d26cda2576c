"""`name=value` pairs, one record a line, back into fields."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, cast

from batchxfer.codec._records import MOST_SHOWN, Collector, Feed, lines_of
from batchxfer.definitions import FormatOptions
from batchxfer.model import Column
from batchxfer.ports import BadRecord, Fields

_QUOTED = r'"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"'


_ESCAPE = re.compile(r"\\(?:x(?P<byte>[0-7][0-9A-Fa-f])|U(?P<point>[0-9A-Fa-f]{8})|(?P<other>.))", re.DOTALL)
_OTHERS = {"a": "\\u0007", "v": "\\u000b", "'": "'"}


class Decoder:
    """One file of names and values (ports.Decoder).

    A name without `assign` is a value of `true`, as logfmt has it; `name=` is NULL, `name=""` an empty text.
    """

    patient = False

    def __init__(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> None:
        self._options = cast(Any, options)
        self._names = tuple(column.name for column in columns or ())
        self._known = {name: index for index, name in enumerate(self._names)}
        self._ignores_others = bool(options.columns)
        separator, assign = re.escape(self._options.separator), re.escape(self._options.assign)
        self._space = " " if self._options.separator == " " else ""
        if self._space and self._options.quote != "none":
            # logfmt's readers take every blank for one; a value that has one is quoted.
            self._space, separator = " \t", "[ \t]"
        in_name, in_value = rf"(?:(?!{separator}|{assign}).)", rf"(?:(?!{separator}).)"
        if len(self._options.separator) == len(self._options.assign) == 1:
            # The same, many times as fast: values may be long.
            blanks = re.escape(self._space or self._options.separator)
            in_name, in_value = f"[^{blanks}{assign}]", f"[^{blanks}]"
        name, plain = rf"(?P<name>{in_name}+)", rf"(?P<plain>{in_value}*)"
        value = plain if self._options.quote == "none" else rf"(?:{_QUOTED}(?={separator}|$)|(?!\"){plain})"
        self._pair = re.compile(rf"{name}(?:(?P<assign>{assign}){value})?(?:{separator}|$)", re.DOTALL)

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def decode(self, chunks: Iterable[bytes]) -> Iterator[Fields | BadRecord]:
        collector = Collector(self._names)
        for number, line in lines_of(Feed(chunks)):
            try:
                collector.add(self._read(line), number)
            except ValueError as error:
                bad = BadRecord(line=number, column=None, reason=str(error), text=line[:MOST_SHOWN])
                # Where every value is left out, NULLs are a blank line.
                collector.bad(bad, blank=not line.strip())
            if collector.full:
                yield from collector.take()
        yield from collector.take(last=True)

    def _read(self, line: str) -> list[str | None]:
        fields: list[str | None] = [None] * len(self._names)
        seen: set[str] = set()
        at = 0
        if not line and self._options.null != "omit":
            raise ValueError("the line is empty")
        while at < len(line):
            if line[at] in self._space:
                at += 1  # logfmt's writers leave several
                continue
            match = self._pair.match(line, at)
            if match is None:
                raise ValueError(f"at character {at + 1}: no pair of name and value begins there")
            at = match.end()
            name = match["name"]
            if name in seen:
                raise ValueError(f"the name {name!r} stands twice in it")
            seen.add(name)
            index = self._known.get(name)
            if index is not None:
                fields[index] = self._value(match)
            elif not self._ignores_others:
                raise ValueError(f"the name {name!r} is none of the table's columns")
        return fields

    def _value(self, match: re.Match[str]) -> str | None:
        if match["assign"] is None:
            return "true"
        quoted = match.groupdict().get("quoted")
        if quoted is not None:
            try:
                text = str(json.loads(f'"{_ESCAPE.sub(_as_json, quoted)}"', strict=False))
                text.encode("utf-8")
            except ValueError:
                raise ValueError(f"the value of {match['name']!r} has an escape that JSON does not have") from None
            return text
        # Without quotes, and with NULLs left out, nothing after the assign text is an empty text.
        is_null = not match["plain"] and not (self._options.quote == "none" and self._options.null == "omit")
        return None if is_null else match["plain"]


def _as_json(escape: re.Match[str]) -> str:
    """An escape as Go quotes a text; those that JSON has too are left."""
    digits = escape["byte"] or escape["point"]
    if digits is None:
        return _OTHERS.get(escape["other"], escape[0])
    if int(digits, 16) > sys.maxunicode:
        return escape[0]
    return json.dumps(chr(int(digits, 16)))[1:-1]
