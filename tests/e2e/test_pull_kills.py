"""A pull is killed at calls all along the way from seen to done: each file is loaded once, and then deleted or moved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchxfer import early_load
from batchxfer.codec import _records
from batchxfer.endpoints import local
from tests.databases import Database
from tests.e2e.command import Project, make_project
from tests.e2e.test_kills import CALLS, KillsAt
from tests.processes import in_child
from tests.soak import SOAKING

POINTS = 8
"""In the suite; with `make soak` each call is one, with SOAK=0.05 each twentieth."""

RUN = ("run", "parts", "--slot", "2026-11-20T04:00:00Z")
JOB = """
direction = "pull"
[schedule]
cron = "0 5 * * *"
[file]
format = "psv"
endpoint = "out"
path = "box/*.psv"
done_file = "{path}.done"
%s
[load]
database = "stock"
table = "parts"
"""
THEN = {"delete": 'then = "delete"', "move": 'then = "move"\nmove_to = "old/{name}"'}
FILES = {"a.psv": [(i, f"a{i}") for i in range(3000)], "b.psv": [(i, f"b{i}") for i in range(3000)]}
LEFT = {
    "delete": [],
    "move": ["old/a.psv", "old/a.psv.done", "old/b.psv", "old/b.psv.done"],
}


class KillsPullAt(KillsAt):
    """Also at what reads the file and talks to the database."""

    calls_watched = CALLS | {
        *["read", "stat", "listdir", "scandir", "replace", "ftruncate", "pread"],
        *["executemany", "put_copy_data", "put_copy_end", "send_query_params", "get_result", "exec_params", "flush"],
    }


@dataclass
class Place:
    folder: Path
    shop: Database
    then: str
    files: dict[str, list[tuple[int, str]]]

    def make(self, name: str) -> Project:
        """A project, the partner's files, and an empty table without any key: what comes twice is there twice."""
        project = make_project(self.folder / name)
        with (project.folder / "config.toml").open("a") as config:
            config.write(f'[databases.stock]\nurl = "{self.shop.url}"\n')
        project.job("parts", JOB % THEN[self.then])
        for file, rows in self.files.items():
            project.write(f"out/box/{file}", "id|name\n" + "".join(f"{i}|{text}\n" for i, text in rows))
            project.write(f"out/box/{file}.done", "")
        (project.folder / "out/old").mkdir()
        self.shop.execute(
            "drop table if exists parts",
            "drop table if exists batchxfer_loads",
            "create table parts (id integer, name text)",
        )
        return project

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """What is in the table, by the file that it came from."""
        found = self.shop.execute("select id, name from parts order by id")
        return {file: [row for row in found if row[1].startswith(file[0])] for file in self.files}

    def left(self, project: Project) -> list[str]:
        out = project.folder / "out"
        return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest) -> Database:
    database = request.getfixturevalue(f"{request.param}_shop")
    assert isinstance(database, Database)
    return database


@pytest.fixture(params=["delete", "move"])
def then(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path, shop: Database, then: str) -> Place:
    return Place(tmp_path, shop, then, FILES)


@pytest.fixture
def early_place(tmp_path: Path, postgresql_shop: Database, then: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Its only file is loaded while it is fetched, as a large one is."""
    monkeypatch.setattr(early_load, "WORTH_BYTES", 1)
    monkeypatch.setattr(early_load, "TRIAL_BYTES", 1)
    monkeypatch.setattr(local, "_PIECE_BYTES", 1_000)
    monkeypatch.setattr(_records, "_READ_BYTES", 1_000)
    return Place(tmp_path, postgresql_shop, then, {"a.psv": FILES["a.psv"]})


def points(calls: int) -> Iterator[int]:
    if SOAKING:
        yield from range(1, calls + 1, max(1, round(1 / SOAKING)))
    else:
        yield from range(1 + calls // POINTS // 2, calls + 1, calls // POINTS)


@pytest.mark.soak
@pytest.mark.timeout(0 if SOAKING else 300)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_pull_that_is_killed_anywhere_loads_each_file_once_and_is_finished_by_the_next(
    place: Place, after: bool
) -> None:
    kill_everywhere(place, after)


@pytest.mark.soak
@pytest.mark.timeout(0 if SOAKING else 300)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_pull_that_is_killed_while_it_loads_what_it_fetches_loads_it_once(early_place: Place, after: bool) -> None:
    kill_everywhere(early_place, after)


def kill_everywhere(place: Place, after: bool) -> None:
    is_early = place.files != FILES
    assert place.make("warm")(*RUN).code == 0
    counted = place.make("counted")
    calls = int(in_child(lambda: KillsPullAt(None, after=after).watch(lambda: counted(*RUN))))
    assert place.rows() == place.files
    print(f"{calls} points")
    for nth in points(calls):
        project = place.make(f"killed-at-{nth}")
        said = in_child(lambda: KillsPullAt(nth, after=after).watch(lambda: project(*RUN)))  # noqa: B023
        # Two threads do not make the same calls each time.
        assert said == f"signal {signal.SIGKILL.value}" or is_early
        for file, rows in place.rows().items():
            assert rows in ([], place.files[file]), (nth, file)
        finished = project(*RUN)
        if finished.code == 3:
            # The server was still at the killed one's commit: found by the retry.
            assert "has loaded this file meanwhile" in finished.err + finished.out, (nth, finished)
            finished = project("retry", "--json", project("runs", "--json").run["run"])
        assert finished.code == 0, (nth, finished)
        assert place.rows() == place.files, nth
        assert place.left(project) == [name for name in LEFT[place.then] if is_early <= ("/a." in name)], nth
        run = project("runs", "--json").run
        assert run["status"] == "delivered", nth
        assert {file["status"] for file in run["files"]} == {"done"}, nth
        assert None not in [attempt["outcome"] for attempt in run["attempts"]], nth
