"""A daemon whose PostgreSQL ledger crashes under it goes on by itself, and sends each slot once, though what need not last
is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.command import CONFIG, Project, make_project, until
from tests.e2e.daemons import OFTEN, serving
from tests.ledgers import execute
from tests.servers.postgresql import CrashingPostgresql, crashing_postgresql

JOBS = ("often-1", "often-2")
STEP = timedelta(seconds=1)


@pytest.fixture(scope="module")
def server() -> Iterator[CrashingPostgresql]:
    with crashing_postgresql() as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, server: CrashingPostgresql) -> Project:
    project = make_project(tmp_path / "project", config=f'ledger = "{server.url}"\nworkers = 2\n' + CONFIG)
    for name in ("daily", "by-hand"):
        (project.folder / f"jobs/{name}.toml").unlink()
    for name in JOBS:
        project.job(name, OFTEN.replace('"2s"', '"1s"') + '[retry]\nafter = ["1s", "1s", "1s"]\n')
    return project


def test_a_ledger_that_crashes_twice_costs_no_slot_and_sends_none_twice(
    project: Project, server: CrashingPostgresql
) -> None:
    with serving(project) as daemon:
        until(lambda: len(delivered(project)) >= 4, 30)
        server.kill_a_backend()
        # Where no statement was under way, a new connection is made, and nothing needs to be said.
        there = len(delivered(project))
        until(lambda: daemon.said("tick-failed") or daemon.said("run-failed") or len(delivered(project)) > there, 45)
        seen = inodes(project)
        server.crash()
        server.start()
        until(lambda: len(delivered(project)) >= len(seen) + 4, 40)
        assert daemon.end() == 0
        assert daemon.said("fault") == []
        assert "Traceback" not in daemon.log.read_text()
    # The word that gives a claim back may be lost, too: after 30 s it is anybody's.
    execute(server.url, "update runs set lease_until = now() - interval '1s' where owner is not null")
    assert project("run", "--due").code in (0, 3)
    # A try in whose middle the ledger went away waits, as after any failure.
    for run in project("runs", "--status", "retrying", "--json").document["runs"]:
        assert project("retry", run["run"]).code == 0
    assert seen.items() <= inodes(project).items(), "what the partner had was written again"
    for name in JOBS:
        assert_each_slot_once(project, name)


def delivered(project: Project) -> list[str]:
    return sorted(path.name for path in (project.folder / "out").iterdir() if not path.name.startswith("."))


def inodes(project: Project) -> dict[str, int]:
    return {name: (project.folder / "out" / name).stat().st_ino for name in delivered(project)}


def assert_each_slot_once(project: Project, job: str) -> None:
    runs = project("runs", "--job", job, "--json", "--limit", "1000").document["runs"]
    assert {run["status"] for run in runs} == {"delivered"}
    slots = sorted(datetime.fromisoformat(run["slot"]) for run in runs)
    assert slots == [slots[0] + number * STEP for number in range(len(slots))]
    there = [name for name in delivered(project) if name.startswith(job)]
    assert sorted(run["deliveries"][0]["path"] for run in runs) == there
    assert all([attempt["outcome"] for attempt in run["attempts"]].count("built") == 1 for run in runs)
