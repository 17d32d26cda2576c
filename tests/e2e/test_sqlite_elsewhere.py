"""The installed command reads a large SQLite file with a process beside it; whichever is ended, the other goes too."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.command import PROGRAM, SECONDS, Project, Said, clean, make_project, until

QUERY = (
    "with recursive g(i) as (select 1 union all select g.i + 1 from g, last where g.i < last.i) "
    "select 'x' as s from g where i <= 1500 or i < 0"
)
JOB = f"""
[schedule]
cron = "0 5 * * *"
[source]
database = "shop"
query = "{QUERY}"
[file]
format = "psv"
endpoint = "out"
path = "orders-{{business_date:%m%d}}.psv"
"""
RUN = ("run", "large", "--slot", "2026-11-20T04:00:00Z")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path)
    project.execute("create table large as select zeroblob(33 << 20) as b")
    project.execute("create table last as select 1 << 60 as i")
    return project


def reader_of(pid: int) -> int | None:
    """The process that reads for another."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "_sqlite_rows" in (path / "cmdline").read_text():
                return int(path.name)
        except OSError:
            continue
    return None


def is_busy(pid: int | None) -> bool:
    """Whether a process has begun to look for rows, which are not there."""
    return pid is not None and int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) > 20


@contextmanager
def running(project: Project) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A run whose query finds no more rows, and the process that looks for them."""
    project.job("large", JOB)
    command = subprocess.Popen(
        [str(PROGRAM), *RUN],
        cwd=project.folder,
        env=clean(project.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with command:
        try:
            until(lambda: is_busy(reader_of(command.pid)))
            yield command, reader_of(command.pid) or 0
        finally:
            command.kill()


def ended(command: subprocess.Popen[bytes], reader: int) -> Said:
    out, err = command.communicate(timeout=SECONDS)
    until(lambda: not Path(f"/proc/{reader}").exists())
    assert b"Traceback" not in err
    return Said(command.returncode, out.decode(), err.decode())


def is_run_anew(project: Project) -> bool:
    """Nothing of the run before was sent, and nothing is locked."""
    assert project.delivered() == {}
    project.execute("update last set i = 3000")
    said = project(*RUN)
    return said.code == 0 and project.delivered() == {"orders-1120.psv": "s\n" + "x\n" * 1500}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_a_terminal_sends_to_all_of_them_ends_both(project: Project, number: signal.Signals, code: int) -> None:
    with running(project) as (command, reader):
        os.killpg(command.pid, number)
        assert ended(command, reader).code == code
    assert is_run_anew(project)


def test_a_killed_command_leaves_no_reader_and_no_lock(project: Project) -> None:
    with running(project) as (command, reader):
        command.kill()
        assert ended(command, reader).code == -signal.SIGKILL
    assert is_run_anew(project)


def test_a_killed_reader_is_said_and_tried_again(project: Project) -> None:
    with running(project) as (command, reader):
        os.kill(reader, signal.SIGKILL)
        said = ended(command, reader)
    assert said.code == 3
    assert (
        "database 'shop': the process that fetches the rows broke off: it was ended by signal 9" in said.out + said.err
    )
    assert not list((project.folder / "var/spool/large").glob("*"))
    assert project.delivered() == {}
