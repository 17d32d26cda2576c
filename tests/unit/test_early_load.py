"""A load in a thread of its own is left whenever its file does not come, and what it met is told where it matters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from batchxfer import early_load
from batchxfer.early_load import EarlyLoad
from batchxfer.errors import DatabaseUnavailable
from batchxfer.load import Loaded
from batchxfer.model import FetchedFile, FetchStatus, Run
from batchxfer.ports import LoadCounts

SECONDS = 20
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOADED = [Loaded(counts=LoadCounts(rows=1, bad_rows=0))]


class Files:
    """As much of a run as an early load asks for."""

    def __init__(self, *files: FetchedFile) -> None:
        self.files = files


FILE = FetchedFile(
    id="01F",
    file="01F",
    run="01R",
    revision=1,
    job="rates",
    endpoint="bank",
    path="a.psv",
    size=10,
    modified=NOW,
    status=FetchStatus.SEEN,
    sha256="00",
    seen_at=NOW,
)


@pytest.fixture
def descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(early_load, "WORTH_BYTES", 1)
    monkeypatch.setattr(early_load, "TRIAL_BYTES", 1)
    with (tmp_path / "a.psv").open("wb") as file:
        yield file.fileno()


def begun(load: Callable[[EarlyLoad, Run, FetchedFile], list[Loaded]], descriptor: int) -> EarlyLoad:
    early = EarlyLoad(load)
    assert early.follow(cast(Run, Files(FILE)), FILE) is early
    early.came(descriptor, 0)
    early.came(descriptor, 9)
    return early


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "load-early"]


def untold(rows: int) -> None:
    pass


class ConnectsLate:
    """A target to which somebody connects when nobody waits for him any more."""

    def __init__(self) -> None:
        self.connected = threading.Event()
        self.done: list[str] = []

    @contextmanager
    def begin_early(self) -> Iterator[Any]:
        assert self.connected.wait(SECONDS)
        self.done.append("begun")
        try:
            yield self
        finally:
            self.done.append("undone")

    begin = begin_early

    def abandon(self) -> None:
        self.done.append("abandoned")


def test_who_connects_when_all_is_over_does_nothing(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_load, "_GOODBYE_SECONDS", 0.01)
    target = ConnectsLate()

    def load(early: EarlyLoad, run: Run, file: FetchedFile) -> list[Loaded]:
        with early.abandonable(cast(Any, target)).begin():
            target.done.append("loads")
        return LOADED

    with begun(load, descriptor):
        (thread,) = threads()
    target.connected.set()
    thread.join(SECONDS)
    assert target.done == ["begun", "undone"]


def refuses(early: EarlyLoad, run: Run, file: FetchedFile) -> list[Loaded]:
    while not early.is_taken:
        threading.Event().wait(0.001)
    raise DatabaseUnavailable("the server stopped answering", hint="it is tried again")


def test_a_server_that_did_not_answer_for_long_is_not_asked_again_at_once(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_load, "AGAIN_SECONDS", -1.0)
    with begun(refuses, descriptor) as early, pytest.raises(DatabaseUnavailable):
        early.finish([FILE], untold)
    assert threads() == []


def test_what_failed_soon_is_done_again_at_once(descriptor: int) -> None:
    with begun(refuses, descriptor) as early:
        assert early.finish([FILE], untold) is None
    assert threads() == []


def test_a_machine_that_is_short_of_something_is_no_fault_that_nobody_foresaw(
    descriptor: int, caplog: pytest.LogCaptureFixture
) -> None:
    def load(early: EarlyLoad, run: Run, file: FetchedFile) -> list[Loaded]:
        raise RuntimeError("can't start new thread")

    with begun(load, descriptor) as early:
        assert early.finish([FILE], untold) is None
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_how_far_it_is_when_the_file_is_here_is_told_though_nothing_more_may_come(descriptor: int) -> None:
    on_its_way = threading.Event()

    def load(early: EarlyLoad, run: Run, file: FetchedFile) -> list[Loaded]:
        early.rows = 7
        on_its_way.set()
        while not early.is_taken:
            threading.Event().wait(0.001)
        return LOADED

    told: list[int] = []
    with begun(load, descriptor) as early:
        assert on_its_way.wait(SECONDS)
        assert early.finish([FILE], told.append) == LOADED
    assert told == [7]
