"""The daemon's rounds, in this process, on a real ledger."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest

from batchxfer import wiring
from batchxfer.errors import DatabaseUnavailable
from batchxfer.scheduler import Daemon, Wishes
from batchxfer.systemd import ServiceManager
from batchxfer.ticking import Ticker
from tests.e2e.command import until
from tests.ledgers import HandClock
from tests.unit.test_ticking import BEGIN, HOUR, project

JOBS = 40


def test_what_waits_does_not_fail_one_after_the_other_while_the_ledger_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    loaded = project(tmp_path, names=[f"job-{number}" for number in range(JOBS)])
    clock = HandClock(BEGIN)

    def away(*words: object) -> None:
        raise DatabaseUnavailable("the ledger is out of reach", hint="it is tried again")

    def said(action: str) -> int:
        return sum(1 for record in caplog.records if getattr(record, "action", "") == action)

    with wiring.workplace(loaded, clock, create=True) as place:
        assert place is not None
        Ticker(loaded, place.ledger).tick()
        clock.instant += HOUR
        monkeypatch.setattr(place.ledger, "claim", away)
        wishes = Wishes()
        daemon = Daemon(place, wishes, load=lambda: loaded, manager=ServiceManager(None))
        serving = threading.Thread(target=daemon.serve)
        serving.start()
        try:
            until(lambda: said("run-failed"), 30)
            end = time.monotonic() + 2
            while time.monotonic() < end and said("run-failed") < JOBS:
                time.sleep(0.05)
            # Those that were at work, and those that took their places before it was known.
            assert said("run-failed") <= 3 * place.project.config.workers
        finally:
            wishes.ask_to_stop()
            serving.join(30)
