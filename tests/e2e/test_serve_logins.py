"""A refused login: one trial a delay, whatever is due, and then all of it goes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import CONFIG, Project, make_project, until
from tests.e2e.daemons import OFTEN, serving
from tests.servers import partner

MORE = """\
connections = 4
[[notify]]
on = ["failed", "recovered"]
command = ["sh", "-c", "cat >> told; echo >> told"]
"""
DELAY = timedelta(seconds=3)


@pytest.fixture
def project(tmp_path: Path) -> Any:
    with partner.serve(tmp_path / "partner") as server:
        bank = server.as_endpoint(MORE)
        project = make_project(tmp_path / "project", config="workers = 8\n" + CONFIG + bank)
        (project.folder / "jobs/daily.toml").unlink()
        (project.folder / "jobs/by-hand.toml").unlink()
        for name in ("a", "b", "c", "d", "e"):
            text = OFTEN.replace('"out"', '"bank"')
            project.job(name, text + '[retry]\nafter = ["3s"]\n')
        project.write("password", "wrong").chmod(0o600)
        yield project, server


def test_many_jobs_try_a_refused_login_once_a_delay_and_none_of_them_fails(
    project: tuple[Project, partner.Partner],
) -> None:
    folder, server = project
    with serving(folder) as daemon:
        daemon.wait_for("retrying", 10)
        until(lambda: len(server.doors.asked) >= 3, 30)
        first = daemon.said("begun")[0]
        asked = len(server.doors.asked)
        passed = datetime.fromisoformat(daemon.lines[-1]["at"]) - datetime.fromisoformat(first["at"])
        assert asked <= 2 + passed / DELAY
        paused = folder("status", "--json")
        assert paused.code == 3
        assert {row["counts"]["failed"] for row in paused.document["jobs"]} == {0}
        folder.write("password", partner.PASSWORD).chmod(0o600)
        daemon.wait_for("delivered", 5, 40)
        for name in ("a", "b", "c", "d", "e"):
            daemon.wait_for("delivered", job=name)
        assert daemon.end() == 0
    told = [line for line in (folder.folder / "told").read_text().splitlines() if line]
    assert len([line for line in told if '"kind":"failed"' in line]) == 1
    assert len([line for line in told if '"kind":"recovered"' in line]) == 1
