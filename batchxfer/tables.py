"""TOML files and tables → models, with every problem of every key told at once.

A table that has problems is still read as far as it goes, so that what is wrong with it beside its neighbours is found in
the same look; keys that could not be read are None then. Such a half-read value never leaves `config.load`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from batchxfer.definitions import SecretRef, Table
from batchxfer.errors import Problem
from batchxfer.suggestions import did_you_mean

T = TypeVar("T", bound=Table)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The problems of one file, added to those of all."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, where: str, problem: str, hint: str | None = None) -> None:
        self.problems.append(Problem(file=self.file, where=where, problem=problem, hint=hint or None))

    def of(self, file: str) -> Findings:
        return Findings(file=file, problems=self.problems)

    def __len__(self) -> int:
        return len(self.problems)


# --- files ---------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The text of a file, without the byte order mark that editors on Windows begin it with.

    Raises OSError, also for what is no file: a pipe or a device might never end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no file" if not path.is_dir() else os.strerror(errno.EISDIR))
    return path.read_bytes().decode("utf-8-sig")


def read_toml(path: Path, findings: Findings) -> dict[str, Any] | None:
    """The tables of a file; None, with the problem found, where it cannot be read."""
    try:
        return tomllib.loads(read_text(path))
    except OSError as exc:
        findings.add("", f"cannot be read: {exc.strerror}", "check the path, and that this user may read it")
    except UnicodeDecodeError as exc:
        findings.add("", f"is not UTF-8 text: byte {exc.start} is wrong", "save it as UTF-8")
    except tomllib.TOMLDecodeError as exc:
        problem, where = _syntax_error(str(exc), path)
        findings.add(where, problem, "mend the TOML there")
    except (ValueError, RecursionError):
        findings.add("", "holds a value that is too large or too deep")
    return None


def _syntax_error(message: str, path: Path) -> tuple[str, str]:
    match = re.fullmatch(r"(.*) \(at (.*)\)", message, re.DOTALL)
    problem, where = (match[1], match[2]) if match else (message, "")
    if where == "end of document":
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        where = f"line {len(lines)}, column {len(lines[-1]) + 1}"
    return f"not TOML: {problem[:1].lower()}{problem[1:]}", where


# --- tables --------------------------------------------------------------------------------------


def read(model: type[T], table: object, where: str, findings: Findings) -> T:
    """`table` as a `model`. Its problems are added to `findings`; where there are any, the value is half-read."""
    fields = _fields(model)
    if not isinstance(table, dict):
        findings.add(where, f"must be a table, not {shown(table)}")
        return _half_read(model, fields, {}, set(), set())
    begun = len(findings)
    _report_unknown(table, model, where, findings)
    values, half_read = _read_inner(model, table, where, findings)
    for complaint in model.complaints(table):
        findings.add(join(where, complaint.key), complaint.problem, complaint.hint)
    sound = {key: value for key, value in values.items() if key not in half_read}
    try:
        made = model.model_validate(sound)
        wrong: set[str] = set()
    except ValidationError as exc:
        errors = [error for error in exc.errors(include_url=False) if error["loc"] and error["loc"][0] not in half_read]
        errors += [error for error in exc.errors(include_url=False) if not error["loc"]]
        wrong = {str(error["loc"][0]) for error in errors if error["loc"]}
        _report(errors, table, fields, where, findings)
    return made if len(findings) == begun else _half_read(model, fields, values, half_read, wrong)


@cache
def _fields(model: type[Table]) -> dict[str, FieldInfo]:
    """The keys as the TOML writes them."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


@cache
def _inner_tables(model: type[Table]) -> dict[str, tuple[str, type[Table]]]:
    found = {key: inner_table(info.annotation) for key, info in _fields(model).items()}
    return {key: (shape, inner) for key, (shape, inner) in found.items() if inner is not None}


def _report_unknown(table: Mapping[str, Any], model: type[Table], where: str, findings: Findings) -> None:
    fields = _fields(model)
    known = fields.keys() - model.not_keys
    for key in table.keys() - fields.keys():
        findings.add(join(where, quoted(key)), "unknown key", did_you_mean(key, known, what="keys"))


def _read_inner(
    model: type[Table], table: Mapping[str, Any], where: str, findings: Findings
) -> tuple[dict[str, Any], set[str]]:
    """The table's known keys with the tables inside it read, and those keys that had problems."""
    values, half_read = {key: value for key, value in table.items() if key in _fields(model)}, set()
    for key, (shape, inner) in _inner_tables(model).items():
        if key in table:
            begun = len(findings)
            info = _fields(model)[key]
            values[key] = _read_value(info, shape, inner, table[key], join(where, key), findings)
            if len(findings) > begun:
                half_read.add(key)
    return values, half_read


def _read_value(info: FieldInfo, shape: str, model: type[Table], value: Any, where: str, findings: Findings) -> Any:
    if shape == "one" and isinstance(value, dict):
        return read(model, value, where, findings)
    if shape == "one" and model is SecretRef and not _takes_text(info.annotation):
        findings.add(where, *_literal_secret(where))
        return None
    if shape == "many" and isinstance(value, list | tuple):
        return tuple(read(model, item, f"{where}[{index}]", findings) for index, item in enumerate(value))
    if shape == "named" and isinstance(value, dict):
        return {name: read(model, item, join(where, quoted(name)), findings) for name, item in value.items()}
    return value


