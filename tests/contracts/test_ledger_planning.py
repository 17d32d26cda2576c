"""What every ledger does with a plan: slots and their runs enter once, whoever planned them, and none is lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from batchxfer.errors import OwnershipLost
from batchxfer.model import (
    DeliveryStatus,
    Due,
    Evidence,
    FileStatus,
    Mark,
    NoticeKind,
    OpenRun,
    Plan,
    Run,
    RunStatus,
    Skipped,
)
from batchxfer.ports import Ledger
from tests.ledgers import NOW, SLOT, SNAPSHOT, Place, Walk, due, planned
from tests.processes import all_in_children

DAY = timedelta(days=1)
DAYS = [due(SLOT + number * DAY) for number in range(4)]
SEEN = Mark(job="orders", first_seen=SLOT - DAY, planned_until=SLOT - timedelta(seconds=1))


def until(last: Due, job: str = "orders") -> Mark:
    return Mark(job=job, first_seen=SEEN.first_seen, planned_until=last.slot, interval_end=last.interval_end)


def plan(*found: Due, skipped: Sequence[Skipped] = (), uncounted: int = 0) -> Plan:
    last = max([*found, *(each.due for each in skipped)], key=lambda each: each.slot)
    return Plan(mark=until(last), due=found, skipped=tuple(skipped), uncounted=uncounted)


def merge(*found: Due) -> Plan:
    whole = replace(found[-1], interval_start=found[0].interval_start)
    return plan(whole, skipped=[Skipped(due=each, reason="merged", merged=True) for each in found[:-1]])


def covered(runs: Sequence[Run]) -> list[tuple[object, object, RunStatus]]:
    return [
        (run.due.interval_start, run.due.interval_end, run.status) for run in sorted(runs, key=lambda run: run.due.slot)
    ]


@pytest.fixture
def seen(ledger: Ledger) -> Ledger:
    """A ledger that has seen the job."""
    assert ledger.record_plan(None, Plan(mark=SEEN), {})
    return ledger


class TestMarks:
    def test_a_new_ledger_knows_no_job(self, ledger: Ledger) -> None:
        assert ledger.marks() == {}

    @pytest.mark.parametrize("end", [None, SLOT])
    def test_a_job_that_is_seen_first_gets_its_mark_and_owes_nothing(self, ledger: Ledger, end: object) -> None:
        mark = replace(SEEN, interval_end=end)
        assert ledger.record_plan(None, Plan(mark=mark), {})
        assert ledger.marks() == {"orders": mark}
        assert ledger.open_runs() == []

    def test_a_job_is_seen_first_once(self, seen: Ledger) -> None:
        assert not seen.record_plan(None, plan(DAYS[0]), {})
        assert seen.marks() == {"orders": SEEN}
        assert seen.runs() == []

    @pytest.mark.parametrize(
        "other",
        [
            replace(SEEN, planned_until=SEEN.planned_until + timedelta(microseconds=1)),
            replace(SEEN, first_seen=SEEN.first_seen - DAY),
            replace(SEEN, interval_end=SLOT),
        ],
    )
    def test_a_plan_from_another_mark_writes_nothing(self, seen: Ledger, other: Mark) -> None:
        assert not seen.record_plan(other, plan(DAYS[0]), {})
        assert (seen.marks(), seen.runs()) == ({"orders": SEEN}, [])

    def test_a_plan_for_a_job_that_was_never_seen_writes_nothing(self, ledger: Ledger) -> None:
        assert not ledger.record_plan(SEEN, plan(DAYS[0]), {})
        assert (ledger.marks(), ledger.runs()) == ({}, [])

    def test_a_plan_follows_a_mark_with_an_interval_end(self, seen: Ledger) -> None:
        assert seen.record_plan(SEEN, plan(DAYS[0]), {})
        assert not seen.record_plan(replace(until(DAYS[0]), interval_end=None), plan(DAYS[1]), {})
        assert seen.record_plan(until(DAYS[0]), plan(DAYS[1]), {})
        assert seen.marks() == {"orders": until(DAYS[1])}

    def test_a_plan_and_its_mark_are_of_one_job(self, seen: Ledger) -> None:
        with pytest.raises(ValueError, match="'stock' cannot follow the mark of job 'orders'"):
            seen.record_plan(SEEN, Plan(mark=until(DAYS[0], "stock")), {})

    def test_jobs_are_planned_each_by_itself(self, seen: Ledger) -> None:
        stock = replace(SEEN, job="stock")
        assert seen.record_plan(None, Plan(mark=stock), {})
        assert seen.record_plan(SEEN, plan(DAYS[0]), {})
        assert seen.marks() == {"orders": until(DAYS[0]), "stock": stock}

    def test_marks_move_over_time_without_slots_and_those_that_moved_meanwhile_stay(self, seen: Ledger) -> None:
        stock, parts = (replace(SEEN, job=job) for job in ("stock", "parts"))
        for mark in (stock, parts):
            assert seen.record_plan(None, Plan(mark=mark), {})
        assert seen.record_plan(SEEN, plan(DAYS[0]), {})
        later = SLOT + timedelta(hours=1)
        seen.move_marks((mark, replace(mark, planned_until=later)) for mark in (SEEN, stock))
        assert seen.marks() == {
            "orders": until(DAYS[0]),
            "stock": replace(stock, planned_until=later),
            "parts": parts,
        }
        assert [run.job for run in seen.runs()] == ["orders"]

    def test_that_no_mark_is_to_be_moved_is_no_fault(self, seen: Ledger) -> None:
        seen.move_marks([])
        assert seen.marks() == {"orders": SEEN}


class TestPlans:
    def test_what_is_due_gets_a_pending_run_with_the_jobs_parameters(self, seen: Ledger) -> None:
        assert seen.record_plan(SEEN, plan(*DAYS[:2]), {"shop": 7})
        runs = seen.runs()
        assert [(run.job, run.due, run.revision, run.status, run.parameters) for run in runs] == [
            ("orders", DAYS[1], 1, RunStatus.PENDING, {"shop": 7}),
            ("orders", DAYS[0], 1, RunStatus.PENDING, {"shop": 7}),
        ]
        assert [[event.kind for event in seen.events(run.id)] for run in runs] == [["created"]] * 2

    def test_what_is_skipped_says_why_and_is_never_open(self, seen: Ledger) -> None:
        skipped = [Skipped(due=DAYS[0], reason="missed"), Skipped(due=DAYS[1], reason="missed, too")]
        assert seen.record_plan(SEEN, plan(DAYS[2], skipped=skipped), {})
        runs = [seen.find_slot("orders", each.slot) for each in DAYS[:3]]
        assert [(run.status, run.reason) for run in runs if run] == [
            (RunStatus.SKIPPED, "missed"),
            (RunStatus.SKIPPED, "missed, too"),
            (RunStatus.PENDING, None),
        ]
        assert [run.slot for run in seen.open_runs()] == [DAYS[2].slot]
        assert [len(seen.runs(status=status)) for status in (RunStatus.SKIPPED, RunStatus.PENDING)] == [2, 1]
        assert runs[0] is not None
        assert [event.kind for event in seen.events(runs[0].id)] == ["created", "skipped"]

    def test_what_is_merged_names_the_run_that_covers_it(self, seen: Ledger) -> None:
        assert seen.record_plan(SEEN, merge(*DAYS[:3]), {})
        whole = seen.find_slot("orders", DAYS[2].slot)
        assert whole is not None
        assert (whole.due.interval_start, whole.due.interval_end) == (DAYS[0].interval_start, DAYS[2].interval_end)
        reasons = {run.due.slot: run.reason for run in seen.runs(status=RunStatus.SKIPPED)}
        assert reasons == {each.slot: f"merged into {whole.id}" for each in DAYS[:2]}

    def test_uncounted_slots_are_one_event(self, seen: Ledger, place: Place) -> None:
        assert seen.record_plan(SEEN, plan(DAYS[3], uncounted=4711), {})
        ((run, detail),) = place.execute("SELECT run, detail FROM events WHERE kind = 'slots-skipped'")
        assert run is None
        assert detail == '{"job":"orders","count":4711}'

    def test_a_slot_that_was_run_by_hand_stays_as_it_is(self, seen: Ledger) -> None:
        by_hand = replace(DAYS[0], interval_start=SLOT - timedelta(hours=1))
        known = [seen.ensure_run("orders", by_hand, {"shop": 1}), seen.ensure_run("orders", DAYS[1], {})]
        skipped = [Skipped(due=DAYS[1], reason="missed")]
        assert seen.record_plan(SEEN, plan(DAYS[0], skipped=skipped), {"shop": 2})
        assert [seen.find_run(run.id) for run in known] == known
        assert len(seen.runs()) == 2
        assert seen.marks() == {"orders": until(DAYS[1])}

    def test_a_rerun_of_a_slot_is_not_planned_again(self, seen: Ledger) -> None:
        newest = seen.add_revision(seen.ensure_run("orders", DAYS[0], {}).id)
        assert seen.record_plan(SEEN, plan(*DAYS[:2]), {})
        assert seen.find_slot("orders", DAYS[0].slot) == newest
        assert [(run.due.slot, run.revision) for run in seen.runs()] == [(DAYS[1].slot, 1), (SLOT, 2), (SLOT, 1)]

    def test_where_the_slot_to_merge_into_was_run_by_hand_the_one_before_it_covers_the_rest(self, seen: Ledger) -> None:
        by_hand = seen.ensure_run("orders", DAYS[2], {})
        assert seen.record_plan(SEEN, merge(*DAYS[:3]), {})
        heir = seen.find_slot("orders", DAYS[1].slot)
        assert heir is not None
        assert covered(seen.runs()) == [
            (DAYS[0].interval_start, DAYS[0].interval_end, RunStatus.SKIPPED),
            (DAYS[0].interval_start, DAYS[1].interval_end, RunStatus.PENDING),
            (by_hand.due.interval_start, by_hand.due.interval_end, RunStatus.PENDING),
        ]
        assert [run.reason for run in seen.runs(status=RunStatus.SKIPPED)] == [f"merged into {heir.id}"]

    def test_where_all_that_was_to_be_merged_was_run_by_hand_nothing_is_written(self, seen: Ledger) -> None:
        known = [seen.ensure_run("orders", each, {}) for each in DAYS[:3]]
        assert seen.record_plan(SEEN, merge(*DAYS[:3]), {})
        assert sorted(seen.runs(), key=lambda run: run.due.slot) == known

    def test_a_plan_of_thousands_of_slots_is_one_write(self, seen: Ledger) -> None:
        found = [due(SLOT + timedelta(minutes=number)) for number in range(3000)]
        began = time.process_time()
        assert seen.record_plan(SEEN, plan(*found), {})
        assert time.process_time() - began < 20
        assert len(seen.open_runs("orders")) == 3000


class TestNodes:
    def test_of_nodes_that_plan_at_once_one_writes_each_slot(self, place: Place) -> None:
        place.open().record_plan(None, Plan(mark=SEEN), {})
        place.close()

        def plan_all() -> str:
            mine, won = place.open(), 0
            for each in [due(SLOT + timedelta(minutes=number)) for number in range(30)]:
                found = Plan(mark=replace(SEEN, planned_until=each.slot), due=(each,))
                won += mine.record_plan(mine.marks()["orders"], found, {})
                # Whoever lost looks where the other has come to.
                assert mine.marks()["orders"].planned_until >= SEEN.planned_until
            return str(won)

        def run_by_hand() -> str:
            mine = place.open()
            return str(
                len({mine.ensure_run("orders", due(SLOT + timedelta(minutes=n)), {}).id for n in range(29, -1, -1)})
            )

        one, two, by_hand = all_in_children([plan_all, plan_all, run_by_hand])
        runs = place.open().runs(limit=None)
        assert by_hand == "30"
        assert int(one) + int(two) >= 1
        assert len({run.due.slot for run in runs}) == len(runs) == 30

    def test_of_nodes_that_see_a_job_first_at_once_one_does(self, place: Place) -> None:
        place.open()
        place.close()

        def see() -> str:
            mine = place.open()
            return "".join(
                str(int(mine.record_plan(None, Plan(mark=replace(SEEN, job=f"job{n}")), {}))) for n in range(20)
            )

        answers = all_in_children([see] * 3)
        assert [sum(map(int, column)) for column in zip(*answers, strict=True)] == [1] * 20


def find(ledger: Ledger) -> list[tuple[str, RunStatus, bool, tuple[str, ...]]]:
    return [(run.job, run.status, run.due_at is not None, run.endpoints) for run in ledger.open_runs()]


class TestOpenRuns:
    def test_a_run_that_nobody_has_begun_is_due_since_it_is_there(self, ledger: Ledger) -> None:
        run = ledger.ensure_run("orders", due(), {})
        assert ledger.open_runs() == [
            OpenRun(id=run.id, job="orders", slot=SLOT, status=RunStatus.PENDING, due_at=run.created_at)
        ]

    def test_the_outlook_is_what_is_open_and_what_is_paused_at_one_instant(self, ledger: Ledger) -> None:
        before = ledger.now()
        orders, stock = ledger.ensure_run("orders", due(), {}), ledger.ensure_run("stock", due(), {})
        pause = ledger.pause("@bank", "no reply")
        seen = ledger.outlook()
        assert {run.id for run in seen.runs} == {orders.id, stock.id}
        assert list(seen.runs) == ledger.open_runs()
        assert seen.pauses == {"@bank": pause}
        assert before <= max(orders.created_at, stock.created_at, pause.since) <= seen.now <= ledger.now()
        assert [run.id for run in ledger.outlook("stock").runs] == [stock.id]

    def test_a_run_at_work_says_so(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted(planned("bank"), planned("archive"))
        (found,) = ledger.open_runs()
        assert (found.id, found.running, found.status) == (walk.run.id, True, RunStatus.RUNNING)
        assert found.endpoints == ("bank", "archive")

    def test_the_run_of_a_worker_that_is_gone_is_due_and_is_not_running(self, ledger: Ledger, place: Place) -> None:
        walk, other = Walk(ledger, place).adopted().built(), place.open()
        walk.step(FileStatus.SENDING, temp_path="t")
        place.end_process(ledger)
        (found,) = other.open_runs()
        assert (found.running, found.status, found.endpoints) == (False, RunStatus.PENDING, ("bank",))
        assert found.due_at == walk.run.created_at

    def test_what_a_worker_settled_before_it_was_gone_is_not_open(self, ledger: Ledger, place: Place) -> None:
        walk, other = Walk(ledger, place).adopted().built().published(), place.open()
        ledger.settle(walk.claim, walk.delivery, DeliveryStatus.DELIVERED, evidence=Evidence(how="size"))
        place.end_process(ledger)
        assert other.open_runs() == []
        assert other.find_run(walk.run.id).status is RunStatus.DELIVERED

    def test_a_retry_is_due_at_its_time_and_only_where_something_is_left(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted(planned("archive"), planned("bank"), planned("shop"))
        archive, bank, shop = (delivery.id for delivery in walk.now.deliveries)
        later = NOW + timedelta(minutes=5)
        ledger.settle(walk.claim, archive, DeliveryStatus.DELIVERED, evidence=Evidence(how="accepted"))
        ledger.settle(walk.claim, bank, DeliveryStatus.RETRYING, reason="broken", retry_at=later)
        ledger.settle(walk.claim, shop, DeliveryStatus.RETRYING, reason="broken", retry_at=later + DAY)
        ledger.let_go(walk.claim)
        (found,) = ledger.open_runs()
        assert (found.status, found.due_at, found.endpoints) == (RunStatus.RETRYING, later, ("bank", "shop"))

    @pytest.mark.parametrize("status", [DeliveryStatus.HELD, DeliveryStatus.FAILED])
    def test_what_waits_for_a_person_is_open_and_never_due(
        self, ledger: Ledger, place: Place, status: DeliveryStatus
    ) -> None:
        walk = Walk(ledger, place).adopted()
        ledger.settle(walk.claim, walk.delivery, status, reason="ask the partner")
        ledger.let_go(walk.claim)
        assert find(ledger) == [("orders", RunStatus(status), False, ())]

    def test_a_held_delivery_does_not_keep_another_from_its_retry(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted(planned("bank"), planned("archive"))
        bank, archive = (delivery.id for delivery in walk.now.deliveries)
        ledger.settle(walk.claim, bank, DeliveryStatus.HELD, reason="a foreign file")
        ledger.settle(walk.claim, archive, DeliveryStatus.RETRYING, reason="broken", retry_at=NOW)
        ledger.let_go(walk.claim)
        assert find(ledger) == [("orders", RunStatus.HELD, True, ("archive",))]

    def test_a_run_that_was_stopped_before_it_had_deliveries_waits_for_a_person(
        self, ledger: Ledger, place: Place
    ) -> None:
        walk = Walk(ledger, place)
        ledger.stop(walk.claim, RunStatus.FAILED, "bad SQL")
        ledger.let_go(walk.claim)
        assert find(ledger) == [("orders", RunStatus.FAILED, False, ())]

    def test_what_ended_is_not_open(self, ledger: Ledger, place: Place) -> None:
        delivered = Walk(ledger, place).adopted()
        ledger.settle(delivered.claim, delivered.delivery, DeliveryStatus.DELIVERED, evidence=Evidence(how="accepted"))
        excluded = Walk(ledger, place, slot=SLOT + DAY).adopted()
        ledger.exclude(excluded.claim, "never")
        skipped = Walk(ledger, place, slot=SLOT + 2 * DAY)
        ledger.skip(skipped.claim, "too late")
        for walk in (delivered, excluded, skipped):
            ledger.let_go(walk.claim)
        assert ledger.open_runs() == []

    def test_only_the_newest_revision_counts(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted()
        ledger.settle(walk.claim, walk.delivery, DeliveryStatus.FAILED, reason="broken")
        ledger.let_go(walk.claim)
        newest = ledger.add_revision(walk.run.id)
        assert [run.id for run in ledger.open_runs()] == [newest.id]
        claim = ledger.claim(newest.id, ledger.owner)
        ledger.exclude(claim, "never")
        ledger.let_go(claim)
        assert ledger.open_runs() == []

    def test_oldest_slot_first_of_one_job_or_of_all(self, ledger: Ledger) -> None:
        for job, slot in (("b", SLOT), ("a", SLOT + DAY), ("b", SLOT - DAY)):
            ledger.ensure_run(job, due(slot), {})
        assert [(run.job, run.slot) for run in ledger.open_runs()] == [
            ("b", SLOT - DAY),
            ("b", SLOT),
            ("a", SLOT + DAY),
        ]
        assert [run.job for run in ledger.open_runs("b")] == ["b", "b"]
        assert ledger.open_runs("c") == []

    def test_a_thousand_jobs_with_an_open_run_each_are_read_at_once(self, seen: Ledger, place: Place) -> None:
        seen.record_plan(SEEN, plan(*(due(SLOT + timedelta(minutes=number)) for number in range(1000))), {})
        place.execute("INSERT INTO marks SELECT 'job' || slot, created_at, slot, interval_end FROM slots")
        began = time.process_time()
        assert (len(seen.open_runs()), len(seen.marks())) == (1000, 1001)
        assert time.process_time() - began < 5


class TestStopping:
    @pytest.mark.parametrize("status", [RunStatus.HELD, RunStatus.FAILED])
    def test_a_run_without_deliveries_stops_with_its_reason(
        self, ledger: Ledger, place: Place, status: RunStatus
    ) -> None:
        walk = Walk(ledger, place)
        assert ledger.stop(walk.claim, status, "its job is gone").status is RunStatus.RUNNING
        run = ledger.let_go(walk.claim)
        assert (run.status, run.reason) == (status, "its job is gone")
        assert [found.id for found in ledger.runs(status=status)] == [run.id]

    def test_it_goes_on_once_it_is_adopted(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place)
        ledger.stop(walk.claim, RunStatus.HELD, "its job is gone")
        run = ledger.let_go(walk.adopted().claim)
        assert (run.status, run.reason) == (RunStatus.PENDING, None)

    @pytest.mark.parametrize(
        ("status", "reason"), [(RunStatus.SKIPPED, "x"), (RunStatus.DELIVERED, "x"), (RunStatus.HELD, "")]
    )
    def test_it_stops_as_held_or_failed_and_for_a_reason(
        self, ledger: Ledger, place: Place, status: RunStatus, reason: str
    ) -> None:
        walk = Walk(ledger, place)
        with pytest.raises(ValueError, match="stops as held or failed"):
            ledger.stop(walk.claim, status, reason)
        assert ledger.let_go(walk.claim).status is RunStatus.PENDING

    def test_a_run_with_deliveries_is_stopped_by_settling_them(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted()
        with pytest.raises(ValueError, match="has deliveries"):
            ledger.stop(walk.claim, RunStatus.HELD, "no")
        assert ledger.notices() == []


class TestSkipping:
    def test_a_run_that_is_too_late_is_skipped_with_the_reason(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted(planned("bank"), planned("archive"))
        ledger.skip(walk.claim, "its cutoff has passed")
        run = ledger.let_go(walk.claim)
        assert (run.status, run.reason) == (RunStatus.SKIPPED, "its cutoff has passed")
        assert {(d.status, d.reason) for d in run.deliveries} == {(DeliveryStatus.EXCLUDED, "its cutoff has passed")}
        assert ledger.find_run(run.id) == run
        assert ledger.runs(status=RunStatus.SKIPPED) == [run]

    def test_what_was_delivered_before_stays_delivered_and_the_run_is_skipped(
        self, ledger: Ledger, place: Place
    ) -> None:
        walk = Walk(ledger, place).adopted(planned("bank"), planned("archive"))
        archive = walk.now.deliveries[1].id
        ledger.settle(walk.claim, archive, DeliveryStatus.DELIVERED, evidence=Evidence(how="accepted"))
        ledger.skip(walk.claim, "too late for the bank")
        run = ledger.let_go(walk.claim)
        assert (run.status, run.reason) == (RunStatus.SKIPPED, "too late for the bank")
        assert [d.status for d in run.deliveries] == [DeliveryStatus.EXCLUDED, DeliveryStatus.DELIVERED]

    def test_a_run_that_was_never_begun_can_be_skipped(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place)
        ledger.skip(walk.claim, "too late")
        run = ledger.let_go(walk.claim)
        assert (run.status, run.reason, run.deliveries) == (RunStatus.SKIPPED, "too late", ())

    def test_a_skipped_run_can_be_run_by_hand(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted(planned("bank"), planned("archive"))
        ledger.skip(walk.claim, "too late")
        ledger.settle(walk.claim, walk.delivery, DeliveryStatus.PENDING)
        run = ledger.let_go(walk.claim)
        assert (run.status, run.reason) == (RunStatus.PENDING, None)
        walk.claim = ledger.claim(run.id, ledger.owner)
        ledger.exclude(walk.claim, "not wanted")
        run = ledger.let_go(walk.claim)
        assert (run.status, run.deliveries[0].reason) == (RunStatus.EXCLUDED, "not wanted")

    def test_skipping_is_one_transaction(self, ledger: Ledger, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        walk = Walk(ledger, place).adopted()
        before, told = walk.now, ledger.events(walk.run.id)
        load = type(ledger)._load  # type: ignore[attr-defined]

        def crash(*given: object) -> Run:
            assert load(*given).deliveries[0].status is DeliveryStatus.EXCLUDED
            raise KeyboardInterrupt

        monkeypatch.setattr(type(ledger), "_load", crash)
        with pytest.raises(KeyboardInterrupt):
            ledger.skip(walk.claim, "too late")
        monkeypatch.undo()
        assert (walk.now, ledger.events(walk.run.id)) == (before, told)

    def test_skipping_needs_a_reason_and_the_claim(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted()
        with pytest.raises(ValueError, match="needs a reason"):
            ledger.skip(walk.claim, "")
        before = ledger.let_go(walk.claim)
        for write in (ledger.skip, ledger.exclude):
            with pytest.raises(OwnershipLost):
                write(walk.claim, "too late")
        with pytest.raises(OwnershipLost):
            ledger.stop(walk.claim, RunStatus.HELD, "no")
        assert walk.now == before


def test_a_skipped_slot_is_told_no_more(ledger: Ledger, place: Place) -> None:
    walk = Walk(ledger, place)
    ledger.stop(walk.claim, RunStatus.HELD, "its job is gone")
    assert [notice.kind for notice in ledger.notices()] == [NoticeKind.HELD]
    ledger.skip(walk.claim, "too late")
    assert ledger.notices() == []
    ledger.adopt(walk.claim, SNAPSHOT, [planned()])
    assert ledger.let_go(walk.claim).status is RunStatus.PENDING
