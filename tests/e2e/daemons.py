"""`serve` as a process: what it logs, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.command import PROGRAM, SECONDS, Project, clean, until

OFTEN = """
[schedule]
every = "2s"
[source]
database = "shop"
query = "select id, name, :slot as slot from orders order by id"
[file]
format = "psv"
endpoint = "out"
path = "{job}_{slot_utc:%Y%m%dT%H%M%SZ}.psv"
"""


@dataclass
class Daemon:
    """A `serve` that runs in `project`; its words are in `log`."""

    project: Project
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it logged, a dictionary a line; whatever is not JSON is a fault."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def said(self, action: str, **about: object) -> list[dict[str, Any]]:
        found = [line for line in self.lines if line["action"] == action]
        return [line for line in found if all(line.get(key) == value for key, value in about.items())]

    def wait_for(self, action: str, count: int = 1, seconds: float = 30, **about: object) -> dict[str, Any]:
        """The newest such line, once there are `count` of them."""

        def happened() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return len(self.said(action, **about)) >= count

        until(happened, seconds)
        return self.said(action, **about)[-1]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.process.wait(SECONDS)


@contextmanager
def serving(project: Project, *words: str, **environment: str) -> Iterator[Daemon]:
    """A daemon until the end of the block, which kills it where it still runs."""
    log = project.folder / f"serve-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(PROGRAM), "serve", *words],
            cwd=project.folder,
            env={**clean(project.folder), **project.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Daemon(project, process, log)
    finally:
        process.kill()
        process.wait(SECONDS)


@dataclass
class Zygote:
    """Begins commands fast; see tests.e2e.zygote."""

    process: subprocess.Popen[bytes]
    begun: list[int] = field(default_factory=list)

    def begin(self, words: list[str], log: Path, **more: str | bool) -> int:
        """The id of the process that carries out `batchxfer WORDS`; `more` as tests.e2e.zygote says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"words": words, "log": str(log), **more}).encode() + b"\n")
        self.process.stdin.flush()
        self.begun.append(int(self.process.stdout.readline()))
        return self.begun[-1]

    def kill(self, pid: int) -> None:
        """End it, and wait until it is gone with its locks."""
        try:
            os.kill(pid, signal.SIGKILL)
            while True:
                os.kill(pid, 0)
                time.sleep(0.002)
        except ProcessLookupError:
            self.begun.remove(pid)


@contextmanager
def zygote(folder: Path) -> Iterator[Zygote]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.e2e.zygote"],
        cwd=Path(__file__).parents[2],
        env=clean(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    found = Zygote(process)
    try:
        yield found
    finally:
        for pid in list(found.begun):
            found.kill(pid)
        process.kill()
        process.communicate()
