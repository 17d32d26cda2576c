"""Identifiers that sort by the time they were made: ULIDs (https://github.com/ulid/spec)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from batchxfer.model import utc

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENTROPY_BYTES = 10
_LENGTH = 26


def new_id(now: datetime, entropy: bytes | None = None) -> str:
    """26 characters of Crockford's base 32: the millisecond of `now`, then 80 random bits (or the 10 bytes `entropy`).

    Ids of different milliseconds sort as their instants. Raises ValueError for a naive instant, or one before 1970.
    """
    random = os.urandom(_ENTROPY_BYTES) if entropy is None else entropy
    milliseconds = (utc(now) - _EPOCH) // timedelta(milliseconds=1)
    if milliseconds < 0 or len(random) != _ENTROPY_BYTES:
        raise ValueError(f"an id needs an instant since 1970 and 10 random bytes, not {now} and {len(random)}")
    number = milliseconds << 80 | int.from_bytes(random, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))
