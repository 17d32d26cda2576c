"""The table of allowed state changes, and a run's state from its deliveries'."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.model import DELIVERY_MOVES, FILE_MOVES, DeliveryStatus, FileStatus, RunStatus, run_status

PENDING, SENDING, PUBLISHING, DELIVERED, RETRYING, FAILED, HELD, EXCLUDED = DeliveryStatus
STATUSES = st.lists(st.sampled_from(list(DeliveryStatus)), max_size=6)


class TestDeliveries:
    def test_every_state_has_its_moves(self) -> None:
        assert set(DELIVERY_MOVES) == set(DeliveryStatus)

    @pytest.mark.parametrize("stopped", [FAILED, HELD, EXCLUDED])
    def test_what_stopped_is_sent_only_after_a_person_made_it_pending(self, stopped: DeliveryStatus) -> None:
        assert PENDING in DELIVERY_MOVES[stopped]
        assert not DELIVERY_MOVES[stopped] & {SENDING, PUBLISHING, RETRYING}

    def test_a_delivered_one_is_never_pending_or_excluded_again(self) -> None:
        assert not DELIVERY_MOVES[DELIVERED] & {PENDING, PUBLISHING, EXCLUDED}
        assert SENDING in DELIVERY_MOVES[DELIVERED]

    @pytest.mark.parametrize("status", [PENDING, SENDING, PUBLISHING, RETRYING, FAILED, HELD])
    def test_whatever_is_not_delivered_can_be_accepted_or_excluded(self, status: DeliveryStatus) -> None:
        assert {DELIVERED, EXCLUDED} <= DELIVERY_MOVES[status]

    def test_no_state_is_a_dead_end(self) -> None:
        reached = {status: {status} for status in DeliveryStatus}
        for _, status in product(DeliveryStatus, DeliveryStatus):
            reached[status] |= {further for near in reached[status] for further in DELIVERY_MOVES[near]}
        assert all(DELIVERED in found for found in reached.values())


class TestFiles:
    def test_nothing_is_published_that_was_not_begun(self) -> None:
        assert FileStatus.PUBLISHING not in FILE_MOVES[FileStatus.PENDING]
        assert FileStatus.PUBLISHING not in FILE_MOVES[FileStatus.PUBLISHED]

    def test_any_file_may_be_sent_anew_or_found_published(self) -> None:
        assert all({FileStatus.SENDING, FileStatus.PUBLISHED} <= moves for moves in FILE_MOVES.values())
        assert set(FILE_MOVES) == set(FileStatus)


class TestRuns:
    @pytest.mark.parametrize(
        ("deliveries", "status"),
        [
            ([], RunStatus.PENDING),
            ([DELIVERED], RunStatus.DELIVERED),
            ([DELIVERED, EXCLUDED], RunStatus.DELIVERED),
            ([EXCLUDED, EXCLUDED], RunStatus.EXCLUDED),
            ([DELIVERED, PENDING], RunStatus.PENDING),
            ([DELIVERED, SENDING], RunStatus.PENDING),
            ([PUBLISHING], RunStatus.PENDING),
            ([PENDING, FAILED], RunStatus.FAILED),
            ([FAILED, RETRYING, DELIVERED], RunStatus.RETRYING),
            ([RETRYING, HELD, FAILED, PENDING, DELIVERED], RunStatus.HELD),
        ],
    )
    def test_the_first_present_of_held_retrying_failed_pending_delivered(
        self, deliveries: list[DeliveryStatus], status: RunStatus
    ) -> None:
        assert run_status(deliveries, running=False) is status

    @given(STATUSES)
    def test_a_run_at_work_is_running_whatever_its_deliveries(self, deliveries: list[DeliveryStatus]) -> None:
        assert run_status(deliveries, running=True) is RunStatus.RUNNING

    @given(STATUSES, st.randoms())
    def test_the_order_of_the_deliveries_does_not_matter(
        self, deliveries: list[DeliveryStatus], random: object
    ) -> None:
        shuffled = list(deliveries)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert run_status(shuffled, running=False) is run_status(deliveries, running=False)

    @given(STATUSES)
    def test_a_delivered_run_has_nothing_left_to_do(self, deliveries: list[DeliveryStatus]) -> None:
        if run_status(deliveries, running=False) is RunStatus.DELIVERED:
            assert set(deliveries) <= {DELIVERED, EXCLUDED}
