"""`run` is killed at calls all along a push: the partner sees whole files only, and the next `run` finishes each once."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from batchxfer import headstart, spool
from tests.e2e.command import Project, make_project
from tests.processes import in_child

POINTS = 8
RUN = ("run", "daily", "--slot", "2026-11-20T05:00:00Z")
# What a push does to the world beside it: the link, the spool, the partner's folder, the ledger.
CALLS = frozenset({"send", "fsync", "rename", "link", "unlink", "write", "open", "close", "mkdir", "execute", "commit"})
JOB = """
[schedule]
cron = "0 5 * * *"
[source]
database = "shop"
query = "with recursive c(i) as (select 1 union all select i + 1 from c where i < 12000) select i, 'name ' || i as n from c"
[file]
format = "psv"
endpoint = "out"
path = "{business_date:%Y}/orders-{business_date:%m%d}.psv"
checksum_file = "{path}.sha256"
done_file = "{path}.done"
"""
ROWS = ("i|n\n" + "".join(f"{i}|name {i}\n" for i in range(1, 12001))).encode()
DATA = "2026/orders-1120.psv"
SUM, DONE = f"{DATA}.sha256", f"{DATA}.done"
EXPECTED = {DATA: ROWS, SUM: f"{hashlib.sha256(ROWS).hexdigest()}  orders-1120.psv\n".encode(), DONE: b""}
CONFIG = """
[databases.shop]
url = "sqlite:///shop.db"
[endpoints.out]
"""


class KillsAt:
    """A profiler that kills its process at the nth call (from 1) of those watched, before or after it was made."""

    calls_watched = CALLS

    def __init__(self, nth: int | None, *, after: bool = False) -> None:
        self.nth = nth
        self.event = "c_return" if after else "c_call"
        self.calls = 0
        self._counting = threading.Lock()

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        if event == self.event and getattr(function, "__name__", "") in self.calls_watched and _is_ours(frame):
            with self._counting:
                self.calls += 1
                if self.calls == self.nth:
                    os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, act: Callable[[], object]) -> str:
        """The number of calls that `act` makes, in all threads that it begins."""
        threading.setprofile(self)
        sys.setprofile(self)
        act()
        sys.setprofile(None)
        return str(self.calls)


def _is_ours(frame: FrameType) -> bool:
    """Not what is done only once in a process."""
    return "importlib" not in frame.f_code.co_filename


def seen(project: Project) -> dict[str, bytes]:
    root = project.folder / "out"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def assert_whole_and_in_order(files: dict[str, bytes]) -> None:
    final = {name: content for name, content in files.items() if not Path(name).name.startswith(".")}
    assert final == {name: EXPECTED[name] for name in (DATA, SUM, DONE)[: len(final)]}


Place = Callable[[str], Project]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Makes projects that send into a folder; tests/faults/test_machine_kills.py sends to a server."""

    def make(name: str) -> Project:
        project = make_project(tmp_path / name, config=CONFIG + 'protocol = "local"\nroot = "out"\n')
        project.job("daily", JOB)
        return project

    return make


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("ahead", [False, True], ids=["then sent", "sent while it is built"])
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(
    place: Place, after: bool, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ahead:
        monkeypatch.setattr(headstart, "WORTH_BYTES", 1)
        monkeypatch.setattr(spool, "TELL_BYTES", 1)
    assert place("warm")(*RUN).code == 0
    counted = place("counted")
    calls = int(in_child(lambda: KillsAt(None, after=after).watch(lambda: counted(*RUN))))
    assert seen(counted) == EXPECTED
    for nth in range(1 + calls // POINTS // 2, calls + 1, calls // POINTS):
        project = place(f"killed-at-{nth}")
        said = in_child(lambda: KillsAt(nth, after=after).watch(lambda: project(*RUN)))  # noqa: B023
        # Two threads do not make the same calls each time.
        assert said == f"signal {signal.SIGKILL.value}" or ahead
        assert_whole_and_in_order(seen(project))
        finished = project(*RUN)
        assert finished.code == 0, (nth, finished)
        assert seen(project) == EXPECTED, nth
        (run,) = project("runs", "--json").document["runs"]
        assert run["status"] == "delivered", nth
        assert None not in [attempt["outcome"] for attempt in run["attempts"]], nth
