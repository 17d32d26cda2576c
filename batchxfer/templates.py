"""`{name:spec}` templates: paths, names, control records.

A template is text with fields in braces; `{{` and `}}` stand for braces. A field is `{name}`, `{name:spec}`, or with an
argument `{sum[amount]:>15}`. What a spec may say depends on the field's kind:

TIME    strftime codes, with English names whatever the machine's locale; without a spec ISO 8601 basic with the offset,
        `20261123T010203+0900`, `20261122T160203Z` (fraction only when not zero)
DATE    the codes that need no time of day; without a spec `2026-11-23`
NUMBER  a format spec: `08`, `>15`, `,`, `.2f`; never a float, an exponent or a rounded digit
TEXT    a format spec: `>10`, `.3`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from batchxfer.errors import UnwritableValue, UserError
from batchxfer.suggestions import did_you_mean


class FieldKind(StrEnum):
    """What a field's value is: an aware datetime, a date, an int or Decimal, a str."""

    TIME = "time"
    DATE = "date"
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, kw_only=True)
class TemplateProblem:
    """One thing wrong in a template."""

    problem: str
    hint: str | None = None


class TemplateError(UserError, ValueError):
    """Every problem of one template."""

    kind = "template"

    def __init__(self, text: str, problems: list[TemplateProblem]) -> None:
        what = "; ".join(f"{p.problem} ({p.hint})" if p.hint else p.problem for p in problems)
        super().__init__(f"template {text!r}: {what}")
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One `{name[argument]:spec}`; `spec` is "" where there is none."""

    name: str
    kind: FieldKind
    argument: str | None = None
    spec: str = ""

    @property
    def key(self) -> str:
        """The name under which `render` finds its value: `rows`, `sum[amount]`."""
        return self.name if self.argument is None else f"{self.name}[{self.argument}]"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template that was read: literal texts and fields, in their order."""

    text: str
    parts: tuple[str | Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(part for part in self.parts if isinstance(part, Field))

    def uses(self, name: str) -> bool:
        return any(field.name == name for field in self.fields)

    def render(self, values: Mapping[str, object]) -> str:
        """The text with `values[field.key]` in the place of each field.

        A time is shown in its own zone. Raises ValueError for a naive one, UnwritableValue for a number that its spec would
        round.
        """
        return "".join(part if isinstance(part, str) else _write(part, values[part.key]) for part in self.parts)


_PIECE = re.compile(
    r"(?P<escape>\{\{|\}\})"
    r"|\{(?P<name>[^{}\[\]:]*)(?:\[(?P<argument>[^{}]*?)\](?=[:}]))?(?P<rest>[^{}:]*)(?::(?P<spec>[^{}]*))?\}"
    r"|(?P<brace>[{}])"
    r"|(?P<literal>[^{}]+)"
)


def parse(text: str, allowed: Mapping[str, FieldKind]) -> Template:
    """Read a template whose fields may have the names in `allowed`; `sum[]` there is a name that takes an argument.

    Raises TemplateError with every problem.
    """
    problems: list[TemplateProblem] = []
    parts: list[str | Field] = []
    for match in _PIECE.finditer(text):
        if match["brace"]:
            problems.append(_stray(match["brace"]))
        elif match["name"] is None:
            literal = match["escape"][0] if match["escape"] else match[0]
            parts.append(literal)
        else:
            found = _field(match, allowed)
            if isinstance(found, Field):
                problems += _spec_problems(found)
                parts.append(found)
            else:
                problems.append(found)
    if problems:
        raise TemplateError(text, problems)
    return Template(text=text, parts=_joined(parts))


def _stray(brace: str) -> TemplateProblem:
    return TemplateProblem(problem=f"a {brace!r} stands alone", hint=f"write {brace * 2!r} for the character itself")


def _joined(parts: list[str | Field]) -> tuple[str | Field, ...]:
    joined: list[str | Field] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _field(match: re.Match[str], allowed: Mapping[str, FieldKind]) -> Field | TemplateProblem:
    name, argument, shown = match["name"], match["argument"], match[0]
    if match["rest"] or (name + "[]" not in allowed and argument is not None):
        return _unknown(shown, name, allowed)
    if name + "[]" in allowed and not argument:
        return TemplateProblem(problem=f"{shown} needs a column", hint=f"write {{{name}[COLUMN]}}")
    kind = allowed.get(name if argument is None else name + "[]")
    if kind is None:
        return _unknown(shown, name, allowed)
    return Field(name=name, kind=kind, argument=argument, spec=match["spec"] or "")


def _unknown(shown: str, name: str, allowed: Mapping[str, FieldKind]) -> TemplateProblem:
    known = [key.replace("[]", "[COLUMN]") for key in allowed]
    return TemplateProblem(problem=f"unknown name in {shown}", hint=did_you_mean(name, known, what="names"))


# --- specs ---------------------------------------------------------------------------------------

_WIDEST = 1000
_NUMBER_SPEC = re.compile(r"(?:[^{}]?[<>=^])?[-+ ]?(?P<width>0?[0-9]*),?(?:\.(?P<digits>[0-9]+))?(?P<type>[df]?)")
_TEXT_SPEC = re.compile(r"(?:[^{}]?[<>^])?(?P<width>[0-9]*)(?:\.(?P<digits>[0-9]+))?s?")


def _spec_problems(field: Field) -> Iterator[TemplateProblem]:
    if not field.spec:
        return
    if field.kind in (FieldKind.TIME, FieldKind.DATE):
        yield from time_problems(field.spec, has_time=field.kind is FieldKind.TIME, has_date=True)
        return
    number = field.kind is FieldKind.NUMBER
    match = (_NUMBER_SPEC if number else _TEXT_SPEC).fullmatch(field.spec)
    examples = "like 08, >15 or .2f" if number else "like >10 or .3"
    if match is None or (number and match["type"] == "d" and match["digits"]):
        yield TemplateProblem(
            problem=f"{field.spec!r} is no format spec for {field.key}, which is a {field.kind}",
            hint=f"write one {examples}",
        )
    elif max(int(match["width"] or 0), int(match["digits"] or 0)) > _WIDEST:
        yield TemplateProblem(problem=f"{field.spec!r} is wider than {_WIDEST} characters")


def without_offset(pattern: str) -> str:
    """The pattern for what has no zone: the code for the offset writes nothing."""
    return re.sub("%.", lambda code: "" if code[0] == "%z" else code[0], pattern, flags=re.DOTALL)


def time_problems(spec: str, *, has_time: bool, has_date: bool) -> Iterator[TemplateProblem]:
    """What is wrong with a strftime text for a value that has a time of day, a date, or both."""
    known = sorted((_DATE_CODES if has_date else set()) | (_TIME_CODES if has_time else set()) | {"%"})
    if has_time and not has_date:
        known.remove("z")
    codes = re.findall(r"%(.?)", spec, re.DOTALL)
    for code in dict.fromkeys(codes):
        if code not in known:
            what = "has no time of day" if code in _TIME_CODES else "has no date" if code in _DATE_CODES else ""
            yield TemplateProblem(
                problem=f"the code %{code} in {spec!r} "
                + (f"is of no use: the value {what}" if what else "is unknown"),
                hint="codes: " + " ".join("%" + name for name in known),
            )
    if not set(codes) - {"%"}:
        yield TemplateProblem(
            problem=f"{spec!r} has no code", hint="write one like " + ("%Y%m%d" if has_date else "%H%M%S")
        )


# --- values --------------------------------------------------------------------------------------

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _offset(time: datetime) -> str:
    delta = time.utcoffset()
    if delta is None:
        raise ValueError(f"a time without a zone: {time}")
    seconds = round(delta.total_seconds())
    hours, rest = divmod(abs(seconds), 3600)
    text = f"{'-' if seconds < 0 else '+'}{hours:02}{rest // 60:02}"
    return text + (f"{rest % 60:02}" if rest % 60 else "")


_DATE_WRITERS: Mapping[str, Callable[[date], str]] = {
    "Y": lambda day: f"{day.year:04}",
    "y": lambda day: f"{day.year % 100:02}",
    "m": lambda day: f"{day.month:02}",
    "d": lambda day: f"{day.day:02}",
    "j": lambda day: f"{day.timetuple().tm_yday:03}",
    "a": lambda day: _DAYS[day.weekday()],
    "b": lambda day: _MONTHS[day.month - 1],
    "G": lambda day: f"{day.isocalendar().year:04}",
    "V": lambda day: f"{day.isocalendar().week:02}",
    "u": lambda day: str(day.isoweekday()),
}
_TIME_WRITERS: Mapping[str, Callable[[datetime], str]] = {
    "H": lambda time: f"{time.hour:02}",
    "I": lambda time: f"{(time.hour + 11) % 12 + 1:02}",
    "M": lambda time: f"{time.minute:02}",
    "S": lambda time: f"{time.second:02}",
    "f": lambda time: f"{time.microsecond:06}",
    "p": lambda time: "AM" if time.hour < 12 else "PM",
    "z": _offset,
}
_DATE_CODES = set(_DATE_WRITERS)
_TIME_CODES = set(_TIME_WRITERS)


def format_time(value: date, spec: str) -> str:
    """`value`, a date or an aware datetime, by strftime codes, with English names whatever the locale."""

    def write(match: re.Match[str]) -> str:
        code = match[1]
        if code == "%":
            return "%"
        if code in _DATE_WRITERS:
            return _DATE_WRITERS[code](value)
        if isinstance(value, datetime):
            return _TIME_WRITERS[code](value)
        raise ValueError(f"%{code} needs a time of day: {value}")

    return re.sub(r"%(.)", write, spec)


def _write(field: Field, value: object) -> str:
    if field.kind is FieldKind.TIME:
        return _write_time(field, value)
    if field.kind is FieldKind.DATE:
        if not isinstance(value, date) or isinstance(value, datetime):
            raise ValueError(f"{field.key} must be a date: {value!r}")
        return format_time(value, field.spec or "%Y-%m-%d")
    if field.kind is FieldKind.NUMBER:
        return _write_number(field, value)
    if not isinstance(value, str):
        raise ValueError(f"{field.key} must be a text: {value!r}")
    return format(value, field.spec)


def _write_time(field: Field, value: object) -> str:
    if not isinstance(value, datetime):
        raise ValueError(f"{field.key} must be a time: {value!r}")
    if value.utcoffset() is None:
        raise ValueError(f"{field.key} must be a time with a zone: {value}")
    if field.spec:
        return format_time(value, field.spec)
    offset = _offset(value)
    fraction = f".{value.microsecond:06}" if value.microsecond else ""
    return format_time(value, "%Y%m%dT%H%M%S") + fraction + ("Z" if offset == "+0000" else offset)


def _write_number(field: Field, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{field.key} must be an int or a Decimal: {value!r}")
    match = _NUMBER_SPEC.fullmatch(field.spec)
    spec, kind = field.spec, match["type"] if match else ""
    if isinstance(value, int) and not (kind == "f" or (match and match["digits"])):
        return format(value, spec)
    number = Decimal(value)
    digits = 0 if kind == "d" else int(match["digits"]) if match and match["digits"] else None
    if digits is not None and (_rounds(number, digits) or not number.is_finite()):
        raise UnwritableValue(
            f"{field.key} is {number:f}, which {{{field.key}:{spec}}} would round",
            hint=f"write {{{field.key}}} with at least as many decimals as the column has",
        )
    if kind == "d":
        return format(int(number), spec)
    return format(number, spec if kind == "f" else spec + "f")


def _rounds(number: Decimal, digits: int) -> bool:
    """Whether a digit other than 0 stands behind so many decimals."""
    _, written, exponent = number.as_tuple()
    excess = -exponent - digits if isinstance(exponent, int) else 0
    return excess > 0 and any(written[-excess:])
