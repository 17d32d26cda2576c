"""What every ledger keeps: what is due, who works on it, what can be asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event

from batchxfer.errors import BusyError, LedgerError, OwnershipLost, UsageError
from batchxfer.model import DeliveryStatus, Due, FileStatus, Outcome, RunStatus
from batchxfer.ports import LEASE, Ledger
from tests.ledgers import NOW, SLOT, Place, Walk, due, planned

LATER = SLOT + timedelta(days=1)


class TestWhatIsDue:
    def test_a_slot_has_one_run_however_often_it_is_asked_for(self, ledger: Ledger) -> None:
        first = ledger.ensure_run("orders", due(), {"shop": 7})
        for _ in range(5):
            assert ledger.ensure_run("orders", due(), {}) == first
        assert (first.status, first.revision) == (RunStatus.PENDING, 1)
        assert ledger.runs() == [first]

    def test_an_existing_run_keeps_interval_business_date_and_parameters(self, ledger: Ledger) -> None:
        first = ledger.ensure_run("orders", due(), {"shop": 7})
        other = Due(slot=SLOT, interval_start=NOW, interval_end=NOW, business_date=date(1999, 1, 1))
        assert ledger.ensure_run("orders", other, {"shop": 8}) == first

    def test_two_jobs_and_two_slots_have_runs_of_their_own(self, ledger: Ledger) -> None:
        made = {ledger.ensure_run(job, due(slot), {}).id for job in ("orders", "stock") for slot in (SLOT, LATER)}
        assert len(made) == 4

    def test_the_same_instant_in_another_zone_is_the_same_slot(self, ledger: Ledger) -> None:
        seoul = datetime.fromisoformat("2026-11-23T01:00:00+09:00")
        assert ledger.ensure_run("orders", due(seoul), {}).id == ledger.ensure_run("orders", due(), {}).id
        assert ledger.find_slot("orders", seoul) == ledger.find_slot("orders", SLOT)

    def test_a_revision_is_one_above_the_newest(self, ledger: Ledger) -> None:
        first = ledger.ensure_run("orders", due(), {"shop": 7})
        second, third = ledger.add_revision(first.id), ledger.add_revision(first.id)
        assert [second.revision, third.revision] == [2, 3]
        assert (second.due, second.parameters, second.status) == (first.due, {"shop": 7}, RunStatus.PENDING)
        assert ledger.ensure_run("orders", due(), {}) == ledger.find_slot("orders", SLOT) == third

    def test_a_revision_of_no_run_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="there is no run '01NONE'"):
            ledger.add_revision("01NONE")

    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            0,
            -1,
            2**70,
            0.1,
            1e300,
            float("inf"),
            "",
            "뷁 'quoted' \0 \n",
            Decimal("12.50"),
            Decimal("-0.00"),
            Decimal("1E+400"),
            date(2026, 11, 22),
            datetime(2026, 11, 22, 1, 2, 3, 4),
            datetime(2026, 11, 22, 1, 2, 3, 4, tzinfo=UTC),
            datetime.fromisoformat("2026-11-22T01:02:03+09:00"),
            time(1, 2, 3, 4),
            {"$decimal": "no decimal"},
            {"$object": {}},
            [Decimal("1.0"), {"a": date(2026, 1, 1)}],
        ],
        ids=repr,
    )
    def test_parameters_read_back_exactly(self, ledger: Ledger, value: object) -> None:
        run = ledger.ensure_run("orders", due(), {"value": value, "other": 1})
        read = ledger.find_run(run.id).parameters["value"]
        assert (read, type(read), repr(read)) == (value, type(value), repr(value)) or isinstance(value, datetime)
        assert read == value

    def test_set_parameters_replaces_them_all(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place)
        ledger.set_parameters(walk.claim, {"a": 1, "b": 2})
        assert ledger.set_parameters(walk.claim, {"b": Decimal("3.0")}).parameters == {"b": Decimal("3.0")}
        assert walk.now.parameters == {"b": Decimal("3.0")}

    @pytest.mark.parametrize(
        "instant",
        [
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(1, 1, 2, tzinfo=UTC),
            datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC),
            SLOT + timedelta(microseconds=1),
        ],
    )
    def test_instants_read_back_to_the_microsecond(self, ledger: Ledger, instant: datetime) -> None:
        one = Due(slot=instant, interval_start=instant, interval_end=instant, business_date=date(1, 1, 1))
        run = ledger.find_run(ledger.ensure_run("orders", one, {}).id)
        assert run.due == one
        assert run.due.slot.utcoffset() == timedelta(0)


class TestReading:
    def test_runs_come_newest_slot_first_then_newest_revision(self, ledger: Ledger) -> None:
        old = ledger.ensure_run("orders", due(SLOT), {})
        new = ledger.ensure_run("orders", due(SLOT + timedelta(microseconds=1)), {})
        again = ledger.add_revision(old.id)
        assert [run.id for run in ledger.runs()] == [new.id, again.id, old.id]

    def test_runs_are_chosen_by_job_status_slot_and_number(self, ledger: Ledger, place: Place) -> None:
        held = Walk(ledger, place).adopted()
        ledger.settle(held.claim, held.delivery, DeliveryStatus.HELD, reason="look at it")
        ledger.let_go(held.claim)
        later = ledger.ensure_run("orders", due(LATER), {})
        other = ledger.ensure_run("stock", due(SLOT), {})

        def chosen(**which: object) -> set[str]:
            return {run.id for run in ledger.runs(**which)}  # type: ignore[arg-type]

        assert chosen() == {held.run.id, later.id, other.id}
        assert chosen(job="stock") == {other.id}
        assert chosen(status=RunStatus.HELD) == {held.run.id}
        assert chosen(status=RunStatus.PENDING) == {later.id, other.id}
        assert chosen(since=LATER) == {later.id}
        assert chosen(limit=1) == {later.id}
        assert chosen(job="nobody") == set()

    def test_there_are_50_runs_unless_more_are_asked_for(self, ledger: Ledger) -> None:
        for minute in range(51):
            ledger.ensure_run("orders", due(SLOT + timedelta(minutes=minute)), {})
        assert len(ledger.runs()) == 50
        assert len(ledger.runs(limit=None)) == 51

    def test_a_run_is_found_by_the_beginning_of_its_id_in_any_case(self, ledger: Ledger) -> None:
        run = ledger.ensure_run("orders", due(), {})
        for prefix in (run.id, run.id.lower(), run.id[:4], run.id[:20].lower(), f" {run.id} "):
            assert ledger.find_run(prefix) == run

    def test_three_characters_are_too_few(self, ledger: Ledger) -> None:
        run = ledger.ensure_run("orders", due(), {})
        with pytest.raises(UsageError, match="at least 4"):
            ledger.find_run(run.id[:3])

    @pytest.mark.parametrize("prefix", ["ZZZZZZ", "%%%%", "____", "'; --", "01\0\0", "\udcff" * 4])
    def test_no_run_is_an_error_that_says_so(self, ledger: Ledger, prefix: str) -> None:
        ledger.ensure_run("orders", due(), {})
        with pytest.raises(UsageError, match="no run begins with"):
            ledger.find_run(prefix)

    def test_several_runs_are_an_error_that_names_them(self, ledger: Ledger) -> None:
        one, two = (ledger.ensure_run(job, due(), {}).id for job in ("a", "b"))
        with pytest.raises(UsageError) as caught:
            ledger.find_run(one[:4])
        assert one in str(caught.value)
        assert two in str(caught.value)

    def test_no_slot_is_none(self, ledger: Ledger) -> None:
        ledger.ensure_run("orders", due(), {})
        assert ledger.find_slot("orders", LATER) is None
        assert ledger.find_slot("stock", SLOT) is None

    def test_events_come_oldest_first_and_only_of_that_run(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted()
        ledger.ensure_run("stock", due(), {})
        ledger.add_event(walk.run.id, "noted", {"amount": Decimal("1.10"), "nothing": None})
        ledger.add_event(None, "started", {})
        events = ledger.events(walk.run.id)
        assert [event.kind for event in events] == ["created", "claimed", "adopted", "noted"]
        assert {event.run for event in events} == {walk.run.id}
        assert events[-1].detail == {"amount": Decimal("1.10"), "nothing": None}
        assert [event.kind for event in ledger.events("01NONE")] == []

    def test_an_event_belongs_to_a_run_that_exists(self, ledger: Ledger) -> None:
        with pytest.raises(LedgerError, match=r"(?i)foreign key"):
            ledger.add_event("01NONE", "noted", {})


class TestClaims:
    def test_a_claimed_run_is_running_and_refused_to_others(self, ledger: Ledger, place: Place) -> None:
        walk, other = Walk(ledger, place), place.open()
        assert walk.now.status is RunStatus.RUNNING
        with pytest.raises(BusyError, match=f"{ledger.owner}, since "):
            other.claim(walk.run.id, other.owner)
        assert other.runs(status=RunStatus.RUNNING) == [walk.now]

    def test_two_threads_of_one_owner_do_not_share_a_run(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place)
        with pytest.raises(BusyError):
            ledger.claim(walk.run.id, ledger.owner)

    def test_one_owner_claims_several_runs(self, ledger: Ledger, place: Place) -> None:
        one, two = Walk(ledger, place), Walk(ledger, place, slot=LATER)
        assert one.claim.token != two.claim.token

    def test_owners_differ_between_processes(self, ledger: Ledger, place: Place) -> None:
        assert ledger.owner == ledger.owner
        assert ledger.owner != place.open().owner

    def test_a_run_given_back_is_free(self, ledger: Ledger, place: Place) -> None:
        walk, other = Walk(ledger, place), place.open()
        assert ledger.let_go(walk.claim).status is RunStatus.PENDING
        assert other.claim(walk.run.id, other.owner).token != walk.claim.token

    def test_a_claim_of_no_run_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="there is no run '01NONE'"):
            ledger.claim("01NONE", ledger.owner)

    def test_a_claim_whose_process_ended_is_taken_over(self, ledger: Ledger, place: Place) -> None:
        walk, other = Walk(ledger, place), place.open()
        place.end_process(ledger)
        claim = other.claim(walk.run.id, other.owner)
        assert other.find_run(walk.run.id).status is RunStatus.RUNNING
        assert claim.owner == other.owner

    def test_an_abandoned_run_does_not_look_as_if_it_ran(self, ledger: Ledger, place: Place) -> None:
        walk, other = Walk(ledger, place).adopted().built(), place.open()
        walk.step(FileStatus.SENDING)
        place.end_process(ledger)
        assert other.find_run(walk.run.id).status is RunStatus.PENDING
        assert other.runs(status=RunStatus.RUNNING) == []
        assert [run.id for run in other.runs(status=RunStatus.PENDING)] == [walk.run.id]

    def test_a_lease_that_is_renewed_lasts(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place)
        ledger.renew(walk.claim)
        leases = place.execute(f"SELECT lease_until FROM runs WHERE id = '{walk.run.id}'")
        until = leases[0][0]
        instant = until if isinstance(until, datetime) else datetime.fromisoformat(str(until))
        assert timedelta(0) <= instant - ledger.now() <= LEASE

    @pytest.mark.parametrize("endpoint", [None, "bank"])
    def test_a_takeover_ends_open_attempts_and_uses_up_a_retry(
        self, ledger: Ledger, place: Place, endpoint: str | None
    ) -> None:
        walk, other = Walk(ledger, place).adopted(planned("bank"), planned("archive")), place.open()
        ledger.begin_attempt(walk.claim, endpoint)
        place.end_process(ledger)
        other.claim(walk.run.id, other.owner)
        run = other.find_run(walk.run.id)
        assert [attempt.outcome for attempt in run.attempts] == [Outcome.ABANDONED]
        assert run.attempts[0].ended_at is not None
        # A build is a try of every delivery that waits for it.
        assert [delivery.retries for delivery in run.deliveries] == ([1, 0] if endpoint else [1, 1])

    def test_a_delivery_that_was_sent_while_it_was_built_uses_up_one_retry(self, ledger: Ledger, place: Place) -> None:
        walk, other = Walk(ledger, place).adopted(planned("bank"), planned("archive")), place.open()
        ledger.begin_attempt(walk.claim, None)
        ledger.begin_attempt(walk.claim, "bank")
        place.end_process(ledger)
        other.claim(walk.run.id, other.owner)
        run = other.find_run(walk.run.id)
        assert [attempt.outcome for attempt in run.attempts] == [Outcome.ABANDONED, Outcome.ABANDONED]
        assert [delivery.retries for delivery in run.deliveries] == [1, 1]

    def test_an_attempt_that_the_database_has_forgotten_writes_nothing_more(self, ledger: Ledger, place: Place) -> None:
        """A server that ended may have lost what was committed in haste; its clients go on."""
        walk = Walk(ledger, place).adopted()
        attempt = ledger.begin_attempt(walk.claim, None)
        place.execute(f"DELETE FROM attempts WHERE id = '{attempt.id}' RETURNING id")
        with pytest.raises(OwnershipLost, match="the ledger has forgotten the attempt"):
            ledger.record_artifact(walk.claim, attempt.id, walk.artifact())
        assert walk.now.artifact is None

    def test_giving_back_ends_open_attempts_and_uses_up_no_retry(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place).adopted()
        ledger.begin_attempt(walk.claim, "bank")
        run = ledger.let_go(walk.claim)
        assert [attempt.outcome for attempt in run.attempts] == [Outcome.ABANDONED]
        assert [delivery.retries for delivery in run.deliveries] == [0]

    @pytest.mark.parametrize("status", [FileStatus.SENDING, FileStatus.PUBLISHING])
    @pytest.mark.parametrize("given_back", [True, False])
    def test_the_intent_outlives_the_claim(
        self, ledger: Ledger, place: Place, status: FileStatus, given_back: bool
    ) -> None:
        walk, other = Walk(ledger, place).adopted().built(), place.open()
        walk.step(FileStatus.SENDING, temp_path="out/.a.part").step(status)
        if given_back:
            assert ledger.let_go(walk.claim).status is RunStatus.PENDING
        else:
            place.end_process(ledger)
        other.claim(walk.run.id, other.owner)
        delivery = other.find_run(walk.run.id).deliveries[0]
        assert (delivery.status, delivery.files[0].status) == (DeliveryStatus(status), status)
        assert delivery.files[0].temp_path == "out/.a.part"

    def test_a_claim_that_was_given_back_writes_no_more(self, ledger: Ledger, place: Place) -> None:
        walk = Walk(ledger, place)
        ledger.let_go(walk.claim)
        for write in (ledger.renew, ledger.let_go, ledger.release_guard, ledger.drop_artifact):
            with pytest.raises(OwnershipLost, match=walk.run.id):
                write(walk.claim)

    def test_the_ledgers_clock_is_in_utc(self, ledger: Ledger, place: Place) -> None:
        assert ledger.now().utcoffset() == timedelta(0)
        if place.url.startswith("sqlite"):
            assert ledger.now() == NOW
        else:
            assert abs(ledger.now() - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("moment", ["begin", "commit"])
def test_a_signal_in_the_middle_of_a_transaction_leaves_none_open(ledger: Ledger, place: Place, moment: str) -> None:
    engine = ledger._store.engine  # type: ignore[attr-defined]

    def strike(connection: object) -> None:
        event.remove(engine, moment, strike)
        raise KeyboardInterrupt

    event.listen(engine, moment, strike)
    with pytest.raises(KeyboardInterrupt):
        ledger.ensure_run("orders", due(SLOT), {})
    # Nobody waits for its lock, and what comes next is a transaction of its own.
    place.open().ensure_run("stock", due(SLOT), {})
    for _ in range(10):
        assert [run.job for run in ledger.runs()] == ["stock"]
    assert ledger.ensure_run("orders", due(SLOT), {}).job == "orders"
