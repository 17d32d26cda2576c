"""What a worker still has in the ledger, though it works on it no more."""

from __future__ import annotations

import threading

import pytest

from batchxfer.errors import DatabaseUnavailable
from batchxfer.model import Claim, Run, RunStatus
from batchxfer.ports import Ledger
from batchxfer.worker import Worker
from tests.ledgers import SLOT, Place, due

SECONDS = 30


@pytest.fixture
def run(ledger: Ledger) -> Run:
    return ledger.ensure_run("orders", due(SLOT), {})


def standing(ledger: Ledger) -> list[Claim]:
    return [run.claim for run in ledger.outlook().runs if run.claim is not None]


def test_a_run_that_the_ledger_forgot_was_given_back_is_given_back_again(
    ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(claim: Claim) -> Run:
        raise DatabaseUnavailable("the ledger is out of reach", hint="it is tried again")

    worker = Worker(ledger, ledger.owner)
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable), worker.claimed(run.id):
        patch.setattr(ledger, "let_go", away)
    assert [claim.run for claim in standing(ledger)] == [run.id]
    assert worker.give_back_again(standing(ledger)) == 1
    assert standing(ledger) == []
    assert ledger.find_run(run.id).status is RunStatus.PENDING


def test_a_claim_whose_answer_was_lost_is_given_back(ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = ledger.claim

    def lost(run: str, owner: str) -> Claim:
        claim(run, owner)
        raise DatabaseUnavailable("the ledger is out of reach", hint="it is tried again")

    worker = Worker(ledger, ledger.owner)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "claim", lost)
        with pytest.raises(DatabaseUnavailable), worker.claimed(run.id):
            pass
    assert worker.give_back_again(standing(ledger)) == 1
    assert standing(ledger) == []


def test_what_is_worked_on_stays_with_whoever_does_it(ledger: Ledger, run: Run, place: Place) -> None:
    worker, other = Worker(ledger, ledger.owner), Worker(ledger, place.open().owner)
    with worker.claimed(run.id) as claim:
        assert worker.give_back_again(standing(ledger)) == 0
        assert other.give_back_again(standing(ledger)) == 0
        assert standing(ledger) == [claim]


def test_a_run_that_is_being_claimed_just_now_is_worked_on(
    ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = ledger.claim
    claimed, seen = threading.Event(), threading.Event()

    def slow(run: str, owner: str) -> Claim:
        ours = claim(run, owner)
        claimed.set()
        assert seen.wait(SECONDS)
        return ours

    def work() -> None:
        with worker.claimed(run.id):
            pass

    monkeypatch.setattr(ledger, "claim", slow)
    worker = Worker(ledger, ledger.owner)
    thread = threading.Thread(target=work)
    thread.start()
    assert claimed.wait(SECONDS)
    assert worker.give_back_again(standing(ledger)) == 0
    seen.set()
    thread.join(SECONDS)
    assert standing(ledger) == []


def test_what_was_given_back_since_the_ledger_was_looked_at_is_nobodys(ledger: Ledger, run: Run) -> None:
    worker = Worker(ledger, ledger.owner)
    with worker.claimed(run.id):
        before = standing(ledger)
    assert worker.give_back_again(before) == 0
