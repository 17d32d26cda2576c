"""Names that a server gives: which of them a pull's glob means, and which may never be used. Pure.

`*` is any text, `?` one character, `[abc]` or `[!a-z]` one of some; none of them is a `/`, and a name that begins with a dot
is meant only where the glob says the dot. Upper and lower case differ, as they do on most servers.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from functools import lru_cache

from batchxfer.errors import printable
from batchxfer.paths import LONGEST_PATH, LONGEST_SEGMENT, path_problems
from batchxfer.templates import Template

LONGEST_SUFFIX = 40
"""What our own names add to a file's on this machine: `.2`, `.bad.jsonl`, a temporary ending."""

_SPECIAL = re.compile(r"[*?\[]")


def render(template: Template, values: Mapping[str, object]) -> str:
    """The glob for one slot; what a value says is meant as it stands."""
    return template.render({name: _escaped(value) for name, value in values.items()})


def _escaped(value: object) -> object:
    return _SPECIAL.sub(lambda found: f"[{found[0]}]", value) if isinstance(value, str) else value


def is_pattern(segment: str) -> bool:
    return _SPECIAL.search(segment) is not None


def plain(segment: str) -> str:
    """What a segment without pattern means: `a[*]b` is `a*b`."""
    return re.sub(r"\[([*?\[])\]", r"\1", segment)


def is_plain(segment: str) -> bool:
    """Whether the segment means one name only."""
    return not is_pattern(re.sub(r"\[[*?\[]\]", "", segment))


def matches(segment: str, name: str) -> bool:
    """Whether `name` is one that the glob's segment means."""
    if name.startswith(".") and not segment.startswith("."):
        return False
    return _compiled(segment).match(name) is not None


def example(segment: str) -> str:
    """A name that the glob's segment means."""
    sets = re.sub(r"\[(!?)(.)[^\]]*\]", lambda found: "0" if found[1] else found[2], segment)
    return re.sub(r"[*?]", "x", sets)


@lru_cache(maxsize=256)
def _compiled(segment: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(segment), re.DOTALL)


def refusal(folder: str, name: str) -> str | None:
    """Why a name that a server lists must not be used, in words; None where it may be."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return "the name leads out of its folder"
    if "\\" in name:
        return "a backslash in the name"
    if any("\udc80" <= char <= "\udcff" for char in name):
        return "the name is not UTF-8"
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_SEGMENT - LONGEST_SUFFIX:
        return f"the name is longer than {LONGEST_SEGMENT - LONGEST_SUFFIX} bytes"
    path = f"{folder}/{name}" if folder else name
    if len(path.encode("utf-8", "surrogatepass")) > LONGEST_PATH:
        return f"the path is longer than {LONGEST_PATH} bytes"
    return next((problem.problem for problem in path_problems(path)), None)


def shown(name: str) -> str:
    """A hostile name as text that may be stored and printed, cut where it is long."""
    text = printable(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    return text if len(text) <= 200 else text[:199] + "…"
