"""`--param name=value`: a value of the type that the job's file declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING

from batchxfer.errors import UsageError

if TYPE_CHECKING:
    from batchxfer.definitions import AnyJob
    from batchxfer.model import ParameterValue

_BOOLEANS = {"true": True, "false": False}


def parse_parameters(words: Sequence[str], job: AnyJob) -> dict[str, ParameterValue]:
    """The values of `name=value` words. Raises UsageError for what the job does not declare, or of another type."""
    declared: Mapping[str, ParameterValue] = job.parameters
    values: dict[str, ParameterValue] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {word!r} is not name=value", hint="write it like --param country=KR")
        if name not in declared:
            raise UsageError(f"job {job.name!r} has no parameter {name!r}", hint=_known(name, declared, job))
        if name in values:
            raise UsageError(f"--param {name} is given twice")
        values[name] = _read(name, text, declared[name])
    return values


def _known(name: str, declared: Mapping[str, ParameterValue], job: AnyJob) -> str:
    from batchxfer.suggestions import did_you_mean

    if job.direction == "pull":
        return "a pull has no query, and so no parameters"
    if not declared:
        return f"jobs/{job.name}.toml declares none: add it to [source] parameters with its usual value"
    return did_you_mean(name, declared, what="its parameters are")


def _read(name: str, text: str, declared: ParameterValue) -> ParameterValue:
    kind, read, example = _reader(declared)
    try:
        return read(text)
    except (ValueError, KeyError) as exc:
        raise UsageError(
            f"--param {name}={text}: not {kind}, which the job declares ({name} = {declared})",
            hint=f"write it like --param {name}={example}",
        ) from exc


def _reader(declared: ParameterValue) -> tuple[str, Callable[[str], ParameterValue], str]:
    """What it is called, how it is read, how it looks; bool before int and datetime before date: one is the other."""
    readers: tuple[tuple[type, str, Callable[[str], ParameterValue], str], ...] = (
        (bool, "true or false", lambda text: _BOOLEANS[text.lower()], "true"),
        (int, "a whole number", _integer, "42"),
        (float, "a number", _number, "0.5"),
        (datetime, "a date and time", datetime.fromisoformat, "2026-11-23T06:00:00+01:00"),
        (date, "a date", date.fromisoformat, "2026-11-23"),
        (time, "a time", time.fromisoformat, "06:00:00"),
    )
    for type_, kind, read, example in readers:
        if isinstance(declared, type_):
            return kind, read, example
    return "a text", str, "text"


def _integer(text: str) -> int:
    if "_" in text:
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if "_" in text:
        raise ValueError(text)
    return float(text)
