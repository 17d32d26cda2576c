"""Whatever stands in the files of a project: a project, or every problem in words. Never a traceback."""

from __future__ import annotations

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.cli import checking
from batchxfer.cli.collisions import collisions
from batchxfer.config import Project
from batchxfer.errors import ConfigError
from batchxfer.wiring import load_project
from tests.soak import examples

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parents[2]


TIMES = [date(2026, 2, 28), date.max, datetime.max, datetime(2026, 1, 1, tzinfo=UTC), time(1, 2, 3)]
NUMBERS = [True, False, 0, -1, 2**63 - 1, 1e308, float("nan")]
TEXTS = ["", " ", "\u202e", "\x1b[2J", "{", "{}", "{slot:", "%", "/", "..", "0s", "999999999d", "-1bd", "x" * 5000]
WORDS = [
    "delimited",
    "json-lines",
    "fixed-width",
    "lines",
    "key-value",
    "pull",
    "utf-16",
    "base64",
    "idna",
    "sftp",
    "local",
]
WORDS += [
    "* * * * *",
    "0 0 30 2 *",
    "Europe/Berlin",
    "Mars/Olympus",
    "sqlite://",
    "postgresql://a:b@c/d",
    "KR",
    "merge",
]
TABLES_OR_SECRETS = [
    {},
    {"a": 1},
    {"env": "X"},
    {"env": ""},
    {"file": "/"},
    {"env": "A", "file": "B"},
    {"base": "psv"},
    {"base": 1},
]
ARRAYS: list[Any] = [[], [1], [[]], ["a", 1], [{}], [{"name": "a"}]]
ODD: list[Any] = [*TIMES, *NUMBERS, *TEXTS, *WORDS, *TABLES_OR_SECRETS, *ARRAYS]


def as_toml(value: object) -> str:
    """`value` as TOML has it, tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, float | int):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _files() -> dict[str, str]:
    """The example project: every file, by its path."""
    chosen = [
        ROOT / "config.example.toml",
        *sorted((ROOT / "jobs").glob("*.toml")),
        *sorted((ROOT / "formats").glob("*.toml")),
    ]
    return {
        "config.toml" if path.parent == ROOT else f"{path.parent.name}/{path.name}": path.read_text() for path in chosen
    }


FILES = _files()
TABLES = {name: tomllib.loads(text) for name, text in FILES.items()}


def places(table: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a table where a value stands."""
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


PLACES = {name: list(places(table)) for name, table in TABLES.items()}
_VALUES = st.one_of(
    st.sampled_from(ODD), st.text(max_size=10, alphabet=st.characters(exclude_categories=["Cs"])), st.integers(-5, 70)
)
CHANGES = st.tuples(
    st.sampled_from(["replace", "replace", "replace", "remove", "add", "rename"]), st.integers(0, 10_000), _VALUES
)


def changed(table: Any, place: tuple[Any, ...], how: str, value: Any) -> None:
    for key in place[:-1]:
        table = table[key]
    key = place[-1]
    if how == "replace" or isinstance(table, list):
        table[key] = value
    elif how == "remove":
        del table[key]
    elif how == "add":
        table[str(value)[:30] or "new"] = value
    else:
        table[f"{key}x"] = table.pop(key)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        path = Path(made)
        (path / "jobs").mkdir()
        (path / "formats").mkdir()
        for name, text in FILES.items():
            (path / name).write_text(text)
        for other in ROOT.glob("jobs/*.sql"):
            shutil.copy(other, path / "jobs")
        load_project(path / "config.toml")
        yield path


@contextmanager
def with_file(folder: Path, name: str, content: bytes) -> Iterator[None]:
    (folder / name).write_bytes(content)
    try:
        yield
    finally:
        (folder / name).write_text(FILES[name])


def look(folder: Path) -> Project | None:
    """The project, or None where it has problems, which must all be told in words."""
    try:
        project = load_project(folder / "config.toml")
    except ConfigError as error:
        problems = error.problems
    else:
        list(checking.warnings(project))
        return project
    assert problems
    for problem in problems:
        assert problem.file
        assert problem.problem.strip()
        assert "Traceback" not in str(problem)
    return None


@examples(60, 30_000)
@given(name=st.sampled_from(sorted(FILES)), changes=st.lists(CHANGES, min_size=1, max_size=3))
def test_a_project_with_wrong_values_is_refused_in_words(folder: Path, name: str, changes: list[Any]) -> None:
    table = json.loads(json.dumps(TABLES[name], default=lambda value: value.isoformat()))
    for how, place, value in changes:
        with suppress(LookupError, TypeError, AttributeError):
            changed(table, PLACES[name][place % len(PLACES[name])], how, deepcopy(value))
    text = "\n".join(f"{json.dumps(key)} = {as_toml(value)}" for key, value in table.items())
    with with_file(folder, name, text.encode()):
        project = look(folder)
        if project is not None:
            list(collisions(project))


@examples(40, 20_000)
@given(
    name=st.sampled_from(sorted(FILES)),
    at=st.floats(0, 1),
    cut=st.integers(0, 30),
    new=st.one_of(
        st.binary(max_size=6),
        st.sampled_from([b'"', b"[", b"]", b"=", b"{", b"\n", b"#", b"'''", b"\xff", b"\xef\xbb\xbf"]),
    ),
)
def test_a_damaged_file_is_refused_in_words(folder: Path, name: str, at: float, cut: int, new: bytes) -> None:
    content = FILES[name].encode()
    start = int(at * len(content))
    with with_file(folder, name, content[:start] + new + content[start + cut :]):
        look(folder)
