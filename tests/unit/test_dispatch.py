"""Which open runs may start: in order, one a job, strict or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batchxfer.dispatch import ready
from batchxfer.model import OpenRun, RunStatus

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(hour, status=RunStatus.PENDING, *, job="orders", retry_in=None, running=False):
    return OpenRun(
        id=f"{job}-{hour}",
        job=job,
        slot=NOW - (24 - hour) * HOUR,
        status=status,
        retry_at=None if retry_in is None else NOW + retry_in,
        running=running,
    )


def ids(runs, order="any", paused=()):
    return [found.id for found in ready(runs, {"orders": order, "stock": order}, paused, NOW).runs]


def test_slots_of_a_job_start_in_order_one_at_a_time():
    assert ids([run(3), run(1), run(2)]) == ["orders-1"]
    assert ids([run(1, RunStatus.RUNNING, running=True), run(2)]) == []


def test_jobs_do_not_wait_for_each_other():
    assert ids([run(1), run(2, job="stock")]) == ["orders-1", "stock-2"]


def test_a_run_that_waits_for_its_retry_lets_later_ones_pass():
    assert ids([run(1, RunStatus.RETRYING, retry_in=HOUR), run(2)]) == ["orders-2"]


def test_with_strict_order_later_slots_wait_for_whatever_came_before():
    for status in (RunStatus.RETRYING, RunStatus.FAILED, RunStatus.HELD):
        assert ids([run(1, status, retry_in=HOUR), run(2)], "strict") == []
    assert ids([run(1, RunStatus.RETRYING, retry_in=-HOUR), run(2)], "strict") == ["orders-1"]


def test_a_retry_starts_when_its_time_has_come():
    assert ids([run(1, RunStatus.RETRYING, retry_in=-HOUR)]) == ["orders-1"]
    assert ids([run(1, RunStatus.RETRYING, retry_in=timedelta())]) == ["orders-1"]


def test_a_run_whose_worker_is_gone_starts_again():
    assert ids([run(1, RunStatus.RUNNING, running=False)]) == ["orders-1"]


def test_failed_and_held_runs_wait_for_a_person():
    assert ids([run(1, RunStatus.FAILED), run(2, RunStatus.HELD)]) == []


def test_nothing_of_a_paused_job_starts():
    assert ids([run(1), run(1, job="stock")], paused={"orders"}) == ["stock-1"]


def test_the_next_retry_is_when_to_look_again():
    waiting = [run(1, RunStatus.RETRYING, retry_in=2 * HOUR), run(2, RunStatus.RETRYING, retry_in=HOUR)]
    assert ready(waiting, {"orders": "any"}, (), NOW).next_at == NOW + HOUR
    assert ready([run(1)], {"orders": "any"}, (), NOW).next_at is None
