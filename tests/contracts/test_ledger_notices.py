"""What every ledger keeps of notices: each is written with the state it tells of, and is over with it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from batchxfer.errors import UsageError
from batchxfer.model import DeliveryStatus, Evidence, Notice, NoticeKind, RunStatus
from batchxfer.ports import Ledger
from tests.contracts.test_ledger_pausing import at_once
from tests.ledgers import NOW, SLOT, Place, Walk, planned

DAY = timedelta(days=1)
ACCEPTED = Evidence(how="accepted", detail="by phone")
FAILED, HELD, LATE = NoticeKind.FAILED, NoticeKind.HELD, NoticeKind.LATE
RECOVERED = NoticeKind.RECOVERED


@pytest.fixture
def walk(ledger: Ledger, place: Place) -> Walk:
    return Walk(ledger, place)


def settle(walk: Walk, status: DeliveryStatus, place: int = 0, **facts: Any) -> str:
    delivery = walk.now.deliveries[place]
    if status is DeliveryStatus.DELIVERED:
        facts["evidence"] = ACCEPTED
    elif status is DeliveryStatus.RETRYING:
        facts |= {"reason": "because", "retry_at": NOW}
    elif status is not DeliveryStatus.PENDING:
        facts |= {"reason": "because"}
    walk.ledger.settle(walk.claim, delivery.id, status, **facts)
    return delivery.id


def told(walk: Walk) -> list[tuple[NoticeKind, str]]:
    return sorted((notice.kind, notice.subject) for notice in walk.ledger.notices())


def note(walk: Walk, kind: NoticeKind = LATE) -> bool:
    return walk.ledger.note(kind, walk.run.id, job=walk.job, run=walk.run.id, detail={"late": True})


class TestNoting:
    def test_a_notice_keeps_what_it_is_about(self, walk: Walk) -> None:
        detail = {"slot": SLOT, "late_after": "0:30:00"}
        assert walk.ledger.note(LATE, walk.run.id, job="orders", run=walk.run.id, detail=detail)
        (notice,) = walk.ledger.notices()
        assert (notice.kind, notice.job, notice.run, notice.subject) == (LATE, "orders", walk.run.id, walk.run.id)
        assert (notice.detail, notice.told_at, notice.over_at) == (detail, {}, None)
        assert abs(notice.at - walk.ledger.now()) < timedelta(minutes=1)

    def test_it_is_recorded_once_until_it_is_over(self, walk: Walk) -> None:
        assert [note(walk), note(walk)] == [True, False]
        assert note(walk, NoticeKind.MISSING)
        walk.ledger.end_note(LATE, walk.run.id)
        walk.ledger.end_note(LATE, walk.run.id)
        assert told(walk) == [(NoticeKind.MISSING, walk.run.id)]
        assert note(walk)

    def test_a_notice_may_be_of_a_job_without_a_run(self, ledger: Ledger) -> None:
        assert ledger.note(NoticeKind.MISSING, "orders", job="orders", run=None, detail={})
        assert [notice.run for notice in ledger.notices()] == [None]

    def test_a_notice_of_a_run_that_is_not_there_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="there is no run"):
            ledger.note(LATE, "x", job="orders", run="01ARZ3NDEKTSV4RRFFQ69G5FAV", detail={})

    def test_many_who_note_at_once_note_once(self, walk: Walk, place: Place) -> None:
        other = place.open()
        for kind in (LATE, NoticeKind.MISSING):

            def noted(ledger: Ledger, kind: NoticeKind = kind) -> bool:
                return ledger.note(kind, "x", job=None, run=None, detail={})

            works = [partial(noted, each) for each in [other, walk.ledger] * 3]
            assert sorted(map(bool, at_once(works))) == [False] * 5 + [True]
        assert told(walk) == [(LATE, "x"), (NoticeKind.MISSING, "x")]

    @pytest.mark.parametrize("how", ["delivered", "excluded", "skipped", "excluded before it was begun"])
    def test_what_has_ended_since_the_caller_looked_is_not_late(self, walk: Walk, how: str) -> None:
        if how != "excluded before it was begun":
            walk.adopted()
        if how == "delivered":
            settle(walk, DeliveryStatus.DELIVERED)
        elif how == "skipped":
            walk.ledger.skip(walk.claim, "too late")
        else:
            walk.ledger.exclude(walk.claim, "never")
        assert not note(walk)
        walk.ledger.let_go(walk.claim)
        assert not note(walk)
        assert walk.ledger.notices() == []

    def test_oldest_first(self, walk: Walk, place: Place) -> None:
        for number in range(5):
            walk.ledger.note(LATE, f"s{5 - number}", job=None, run=None, detail={})
            place.clock.sleep(1)
        assert [notice.subject for notice in walk.ledger.notices()] == ["s5", "s4", "s3", "s2", "s1"]


class TestTelling:
    def test_each_command_is_remembered_with_its_instant(self, walk: Walk) -> None:
        note(walk)
        (notice,) = walk.ledger.notices()
        walk.ledger.mark_told(notice.id, "0", NOW)
        walk.ledger.mark_told(notice.id, "1", NOW + DAY)
        walk.ledger.mark_told(notice.id, "0", NOW + 2 * DAY)
        assert walk.ledger.notices()[0].told_at == {"0": NOW + 2 * DAY, "1": NOW + DAY}

    def test_two_who_tell_at_once_are_both_remembered(self, walk: Walk, place: Place) -> None:
        note(walk)
        (notice,) = walk.ledger.notices()
        other = place.open()
        works = [
            partial(each.mark_told, notice.id, str(number), NOW) for number, each in enumerate([other, walk.ledger] * 3)
        ]
        at_once(works)
        assert walk.ledger.notices()[0].told_at == dict.fromkeys("012345", NOW)

    def test_telling_of_what_nobody_knows_changes_nothing(self, ledger: Ledger) -> None:
        ledger.mark_told("01ARZ3NDEKTSV4RRFFQ69G5FAV", "0", NOW)
        assert ledger.notices() == []


class TestDeliveries:
    @pytest.mark.parametrize(("status", "kind"), [(DeliveryStatus.FAILED, FAILED), (DeliveryStatus.HELD, HELD)])
    def test_a_failed_or_held_delivery_is_told_of(self, walk: Walk, status: DeliveryStatus, kind: NoticeKind) -> None:
        delivery = settle(walk.adopted(), status)
        (notice,) = walk.ledger.notices()
        assert (notice.kind, notice.subject, notice.job, notice.run) == (kind, delivery, "orders", walk.run.id)
        assert notice.detail == {"endpoint": "bank", "path": "out/a.csv", "reason": "because"}

    @pytest.mark.parametrize("status", [DeliveryStatus.RETRYING, DeliveryStatus.PENDING, DeliveryStatus.DELIVERED])
    def test_no_other_state_is(self, walk: Walk, status: DeliveryStatus) -> None:
        settle(walk.adopted(), status)
        assert walk.ledger.notices() == []

    def test_a_state_that_is_refused_is_not_told_of(self, walk: Walk) -> None:
        walk.adopted()
        with pytest.raises(ValueError, match="needs a reason"):
            walk.ledger.settle(walk.claim, walk.delivery, DeliveryStatus.FAILED)
        assert walk.ledger.notices() == []

    def test_failed_again_it_is_told_again(self, walk: Walk) -> None:
        delivery = settle(walk.adopted(), DeliveryStatus.FAILED)
        (first,) = walk.ledger.notices()
        walk.ledger.mark_told(first.id, "0", NOW)
        settle(walk, DeliveryStatus.PENDING)
        assert told(walk) == [(FAILED, delivery)]
        settle(walk, DeliveryStatus.FAILED)
        (second,) = walk.ledger.notices()
        assert (second.kind, second.subject, second.told_at) == (FAILED, delivery, {})
        # Whoever was still telling of the first failure has not told of this one.
        walk.ledger.mark_told(first.id, "0", NOW)
        assert walk.ledger.notices() == [second]

    def test_failed_and_then_held_is_held(self, walk: Walk) -> None:
        delivery = settle(walk.adopted(), DeliveryStatus.FAILED)
        settle(walk, DeliveryStatus.HELD)
        assert told(walk) == [(HELD, delivery)]

    @pytest.mark.parametrize(("status", "kind"), [(DeliveryStatus.FAILED, FAILED), (DeliveryStatus.HELD, HELD)])
    def test_missing_and_then_stopped_it_is_told_of_as_that_and_as_missing_again_once_somebody_let_it_go_on(
        self, walk: Walk, status: DeliveryStatus, kind: NoticeKind
    ) -> None:
        walk.adopted().ledger.let_go(walk.claim)
        assert walk.ledger.miss(walk.run.id, "no file came")
        walk.claim = walk.ledger.claim(walk.run.id, walk.ledger.owner)
        delivery = settle(walk, status)
        assert told(walk) == [(kind, delivery)]
        walk.ledger.let_go(walk.claim)
        assert walk.now.status == status.value
        assert not walk.ledger.miss(walk.run.id, "no file came"), "it is known what is in the way"
        walk.claim = walk.ledger.claim(walk.run.id, walk.ledger.owner)
        settle(walk, DeliveryStatus.PENDING)
        walk.ledger.let_go(walk.claim)
        assert walk.ledger.miss(walk.run.id, "no file came")
        assert told(walk) == [(NoticeKind.MISSING, walk.run.id)]
        assert (walk.now.status, walk.now.reason) == (RunStatus.MISSING, "no file came")

    def test_delivered_after_all_it_has_recovered_once(self, walk: Walk) -> None:
        delivery = settle(walk.adopted(), DeliveryStatus.FAILED)
        settle(walk, DeliveryStatus.DELIVERED)
        (notice,) = walk.ledger.notices()
        assert (notice.kind, notice.subject, notice.run) == (RECOVERED, delivery, walk.run.id)
        assert notice.detail["path"] == "out/a.csv"
        walk.ledger.end_note(RECOVERED, delivery)
        settle(walk, DeliveryStatus.DELIVERED)
        assert walk.ledger.notices() == []

    def test_recovered_again_while_the_first_was_told_it_is_told_again(self, walk: Walk) -> None:
        delivery = settle(walk.adopted(), DeliveryStatus.FAILED)
        settle(walk, DeliveryStatus.DELIVERED)
        (first,) = walk.ledger.notices()
        # Resent meanwhile, and failed, and delivered.
        settle(walk, DeliveryStatus.FAILED)
        settle(walk, DeliveryStatus.DELIVERED)
        walk.ledger.end_note(RECOVERED, delivery, notice=first.id)
        (second,) = walk.ledger.notices()
        assert (second.kind, second.subject) == (RECOVERED, delivery)
        walk.ledger.end_note(RECOVERED, delivery, notice=second.id)
        assert walk.ledger.notices() == []

    def test_excluded_it_is_over_and_has_not_recovered(self, walk: Walk) -> None:
        settle(walk.adopted(), DeliveryStatus.HELD)
        note(walk)
        walk.ledger.exclude(walk.claim, "never")
        assert walk.ledger.notices() == []

    def test_one_of_two_that_recovered_leaves_the_other_told(self, walk: Walk) -> None:
        walk.adopted(planned("bank"), planned("archive"))
        bank, archive = settle(walk, DeliveryStatus.FAILED), settle(walk, DeliveryStatus.FAILED, 1)
        note(walk)
        settle(walk, DeliveryStatus.DELIVERED)
        assert told(walk) == sorted([(FAILED, archive), (LATE, walk.run.id), (RECOVERED, bank)])

    def test_a_late_run_is_late_until_all_of_it_has_ended(self, walk: Walk) -> None:
        walk.adopted(planned("bank"), planned("archive"))
        note(walk)
        settle(walk, DeliveryStatus.DELIVERED)
        assert told(walk) == [(LATE, walk.run.id)]
        archive = settle(walk, DeliveryStatus.DELIVERED, 1)
        assert told(walk) == [(RECOVERED, archive)]

    def test_what_another_run_is_told_of_stays(self, ledger: Ledger, place: Place) -> None:
        one, other = Walk(ledger, place).adopted(), Walk(ledger, place, slot=SLOT + DAY).adopted()
        failed = settle(other, DeliveryStatus.FAILED)
        note(other)
        settle(one, DeliveryStatus.FAILED)
        settle(one, DeliveryStatus.EXCLUDED)
        assert told(one) == sorted([(FAILED, failed), (LATE, other.run.id)])


class TestRuns:
    def test_a_run_that_was_stopped_is_told_of_until_it_is_delivered(self, walk: Walk) -> None:
        walk.ledger.stop(walk.claim, RunStatus.FAILED, "bad SQL")
        (notice,) = walk.ledger.notices()
        assert (notice.kind, notice.subject, notice.run) == (FAILED, walk.run.id, walk.run.id)
        assert notice.detail == {"reason": "bad SQL"}
        walk.adopted()
        assert told(walk) == [(FAILED, walk.run.id)]
        delivery = settle(walk, DeliveryStatus.DELIVERED)
        assert told(walk) == [(RECOVERED, delivery)]

    def test_its_deliveries_failure_takes_its_place(self, walk: Walk) -> None:
        walk.ledger.stop(walk.claim, RunStatus.HELD, "its job is gone")
        delivery = settle(walk.adopted(), DeliveryStatus.FAILED)
        assert told(walk) == [(FAILED, delivery)]

    def test_stopped_again_it_is_told_again_as_what_it_is_now(self, walk: Walk) -> None:
        walk.ledger.stop(walk.claim, RunStatus.HELD, "its job is gone")
        walk.ledger.stop(walk.claim, RunStatus.FAILED, "bad SQL")
        assert told(walk) == [(FAILED, walk.run.id)]

    @pytest.mark.parametrize("end", ["exclude", "skip"])
    def test_excluded_or_skipped_before_it_had_deliveries_it_is_over(self, walk: Walk, end: str) -> None:
        walk.ledger.stop(walk.claim, RunStatus.HELD, "its job is gone")
        note(walk)
        getattr(walk.ledger, end)(walk.claim, "never mind")
        assert walk.ledger.notices() == []

    def test_a_newer_revision_that_is_delivered_ends_what_the_earlier_one_was_told_of(
        self, ledger: Ledger, place: Place
    ) -> None:
        first = Walk(ledger, place).adopted()
        settle(first, DeliveryStatus.FAILED)
        note(first)
        ledger.let_go(first.claim)
        ledger.add_revision(first.run.id)
        second = Walk(ledger, place).adopted()
        assert second.run.revision == 2
        assert [kind for kind, _ in told(second)] == [FAILED, LATE]
        delivery = settle(second, DeliveryStatus.DELIVERED)
        assert told(second) == [(RECOVERED, delivery)]

    def test_an_earlier_revision_ends_nothing_of_a_newer_one(self, ledger: Ledger, place: Place) -> None:
        first = Walk(ledger, place).adopted()
        newest = ledger.add_revision(first.run.id)
        ledger.note(LATE, newest.id, job="orders", run=newest.id, detail={})
        settle(first, DeliveryStatus.DELIVERED)
        assert told(first) == [(LATE, newest.id)]


def test_a_notice_that_is_over_is_kept_for_who_asks_later(walk: Walk, place: Place) -> None:
    settle(walk.adopted(), DeliveryStatus.FAILED)
    settle(walk, DeliveryStatus.DELIVERED)
    found = place.execute("SELECT kind FROM notices WHERE over_at IS NOT NULL")
    assert found == [(FAILED,)]
    notices: list[Notice] = walk.ledger.notices()
    assert [notice.kind for notice in notices] == [RECOVERED]
