"""A server that takes connections and says nothing holds up whoever waits for it, and nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import cast

import pytest

from batchxfer.ports import EarlyTarget
from tests.databases import Postgresql
from tests.servers.postgresql import CrashingPostgresql, crashing_postgresql

LEAVES_SECONDS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[CrashingPostgresql]:
    with crashing_postgresql() as server:
        yield server


def test_who_leaves_a_load_stops_no_other_thread(server: CrashingPostgresql) -> None:
    """The driver asks the server to stop; while it waits for the answer the heartbeats of all runs must go on."""
    beats: list[float] = []
    target = cast(EarlyTarget, Postgresql(server.url).target())
    with target.begin_early() as loading, server.silent(LEAVES_SECONDS):
        began = time.monotonic()
        heart = threading.Timer(0.2, lambda: beats.append(time.monotonic() - began))
        heart.start()
        loading.abandon()
        heart.join(LEAVES_SECONDS)
    assert beats
    assert beats[0] < LEAVES_SECONDS / 2
