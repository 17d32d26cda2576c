"""Rows that SQLite hands over as one JSON text each are the same as those that come value by value."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.databases import _sqlite_json, _sqlite_together
from batchxfer.errors import QueryError, UnwritableValue
from tests.databases import Database, Sqlite
from tests.soak import examples

EVERY = "".join(map(chr, [*range(0x80), 0xE9, 0x2028, 0x65E5, 0xFFFD, 0x1F600]))
MANY = 1500
"""More rows than are fetched to look at them."""


@pytest.fixture(params=["here", "elsewhere"])
def shop(sqlite_shop: Sqlite, request: pytest.FixtureRequest) -> Sqlite:
    """Whose rows are fetched in this process, or in another."""
    if request.param == "elsewhere":
        request.getfixturevalue("elsewhere")
    return sqlite_shop


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each batch was made, in their order; there is more than one."""
    ways: list[str] = []
    monkeypatch.setattr(_sqlite_json, "MOST_ROWS", 1000)

    def spied(where: type, name: str) -> None:
        real = getattr(where, name)
        monkeypatch.setattr(where, name, lambda *words: (ways.append(name), real(*words))[1])

    spied(_sqlite_together.Making, "apart")
    spied(_sqlite_json.Lines, "_one_by_one")
    return ways


def many(shop: Sqlite, rows: list[tuple[Any, ...]]) -> str:
    """A query that gives `rows` MANY times over."""
    with sqlite3.connect(shop.path) as connection:
        connection.execute("create table if not exists numbers (i integer primary key)")
        if not connection.execute("select count(*) from numbers").fetchone()[0]:
            connection.executemany("insert into numbers values (?)", ((i,) for i in range(MANY)))
        connection.execute("drop table if exists t")
        names = ", ".join(f"v{i}" for i in range(len(rows[0])))
        connection.execute(f"create table t ({names})")
        connection.executemany(f"insert into t values ({', '.join('?' * len(rows[0]))})", rows)
    connection.close()
    return f"select {names} from numbers, t order by i, t.rowid"


def test_every_character_and_integer_comes_as_it_is(shop: Sqlite, made: list[str]) -> None:
    rows: list[tuple[Any, ...]] = [
        (1, EVERY, "plain", 1.5, b"\x00\xff"),
        (-(2**63), "", 'say "\\n"', 1e-7, b""),
        (2**63 - 1, "null", '",\\"', 0.1, b"\n"),
        (None, None, "a\nb\r\tc", None, None),
        (0, "\x01\x02\x03\x04", "[1]\n[2]", float("inf"), b"x"),
        (7, " lead", "\\", -0.0, b'"'),
    ]
    result = shop.read(many(shop, rows))
    assert result.types == ["integer", "text", "text", "float", "bytes"]
    assert result.rows == rows * MANY
    assert set(made) == {"apart"}


def test_usual_texts_are_never_taken_apart_in_python(
    shop: Sqlite, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite_json.orjson, "loads", lambda line: pytest.fail("one by one") if made else [*PROBE])
    rows = [(1, 'a "quoted" text', "two\nlines\tand \\"), (None, None, ""), (2, "null", "Café 日本")]
    assert shop.read(many(shop, rows)).rows == rows * MANY


PROBE = [_sqlite_json._EVERY_CHARACTER, -(2**63), None, 2**63 - 1, ""]


