"""What follows a failure; `now` is a literal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from batchxfer.definitions import Retry
from batchxfer.errors import (
    DatabaseUnavailable,
    DeadlineError,
    ForeignFile,
    GuardTripped,
    HostKeyError,
    LoginRefused,
    NetworkError,
    OwnershipLost,
    QueryError,
    StorageError,
    UsageError,
)
from batchxfer.retry import GiveUp, Hold, RetryAt, decide

NOW = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TWICE = Retry(after=(5 * MINUTE, 15 * MINUTE))
LOST = NetworkError("the link broke")


def test_each_delay_is_one_retry_and_then_none_is_left():
    assert decide(TWICE, 0, LOST, NOW, None) == RetryAt(at=NOW + 5 * MINUTE)
    assert decide(TWICE, 1, LOST, NOW, None) == RetryAt(at=NOW + 15 * MINUTE)
    assert decide(TWICE, 2, LOST, NOW, None) == GiveUp(reason="the link broke (tried again 2 times, and none is left)")
    assert isinstance(decide(TWICE, 7, LOST, NOW, None), GiveUp)


def test_no_delays_mean_no_retries():
    assert decide(Retry(after=()), 0, LOST, NOW, None) == GiveUp(reason="the link broke (tried once, and none is left)")


@pytest.mark.parametrize("error", [DeadlineError("x"), DatabaseUnavailable("x"), StorageError("x")])
def test_what_may_pass_by_itself_is_retried(error):
    assert decide(TWICE, 0, error, NOW, None) == RetryAt(at=NOW + 5 * MINUTE)


@pytest.mark.parametrize("error", [HostKeyError("no"), QueryError("no"), UsageError("no"), OwnershipLost("no")])
def test_what_stays_wrong_is_given_up_at_once(error):
    assert decide(TWICE, 0, error, NOW, None) == GiveUp(reason="no")


@pytest.mark.parametrize("error", [ForeignFile("look"), GuardTripped("look")])
def test_what_a_person_must_decide_is_held(error):
    assert decide(TWICE, 2, error, NOW, None) == Hold(reason="look")


def test_repeat_goes_on_until_the_cutoff_and_not_after_it():
    policy = Retry(after=(5 * MINUTE,), repeat=30 * MINUTE)
    assert decide(policy, 9, LOST, NOW, NOW + 30 * MINUTE) == RetryAt(at=NOW + 30 * MINUTE)
    assert decide(policy, 9, LOST, NOW + MINUTE, NOW + 30 * MINUTE) == Hold(
        reason="the link broke (the next retry would come after the cutoff, 2026-11-22T22:00:00+00:00)"
    )


def test_past_the_cutoff_the_job_says_whether_to_hold_skip_or_send():
    policy = Retry(after=(5 * MINUTE,), repeat=30 * MINUTE)
    passed = NOW - MINUTE
    assert isinstance(decide(policy, 0, LOST, NOW, passed), Hold)
    assert isinstance(decide(policy, 0, LOST, NOW, passed, past_cutoff="skip"), GiveUp)
    assert decide(policy, 0, LOST, NOW, passed, past_cutoff="send") == RetryAt(at=NOW + 5 * MINUTE)
    assert isinstance(decide(policy, 1, LOST, NOW, passed, past_cutoff="send"), GiveUp)


def test_a_refused_login_waits_and_uses_up_no_retry():
    refused = LoginRefused("wrong password")
    assert decide(TWICE, 0, refused, NOW, None) == RetryAt(at=NOW + 5 * MINUTE, uses_retry=False)
    assert decide(TWICE, 1, refused, NOW, None) == RetryAt(at=NOW + 15 * MINUTE, uses_retry=False)
    assert decide(TWICE, 2, refused, NOW, None) == RetryAt(at=NOW + 15 * MINUTE, uses_retry=False)
    assert decide(Retry(after=()), 0, refused, NOW, None) == RetryAt(at=NOW + 5 * MINUTE, uses_retry=False)
    assert decide(Retry(after=(), repeat=MINUTE), 5, refused, NOW, None) == RetryAt(at=NOW + MINUTE, uses_retry=False)
    assert isinstance(decide(TWICE, 0, refused, NOW, NOW), Hold)


def test_delays_are_real_time_across_a_clock_change():
    now = datetime(2026, 10, 25, 2, 55, tzinfo=ZoneInfo("Europe/Berlin"))
    decision = decide(TWICE, 1, LOST, now, None)
    assert decision == RetryAt(at=datetime(2026, 10, 25, 1, 10, tzinfo=UTC))
    assert decision.at.tzinfo is UTC


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="without a time zone"):
        decide(TWICE, 0, LOST, datetime(2026, 1, 1), None)
