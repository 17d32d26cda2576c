"""A daemon whose PostgreSQL ledger is out of reach for a while goes on by itself, and owes nothing and sends nothing twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.e2e.command import CONFIG, Project, make_project, until
from tests.e2e.daemons import OFTEN, Daemon, serving
from tests.servers.line import Line

AWAY_SECONDS = 5
STEP = timedelta(seconds=2)


@pytest.fixture
def line(postgresql_database: str) -> Iterator[Line]:
    folder = str(make_url(postgresql_database).query["host"])
    line = Line(f"{folder}/.s.PGSQL.5432")
    yield line
    line.close()


@pytest.fixture
def project(tmp_path: Path, postgresql_database: str, line: Line) -> Project:
    url = make_url(postgresql_database)
    far = url.update_query_dict({"host": "127.0.0.1", "port": str(line.port)})
    project = make_project(tmp_path / "project", config=f'ledger = "{far.render_as_string()}"\nworkers = 2\n' + CONFIG)
    for name in ("daily", "by-hand"):
        (project.folder / f"jobs/{name}.toml").unlink()
    project.job("often", OFTEN)
    return project


@pytest.mark.parametrize("frozen", [False, True], ids=["refused", "frozen"])
def test_a_ledger_that_is_away_for_a_while_costs_no_slot_and_sends_none_twice(
    project: Project, line: Line, frozen: bool
) -> None:
    with serving(project) as daemon:
        until(lambda: len(delivered(project)) >= 2, 30)
        line.away = True
        if frozen:
            line.freeze()
        else:
            line.cut()
        heard = time.monotonic()
        until(lambda: time.monotonic() - heard > AWAY_SECONDS, AWAY_SECONDS + 5)
        line.cut()
        line.thaw()
        line.away = False
        known = len(delivered(project))
        # What came due meanwhile too.
        until(lambda: len(delivered(project)) >= known + 4, 60)
        assert daemon.end() == 0
        assert_no_fault(daemon)
    assert project("run", "--due").code == 0
    # A try in whose middle the ledger went away waits, as after any failure.
    for run in project("runs", "--status", "retrying", "--json").document["runs"]:
        assert project("retry", run["run"]).code == 0
    assert_each_slot_once(project)


def delivered(project: Project) -> list[str]:
    return sorted(path.name for path in (project.folder / "out").iterdir() if not path.name.startswith("."))


def assert_no_fault(daemon: Daemon) -> None:
    assert daemon.said("fault") == []
    assert "Traceback" not in daemon.log.read_text()


def assert_each_slot_once(project: Project) -> None:
    runs = project("runs", "--json", "--limit", "1000").document["runs"]
    assert {run["status"] for run in runs} == {"delivered"}
    slots = sorted(datetime.fromisoformat(run["slot"]) for run in runs)
    assert slots == [slots[0] + number * STEP for number in range(len(slots))]
    assert sorted(run["deliveries"][0]["path"] for run in runs) == delivered(project)
    # Whatever was cut, no query ran twice for a file that was there.
    assert all([attempt["outcome"] for attempt in run["attempts"]].count("built") == 1 for run in runs)
