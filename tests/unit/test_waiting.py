"""Who may start next: first come, first served, as far as there is room."""

from __future__ import annotations

from datetime import UTC, datetime

from batchxfer.model import OpenRun, RunStatus
from batchxfer.waiting import Answer, Waiting

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
A, B = ("a",), ("b",)


def run(job: str, number: int = 1) -> OpenRun:
    return OpenRun(id=f"{job}-{number}", job=job, slot=NOW, status=RunStatus.PENDING)


class Room:
    """So many workers, and so many connections of each endpoint; counts what it is asked."""

    def __init__(self, workers: int = 100, at_work: tuple[str, ...] = (), **connections: int) -> None:
        self.workers, self.connections, self.at_work = workers, connections, at_work
        self.asked: list[str] = []
        self.started: list[str] = []

    def offer(self, run: OpenRun, endpoints: tuple[str, ...]) -> Answer:
        self.asked.append(run.id)
        if len(self.started) >= self.workers:
            return Answer.NO_WORKER
        if any(self.connections.get(name, 100) <= 0 for name in endpoints):
            return Answer.NO_CONNECTION
        if run.job in self.at_work:
            return Answer.JOB_AT_WORK
        for name in endpoints:
            self.connections[name] = self.connections.get(name, 100) - 1
        self.started.append(run.id)
        return Answer.STARTED


def waiting(*runs: tuple[OpenRun, tuple[str, ...]]) -> Waiting:
    found = Waiting()
    for each, endpoints in runs:
        found.add(each, endpoints)
    return found


def started(found: Waiting, room: Room) -> list[str]:
    found.start(room.offer)
    return room.started


def test_who_came_first_starts_first_whatever_its_endpoints() -> None:
    found = waiting((run("w"), A), (run("x"), B), (run("y"), A), (run("z"), B))
    assert started(found, Room(workers=3)) == ["w-1", "x-1", "y-1"]
    assert started(found, Room()) == ["z-1"]
    assert started(found, Room()) == []


def test_a_full_endpoint_keeps_only_those_that_need_it_waiting() -> None:
    found = waiting((run("w"), A), (run("x"), (*A, *B)), (run("y"), A), (run("z"), B))
    assert started(found, Room(a=1)) == ["w-1", "z-1"]
    assert started(found, Room()) == ["x-1", "y-1"]


def test_a_run_whose_job_is_at_work_keeps_its_place_and_nobody_else_waiting() -> None:
    found = waiting((run("w"), A), (run("x"), A), (run("y"), A))
    assert started(found, Room(at_work=("w", "x"))) == ["y-1"]
    assert started(found, Room()) == ["w-1", "x-1"]


def test_a_job_waits_once() -> None:
    found = waiting((run("w", 1), A), (run("x"), A), (run("w", 2), B))
    assert started(found, Room()) == ["x-1", "w-2"]


def test_what_is_forgotten_does_not_start() -> None:
    found = waiting((run("w"), A), (run("x"), B))
    found.forget("w")
    found.forget("nobody")
    assert started(found, Room()) == ["x-1"]
    found.add(run("y"), A)
    found.clear()
    assert started(found, Room()) == []


def test_thousands_that_wait_are_not_asked_whenever_one_has_ended() -> None:
    found = waiting(*((run(f"job-{number}"), A) for number in range(5000)))
    room = Room(a=2)
    assert len(started(found, room)) == 2
    assert len(room.asked) == 3
    full = Room(workers=0)
    assert started(found, full) == []
    assert len(full.asked) == 1
