"""Ends what takes too long: one thread a session, which closes the link so that every blocked call returns.

No set of timeouts is complete (a frozen link with a full send buffer blocks in none of them), so nothing here relies on
them: whatever waits says so, and the thread judges.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why the link was closed: `deadline` (the whole attempt), or `what` got no answer for so long."""

    what: str
    seconds: float
    deadline: bool = False


class Waiting:
    """Around each wait for the link to move bytes, which may take the stall timeout. There are thousands: no lock."""

    def __init__(self) -> None:
        self.since: float | None = None

    def __enter__(self) -> None:
        self.since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.since = None


class Watchdog:
    """Calls `end` once, from its own thread, when the deadline passes or a wait takes longer than it may."""

    def __init__(self, *, stall_seconds: float, end: Callable[[], None]) -> None:
        self.verdict: Verdict | None = None
        self._stall = stall_seconds
        self._end = end
        self._changed = threading.Condition()
        self._closed = False
        self._deadline: tuple[float, float] | None = None
        self._step: tuple[str, float, float] | None = None
        self.waiting = Waiting()
        self._thread = threading.Thread(target=self._watch, name="batchxfer-watchdog", daemon=True)
        self._thread.start()

    def begin(self, deadline_seconds: float) -> None:
        """Start the deadline anew."""
        with self._changed:
            self._deadline = (time.monotonic() + deadline_seconds, deadline_seconds)
            self._changed.notify()

    def end_deadline(self) -> None:
        with self._changed:
            self._deadline = None

    def seconds_left(self) -> float:
        """Until the deadline; infinite without one."""
        deadline = self._deadline
        return float("inf") if deadline is None else max(deadline[0] - time.monotonic(), 0.0)

    @contextmanager
    def step(self, what: str, seconds: float) -> Iterator[None]:
        """A step that may take `seconds` in all."""
        with self._changed:
            self._step = (what, time.monotonic() + seconds, seconds)
            self._changed.notify()
        try:
            yield
        finally:
            self._step = None

    def close(self) -> None:
        """End the thread; may be called twice, and from `end` itself."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed and self.verdict is None:
                now = time.monotonic()
                self.verdict = self._judge(now)
                if self.verdict is None:
                    self._changed.wait(self._next(now) - now)
        if self.verdict is not None:
            self._end()

    def _judge(self, now: float) -> Verdict | None:
        # Each is read once: the watched thread changes them without the lock.
        deadline, step, since = self._deadline, self._step, self.waiting.since
        if deadline is not None and now >= deadline[0]:
            return Verdict(what="the attempt", seconds=deadline[1], deadline=True)
        if step is not None and now >= step[1]:
            return Verdict(what=step[0], seconds=step[2])
        if since is not None and now >= since + self._stall:
            return Verdict(what="the transfer", seconds=self._stall)
        return None

    def _next(self, now: float) -> float:
        """When to look again. A wait that begins later cannot be over before `now` + stall."""
        deadline, step, since = self._deadline, self._step, self.waiting.since
        times = [(now if since is None else since) + self._stall]
        if deadline is not None:
            times.append(deadline[0])
        if step is not None:
            times.append(step[1])
        return min(times)
