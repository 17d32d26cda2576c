"""Several processes on one ledger: one owns a run, a dead one owns nothing, a frozen one still does."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from batchxfer.errors import BusyError, OwnershipLost
from batchxfer.ledger import migrating, opening
from batchxfer.ledger.opening import open_ledger
from batchxfer.ledger.owners import OwnerLocks, Presence, new_owner
from batchxfer.ledger.schema import HEAD, metadata
from batchxfer.model import DeliveryStatus, FileRole, FileStatus, Mark, Outcome, Plan, Run, RunStatus
from batchxfer.ports import LEASE
from tests.ledgers import NOW, SLOT, HandClock, Place, PostgresqlPlace, SqlitePlace, Walk, due
from tests.processes import Say, all_in_children, child


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A project that was never begun, on each database."""
    folder = tmp_path / "fresh"
    if request.param == "sqlite":
        place: Place = SqlitePlace(folder)
    else:
        place = PostgresqlPlace(folder, address=request.getfixturevalue("postgresql_database"))
    yield place
    place.close()


def hold(place: Place) -> object:
    """A child's work: claim the run, send, and stay."""

    def body(say: Say) -> None:
        walk = Walk(place.open(), place).adopted().built()
        walk.ledger.begin_attempt(walk.claim, "bank")
        walk.step(FileStatus.SENDING, temp_path="out/.a.part")
        say(walk.run.id)
        signal.pause()

    return body


