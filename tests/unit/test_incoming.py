"""What is fetched by one thread and read by another comes whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from batchxfer import incoming
from batchxfer.incoming import GivenUp, Incoming

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_it_is_read_as_it_comes_and_ends_once_it_was_taken(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "CHUNK", 1000)
    content = Incoming()
    came: list[bytes] = []
    half, ended = threading.Event(), threading.Event()

    def read() -> None:
        for piece in content.pieces():
            came.append(piece)
            if sum(map(len, came)) == 5000:
                half.set()
        ended.set()

    content.came(file, 5000)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert half.wait(20)
    content.came(file, len(CONTENT))
    assert not ended.wait(0.05)
    content.taken(DIGEST)
    reader.join(20)
    assert ended.is_set()
    assert b"".join(came) == CONTENT
    assert max(map(len, came)) == 1000
    content.close()


def test_its_file_may_be_closed_meanwhile(file: int) -> None:
    content = Incoming()
    own = os.dup(file)
    content.came(own, len(CONTENT))
    os.close(own)
    content.taken(DIGEST)
    assert b"".join(content.pieces()) == CONTENT
    content.close()


def is_another(content: Incoming, file: int) -> None:
    content.came(file, len(CONTENT))
    content.taken(hashlib.sha256(CONTENT[:-1]).hexdigest())


def is_shorter_than_was_said(content: Incoming, file: int) -> None:
    content.came(file, len(CONTENT) + 1)
    content.taken(DIGEST)


def is_read_before_it_is_here(content: Incoming, file: int) -> None:
    content.came(file, len(CONTENT))
    next(content.pieces())


def nothing_comes(content: Incoming, file: int) -> None:
    content.came(file, 1)


def was_closed(content: Incoming, file: int) -> None:
    content.came(file, len(CONTENT))
    content.close()


@pytest.mark.parametrize(
    "how", [is_another, is_shorter_than_was_said, is_read_before_it_is_here, nothing_comes, was_closed]
)
def test_what_is_not_the_file_that_was_taken_has_no_end(
    file: int, how: Callable[[Incoming, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "LONGEST_SECONDS", 0.1)
    content = Incoming()
    how(content, file)
    with pytest.raises(GivenUp):
        list(content.pieces())
    content.close()


def test_nothing_more_is_read_once_it_is_given_up(file: int) -> None:
    content = Incoming()
    content.came(file, 1000)
    pieces = content.pieces()
    assert next(pieces) == CONTENT[:1000]
    content.came(file, len(CONTENT))
    content.give_up()
    with pytest.raises(GivenUp):
        next(pieces)
    content.close()


def test_who_fetches_is_not_disturbed_where_no_more_files_can_be_opened(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", refuse)
    content = Incoming()
    content.came(file, 10)
    with pytest.raises(GivenUp):
        list(content.pieces())


def test_what_was_taken_can_be_read_again(file: int) -> None:
    content = Incoming()
    content.came(file, len(CONTENT))
    content.taken(DIGEST)
    first = content.pieces()
    next(first)
    assert not content.is_whole
    assert b"".join(content.pieces()) == CONTENT
    assert content.is_whole
    content.close()


class Signal(BaseException):
    """What a signal's handler raises, between two steps of whatever the main thread does."""


def interrupted(call: Callable[[], object], step: int) -> bool:
    """Call it, and raise Signal at that step of it, or of what it calls; whether it came so far."""
    left = step

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise Signal
        return trace

    before, collects = sys.gettrace(), gc.isenabled()
    # What others do where garbage is collected (Hypothesis counts the time) is no step of it.
    gc.disable()
    sys.settrace(trace)
    try:
        call()
    except Signal:
        return True
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
    return False


def test_a_signal_at_any_step_of_the_fetch_keeps_no_reader_waiting(file: int) -> None:
    step, more = 0, True
    while more:
        step += 1
        content, ended = Incoming(), threading.Event()

        def read(content: Incoming = content, ended: threading.Event = ended) -> None:
            with contextlib.suppress(GivenUp):
                list(content.pieces())
            ended.set()

        content.came(file, 1000)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        more = interrupted(partial(content.came, file, 2000), step)
        content.give_up()
        assert ended.wait(20), f"step {step}"
        reader.join(20)
        content.close()
    assert step > 5
