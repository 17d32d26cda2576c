"""What a pull job may say, and when what it owes is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchxfer import wiring
from batchxfer.config import OptionModels
from batchxfer.definitions import PullJob
from batchxfer.health import missing_at
from tests.unit.test_config import Desk

FILE = """
[file]
format = "csv"
endpoint = "bank"
path = "outbox/{business_date:%Y%m%d}/*.csv"
"""
LOAD = """
[load]
database = "shop"
table = "orders"
"""
DAILY = '[schedule]\ncron = "0 6 * * *"\n'


@pytest.fixture(scope="module")
def models() -> OptionModels:
    return wiring.option_models()


@pytest.fixture
def desk(tmp_path: Path, models: OptionModels) -> Desk:
    return Desk(tmp_path, models)


def pull(text: str) -> dict[str, str]:
    return {"jobs/rates.toml": f'direction = "pull"\n{text}'}


def test_a_pull_is_read_with_its_defaults(desk: Desk) -> None:
    project = desk.load(pull(DAILY + FILE + LOAD))
    job = project.jobs["rates"]
    assert isinstance(job, PullJob)
    assert (job.file.stable_for, job.file.expect, job.file.then) == (timedelta(seconds=30), "any", "leave")
    assert (job.file.same_content, job.file.changed, job.file.max_bytes) == ("take", "take", 4 * 1024**3)
    assert project.format_of(job).kind == "delimited"
    assert project.catch_up_of(job) == "all"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('line_ending = "none", trailer_record = "T{rows}"', "trailer_record: a file with it cannot be loaded: "),
        ('trailer_record = ""', "trailer_record: an empty line at the end of a file says nothing"),
        ('header_record = "a\\nb"', "header_record: it is more than one line"),
        ('columns = [{ name = "a" }, { name = "a", as = "b" }]', "columns: 'a' is filled 2 times: "),
        ('date_format = "%d.%m."', "date_format: '%d.%m.' does not say which day it is: it cannot be loaded"),
        ('time_format = "%I:%M"', "time_format: '%I:%M' does not say which hour it is"),
        ('timestamp_format = "%d.%m. %H:%M"', "timestamp_format: '%d.%m. %H:%M' does not say which day it is"),
        ('timestamp_format = "%Y%m%d%I%M"', "timestamp_format: '%Y%m%d%I%M' does not say which hour it is"),
        ('timestamp_format = "%a %I %p"', "timestamp_format: "),
    ],
)
def test_a_format_that_cannot_be_read_is_told_where_it_is_loaded(desk: Desk, keys: str, problem: str) -> None:
    file = FILE.replace('"csv"', '{ kind = "json-lines", ' + keys + " }")
    assert desk.problems(pull(DAILY + file + LOAD))[0].startswith(f"jobs/rates.toml: file.format.{problem}")
    assert desk.load(pull(DAILY + file)).jobs["rates"].name == "rates"


@pytest.mark.parametrize("key", ["date_format", "timestamp_format"])
@pytest.mark.parametrize("pattern", ["%G-W%V-%u", "%y%j", "%a %d %b %Y", "%%z%Y%m%d"])
def test_a_date_may_be_said_in_many_ways(desk: Desk, key: str, pattern: str) -> None:
    file = FILE.replace('"csv"', f'{{ kind = "json-lines", {key} = "{pattern}" }}')
    assert desk.load(pull(DAILY + file + LOAD)).jobs["rates"].name == "rates"


def test_without_a_date_in_the_glob_only_the_latest_slot_looks(desk: Desk) -> None:
    text = DAILY + FILE.replace("{business_date:%Y%m%d}", "*")
    project = desk.load(pull(text))
    assert project.catch_up_of(project.jobs["rates"]) == "latest"
    (problem,) = desk.problems(pull(text.replace("[schedule]", '[schedule]\ncatch_up = "all"')))
    assert problem.startswith('jobs/rates.toml: schedule.catch_up: "all" needs a path with {business_date} or {slot}')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (FILE.replace('"bank"', '"bnak"'), "file.endpoint: unknown endpoint 'bnak'; did you mean 'bank'"),
        (FILE.replace("outbox/", "/outbox/"), "file.path: an absolute path"),
        (FILE.replace("outbox/", "../"), "file.path: "),
        (FILE.replace("*.csv", "**"), "file.path: '**'"),
        (FILE.replace("*.csv", "{revision}.csv"), "file.path: unknown name in {revision}"),
        (FILE + 'then = "move"', 'file.move_to: is needed with then = "move"'),
        (FILE + 'move_to = "done/{name}"', 'file.move_to: is for then = "move"'),
        (FILE + 'then = "move"\nmove_to = "done/all.csv"', "file.move_to: no {name}"),
        (
            FILE + 'then = "move"\nmove_to = "outbox/{business_date:%Y%m%d}/{stem}.done.csv"',
            "file.move_to: what is moved there matches path again",
        ),
        (FILE + 'into = "in/all.csv"', "file.into: no {name}"),
        (FILE + 'done_file = "{path}.done"\nstable_for = "5s"', "file.stable_for: is not asked for"),
        (FILE + "[guard]\nmin_rows = 1", "guard: counts the rows that are loaded"),
        (FILE + LOAD.replace('"shop"', '"shp"'), "load.database: unknown database 'shp'; did you mean 'shop'"),
        (FILE + LOAD + 'mode = "upsert"', "load.key: is needed with mode = "),
        (FILE + LOAD + 'key = ["id"]', "load.key: is for mode = "),
        (FILE + LOAD + 'mode = "replace"', 'load.mode: "replace" needs [guard] min_rows'),
        (FILE + LOAD + "max_bad_records = 5", "load.max_bad_records: is for on_bad_record"),
        (FILE.replace('format = "csv"\n', "") + LOAD, "file.format: is needed with [load]"),
        (FILE.replace('"csv"', '"cvs"') + LOAD, "file.format: unknown format 'cvs'; did you mean 'csv'"),
        (DAILY + 'catch_up = "merge"\n' + FILE, 'schedule.catch_up: "merge" joins the intervals of a query'),
        (DAILY + 'missing_after = "2h"\n' + FILE, 'schedule.missing_after: nothing is missing with expect = "any"'),
        (FILE + 'on_exists = "fail"', "file.on_exists: unknown key"),
    ],
)
def test_a_pull_makes_sense(desk: Desk, text: str, problem: str) -> None:
    said = desk.problems(pull(text))
    assert said[0].startswith(f"jobs/rates.toml: {problem}"), said
    assert len(said) == 1, said


def test_all_problems_of_a_pull_are_told_at_once(desk: Desk) -> None:
    said = desk.problems(pull(FILE.replace('"bank"', '"x"') + 'then = "move"' + LOAD + 'mode = "upsert"'))
    assert [problem.split(": ")[1] for problem in said] == ["file.endpoint", "file.move_to", "load.key"]


SLOT = datetime(2026, 11, 23, 6, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("after", "following", "dated", "missing"),
    [
        (None, SLOT + DAY, True, SLOT + DAY),
        (None, SLOT + DAY, False, SLOT + DAY),
        (2 * HOUR, SLOT + DAY, True, SLOT + 2 * HOUR),
        (3 * DAY, SLOT + DAY, True, SLOT + 3 * DAY),
        # The next slot takes what comes, so that nothing comes for this one any more.
        (3 * DAY, SLOT + DAY, False, SLOT + DAY),
        (3 * DAY, None, False, SLOT + 3 * DAY),
        (None, None, True, None),
    ],
)
def test_what_is_late_becomes_missing(
    after: timedelta | None, following: datetime | None, dated: bool, missing: datetime | None
) -> None:
    assert missing_at(SLOT, after, following, dated) == missing
