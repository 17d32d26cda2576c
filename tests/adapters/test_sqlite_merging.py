"""Columns of SQLite that come as one text are the same bytes, and the same errors, as columns that come one by one."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.databases import _canonical, _sqlite, _sqlite_json, _sqlite_together
from batchxfer.errors import UnwritableValue
from batchxfer.ports import Apart, Query
from tests.databases import Sqlite
from tests.merging import KEYS, build, merged, outcome
from tests.soak import examples

SEEN = 4
"""So many rows are looked at before the others, in these tests."""


@pytest.fixture(params=["here", "elsewhere"])
def shop(sqlite_shop: Sqlite, request: pytest.FixtureRequest) -> Iterator[Sqlite]:
    """Whose rows are fetched in this process, or in another."""
    if request.param == "elsewhere":
        request.getfixturevalue("elsewhere")
    with small_batches():
        yield sqlite_shop


@contextmanager
def small_batches() -> Iterator[None]:
    with mock.patch.object(_canonical, "FIRST_ROWS", SEEN), mock.patch.object(_sqlite_json, "MOST_ROWS", 3):
        yield


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each batch that was to be merged: how many columns it has then, or that it came apart."""
    seen: list[str] = []
    real = _sqlite_together.Making.merged

    def spied(self: Any, *words: Any) -> Any:
        batch = real(self, *words)
        seen.append("again" if batch is None else "apart" if isinstance(batch, Apart) else str(batch.num_columns))
        return batch

    monkeypatch.setattr(_sqlite_together.Making, "merged", spied)
    return seen


def table(
    shop: Sqlite, rows: Sequence[Sequence[Any]], *, plain: Sequence[Any] | None = None, before: int = SEEN
) -> str:
    """A query that gives `rows`, and before them the first, or `plain`, some times over."""
    with sqlite3.connect(shop.path) as connection:
        names = ", ".join(f"v{i}" for i in range(len(rows[0])))
        connection.execute("drop table if exists t")
        connection.execute(f"create table t ({names})")
        every = [plain or rows[0]] * before + [*rows]
        connection.executemany(f"insert into t values ({', '.join('?' * len(rows[0]))})", every)
    connection.close()
    return f"select {names} from t order by rowid"


def test_integers_and_plain_texts_come_as_one_text(shop: Sqlite, tmp_path: Path, came: list[str]) -> None:
    rows = [(1, "Café 日本", -(2**63), "x y", 2**63 - 1, "'[' is not"), (0, "-", 7, "null", 1, "a.b;c|d")]
    query = table(shop, [row[:5] for row in rows])
    written = merged(shop, query, tmp_path, header=False)
    first = "1,Café 日本,-9223372036854775808,x y,9223372036854775807\n".encode()
    assert written == first * (SEEN + 1) + b"0,-,7,null,1\n"
    assert set(came) == {"1"}


def test_what_is_not_plain_from_the_first_rows_on_stays_beside(shop: Sqlite, tmp_path: Path, came: list[str]) -> None:
    rows: list[Sequence[Any]] = [(1, "a", "b, c", 2, "d", 1.5, b"\xff"), (3, "e", ' "f"\n', 4, "g", -0.0, b"")]
    written = merged(shop, table(shop, rows), tmp_path, header=False)
    assert written == b'1,a,"b, c",2,d,1.5,/w==\n' * (SEEN + 1) + b'3,e," ""f""\n",4,g,-0.0,""\n'
    assert set(came) == {"5"}


ODD = [
    "",
    " a",
    "a ",
    "a,b",
    'a"b',
    "a\\b",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\0b",
    "a\x1fb",
    "[",
    "]",
    "a[null",
    "x;y",
    "'",
    "N",
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "keys", [{}, {"delimiter": ";", "quote_char": "'"}, {"null": "N", "quote": "none", "escape": "\\"}]
)
def test_a_text_that_is_not_plain_after_all_is_written_as_ever(
    shop: Sqlite, tmp_path: Path, odd: str, keys: dict[str, Any]
) -> None:
    for place in (2, 7):
        rows = [(i, odd if i == place else "plain", i, "x") for i in range(8)]
        merged(shop, table(shop, rows, plain=(1, "plain", 2, "y")), tmp_path, **keys)


def test_null_is_what_the_format_says_and_empty_text_is_not_null(shop: Sqlite, tmp_path: Path, came: list[str]) -> None:
    rows: list[Sequence[Any]] = [(1, "a", 2), (None, "b", 3), (4, None, None), (None, None, None), (5, "null", 6)]
    query = table(shop, rows)
    for delimiter in (",", "\x01", "|", "||"):
        for null in ("", "-", "NULL", r"\N"):
            written = merged(shop, query, tmp_path, null=null, delimiter=delimiter, header=False, quote_char="'")
            wanted = [["1", "a", "2"]] * (SEEN + 1) + [
                [null, "b", "3"],
                ["4", null, null],
                [null] * 3,
                ["5", "null", "6"],
            ]
            assert written.decode() == "".join(delimiter.join(line) + "\n" for line in wanted)
    assert {*came} <= {"1", "3", "apart"}
    assert came.count("1") > 2 * came.count("apart")


