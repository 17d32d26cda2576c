"""The shape of a path: what every path of a template looks like, character by character. Pure.

A shape is a text in which a *mark* (one character of a private range of Unicode) stands where a field's value will: its
kind says which characters may come there, and its field and code say what of the slot they tell. All codes have a fixed
width, so a template has one shape, or few. Shapes are texts so that extensions, revisions and sidecars are made by the
same functions that make them of paths. Shapes are compared without regard to case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product

from batchxfer.templates import Field, FieldKind, Template

DIGIT, LETTER, SIGN, IDENTIFIER = (
    "0123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "+-",
    "0123456789abcdefghijklmnopqrstuvwxyz",
)

_CODES: Mapping[str, tuple[str, ...]] = {
    "Y": (DIGIT,) * 4,
    "G": (DIGIT,) * 4,
    "j": (DIGIT,) * 3,
    "f": (DIGIT,) * 6,
    "u": (DIGIT,),
    "p": ("ap", "m"),
    "a": (LETTER,) * 3,
    "b": (LETTER,) * 3,
    "z": (SIGN, *(DIGIT,) * 4),
    **dict.fromkeys(("y", "m", "d", "H", "I", "M", "S", "V"), (DIGIT,) * 2),
}
_RUN_LENGTH = 26
_FIRST_MARK = 0xF0000
_BASIC = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Mark:
    """One character of a field's value: `index` of those that `code` gives; `choices` are the characters it may be."""

    field: str
    code: str
    index: int
    choices: str


def _all_marks() -> Iterator[Mark]:
    for field in ("slot", "slot_utc", "slot_local", "interval_start", "interval_end", "business_date"):
        for code, choices in _CODES.items():
            yield from (Mark(field, code, index, some) for index, some in enumerate(choices))
        yield Mark(field, "Z", 0, "z")
    yield from (Mark("run", "run", index, IDENTIFIER) for index in range(_RUN_LENGTH))
    yield Mark("revision", "revision", 0, "23456789")
    yield Mark("revision", "tens", 0, "123456789")
    yield Mark("revision", "ones", 0, DIGIT)


MARKS: Mapping[str, Mark] = {chr(_FIRST_MARK + number): mark for number, mark in enumerate(_all_marks())}
_CHARACTERS: Mapping[tuple[str, str], str] = {
    key: "".join(char for char, mark in MARKS.items() if (mark.field, mark.code) == key)
    for key in {(mark.field, mark.code) for mark in MARKS.values()}
}
_WIDTHS = {key: len(characters) for key, characters in _CHARACTERS.items()}


class _AnyRevision(int):
    """A later revision of one or two digits, whichever they are: written as marks, between what its spec adds."""

    def __format__(self, spec: str) -> str:
        codes = ("revision",) if self < 10 else ("tens", "ones")
        return format(int(self), spec).replace(str(int(self)), "".join(_CHARACTERS["revision", code] for code in codes))


ONE_DIGIT, TWO_DIGITS = _AnyRevision(9), _AnyRevision(99)


def shapes(template: Template, job: str, revision: int, offsets: Mapping[str, Collection[timedelta]]) -> list[str]:
    """The shapes of a path template's texts. `offsets` are those that each field's zone has in the time looked at.

    `revision` is a number, or ONE_DIGIT, TWO_DIGITS for any from 2 on.
    """
    parts = ([part] if isinstance(part, str) else _field(part, job, revision, offsets) for part in template.parts)
    return ["".join(chosen) for chosen in product(*parts)]


def _field(field: Field, job: str, revision: int, offsets: Mapping[str, Collection[timedelta]]) -> list[str]:
    if field.name == "job":
        return [format(job, field.spec)]
    if field.name == "run":
        return [format(_CHARACTERS["run", "run"], field.spec)]
    if field.name == "revision":
        return [format(revision, field.spec)]
    if field.spec or field.kind is FieldKind.DATE:
        return [_codes(field.name, field.spec or "%Y-%m-%d")]
    zero = {not offset for offset in offsets[field.name]}
    basic = _codes(field.name, _BASIC)
    return [basic + _CHARACTERS[field.name, "Z" if known else "z"] for known in sorted(zero)]


def _codes(field: str, spec: str) -> str:
    pieces, position = [], 0
    while position < len(spec):
        if spec[position] == "%":
            code = spec[position + 1]
            pieces.append("%" if code == "%" else _CHARACTERS[field, code])
            position += 2
        else:
            pieces.append(spec[position])
            position += 1
    return "".join(pieces)


def marks(shape: str) -> frozenset[str]:
    """The marks of a shape: shapes of equal marks tell the same."""
    return frozenset(shape).intersection(MARKS)


def told(shape: str) -> set[tuple[str, str]]:
    """The (field, code) pairs whose value can be read from a text of this shape, whole."""
    seen = defaultdict(set)
    for char in shape:
        if mark := MARKS.get(char):
            seen[mark.field, mark.code].add(mark.index)
    return {key for key, indexes in seen.items() if len(indexes) == _WIDTHS[key]}


def values(shape: str, text: str) -> dict[tuple[str, str], str]:
    """What a text of this shape says of each (field, code), piece by piece."""
    found: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for char, seen in zip(shape, text, strict=True):
        if mark := MARKS.get(char):
            found[mark.field, mark.code][mark.index] = seen
    return {key: "".join(piece for _, piece in sorted(pieces.items())) for key, pieces in found.items()}


# --- comparing -----------------------------------------------------------------------------------


def _choices(char: str) -> str:
    mark = MARKS.get(char)
    return char if mark is None else mark.choices


def overlap(one: str, other: str) -> bool:
    """Whether some text may have both shapes. Never false where one has; true means: look closer."""
    return len(one) == len(other) and all(
        a == b or not set(_choices(a)).isdisjoint(_choices(b)) for a, b in zip(one, other, strict=True)
    )


def suspects(known: Sequence[str]) -> list[list[int]]:
    """The indexes of shapes that may share a text, in groups: no shape overlaps one outside its group.

    Shapes are sorted apart by the characters that are fixed in all of them, so that a thousand different names are not
    compared one with another.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for index, shape in enumerate(known):
        alike[shape].append(index)
    by_length: dict[int, list[str]] = defaultdict(list)
    for shape in alike:
        by_length[len(shape)].append(shape)
    found: list[list[int]] = []
    waiting = list(by_length.values())
    while waiting:
        group = waiting.pop()
        parts = _sort_apart(group)
        if len(parts) > 1:
            waiting += parts
        else:
            found += [sorted(index for shape in chain for index in alike[shape]) for chain in _chains(group)]
    return sorted(indexes for indexes in found if len(indexes) > 1)


def _chains(group: list[str]) -> list[list[str]]:
    """The shapes of a group, those together that overlap, at least by way of others."""
    chains: list[list[str]] = []
    for shape in group:
        touching = [chain for chain in chains if any(overlap(shape, other) for other in chain)]
        chains = [chain for chain in chains if chain not in touching]
        chains.append([shape, *(other for chain in touching for other in chain)])
    return chains


def _sort_apart(group: list[str]) -> list[list[str]]:
    """The shapes of a group by the characters at the places where none of them has a mark."""
    if len(group) == 1:
        return [group]
    fixed = [place for place, column in enumerate(zip(*group, strict=True)) if MARKS.keys().isdisjoint(column)]
    parts: dict[str, list[str]] = defaultdict(list)
    for shape in group:
        parts["".join(shape[place] for place in fixed)].append(shape)
    return list(parts.values())
