"""What follows a failure: wait and try again, give up, or hold. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from batchxfer.definitions import Retry
from batchxfer.errors import BatchxferError, HeldError, LoginRefused, TransientError
from batchxfer.model import utc

# How long an endpoint that refused a login is left alone where the job allows no retries.
LOGIN_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class RetryAt:
    """Try again at `at` (UTC). Where `uses_retry` is false the try is a wait, and the series of retries stays as it is."""

    at: datetime
    uses_retry: bool = True


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """Failed for good."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A person decides."""

    reason: str


Decision = RetryAt | GiveUp | Hold


def decide(
    policy: Retry,
    retries_used: int,
    error: BatchxferError,
    now: datetime,
    cutoff: datetime | None,
    *,
    past_cutoff: Literal["hold", "send", "skip"] = "hold",
) -> Decision:
    """What follows `error` at `now`, after `retries_used` retries of this series.

    A delay counts from `now`. A retry that would come after the cutoff is not waited for: it is held, or given up where
    `past_cutoff` is `skip`; with `send` the delays of `after` go on, and only `repeat` ends with the cutoff.
    """
    if isinstance(error, HeldError):
        return Hold(reason=error.message)
    if not isinstance(error, TransientError):
        return GiveUp(reason=error.message)
    waiting = isinstance(error, LoginRefused)
    delay = _login_pause(policy, retries_used) if waiting else _delay(policy, retries_used)
    if delay is None:
        return GiveUp(reason=f"{error.message} ({_tries(retries_used)}, and none is left)")
    at = utc(now) + delay
    if cutoff is None or at <= utc(cutoff) or (past_cutoff == "send" and retries_used < len(policy.after)):
        return RetryAt(at=at, uses_retry=not waiting)
    reason = f"{error.message} (the next retry would come after the cutoff, {utc(cutoff).isoformat()})"
    return Hold(reason=reason) if past_cutoff == "hold" else GiveUp(reason=reason)


def login_trial(policy: Retry, retries_used: int, now: datetime) -> datetime:
    """When the next login may be tried at an endpoint that refuses them, after one that is tried at `now`."""
    return utc(now) + _login_pause(policy, retries_used)


def _delay(policy: Retry, retries_used: int) -> timedelta | None:
    return policy.after[retries_used] if retries_used < len(policy.after) else policy.repeat


def _login_pause(policy: Retry, retries_used: int) -> timedelta:
    """As long as before the next retry; once all are used, as before the last."""
    delays = (*policy.after, policy.repeat) if policy.repeat else policy.after
    return delays[min(retries_used, len(delays) - 1)] if delays else LOGIN_PAUSE


def _tries(retries_used: int) -> str:
    return {0: "tried once", 1: "tried again once"}.get(retries_used, f"tried again {retries_used} times")
