"""Which open runs may start: in order, one a job, strict or not, paused or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batchxfer.dispatch import JobRules, ready
from batchxfer.model import Claim, OpenRun, RunStatus

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(hour, status=RunStatus.PENDING, *, job="orders", due_in=-HOUR, running=False, endpoints=()):
    return OpenRun(
        id=f"{job}-{hour}",
        job=job,
        slot=NOW - (24 - hour) * HOUR,
        status=status,
        due_at=None if due_in is None else NOW + due_in,
        endpoints=endpoints,
        claim=Claim(run=f"{job}-{hour}", token="01T", owner="node") if running else None,
    )


def ids(runs, *, strict=False, paused=()):
    rules = dict.fromkeys(("orders", "stock"), JobRules(strict=strict, endpoints=("bank", "archive")))
    return [found.id for found in ready(runs, rules, paused, NOW).runs]


def test_slots_of_a_job_start_in_order_one_at_a_time():
    assert ids([run(3), run(1), run(2)]) == ["orders-1"]
    assert ids([run(1, RunStatus.RUNNING, running=True), run(2)]) == []


def test_jobs_do_not_wait_for_each_other():
    assert ids([run(1), run(2, job="stock")]) == ["orders-1", "stock-2"]


def test_a_run_that_waits_for_its_retry_lets_later_ones_pass():
    assert ids([run(1, RunStatus.RETRYING, due_in=HOUR), run(2)]) == ["orders-2"]


@pytest.mark.parametrize(
    ("status", "due_in"), [(RunStatus.RETRYING, HOUR), (RunStatus.FAILED, None), (RunStatus.HELD, None)]
)
def test_with_strict_order_later_slots_wait_for_whatever_came_before(status, due_in):
    assert ids([run(1, status, due_in=due_in), run(2)], strict=True) == []
    assert ids([run(1, status, due_in=due_in), run(2)]) == ["orders-2"]


def test_a_retry_starts_when_its_time_has_come():
    assert ids([run(1, RunStatus.RETRYING, due_in=timedelta())], strict=True) == ["orders-1"]


def test_one_endpoint_held_does_not_stop_the_retries_of_another():
    """The run is called held then, and still has something to do."""
    assert ids([run(1, RunStatus.HELD, due_in=-HOUR)]) == ["orders-1"]


def test_a_run_whose_worker_is_gone_starts_again():
    assert ids([run(1, RunStatus.RUNNING, running=False)]) == ["orders-1"]


def test_failed_and_held_runs_wait_for_a_person():
    assert ids([run(1, RunStatus.FAILED, due_in=None), run(2, RunStatus.HELD, due_in=None)]) == []


def test_nothing_of_a_paused_job_starts():
    assert ids([run(1), run(1, job="stock")], paused={"orders"}) == ["stock-1"]


def test_a_run_starts_while_one_of_its_endpoints_is_not_paused():
    assert ids([run(1)], paused={"@bank"}) == ["orders-1"]
    assert ids([run(1)], paused={"@bank", "@archive"}) == []
    assert ids([run(1, endpoints=("bank",))], paused={"@bank"}) == []


def test_the_next_retry_is_when_to_look_again():
    waiting = [run(1, RunStatus.RETRYING, due_in=2 * HOUR), run(2, RunStatus.RETRYING, due_in=HOUR)]
    assert ready(waiting, {}, (), NOW).next_at == NOW + HOUR
    assert ready([run(1)], {}, (), NOW).next_at is None
