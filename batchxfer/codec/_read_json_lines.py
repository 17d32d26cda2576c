"""JSON objects, one a line, back into fields; numbers keep their digits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

from batchxfer.codec._records import MOST_SHOWN, Collector, Feed, lines_of
from batchxfer.conversions import json_fault
from batchxfer.definitions import FormatOptions
from batchxfer.model import Column, TypeName
from batchxfer.ports import BadRecord, Fields


class _Token(str):
    """A number or a literal as it was written."""

    __slots__ = ()


class Decoder:
    """One file of JSON lines (ports.Decoder)."""

    patient = False

    def __init__(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> None:
        self._names = tuple(column.name for column in columns or ())
        self._known = {name: index for index, name in enumerate(self._names)}
        self._documents = {column.name for column in columns or () if column.type.name is TypeName.JSON}
        self._side_by_side = cast(Any, options).line_ending == "none"
        # Where NULL is left out, a null is the document's own.
        self._null = "null" if cast(Any, options).null == "omit" else None
        self._ignores_others = bool(options.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def decode(self, chunks: Iterable[bytes]) -> Iterator[Fields | BadRecord]:
        collector = Collector(self._names)
        feed = Feed(chunks)
        for number, line in _objects_of(feed) if self._side_by_side else lines_of(feed):
            try:
                collector.add(self._read(line), number)
            except (ValueError, RecursionError) as error:
                why = f"it is not JSON: {json_fault(error)}" if type(error) is not ValueError else str(error)
                if number == 1 and line.lstrip().startswith("["):
                    why = "the file is one array, and by agreement each line is an object"
                bad = BadRecord(line=number, column=None, reason=why, text=line[:MOST_SHOWN])
                collector.bad(bad, blank=not line.strip())
            if collector.full:
                yield from collector.take()
        yield from collector.take(last=True)

    def _read(self, line: str) -> list[str | None]:
        pairs = _DECODER.decode(line)
        if not isinstance(pairs, _Pairs):
            raise ValueError("it is not a JSON object")
        fields: list[str | None] = [None] * len(self._names)
        seen: set[str] = set()
        for key, value in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice in it")
            seen.add(key)
            index = self._known.get(key)
            if index is not None and key in self._documents:
                fields[index] = self._null if value is None else _compact(value)
            elif index is not None:
                fields[index] = _text(value)
            elif not self._ignores_others:
                raise ValueError(f"the key {key!r} is none of the table's columns")
        return fields


_SPACE = re.compile(r"[ \t\r\n]*")
# What stands in a string is taken whole: nothing in it opens or closes anything.
_NEXT = re.compile(r'[{}]|"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


def _objects_of(feed: Feed) -> Iterator[tuple[int, str]]:
    """The objects that stand side by side in a feed, numbered: no line ending parts them, and none has to.

    What lies between two objects is a record of its own, which no JSON is.
    """
    text, number = feed.text, 1
    while True:
        text.at = begun = _after_space(text.value, text.at)
        end = _end_of_object(text.value, begun)
        if end is None and not text.ended:
            text.more()
            continue
        end = len(text.value) if end is None else end
        if begun == end:
            return
        text.at = end
        yield number, text.value[begun:end]
        number += 1


def _after_space(value: str, at: int) -> int:
    found = _SPACE.match(value, at)
    return at if found is None else found.end()


def _end_of_object(value: str, at: int) -> int | None:
    """Where the record that begins there ends; None where its end is not here yet."""
    if not value.startswith("{", at):
        found = value.find("{", at)
        return found if found >= 0 else None
    depth = 0
    for match in _NEXT.finditer(value, at):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
        if depth == 0:
            return match.end()
    return None


class _Pairs(list[tuple[str, Any]]):
    """An object's members in their order, doubles too."""


def _refuse(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_int=_Token, parse_float=_Token, parse_constant=_refuse, strict=True
)


def _text(value: Any) -> str | None:
    """A value as a delimited file would have it."""
    if value is None:
        return None
    if isinstance(value, str):
        _refuse_lone_surrogates(value)
        return str(value)
    return _compact(value)


def _refuse_lone_surrogates(text: str) -> None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("it has half a surrogate pair in it") from None


def _compact(value: Any) -> str:
    if isinstance(value, _Token):
        return str(value)
    if isinstance(value, str):
        _refuse_lone_surrogates(value)
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{_compact(key)}:{_compact(each)}" for key, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_compact(each) for each in value) + "]"
    return {None: "null", True: "true", False: "false"}[value]
