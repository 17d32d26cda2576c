"""`backup`: a copy of the ledger, by the installed command, also while a daemon writes to it."""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from batchxfer.errors import StorageError, UsageError
from batchxfer.ledger import copying
from tests.e2e.command import PROGRAM, Project, clean, make_project
from tests.e2e.daemons import OFTEN, serving
from tests.ledgers import NOW

SLOT = "2026-11-23T06:00"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "shop")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_copy_made_while_the_daemon_runs_is_whole_and_can_be_put_back(project: Project) -> None:
    project.job("often", OFTEN)
    copies = []
    with serving(project, "--json") as daemon:
        daemon.wait_for("delivered")
        for number in range(3):
            said = project("backup", f"copy-{number}.db", "--json")
            assert said.code == 0, said
            copies.append(said.document)
            daemon.wait_for("delivered", count=2 + number)
        assert daemon.end() == 0
    for copy in copies:
        path = Path(copy["path"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_size == copy["bytes"]
        with closing(sqlite3.connect(path)) as ledger:
            assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert ledger.execute("SELECT count(*) FROM runs").fetchone() == (copy["runs"],)
            assert ledger.execute("SELECT max(id) FROM events").fetchone() == (copy["events"],)
            # Each is what the ledger was at one moment: no delivery without its run, no run without its slot.
            assert ledger.execute("PRAGMA foreign_key_check").fetchall() == []
    assert copies[0]["events"] < copies[1]["events"] < copies[2]["events"]
    shutil.copy(copies[0]["path"], project.folder / "var/ledger.db")
    for ending in ("-wal", "-shm"):
        Path(f"{project.folder}/var/ledger.db{ending}").unlink(missing_ok=True)
    said = project("status")
    assert said.code == 4
    assert "put back from a backup" in said.err


def test_without_a_name_it_gets_one_with_the_time(project: Project) -> None:
    project("run", "daily", "--slot", SLOT)
    said = project("backup")
    assert said.code == 0
    (copy,) = (project.folder / "var").glob("ledger-*Z.db")
    assert str(copy) in said.out
    assert "1 run, up to 20" in said.out
    assert "the spool" in said.out
    (project.folder / "safe").mkdir()
    assert project("backup", "safe").code == 0
    assert len(list((project.folder / "safe").glob("ledger-*Z.db"))) == 1


def test_a_name_that_ends_with_a_slash_is_a_folder_and_must_be_there(project: Project) -> None:
    said = project("backup", "safe/")
    assert said.code == 2
    assert "the folder safe/ is not there" in said.err
    assert "mount it, or make it: mkdir -p safe/" in said.err
    assert not (project.folder / "safe").exists()
    (project.folder / "safe").mkdir()
    project("run", "--due")
    assert project("backup", "safe/").code == 0
    assert [path.suffix for path in (project.folder / "safe").iterdir()] == [".db"]


def test_nothing_is_overwritten(project: Project) -> None:
    project("run", "daily", "--slot", SLOT)
    taken = project.write("taken.db", "mine")
    said = project("backup", "taken.db")
    assert said.code == 2
    assert "is there already, and is not overwritten" in said.err
    assert taken.read_text() == "mine"
    assert project("backup", "no/such/copy.db").code == 2
    assert project("backup", "var/ledger.db").code == 2
    assert leftovers(project.folder) == []


def test_a_ledger_that_is_gone_is_not_taken_for_one_that_never_was(project: Project) -> None:
    assert project("run", "daily").code == 0
    (project.folder / "var/ledger.db").rename(project.folder / "var/away.db")
    said = project("backup", "copy.db")
    assert said.code == 2
    assert "belongs to a project that had one" in said.err
    assert not (project.folder / "copy.db").exists()


def test_where_nothing_was_ever_run_there_is_nothing_to_copy(project: Project) -> None:
    said = project("backup", "copy.db")
    assert said.code == 2
    assert "nothing was ever run" in said.err
    assert not (project.folder / "copy.db").exists()


def test_a_damaged_ledger_is_not_taken_for_a_backup(project: Project) -> None:
    project("run", "daily", "--slot", SLOT)
    ledger = project.folder / "var/ledger.db"
    content = bytearray(ledger.read_bytes())
    content[4096 * 2 : 4096 * 4] = b"\xff" * 8192
    ledger.write_bytes(content)
    said = project("backup", "copy.db")
    assert said.code == 2
    assert "damaged" in said.err
    assert not (project.folder / "copy.db").exists()
    assert leftovers(project.folder) == []


def test_a_full_disk_leaves_no_half_copy(project: Project) -> None:
    project("run", "daily", "--slot", SLOT)

    def small() -> None:
        # The kernel refuses to let a file grow further, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [str(PROGRAM), "backup", "copy.db"],
        cwd=project.folder,
        env=clean(project.folder),
        capture_output=True,
        timeout=60,
        preexec_fn=small,
    )
    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr
    assert not (project.folder / "copy.db").exists()
    assert leftovers(project.folder) == []


def test_a_copy_that_is_killed_leaves_nothing_under_its_name(project: Project) -> None:
    project("run", "daily", "--slot", SLOT)
    ledger = project.folder / "var/ledger.db"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("CREATE TABLE padding(text)")
        connection.execute(
            "INSERT INTO padding WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40000)"
            " SELECT hex(randomblob(500)) FROM c"
        )
    process = project.begin("backup", "copy.db")
    try:
        end = time.monotonic() + 30
        while not leftovers(project.folder) and not (project.folder / "copy.db").exists():
            assert time.monotonic() < end
        process.kill()
    finally:
        process.communicate(timeout=30)
    if (project.folder / "copy.db").exists():
        with closing(sqlite3.connect(project.folder / "copy.db")) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert copy.execute("SELECT count(*) FROM padding").fetchone() == (40000,)
    assert project("backup", "later.db").code == 0


def test_a_name_that_is_taken_meanwhile_is_left_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project("run", "daily", "--slot", SLOT)
    to = project.folder / "copy.db"
    sync = copying._sync

    def and_taken(path: Path) -> None:
        sync(path)
        to.write_text("mine")

    monkeypatch.setattr(copying, "_sync", and_taken)
    with pytest.raises(UsageError, match="not overwritten"):
        copying.backup(project.folder / "var/ledger.db", to, NOW)
    assert to.read_text() == "mine"


def test_a_ledger_in_postgresql_is_copied_by_its_own_program(project: Project) -> None:
    config = (project.folder / "config.toml").read_text()
    url = "postgresql://batchxfer@db.example:5433/ledger?options=-csearch_path%3Dnight"
    project.write("config.toml", f'ledger = "{url}"\n' + config)
    said = project("backup", "safe/ledger.dump", "--json")
    assert said.code == 2
    assert said.document["error"]["hint"] == (
        "pg_dump --format=custom --file=safe/ledger.dump --host=db.example --port=5433 --username=batchxfer"
        " --dbname=ledger --schema=night"
    )


def test_what_cannot_be_written_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project("run", "daily", "--slot", SLOT)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copying, "_sync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        copying.backup(project.folder / "var/ledger.db", project.folder / "copy.db", NOW)
    assert leftovers(project.folder) == []
