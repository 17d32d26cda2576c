"""An artifact or a commit that is lost at the wrong moment, a disk that is full while a file is built, a file that grows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchxfer.endpoints import local
from batchxfer.errors import DatabaseUnavailable, NetworkError
from batchxfer.ledger.sqlite import SqliteStore
from batchxfer.ledger.store import Haste, Transaction
from tests.faults import agreements
from tests.faults.agreements import MOVE, PULL, PUSH, SIDECARS, TAKEN, Agreement, Pull, Push
from tests.soak import SOAKING


@pytest.fixture
def push(tmp_path: Path) -> Agreement:
    return agreements.make(tmp_path / "project", Push, PUSH + SIDECARS)


@pytest.fixture(params=["push", "fetch and move"])
def agreement(request: pytest.FixtureRequest, tmp_path: Path) -> Agreement:
    kind, job = {"push": (Push, PUSH + SIDECARS), "fetch and move": (Pull, PULL + MOVE)}[request.param]
    return agreements.make(tmp_path / "project", kind, job)


class EmptyPush(Push):
    def assert_finished(self, number: int, run: dict[str, Any]) -> None: ...


def breaks(*args: object, **options: object) -> Any:
    raise NetworkError("the link broke")


def artifact_of(agreement: Agreement, number: int) -> Path:
    return Path(agreement.run(number)["artifact"]["path"])


class TestAnArtifactThatIsGone:
    def test_after_some_of_it_was_sent_it_is_held_and_nothing_is_queried_again(
        self, push: Agreement, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(local.LocalSession, "rename", breaks)
            assert push.project(*push.words(1)).code == 3
        artifact_of(push, 1).unlink()
        said = push.finish(1)
        assert said.code == 4
        assert "is gone, and some of it was sent before" in said.run["reason"]
        assert [attempt["outcome"] for attempt in said.run["attempts"]].count("built") == 1
        assert not list(push.partner.rglob("orders-0101.psv*"))

    def test_before_anything_was_sent_it_is_built_anew(self, push: Agreement, monkeypatch: pytest.MonkeyPatch) -> None:
        push.prepare(1)
        with monkeypatch.context() as patch:
            patch.setattr(local.Endpoint, "connect", breaks)
            assert push.project(*push.words(1)).code == 3
        artifact_of(push, 1).unlink()
        said = push.finish(1)
        assert (said.code, said.run["status"]) == (0, "delivered")
        assert [attempt["outcome"] for attempt in said.run["attempts"]].count("built") == 2


def test_a_result_without_rows_is_sent(tmp_path: Path) -> None:
    no_rows = PUSH.replace("select :slot as slot, i from c", "select :slot as slot, i from c where i < 0")
    push = agreements.make(tmp_path / "project", EmptyPush, no_rows + SIDECARS)
    push.prepare(1)
    said = push.finish(1)
    assert (said.code, said.run["status"], said.run["artifact"]["rows"]) == (0, "delivered", 0)
    assert (push.partner / "202601/orders-0101.psv").read_bytes() == b"slot|i\n"
    assert (push.partner / "202601/orders-0101.psv.done").exists()


def test_a_file_that_cannot_be_finished_leaves_nothing_in_the_spool(
    push: Agreement, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted((push.project.folder / "var/spool/hourly").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = push.project(*push.words(1))
    assert said.code == 3
    assert "No space left on device" in said.err
    assert "free some space below " in said.err
    assert sorted((push.project.folder / "var/spool/hourly").iterdir()) == before


class LosesACommit:
    """The ledger's database, out of reach once: before the nth commit (from 1), or after it, so that nobody hears of it."""

    def __init__(self, nth: int, *, after: bool) -> None:
        self.nth = nth
        self.after = after
        self.commits = 0
        self._write: Callable[..., Any] = SqliteStore.write

    def install(self, patch: pytest.MonkeyPatch) -> None:
        this = self

        @contextmanager
        def write(store: SqliteStore, haste: Haste = Haste.NONE) -> Iterator[Transaction]:
            with this._write(store, haste) as tx:
                yield tx
                this.commits += 1
                number = this.commits
                if number == this.nth and not this.after:
                    raise DatabaseUnavailable("the ledger is out of reach", hint="it is tried again")
            if number == this.nth:
                raise DatabaseUnavailable("the ledger is out of reach", hint="it is tried again")

        patch.setattr(SqliteStore, "write", write)


@pytest.mark.soak
@pytest.mark.parametrize("after", [False, True] if SOAKING else [True])
def test_a_ledger_that_is_out_of_reach_around_any_commit_loses_nothing(
    agreement: Agreement, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reply to a commit lost, nobody knows whether it was done: the next attempt finds out."""
    for number in range(1, 60):
        agreement.prepare(number)
        with monkeypatch.context() as patch:
            loses = LosesACommit(number, after=after)
            loses.install(patch)
            said = agreement.project(*agreement.words(number))
        if loses.commits < number:
            break
        assert said.code in (0, 3), (number, said)
        assert "error of batchxfer" not in said.out + said.err, (number, said)
        agreement.assert_nothing_in_part(number)
        agreement.assert_delivered_once(number, agreement.finish(number))
    assert 10 < number < 59


def test_a_file_that_grows_while_it_is_looked_at_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchxfer.cli import clock

    job = PULL.replace('done_file = "{path}.done"', 'stable_for = "1s"').replace('expect = "some"', 'expect = "any"')
    pull = agreements.make(tmp_path / "project", Pull, job)
    pull.prepare(1)
    growing = pull.partner / "2026010101/a.csv"
    slept = clock.SystemClock.sleep

    def grow(this: clock.SystemClock, seconds: float) -> None:
        with growing.open("ab") as file:
            file.write(b"more\n")
        slept(this, seconds)

    monkeypatch.setattr(clock.SystemClock, "sleep", grow)
    assert pull.finish(1).code == 0
    assert pull.here(1).keys() == TAKEN.keys() - {"a.csv"}
