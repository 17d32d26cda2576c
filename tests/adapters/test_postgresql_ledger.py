"""What only a ledger on PostgreSQL has: round trips, connections that may be gone, a server that may end before its clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from batchxfer.ledger import postgresql
from batchxfer.model import DeliveryStatus, Evidence, FileRole, FileStatus, Mark, Plan
from batchxfer.worker import Worker
from tests.ledgers import SLOT, SNAPSHOT, PostgresqlPlace, Walk, due, emptied, execute, planned


@pytest.fixture
def place(new_postgresql_project: PostgresqlPlace) -> Iterator[PostgresqlPlace]:
    place = emptied(new_postgresql_project)
    yield place
    place.close()


class Listening:
    """What a ledger asks its server: how many round trips, and which commits wait for the disk."""

    def __init__(self, ledger: Any) -> None:
        self.asked: list[str] = []
        self.waits: list[str] = []
        event.listen(ledger._store.engine, "before_cursor_execute", self._on_statement)
        event.listen(ledger._store.engine, "commit", self._on_commit)

    def _on_statement(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        self.asked.append(statement)

    def _on_commit(self, connection: Any) -> None:
        driver = connection.connection.dbapi_connection
        if driver.info.transaction_status.name == "INTRANS":
            self.asked += ["BEGIN", "COMMIT"]
            (setting,) = driver.execute("SHOW synchronous_commit").fetchone()
            self.waits.append(setting)

    def waited(self) -> list[str]:
        """Since it was asked last."""
        found, self.waits = self.waits, []
        return found


def test_what_only_says_what_a_process_does_does_not_wait_for_the_disk(place: PostgresqlPlace) -> None:
    ledger = place.open()
    heard = Listening(ledger)
    run = ledger.ensure_run("orders", due(SLOT), {})
    assert heard.waited() == ["on"]
    claim = ledger.claim(run.id, ledger.owner)
    assert heard.waited() == ["off"]
    run = ledger.adopt(claim, SNAPSHOT, [planned()])
    assert heard.waited() == ["on"]
    ledger.begin_attempt(claim, "bank")
    ledger.renew(claim)
    assert heard.waited() == ["off", "off"]
    ledger.record_file(claim, run.deliveries[0].id, FileRole.DATA, FileStatus.SENDING, temp_path="out/.a.part")
    assert heard.waited() == ["on"]
    ledger.let_go(claim)
    assert heard.waited() == ["off"]


def test_what_is_planned_from_a_mark_does_not_wait_for_the_disk_and_the_first_mark_does(place: PostgresqlPlace) -> None:
    ledger = place.open()
    heard = Listening(ledger)
    first = Mark(job="orders", first_seen=SLOT, planned_until=SLOT)
    ledger.record_plan(None, Plan(mark=first), {})
    assert heard.waited() == ["on"]
    plan = Plan(mark=replace(first, planned_until=SLOT + timedelta(days=1)), due=(due(SLOT),))
    assert ledger.record_plan(first, plan, {})
    assert heard.waited() == ["off"]


def test_the_next_transaction_of_the_same_connection_waits_for_the_disk_again(place: PostgresqlPlace) -> None:
    ledger = place.open()
    heard = Listening(ledger)
    run = ledger.ensure_run("orders", due(SLOT), {})
    for _ in range(3):
        ledger.let_go(ledger.claim(run.id, ledger.owner))
        ledger.add_event(run.id, "told", {})
    assert heard.waited() == ["on", *["off", "off", "on"] * 3]


def test_a_run_from_its_claim_to_its_end_takes_few_round_trips(place: PostgresqlPlace) -> None:
    """Each may be a millisecond over a network; what a loop asks once more, each of a thousand runs does."""
    ledger = place.open()
    run = ledger.ensure_run("orders", due(SLOT), {})
    heard = Listening(ledger)
    walk = Walk(ledger, place).adopted().built()
    attempt = ledger.begin_attempt(walk.claim, "bank")
    delivery = walk.delivery
    for status in (FileStatus.SENDING, FileStatus.PUBLISHING, FileStatus.PUBLISHED):
        ledger.record_file(walk.claim, delivery, FileRole.DATA, status, temp_path="t", size=17, sha256="0" * 64)
    ledger.settle(
        walk.claim, delivery, DeliveryStatus.DELIVERED, attempt=attempt.id, evidence=Evidence(how="size", detail=None)
    )
    ledger.let_go(walk.claim)
    assert ledger.find_run(run.id).status == "delivered"
    assert len(heard.asked) <= 105, "\n".join(heard.asked)


def test_what_reads_sees_one_state(place: PostgresqlPlace) -> None:
    ledger, other = place.open(), place.open()
    with ledger._store.read() as tx:  # type: ignore[attr-defined]
        before = tx.connection.exec_driver_sql("SELECT count(*) FROM runs").scalar()
        other.ensure_run("orders", due(SLOT), {})
        assert tx.connection.exec_driver_sql("SELECT count(*) FROM runs").scalar() == before
    assert len(ledger.runs()) == 1


def test_connections_that_broke_while_nobody_looked_are_made_anew(place: PostgresqlPlace) -> None:
    ledger = place.open()
    with ledger._store.read(), ledger._store.read():  # type: ignore[attr-defined]
        pass
    ours = "application_name = 'batchxfer' AND datname = current_database()"
    # It says that it was told to; with a time, it waits until it is done.
    place.execute(f"SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE {ours}")
    run = ledger.ensure_run("orders", due(SLOT), {})
    assert ledger.let_go(ledger.claim(run.id, ledger.owner)).id == run.id


def test_the_settings_of_the_role_do_not_matter(place: PostgresqlPlace) -> None:
    settings = {
        "datestyle": "'SQL, DMY'",
        "timezone": "'America/New_York'",
        "client_encoding": "'SQL_ASCII'",
        "default_transaction_read_only": "on",
    }
    # In this database only: the other tests' processes have the same role.
    [(role, database)] = place.execute("select current_user, current_database()")
    where = f"role {role} in database {database}"
    execute(place.url, *(f"alter {where} set {key} = {value}" for key, value in settings.items()))
    try:
        ledger = place.open()
        run = ledger.ensure_run("orders", due(SLOT), {"name": "Zoë\\"})
        with Worker(ledger, ledger.owner).claimed(run.id):
            pass
        assert ledger.find_run(run.id).due.slot == SLOT
        assert ledger.find_run(run.id).parameters == {"name": "Zoë\\"}
        ledger.close()
    finally:
        execute(place.url, "set default_transaction_read_only = off", f"alter {where} reset all")


class Driver:
    """A connection to a server that does not answer."""

    def __init__(self, near: socket.socket) -> None:
        self.near = near
        self.asked = 0

    def fileno(self) -> int:
        return self.near.fileno()

    def execute(self, words: str) -> None:
        self.asked += 1
        raise OSError("no answer")


def test_a_connection_is_asked_only_where_it_was_idle_for_long() -> None:
    near, far = socket.socketpair()
    with near, far:
        driver = Driver(near)
        assert postgresql._stands(driver, 1.0)
        assert driver.asked == 0
        assert not postgresql._stands(driver, 60.0)
        assert driver.asked == 1
        far.close()
        assert not postgresql._stands(driver, 1.0)
        assert driver.asked == 1