def test_a_text_like_null_is_told_from_null(shop: Sqlite, tmp_path: Path) -> None:
    query = table(shop, [(1, "a"), (2, "NULL"), (None, None), (3, "NULLS")])
    written = merged(shop, query, tmp_path, null="NULL", header=False)
    assert written == b"1,a\n" * (SEEN + 1) + b'2,"NULL"\nNULL,NULL\n3,NULLS\n'


@pytest.mark.parametrize(
    "keys",
    [
        {"quote": "all"},
        {"spreadsheet_safe": True},
        {"delimiter": "||"},
        {"delimiter": "b"},
        {"delimiter": " "},
        {"delimiter": "7"},
        {"quote_char": "«"},
        {"encoding": "utf-16"},
        {"quote_empty": False},
        {"trailing_delimiter": True, "line_ending": "crlf"},
        {"null": "7"},
        {"columns": [{"name": "v1", "as": "x"}, {"name": "v0"}, {"name": "v1", "type": "text"}]},
        {
            "columns": [{"name": "v2"}, {"name": "v0", "type": "decimal(5,2)"}],
            "trailer_record": "{sum[v2]} {count[v0]}",
        },
        {"columns": [{"name": "v1"}, {"name": "v2"}], "trailer_record": "{rows}"},
        {"columns": [{"name": "v0"}, {"name": "v2", "type": "decimal(5,2)"}, {"name": "v1"}]},
        {"trailer_record": "{sum[v2]} {count[v1]}"},
    ],
)
def test_what_a_format_says_of_values_is_kept(shop: Sqlite, tmp_path: Path, keys: dict[str, Any]) -> None:
    rows: list[Sequence[Any]] = [(7, "a b", 70), (8, "=1+1", 7), (None, "7", None), (9, "«", 1), (-7, "", 2)]
    merged(shop, table(shop, rows), tmp_path, **keys)


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ("5", "5 does not fit"),
        ("1.5", "1.5 does not fit"),
        ("x'61'", "b'a' does not fit"),
        ("(select cast(v as text) from bad where n = 1)", "UTF-8"),
        ("(select cast(v as text) from bad where n = 2)", "UTF-8"),
        ("cast(x'61ff' as text)", "UTF-8"),
    ],
)
@pytest.mark.parametrize("at", [SEEN + 1, SEEN + 3, SEEN + 4, 20])
def test_a_value_of_another_class_is_the_same_error(shop: Sqlite, tmp_path: Path, odd: str, why: str, at: int) -> None:
    shop.execute("create table bad (n, v)", "insert into bad values (1, x'61ff'), (2, x'61eda080')")
    query = f"""with recursive g(i) as (select 1 union all select i + 1 from g where i < 20)
        select i, case when i = {at} then {odd} else 'x' end as s, i as j from g"""
    errors = []
    for merging in (True, False):
        with pytest.raises(UnwritableValue, match=why) as caught:
            build(shop, query, tmp_path, merging=merging)
        errors.append((caught.value.message, caught.value.hint))
    assert errors[0] == errors[1]
    assert "UTF-8" in why or errors[0][0].startswith(f"row {at}, column 's': ")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("odd", [5, b"x"])
def test_rows_that_are_read_again_come_in_the_order_that_they_had(shop: Sqlite, tmp_path: Path, odd: Any) -> None:
    """An index that has all columns of the file, and not all of the query, gives them in its own order."""
    rows = [(20 - i, odd if i == SEEN + 2 else "b", "c", "d", "e") for i in range(20)]
    query = table(shop, rows, plain=(20, "a", "c", "d", "e")).removesuffix(" order by rowid")
    shop.execute("create index covering on t (v0, v1)")
    with pytest.raises(UnwritableValue, match=r"row 14, column 'v1': .* does not fit"):
        build(shop, query, tmp_path, merging=True, columns=[{"name": "v0"}, {"name": "v1"}])


@pytest.mark.parametrize("at", [2, SEEN + 1, 20])
def test_a_real_among_integers_makes_decimals_of_all(shop: Sqlite, tmp_path: Path, at: int) -> None:
    query = f"""with recursive g(i) as (select 1 union all select i + 1 from g where i < 20)
        select 'a' as s, case when i = {at} then 1.5 else i end as n, 'b' as t from g"""
    numbers = ["1.5" if i == at else str(i) for i in range(1, 21)]
    assert merged(shop, query, tmp_path, header=False).decode() == "".join(f"a,{n},b\n" for n in numbers)


