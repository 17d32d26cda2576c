"""The rules for the names of files: what a path template may hold and what a path may look like.

A path is relative to an endpoint's root, with `/` between its segments.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

from batchxfer.errors import PermanentError
from batchxfer.templates import FieldKind, Template, TemplateError, TemplateProblem, parse

_K = FieldKind
PATH_FIELDS: Mapping[str, FieldKind] = {
    "job": _K.TEXT,
    "slot": _K.TIME,
    "slot_utc": _K.TIME,
    "slot_local": _K.TIME,
    "business_date": _K.DATE,
    "interval_start": _K.TIME,
    "interval_end": _K.TIME,
    "revision": _K.NUMBER,
    "run": _K.TEXT,
}
RECORD_FIELDS: Mapping[str, FieldKind] = {**PATH_FIELDS, "rows": _K.NUMBER, "sum[]": _K.NUMBER, "count[]": _K.NUMBER}
SIDECAR_FIELDS: Mapping[str, FieldKind] = dict.fromkeys(("path", "dir", "name", "stem"), _K.TEXT)
# A glob has no revision and no run: it says what is owed, not who asks.
GLOB_FIELDS: Mapping[str, FieldKind] = {
    name: kind for name, kind in PATH_FIELDS.items() if name not in ("revision", "run")
}
TAKEN_FIELDS: Mapping[str, FieldKind] = {**GLOB_FIELDS, "name": _K.TEXT, "stem": _K.TEXT}
TEMP_FIELDS: Mapping[str, FieldKind] = dict.fromkeys(("name", "attempt"), _K.TEXT)

LONGEST_SEGMENT = 255
LONGEST_PATH = 1024
LONGEST_ID = 36
HIGHEST_REVISION = 9999
_COMPRESSED = (".gz", ".zst")


class PathError(PermanentError):
    """A rendered path that must not be used."""

    kind = "path"


# --- what a path may look like -------------------------------------------------------------------


def path_problems(path: str) -> Iterator[TemplateProblem]:
    """What is wrong with a rendered path."""
    if not path:
        yield TemplateProblem(problem="the path is empty")
        return
    if path.startswith("/"):
        yield TemplateProblem(
            problem="an absolute path", hint="paths are below the endpoint's root: drop the first '/'"
        )
    segments = path.removeprefix("/").split("/")
    if "" in segments:
        yield TemplateProblem(problem="an empty segment", hint="write one '/' between names, and none at the end")
    if ".." in segments or "." in segments:
        yield TemplateProblem(problem="a segment '.' or '..'", hint="a path stays below the endpoint's root")
    if "\\" in path:
        yield TemplateProblem(problem="a backslash", hint="write '/' between names")
    if not path.isprintable() and (bad := next(filter(_is_control, path), None)):
        yield TemplateProblem(problem=f"the character U+{ord(bad):04X}, which cannot be seen")
    yield from _length_problems(path, segments)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _length_problems(path: str, segments: list[str]) -> Iterator[TemplateProblem]:
    longest = max(segments, key=_size)
    if _size(longest) > LONGEST_SEGMENT:
        yield TemplateProblem(
            problem=f"a name of {_size(longest)} bytes, {longest[:40] + '…'!r}", hint=f"at most {LONGEST_SEGMENT}"
        )
    if _size(path) > LONGEST_PATH:
        yield TemplateProblem(problem=f"a path of {_size(path)} bytes", hint=f"at most {LONGEST_PATH}")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def check_path(path: str) -> str:
    """`path`, which may be used. Raises PathError."""
    problems = list(path_problems(path))
    if problems:
        raise PathError(
            f"path {path!r}: " + "; ".join(problem.problem for problem in problems),
            hint="mend the template of the path",
        )
    return path


# --- templates -----------------------------------------------------------------------------------

_SOME_TIME = datetime(2026, 12, 30, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-9, minutes=-30)))


def _sample(job: str, revision: int) -> dict[str, object]:
    """Values as wide as they come."""
    times = dict.fromkeys(("slot", "slot_utc", "slot_local", "interval_start", "interval_end"), _SOME_TIME)
    return {**times, "slot_utc": _SOME_TIME.astimezone(UTC), "job": job, "business_date": date(2026, 12, 30)} | {
        "revision": revision,
        "run": "R" * LONGEST_ID,
    }


def sample_values(job: str) -> dict[str, object]:
    """Values of some slot of `job`."""
    return _sample(job, 1)


def parse_path(text: str, job: str = "job") -> Template:
    """Read a path template of `job`; every path that it can give is right. Raises TemplateError with every problem."""
    template = parse(text, PATH_FIELDS)
    for path in sample_paths(template, job):
        _refuse(text, list(path_problems(path)))
    return template


def sample_paths(template: Template, job: str) -> tuple[str, ...]:
    """Paths that `template` gives for the highest and the first revision, as long as they come."""
    return tuple(_with_revision(template, _sample(job, revision)) for revision in (HIGHEST_REVISION, 1))


def _refuse(text: str, problems: list[TemplateProblem]) -> None:
    if problems:
        raise TemplateError(text, list(dict.fromkeys(problems)))


def render_path(template: Template, values: Mapping[str, object]) -> str:
    """The path for `values`, with its revision. Raises PathError."""
    return check_path(_with_revision(template, values))


def _with_revision(template: Template, values: Mapping[str, object]) -> str:
    path, revision = template.render(values), values["revision"]
    assert isinstance(revision, int)  # noqa: S101 - its kind is NUMBER
    return path if template.uses("revision") else with_revision(path, revision)


def parse_glob(text: str, job: str = "job") -> Template:
    """Read the glob of a pull `job`. Raises TemplateError with every problem."""
    template = parse(text, GLOB_FIELDS)
    sample = template.render(_sample(job, 1))
    problems = list(path_problems(sample))
    if "**" in sample:
        problems.append(TemplateProblem(problem="'**'", hint="name each folder, with * and ? inside of one name"))
    _refuse(text, problems)
    return template


def parse_taken(text: str, job: str = "job") -> Template:
    """Read where a fetched file goes: a `move_to`, or an `into`. Raises TemplateError with every problem."""
    template = parse(text, TAKEN_FIELDS)
    problems = list(path_problems(template.render({**_sample(job, 1), "name": "n.csv", "stem": "n"})))
    if not (template.uses("name") or template.uses("stem")):
        problems.append(TemplateProblem(problem="no {name}", hint="else all files would have one name"))
    _refuse(text, problems)
    return template


def render_taken(template: Template, values: Mapping[str, object], name: str) -> str:
    """Where the file `name` goes. Raises PathError."""
    return check_path(template.render({**values, "name": name, "stem": split_extension(name)[0]}))


def numbered(path: str, number: int) -> str:
    """`path`, or its next name where that is taken: `a.csv`, `a.2.csv`, `a.3.csv`."""
    if number < 2:
        return path
    folder, name = split(path)
    stem, extension = split_extension(name)
    return join(folder, f"{stem}.{number}{extension}")


def parse_temp_name(text: str) -> Template:
    """Read an endpoint's `temp_name`. Raises TemplateError."""
    template = parse(text, TEMP_FIELDS)
    problems = list(path_problems(template.render({"name": "n", "attempt": "A"})))
    if "/" in text:
        problems.append(TemplateProblem(problem="a '/'", hint="the temporary file is in the folder of the final one"))
    whole = {field.name for field in template.fields if "." not in field.spec}
    if whole != set(TEMP_FIELDS):
        problems.append(
            TemplateProblem(
                problem="{name} and {attempt} are both needed, whole",
                hint="else two files, or two attempts, share a name",
            )
        )
    _refuse(text, problems)
    return template


