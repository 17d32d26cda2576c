"""A user who may only read a project, or not even that: what there is to see is shown, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchxfer.cli import project as project_module
from tests.e2e.command import PROGRAM, SECONDS, Project, Said, clean, make_project
from tests.needs import missing

SLOT = "2026-11-23T06:00"
# Without these root is a user like others: modes count.
ROOT_S_RIGHTS = "--bounding-set=-dac_override,-dac_read_search"


def visitor(project: Project, *words: str) -> Said:
    """The command by a user to whom modes apply."""
    command = [str(PROGRAM), *words]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv") or missing("setpriv")
        command = [setpriv, ROOT_S_RIGHTS, "--inh-caps=-all", *command]
    done = subprocess.run(
        command, cwd=project.folder, env=clean(project.folder), capture_output=True, timeout=SECONDS, check=False
    )
    said = Said(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in said.err, said.err
    assert "unexpected" not in said.err, said.err
    return said


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = make_project(tmp_path / "shop")
    assert project("run", "daily", "--slot", SLOT).code == 0
    yield project
    for folder, _, _ in os.walk(project.folder):
        os.chmod(folder, 0o700)


def close(path: Path, mode: int) -> None:
    """Give all below `path` these rights; folders are entered by who may read them."""
    for each in (*path.rglob("*"), path):
        each.chmod(mode | (mode & 0o444) >> 2 if each.is_dir() else mode)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("is_folder_open", [False, True])
def test_who_may_only_read_the_ledger_sees_all_and_leaves_nothing_behind(
    project: Project, is_folder_open: bool
) -> None:
    var = project.folder / "var"
    seen = {words: project(*words.split()).out for words in ("status --json", "runs --json")}
    before = files(var)
    close(var, 0o444)
    if is_folder_open:
        # What SQLite would make beside the file would be this user's, and its owner could not write to it.
        var.chmod(0o777)
    for words, out in seen.items():
        assert visitor(project, *words.split()) == Said(0, out, "")
    assert files(var) == before


def test_who_may_only_read_sees_what_is_in_the_log_alone(project: Project) -> None:
    ledger = project.folder / "var/ledger.db"
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        # As long as somebody has it open the log is not put into the file.
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM runs").fetchone()
        assert project("pause", "daily", "--why", "as a test says").code == 0
        assert ledger.with_name("ledger.db-wal").stat().st_size
        close(project.folder / "var", 0o444)
        said = visitor(project, "status")
        assert said.err == ""
        assert "as a test says" in said.out
        close(project.folder / "var", 0o600)


@pytest.mark.parametrize("words", ["run daily", "resend RUN", "pause daily --why x", "serve"])
def test_who_may_only_read_the_ledger_begins_nothing(project: Project, words: str) -> None:
    run = project("runs", "--json").run["run"]
    close(project.folder / "var", 0o444)
    said = visitor(project, *words.replace("RUN", run).split())
    assert said.code == 2, said
    assert said.err.startswith(f"error: ledger {project.folder}/var/ledger.db: this user may only read it")
    assert (project.folder / "var/ledger.db").owner() in said.err
    assert list(project.delivered()) == ["daily_20261123.psv"]


def test_who_may_only_read_is_told_that_the_ledger_was_put_back(project: Project) -> None:
    ledger = project.folder / "var/ledger.db"
    old = ledger.read_bytes()
    assert project("run", "daily", "--slot", "2026-11-24T06:00").code == 0
    ledger.write_bytes(old)
    close(project.folder / "var", 0o444)
    said = visitor(project, "status")
    assert said.code == 4
    assert said.err.startswith("warning: the ledger was put back from a backup: it knows nothing after "), said.err


def test_where_the_spool_is_closed_the_ledger_is_shown_and_what_is_not_known_is_said(project: Project) -> None:
    var = project.folder / "var"
    close(var, 0o444)
    (var / "spool").chmod(0)
    (var / "ledger.db.owners").chmod(0)
    said = visitor(project, "status")
    assert said.code == 0
    assert "2026-11-23 06:00" in said.out
    assert "this user may not look into it: whether it belongs to this ledger" in said.err
    said = visitor(project, "doctor")
    assert "nothing is known to be wrong with them: they could not be looked at" in said.out
    assert "another" not in said.out
    assert "whether a `serve` runs is not known to this user" in said.out


def test_an_artifact_that_another_user_made_is_told_by_doctor_and_not_taken_for_damaged(project: Project) -> None:
    """Somebody typed a command as root: the daemon's own user cannot read what it made."""
    (artifact,) = (project.folder / "var/spool/daily").iterdir()
    artifact.chmod(0)
    said = visitor(project, "doctor", "--deep")
    assert said.code == 0, said
    assert f"warning: spool: this user cannot read 1 file: {artifact}\n" in said.out


@pytest.mark.parametrize(("words", "told"), [("run daily", 1), ("rerun RUN", 1), ("run --due", 1), ("status", 0)])
def test_root_is_told_before_it_makes_what_the_project_s_own_user_cannot_read(
    project: Project, monkeypatch: pytest.MonkeyPatch, words: str, told: int
) -> None:
    spool = project.folder / "var/spool"
    if os.geteuid() == 0:
        os.chown(spool, 1, 1)
    run = project("runs", "--json").run["run"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(project_module, "is_terminal", lambda stream: True)
    said = project(*words.replace("RUN", run).split())
    owner = spool.owner()
    assert said.err.count(f"warning: this is root, and the spool belongs to {owner}: what is made now") == told
    assert said.err.count(f"\n→ type it as that user: sudo -u {owner} batchxfer …; ") == told
    monkeypatch.setattr(project_module, "is_terminal", lambda stream: False)
    assert "this is root" not in project(*words.replace("RUN", run).split()).err


@pytest.mark.parametrize("words", ["status", "doctor", "run daily --dry-run", "backup", "init ."])
def test_where_nothing_may_be_looked_at_it_is_said_and_is_no_fault(project: Project, words: str) -> None:
    (project.folder / "shop.db").rename(project.folder / "var/shop.db")
    project.write("config.toml", (project.folder / "config.toml").read_text().replace("shop.db", "var/shop.db"))
    (project.folder / "var").chmod(0)
    (project.folder / "jobs").chmod(0o500)
    said = visitor(project, *words.split())
    assert said.code == 2, said
    assert "Permission denied" in said.err + said.out or "already there" in said.err
    assert "restore the ledger" not in said.err, "a ledger that may not be looked at is not lost"


def test_a_ledger_that_may_not_be_looked_at_is_not_lost_where_the_spool_is_open(project: Project) -> None:
    folder = project.folder / "closed"
    folder.mkdir()
    (project.folder / "var/ledger.db").rename(folder / "ledger.db")
    config = (project.folder / "config.toml").read_text()
    project.write("config.toml", f'ledger = "sqlite:///closed/ledger.db"\n{config}')
    folder.chmod(0)
    said = visitor(project, "status")
    assert said.code == 2
    assert said.err.startswith(f"error: ledger {folder}/ledger.db cannot be looked at: Permission denied\n"), said.err