def test_after_many_batches_apart_it_is_tried_no_longer(shop: Sqlite, tmp_path: Path, came: list[str]) -> None:
    tried: list[int] = []
    real = _sqlite_together.Together.text
    with mock.patch.object(_sqlite_together.Together, "text", lambda *words: (tried.append(1), real(*words))[1]):
        merged(shop, table(shop, [(1, "a,b")] * 60, plain=(1, "a")), tmp_path)
    assert came.count("apart") >= 20
    assert len(tried) < 8


def test_one_batch_apart_does_not_end_it(shop: Sqlite, tmp_path: Path, came: list[str]) -> None:
    rows = [(i, "a,b" if i % 15 == 7 else "a") for i in range(90)]
    merged(shop, table(shop, rows, plain=(1, "a")), tmp_path)
    assert came.count("apart") == 6
    assert came[-1] == "1"


def test_few_rows_come_as_they_are(sqlite_shop: Sqlite, tmp_path: Path, came: list[str]) -> None:
    assert merged(sqlite_shop, table(sqlite_shop, [(1, "a")]), tmp_path, header=False) == b"1,a\n" * (SEEN + 1)
    assert came == []


def test_the_batches_that_are_fetched_ahead_are_few(shop: Sqlite) -> None:
    """Memory does not grow with the number of rows, however slowly they are used."""
    query = table(shop, [(1, "a")] * 300)
    fetched: list[int] = []
    real = _sqlite_json.Lines._packets

    def counted(*words: Any) -> Iterator[Any]:
        for packet in real(*words):
            fetched.append(packet[0])
            yield packet

    with (
        mock.patch.object(_sqlite_json.Lines, "_packets", counted),
        shop.source().read(Query(text=query, parameters={})) as rows,
    ):
        batches = iter(rows)
        next(batches)
        idle = threading.Event()
        for _ in range(20):
            idle.wait(0.01)
        assert 1 <= len(fetched) < 10


@pytest.mark.parametrize("text", ["a", "a,b"])
@pytest.mark.parametrize("at", [SEEN + 2, 30])
def test_after_an_error_nothing_is_locked(shop: Sqlite, tmp_path: Path, at: int, text: str) -> None:
    """Whether or not all rows were fetched by then, and while the error is still looked at."""
    query = table(shop, [(i, b"" if i == at else text) for i in range(31)], plain=(1, text))
    with pytest.raises(UnwritableValue) as caught:
        build(shop, query, tmp_path, merging=True)
    with sqlite3.connect(shop.path, timeout=0) as other:
        other.execute("drop table t")
    other.close()
    assert caught.tb is not None


def test_an_error_while_batches_are_made_is_raised(shop: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: Any) -> pa.RecordBatch:
        raise ZeroDivisionError

    query = table(shop, [(1, "a")] * 30)
    monkeypatch.setattr(_sqlite_together.Making, "apart", broken)
    with pytest.raises(ZeroDivisionError):
        shop.read(query)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("database", "batches"))]


# --- any table in any format ---------------------------------------------------------------------

PLAIN = st.text("abcé日 .-'|;7Ny", min_size=1, max_size=4) | st.sampled_from(["plain", "null", "N", "NULL"])
VALUES = {
    "integer": st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9),
    "text": PLAIN,
    "odd": st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    | st.text(" ,;|\t\"'\\\r\n[]\x01Nnul7", max_size=5),
    "real": st.floats(allow_nan=False),
    "blob": st.binary(max_size=3),
    "any number": st.integers(-9, 9) | st.floats(allow_nan=False),
}


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    kinds = draw(st.lists(st.sampled_from([*VALUES, "integer", "text", "text"]), min_size=1, max_size=7))
    columns = [VALUES[kind] | st.none() if draw(st.booleans()) else VALUES[kind] for kind in kinds]
    rows = draw(st.lists(st.tuples(*columns), min_size=1, max_size=12))
    if draw(st.booleans()):
        # One value that may not be of its column's kind, often behind all that were looked at.
        at, index = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(kinds) - 1))
        other = draw(st.one_of(*VALUES.values()))
        rows[at] = (*rows[at][:index], other, *rows[at][index + 1 :])
    return rows


@pytest.mark.soak
@examples(60, 20_000)
@given(rows=tables(), keys=KEYS, large=st.sampled_from([0, 1 << 40]))
def test_any_table_in_any_format(
    sqlite_shop: Sqlite, tmp_path: Path, rows: list[tuple[Any, ...]], keys: dict[str, Any], large: int
) -> None:
    query = table(sqlite_shop, rows, before=0)
    with small_batches(), mock.patch.object(_sqlite, "LARGE_BYTES", large):
        together = outcome(sqlite_shop, query, tmp_path, True, keys)
        assert together == outcome(sqlite_shop, query, tmp_path, False, keys)
    with mock.patch.object(_sqlite, "is_exact", return_value=False):
        alone = outcome(sqlite_shop, query, tmp_path, False, keys, looking=True)
    assert together == alone or (isinstance(together, str) and isinstance(alone, str))
