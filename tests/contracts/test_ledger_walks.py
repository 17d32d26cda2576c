"""Whatever order the calls come in, what the ledger says stays true."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batchxfer.errors import BusyError, OwnershipLost
from batchxfer.model import (
    DELIVERY_MOVES,
    Claim,
    DeliveryStatus,
    Evidence,
    FileRole,
    FileStatus,
    Outcome,
    Run,
    RunStatus,
    run_status,
)
from batchxfer.ports import Ledger
from tests.ledgers import NOW, SNAPSHOT, SqlitePlace, Walk, due, planned

ENDPOINTS = st.sampled_from(["bank", "archive"])
STOPPED = (DeliveryStatus.RETRYING, DeliveryStatus.FAILED, DeliveryStatus.HELD, DeliveryStatus.EXCLUDED)


class Walks(RuleBasedStateMachine):
    """Two processes and one run: each call is either refused and changes nothing, or does what it says."""

    project: ClassVar[Path]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.place = SqlitePlace(Path(shutil.copytree(self.project, self.folder / "project")))
        self.ledgers: list[Ledger] = [self.place.open(), self.place.open()]
        self.id = self.ledgers[0].ensure_run("orders", due(), {}).id
        self.claims: list[Claim] = []
        self.open = False

    def teardown(self) -> None:
        self.place.close()
        shutil.rmtree(self.folder)

    @property
    def run(self) -> Run:
        return self.ledgers[0].find_run(self.id)

    def write(self, name: str, *args: Any, **facts: Any) -> Any:
        """Call `name` with the newest claim; what is refused must change nothing."""
        before, told = self.run, len(self.ledgers[0].events(self.id))
        try:
            return getattr(self.ledgers[0], name)(self.claims[-1], *args, **facts)
        except OwnershipLost:
            refused_for_good_reason = not self.open
        except ValueError:
            refused_for_good_reason = self.open
        assert refused_for_good_reason
        assert (self.run, len(self.ledgers[0].events(self.id))) == (before, told)
        return None

    @rule(which=st.sampled_from([0, 1]))
    def claim(self, which: int) -> None:
        ledger = self.ledgers[which]
        try:
            self.claims.append(ledger.claim(self.id, ledger.owner))
            assert not self.open
            self.open = True
        except BusyError:
            assert self.open

    @precondition(lambda self: self.claims)
    @rule()
    def give_back(self) -> None:
        if self.write("let_go") is not None:
            self.open = False

    @precondition(lambda self: self.claims)
    @rule(endpoints=st.lists(ENDPOINTS, unique=True, min_size=1), path=st.sampled_from(["a.csv", "b.csv"]))
    def adopt(self, endpoints: list[str], path: str) -> None:
        self.write("adopt", SNAPSHOT, [planned(endpoint, path, done=True) for endpoint in endpoints])

    @precondition(lambda self: self.claims)
    @rule()
    def build(self) -> None:
        attempt = self.write("begin_attempt", None)
        if attempt is not None:
            artifact = Walk.artifact(self, f"{attempt.id}.csv")  # type: ignore[arg-type]
            self.write("record_artifact", attempt.id, artifact)

    @precondition(lambda self: self.claims and self.run.deliveries)
    @rule(
        data=st.data(), role=st.sampled_from([FileRole.DATA, FileRole.DONE]), status=st.sampled_from(list(FileStatus))
    )
    def step(self, data: st.DataObject, role: FileRole, status: FileStatus) -> None:
        delivery = data.draw(st.sampled_from(self.run.deliveries))
        self.write("record_file", delivery.id, role, status, temp_path=f".{role}.part")

    @precondition(lambda self: self.claims and self.run.deliveries)
    @rule(data=st.data(), status=st.sampled_from(list(DeliveryStatus)), how=st.sampled_from(["size", "looked"]))
    def settle(self, data: st.DataObject, status: DeliveryStatus, how: str) -> None:
        before = data.draw(st.sampled_from(self.run.deliveries))
        facts: dict[str, Any] = {}
        if status in STOPPED:
            facts |= {"reason": "because", "used_retry": True}
        if status is DeliveryStatus.RETRYING:
            facts |= {"retry_at": NOW + timedelta(minutes=5)}
        if status is DeliveryStatus.DELIVERED:
            facts |= {"evidence": Evidence(how=how)}
        run = self.write("settle", before.id, status, **facts)
        if run is not None:
            assert status in DELIVERY_MOVES[before.status]

    @precondition(lambda self: self.claims)
    @rule(endpoint=ENDPOINTS, outcome=st.sampled_from([Outcome.TRANSIENT, None]))
    def attempt(self, endpoint: str, outcome: Outcome | None) -> None:
        attempt = self.write("begin_attempt", endpoint)
        if attempt is not None and outcome is not None:
            self.write("end_attempt", attempt.id, outcome)

    @precondition(lambda self: self.claims)
    @rule(name=st.sampled_from(["drop_artifact", "release_guard"]))
    def decide(self, name: str) -> None:
        self.write(name)

    @precondition(lambda self: self.claims)
    @rule()
    def exclude(self) -> None:
        self.write("exclude", "never")

    @invariant()
    def what_is_said_is_true(self) -> None:
        run = self.run
        statuses = [delivery.status for delivery in run.deliveries]
        if run.deliveries or self.open:
            assert run.status is run_status(statuses, running=self.open)
        else:
            assert run.status in (RunStatus.PENDING, RunStatus.EXCLUDED)
        assert self.ledgers[1].find_run(self.id) == run
        assert [found.id for found in self.ledgers[1].runs(status=run.status)] == [run.id]
        for delivery in run.deliveries:
            assert (delivery.status in STOPPED) <= bool(delivery.reason)
            assert (delivery.status is DeliveryStatus.DELIVERED) <= (delivery.evidence is not None)
            assert (delivery.status is DeliveryStatus.RETRYING) == (delivery.retry_at is not None)

    @invariant()
    def attempts_are_in_order_and_open_only_while_claimed(self) -> None:
        attempts = self.run.attempts
        assert self.open or all(attempt.outcome for attempt in attempts)
        for endpoint in {attempt.endpoint for attempt in attempts}:
            numbers = [attempt.number for attempt in attempts if attempt.endpoint == endpoint]
            assert numbers == list(range(1, len(numbers) + 1))


def test_what_the_ledger_says_stays_true_in_any_order_of_calls(
    new_sqlite_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Walks, "project", new_sqlite_project, raising=False)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Walks,
        settings=settings(
            max_examples=int(os.environ.get("BATCHXFER_EXAMPLES", "5")),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
