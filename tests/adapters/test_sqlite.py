"""SQLite has no types of columns in a result: what becomes of the storage classes of its values."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from batchxfer.errors import DatabaseUnavailable, PermanentError, QueryError, UnwritableValue
from tests.databases import Database, Sqlite

MANY = "with recursive g(i) as (select 1 union all select i + 1 from g where i < 30000) select"


@pytest.fixture
def shop(sqlite_shop: Sqlite) -> Sqlite:
    return sqlite_shop


def test_the_storage_class_decides(shop: Database) -> None:
    result = shop.read("select 1 as i, 1.0 as r, 'x' as t, x'00ff' as b, null as n")
    assert result.types == ["integer", "float", "text", "bytes", "text"]
    assert result.rows == [(1, 1.0, "x", b"\x00\xff", None)]


def test_a_value_far_down_the_rows_still_says_the_type(shop: Database) -> None:
    result = shop.read(f"{MANY} case when i > 29999 then i end as n from g")
    assert result.types == ["integer"]
    assert result.rows[-1] == (30000,)


def test_integers_beside_reals_keep_their_own_digits(shop: Database) -> None:
    shop.execute(
        "create table t (price decimal(10,2))",
        "insert into t values (10), (12.5), (9007199254740993), (-0.01), (1e-7), (null)",
    )
    result = shop.read("select price from t")
    assert result.types == ["decimal"]
    assert result.rows == [("10",), ("12.5",), ("9007199254740993",), ("-0.01",), ("0.0000001",), (None,)]


@pytest.mark.parametrize("first", [1, 30000])
def test_the_type_does_not_depend_on_which_row_comes_first(shop: Database, first: int) -> None:
    result = shop.read(f"{MANY} case when i = {first} then 1.5 else i end as n from g")
    assert result.types == ["decimal"]
    assert {"1.5", "2"} <= {value for (value,) in result.rows}


@pytest.mark.parametrize(("row", "odd"), [(2, "'x'"), (25000, "'x'"), (25000, "x'00'")])
def test_any_other_mix_is_an_error_with_row_and_column(shop: Database, row: int, odd: str) -> None:
    with pytest.raises(UnwritableValue, match=f"row {row}, column 'n': ") as caught:
        shop.read(f"{MANY} case when i = {row} then {odd} else i end as n from g")
    assert "CAST" in (caught.value.hint or "")


SEEN = "case when i > 1000 then"
"""Behind the rows that are looked at first."""


@pytest.mark.parametrize(
    ("late", "type_"),
    [
        ("null", "decimal"),
        ("7", "decimal"),
        ("2.5", "decimal"),
        ("'x'", None),
        ("x'00'", None),
    ],
)
@pytest.mark.parametrize("at", [1001, 30000])
def test_numbers_of_both_kinds_from_the_first_rows_on(shop: Database, late: str, type_: str | None, at: int) -> None:
    query = f"{MANY} i, case when i = {at} then {late} when i % 2 = 0 then 1.5 else 1 end as n from g"
    if type_ is None:
        with pytest.raises(UnwritableValue, match="row 2, column 'n': "):
            shop.read(query)
    else:
        result = shop.read(query)
        assert result.types == ["integer", type_]
        assert result.rows[:2] == [(1, "1"), (2, "1.5")]
        assert result.rows[at - 1] == (at, None if late == "null" else late)


@pytest.mark.parametrize(("late", "type_"), [("7", "integer"), ("2.5", "float"), ("'x'", "text"), ("x'00'", "bytes")])
def test_a_column_that_begins_with_a_thousand_nulls_has_the_type_of_what_comes(
    shop: Database, late: str, type_: str
) -> None:
    assert shop.read(f"{MANY} i, {SEEN} {late} end as n from g").types == ["integer", type_]
    assert shop.read(f"{MANY} i, {SEEN} null end as n from g").types == ["integer", "text"]


@pytest.mark.parametrize("kinds", [("1", "2.5"), ("2.5", "1")])
@pytest.mark.parametrize("nulls", [500, 1001])
def test_numbers_of_the_other_kind_behind_nulls(shop: Database, kinds: tuple[str, str], nulls: int) -> None:
    query = f"{MANY} i, case when i < {nulls} then null when i < 20000 then {kinds[0]} else {kinds[1]} end as n from g"
    result = shop.read(query)
    assert result.types == ["integer", "decimal"]
    assert result.rows[1500] == (1501, kinds[0])
    assert result.rows[-1] == (30000, kinds[1])


def test_a_column_with_a_collation_that_only_its_owner_has_is_read(shop: Sqlite) -> None:
    connection = sqlite3.connect(shop.path)
    connection.create_collation("house", lambda one, other: 0)
    connection.execute("create table t (n collate house)")
    connection.executemany("insert into t values (?)", [(1,), (1.5,)] * 600)
    connection.commit()
    connection.close()
    assert shop.read("select n, n as m from t").types == ["decimal", "decimal"]


def test_an_empty_result_has_the_declared_types(shop: Database) -> None:
    shop.execute("create table t (i integer, p decimal(10,2), f double, s varchar(9), b blob, d date, x)")
    result = shop.read("select i, p, f, s, b, d, x from t where i > :i", {"i": 3})
    assert result.types == ["integer", "decimal", "float", "text", "bytes", "text", "text"]
    assert result.rows == []


def test_big_integers_are_exact(shop: Database) -> None:
    assert shop.values("select 9223372036854775807, -9223372036854775807 - 1") == [
        (9223372036854775807, -9223372036854775808)
    ]


def test_a_missing_file_is_an_error_and_is_not_made(shop: Sqlite) -> None:
    path = shop.path.with_name("other.db")
    with pytest.raises(DatabaseUnavailable, match=r"no file .*other\.db"):
        shop.read("select 1", url=f"sqlite:///{path}")
    assert not path.exists()


def test_a_file_with_an_odd_name_is_opened(shop: Sqlite) -> None:
    shop.execute("create table t (i integer)", "insert into t values (1)")
    odd = shop.path.rename(shop.path.with_name("50% #1 ü.db"))
    assert shop.values("select i from t", url=f"sqlite:///{odd}") == [(1,)]
    assert shop.values("select i from t", url=f"sqlite:///file:{odd}?mode=rwc&uri=true") == [(1,)]


def test_a_file_that_is_no_database_is_an_error_for_good(shop: Sqlite) -> None:
    shop.path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(PermanentError, match="not a database"):
        shop.read("select 1 from t")


def test_a_locked_file_may_be_tried_again(shop: Sqlite) -> None:
    shop.execute("create table t (i integer)")
    with sqlite3.connect(shop.path, isolation_level=None) as other:
        other.execute("begin exclusive")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            shop.read("select i from t", connect_timeout="1s")
        other.execute("rollback")
    other.close()


@pytest.mark.parametrize(
    ("value", "row"),
    [
        (Decimal("12.50"), 12.5),
        (Decimal("3"), 3),
        (True, 1),
        (datetime(2026, 11, 22, 16, 0), "2026-11-22 16:00:00"),
        (datetime(2026, 11, 22, 16, 0, 0, 5), "2026-11-22 16:00:00.000005"),
    ],
)
def test_parameters_are_bound_as_sqlite_writes_them(shop: Database, value: Any, row: object) -> None:
    assert shop.values("select :v", {"v": value}) == [(row,)]


def test_a_decimal_that_sqlite_cannot_hold_is_refused(shop: Database) -> None:
    with pytest.raises(QueryError, match=r"no exact number .* 0\.12345678901234567890"):
        shop.read("select :v", {"v": Decimal("0.12345678901234567890")})


def test_text_that_is_not_utf8_is_an_error(shop: Database) -> None:
    with pytest.raises(UnwritableValue, match="UTF-8"):
        shop.read("select cast(x'ff' as text) as s")


def test_infinity_is_a_float(shop: Database) -> None:
    result = shop.read("select 9e999 as x")
    assert result.batches[0].schema.types == [pa.float64()]
    assert result.rows == [(float("inf"),)]


def test_a_query_makes_no_file(shop: Sqlite) -> None:
    """ATTACH makes the file that it names, in a session that only reads too."""
    other = shop.path.with_name("other.db")
    with pytest.raises(QueryError, match="too many attached databases"):
        shop.values(f"attach '{other}' as other")
    assert not other.exists()


def test_a_pragma_is_read_as_well(shop: Database) -> None:
    shop.execute("create table t (i integer)")
    assert shop.values("pragma table_info(t)")[0][1] == "i"


def test_a_long_pragma_is_read_to_its_end(shop: Database) -> None:
    shop.execute(f"create table t ({', '.join(f'c{number} integer' for number in range(1500))})")
    assert len(shop.values("pragma table_info(t)")) == 1500
