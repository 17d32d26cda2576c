"""What the operating system does to a command in the middle of its work: kills it at a call, or refuses the call.

strace attaches itself to a process that has everything imported already: a command takes a fraction of a second, and every call
is one of its own work. The calls are counted in each thread by itself; the first thread that comes so far is struck.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.daemons import Zygote, zygote
from tests.e2e.zygote import AT_GATE, OPENS
from tests.needs import missing

SECONDS = 60
KILL = "signal=KILL"
# What changes something outside of the process, or asks for it.
EFFECTS = (
    *("openat", "mkdir", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "sendto", "sendmsg", "connect"),
    *("rename", "renameat2", "link", "linkat", "unlink", "unlinkat"),
)


@dataclass(frozen=True)
class Strike:
    """The nth `call` of a thread, and each one from then `on`, and what strace does to it (its `-e inject`)."""

    call: str
    nth: int
    does: str = KILL
    on: bool = False

    def __str__(self) -> str:
        return f"{self.call}:{self.does}:when={self.nth}{'+' if self.on else ''}"


@dataclass(frozen=True)
class Ended:
    """How a command under strace ended: its exit code (or minus the signal's number), what it said, the calls of its threads,
    and whether one was struck."""

    code: int
    said: str
    calls: tuple[tuple[int, str], ...]
    struck: bool

    def points(self) -> list[tuple[str, int]]:
        """Each call and number at which a strike hits something."""
        most: dict[str, int] = {}
        for (_, call), count in Counter(self.calls).items():
            most[call] = max(most.get(call, 0), count)
        return [(call, nth) for call in sorted(most) for nth in range(1, most[call] + 1)]


@dataclass
class Machine:
    """Runs commands, and strikes them. `folder` takes what they say and what strace saw."""

    folder: Path
    zygote: Zygote

    def run(
        self,
        words: Sequence[str],
        strike: Strike | None = None,
        calls: Sequence[str] = EFFECTS,
        most_files: int | None = None,
        ahead: bool = False,
    ) -> Ended:
        """`batchxfer WORDS`, under strace, which sees `calls`; at most `most_files` may be open. `ahead` as
        tests.e2e.zygote says."""
        said, log = self.folder / "said.txt", self.folder / "strace.txt"
        said.unlink(missing_ok=True)
        pid = self.zygote.begin(list(words), said, gate=True, ahead=ahead)
        try:
            _wait_until_at_gate(pid)
            with _strace(pid, log, strike, calls) as strace:
                if most_files is not None:
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most_files, most_files))
                os.kill(pid, OPENS)
                strace.wait(SECONDS)
        finally:
            self.zygote.kill(pid)
        seen = log.read_text(errors="replace")
        made = tuple((int(thread), call) for thread, call in re.findall(r"(?m)^(\d+) +(\w+)\(", seen))
        return Ended(_code(seen, pid), said.read_text(errors="replace"), made, "(INJECTED)" in seen)


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    if shutil.which("strace") is None:
        missing("strace")
    folder.mkdir()
    with zygote(folder) as begin:
        yield Machine(folder, begin)


@contextmanager
def _strace(pid: int, log: Path, strike: Strike | None, calls: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    words = ["strace", "-f", "-q", "-o", str(log), "-e", f"trace={','.join(calls)}"]
    words += ["-e", f"inject={strike}"] if strike else []
    process = subprocess.Popen([*words, "-p", str(pid)], stderr=subprocess.DEVNULL)
    try:
        _wait_until_attached(pid, process)
        yield process
    finally:
        process.kill()
        process.wait(SECONDS)


def _wait_until_at_gate(pid: int) -> None:
    """What it does before is nothing of the command, and must not be struck."""
    end = time.monotonic() + SECONDS
    while Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].split()[:2] != [f"{AT_GATE})", "S"]:
        assert time.monotonic() < end, "the command does not begin"
        time.sleep(0.001)


def _wait_until_attached(pid: int, strace: subprocess.Popen[bytes]) -> None:
    status = Path(f"/proc/{pid}/status")
    while f"TracerPid:\t{strace.pid}\n" not in status.read_text():
        if strace.poll() is not None:
            missing("the right to trace a process (ptrace)")
        time.sleep(0.001)


def _code(seen: str, pid: int) -> int:
    """The exit code, or minus the number of the signal that ended it."""
    (ending,) = re.findall(rf"(?m)^{pid} +\+\+\+ (exited with \d+|killed by \w+)", seen)
    word = ending.rpartition(" ")[2]
    return int(word) if word.isdigit() else -signal.Signals[word]
