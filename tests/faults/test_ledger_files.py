"""A ledger that is missing, damaged, foreign or half made: one clear line, and never taken for a new one."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchxfer.credentials import Secret
from batchxfer.errors import BatchxferError, DatabaseUnavailable, LedgerError, StorageError
from batchxfer.ledger import opening, project, sqlite
from batchxfer.ledger.opening import open_ledger
from batchxfer.ports import Ledger
from tests.ledgers import HandClock, PostgresqlPlace, SqlitePlace, Walk, due
from tests.processes import in_child


@pytest.fixture
def place(sqlite_place: SqlitePlace) -> SqlitePlace:
    """A project whose ledger holds a run, and that nobody uses."""
    ledger = sqlite_place.open()
    Walk(ledger, sqlite_place)
    ledger.close()
    return sqlite_place


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[SqlitePlace]:
    """A project that was never begun."""
    place = SqlitePlace(tmp_path / "fresh")
    yield place
    place.close()


def look(place: SqlitePlace) -> Ledger | None:
    """Open it as a command that only reads does."""
    ledger = open_ledger(place.url, None, spool=place.spool, clock=place.clock, create=False)
    place.opened += [] if ledger is None else [ledger]
    return ledger


def refusal(place: SqlitePlace) -> BatchxferError:
    """What every command is told; nothing is made or changed by asking."""
    before = place.path.read_bytes() if place.path.exists() else None
    with pytest.raises(LedgerError) as reading:
        look(place)
    with pytest.raises(LedgerError) as writing:
        place.open()
    assert (place.path.read_bytes() if place.path.exists() else None) == before
    assert str(reading.value) == str(writing.value)
    assert "\n" not in str(writing.value)
    assert str(place.path) in str(writing.value)
    assert writing.value.hint
    return writing.value


class TestANewProject:
    def test_reading_makes_nothing(self, fresh: SqlitePlace) -> None:
        assert look(fresh) is None
        assert not fresh.folder.exists()

    def test_ledger_and_spool_carry_one_id(self, fresh: SqlitePlace) -> None:
        ledger = fresh.open()
        assert project.read_id(fresh.spool) == ledger.project_id
        assert len(ledger.project_id) == 26
        assert fresh.open().project_id == ledger.project_id

    def test_only_the_owner_may_read_it(self, fresh: SqlitePlace) -> None:
        before = os.umask(0)
        try:
            Walk(fresh.open(), fresh)
        finally:
            os.umask(before)
        kept = [fresh.path.parent, fresh.spool, *fresh.path.parent.rglob("*"), *fresh.spool.rglob("*")]
        assert len(kept) >= 6
        assert {path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077} == set()

    def test_a_path_with_odd_characters_is_a_path(self, tmp_path: Path) -> None:
        place = SqlitePlace(tmp_path / "100% of #1 뷁 & more")
        place.open().ensure_run("orders", due(), {})
        place.close()
        assert place.path.exists()
        assert len(place.open().runs()) == 1
        place.close()

    def test_a_database_in_memory_is_refused(self, fresh: SqlitePlace) -> None:
        with pytest.raises(LedgerError, match="in memory would forget everything"):
            open_ledger("sqlite://", None, spool=fresh.spool, clock=fresh.clock, create=True)

    @pytest.mark.parametrize("url", ["mysql://u@h/db", "nonsense", "", "sqlite"])
    def test_a_url_that_is_no_ledgers_is_refused(self, fresh: SqlitePlace, url: str) -> None:
        with pytest.raises(LedgerError) as caught:
            open_ledger(url, None, spool=fresh.spool, clock=fresh.clock, create=True)
        assert "sqlite:///PATH" in str(caught.value.hint)


class TestNotTheLedgerThatWas:
    def test_a_missing_file_is_not_made_anew(self, place: SqlitePlace) -> None:
        place.path.unlink()
        assert "is missing or empty, but the spool" in str(refusal(place))
        assert not place.path.exists()

    def test_an_empty_file_is_not_made_anew(self, place: SqlitePlace) -> None:
        place.path.write_bytes(b"")
        assert "is missing or empty, but the spool" in str(refusal(place))

    @pytest.mark.parametrize("left", [1, 15, 50, 99, 100, 512, 4095, 4096, 4097, -4096, -1])
    def test_a_truncated_file_is_refused(self, place: SqlitePlace, left: int) -> None:
        size = place.path.stat().st_size
        os.truncate(place.path, left if left > 0 else size + left)
        refusal(place)

    def test_damage_in_the_middle_is_refused(self, place: SqlitePlace) -> None:
        with place.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * 4096 * 3)
        assert "is damaged" in str(refusal(place))

    def test_damage_of_any_page_is_found_at_the_door(self, place: SqlitePlace) -> None:
        whole = place.path.read_bytes()
        for start in range(4096, len(whole), 4096):
            place.path.write_bytes(whole[:start] + b"\xa5" * 4096 + whole[start + 4096 :])
            with pytest.raises(LedgerError, match="is damaged"):
                look(place)

    @pytest.mark.parametrize("content", [b"hello\n" * 1000, b"\0" * 8192], ids=["text", "zeros"])
    def test_a_file_of_another_kind_is_refused(self, place: SqlitePlace, content: bytes) -> None:
        place.path.write_bytes(content)
        assert "is not a SQLite database" in str(refusal(place))

    def test_another_applications_database_is_refused_with_or_without_a_spool(self, place: SqlitePlace) -> None:
        place.path.unlink()
        with sqlite3.connect(place.path) as connection:
            connection.execute("CREATE TABLE customers (id)")
        connection.close()
        assert "is no ledger: it holds other tables (customers)" in str(refusal(place))
        shutil.rmtree(place.spool)
        assert "is no ledger" in str(refusal(place))

    def test_another_projects_ledger_is_refused(self, place: SqlitePlace, fresh: SqlitePlace) -> None:
        fresh.open()
        fresh.close()
        shutil.copy(fresh.path, place.path)
        assert "belongs to project" in str(refusal(place))

    def test_a_spool_that_is_gone_is_refused_and_the_hint_mends_it(self, place: SqlitePlace) -> None:
        shutil.rmtree(place.spool)
        error = refusal(place)
        assert "has no project id" in str(error)
        command = str(error.hint).partition("for good: ")[2]
        assert os.system(command) == 0
        assert len(place.open().runs()) == 1

    def test_an_unreadable_project_id_is_no_new_project(self, place: SqlitePlace) -> None:
        place.path.unlink()
        (place.spool / project.NAME).write_bytes(b"")
        refusal(place)

    def test_a_folder_is_no_ledger(self, place: SqlitePlace) -> None:
        place.path.unlink()
        place.path.mkdir()
        with pytest.raises(LedgerError, match="cannot be"):
            place.open()

    def test_a_newer_ledger_is_refused(self, place: SqlitePlace) -> None:
        place.execute("UPDATE ledger_version SET version_num = '0999'")
        place.execute("UPDATE meta SET value = '7.0' WHERE key = 'program'")
        assert "has schema 0999, written by batchxfer 7.0" in str(refusal(place))

    @pytest.mark.parametrize("table", ["meta", "ledger_version"])
    def test_a_ledger_that_lost_its_id_or_version_is_refused(self, place: SqlitePlace, table: str) -> None:
        place.execute(f"DELETE FROM {table}")
        assert "is damaged: it has lost its project id or version" in str(refusal(place))

    def test_a_spool_that_another_ledger_takes_meanwhile_is_refused(
        self, fresh: SqlitePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = iter([None, "01ANOTHERPROJECT"])
        monkeypatch.setattr(project, "read_id", lambda spool: next(seen))
        with pytest.raises(LedgerError, match="is missing or empty, but the spool"):
            fresh.open()
        assert fresh.execute("SELECT name FROM sqlite_master") == []


class TestInFlight:
    def test_a_ledger_that_is_replaced_takes_no_more(self, place: SqlitePlace) -> None:
        ledger = place.open()
        os.rename(place.path, place.path.with_suffix(".away"))
        with pytest.raises(LedgerError, match="was moved or replaced while it was in use"):
            ledger.ensure_run("stock", due(), {})

    def test_a_connection_never_makes_a_file_that_is_gone(self, place: SqlitePlace) -> None:
        store = sqlite.SqliteStore(place.path, place.spool, place.clock)
        place.path.unlink()
        with pytest.raises(LedgerError, match="unable to open database file"), store.read():
            pass
        assert not place.path.exists()
        store.close(set)

    def test_damage_is_said_in_a_line(self, place: SqlitePlace) -> None:
        ledger = place.open()
        size = place.path.stat().st_size
        with place.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
        with pytest.raises(LedgerError, match="is damaged"):
            ledger.ensure_run("stock", due(), {})

    def test_a_full_disk_is_said_in_a_line_and_nothing_is_half_written(self, place: SqlitePlace) -> None:
        def fill() -> str:
            ledger = place.open()
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            try:
                ledger.ensure_run("stock", due(), {})
            except StorageError as error:
                before = len(ledger.runs())
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                ledger.ensure_run("later", due(), {})
                return f"{before} {len(ledger.runs())} {error}"
            return "written"

        said = in_child(fill)
        assert said.startswith("1 2 ledger ")
        assert "cannot be written" in said

    def test_a_ledger_that_another_program_keeps_locked_is_out_of_reach(
        self, place: SqlitePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
        ledger = place.open()
        other = sqlite3.connect(place.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="is locked by another process"):
            ledger.ensure_run("stock", due(), {})
        assert len(ledger.runs()) == 1
        other.close()
        ledger.ensure_run("stock", due(), {})

    def test_a_backup_that_was_made_while_it_ran_can_be_restored(self, place: SqlitePlace, tmp_path: Path) -> None:
        ledger = place.open()
        walk = Walk(ledger, place, job="stock").adopted().built()
        place.execute(f"VACUUM INTO '{tmp_path / 'backup.db'}'")
        place.close()
        shutil.copy(tmp_path / "backup.db", place.path)
        moved = SqlitePlace(Path(shutil.move(place.folder, tmp_path / "elsewhere")))
        restored = moved.open().find_run(walk.run.id)
        assert restored.artifact is not None
        assert restored.artifact.path == moved.spool / "a.csv"
        moved.close()


POINTS = {
    "before the intent": (project, "write_intent"),
    "before the commit": (opening, "_Found"),
    "before the final name": (project, "finish"),
}


class TestKilledWhileMaking:
    @pytest.mark.parametrize("point", POINTS)
    def test_the_next_start_makes_or_finishes_it(
        self, fresh: SqlitePlace, monkeypatch: pytest.MonkeyPatch, point: str
    ) -> None:
        module, name = POINTS[point]

        def make() -> str:
            setattr(module, name, lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL))
            fresh.open()
            return "made"

        assert in_child(make) == f"signal {signal.SIGKILL}"
        assert project.read_id(fresh.spool) is None
        ledger = fresh.open()
        assert project.read_id(fresh.spool) == ledger.project_id
        assert ledger.runs() == []

    def test_a_reader_finishes_the_name_too(self, fresh: SqlitePlace) -> None:
        fresh.open().close()
        os.rename(fresh.spool / project.NAME, fresh.spool / f"{project.NAME}.new")
        ledger = look(fresh)
        assert ledger is not None
        assert project.read_id(fresh.spool) == ledger.project_id
        ledger.close()

    def test_an_intent_of_another_making_is_no_id(self, place: SqlitePlace) -> None:
        (place.spool / project.NAME).unlink()
        project.write_intent(place.spool, "01SOMEOTHERPROJECT")
        assert "has no project id" in str(refusal(place))


class TestPostgresql:
    def test_one_that_is_not_there_is_out_of_reach_and_names_no_password(self, fresh: SqlitePlace) -> None:
        url = "postgresql://keeper@127.0.0.1:1/ledger"
        with pytest.raises(DatabaseUnavailable) as caught:
            open_ledger(url, Secret("geheim"), spool=fresh.spool, clock=fresh.clock, create=True)
        chain = repr(caught.value) + repr(caught.value.__cause__) + str(caught.value.hint)
        assert "ledger postgresql://127.0.0.1:1/ledger is out of reach" in str(caught.value)
        assert "geheim" not in chain

    def test_a_password_in_the_url_is_never_shown(self, fresh: SqlitePlace) -> None:
        for url in ("postgresql://keeper:geheim@127.0.0.1:1/x", "postgresql://k:geheim@[::1/x", "oracle://a:geheim@b"):
            with pytest.raises(BatchxferError) as caught:
                open_ledger(url, None, spool=fresh.spool, clock=fresh.clock, create=True)
            assert "geheim" not in f"{caught.value} {caught.value.hint}"

    def test_a_database_that_does_not_exist_is_the_users_to_mend(
        self, postgresql_server: str, fresh: SqlitePlace
    ) -> None:
        url = re.sub(r"/\w+\?", "/nowhere?", postgresql_server)
        with pytest.raises(LedgerError, match='database "nowhere" does not exist'):
            open_ledger(url, None, spool=fresh.spool, clock=fresh.clock, create=True)

    def test_a_schema_that_does_not_exist_is_the_users_to_mend(
        self, postgresql_server: str, fresh: SqlitePlace
    ) -> None:
        url = f"{postgresql_server}&options=-csearch_path%3Dnowhere"
        with pytest.raises(LedgerError, match="no schema of its search path exists"):
            open_ledger(url, None, spool=fresh.spool, clock=fresh.clock, create=True)

    def test_reading_makes_nothing(self, postgresql_database: str, fresh: SqlitePlace) -> None:
        place = PostgresqlPlace(fresh.folder, address=postgresql_database)
        assert open_ledger(place.url, None, spool=place.spool, clock=HandClock(), create=False) is None
        assert place.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()") == []

    def test_an_emptied_database_is_not_taken_for_a_new_one(self, postgresql_database: str, fresh: SqlitePlace) -> None:
        place = PostgresqlPlace(fresh.folder, address=postgresql_database)
        place.open()
        place.close()
        place.execute("DROP SCHEMA " + postgresql_database.rpartition("%3D")[2] + " CASCADE")
        place.execute("CREATE SCHEMA " + postgresql_database.rpartition("%3D")[2])
        with pytest.raises(LedgerError, match="is missing or empty, but the spool"):
            place.open()

    def test_tables_of_ours_without_a_project_are_refused(self, postgresql_database: str, fresh: SqlitePlace) -> None:
        place = PostgresqlPlace(fresh.folder, address=postgresql_database)
        place.execute("CREATE TABLE runs (id int)")
        with pytest.raises(LedgerError, match=r"is no ledger: it holds other tables \(runs\)"):
            place.open()

    def test_another_applications_tables_may_lie_beside(self, postgresql_database: str, fresh: SqlitePlace) -> None:
        place = PostgresqlPlace(fresh.folder, address=postgresql_database)
        place.execute("CREATE TABLE customers (id int)")
        assert place.open().runs() == []
        place.close()

    def test_a_connection_that_broke_is_made_anew(self, postgresql_database: str, fresh: SqlitePlace) -> None:
        place = PostgresqlPlace(fresh.folder, address=postgresql_database)
        ledger = place.open()
        # Of this worker's database only: other workers' tests are at work beside it.
        ours = "application_name = 'batchxfer' AND datname = current_database()"
        place.execute(f"SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE {ours}")
        assert ledger.runs() == []
        place.close()
