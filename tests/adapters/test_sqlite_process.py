"""Rows of SQLite that a process of its own fetches: what may happen to it, and to the one that has started it."""

from __future__ import annotations

import marshal
import os
import signal
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batchxfer.databases import _sqlite, _sqlite_json, _sqlite_process, _sqlite_rows
from batchxfer.databases._sqlite_process import Process
from batchxfer.errors import DatabaseUnavailable, UnwritableValue
from batchxfer.ports import Query, Rows
from tests.databases import Sqlite
from tests.merging import build, merged
from tests.processes import Say, child

MANY = 60_000
"""Rows that do not fit into a pipe."""


def counting(last: int) -> str:
    return f"with recursive g(i) as (select 1 union all select i + 1 from g where i < {last}) "


ROWS = counting(MANY) + "select i, 'a plain text' as s from g"
# The first rows come at once; the others never do.
STUCK = counting(1 << 60) + "select 'x' as s from g where i <= 1500 or i < 0"


@pytest.fixture
def shop(sqlite_shop: Sqlite, elsewhere: list[Process]) -> Iterator[Sqlite]:
    yield sqlite_shop
    # None is left, not even as one that nobody has asked how it ended.
    assert all(process is None or process._process.returncode is not None for process in elsewhere)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_there(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not asked for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def pid_of(elsewhere: list[Process]) -> int:
    return elsewhere[-1]._process.pid


def is_unlocked(shop: Sqlite) -> bool:
    try:
        with sqlite3.connect(shop.path, timeout=0, isolation_level=None) as other:
            other.execute("begin exclusive").execute("rollback")
    except sqlite3.OperationalError:
        return False
    finally:
        other.close()
    return True


# --- when ----------------------------------------------------------------------------------------


def test_many_rows_are_fetched_elsewhere_and_are_the_same(
    shop: Sqlite, tmp_path: Path, elsewhere: list[Process]
) -> None:
    written = merged(shop, ROWS, tmp_path, header=False)
    assert written.decode() == "".join(f"{i},a plain text\n" for i in range(1, MANY + 1))
    assert len(elsewhere) == 3
    assert None not in elsewhere


def test_few_rows_and_those_of_a_small_file_are_fetched_here(
    shop: Sqlite, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.read(counting(900) + "select i from g")
    monkeypatch.undo()
    monkeypatch.setattr(_sqlite, "started", lambda *words, **more: pytest.fail("begun"))
    shop.read(ROWS)
    assert elsewhere == []


@pytest.mark.parametrize("name", ["50% #1 ü.db", "a b?c&mode=rwc.db", "-I"])
def test_a_file_with_an_odd_name_is_read_elsewhere(shop: Sqlite, elsewhere: list[Process], name: str) -> None:
    shop.execute("create table t (i)", f"insert into t {counting(2000)} select i from g")
    odd = shop.path.rename(shop.path.with_name(name))
    values = shop.values("select i from t", url=f"sqlite:///{str(odd).replace('?', '%3F')}")
    assert values == [(i,) for i in range(1, 2001)] or "?" in name
    assert len(elsewhere) == 1


def test_parameters_are_bound_there(shop: Sqlite, elsewhere: list[Process]) -> None:
    values = shop.values(counting(2000) + "select i, :word as w, :real as r from g", {"word": "é'\0", "real": 0.1})
    assert values == [(i, "é'\0", 0.1) for i in range(1, 2001)]
    assert len(elsewhere) == 1


def test_where_no_process_can_be_started_the_rows_come_from_here(
    shop: Sqlite, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("", "/no/such/python", "/bin/false", "/bin/cat"):
        monkeypatch.setattr(sys, "executable", program)
        assert len(shop.values(ROWS)) == MANY
    assert elsewhere == [None] * 4


def test_another_sqlite_is_not_asked(shop: Sqlite, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.0.0")
    assert len(shop.values(ROWS)) == MANY
    assert elsewhere == [None]


# --- one state of the database -------------------------------------------------------------------


@pytest.mark.parametrize("committed", [True, False])
def test_rows_that_were_committed_since_are_not_mixed_in(
    shop: Sqlite, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """With a write-ahead log another process would see them."""
    shop.execute("pragma journal_mode = wal", "create table t (i)", f"insert into t {counting(2000)} select i from g")
    started = _sqlite.started

    def late(*words: Any, **more: Any) -> Process | None:
        if committed:
            shop.execute("update t set i = -i")
        return started(*words, **more)

    here: list[int] = []
    real = _sqlite_json.Lines._here
    monkeypatch.setattr(_sqlite, "started", late)
    monkeypatch.setattr(_sqlite_json.Lines, "_here", lambda *words: (here.append(1), real(*words))[1])
    assert shop.values("select i from t") == [(i,) for i in range(1, 2001)]
    assert len(elsewhere) == 1
    assert bool(here) == committed


def test_a_writer_who_waits_for_this_one_is_not_waited_for(
    shop: Sqlite, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.execute("create table t (i)", f"insert into t {counting(2000)} select i from g")
    started = _sqlite.started
    writer = sqlite3.connect(shop.path, timeout=0, isolation_level=None, check_same_thread=False)

    def late(*words: Any, **more: Any) -> Process | None:
        writer.execute("begin immediate").execute("delete from t")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.execute("commit")
        return started(*words, **more)

    monkeypatch.setattr(_sqlite, "started", late)
    begun = time.monotonic()
    assert len(shop.values("select i from t")) == 2000
    assert time.monotonic() - begun < 8
    assert elsewhere == [None]
    writer.execute("commit")
    writer.close()


def test_a_value_that_is_read_again_here_is_of_the_same_state(shop: Sqlite, elsewhere: list[Process]) -> None:
    shop.execute("pragma journal_mode = wal", "create table t (i, s)")
    shop.execute(f"insert into t {counting(40_000)} select i, case i when 30000 then 5 else 'x' end from g")
    with shop.source().read(Query(text="select i, s from t", parameters={})) as rows:
        batches = iter(rows)
        next(batches)
        shop.execute("delete from t where i < 20000")
        with pytest.raises(UnwritableValue, match=r"row 30000, column 's': 5 does not fit"):
            deque(batches)
    assert len(elsewhere) == 1


# --- its end -------------------------------------------------------------------------------------


def test_a_process_that_is_killed_is_an_error_that_may_be_tried_again(
    shop: Sqlite, tmp_path: Path, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _sqlite_json.Making.merged

    def killing(self: Any, *words: Any) -> Any:
        elsewhere[0]._process.kill()
        return real(self, *words)

    monkeypatch.setattr(_sqlite_json.Making, "merged", killing)
    with pytest.raises(DatabaseUnavailable, match=r"database 'shop': .* broke off: it was ended by signal 9") as caught:
        build(shop, counting(1_000_000) + "select i, 'x' as s from g", tmp_path, merging=True)
    assert "short" in (caught.value.hint or "")
    assert list((tmp_path / "out").iterdir()) == []


def test_leaving_ends_it_at_once(shop: Sqlite, elsewhere: list[Process]) -> None:
    """Also while it looks for a row, and somebody waits for it."""

    def wait(rows: Rows) -> None:
        with suppress(DatabaseUnavailable):
            next(iter(rows))

    with shop.source().read(Query(text=STUCK, parameters={})) as rows:
        waiting = threading.Thread(target=wait, args=(rows,))
        waiting.start()
        until(lambda: bool(elsewhere))
    waiting.join(20)
    assert not waiting.is_alive()
    assert elsewhere[0]._process.returncode == -signal.SIGKILL
    assert is_unlocked(shop)


def test_a_query_that_takes_too_long_ends_there_too(shop: Sqlite, elsewhere: list[Process]) -> None:
    with pytest.raises(DatabaseUnavailable, match="took longer than statement_timeout"):
        shop.read(STUCK, statement_timeout="1s")
    assert elsewhere[0]._process.returncode in (0, -signal.SIGKILL)


def test_a_process_that_stands_still_is_not_waited_for(
    shop: Sqlite, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite_process, "_GRACE_SECONDS", 0.2)
    started = _sqlite.started

    def stopped(*words: Any, **more: Any) -> Process | None:
        process = started(*words, **more)
        os.kill(pid_of(elsewhere), signal.SIGSTOP)
        return process

    monkeypatch.setattr(_sqlite, "started", stopped)
    with pytest.raises(DatabaseUnavailable, match="took longer than statement_timeout"):
        shop.read(STUCK, statement_timeout="1s")


@pytest.mark.parametrize("query", [STUCK, counting(1 << 60) + "select 'x' as s from g"])
def test_it_ends_with_who_has_started_it(shop: Sqlite, elsewhere: list[Process], query: str) -> None:
    """Whether it has rows to write, or not."""

    def reads(say: Say) -> None:
        with shop.source().read(Query(text=query, parameters={})) as rows:
            threading.Thread(target=lambda: next(iter(rows), None), daemon=True).start()
            until(lambda: bool(elsewhere))
            say(str(pid_of(elsewhere)))
            time.sleep(60)

    with child(reads) as reader:
        pid = int(reader.line())
        assert is_there(pid)
        assert not is_unlocked(shop)
        reader.send(signal.SIGKILL)
        reader.wait()
        try:
            until(lambda: not is_there(pid))
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert is_unlocked(shop)


def test_what_ends_a_whole_group_of_processes_is_not_its_to_take(
    shop: Sqlite, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = _sqlite.started

    def signalled(*words: Any, **more: Any) -> Process | None:
        process = started(*words, **more)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid_of(elsewhere), number)
        return process

    monkeypatch.setattr(_sqlite, "started", signalled)
    assert len(shop.values(ROWS)) == MANY


def test_it_has_a_group_of_its_own_and_nothing_else_of_who_has_started_it(
    shop: Sqlite, elsewhere: list[Process], tmp_path: Path
) -> None:
    with (tmp_path / "secret").open("w") as file, shop.source().read(Query(text=ROWS, parameters={})) as rows:
        os.set_inheritable(file.fileno(), True)
        next(iter(rows))
        pid = pid_of(elsewhere)
        opened = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert os.getpgid(pid) == pid
        assert opened <= {"/dev/null", str(shop.path), *(name for name in opened if name.startswith("pipe:"))}
        words = Path(f"/proc/{pid}/cmdline").read_text()
        assert words.split("\0")[1:] == ["-I", "-S", _sqlite_rows.__file__, ""]


# --- what it answers -----------------------------------------------------------------------------

GREETING = f"""
import sys, struct, marshal
marshal.load(sys.stdin.buffer)
out = sys.stdout.buffer
head = struct.Struct({_sqlite_rows.HEAD.format!r})
def say(kind, rows, data):
    out.write(head.pack(kind, rows, len(data)) + data)
say({_sqlite_rows.READY!r}, 0, {sqlite3.sqlite_version.encode()!r})
"""
TWO = marshal.dumps([b'[1,"x"]\n[2,"x"]'])


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ("", "it ended with 0"),
        ("sys.exit(3)", "it ended with 3"),
        ("out.write(b'rows.')", "it ended with 0"),
        ("say(b'hello', 0, b'')", "it answers b'hello'"),
        ("out.write(head.pack(b'rows.', 1, 1 << 50))", "it answers b'rows.'"),
        ("say(b'rows.', 1, b'?')", "its answer cannot be read"),
        ("say(b'rows.', 1, b'')", "its answer cannot be read"),
        (f"say(b'rows.', 2, {TWO[:-3]!r})", "its answer cannot be read"),
        (f"say(b'rows.', 2, {TWO!r})", "it ended with 0"),
    ],
)
def test_an_answer_that_nobody_understands_is_an_error_and_never_the_end(
    shop: Sqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str, why: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(GREETING + answers)
    monkeypatch.setattr(_sqlite_rows, "__file__", str(program))
    with pytest.raises(DatabaseUnavailable) as caught:
        shop.read(ROWS)
    assert f"database 'shop': the process that fetches the rows broke off: {why}" in caught.value.message


@pytest.mark.parametrize(
    ("name", "words", "error"),
    [
        ("OperationalError", "disk I/O error", DatabaseUnavailable),
        ("DatabaseError", "database disk image is malformed", _sqlite.PermanentError),
        ("OperationalError", "Could not decode to UTF-8 column 's' with text 'x'", UnwritableValue),
        ("MemoryError", "", DatabaseUnavailable),
        ("SystemExit", "odd", _sqlite.PermanentError),
    ],
)
def test_what_the_driver_raised_there_is_raised_here(
    shop: Sqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str, error: type[Exception]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(GREETING + f"say(b'error', 0, marshal.dumps({(name, words)!r}))")
    monkeypatch.setattr(_sqlite_rows, "__file__", str(program))
    with pytest.raises(error, match=words[:20] or "out of memory"):
        shop.read(ROWS)


def test_a_damaged_file_is_the_same_error_as_ever(shop: Sqlite, elsewhere: list[Process]) -> None:
    shop.execute("create table t (i, s)", f"insert into t {counting(60_000)} select i, 'some text of a row' from g")
    data = bytearray(shop.path.read_bytes())
    data[len(data) // 2 & ~0xFFF : -8192] = bytes(len(data[len(data) // 2 & ~0xFFF : -8192]))
    shop.path.write_bytes(data)
    with pytest.raises(_sqlite.PermanentError, match="malformed"):
        shop.read("select s from t")
    assert len(elsewhere) == 1


# --- packets -------------------------------------------------------------------------------------


def test_rows_that_become_large_do_not_fill_its_memory(shop: Sqlite, elsewhere: list[Process]) -> None:
    large = "printf('%.*c', case when i < 1100 then 1 else 1000000 end, 'x')"
    query = Query(text=counting(1250) + f"select i, i as j, {large} as s from g", parameters={})
    most = 0
    with shop.source().read(query) as rows:
        for _ in rows:
            with suppress(FileNotFoundError):
                status = Path(f"/proc/{pid_of(elsewhere)}/status").read_text()
                most = max([most, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
    assert 20_000 < most < 200_000


@pytest.mark.parametrize(
    "texts", [["a", "b"], ["a\nb", "c"], [None, "x"], ["", ""], ["é日", "\0"], ["", None, "\n"], ["a", 5, b"x", 1.5]]
)
def test_a_packet_has_the_values_that_were_fetched(texts: list[Any]) -> None:
    rows = [(text, i) for i, text in enumerate(texts * 3)]
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (s, i)")
        connection.executemany("insert into t values (?, ?)", rows)
        for size in (1, 2, 100):
            cursor = connection.execute("select s, i from t order by i")
            limits = {"piece": 1, "skip": 1, "most_rows": size, "most_bytes": 1000}
            found: list[tuple[Any, ...]] = []
            for count, (column, numbers) in _sqlite_rows.packets(cursor, kinds=["text", "number"], **limits):
                values = _sqlite_rows.listed(column) if isinstance(column, bytes) else column
                assert len(values) == len(numbers) == count <= size
                found += zip(values, numbers, strict=True)
            assert found == rows[1:]
    connection.close()


# --- numbers that need not be told apart ---------------------------------------------------------


@pytest.mark.parametrize("odd", ["1.5", "1e300", "-0.0", "2.0", "9e18"])
@pytest.mark.parametrize("at", [1001, 30_000, MANY])
def test_a_real_among_integers_changes_no_byte(
    shop: Sqlite, tmp_path: Path, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch, odd: str, at: int
) -> None:
    query = counting(MANY) + f"select 'a' as s, case when i = {at} then {odd} else i end as n, i as j, 'b' as t from g"
    expected = build(shop, query, tmp_path, merging=False, looking=True)
    begun = len(elsewhere)
    monkeypatch.setattr(_sqlite_json.Lines, "_one_by_one", lambda *words: pytest.fail("value by value"))
    assert build(shop, query, tmp_path, merging=True) == expected
    # Once with the integers, and once more from the packet on that has the real.
    assert len(elsewhere) == begun + 2


def test_integers_are_not_looked_at_where_no_byte_depends_on_it(
    shop: Sqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite, "_are_as_seen", lambda *words: pytest.fail("looked"))
    build(shop, ROWS, tmp_path, merging=True)
    build(shop, ROWS, tmp_path, merging=True, trailer_record="{rows}")
    for keys in ({"columns": [{"name": "i", "type": "decimal(9,2)"}]}, {"trailer_record": "{sum[i]}"}):
        with pytest.raises(pytest.fail.Exception):
            build(shop, ROWS, tmp_path, merging=True, **keys)
