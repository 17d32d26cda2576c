"""The installed command on a small project of its own: SQLite rows into a folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from batchxfer.cli import process

PROGRAM = Path(sys.executable).parent / "batchxfer"
SECONDS = 60

CONFIG = """
timezone = "Europe/Berlin"

[databases.shop]
url = "sqlite:///shop.db"

[endpoints.out]
protocol = "local"
root = "out"
timezone = "Asia/Seoul"
partner = "Hangang Logistics"
"""
FORMAT = 'kind = "delimited"\ndelimiter = "|"\n'
DAILY = """
[schedule]
cron = "0 6 * * *"
[source]
database = "shop"
query = "select id, name from orders order by id"
[file]
format = "psv"
endpoint = "out"
path = "{job}_{business_date:%Y%m%d}.psv"
"""
BY_HAND = """
[source]
database = "shop"
query = "select :what as what, :number as number, :rate as rate, :open as open, :day as day, :at as at"
parameters = { what = "all", number = 1, rate = 0.5, open = true, day = 2026-01-31, at = 2026-01-31T06:00:00 }
[file]
format = "psv"
endpoint = "out"
path = "{job}_{slot:%Y%m%d%H%M%S}.psv"
"""
ROWS = "id|name\n1|Ana García\n2|김서연\n"
# A query that takes a while, and can be interrupted.
SLOW_QUERY = "with recursive c(i) as (select 1 union all select i + 1 from c where i < {rows}) select i from c"


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def run(self) -> Any:
        """The one run of `{"runs": […]}`."""
        (run,) = self.document["runs"]
        return run


@dataclass
class Project:
    """A project's folder, and the command in it. `environment` is all that the process is told beside its words."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, **environment: str) -> Said:
        """The command without a process of its own: what imports cost is paid once for many tests."""
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
        told = {**clean(self.folder), **self.environment, **environment}
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, told, clear=True),
            contextlib.redirect_stdout(streams[0]),
            contextlib.redirect_stderr(streams[1]),
        ):
            code = process.run(words)
        out, err = (stream.buffer.getvalue().decode() for stream in map(_flushed, streams))  # type: ignore[attr-defined]
        assert "Traceback" not in err, err
        return Said(code, out, err)

    def process(self, *words: str, **environment: str) -> Said:
        """The installed command."""
        done = subprocess.run(
            [str(PROGRAM), *words],
            cwd=self.folder,
            env={**clean(self.folder), **self.environment, **environment},
            capture_output=True,
            timeout=SECONDS,
        )
        said = Said(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in said.err, said.err
        return said

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """The command, under way."""
        return subprocess.Popen(
            [str(PROGRAM), *words],
            cwd=self.folder,
            env={**clean(self.folder), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def job(self, name: str, text: str) -> None:
        self.write(f"jobs/{name}.toml", text)

    def delivered(self) -> dict[str, str]:
        """What the partner has: names and contents."""
        return {
            path.name: path.read_text("utf-8") for path in sorted((self.folder / "out").rglob("*")) if path.is_file()
        }

    def execute(self, statement: str) -> None:
        """Change the shop."""
        with sqlite3.connect(self.folder / "shop.db") as shop:
            shop.execute(statement)
        shop.close()


def _flushed(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    return stream


def clean(folder: Path) -> dict[str, str]:
    """An environment of which nothing is this machine's or this desk's."""
    told = {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8"}
    # A copy of the tree that is tried (tests/mutants.py) is what its processes run, too.
    return told | {key: value for key, value in os.environ.items() if key == "PYTHONPATH"}


def make_project(folder: Path, *, config: str = CONFIG) -> Project:
    project = Project(folder)
    (folder / "out").mkdir(parents=True)
    project.write("config.toml", config)
    project.write("formats/psv.toml", FORMAT)
    project.job("daily", DAILY)
    project.job("by-hand", BY_HAND)
    shop = sqlite3.connect(folder / "shop.db")
    shop.executescript(
        "create table orders(id integer, name text); insert into orders values (1, 'Ana García'), (2, '김서연');"
    )
    shop.close()
    return project


def until(happened: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> Said:
    """Send a signal, and wait for the command's last words."""
    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)
    return Said(process.returncode, out.decode(), err.decode())
