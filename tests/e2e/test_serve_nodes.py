"""Three daemons on one PostgreSQL ledger: one is killed, one is frozen past its lease; each slot is done once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from batchxfer.cli import clock
from batchxfer.ports import LEASE
from tests.e2e.command import CONFIG, Project, make_project, until
from tests.e2e.daemons import OFTEN, Zygote, zygote
from tests.servers import partner

SLOTS = 60
TAKEOVER = LEASE + timedelta(seconds=15)
# The last words of a worker that was killed may be missing: what counts is deliveries.
LEFT = "select count(*) from runs where id not in (select run from deliveries where status = 'delivered')"


class Slow(partner.Folder):
    """Takes a while over each write, and remembers what was published."""

    published: ClassVar[list[str]] = []

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        await asyncio.sleep(0.7)
        return super().write(file_obj, offset, data)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        self.published.append(newpath.decode())


class Ledger:
    """The database under the nodes, as an auditor sees it."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def ask(self, query: str) -> Any:
        row = self._connection.execute(query).fetchone()
        return row[0] if row else None

    def held_by(self, pid: int) -> int:
        """How many runs a process has claimed that are not delivered, and nobody has taken over."""
        return int(self.ask(f"{LEFT} and claim is not null and owner like '%.{pid}.%'"))

    @property
    def left(self) -> int:
        return int(self.ask(LEFT))

    def stop_owing(self) -> None:
        self.ask("update marks set planned_until = now() + interval '10 years' returning 1")

    def close(self) -> None:
        self._connection.close()


def make(folder: Path, url: str, server: partner.Partner) -> Project:
    bank = server.as_endpoint("connections = 8\n")
    project = make_project(folder, config=f'ledger = "{url}"\nworkers = 4\n' + CONFIG + bank)
    for name in ("daily", "by-hand"):
        (folder / f"jobs/{name}.toml").unlink()
    project.write("password", partner.PASSWORD).chmod(0o600)
    for name in ("near-1", "near-2"):
        project.job(name, OFTEN.replace('"2s"', '"1s"'))
    for name in ("far-1", "far-2"):
        project.job(name, OFTEN.replace('"2s"', '"1s"').replace('"out"', '"bank"') + '[retry]\nafter = ["1s", "1s"]\n')
    return project


def nodes(project: Project, begin: Zygote, count: int) -> list[int]:
    words = ["serve", "--config", str(project.folder / "config.toml"), "--grace", "5s"]
    return [begin.begin(words, project.folder / f"node-{number}.log") for number in range(count)]


@pytest.mark.timeout(150)
def test_three_nodes_do_each_slot_once_though_one_is_killed_and_one_frozen(
    tmp_path: Path, postgresql_database: str
) -> None:
    Slow.published.clear()
    with partner.serve(tmp_path / "partner", Slow) as server, zygote(tmp_path) as begin:
        project = make(tmp_path / "project", postgresql_database, server)
        assert project("run", "--due").code == 0
        ledger = Ledger(postgresql_database)
        killed, frozen, _ = nodes(project, begin, 3)
        until(lambda: ledger.held_by(killed), 30)
        begin.kill(killed)
        # The killed one may have claimed a run of every job: nobody goes on with those before its leases have run out.
        until(lambda: ledger.held_by(frozen), TAKEOVER.total_seconds())
        os.kill(frozen, signal.SIGSTOP)
        began, held = time.monotonic(), ledger.held_by(frozen)
        until(lambda: ledger.ask("select count(*) from slots") >= SLOTS, 60)
        ledger.stop_owing()
        until(lambda: not ledger.held_by(frozen), TAKEOVER.total_seconds() - (time.monotonic() - began))
        until(lambda: ledger.left == 0, 60)
        assert held
        os.kill(frozen, signal.SIGCONT)
        until(lambda: '"busy"' in (project.folder / "node-1.log").read_text(), 20)
        assert ledger.left == 0
        ledger.close()
    assert_each_slot_once(project, server.root)


def test_a_machine_whose_clock_is_ahead_runs_no_slot_before_its_time(
    tmp_path: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would not all be there yet, and none of the later ones would be in any file."""
    project = make_project(tmp_path, config=f'ledger = "{postgresql_database}"\n' + CONFIG)
    for name in ("daily", "by-hand"):
        (tmp_path / f"jobs/{name}.toml").unlink()
    project.job("rarely", OFTEN.replace('"2s"', '"52w"'))
    assert project("run", "--due").code == 0
    slot = project("plan", "rarely", "--count", "1", "--json").document["slots"][0]["slot"]
    waited: list[float] = []
    monkeypatch.setattr(clock.SystemClock, "sleep", lambda this, seconds: waited.append(seconds))
    real = clock.SystemClock().now()
    ahead = datetime.fromisoformat(slot) + timedelta(hours=1) - real
    monkeypatch.setattr(clock.SystemClock, "now", lambda this: datetime.now(UTC) + ahead)

    early = project("run", "rarely", "--json")
    assert (early.code, "is not due yet by the ledger's clock" in early.document["error"]["message"]) == (2, True)
    assert project("runs", "--json").document["runs"] == []
    assert project("status").code == 0

    monkeypatch.setattr("batchxfer.operations.MOST_AHEAD", ahead)
    assert project("run", "rarely", "--json").run["slot"] == slot
    assert waited == [pytest.approx((ahead - timedelta(hours=1)).total_seconds(), abs=60)]


def assert_each_slot_once(project: Project, root: Path) -> None:
    runs = project("runs", "--json", "--limit", "1000").document["runs"]
    assert len(runs) >= SLOTS
    assert {run["status"] for run in runs} == {"delivered"}
    by_job: dict[str, list[datetime]] = {}
    for run in reversed(runs):
        by_job.setdefault(run["job"], []).append(datetime.fromisoformat(run["slot"]))
        assert [attempt["outcome"] for attempt in run["attempts"]].count("built") == 1
    for slots in by_job.values():
        assert slots == [slots[0] + number * timedelta(seconds=1) for number in range(len(slots))]
    assert Counter(Slow.published).most_common(1)[0][1] == 1
    expected = sorted(run["deliveries"][0]["path"] for run in runs)
    assert sorted(path.name for folder in (project.folder / "out", root) for path in folder.iterdir()) == expected
