"""SIGINT and SIGTERM: the first ends the command in order (a run is given back), the second at once. SIGHUP is a daemon's."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

HARD = b"\nstopped at once; the next command finds out what was done, and goes on from there\n"


ECHO_SECONDS = 0.3


class Ended(KeyboardInterrupt):
    """The process was asked to end. Not an Exception, so that nothing takes it for a failure of an attempt."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.status = 128 + number


class _Again:
    """Tells the first signal from the second, and a second wish from an echo: timeout(1) signals the process and then its
    whole group."""

    def __init__(self) -> None:
        self._first: float | None = None

    def means_it(self, number: int) -> bool:
        """Whether this is the first; a later one that is no echo ends the process."""
        if self._first is None:
            self._first = time.monotonic()
            return True
        if time.monotonic() - self._first > ECHO_SECONDS:
            os.write(2, HARD)
            os._exit(128 + number)
        return False


@contextlib.contextmanager
def ends_gracefully() -> Iterator[None]:
    """Inside, the first signal raises Ended in the main thread, and a second one ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    asked: list[int] = []
    again = _Again()

    def handle(number: int, frame: FrameType | None) -> None:
        if again.means_it(number):
            asked.append(number)
            raise Ended(number)

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    except Ended:
        raise
    except KeyboardInterrupt as exc:
        # A driver that met the signal may have raised a plain one instead.
        raise Ended(asked[0] if asked else signal.SIGINT) from exc
    except BrokenPipeError:
        raise
    except Exception as exc:
        # Or an error of its own, as pydantic's core does.
        if asked:
            raise Ended(asked[0]) from exc
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def asks(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[list[int]]:
    """Inside, the first SIGTERM or SIGINT calls `stop`, a second one ends the process, and SIGHUP calls `reload`.

    Yields the list to which the signal that stops is added. What is called runs between two steps of whatever the main
    thread does, and so must take no lock.
    """
    asked: list[int] = []
    again = _Again()

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            reload()
            return
        if again.means_it(number):
            asked.append(number)
            stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
