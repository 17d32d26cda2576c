"""What the SQLite ledger asks of the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchxfer.model import FileRole, FileStatus
from tests.ledgers import SLOT, SNAPSHOT, SqlitePlace, due, planned

FULL, NORMAL = 2, 1


@pytest.fixture
def syncs(sqlite_place: SqlitePlace, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[int]]:
    """A ledger, and a list that gets SQLite's `synchronous` at the end of each of its writing transactions."""
    ledger: Any = sqlite_place.open()
    seen: list[int] = []
    tell = ledger._write_events

    def note(tx: Any, told: Any) -> None:
        seen.append(tx.connection.exec_driver_sql("PRAGMA synchronous").scalar())
        tell(tx, told)

    monkeypatch.setattr(ledger, "_write_events", note)
    return ledger, seen


def seen_by(seen: list[int], act: Callable[[], Any]) -> tuple[Any, set[int]]:
    seen.clear()
    done = act()
    return done, set(seen)


def test_what_a_server_may_see_is_on_disk_first_and_a_claim_need_not_be(syncs: tuple[Any, list[int]]) -> None:
    ledger, seen = syncs
    run, created = seen_by(seen, lambda: ledger.ensure_run("orders", due(SLOT), {}))
    claim, claimed = seen_by(seen, lambda: ledger.claim(run.id, "us"))
    run, adopted = seen_by(seen, lambda: ledger.adopt(claim, SNAPSHOT, [planned()]))
    _, begun = seen_by(seen, lambda: ledger.begin_attempt(claim, "bank"))
    step = (claim, run.deliveries[0].id, FileRole.DATA, FileStatus.SENDING)
    _, sending = seen_by(seen, lambda: ledger.record_file(*step, temp_path="out/.a.part"))
    _, let_go = seen_by(seen, lambda: ledger.let_go(claim))
    assert (created, sending) == ({FULL}, {FULL})
    assert (claimed, adopted, begun, let_go) == ({NORMAL}, {NORMAL}, {NORMAL}, {NORMAL})


def test_without_a_log_every_commit_waits_for_the_disk(syncs: tuple[Any, list[int]]) -> None:
    """In the other journal modes a commit that does not could damage the file."""
    ledger, seen = syncs
    run = ledger.ensure_run("orders", due(SLOT), {})
    ledger._store._has_log = False
    _, claimed = seen_by(seen, lambda: ledger.claim(run.id, "us"))
    assert claimed == {FULL}
