"""The daemon is killed again and again while its partner cuts the line and refuses: each slot has one whole file in the end."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.e2e.command import CONFIG, Project, make_project, until
from tests.e2e.daemons import OFTEN, zygote
from tests.servers import openssh, partner
from tests.servers.faults import Status

KILLS = 24
SECONDS_ALIVE = (0.1, 1.0)
PATIENT = '[retry]\nafter = ["1s"]\nrepeat = "1s"\n'
BANK = """
[endpoints.bank]
protocol = "sftp"
host = "{host}"
port = {port}
user = "{user}"
{way_in}
host_key = ["{host_key}"]
root = "{root}"
stall_timeout = "2s"
connections = 3
"""


class Moody(partner.Folder):
    """Cuts the line at every 9th write, and refuses every 7th rename."""

    calls: ClassVar[Counter[str]] = Counter()
    published: ClassVar[list[str]] = []

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        if self._is_turn("write", 9):
            self.cut()
        return super().write(file_obj, offset, data)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        if self._is_turn("rename", 7):
            raise Status(4, "not now")
        super().rename(oldpath, newpath)
        self.published.append(newpath.decode())

    def _is_turn(self, name: str, nth: int) -> bool:
        self.calls[name] += 1
        return self.calls[name] % nth == 0


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    Moody.calls, Moody.published = Counter(), []
    with partner.serve(tmp_path / "partner", Moody) as server:
        yield (
            BANK.format(
                host=server.host,
                port=server.port,
                user=server.user,
                way_in='password = { file = "password" }',
                host_key=server.fingerprint,
                root=".",
            ),
            server.root,
        )


@pytest.fixture
def sshd(tmp_path: Path, openssh: openssh.OpenSSH) -> tuple[str, Path]:
    root = tmp_path / "partner"
    root.mkdir()
    text = BANK.format(
        host=openssh.host,
        port=openssh.port,
        user=openssh.user,
        way_in=f'private_key = "{openssh.private_key}"',
        host_key=openssh.host_key(),
        root=root,
    )
    return text, root


openssh_server = openssh.openssh_fixture


def make(tmp_path: Path, bank: str) -> Project:
    project = make_project(tmp_path / "project", config=CONFIG.replace("[databases", "workers = 6\n[databases") + bank)
    for name in ("daily", "by-hand"):
        (project.folder / f"jobs/{name}.toml").unlink()
    project.write("password", partner.PASSWORD).chmod(0o600)
    job = OFTEN.replace('"2s"', '"1s"\ncutoff = "5m"') + PATIENT
    project.job("near", job)
    for name in ("far-1", "far-2"):
        project.job(name, job.replace('"out"', '"bank"'))
    return project


@pytest.mark.parametrize("server", ["moody", "sshd"])
def test_a_daemon_that_is_killed_at_random_finishes_each_slot_exactly_once(
    server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bank, root = request.getfixturevalue(server)
    project = make(tmp_path, bank)
    # The ledger is there, however slow the machine: what is killed while it makes one is another test's.
    assert project("run", "--due").code == 0
    chance = random.Random(20261123)
    with zygote(project.folder) as begin:
        words = ["serve", "--config", str(project.folder / "config.toml")]
        for number in range(KILLS // 2):
            pid = begin.begin(words, project.folder / f"serve-{number}.log")
            time.sleep(chance.uniform(*SECONDS_ALIVE))
            begin.kill(pid)
        stop_owing(project)
        begin.begin(words, project.folder / "serve-last.log")
        until(settled(project), 60)
    logs = "".join(path.read_text() for path in project.folder.glob("serve-*.log"))
    assert "Traceback" not in logs
    assert_each_slot_once(project, root)


def stop_owing(project: Project) -> None:
    """From now on nothing more comes due: the mark lies ahead of any clock."""
    with sqlite3.connect(project.folder / "var/ledger.db", timeout=60) as ledger:
        ledger.execute("update marks set planned_until = '2099-01-01T00:00:00.000000+00:00'")
    ledger.close()


def settled(project: Project) -> Callable[[], bool]:
    """Whether every run is delivered. The last words of a worker that was killed may be missing: what counts is deliveries."""

    def all_delivered() -> bool:
        arrived = "select run from deliveries where status = 'delivered'"
        with sqlite3.connect(project.folder / "var/ledger.db", timeout=60) as ledger:
            (left,) = ledger.execute(f"select count(*) from runs where id not in ({arrived})").fetchone()
        ledger.close()
        return left == 0

    return all_delivered


def assert_each_slot_once(project: Project, root: Path) -> None:
    runs = project("runs", "--json", "--limit", "1000").document["runs"]
    assert {run["status"] for run in runs} == {"delivered"}
    by_job: dict[str, list[datetime]] = {}
    for run in reversed(runs):
        by_job.setdefault(run["job"], []).append(datetime.fromisoformat(run["slot"]))
        # Built once; what is tried again are its bytes.
        assert [attempt["outcome"] for attempt in run["attempts"]].count("built") == 1
        (delivery,) = run["deliveries"]
        folder = project.folder / "out" if delivery["endpoint"] == "out" else root
        content = (folder / delivery["path"]).read_bytes()
        assert sha256(content).hexdigest() == run["artifact"]["sha256"] == delivery["sha256"]
    assert sorted(by_job) == ["far-1", "far-2", "near"]
    for slots in by_job.values():
        assert len(slots) > 2
        assert slots == [slots[0] + number * timedelta(seconds=1) for number in range(len(slots))]
    expected = sorted(run["deliveries"][0]["path"] for run in runs)
    seen = sorted(path.name for folder in (project.folder / "out", root) for path in folder.iterdir())
    assert seen == expected
    if Moody.published:
        assert len(set(Moody.published)) == len(Moody.published)
