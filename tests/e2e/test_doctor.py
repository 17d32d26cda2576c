"""`doctor` says what is wrong, changes nothing, and works where little else does; by the installed command."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from batchxfer.wiring import load_sound_part
from tests.e2e.command import CONFIG, DAILY, Project, make_project
from tests.e2e.daemons import OFTEN, serving

SLOT = "2026-11-23T06:00"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "shop")
    assert project("run", "daily", "--slot", SLOT).code == 0
    return project


def findings(project: Project, *words: str, code: int) -> dict[str, Any]:
    said = project("doctor", *words, "--json")
    assert said.code == code, said
    assert said.err == ""
    assert said.document["ok"] is (code == 0)
    found = said.document["findings"]
    for finding in found:
        assert all(finding[key] for key in ("name", "level", "where", "what", "why", "safe", "hint")), finding
    return {finding["name"]: finding for finding in found}


def artifact(project: Project) -> Path:
    (path,) = (project.folder / "var/spool/daily").iterdir()
    return path


def state(project: Project) -> dict[str, str]:
    """Each file's content; a SQLite log and its index are no content."""
    files = [path for path in project.folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in files}


def test_where_nothing_is_wrong_it_says_so_and_changes_nothing(project: Project) -> None:
    before = state(project)
    said = project("doctor", "--deep", "--endpoints")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "nothing is wrong with: configuration, machine, ledger, spool, endpoints (1 run, no `serve` is running)\n"
    )
    assert state(project) == before
    document = project("doctor", "--json").document
    assert document["looked"] == ["configuration", "machine", "ledger", "spool"]
    assert document["ledger"]["runs"] == 1
    assert {"python", "batchxfer", "paramiko", "tzdata"} <= set(document["versions"])


def test_a_new_project_has_nothing_wrong_and_gets_no_ledger(tmp_path: Path) -> None:
    project = make_project(tmp_path / "shop")
    assert project("doctor").code == 0
    assert not (project.folder / "var").exists()


def test_each_problem_of_each_job_is_told_and_the_rest_is_looked_at(project: Project) -> None:
    project.job("broken", "[schedule")
    found = findings(project, code=2)
    assert found["configuration"]["where"].startswith("jobs/broken.toml")
    assert "ledger" in project("doctor", "--json").document["looked"]
    project.write("config.toml", "endpoints = 7")
    assert "configuration" in findings(project, code=2)
    assert project("doctor", "--json").document["looked"] == ["configuration"]
    (project.folder / "config.toml").unlink()
    found = findings(project, code=2)
    assert "is not there" in found["configuration"]["what"]


