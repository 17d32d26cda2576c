"""Runs commands one after the other and notes what each took: time, processor time, memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MIB = 1024 * 1024
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one command took. `cpu_seconds` is user and system time of the process and those that it waited for;
    `peak_mib` the most memory that they held at a time, what they share counted for each."""

    seconds: float
    cpu_seconds: float
    peak_mib: float

    def __add__(self, other: Measured) -> Measured:
        """The one, then the other."""
        return Measured(
            seconds=self.seconds + other.seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            peak_mib=max(self.peak_mib, other.peak_mib),
        )


class Failed(Exception):
    """A command that was to be measured ended with an error."""


def run(
    command: Sequence[str | Path], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Measured:
    """Run a command to its end. A Python peer that times itself says `{"seconds": …}` in its last line: that counts.

    The peak is only right while this process is smaller than what it measures: nothing heavy is imported here.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
        with Family(process.pid) as family:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said = _text(out)
        if process.returncode != 0:
            raise Failed(f"{process.args} ended with {process.returncode}:\n{said[-2000:]}\n{_text(err)[-2000:]}")
    return Measured(
        seconds=_own_seconds(said) or seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=max(usage.ru_maxrss, family.peak_kib) / 1024,
    )


class Family:
    """Looks at the memory of a process and all those that it has started, again and again, until the context is left."""

    def __init__(self, pid: int) -> None:
        self.peak_kib = 0
        self._pid = pid
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Family:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._left.wait(LOOK_SECONDS):
            self.peak_kib = max(self.peak_kib, sum(map(_resident_kib, self._members())))

    def _members(self) -> list[int]:
        parents = {int(path.name): _parent(path) for path in Path("/proc").glob("[0-9]*")}
        members = [self._pid]
        for member in members:
            members += [pid for pid, parent in parents.items() if parent == member]
        return members


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _resident_kib(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB
    except (OSError, IndexError):
        return 0


def peer(name: str, *words: str | Path | int) -> list[str]:
    """The command for a program of benchmarks/peers, in the Python that runs this."""
    return [sys.executable, "-m", f"benchmarks.peers.{name}", *map(str, words)]


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return str(file.read(), "utf-8", "replace")


def _own_seconds(said: str) -> float | None:
    last = said.strip().rpartition("\n")[2]
    return float(json.loads(last)["seconds"]) if last.startswith('{"seconds"') else None


# --- side by side --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to do the work. `act` is called once a round, and leaves nothing behind that the next could use."""

    name: str
    act: Callable[[], Measured]


@dataclass(frozen=True, kw_only=True)
class Result:
    """All rounds of one contender."""

    name: str
    rounds: tuple[Measured, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(each.seconds for each in self.rounds)

    @property
    def cpu_seconds(self) -> float:
        return statistics.median(each.cpu_seconds for each in self.rounds)

    @property
    def peak_mib(self) -> float:
        return max(each.peak_mib for each in self.rounds)

    @property
    def span(self) -> tuple[float, float]:
        seconds = [each.seconds for each in self.rounds]
        return min(seconds), max(seconds)


def side_by_side(contenders: Sequence[Contender], rounds: int) -> list[Result]:
    """Each contender once a round, in turn, so that a machine that is busy for a while is so for all of them."""
    taken: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    for number in range(1, rounds + 1):
        for contender in contenders:
            measured = contender.act()
            taken[contender.name].append(measured)
            print(
                f"  round {number}: {contender.name}: {measured.seconds:.2f} s, "
                f"processor {measured.cpu_seconds:.2f} s, {measured.peak_mib:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    return [Result(name=name, rounds=tuple(measured)) for name, measured in taken.items()]
