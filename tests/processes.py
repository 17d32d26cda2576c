"""Processes that a test begins: a real one each, since locks and kills are the process's."""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

WAIT_SECONDS = 60.0


@dataclass
class Child:
    """A forked process that runs a function; what the function returns can be read from it."""

    pid: int
    answers: int

    def line(self) -> str:
        """What the child said, up to a line's end; empty when it ended without a word."""
        said = b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([self.answers], [], [], WAIT_SECONDS)
            assert ready, "the child said nothing for too long"
            part = os.read(self.answers, 1)
            if not part:
                break
            said += part
        return said.decode().rstrip("\n")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The child's exit code, or minus the signal that ended it."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


Say = Callable[[str], None]


@contextmanager
def child(body: Callable[[Say], None]) -> Iterator[Child]:
    """Run `body` in a process of its own, which is killed at the context's end where it still lives."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_the_child(body, writing)
    os.close(writing)
    process = Child(pid, reading)
    try:
        yield process
    finally:
        os.close(reading)
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _be_the_child(body: Callable[[Say], None], writing: int) -> None:
    code = 1
    try:
        body(lambda text: os.write(writing, text.replace("\n", " ").encode() + b"\n") and None)
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def in_child(body: Callable[[], str]) -> str:
    """What `body` returns in a process of its own, or `signal N` where one ended it."""
    with child(lambda say: say(body())) as process:
        said = process.line()
        code = process.wait()
    return f"signal {-code}" if code < 0 else said


def all_in_children(bodies: Sequence[Callable[[], str]]) -> list[str]:
    """What the `bodies` return, each in a process of its own, all at once; each lives until all have answered."""

    def answer_and_stay(body: Callable[[], str], say: Say) -> None:
        say(body())
        signal.pause()

    with ExitStack() as stack:
        processes = [stack.enter_context(child(partial(answer_and_stay, body))) for body in bodies]
        return [process.line() for process in processes]
