"""A thread for one call after the other, whatever a signal interrupts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial

import pytest

from batchxfer import writeback
from batchxfer.beside import Beside
from batchxfer.databases._ahead import Ahead, Steps

SECONDS = 20


class Slow:
    """A call that takes until it may end."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.has_ended = threading.Event(), threading.Event(), False

    def __call__(self) -> None:
        self.begun.set()
        assert self.may_end.wait(SECONDS)
        self.has_ended = True


def interrupted(begin: Callable[[], object], call: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """`begin` something, and be interrupted while its thread starts; `call` has begun by then, and ends soon."""
    start = threading.Thread.start

    def start_and_meet_a_signal(self: threading.Thread) -> None:
        start(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_and_meet_a_signal)
        with pytest.raises(KeyboardInterrupt):
            begin()
    assert call.begun.wait(SECONDS)
    threading.Timer(0.05, call.may_end.set).start()


def test_calls_are_made_one_after_the_other() -> None:
    beside = Beside("test")
    found = [beside.submit(partial(divmod, number, 2)) for number in range(3)]
    assert [each.result(SECONDS) for each in found] == [(0, 0), (0, 1), (1, 0)]
    beside.end()


def test_no_call_goes_on_after_the_end_though_a_signal_came_while_its_thread_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beside, call = Beside("test"), Slow()
    interrupted(lambda: beside.submit(call), call, monkeypatch)
    beside.end()
    assert call.has_ended
    with pytest.raises(CancelledError):
        beside._call(call)


def test_steps_may_be_closed_after_the_end_though_a_signal_came_while_their_thread_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Slow()

    def fetched() -> Steps[None]:
        call()
        yield lambda: None

    ahead: Ahead[None] = Ahead()
    steps = fetched()
    interrupted(lambda: next(ahead.made(steps)), call, monkeypatch)
    ahead.close()
    steps.close()
    assert call.has_ended


def test_a_file_is_not_closed_while_the_disk_takes_it_though_a_signal_came_while_that_thread_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = Slow()
    monkeypatch.setattr(writeback, "_make_durable", lambda descriptor: call())
    given = writeback.Writeback(-1)
    interrupted(lambda: given.wrote(writeback.WORTH_BYTES), call, monkeypatch)
    given.end()
    assert call.has_ended