@pytest.mark.parametrize("made_by", ["json(v0)", "v0 -> '$.b'", "json_quote(v1)", "json_group_array(v1)"])
def test_what_a_json_function_made_is_a_text(
    shop: Sqlite, made: list[str], made_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    select = _sqlite_json.Lines._select
    monkeypatch.setattr(
        _sqlite_json.Lines, "_select", lambda self, *words: (asked.append(words[-1]), select(self, *words))[1]
    )
    query = many(shop, [('{"a": 1,  "b": "x"}', "null")])
    query = query.replace("v0, v1", f"i, {made_by} as d, v1").replace("order by", "group by i order by")
    with sqlite3.connect(shop.path) as connection:
        expected = connection.execute(query).fetchall()
        connection.execute(f"create view made as {query}")
    connection.close()
    assert shop.values(query) == expected
    assert shop.values("select * from made") == expected
    assert set(made) == {"apart"}
    # Whether SQLite takes such a value for JSON depends on its version, and on how it works the query out.
    assert asked == ["c{}", "c{} || ''"] * 2


def test_rows_that_become_large_come_in_small_batches(shop: Sqlite) -> None:
    many(shop, [(1,)])
    result = shop.read("select i, printf('%.*c', case when i < 1450 then 1 else 1000000 end, 'x') as s from numbers")
    assert [row[0] for row in result.rows] == [*range(MANY)]
    assert max(batch.nbytes for batch in result.batches) < 20_000_000


def test_text_that_is_not_utf8_far_down_is_an_error(shop: Sqlite) -> None:
    many(shop, [(1,)])
    query = "select i, case when i = 1400 then cast(x'41ff' as text) else 'x' end as s from numbers"
    with pytest.raises(UnwritableValue, match="UTF-8"):
        shop.read(query)


@pytest.mark.parametrize("odd", ["5", "1.5", "x'41'"])
def test_a_value_of_another_class_is_never_written_as_if_it_were_of_its_columns(
    shop: Sqlite, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the look at all rows found nothing, for the query gives other rows each time."""
    monkeypatch.setattr("batchxfer.databases._sqlite._are_all", lambda opened, classes: True)
    many(shop, [(1,)])
    with pytest.raises((UnwritableValue, QueryError)):
        shop.read(f"select i, case when i = 1400 then {odd} else 'x' end as s from numbers")


def test_parameters_and_hundreds_of_columns_are_taken_together(shop: Sqlite, made: list[str]) -> None:
    many(shop, [(1,)])
    columns = ", ".join(f"i + :n + {n} as c{n}, 'x{n}' as s{n}" for n in range(130))
    rows = shop.values(f"select {columns} from numbers order by i desc", {"n": 5})
    assert rows[0] == tuple(value for n in range(130) for value in (MANY - 1 + 5 + n, f"x{n}"))
    assert len(rows) == MANY
    assert set(made) == {"apart"}


def test_what_does_not_look_as_it_should_is_read_again_from_there(
    shop: Sqlite, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(1, "a"), (None, "b"), (3, None)]
    query = many(shop, rows)
    apart = _sqlite_together.Making.apart
    monkeypatch.setattr(
        _sqlite_together.Making, "apart", lambda self, *rest: apart(self, *rest) if len(made) < 1 else made.append("-")
    )
    assert shop.values(query) == rows * MANY
    assert made[:3] == ["apart", "-", "_one_by_one"]


def test_without_an_exact_json_array_values_come_one_by_one(
    shop: Sqlite, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchxfer.databases._sqlite.is_exact", lambda driver: False)
    rows = [(1, "a\n"), (None, None)]
    assert shop.values(many(shop, rows)) == rows * MANY
    assert made == []


def test_a_file_in_utf_16_is_read_value_by_value(shop: Sqlite, made: list[str]) -> None:
    with sqlite3.connect(shop.path) as connection:
        connection.execute("pragma encoding = 'UTF-16le'")
        connection.execute("create table first (i)")
    connection.close()
    rows = [(1, EVERY), (None, "Café 日本"), (3, "plain")]
    assert shop.values(many(shop, rows)) == rows * MANY
    assert made == []


VALUES = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "text": st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.text('",\\\n\x01nul[]', max_size=6),
    "real": st.floats(allow_nan=False),
    "blob": st.binary(max_size=4),
}


@pytest.mark.soak
@examples(25, 5_000)
@given(data=st.data())
def test_any_rows_are_those_that_sqlite_has(shop: Sqlite, data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6))
    rows = data.draw(st.lists(st.tuples(*(st.none() | VALUES[kind] for kind in kinds)), min_size=1, max_size=5))
    assert shop.values(many(shop, rows)) == rows * MANY


def test_the_probe_fails_where_characters_are_lost(shop: Database) -> None:
    class Cutting(sqlite3.Connection):
        def execute(self, text: str, parameters: Any = ()) -> Any:
            return super().execute(text, [parameters[0][:5], *parameters[1:]])

    with sqlite3.connect(":memory:") as whole, sqlite3.connect(":memory:", factory=Cutting) as cutting:
        assert _sqlite_json.is_exact(whole)
        assert not _sqlite_json.is_exact(cutting)
    whole.close()
    cutting.close()