def _takes_text(annotation: Any) -> bool:
    return annotation is str or any(map(_takes_text, get_args(annotation)))


def _literal_secret(where: str) -> tuple[str, str]:
    key = where.rpartition(".")[2]
    if key == "environment":
        return (
            "the machine's name must not stand in this file, or it is copied to other machines with it",
            'write environment = { file = "/etc/batchxfer-environment" } or { env = "NAME" }',
        )
    return (
        "a secret must not stand in this file: everyone who reads it, or its history, would have it",
        f'write {key} = {{ env = "NAME" }} or {key} = {{ file = "PATH" }}; change the secret if it was ever shared',
    )


def inner_table(annotation: Any) -> tuple[str, type[Table] | None]:
    """How a key's value holds tables: `one`, `many` (an array of them), `named`; and of which model."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and origin is None and issubclass(annotation, Table):
        return "one", annotation
    if origin is Annotated:
        return inner_table(arguments[0])
    if origin in (Union, UnionType):
        return next((found for found in map(inner_table, arguments) if found[1]), ("", None))
    if origin in (tuple, dict):
        model = inner_table(arguments[0 if origin is tuple else 1])[1]
        return ("many" if origin is tuple else "named"), model
    return "", None


def _half_read(
    model: type[T], fields: Mapping[str, FieldInfo], values: Mapping[str, Any], half_read: set[str], wrong: set[str]
) -> T:
    names = {info.alias or name: name for name, info in model.model_fields.items()}
    made = {}
    for key, info in fields.items():
        if key in half_read:
            made[names[key]] = values[key]
        elif key in values and key not in wrong:
            made[names[key]] = _read_alone(info, values[key])
        else:
            made[names[key]] = None if info.is_required() else info.get_default(call_default_factory=True)
    # The keys that were written, as pydantic keeps them for a sound table.
    return model.model_construct(_fields_set={names[key] for key in values}, **made)


def _read_alone(info: FieldInfo, value: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
    return adapter.validate_python(tuple(value) if isinstance(value, list) else value, strict=True)


# --- what pydantic found -------------------------------------------------------------------------

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "date_type": "a date",
    "datetime_type": "a date-time",
    "time_type": "a time",
}


def _report(
    errors: Sequence[ErrorDetails],
    table: Mapping[str, Any],
    fields: Mapping[str, FieldInfo],
    where: str,
    findings: Findings,
) -> None:
    """One problem a place: of a union's errors the one of the branch that came nearest."""
    places: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for error in errors:
        places.setdefault(tuple(_real(error["loc"], table)), []).append(error)
    for place, found in places.items():
        if all(error["type"] == "too_short" for error in found) and any(other[:-1] == place for other in places):
            # Of what is wrong in it nothing was left.
            continue
        info = fields.get(str(place[0])) if place else None
        findings.add(_join_all(where, place), *_explain(found, info))


def _real(loc: Sequence[str | int], table: Any) -> Iterator[str | int]:
    """The part of a location that is in the table; what follows names a union's branch."""
    value = table
    for index, part in enumerate(loc):
        inside = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if inside:
            value = value[part]
        elif index:
            return
        yield part


def _explain(errors: Sequence[ErrorDetails], info: FieldInfo | None) -> tuple[str, str | None]:
    """The problem and the hint of one place. Values that may be secrets are not shown."""
    private = info is not None and inner_table(info.annotation)[1] is SecretRef
    expected = [_EXPECTED[error["type"]] for error in errors if error["type"] in _EXPECTED]
    if len(expected) == len(errors):
        wanted = " or ".join(dict.fromkeys(expected))
        return f"must be {wanted}" + ("" if private else f", not {shown(errors[0]['input'])}"), None
    error = next(error for error in errors if error["type"] not in _EXPECTED)
    return _explain_one(error, info, "the value" if private else shown(error["input"]))


def _explain_one(error: ErrorDetails, info: FieldInfo | None, seen: str) -> tuple[str, str | None]:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is required", info.description if info else None
    if kind == "value_error":
        problem, _, hint = str(context["error"]).partition("; ")
        return problem, hint or None
    if kind == "literal_error":
        values = re.findall(r"'([^']*)'", context["expected"])
        return f"unknown value {seen}", did_you_mean(str(error["input"]), values, what="values")
    if kind in ("string_too_short", "too_short"):
        return "must not be empty", info.description if info else None
    if kind == "string_too_long":
        return f"{seen} is longer than {context['max_length']} characters", None
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}, not {seen}", None
    if kind == "less_than_equal":
        return f"must be at most {context['le']}, not {seen}", None
    if kind == "string_pattern_mismatch":
        return f"{seen} is not of the right form", info.description if info else None
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}", None


# --- words ---------------------------------------------------------------------------------------


def join(where: str, key: str) -> str:
    """`where` and a key (or several with dots) below it."""
    return f"{where}.{key}" if where and key else where or key


def quoted(key: str) -> str:
    """A key as TOML has it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _join_all(where: str, place: Sequence[str | int]) -> str:
    for part in place:
        where = f"{where}[{part}]" if isinstance(part, int) else join(where, quoted(part))
    return where


def shown(value: object) -> str:
    """A value as TOML has it, cut where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