def temporary_path(temp_name: str, path: str, attempt: str) -> str:
    """The temporary name beside `path`. Raises PathError."""
    folder, name = split(path)
    return check_path(join(folder, render_temp_name(temp_name, name, attempt)))


def render_temp_name(temp_name: str, name: str, attempt: str) -> str:
    """The temporary name for the file `name`, without its folder, unchecked."""
    return _temp_template(temp_name).render({"name": name, "attempt": attempt})


@lru_cache(maxsize=64)
def _temp_template(text: str) -> Template:
    return parse(text, TEMP_FIELDS)


def parse_sidecar(text: str) -> Template:
    """Read a `checksum_file` or `done_file`. Raises TemplateError."""
    template = parse(text, SIDECAR_FIELDS)
    samples = (render_sidecar_text(template, path) for path in ("folder/file.csv", "file"))
    problems = [problem for sample in samples for problem in path_problems(sample)]
    if text in {"{path}", "{dir}/{name}"}:
        problems.append(
            TemplateProblem(problem="the name of the file itself", hint='write for example "{path}.sha256"')
        )
    _refuse(text, problems)
    return template


def render_sidecar(template: Template, path: str) -> str:
    """The path of the sidecar of `path`. Raises PathError."""
    return check_path(render_sidecar_text(template, path))


def render_sidecar_text(template: Template, path: str) -> str:
    """As `render_sidecar`, unchecked. A file directly in the root has no folder: `{dir}/` is nothing then."""
    folder, name = split(path)
    text = template.render({"path": path, "dir": folder or ".", "name": name, "stem": split_extension(name)[0]})
    return text if folder else "/".join(segment for segment in text.split("/") if segment != ".")


def fixed_folder(template: Template, *, within: Template | None = None) -> str:
    """The folder part before the first field: what `create_folders = "dated"` never makes; "" is the root.

    For a sidecar, `within` is the path template that `{dir}` and `{path}` stand for.
    """
    first = template.parts[0] if template.parts else ""
    if not isinstance(first, str):
        return fixed_folder(within) if within is not None and first.name in {"dir", "path"} else ""
    return split(first)[0]


# --- names ---------------------------------------------------------------------------------------


def split(path: str) -> tuple[str, str]:
    """The folder of `path` ("" for the root) and the name in it."""
    folder, _, name = path.rpartition("/")
    return folder, name


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def split_extension(name: str) -> tuple[str, str]:
    """`a.psv.gz` as `a` and `.psv.gz`: the extension, `.gz` and `.zst` counted with the one before. `.a` has none."""
    stem, last = _split_last(name)
    if last.lower() in _COMPRESSED:
        stem, before = _split_last(stem)
        return stem, before + last
    return stem, last


def _split_last(name: str) -> tuple[str, str]:
    stem, dot, last = name.rpartition(".")
    return (stem, dot + last) if stem.strip(".") and last else (name, "")


def with_revision(path: str, revision: int) -> str:
    """`path` for a revision: `a.psv.gz` is `a.r2.psv.gz` for the second, and itself for the first."""
    if revision < 2:
        return path
    folder, name = split(path)
    stem, extension = split_extension(name)
    return join(folder, f"{stem}.r{revision}{extension}")
