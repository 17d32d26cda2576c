"""Runs that wait for room: who may start next, without asking each of thousands whenever one has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from itertools import count

from batchxfer.model import OpenRun


class Answer(Enum):
    """What becomes of a run that is offered."""

    STARTED = auto()
    NO_WORKER = auto()
    NO_CONNECTION = auto()
    JOB_AT_WORK = auto()


Offer = Callable[[OpenRun, tuple[str, ...]], Answer]

_Place = tuple[int, OpenRun]


class Waiting:
    """At most one run of each job, first come, first served. Those for the same endpoints stand in one line: where the first of
    it finds no connection free, none of it does. Used by one thread."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, ...], deque[_Place]] = {}
        self._places: dict[str, int] = {}
        self._numbers = count()

    def add(self, run: OpenRun, endpoints: tuple[str, ...]) -> None:
        """The run stands at the end of the line for its `endpoints`; another one of its job is forgotten."""
        number = next(self._numbers)
        self._places[run.job] = number
        self._lines.setdefault(endpoints, deque()).append((number, run))

    def forget(self, job: str) -> None:
        self._places.pop(job, None)

    def clear(self) -> None:
        self._lines.clear()
        self._places.clear()

    def start(self, offer: Offer) -> None:
        """Offer the runs, those that came first before the others, until there is no room for any more."""
        heads = [
            (number, endpoints) for endpoints in list(self._lines) if (number := self._first(endpoints)) is not None
        ]
        heapify(heads)
        aside: list[tuple[tuple[str, ...], _Place]] = []
        while heads:
            _, endpoints = heappop(heads)
            line = self._lines[endpoints]
            place = line[0]
            answer = offer(place[1], endpoints)
            if answer is Answer.NO_WORKER:
                break
            if answer is Answer.NO_CONNECTION:
                continue
            line.popleft()
            if answer is Answer.JOB_AT_WORK:
                aside.append((endpoints, place))
            else:
                self.forget(place[1].job)
            if (number := self._first(endpoints)) is not None:
                heappush(heads, (number, endpoints))
        for endpoints, place in reversed(aside):
            self._lines.setdefault(endpoints, deque()).appendleft(place)

    def _first(self, endpoints: tuple[str, ...]) -> int | None:
        """The number of the first that stands in a line; a line where nobody does any more goes."""
        line = self._lines[endpoints]
        while line:
            number, run = line[0]
            if self._places.get(run.job) == number:
                return number
            line.popleft()
        del self._lines[endpoints]
        return None