class TestOwners:
    def test_the_claim_of_a_killed_process_is_free_at_once(self, sqlite_place: SqlitePlace) -> None:
        with child(hold(sqlite_place)) as process:  # type: ignore[arg-type]
            run = process.line()
            ledger = sqlite_place.open()
            with pytest.raises(BusyError):
                ledger.claim(run, ledger.owner)
            process.send(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            # Not a moment of the lease has passed: the clock stands still.
            assert ledger.find_run(run).status is RunStatus.PENDING
            ledger.claim(run, ledger.owner)
            found = ledger.find_run(run)
            assert [attempt.outcome for attempt in found.attempts] == [Outcome.BUILT, Outcome.ABANDONED]
            assert (found.deliveries[0].status, found.deliveries[0].retries) == (DeliveryStatus.SENDING, 1)

    def test_a_frozen_process_still_owns_however_old_its_lease(self, sqlite_place: SqlitePlace) -> None:
        with child(hold(sqlite_place)) as process:  # type: ignore[arg-type]
            run = process.line()
            process.send(signal.SIGSTOP)
            ledger = sqlite_place.open()
            sqlite_place.clock.sleep(LEASE.total_seconds() * 1000)
            with pytest.raises(BusyError):
                ledger.claim(run, ledger.owner)
            assert ledger.find_run(run).status is RunStatus.RUNNING

    def test_without_the_locks_folder_the_lease_decides(self, sqlite_place: SqlitePlace) -> None:
        with child(hold(sqlite_place)) as process:  # type: ignore[arg-type]
            run = process.line()
            ledger = sqlite_place.open()
            for lock in sqlite_place.path.with_name("ledger.db.owners").iterdir():
                lock.unlink()
            with pytest.raises(BusyError):
                ledger.claim(run, ledger.owner)
            sqlite_place.clock.sleep(LEASE.total_seconds() + 1)
            assert ledger.claim(run, ledger.owner).run == run

    def test_a_thread_whose_lease_ran_out_makes_way_within_its_process(self, sqlite_place: SqlitePlace) -> None:
        walk = Walk(sqlite_place.open(), sqlite_place)
        sqlite_place.clock.sleep(LEASE.total_seconds() + 1)
        newer = walk.ledger.claim(walk.run.id, walk.ledger.owner)
        with pytest.raises(OwnershipLost):
            walk.ledger.renew(walk.claim)
        walk.ledger.renew(newer)

    def test_a_lease_on_postgresql_runs_out_by_the_databases_clock(self, place: Place) -> None:
        if isinstance(place, SqlitePlace):
            return
        walk, other = Walk(place.open(), place), place.open()
        place.execute("UPDATE runs SET lease_until = clock_timestamp() + interval '1s'")
        with pytest.raises(BusyError):
            other.claim(walk.run.id, other.owner)
        time.sleep(1.1)
        other.claim(walk.run.id, other.owner)
        with pytest.raises(OwnershipLost):
            walk.ledger.let_go(walk.claim)

    def test_an_owner_that_ends_well_leaves_no_lock_behind(self, sqlite_place: SqlitePlace) -> None:
        walk = Walk(sqlite_place.open(), sqlite_place)
        folder = sqlite_place.path.with_name("ledger.db.owners")
        assert [path.name for path in folder.iterdir()] == [f"{walk.ledger.owner}.lock"]
        walk.ledger.let_go(walk.claim)
        walk.ledger.close()
        assert list(folder.iterdir()) == []

    def test_what_killed_processes_left_is_swept_once_their_claims_are_taken(self, sqlite_place: SqlitePlace) -> None:
        folder = sqlite_place.path.with_name("ledger.db.owners")
        with child(hold(sqlite_place)) as process:  # type: ignore[arg-type]
            run = process.line()
        dead = next(folder.iterdir()).name
        first, second = sqlite_place.open(), sqlite_place.open()
        first.claim(run, first.owner)
        assert dead in {path.name for path in folder.iterdir()}
        other = second.ensure_run("stock", due(), {})
        second.claim(other.id, second.owner)
        assert {path.name for path in folder.iterdir()} == {f"{first.owner}.lock", f"{second.owner}.lock"}


class TestLocks:
    def test_a_name_is_held_once(self, tmp_path: Path) -> None:
        one, two = OwnerLocks(tmp_path), OwnerLocks(tmp_path)
        assert [one.hold("a"), one.hold("a")] == [True, False]
        with pytest.raises(BusyError):
            two.hold("a")
        assert (two.presence("a"), two.presence("b")) == (Presence.HERE, Presence.UNKNOWN)
        one.release(keep={"a"})
        assert two.presence("a") is Presence.GONE
        assert two.hold("a")
        two.release()

    def test_looking_does_not_disturb_the_owner(self, tmp_path: Path) -> None:
        looker, ended = OwnerLocks(tmp_path), threading.Event()

        def look() -> None:
            while not ended.is_set():
                looker.presence("a")
                looker.sweep(())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(300):
                owner = OwnerLocks(tmp_path)
                owner.hold("a")
                assert OwnerLocks(tmp_path).presence("a") is Presence.HERE
                owner.release()
        finally:
            ended.set()
            thread.join()

    @pytest.mark.parametrize("owner", ["", "../a", "a/b", ".hidden", "a\0"])
    def test_a_name_stays_in_the_folder(self, tmp_path: Path, owner: str) -> None:
        with pytest.raises(ValueError, match="not a name for an owner"):
            OwnerLocks(tmp_path / "owners").hold(owner)

    def test_a_new_owner_names_the_process(self) -> None:
        assert f".{os.getpid()}." in new_owner(NOW)
        assert new_owner(NOW) != new_owner(NOW)


class TestContention:
    def test_each_run_is_claimed_by_exactly_one_of_two_processes(self, place: Place) -> None:
        ledger = place.open()
        slots = [SLOT + timedelta(minutes=minute) for minute in range(60)]
        runs = [ledger.ensure_run("orders", due(slot), {}).id for slot in slots]
        ledger.close()

        def claim_all() -> str:
            mine, won = place.open(), []
            for run in runs:
                try:
                    mine.claim(run, mine.owner)
                    won.append(run)
                except BusyError:
                    pass
            return " ".join(won)

        answers = all_in_children([claim_all, claim_all])
        won = Counter(run for answer in answers for run in answer.split())
        assert won == Counter(runs)

    def test_one_slot_asked_for_by_four_processes_has_one_run(self, place: Place) -> None:
        def ensure() -> str:
            mine = place.open()
            return " ".join(mine.ensure_run("orders", due(SLOT + timedelta(minutes=n)), {}).id for n in range(20))

        assert len(set(all_in_children([ensure] * 4))) == 1
        assert len(place.open().runs(limit=None)) == 20

    def test_revisions_made_at_once_are_all_different(self, place: Place) -> None:
        first = place.open().ensure_run("orders", due(), {})
        place.close()

        def revise() -> str:
            mine = place.open()
            return " ".join(str(mine.add_revision(first.id).revision) for _ in range(10))

        made = [int(number) for answer in all_in_children([revise, revise]) for number in answer.split()]
        assert sorted(made) == list(range(2, 22))

    def test_threads_of_one_process_walk_side_by_side(self, place: Place) -> None:
        ledger = place.open()

        def walk(number: int) -> None:
            for step in range(5):
                at = SLOT + timedelta(minutes=step)
                one = Walk(ledger, place, job=f"job{number}", slot=at).adopted().built().published()
                ledger.let_go(one.claim)

        threads = [threading.Thread(target=walk, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        files = [run.deliveries[0].files[0].status for run in ledger.runs(limit=None)]
        assert files == [FileStatus.PUBLISHED] * 30


class TestMaking:
    def test_processes_that_begin_a_project_at_once_make_one(self, fresh: Place) -> None:
        def begin() -> str:
            ledger = fresh.open()
            ledger.ensure_run("orders", due(), {})
            return ledger.project_id

        answers = all_in_children([begin] * 4)
        assert len(set(answers)) == 1
        assert len(answers[0]) == 26
        assert len(fresh.open().runs()) == 1

    def test_readers_of_a_project_that_is_being_made_see_nothing_or_all(self, fresh: Place) -> None:
        def begin() -> str:
            return fresh.open().project_id

        def look() -> str:
            seen = set()
            for _ in range(30):
                ledger = open_ledger(fresh.url, None, spool=fresh.spool, clock=HandClock(), create=False)
                seen.add("nothing" if ledger is None else ledger.project_id)
                if ledger is not None:
                    ledger.close()
            return " ".join(seen - {"nothing"})

        made, *seen = all_in_children([begin, look, look])
        assert {answer for answer in seen if answer} <= {made}


NEXT = f"{int(HEAD) + 1:04}"
STEP = f'''
"""A step for tests."""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "{NEXT}", "{HEAD}", None, None
def upgrade() -> None:
    op.add_column("slots", sa.Column("note", sa.Text()))
'''


class TestMigrating:
    def test_the_steps_make_the_tables_that_the_program_uses(self, fresh: Place) -> None:
        fresh.open()
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        store = fresh.opened[0]._store  # type: ignore[attr-defined]
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": "ledger_version"})
            assert compare_metadata(context, metadata) == []

    def test_the_program_knows_its_newest_step(self) -> None:
        assert ScriptDirectory(str(migrating.MIGRATIONS)).get_heads() == [HEAD]

    def test_an_older_ledger_is_brought_up_to_date_once_and_keeps_what_it_has(
        self, fresh: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = fresh.open().ensure_run("orders", due(), {"shop": 7})
        fresh.close()
        steps = tmp_path / "migrations"
        shutil.copytree(migrating.MIGRATIONS, steps)
        (steps / "versions" / f"{NEXT}_step.py").write_text(STEP)
        monkeypatch.setattr(migrating, "MIGRATIONS", steps)
        monkeypatch.setattr(opening, "HEAD", NEXT)

        def start() -> str:
            return fresh.open().find_run(run.id).job

        assert all_in_children([start] * 3) == ["orders"] * 3
        assert fresh.execute("SELECT version_num FROM ledger_version") == [(NEXT,)]
        assert fresh.execute("SELECT job, note FROM slots") == [("orders", None)]

    def test_another_projects_older_ledger_is_not_touched(
        self, fresh: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fresh.open()
        fresh.close()
        (fresh.spool / "project-id").write_text("01SOMEOTHERPROJECT\n")
        monkeypatch.setattr(opening, "HEAD", NEXT)
        with pytest.raises(opening.LedgerError, match="belongs to project"):
            fresh.open()


def test_a_check_of_the_database_itself_refuses_a_wrong_state(place: Place) -> None:
    """What no code of ours can write, no other hand can write either."""
    Walk(place.open(), place).adopted()
    for statement in (
        "UPDATE runs SET status = 'sent'",
        "UPDATE deliveries SET status = 'delivered'",
        "UPDATE deliveries SET status = 'failed'",
        "UPDATE deliveries SET status = 'retrying', reason = 'x'",
        "UPDATE delivery_files SET role = 'other'",
        f"UPDATE delivery_files SET status = '{FileRole.DATA}'",
    ):
        with pytest.raises(Exception, match=r"(?i)check constraint"):
            place.execute(statement)


class TestFromTheFirstSchema:
    """A ledger that batchxfer made before it planned, paused and told."""

    @pytest.fixture
    def oldest(self, fresh: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
        steps = tmp_path / "oldest"
        shutil.copytree(migrating.MIGRATIONS, steps)
        for step in (steps / "versions").glob("000[2-9]*.py"):
            step.unlink()
        monkeypatch.setattr(migrating, "MIGRATIONS", steps)
        monkeypatch.setattr(opening, "HEAD", "0001")
        ledger = fresh.open()
        walk = Walk(ledger, fresh).adopted().built().published()
        ledger.let_go(walk.claim)
        ledger.ensure_run("stock", due(), {"shop": 7})
        monkeypatch.undo()
        fresh.close()
        return walk.now

    def test_it_keeps_its_runs_and_gets_the_new_tables(self, fresh: Place, oldest: Run) -> None:
        with pytest.raises(Exception, match=r"(?i)no such table|does not exist"):
            fresh.execute("SELECT * FROM marks")
        ledger = fresh.open()
        assert fresh.execute("SELECT version_num FROM ledger_version") == [(HEAD,)]
        assert ledger.find_run(oldest.id) == oldest
        assert {run.job for run in ledger.open_runs()} == {"orders", "stock"}
        assert (ledger.marks(), ledger.pauses(), ledger.notices()) == ({}, {}, [])

    def test_it_goes_on_as_any_other(self, fresh: Place, oldest: Run) -> None:
        ledger = fresh.open()
        mark = Mark(job="orders", first_seen=SLOT, planned_until=SLOT)
        later = SLOT + timedelta(days=1)
        assert ledger.record_plan(None, Plan(mark=mark), {})
        plan = Plan(mark=replace(mark, planned_until=later), due=(due(later),))
        assert ledger.record_plan(mark, plan, {})
        claim = ledger.claim(oldest.id, ledger.owner)
        ledger.settle(claim, oldest.deliveries[0].id, DeliveryStatus.HELD, reason="looked at")
        ledger.pause("orders", "an update")
        assert [notice.run for notice in ledger.notices()] == [oldest.id]
        assert [run.slot for run in ledger.open_runs("orders")] == [SLOT, later]
