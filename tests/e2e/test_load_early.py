"""A large file is loaded while it is fetched: whatever comes between, its rows are in the table once it was taken, and once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from batchxfer import early_load, inbox, incoming, wiring
from batchxfer.codec import _records, delimited
from batchxfer.databases import _postgresql_load
from batchxfer.endpoints import local
from batchxfer.errors import DatabaseUnavailable, NetworkError
from tests.databases import Database
from tests.e2e.command import until
from tests.e2e.desk import Desk, desk_fixture  # noqa: F401

ROWS = [(number, f"name {number}") for number in range(2_000)]
CONTENT = "id|name\n" + "".join(f"{number}|{name}\n" for number, name in ROWS)
PIECE = 1_000
COPYING = (
    "select pid from pg_stat_activity where datname = current_database() and query ilike 'copy %' and state = 'active'"
)
LOAD = """
format = "psv"
done_file = "{path}.done"
%s
[load]
database = "stock"
table = "parts"
"""


@dataclass
class Fetching:
    """A fetch that waits, once it is beyond `at` bytes, until the database is given rows."""

    shop: Database
    early: list[bool] = field(default_factory=list)
    at: int = len(CONTENT) - PIECE
    then: Callable[[], None] = lambda: None

    def wrote(self, total: int) -> None:
        if total > self.at and not self.early:
            until(self.is_loading, 20)
            self.early.append(True)
            self.then()

    def is_loading(self) -> bool:
        return bool(self.shop.execute(COPYING))

    def anew(self) -> None:
        self.early.clear()
        self.at, self.then = len(CONTENT) - PIECE, lambda: None


@dataclass
class Place:
    desk: Desk
    shop: Database
    fetching: Fetching

    def loads(self, file: str = "", load: str = "") -> None:
        self.desk.pulls(LOAD % file + load, "box/*.psv")

    def put(self, content: str = CONTENT) -> Path:
        path = self.desk.put("box/a.psv", content)
        self.desk.put("box/a.psv.done", "")
        return path

    def rows(self) -> list[tuple[Any, ...]]:
        return self.shop.execute("select id, name from parts order by id, name")

    def loads_recorded(self) -> int:
        (count,) = self.shop.execute("select count(*) from batchxfer_loads")[0]
        return int(count)

    @property
    def was_early(self) -> bool:
        return self.fetching.early == [True]


@pytest.fixture
def fetching(postgresql_shop: Database, monkeypatch: pytest.MonkeyPatch) -> Fetching:
    fetching = Fetching(postgresql_shop)
    write = inbox.Arrival.write

    def slow_write(arrival: inbox.Arrival, data: bytes | memoryview) -> None:
        write(arrival, data)
        fetching.wrote(arrival.bytes)

    monkeypatch.setattr(early_load, "WORTH_BYTES", 1)
    monkeypatch.setattr(early_load, "TRIAL_BYTES", 1)
    monkeypatch.setattr(local, "_PIECE_BYTES", PIECE)
    monkeypatch.setattr(inbox.Arrival, "write", slow_write)
    monkeypatch.setattr(_records, "_READ_BYTES", PIECE)
    return fetching


@pytest.fixture
def place(desk: Desk, postgresql_shop: Database, fetching: Fetching) -> Iterator[Place]:
    with (desk.folder / "config.toml").open("a") as config:
        config.write(f'[databases.stock]\nurl = "{postgresql_shop.url}"\n')
    postgresql_shop.execute("create table parts (id integer, name varchar(20))")
    made = Place(desk, postgresql_shop, fetching)
    made.loads()
    yield made
    assert not [thread for thread in threading.enumerate() if thread.name == "load-early"]


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[str]:
    """The names of the threads that have called it."""
    calls: list[str] = []
    call = getattr(owner, name)

    def noted(*words: Any) -> Any:
        calls.append(threading.current_thread().name)
        return call(*words)

    monkeypatch.setattr(owner, name, noted)
    return calls


def test_its_rows_are_on_their_way_before_it_is_here_and_nobody_sees_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = counted(monkeypatch, _postgresql_load.Target, "_begin")
    seen: list[Any] = []
    clock: list[Any] = []

    def look() -> None:
        seen.append(place.rows())
        clock.extend(place.shop.execute("select clock_timestamp() at time zone 'UTC'"))

    place.fetching.then = look
    place.put()
    run = place.desk.pull()
    assert place.was_early
    assert seen == [[]]
    assert place.rows() == ROWS
    assert (run["files"][0]["status"], run["files"][0]["rows"]) == ("done", len(ROWS))
    assert place.loads_recorded() == 1
    assert place.shop.execute("select loaded_at from batchxfer_loads") > clock
    assert begun == ["load-early"]


def test_a_key_finds_the_rows_that_are_there(place: Place) -> None:
    place.loads(load='mode = "upsert"\nkey = ["id"]\n')
    place.shop.execute("create unique index on parts (id)", "insert into parts values (7, 'old'), (-1, 'other')")
    place.put()
    place.desk.pull()
    assert place.was_early
    assert place.rows() == [(-1, "other"), *ROWS]


def grows(path: Path) -> None:
    with path.open("a") as file:
        file.write("9999|more\n")


def is_written_anew(path: Path) -> None:
    path.write_text(CONTENT.replace("name", "mane"))
    os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.mark.parametrize("change", [grows, is_written_anew])
def test_a_file_that_changes_while_it_is_fetched_leaves_nothing(place: Place, change: Callable[[Path], None]) -> None:
    path = place.put()
    place.fetching.then = lambda: change(path)
    run = place.desk.pull(code=3)
    assert place.was_early
    assert place.rows() == []
    assert place.loads_recorded() == 0
    path.write_text(CONTENT)
    place.desk.put("box/a.psv.done", "")
    assert place.desk("retry", run["run"], "--json").run["status"] == "delivered"
    assert place.rows() == ROWS


def test_a_line_that_breaks_leaves_nothing_and_the_rest_is_loaded_with_what_is_here(place: Place) -> None:
    def breaks() -> None:
        raise NetworkError("the line broke", hint="it is tried again")

    place.fetching.at, place.fetching.then = len(CONTENT) // 2, breaks
    place.put()
    run = place.desk.pull(code=3)
    assert place.was_early
    assert place.rows() == []
    place.fetching.anew()
    assert place.desk("retry", run["run"], "--json").run["status"] == "delivered"
    assert place.was_early
    assert place.rows() == ROWS


def test_what_is_here_and_is_not_the_files_is_not_loaded(place: Place) -> None:
    def breaks() -> None:
        raise NetworkError("the line broke", hint="it is tried again")

    place.fetching.at, place.fetching.then = len(CONTENT) // 2, breaks
    place.put()
    run = place.desk.pull(code=3)
    place.fetching.anew()
    # The end of what is here differs: it is fetched from its beginning.
    (kept,) = (place.desk.folder / "var/in/rates").glob("**/.*.kept")
    kept.write_bytes(kept.read_bytes().replace(b"name", b"mane"))
    assert place.desk("retry", run["run"], "--json").run["status"] == "delivered"
    assert place.was_early
    assert place.rows() == ROWS
    assert place.loads_recorded() == 1


def test_a_bad_record_is_told_as_ever(place: Place) -> None:
    place.put(CONTENT.replace("\n1990|", "\nmany|"))
    run = place.desk.pull(code=1)
    assert place.was_early
    assert "line 1992, column 'id': 'many': it is not a number" in run["reason"]
    assert place.rows() == []
    assert place.loads_recorded() == 0


def test_a_bad_record_is_put_aside_as_ever(place: Place) -> None:
    place.loads(load='on_bad_record = "quarantine"\n')
    place.put(CONTENT.replace("\n1990|", "\nmany|"))
    (file,) = place.desk.pull()["files"]
    assert place.was_early
    assert (file["rows"], file["bad_rows"]) == (len(ROWS) - 1, 1)
    assert Path(file["bad_path"]).read_text().count("\n") == 1
    assert place.rows() == [row for row in ROWS if row[0] != 1990]


def test_a_row_that_is_refused_late_is_told_as_ever_without_another_load(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_load, "AGAIN_SECONDS", -1.0)
    copies = counted(monkeypatch, _postgresql_load.Loading, "_copy")
    place.shop.execute("create unique index on parts (id)", "insert into parts values (1990, 'old')")
    place.put()
    run = place.desk.pull(code=1)
    assert place.was_early
    assert "box/a.psv: line 1992: database 'stock': duplicate key" in run["reason"]
    assert place.rows() == [(1990, "old")]
    assert copies == ["load-early"]


def test_what_ends_before_its_file_does_is_not_committed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = delimited.Decoder.decode
    cut: list[bool] = []

    def decode_one(decoder: delimited.Decoder, text: Any) -> Iterator[Any]:
        for item in decode(decoder, text):
            yield item
            if not cut:
                cut.append(True)
                return

    monkeypatch.setattr(delimited.Decoder, "decode", decode_one)
    place.fetching.at = len(CONTENT)
    place.put()
    assert place.desk.pull()["status"] == "delivered"
    assert cut
    assert place.rows() == ROWS
    assert place.loads_recorded() == 1


def test_the_guard_stands_before_the_commit(place: Place) -> None:
    place.loads(load=f"[guard]\nmax_rows = {len(ROWS) - 1}\n")
    place.put()
    run = place.desk.pull(code=4)
    assert place.was_early
    assert run["status"] == "held"
    assert place.rows() == []
    assert place.desk("release", run["run"]).code == 0
    assert place.rows() == ROWS


def test_a_known_file_under_another_name_is_left_out(place: Place) -> None:
    place.loads('same_content = "skip"')
    place.put()
    place.desk.pull()
    place.fetching.anew()
    place.desk.put("box/b.psv", CONTENT)
    place.desk.put("box/b.psv.done", "")
    place.desk.clock.later(3600)
    run = place.desk.pull()
    assert place.was_early
    assert place.desk.states(run)["box/b.psv"] == "skipped"
    assert place.rows() == ROWS
    assert place.loads_recorded() == 1


@pytest.mark.parametrize(
    ("policy", "content", "state"),
    [
        ("take", CONTENT, "skipped"),
        ("skip", CONTENT + "9999|more\n", "skipped"),
        ("hold", CONTENT + "9999|more\n", "seen"),
    ],
)
def test_what_may_well_be_left_alone_is_not_put_into_the_database(
    place: Place, monkeypatch: pytest.MonkeyPatch, policy: str, content: str, state: str
) -> None:
    copies = counted(monkeypatch, _postgresql_load.Loading, "_copy")
    place.loads(f'changed = "{policy}"')
    place.put()
    place.desk.pull()
    place.fetching.anew()
    place.fetching.at = len(content)
    place.put(content)
    place.desk.clock.later(3600)
    run = place.desk.pull(code=4 if policy == "hold" else 0)
    assert place.desk.states(run)["box/a.psv"] == state
    assert copies == ["load-early"]
    assert place.rows() == ROWS


def test_a_known_name_with_other_bytes_is_loaded_early_too(place: Place) -> None:
    place.put()
    place.desk.pull()
    place.fetching.anew()
    place.put("id|name\n" + "".join(f"{number}|other {number}\n" for number in range(3_000)))
    place.desk.clock.later(3600)
    place.desk.pull()
    assert place.was_early
    assert len(place.rows()) == len(ROWS) + 3_000


def test_a_commit_whose_answer_is_lost_is_not_made_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = _postgresql_load.Loading.commit
    lost: list[str] = []

    def commit_and_lose(loading: _postgresql_load.Loading) -> None:
        commit(loading)
        if not lost:
            lost.append(threading.current_thread().name)
            raise DatabaseUnavailable("the line broke", hint="it is tried again")

    monkeypatch.setattr(_postgresql_load.Loading, "commit", commit_and_lose)
    place.put()
    assert place.desk.pull()["status"] == "delivered"
    assert lost == ["load-early"]
    assert place.rows() == ROWS
    assert place.loads_recorded() == 1


def test_what_the_disk_gives_back_wrong_is_not_loaded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    read = incoming.Incoming._read
    wrong: list[int] = []

    def other(content: incoming.Incoming, size: int, at: int) -> bytes:
        piece = read(content, size, at)
        if at and not wrong:
            wrong.append(at)
            return piece.replace(b"name", b"mane")
        return piece

    monkeypatch.setattr(incoming.Incoming, "_read", other)
    # Making it may read a secret from a pipe, where it is once.
    made = counted(monkeypatch, wiring.Toolbox, "target")
    place.put()
    place.desk.pull()
    assert place.was_early
    assert wrong
    assert place.rows() == ROWS
    assert made == ["load-early"]


def test_a_server_that_cannot_be_asked_to_stop_is_left_without_a_word(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(connection: object, *, timeout: float) -> None:
        raise psycopg.OperationalError("cancellation failed: connection refused")

    def breaks() -> None:
        raise NetworkError("the line broke", hint="it is tried again")

    monkeypatch.setattr(psycopg.Connection, "cancel_safe", refuse)
    place.fetching.then = breaks
    place.put()
    with psycopg.connect(place.shop.url) as other:
        other.execute("lock table parts in access exclusive mode")
        place.desk.pull(code=3)
    assert place.was_early
    assert "cancellation" not in capfd.readouterr().err
    assert place.rows() == []


def test_a_table_that_another_one_locks_keeps_no_attempt_from_its_end(place: Place) -> None:
    def breaks() -> None:
        raise NetworkError("the line broke", hint="it is tried again")

    place.fetching.then = breaks
    place.put()
    with psycopg.connect(place.shop.url) as other:
        other.execute("lock table parts in access exclusive mode")
        began = time.monotonic()
        place.desk.pull(code=3)
        # The lock is not waited for: that would take a statement_timeout of 15 minutes.
        assert time.monotonic() - began < 30
        until(lambda: not place.fetching.is_loading(), 20)
    assert place.was_early
    assert place.rows() == []


def test_who_waits_too_long_for_the_rest_lets_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "LONGEST_SECONDS", 0.2)
    place.fetching.then = lambda: until(lambda: not place.fetching.is_loading(), 20)
    place.put()
    assert place.desk.pull()["status"] == "delivered"
    assert place.was_early
    assert place.rows() == ROWS
    assert place.loads_recorded() == 1


def never_soon(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setattr(early_load, "SOON_SECONDS", -1.0)


def is_small(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setattr(early_load, "WORTH_BYTES", len(CONTENT) + 1)


def replaces(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    place.loads(load='mode = "replace"\n[guard]\nmin_rows = 1\n')


def is_one_of_two(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    for name in ("box/0.psv", "box/z.psv"):
        place.desk.put(name, "id|name\n" + "-1|other\n" * 3_000)
        place.desk.put(f"{name}.done", "")


def writes_elsewhere(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    place.shop.execute(
        "create function nothing() returns trigger language plpgsql as 'begin return new; end'",
        "create trigger elsewhere before insert on parts for each row execute function nothing()",
    )


def has_no_thread(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "load-early":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("why_not", [never_soon, is_small, replaces, is_one_of_two, has_no_thread, writes_elsewhere])
def test_a_file_is_loaded_once_it_is_here_where_that_is_better(
    place: Place, monkeypatch: pytest.MonkeyPatch, why_not: Callable[[pytest.MonkeyPatch, Place], None]
) -> None:
    loads = counted(monkeypatch, _postgresql_load.Loading, "_copy")
    monkeypatch.setattr(place.fetching, "wrote", lambda total: None)
    why_not(monkeypatch, place)
    place.put()
    assert place.desk.pull()["status"] == "delivered"
    assert loads
    assert "load-early" not in loads
    assert [row for row in place.rows() if row[0] >= 0] == ROWS
