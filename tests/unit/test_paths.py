"""What a path may look like, judged before anything is sent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from batchxfer import paths
from batchxfer.templates import Template, TemplateError

SLOT = datetime(2026, 11, 22, 16, 2, 3, tzinfo=UTC)
VALUES = {
    "job": "orders",
    "slot": SLOT,
    "slot_utc": SLOT,
    "slot_local": SLOT.astimezone(ZoneInfo("Asia/Seoul")),
    "business_date": date(2026, 11, 22),
    "interval_start": SLOT,
    "interval_end": SLOT,
    "revision": 1,
    "run": "01J8ABCD",
}


def problems(text: str, job: str = "orders") -> list[str]:
    with pytest.raises(TemplateError) as caught:
        paths.parse_path(text, job)
    return [p.problem for p in caught.value.problems]


def test_a_path_has_the_names_of_the_design() -> None:
    text = "{job}/{business_date:%Y/%m}/{slot_utc:%H%M%S}_{slot_local:%d}_{revision:03}_{run}.csv"
    assert paths.render_path(paths.parse_path(text), VALUES) == "orders/2026/11/160203_23_001_01J8ABCD.csv"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/out/a.csv", "an absolute path"),
        ("../a.csv", "a segment '.' or '..'"),
        ("out/../a.csv", "a segment '.' or '..'"),
        ("./a.csv", "a segment '.' or '..'"),
        ("out/{slot:%Y/../%m}.csv", "a segment '.' or '..'"),
        ("out//a.csv", "an empty segment"),
        ("out/", "an empty segment"),
        ("{revision:/>3}.csv", "an absolute path"),
        ("out\\a.csv", "a backslash"),
        ("out/a\nb.csv", "the character U+000A, which cannot be seen"),
        ("out/a\x7f.csv", "the character U+007F, which cannot be seen"),
        ("out/a\x85.csv", "the character U+0085, which cannot be seen"),
        ("out/a\u202ecsv.exe", "the character U+202E, which cannot be seen"),
        ("out/a\u2028b.csv", "the character U+2028, which cannot be seen"),
        ("", "the path is empty"),
        ("{rows}.csv", "unknown name in {rows}"),
        ("{slott}.csv", "unknown name in {slott}"),
    ],
)
def test_a_path_that_leaves_its_place_is_refused(text: str, problem: str) -> None:
    assert problem in problems(text)


def test_a_name_is_judged_at_its_longest() -> None:
    fits = "x" * (255 - len(".r9999") - len(".csv")) + ".csv"
    assert paths.parse_path(fits)
    assert problems("x" + fits) == [f"a name of 256 bytes, '{'x' * 40}…'"]
    assert problems("가" * 84 + ".csv")[0].startswith("a name of 262 bytes")
    assert problems("{run}" * 8)[0].startswith("a name of 294 bytes")


def test_a_path_is_judged_as_a_whole() -> None:
    assert problems("/".join(["x" * 200] * 6)) == ["a path of 1211 bytes"]


def test_a_rendered_path_is_judged_too() -> None:
    template = paths.parse_path("{job}.csv")
    with pytest.raises(paths.PathError, match=r"path '\.\./x\.csv': a segment"):
        paths.render_path(template, {**VALUES, "job": "../x"})


# --- revisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "second"),
    [
        ("a.csv", "a.r2.csv"),
        ("a.psv.gz", "a.r2.psv.gz"),
        ("a.json.zst", "a.r2.json.zst"),
        ("a.PSV.GZ", "a.r2.PSV.GZ"),
        ("a.gz", "a.r2.gz"),
        ("a", "a.r2"),
        ("a.b/c", "a.b/c.r2"),
        ("x/y/orders.2026.csv", "x/y/orders.2026.r2.csv"),
        (".hidden", ".hidden.r2"),
        (".hidden.csv", ".hidden.r2.csv"),
        ("a.tar.gz", "a.r2.tar.gz"),
        ("a.csv.", "a.csv..r2"),
        ("a.zip", "a.r2.zip"),
    ],
)
def test_a_revision_stands_before_the_extension(path: str, second: str) -> None:
    assert paths.with_revision(path, 2) == second
    assert paths.with_revision(path, 1) == path


def test_a_path_that_has_the_revision_is_left_alone() -> None:
    values = {**VALUES, "revision": 2}
    assert paths.render_path(paths.parse_path("a_{revision}.csv"), values) == "a_2.csv"
    assert paths.render_path(paths.parse_path("a.csv"), values) == "a.r2.csv"


# --- temporary names and sidecars ----------------------------------------------------------------


def test_a_temporary_name_is_beside_the_final_one() -> None:
    assert paths.temporary_path(".{name}.{attempt}.part", "out/a.csv", "01J8") == "out/.a.csv.01J8.part"
    assert paths.temporary_path("{attempt}~{name}", "a.csv", "01J8") == "01J8~a.csv"


@pytest.mark.parametrize(
    "text",
    [
        "tmp/{name}.{attempt}",
        "{name}.part",
        "{attempt}.part",
        "{nme}{attempt}",
        "{name}{attempt}\t",
        "{name}.{attempt:.4}",
    ],
)
def test_a_temporary_name_belongs_to_one_attempt_at_one_file(text: str) -> None:
    with pytest.raises(TemplateError):
        paths.parse_temp_name(text)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("{path}.sha256", "out/a.psv.gz", "out/a.psv.gz.sha256"),
        ("{dir}/{stem}.done", "out/a.psv.gz", "out/a.done"),
        ("{dir}/{stem}.done", "a.psv", "a.done"),
        ("{dir}/{name}.done", "x/y/a", "x/y/a.done"),
        ("flags/{name}", "out/a.csv", "flags/a.csv"),
        ("flags/{dir}/{name}", "a.csv", "flags/a.csv"),
        ("{dir}/_SUCCESS", "out/a.csv", "out/_SUCCESS"),
    ],
)
def test_sidecars_are_named_after_their_file(text: str, path: str, expected: str) -> None:
    assert paths.render_sidecar(paths.parse_sidecar(text), path) == expected


@pytest.mark.parametrize(
    "text", ["{path}", "{dir}/{name}", "/flags/{name}", "../{name}", "{slot}.done", "{dir}{name}/"]
)
def test_a_sidecar_that_is_no_other_file_below_the_root_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        paths.parse_sidecar(text)


# --- folders -------------------------------------------------------------------------------------


def path(text: str) -> Template:
    return paths.parse_path(text)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("out/daily/{slot:%Y}/a.csv", "out/daily"),
        ("out/daily/x{slot:%Y}/a.csv", "out/daily"),
        ("out/a.csv", "out"),
        ("{job}/a.csv", ""),
        ("a.csv", ""),
        ("o{{u}}t/{job}", "o{u}t"),
    ],
)
def test_the_fixed_folder_ends_before_the_first_field(text: str, folder: str) -> None:
    assert paths.fixed_folder(path(text)) == folder


def test_a_sidecars_fixed_folder_is_its_files_or_its_own() -> None:
    within = path("out/{slot:%Y}/a.csv")
    assert paths.fixed_folder(paths.parse_sidecar("{dir}/{stem}.done"), within=within) == "out"
    assert paths.fixed_folder(paths.parse_sidecar("{path}.done"), within=within) == "out"
    assert paths.fixed_folder(paths.parse_sidecar("flags/{name}"), within=within) == "flags"
    assert paths.fixed_folder(paths.parse_sidecar("{name}.ok"), within=within) == ""
