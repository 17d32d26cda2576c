"""Header and trailer records of a fetched file: what they say is read, and must agree with what was read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation

from batchxfer import templates
from batchxfer.errors import UnreadableFile
from batchxfer.paths import RECORD_FIELDS
from batchxfer.templates import Field

LONGEST_CONTROL_RECORD = 1 << 20
_NUMBER = r"[ 0,]*[-+]?[0-9][0-9,]*(?:\.[0-9]+)? *"


class Control:
    """A header or trailer record by agreement, and what the file's says."""

    def __init__(self, name: str, text: str, facts: Mapping[str, object]) -> None:
        known = {
            key: kind for key, kind in RECORD_FIELDS.items() if key in facts or key.startswith(("rows", "sum", "count"))
        }
        self._name = name
        self._text = text
        self._template = templates.parse(text, {**RECORD_FIELDS, **known})
        self._fields = [field for field in self._template.fields if _is_total(field)]
        parts = [self._pattern(part) if isinstance(part, Field) else re.escape(part) for part in self._template.parts]
        self._pattern_of_all = re.compile("".join(parts))
        self._said: list[str] = []

    @property
    def keys(self) -> set[str]:
        return {field.key for field in self._fields}

    def _pattern(self, field: Field) -> str:
        return f"({_NUMBER})" if _is_total(field) else ".*?"

    def read(self, line: str) -> None:
        match = self._pattern_of_all.fullmatch(line)
        if match is None:
            raise UnreadableFile(
                f"its {'first' if self._name.startswith('header') else 'last'} line is {line[:80]!r}, and by agreement the "
                f"{self._name} {self._text!r} stands there",
                hint="the file may be cut off, or of another format",
            )
        self._said = list(match.groups())

    def check(self, totals: Mapping[str, object], unsure: Collection[str] = ()) -> None:
        """Raises UnreadableFile where it says something else. An empty text in a column `unsure` was read as NULL."""
        for field, said in zip(self._fields, self._said, strict=True):
            found = totals[field.key]
            if field.name == "count" and field.argument in unsure and _is_between(said, found, totals["rows"]):
                continue
            if not _agrees(said, found):
                raise UnreadableFile(
                    f"its {self._name} says {field.key} = {said.strip()}, and {found} were read",
                    hint="the file may be cut off or doubled: ask the partner to send it again",
                )


def _is_total(field: Field) -> bool:
    return field.argument is not None or field.name == "rows"


def _agrees(said: str, found: object) -> bool:
    return _is_between(said, found, found)


def _is_between(said: str, least: object, most: object) -> bool:
    try:
        return Decimal(str(least)) <= Decimal(said.replace(",", "").replace(" ", "")) <= Decimal(str(most))
    except InvalidOperation:
        return False


def control(name: str, text: str | None, facts: Mapping[str, object]) -> Control | None:
    return None if text is None else Control(name, text, facts)


def refuse_side_by_side(line_ending: str, *records: Control | None) -> None:
    """A control record that no line ending parts from the records would take them for its own. Raises UnreadableFile."""
    if line_ending == "none" and any(records):
        raise UnreadableFile(
            'its header or trailer record cannot be told from the records: line_ending is "none"',
            hint='set line_ending = "lf" in the format where each record of the file is a line',
        )


def without_controls(text: Iterable[bytes], header: Control | None, trailer: Control | None) -> Iterator[bytes]:
    """The text between the first and the last line, which are read."""
    rest = iter(text)
    if header is not None:
        rest = _after_first(rest, header)
    if trailer is not None:
        rest = _before_last(rest, trailer)
    return rest


def _after_first(text: Iterator[bytes], header: Control) -> Iterator[bytes]:
    begun = b""
    for piece in text:
        begun += piece
        line, ending, after = begun.partition(b"\n")
        if ending:
            header.read(_line(line))
            yield after
            yield from text
            return
        if len(begun) > LONGEST_CONTROL_RECORD:
            break
    header.read(_line(begun))


def _before_last(text: Iterator[bytes], trailer: Control) -> Iterator[bytes]:
    held = b""
    for piece in text:
        held += piece
        # What stands before the last line that is not blank.
        cut = held.rstrip(b"\r\n").rfind(b"\n") + 1
        if cut:
            yield held[:cut]
            held = held[cut:]
        if len(held) > LONGEST_CONTROL_RECORD and b"\n" not in held[:-LONGEST_CONTROL_RECORD]:
            continue
    trailer.read(_line(held.rstrip(b"\r\n")))


def _line(line: bytes) -> str:
    return line.removesuffix(b"\r")[:LONGEST_CONTROL_RECORD].decode("utf-8", "replace")
