"""Lets every job of a project become due, and does what is due.

python -m benchmarks.peers.due_at_once CONFIG SLOTS [DUE]

A job owes nothing before it was first seen: the first tick is before the slots, the second after them. Only the second
is measured. It fails where fewer than SLOTS are delivered. Without DUE, an instant soon to come, the clock is turned to
another day; a ledger on PostgreSQL has a clock of its own, which has to be waited for.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from batchxfer import wiring
from batchxfer.scheduler import run_due

FIRST_SEEN = datetime(2026, 3, 1, 3, 1, tzinfo=UTC)


class Clock:
    """Real time, moved to another day."""

    def __init__(self, start: datetime) -> None:
        self._offset = start - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def tick(config: Path, at: datetime) -> int:
    """One `run --due` at that instant; the number of slots that were delivered."""
    with wiring.workplace(wiring.load_project(config), Clock(at), create=True) as place:
        if place is None:
            raise SystemExit("no ledger")
        return sum(1 for ended in run_due(place) if ended.run is not None and ended.run.status == "delivered")


def main(config: str, slots: str, due: str | None = None) -> None:
    tick(Path(config), datetime.now(UTC) if due else FIRST_SEEN)
    at = FIRST_SEEN + timedelta(days=1)
    if due:
        at = datetime.fromisoformat(due) + timedelta(seconds=1)
        time.sleep((at - datetime.now(UTC)).total_seconds())
    began = time.perf_counter()
    delivered = tick(Path(config), at)
    seconds = time.perf_counter() - began
    if delivered < int(slots):
        raise SystemExit(f"{delivered} of {slots} slots were delivered")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
