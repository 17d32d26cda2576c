"""What every ledger keeps of an attempt's progress: intents before side effects, outcomes after them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from batchxfer.errors import ErrorInfo, OwnershipLost
from batchxfer.model import (
    Claim,
    Delivery,
    DeliveryStatus,
    Evidence,
    FileRole,
    FileStatus,
    Outcome,
    Run,
    RunStatus,
)
from batchxfer.ports import Ledger
from tests.ledgers import NOW, SHA256, SNAPSHOT, Place, Walk, planned

SIZE = Evidence(how="size", detail="17 bytes", server_key="SHA256:abc")
BROKEN = ErrorInfo(kind="network", message="the link broke", hint="it is tried again")


@pytest.fixture
def walk(ledger: Ledger, place: Place) -> Walk:
    return Walk(ledger, place)


def settle(walk: Walk, status: DeliveryStatus, **facts: Any) -> Delivery:
    return walk.ledger.settle(walk.claim, walk.delivery, status, **facts).deliveries[0]


class TestAdopting:
    def test_a_run_keeps_its_snapshot_and_makes_its_deliveries_in_order(self, walk: Walk) -> None:
        run = walk.ledger.adopt(walk.claim, SNAPSHOT, [planned("z", "z.csv", done=True), planned("a", "a.csv")])
        assert run.snapshot == SNAPSHOT
        assert [(d.endpoint, d.path, d.status, d.retries) for d in run.deliveries] == [
            ("z", "z.csv", DeliveryStatus.PENDING, 0),
            ("a", "a.csv", DeliveryStatus.PENDING, 0),
        ]
        assert [(f.role, f.path, f.status) for f in run.deliveries[0].files] == [
            (FileRole.DATA, "z.csv", FileStatus.PENDING),
            (FileRole.DONE, "z.csv.done", FileStatus.PENDING),
        ]
        assert walk.now == run

    def test_a_delivery_that_was_not_begun_takes_todays_path_and_keeps_its_retries(self, walk: Walk) -> None:
        walk.adopted(planned("bank", "old.csv", done=True))
        settle(walk, DeliveryStatus.RETRYING, reason="broken", retry_at=NOW, used_retry=True)
        (delivery,) = walk.adopted(planned("bank", "new.csv")).now.deliveries
        assert (delivery.path, delivery.retries, delivery.status) == ("new.csv", 1, DeliveryStatus.RETRYING)
        assert [file.path for file in delivery.files] == ["new.csv"]

    def test_a_delivery_that_was_begun_keeps_endpoint_and_path(self, walk: Walk) -> None:
        walk.adopted(planned("bank", "old.csv")).step(FileStatus.SENDING, temp_path="t")
        settle(walk, DeliveryStatus.FAILED, reason="broken")
        settle(walk, DeliveryStatus.PENDING)
        deliveries = walk.adopted(planned("bank", "new.csv"), planned("archive", "b.csv")).now.deliveries
        assert {d.endpoint: d.path for d in deliveries} == {"bank": "old.csv", "archive": "b.csv"}
        assert {d.path for d in walk.adopted(planned("archive", "b.csv")).now.deliveries} == {"old.csv", "b.csv"}

    def test_a_delivery_that_was_not_begun_and_is_no_longer_wanted_goes(self, walk: Walk) -> None:
        walk.adopted(planned("bank"), planned("archive"))
        assert [d.endpoint for d in walk.adopted(planned("archive")).now.deliveries] == ["archive"]

    @pytest.mark.parametrize(
        ("status", "facts"),
        [
            (DeliveryStatus.DELIVERED, {"evidence": Evidence(how="accepted", detail="by phone")}),
            (DeliveryStatus.EXCLUDED, {"reason": "not wanted"}),
        ],
    )
    def test_a_delivery_that_ended_stays(self, walk: Walk, status: DeliveryStatus, facts: dict[str, Any]) -> None:
        walk.adopted(planned("bank", "old.csv"))
        settle(walk, status, **facts)
        (delivery,) = walk.adopted(planned("bank", "new.csv")).now.deliveries
        assert (delivery.path, delivery.status) == ("old.csv", status)

    def test_two_deliveries_to_one_endpoint_are_refused(self, walk: Walk) -> None:
        with pytest.raises(ValueError, match="to one endpoint"):
            walk.adopted(planned("bank", "a"), planned("bank", "b"))
        assert walk.now.deliveries == ()


class TestAttempts:
    def test_builds_and_each_endpoints_attempts_are_numbered_from_1(self, walk: Walk) -> None:
        walk.adopted(planned("bank"), planned("archive"))
        for endpoint in (None, "bank", "bank", "archive", None):
            attempt = walk.ledger.begin_attempt(walk.claim, endpoint)
            walk.ledger.end_attempt(walk.claim, attempt.id, Outcome.TRANSIENT, BROKEN)
        attempts = walk.now.attempts
        assert [(a.endpoint, a.number) for a in attempts] == [
            (None, 1),
            ("bank", 1),
            ("bank", 2),
            ("archive", 1),
            (None, 2),
        ]
        assert {a.error for a in attempts} == {BROKEN}
        assert len({a.id for a in attempts}) == 5

    def test_one_open_attempt_at_a_time_for_each_endpoint(self, walk: Walk) -> None:
        walk.adopted()
        walk.ledger.begin_attempt(walk.claim, "bank")
        with pytest.raises(ValueError, match="open attempt"):
            walk.ledger.begin_attempt(walk.claim, "bank")

    def test_an_attempt_goes_to_an_endpoint_of_the_run(self, walk: Walk) -> None:
        with pytest.raises(ValueError, match="no delivery to 'bank'"):
            walk.ledger.begin_attempt(walk.claim, "bank")

    def test_an_attempt_ends_once(self, walk: Walk) -> None:
        attempt = walk.ledger.begin_attempt(walk.claim, None)
        walk.ledger.end_attempt(walk.claim, attempt.id, Outcome.PERMANENT, BROKEN)
        walk.ledger.end_attempt(walk.claim, attempt.id, Outcome.PERMANENT, BROKEN)
        with pytest.raises(ValueError, match="has ended already: permanent, not transient"):
            walk.ledger.end_attempt(walk.claim, attempt.id, Outcome.TRANSIENT)
        assert [event.kind for event in walk.ledger.events(walk.run.id)].count("attempt-ended") == 1

    def test_an_artifact_ends_its_build_and_belongs_to_the_run(self, walk: Walk) -> None:
        artifact = walk.artifact()
        attempt = walk.ledger.begin_attempt(walk.claim, None)
        run = walk.ledger.record_artifact(walk.claim, attempt.id, artifact)
        assert run.artifact == artifact
        assert run.attempts[0].outcome is Outcome.BUILT
        assert walk.ledger.artifact_paths() == {artifact.path}

    def test_an_artifact_comes_from_a_build(self, walk: Walk) -> None:
        attempt = walk.adopted().ledger.begin_attempt(walk.claim, "bank")
        with pytest.raises(ValueError, match="not a build"):
            walk.ledger.record_artifact(walk.claim, attempt.id, walk.artifact())
        assert walk.now.artifact is None

    def test_a_new_artifact_replaces_the_old_one(self, walk: Walk) -> None:
        walk.built()
        attempt = walk.ledger.begin_attempt(walk.claim, None)
        newer = walk.artifact("b.csv", rows=9)
        assert walk.ledger.record_artifact(walk.claim, attempt.id, newer).artifact == newer
        assert walk.ledger.artifact_paths() == {newer.path}

    def test_a_dropped_artifact_is_forgotten_and_the_guard_looks_again(self, walk: Walk) -> None:
        walk.built()
        assert walk.ledger.release_guard(walk.claim).guard_released
        run = walk.ledger.drop_artifact(walk.claim)
        assert (run.artifact, run.guard_released) == (None, False)
        assert walk.ledger.artifact_paths() == set()
        assert walk.ledger.drop_artifact(walk.claim).artifact is None


class TestFiles:
    def test_each_step_is_kept_and_the_delivery_follows(self, walk: Walk) -> None:
        walk.adopted(planned(done=True)).built()
        steps = []
        for role in (FileRole.DATA, FileRole.DONE):
            for status in (FileStatus.SENDING, FileStatus.PUBLISHING, FileStatus.PUBLISHED):
                delivery = walk.step(status, role, temp_path=f"{role}.part").now.deliveries[0]
                steps.append((delivery.status, [file.status for file in delivery.files]))
        pending, sending, publishing, published = FileStatus
        assert steps == [
            (DeliveryStatus.SENDING, [sending, pending]),
            (DeliveryStatus.PUBLISHING, [publishing, pending]),
            (DeliveryStatus.PUBLISHING, [published, pending]),
            (DeliveryStatus.SENDING, [published, sending]),
            (DeliveryStatus.PUBLISHING, [published, publishing]),
            (DeliveryStatus.PUBLISHING, [published, published]),
        ]

    def test_values_left_out_stay(self, walk: Walk) -> None:
        walk.adopted().built()
        walk.step(FileStatus.SENDING, temp_path="t.part", created=True, size=17, sha256=SHA256)
        file = walk.step(FileStatus.PUBLISHING).now.deliveries[0].files[0]
        assert (file.temp_path, file.created, file.bytes, file.sha256) == ("t.part", True, 17, SHA256)
        assert not walk.step(FileStatus.PUBLISHING, created=False).now.deliveries[0].files[0].created

    def test_the_deliverys_size_and_digest_are_those_of_its_data(self, walk: Walk) -> None:
        walk.adopted(planned(done=True)).built()
        walk.published()
        walk.step(FileStatus.SENDING, FileRole.DONE, size=0, sha256="e3b0")
        delivery = walk.now.deliveries[0]
        assert (delivery.bytes, delivery.sha256) == (17, SHA256)

    def test_nothing_is_published_before_it_is_built(self, walk: Walk) -> None:
        walk.adopted().step(FileStatus.SENDING)
        with pytest.raises(ValueError, match="before its artifact is built"):
            walk.step(FileStatus.PUBLISHING)

    def test_nothing_is_published_that_was_not_begun(self, walk: Walk) -> None:
        with pytest.raises(ValueError, match="cannot go from pending to publishing"):
            walk.adopted().built().step(FileStatus.PUBLISHING)

    @pytest.mark.parametrize("status", [DeliveryStatus.FAILED, DeliveryStatus.HELD, DeliveryStatus.EXCLUDED])
    def test_what_a_person_must_decide_is_not_sent(self, walk: Walk, status: DeliveryStatus) -> None:
        walk.adopted()
        settle(walk, status, reason="why")
        with pytest.raises(ValueError, match=f"cannot go from {status} to sending"):
            walk.step(FileStatus.SENDING)

    def test_sending_clears_what_stopped_it_before(self, walk: Walk) -> None:
        walk.adopted()
        settle(walk, DeliveryStatus.RETRYING, reason="broken", retry_at=NOW, error=BROKEN, used_retry=True)
        delivery = walk.step(FileStatus.SENDING).now.deliveries[0]
        assert (delivery.reason, delivery.retry_at, delivery.error, delivery.retries) == (None, None, None, 1)

    def test_what_is_taken_back_is_as_if_it_had_not_begun(self, walk: Walk) -> None:
        walk.adopted(planned("bank", "old.csv", done=True))
        settle(walk, DeliveryStatus.RETRYING, reason="broken", retry_at=NOW, error=BROKEN, used_retry=True)
        walk.step(FileStatus.SENDING, temp_path="out/.a.part").step(FileStatus.PENDING)
        (delivery,) = walk.now.deliveries
        assert (delivery.status, delivery.retries, delivery.reason) == (DeliveryStatus.PENDING, 1, None)
        assert [(file.status, file.temp_path) for file in delivery.files] == [(FileStatus.PENDING, None)] * 2
        assert walk.adopted(planned("bank", "new.csv")).now.deliveries[0].path == "new.csv"

    def test_only_what_is_being_sent_can_be_taken_back(self, walk: Walk) -> None:
        walk.adopted().built().step(FileStatus.SENDING, temp_path="out/.a.part").step(FileStatus.PUBLISHING)
        with pytest.raises(ValueError, match="cannot go from publishing to pending"):
            walk.step(FileStatus.PENDING)
        walk.step(FileStatus.PUBLISHED)
        with pytest.raises(ValueError, match="cannot go from published to pending"):
            walk.step(FileStatus.PENDING)

    @pytest.mark.parametrize("status", [DeliveryStatus.FAILED, DeliveryStatus.HELD])
    def test_what_has_been_settled_meanwhile_stays_so(self, walk: Walk, status: DeliveryStatus) -> None:
        walk.adopted().step(FileStatus.SENDING, temp_path="out/.a.part")
        settle(walk, status, reason="why")
        with pytest.raises(ValueError, match=f"cannot go from {status} to pending"):
            walk.step(FileStatus.PENDING)
        assert walk.now.deliveries[0].status is status

    def test_a_role_that_the_delivery_does_not_have_is_refused(self, walk: Walk) -> None:
        with pytest.raises(ValueError, match="no checksum file"):
            walk.adopted().step(FileStatus.SENDING, FileRole.CHECKSUM)

    def test_a_resend_goes_from_delivered_to_sending(self, walk: Walk) -> None:
        walk.adopted().built().published()
        settle(walk, DeliveryStatus.DELIVERED, evidence=SIZE)
        # Said again, what is known changes nothing.
        assert walk.step(FileStatus.PUBLISHED).now.deliveries[0].status is DeliveryStatus.DELIVERED
        assert walk.step(FileStatus.SENDING).now.deliveries[0].status is DeliveryStatus.SENDING


class TestSettling:
    def test_delivered_keeps_the_evidence_and_ends_the_attempt(self, walk: Walk) -> None:
        walk.adopted().built()
        attempt = walk.ledger.begin_attempt(walk.claim, "bank")
        walk.published()
        delivery = settle(walk, DeliveryStatus.DELIVERED, attempt=attempt.id, evidence=SIZE)
        assert (delivery.status, delivery.evidence, delivery.bytes, delivery.sha256) == (
            DeliveryStatus.DELIVERED,
            SIZE,
            17,
            SHA256,
        )
        assert delivery.delivered_at is not None
        assert walk.now.attempts[-1].outcome is Outcome.DELIVERED
        assert walk.ledger.let_go(walk.claim).status is RunStatus.DELIVERED

    def test_delivered_needs_evidence(self, walk: Walk) -> None:
        walk.adopted().built().published()
        with pytest.raises(ValueError, match="without evidence"):
            settle(walk, DeliveryStatus.DELIVERED)

    @pytest.mark.parametrize("how", ["size", "readback", "reply"])
    def test_delivered_needs_every_file_published(self, walk: Walk, how: str) -> None:
        walk.adopted(planned(done=True)).built().published()
        with pytest.raises(ValueError, match="each of its files"):
            settle(walk, DeliveryStatus.DELIVERED, evidence=Evidence(how=how))

    @pytest.mark.parametrize("how", ["looked", "inferred", "accepted", "equal"])
    def test_delivered_without_publishing_needs_somebody_who_looked(self, walk: Walk, how: str) -> None:
        walk.adopted().built()
        delivery = settle(walk, DeliveryStatus.DELIVERED, evidence=Evidence(how=how, detail="by phone"))
        assert delivery.evidence == Evidence(how=how, detail="by phone")
        # What a person accepted was seen by nobody here: it has no size.
        assert delivery.bytes == (None if how == "accepted" else 17)

    @pytest.mark.parametrize("status", [DeliveryStatus.FAILED, DeliveryStatus.HELD, DeliveryStatus.EXCLUDED])
    def test_a_stop_needs_a_reason(self, walk: Walk, status: DeliveryStatus) -> None:
        walk.adopted()
        with pytest.raises(ValueError, match="needs a reason"):
            settle(walk, status)
        assert settle(walk, status, reason="because").reason == "because"

    def test_retrying_needs_a_reason_and_an_instant(self, walk: Walk) -> None:
        walk.adopted()
        for facts in ({"reason": "broken"}, {"retry_at": NOW}):
            with pytest.raises(ValueError, match="retrying"):
                settle(walk, DeliveryStatus.RETRYING, **facts)

    def test_retry_times_and_errors_survive(self, walk: Walk, place: Place) -> None:
        walk.adopted()
        attempt = walk.ledger.begin_attempt(walk.claim, "bank")
        later = NOW + timedelta(minutes=5, microseconds=1)
        facts = {"attempt": attempt.id, "reason": "broken", "retry_at": later, "used_retry": True, "error": BROKEN}
        settle(walk, DeliveryStatus.RETRYING, **facts)
        walk.ledger.let_go(walk.claim)
        walk.ledger.close()
        run = place.open().find_run(walk.run.id)
        delivery = run.deliveries[0]
        assert (run.status, run.retry_at, run.reason) == (RunStatus.RETRYING, later, "broken")
        assert (delivery.retry_at, delivery.retries, delivery.error) == (later, 1, BROKEN)
        assert (run.attempts[0].outcome, run.attempts[0].error) == (Outcome.TRANSIENT, BROKEN)

    def test_pending_starts_a_fresh_series(self, walk: Walk) -> None:
        walk.adopted()
        settle(walk, DeliveryStatus.RETRYING, reason="broken", retry_at=NOW, error=BROKEN, used_retry=True)
        settle(walk, DeliveryStatus.FAILED, reason="gave up", error=BROKEN)
        delivery = settle(walk, DeliveryStatus.PENDING)
        assert (delivery.status, delivery.retries, delivery.reason, delivery.error) == (
            DeliveryStatus.PENDING,
            0,
            None,
            None,
        )

    def test_one_build_that_failed_settles_every_delivery(self, walk: Walk) -> None:
        walk.adopted(planned("bank"), planned("archive"))
        attempt = walk.ledger.begin_attempt(walk.claim, None)
        for delivery in walk.now.deliveries:
            walk.ledger.settle(
                walk.claim, delivery.id, DeliveryStatus.FAILED, attempt=attempt.id, reason="bad SQL", error=BROKEN
            )
        run = walk.ledger.let_go(walk.claim)
        assert (run.status, run.reason, run.attempts[0].outcome) == (RunStatus.FAILED, "bad SQL", Outcome.PERMANENT)

    def test_an_attempt_of_another_endpoint_settles_nothing(self, walk: Walk) -> None:
        walk.adopted(planned("bank"), planned("archive"))
        attempt = walk.ledger.begin_attempt(walk.claim, "archive")
        with pytest.raises(ValueError, match="went to 'archive', not to 'bank'"):
            settle(walk, DeliveryStatus.FAILED, attempt=attempt.id, reason="x")
        assert walk.now.attempts[0].outcome is None

    @pytest.mark.parametrize("status", [DeliveryStatus.SENDING, DeliveryStatus.PUBLISHING])
    def test_sending_and_publishing_come_from_the_files(self, walk: Walk, status: DeliveryStatus) -> None:
        with pytest.raises(ValueError, match="by its files"):
            settle(walk.adopted(), status, reason="x")

    def test_a_move_that_the_table_does_not_have_is_refused(self, walk: Walk) -> None:
        walk.adopted().built().published()
        settle(walk, DeliveryStatus.DELIVERED, evidence=SIZE)
        with pytest.raises(ValueError, match="cannot go from delivered to pending"):
            settle(walk, DeliveryStatus.PENDING)

    def test_text_that_no_database_keeps_is_written_as_escapes(self, walk: Walk) -> None:
        walk.adopted()
        error = ErrorInfo(kind="x", message="name \udcff\0 뷁", hint=None)
        delivery = settle(walk, DeliveryStatus.FAILED, reason="name \udcff\0 뷁", error=error)
        assert delivery.reason == "name \\udcff\\x00 뷁"
        assert delivery.error == ErrorInfo(kind="x", message="name \\udcff\0 뷁", hint=None)


class TestExcluding:
    def test_what_is_not_delivered_is_never_sent(self, walk: Walk) -> None:
        walk.adopted(planned("bank"), planned("archive")).built().published()
        settle(walk, DeliveryStatus.DELIVERED, evidence=SIZE)
        run = walk.ledger.exclude(walk.claim, "the partner said so")
        assert [(d.status, d.reason) for d in run.deliveries] == [
            (DeliveryStatus.DELIVERED, None),
            (DeliveryStatus.EXCLUDED, "the partner said so"),
        ]
        assert walk.ledger.let_go(walk.claim).status is RunStatus.DELIVERED

    def test_a_run_without_deliveries_is_excluded_too(self, walk: Walk) -> None:
        walk.ledger.exclude(walk.claim, "a test run")
        run = walk.ledger.let_go(walk.claim)
        assert (run.status, run.reason) == (RunStatus.EXCLUDED, "a test run")
        assert walk.ledger.runs(status=RunStatus.EXCLUDED) == [run] == [walk.now]

    def test_excluding_again_changes_nothing(self, walk: Walk) -> None:
        walk.adopted().ledger.exclude(walk.claim, "first")
        assert walk.ledger.exclude(walk.claim, "second").deliveries[0].reason == "first"


Write = Callable[[Ledger, Claim, Run, str], object]
WRITES: dict[str, Write] = {
    "renew": lambda ledger, claim, run, attempt: ledger.renew(claim),
    "let_go": lambda ledger, claim, run, attempt: ledger.let_go(claim),
    "set_parameters": lambda ledger, claim, run, attempt: ledger.set_parameters(claim, {"a": 1}),
    "adopt": lambda ledger, claim, run, attempt: ledger.adopt(claim, SNAPSHOT, [planned("bank", "stale.csv")]),
    "begin_attempt": lambda ledger, claim, run, attempt: ledger.begin_attempt(claim, "bank"),
    "end_attempt": lambda ledger, claim, run, attempt: ledger.end_attempt(claim, attempt, Outcome.BUILT),
    "record_artifact": lambda ledger, claim, run, attempt: ledger.record_artifact(claim, attempt, run.artifact),  # type: ignore[arg-type]
    "drop_artifact": lambda ledger, claim, run, attempt: ledger.drop_artifact(claim),
    "record_file": lambda ledger, claim, run, attempt: ledger.record_file(
        claim, run.deliveries[0].id, FileRole.DATA, FileStatus.PUBLISHED
    ),
    "settle": lambda ledger, claim, run, attempt: ledger.settle(
        claim, run.deliveries[0].id, DeliveryStatus.DELIVERED, evidence=Evidence(how="looked")
    ),
    "release_guard": lambda ledger, claim, run, attempt: ledger.release_guard(claim),
    "exclude": lambda ledger, claim, run, attempt: ledger.exclude(claim, "stale"),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_stale_claim_cannot_write(walk: Walk, place: Place, name: str) -> None:
    walk.adopted().built()
    stale, before = walk.claim, walk.now
    walk.ledger.let_go(stale)
    attempt = before.attempts[0].id
    other = place.open()
    other.claim(walk.run.id, other.owner)
    during, told = walk.now, len(walk.ledger.events(walk.run.id))
    with pytest.raises(OwnershipLost, match=walk.run.id):
        WRITES[name](walk.ledger, stale, before, attempt)
    assert walk.now == during
    assert len(walk.ledger.events(walk.run.id)) == told


class TestKeepingHouse:
    def delivered(self, walk: Walk) -> Walk:
        walk.adopted().built().published()
        settle(walk, DeliveryStatus.DELIVERED, evidence=SIZE)
        walk.ledger.let_go(walk.claim)
        return walk

    def test_delivered_artifacts_are_prunable_after_their_time(self, walk: Walk) -> None:
        run = self.delivered(walk).now
        soon = walk.ledger.now() + timedelta(minutes=1)
        assert walk.ledger.prunable(soon) == [(run, run.artifact)]
        assert walk.ledger.prunable(soon - timedelta(hours=1)) == []

    def test_a_pruned_artifact_is_known_as_such_and_not_pruned_again(self, walk: Walk) -> None:
        artifact = self.delivered(walk).now.artifact
        assert artifact is not None
        walk.ledger.mark_pruned(artifact.id)
        walk.ledger.mark_pruned(artifact.id)
        after = walk.now.artifact
        assert after is not None
        assert after.pruned_at is not None
        assert walk.ledger.prunable(walk.ledger.now() + timedelta(days=1)) == []
        assert walk.ledger.artifact_paths() == set()

    def test_an_undelivered_or_claimed_artifact_is_never_prunable(self, walk: Walk, place: Place) -> None:
        walk.adopted(planned("bank"), planned("archive")).built().published()
        settle(walk, DeliveryStatus.DELIVERED, evidence=SIZE)
        future = walk.ledger.now() + timedelta(days=1)
        assert walk.ledger.prunable(future) == []
        walk.ledger.exclude(walk.claim, "no archive today")
        assert walk.ledger.prunable(future) == []
        walk.ledger.let_go(walk.claim)
        assert [run.id for run, _ in walk.ledger.prunable(future)] == [walk.run.id]

    def test_an_artifact_keeps_its_place_when_the_project_moves(self, walk: Walk, place: Place) -> None:
        walk.built()
        outside = walk.artifact()
        assert walk.now.artifact is not None
        assert walk.now.artifact.path == place.spool / "a.csv" == outside.path
        assert place.execute("SELECT path FROM artifacts") == [("a.csv",)]