def test_what_is_to_be_sent_and_is_gone_or_damaged(project: Project) -> None:
    path = artifact(project)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    assert findings(project, code=0) == {}
    assert "its content is another" in findings(project, "--deep", code=0)["artifacts-of-delivered-runs"]["what"]
    with closing(sqlite3.connect(project.folder / "var/ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE runs SET status = 'retrying'")
    assert "its content is another" in findings(project, "--deep", code=4)["artifacts"]["what"]
    path.unlink()
    assert f"{path}: gone" in findings(project, code=4)["artifacts"]["what"]


def test_a_damaged_ledger(project: Project) -> None:
    ledger = project.folder / "var/ledger.db"
    content = bytearray(ledger.read_bytes())
    content[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    ledger.write_bytes(content)
    before = state(project)
    assert "damaged" in findings(project, code=2)["ledger"]["what"]
    assert state(project) == before


def test_a_missing_ledger_and_another_projects_spool(project: Project) -> None:
    ledger = project.folder / "var/ledger.db"
    ledger.rename(project.folder / "away.db")
    assert "missing or empty" in findings(project, code=2)["ledger"]["what"]
    assert not ledger.exists()
    (project.folder / "away.db").rename(ledger)
    (project.folder / "var/spool/project-id").write_text("01AAAAAAAAAAAAAAAAAAAAAAAA\n")
    assert "belongs to project" in findings(project, code=2)["ledger"]["what"]


def test_a_ledger_of_a_later_and_of_an_earlier_batchxfer(project: Project) -> None:
    path = project.folder / "var/ledger.db"
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("UPDATE ledger_version SET version_num = '9999'")
    assert "9999" in findings(project, code=2)["ledger"]["what"]
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("UPDATE ledger_version SET version_num = '0001'")
    assert findings(project, code=0)["older-ledger"]["level"] == "warning"
    with closing(sqlite3.connect(path)) as ledger:
        assert ledger.execute("SELECT version_num FROM ledger_version").fetchall() == [("0001",)]


def test_a_ledger_that_is_out_of_reach(project: Project) -> None:
    project.write("config.toml", 'ledger = "postgresql://nobody@127.0.0.1:1/ledger"\n' + CONFIG)
    assert "out of reach" in findings(project, code=3)["ledger"]["what"]


def test_a_ledger_that_was_put_back(project: Project) -> None:
    assert project("backup", "copy.db").code == 0
    assert project("run", "daily", "--slot", "2026-11-24T06:00").code == 0
    shutil.copy(project.folder / "copy.db", project.folder / "var/ledger.db")
    for _ in range(2):
        assert "batchxfer reconcile" in findings(project, code=4)["ledger-restored"]["hint"]
    with closing(sqlite3.connect(project.folder / "var/ledger.db")) as ledger:
        assert ledger.execute("SELECT * FROM meta WHERE key = 'restored'").fetchall() == []
    assert project("status").code == 4
    assert "ledger-restored" in findings(project, code=4)


def test_leftovers_in_the_spool_and_at_the_endpoint(project: Project) -> None:
    left = project.write("var/spool/daily/20261101T050000Z-01K8W8Q0000000000000000000.part", "half")
    os.utime(left, (1, 1))
    # Somebody may be building that one.
    project.write("var/spool/daily/20261102T050000Z-01K8W8Q0000000000000000000.part", "half")
    found = findings(project, code=0)["leftovers"]
    assert "batchxfer prune" in found["hint"]
    assert found["what"] == f"1 file in the spool of no run, 4 bytes: {left}"
    project.write("out/.daily_20261123.psv.01K8W8Q0000000000000000000.part", "half")
    project.write("out/.daily_20261123.psv.mine.part", "somebody's")
    found = findings(project, "--endpoints", code=0)["remote-leftovers"]
    assert found["what"] == ("1 temporary file of ours left there: .daily_20261123.psv.01K8W8Q0000000000000000000.part")
    assert left.exists()


def test_a_folder_that_the_partner_put_away_has_nothing_left_in_it(project: Project) -> None:
    project.job("dated", DAILY.replace('path = "', 'path = "{business_date:%Y}/'))
    assert project("run", "dated", "--slot", SLOT).code == 0
    shutil.rmtree(project.folder / "out" / SLOT[:4])
    assert findings(project, "--endpoints", code=0) == {}


def test_an_endpoint_that_cannot_be_looked_at(project: Project) -> None:
    project.write("config.toml", CONFIG + 'environment = "production"\n')
    assert "is for environment 'production'" in findings(project, "--endpoints", code=4)["endpoint"]["what"]


def test_what_others_may_read(project: Project) -> None:
    (project.folder / "var/ledger.db").chmod(0o644)
    assert "ledger.db" in findings(project, code=0)["readable-by-others"]["what"]


def test_a_spool_that_is_a_file(tmp_path: Path) -> None:
    project = make_project(tmp_path / "shop")
    project.write("var/spool", "x")
    assert findings(project, code=2)["spool-is-no-folder"]["where"].endswith("var/spool")
    said = project("run", "daily")
    assert said.code == 2
    assert "there is a file of that name" in said.err
    assert "→ mend `spool` in config.toml" in said.err


def test_while_a_daemon_runs_it_says_so(project: Project) -> None:
    project.job("often", OFTEN)
    with serving(project, "--json") as daemon:
        daemon.wait_for("delivered")
        said = project("doctor", "--json")
        assert said.code == 0, said
        assert said.document["ledger"]["serving"] is True
        assert daemon.end() == 0


def test_a_job_that_is_broken_keeps_nobody_from_looking_at_what_was_sent(project: Project) -> None:
    (run,) = project("runs", "--json").document["runs"]
    project.job("broken", "[schedule")
    project.write("formats/bad.toml", 'kind = "nonsense"')
    project.job("daily", (project.folder / "jobs/daily.toml").read_text().replace('"psv"', '"bad"'))
    said = project("runs", "--json")
    assert said.code == 0
    assert said.document["runs"][0]["run"] == run["run"]
    assert "warning: jobs/broken.toml" in said.err
    assert "warning: formats/bad.toml" in said.err
    sound, problems = load_sound_part(project.folder / "config.toml")
    assert set(sound.jobs) == {"by-hand"}
    assert {problem.file for problem in problems} == {"jobs/broken.toml", "formats/bad.toml"}
    assert project("show", run["run"]).code == 0
    assert project("backup", "copy.db").code == 0
    assert project("run", "daily").code == 2
    assert project("status").code == 2
    project.write("config.toml", "endpoints = 7")
    assert project("runs").code == 2
