"""A thread for one call after the other, whatever a signal interrupts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

Called = TypeVar("Called")


class Beside:
    """A thread beside this one, for one call after the other.

    An executor does not know of a thread in whose start a signal came, and does not wait for what it does; `end` waits.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._calling = threading.Lock()
        self._ended = False

    def submit(self, call: Callable[[], Called]) -> Future[Called]:
        return self._pool.submit(self._call, call)

    def end(self) -> None:
        """No call is made any more, and none is begun."""
        self._pool.shutdown(cancel_futures=True)
        with self._calling:
            self._ended = True

    def _call(self, call: Callable[[], Called]) -> Called:
        with self._calling:
            if self._ended:
                raise CancelledError
            return call()
