"""What a command imports, most of the time that it takes to start: no driver that it does not use, no other command."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from batchxfer import intake, wiring
from batchxfer.cli.app import MODULES
from batchxfer.credentials import resolve
from tests.e2e.command import SECONDS, Project, clean, make_project

DRIVERS = {
    *("paramiko", "psycopg", "adbc_driver_postgresql", "pymysql", "sqlalchemy.dialects.postgresql"),
    *("alembic", "apscheduler", "holidays"),
}
PULL = """
direction = "pull"
[file]
endpoint = "out"
format = "psv"
path = "box/*.psv"
done_file = "{path}.done"
[load]
database = "shop"
table = "orders"
"""
# The installed command in all else: what it had imported in the end is left in a file.
COMMAND = """
import sys
from batchxfer.cli import main
code = main()
open("imported", "w").write("\\n".join(sys.modules))
sys.exit(code)
"""
# Fetching takes as long as it takes to import what loads.
SLOWLY = """
import sys, time
from batchxfer.fetching import Fetcher
from batchxfer.looking import Looker
look, fetch_all = Looker.look, Fetcher.fetch_all
def look_and_see(*words):
    assert not NEEDED & sys.modules.keys(), "nothing is gained"
    return look(*words)
Looker.look = look_and_see
def fetch_slowly(*words):
    end = time.monotonic() + 30
    while not NEEDED <= sys.modules.keys():
        assert time.monotonic() < end, f"not imported meanwhile: {NEEDED - sys.modules.keys()}"
        time.sleep(0.01)
    return fetch_all(*words)
Fetcher.fetch_all = fetch_slowly
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("imports"))
    project.job("back", PULL)
    # The ledger is there: the commands that are looked at do not make it.
    assert project("run", "daily", "--slot", "2026-01-05T06:00").code == 0
    return project


def carry_out(project: Project, code: str, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=project.folder,
        env=clean(project.folder),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return set(Path(project.folder, "imported").read_text().split())


@pytest.mark.parametrize("words", [("status",), ("runs",), ("check",), ("plan", "--count", "1")])
def test_who_looks_imports_neither_arrow_nor_a_driver_nor_another_command(
    project: Project, words: tuple[str, ...]
) -> None:
    imported = carry_out(project, COMMAND, *words)
    others = {f"batchxfer.cli.{module}" for module in set(MODULES.values()) - {MODULES[words[0]]}}
    assert imported & {"pyarrow", *DRIVERS, *others} == set()


@pytest.mark.parametrize(
    "words",
    [("--json", "run", "daily"), ("--config", "config.toml", "run", "daily"), ("--config=config.toml", "run", "daily")],
)
def test_a_run_imports_the_drivers_that_it_uses(project: Project, words: tuple[str, ...]) -> None:
    imported = carry_out(project, COMMAND, *words, "--slot", "2026-01-06T06:00")
    assert imported & {*DRIVERS, "batchxfer.cli.status"} == set()
    assert "batchxfer.cli.run" in imported


@pytest.mark.parametrize("words", [("--help",), ("--config", "run", "--help"), ("-h", "run")])
def test_the_help_of_the_program_names_every_command(project: Project, words: tuple[str, ...]) -> None:
    said = project.process(*words)
    assert said.code == 0
    assert [name for name in MODULES if f"  {name} " not in said.out] == []


def test_what_loads_is_imported_while_files_are_fetched(project: Project) -> None:
    (project.folder / "out/box").mkdir()
    (project.folder / "out/box/a.psv").write_text("id|name\n3|Olu\n")
    (project.folder / "out/box/a.psv.done").touch()
    needed = {
        "pyarrow.compute",
        "batchxfer.decoding",
        "batchxfer.codec._read_delimited",
        "batchxfer.databases.sqlalchemy",
    }
    carry_out(project, f"NEEDED = {needed}\n{SLOWLY}\n{COMMAND}", "run", "back")
    with sqlite3.connect(project.folder / "shop.db") as shop:
        assert shop.execute("select name from orders where id = 3").fetchall() == [("Olu",)]
    shop.close()


@pytest.fixture
def away(project: Project, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A database that is out of reach, and a file for it."""
    config = (project.folder / "config.toml").read_text()
    project.write(
        "config.toml",
        f'{config}\n[databases.away]\nurl = "postgresql://ana@127.0.0.1:9/shop"\npassword = {{ env = "AWAY" }}\n',
    )
    project.job("away", PULL.replace("box/", "away/").replace('"shop"', '"away"'))
    (project.folder / "out/away").mkdir()
    (project.folder / "out/away/a.psv").write_text(f"id|name\n3|{request.node.name}\n")
    (project.folder / "out/away/a.psv.done").touch()
    yield project
    (project.folder / "config.toml").write_text(config)
    (project.folder / "jobs/away.toml").unlink()
    shutil.rmtree(project.folder / "out/away")


def test_a_secret_is_read_once_since_a_pipe_gives_it_once(away: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(
        wiring, "resolve", lambda ref, *more, **words: read.append(ref.env) or resolve(ref, *more, **words)
    )
    said = away("run", "away", AWAY="5ecret")
    assert said.code == 3
    assert "'away'" in said.err
    assert read == ["AWAY"]


def test_where_no_more_threads_start_it_is_imported_later(away: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(intake, "threading", SimpleNamespace(Thread=Refused))
    said = away("run", "away", AWAY="5ecret")
    assert said.code == 3
    assert "cannot connect" in said.out + said.err, "it came as far as the database"


def test_logging_in_somewhere_imports_nothing_of_paramiko_s_that_is_for_other_programs(project: Project) -> None:
    """And takes nothing away from who wants it."""
    code = """
import sys
from pathlib import Path
from batchxfer.endpoints.sftp import Endpoint, Options
from batchxfer.errors import NetworkError
key = "SHA256:" + "A" * 43
options = Options(host="127.0.0.1", port=9, user="ana", agent=True, host_key=(key,))
try:
    Endpoint("nowhere", options, Path()).connect()
except NetworkError:
    pass
open("imported", "w").write("\\n".join(sys.modules))
import invoke
"""
    imported = carry_out(project, code)
    assert "paramiko" in imported
    assert "invoke" not in imported
