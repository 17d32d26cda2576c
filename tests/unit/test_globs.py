"""Names that a server gives: meant by the glob or not, usable or not."""

from __future__ import annotations

from datetime import date

import pytest

from batchxfer import globs, paths


@pytest.mark.parametrize(
    ("pattern", "name", "meant"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "a.csv.part", False),
        ("*.csv", ".a.csv", False),
        (".*.csv", ".a.csv", True),
        ("*.csv", "A.CSV", False),
        ("a?.csv", "a1.csv", True),
        ("a?.csv", "a.csv", False),
        ("a[0-9].csv", "a7.csv", True),
        ("a[!0-9].csv", "a7.csv", False),
        ("*", "two\nlines", True),
        ("a.csv", "aXcsv", False),
    ],
)
def test_a_name_is_meant_as_in_a_shell(pattern: str, name: str, meant: bool) -> None:
    assert globs.matches(pattern, name) is meant


def test_what_a_value_says_is_no_pattern() -> None:
    template = paths.parse_glob("in/{job}_{business_date:%Y%m%d}_*.csv", "a")
    glob = globs.render(template, {"job": "a*[b]", "business_date": date(2026, 11, 23)})
    assert globs.matches(glob.split("/")[1], "a*[b]_20261123_1.csv")
    assert not globs.matches(glob.split("/")[1], "aXb_20261123_1.csv")
    assert not globs.is_plain(glob.split("/")[1])
    assert globs.is_plain("a[*]b")
    assert globs.plain("a[*]b[[]c") == "a*b[c"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("..", "leads out"),
        (".", "leads out"),
        ("", "leads out"),
        ("../../etc/passwd", "leads out"),
        ("/etc/passwd", "leads out"),
        ("a\0b", "leads out"),
        ("a\\b", "backslash"),
        ("a\nb", "U+000A"),
        ("a\x1b[2Jb", "U+001B"),
        ("a\u202eb", "U+202E"),
        ("a\udcffb", "not UTF-8"),
        ("a" * 216, "longer"),
        ("김" * 72, "longer"),
    ],
)
def test_a_hostile_name_is_never_used(name: str, why: str) -> None:
    said = globs.refusal("in", name)
    assert said is not None
    assert why in said
    assert globs.shown(name).isprintable() or name == ""


@pytest.mark.parametrize("name", ["a.csv", "김서연 2026.csv", "a b;c'd\"e$(f)`g`.csv", "-rf", "%s{name}", "a" * 215])
def test_a_strange_name_is_used(name: str) -> None:
    assert globs.refusal("in", name) is None
