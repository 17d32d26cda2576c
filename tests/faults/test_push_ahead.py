"""A file that is sent while it is built: broken at any call, taken back at any moment, published only when it is released."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batchxfer import growing
from batchxfer.errors import HeldError, NetworkError, QueryError
from batchxfer.growing import Growing, TakenBack
from batchxfer.model import Artifact, Evidence, FileRole, FileStatus
from batchxfer.push import Agreement, deliver
from batchxfer.resolve import Policy
from batchxfer.spool import Stretch
from tests.e2e.command import until
from tests.faults.partner import BreaksAt, MemorySession, Partner
from tests.faults.test_push import CONTENT, DATA, DONE, EXPECTED, SUM, Record

AGREEMENT = Agreement(endpoint="bank", policy=Policy())
WHY = QueryError("division by zero")
SECONDS = 20


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Building:
    """A file that grows when it is told to, as spool.build lets it grow."""

    def __init__(self, folder: Path) -> None:
        self.growing = Growing()
        self.folder = folder
        self.path = folder / "artifact"
        self._partial = folder / "artifact.part"
        self._partial.touch()

    def grow(self, size: int, *, written: bytes | None = None) -> None:
        """To that size; on disk are the bytes of CONTENT, or `written`."""
        with self._partial.open("ab") as file:
            start = file.tell()
            piece = CONTENT[start:size]
            file.write(piece if written is None else written)
        before, after = hashlib.sha256(CONTENT[:start]), hashlib.sha256(CONTENT[:size])
        if piece:
            self.growing.grow(self._partial, Stretch(size=len(piece), pieces=(piece,), before=before, after=after))

    @property
    def sender_waits(self) -> bool:
        return bool(self.growing._changed._waiters)  # type: ignore[attr-defined]

    def finish(self) -> Artifact:
        self.grow(len(CONTENT))
        self.growing.whole()
        self._partial.rename(self.path)
        digest = hashlib.sha256(CONTENT).hexdigest()
        at = datetime(2026, 11, 23, tzinfo=UTC)
        return Artifact(id="A1", path=self.path, rows=2, bytes=len(CONTENT), sha256=digest, created_at=at)

    def build_all(self) -> Artifact:
        for size in range(1, len(CONTENT)):
            self.grow(size)
        artifact = self.finish()
        self.growing.release(artifact)
        return artifact


@pytest.fixture(params=[growing.KEPT_BYTES, 10, 0], ids=["from memory", "from both", "from disk"])
def building(
    request: pytest.FixtureRequest, tmp_path: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Building]:
    monkeypatch.setattr(growing, "KEPT_BYTES", request.param)
    found = Building(tmp_path)
    yield found
    # Whatever went wrong, no thread waits for ever.
    found.growing.take_back(None)


def send(record: Record, session: MemorySession, artifact: Artifact | Growing, number: int) -> Evidence:
    return deliver(session, record.delivery, artifact, AGREEMENT, record, attempt=f"T{number}")


def outcome(future: Future[Evidence]) -> Evidence | BaseException:
    return future.exception(SECONDS) or future.result()


def test_it_arrives_as_any_other_file_and_is_proven_in_the_same_way(
    building: Building, threads: ThreadPoolExecutor
) -> None:
    record, partner = Record(), Partner()
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    building.build_all()
    assert sent.result(SECONDS).how == "size"
    assert partner.files == EXPECTED
    assert [path for path, _ in partner.published] == [DATA, SUM, DONE]


def test_what_was_built_is_with_the_partner_before_it_is_whole_and_nothing_is_published_before_it_is_released(
    building: Building, threads: ThreadPoolExecutor
) -> None:
    record, partner = Record(), Partner()
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    building.grow(15)
    until(lambda: building.sender_waits)
    artifact = building.finish()
    until(lambda: building.sender_waits)
    until(lambda: partner.files == {"out/.orders.psv.T1.part": CONTENT})
    assert record.steps == [(FileRole.DATA, FileStatus.SENDING)]
    building.growing.release(artifact)
    assert isinstance(outcome(sent), Evidence)
    assert partner.files == EXPECTED


@pytest.mark.parametrize("built", [*range(0, len(CONTENT), 5), "whole"])
def test_taken_back_at_any_moment_leaves_nothing_and_is_as_if_it_had_not_begun(
    building: Building, threads: ThreadPoolExecutor, built: Any
) -> None:
    record, partner = Record(), Partner()
    before = record.delivery
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    if built == "whole":
        building.finish()
    elif built:
        building.grow(built)
    until(lambda: building.sender_waits)
    building.growing.take_back(WHY)
    taken = outcome(sent)
    assert isinstance(taken, TakenBack)
    assert taken.error is WHY
    assert (partner.files, partner.published) == ({}, [])
    assert record.delivery.files[0].status is before.files[0].status is FileStatus.PENDING


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_link_broken_at_any_call_delivers_each_file_whole_and_once(
    tmp_path: Path, threads: ThreadPoolExecutor, after: bool
) -> None:
    at, delivered = 0, False
    while not delivered:
        at += 1
        building = Building(tmp_path)
        record, partner, breaks = Record(), Partner(), BreaksAt(at=at, after=after)
        sent = threads.submit(send, record, MemorySession(partner, breaks), building.growing, 1)
        artifact = building.build_all()
        delivered = isinstance(outcome(sent), Evidence)
        assert delivered or isinstance(outcome(sent), NetworkError)
        send(record, MemorySession(partner), artifact, 2)
        assert partner.files == EXPECTED, f"broken at call {at}"
        assert [path for path, _ in partner.published] == [DATA, SUM, DONE], f"broken at call {at}"
    assert at > len(CONTENT) // 7 + 10


class KeepsIt(MemorySession):
    """A link that breaks when the temporary file is to be removed."""

    def remove(self, path: str) -> None:
        raise NetworkError("the link broke")


def test_what_could_not_be_taken_away_is_known_to_the_next_attempt(
    building: Building, threads: ThreadPoolExecutor
) -> None:
    record, partner = Record(), Partner()
    sent = threads.submit(send, record, KeepsIt(partner), building.growing, 1)
    building.grow(15)
    until(lambda: building.sender_waits)
    building.growing.take_back(WHY)
    assert isinstance(outcome(sent), TakenBack)
    assert record.delivery.files[0].status is FileStatus.SENDING
    send(record, MemorySession(partner), building.finish(), 2)
    assert partner.files == EXPECTED


def test_a_file_that_is_damaged_on_disk_while_it_grows_is_never_published(
    building: Building, threads: ThreadPoolExecutor
) -> None:
    record, partner = Record(), Partner()
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    building.grow(15)
    until(lambda: building.sender_waits)
    artifact = building.finish()
    building.growing.release(replace(artifact, sha256=hashlib.sha256(b"other bytes").hexdigest()))
    error = outcome(sent)
    assert isinstance(error, HeldError)
    assert "was damaged on this machine" in error.message
    assert (partner.files, partner.published) == ({}, [])


def test_a_connection_is_not_kept_for_a_query_that_gives_nothing(
    building: Building, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PATIENCE_SECONDS", 0.05)
    record, partner = Record(), Partner()
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    building.grow(15)
    taken = outcome(sent)
    assert isinstance(taken, TakenBack)
    assert taken.error is not None
    assert taken.error.kind == "transient"
    assert "the query gave nothing for" in taken.error.message
    assert partner.files == {}


def test_a_file_that_is_whole_is_waited_for_however_long_the_disk_takes(
    building: Building, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, partner = Record(), Partner()
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    artifact = building.finish()
    monkeypatch.setattr(growing, "PATIENCE_SECONDS", 0.01)
    until(lambda: building.sender_waits)
    with pytest.raises(TimeoutError):
        sent.result(0.2)
    building.growing.release(artifact)
    assert isinstance(outcome(sent), Evidence)


@pytest.mark.parametrize("written", [b"", CONTENT[:14], b"x" + CONTENT[1:15]], ids=["gone", "shorter", "other"])
def test_a_file_that_is_not_what_was_written_to_it_is_sent_only_when_it_is_finished(
    building: Building, threads: ThreadPoolExecutor, written: bytes
) -> None:
    record, partner = Record(), Partner()
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    building.grow(15, written=written)
    taken = outcome(sent)
    assert isinstance(taken, TakenBack)
    assert taken.error is not None
    assert taken.error.kind == "storage"
    assert partner.files == {}


def test_what_is_damaged_on_disk_meanwhile_arrives_as_it_was_built(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    building, record, partner = Building(tmp_path), Record(), Partner()
    sent = threads.submit(send, record, MemorySession(partner), building.growing, 1)
    building.grow(15)
    until(lambda: building.sender_waits)
    building.grow(20, written=b"?????")
    building.growing.release(building.finish())
    assert isinstance(outcome(sent), Evidence)
    assert partner.files == EXPECTED


def test_no_more_is_kept_than_is_allowed_and_nothing_that_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "KEPT_BYTES", 10)
    building = Building(tmp_path)

    def kept() -> list[int]:
        return [sum(map(len, stretch.pieces)) for stretch in building.growing._stretches]

    building.grow(5)
    with building.growing.open() as reader:
        for size in (8, 12, 18, 20):
            building.grow(size)
        # Nobody read when the first came; the fourth was too much, and the fifth was not.
        assert kept() == [0, 3, 4, 0, 2]
        assert reader.read(8) == CONTENT[:8]
        assert kept() == [0, 0, 4, 0, 2]
        building.grow(25)
        assert kept() == [0, 0, 4, 0, 2, 0]
        assert reader.read(12) == CONTENT[8:20]
        assert reader.read(5) == CONTENT[20:25]
        building.grow(27)
        assert kept() == [0, 0, 0, 0, 0, 0, 2]
        assert reader.read(2) == CONTENT[25:27]
        assert not any(kept())
        building.growing.release(building.finish())
        assert reader.read(100) == CONTENT[27:]
    assert not any(kept())


def test_nothing_is_kept_for_a_sender_that_left(tmp_path: Path) -> None:
    building = Building(tmp_path)
    building.grow(5)

    def leave() -> None:
        with building.growing.open():
            building.grow(9)
            raise NetworkError("the link broke")

    with pytest.raises(NetworkError):
        leave()
    building.grow(13)
    assert not any(stretch.pieces for stretch in building.growing._stretches)


class Timed(MemorySession):
    """Remembers whether the deadline runs at each call."""

    def __init__(self, partner: Partner) -> None:
        super().__init__(partner)
        self.runs: bool = True
        self.ran: dict[str, bool] = {}

    def begin_attempt(self) -> None:
        self.runs = True

    def end_attempt(self) -> None:
        self.runs = False

    def _append(self, path: str, piece: bytes) -> None:
        super()._append(path, piece)
        self.ran["write"] = self.runs

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self.ran["rename"] = self.runs


def test_the_deadline_of_an_attempt_begins_when_the_file_is_there(
    building: Building, threads: ThreadPoolExecutor
) -> None:
    """A query may take hours; what must not is the sending."""
    record, session = Record(), Timed(Partner())
    building.growing.hold_deadline(session)
    sent = threads.submit(send, record, session, building.growing, 1)
    building.grow(15)
    until(lambda: session.ran)
    assert session.ran == {"write": False}
    building.growing.release(building.finish())
    assert isinstance(outcome(sent), Evidence)
    assert session.ran["rename"]


def test_a_deadline_that_runs_is_not_stopped_for_a_file_that_is_there(building: Building) -> None:
    session = Timed(Partner())
    building.build_all()
    building.growing.hold_deadline(session)
    assert session.runs
