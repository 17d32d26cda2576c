"""Columns that PostgreSQL puts together are the same bytes, and the same errors, as columns that come one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.databases import postgresql
from batchxfer.errors import QueryError, UnwritableValue
from tests.databases import Database
from tests.merging import KEYS, build, merged, outcome
from tests.soak import examples


@pytest.fixture
def shop(postgresql_shop: Database) -> Database:
    return postgresql_shop


def test_numbers_dates_booleans_and_uuids_come_as_one_text(shop: Database, tmp_path: Path) -> None:
    query = (
        "select 1::int2 as a, -2 as b, 3::int8 as c, 4::oid as d, '-0.50'::numeric as e, date '0044-03-15' as f, true as g,"
        " 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid as h"
    )
    seen: list[pa.RecordBatch] = []
    settled = postgresql.Merging.settled
    with mock.patch.object(
        postgresql.Merging, "settled", lambda self, batch, row: seen.append(batch) or settled(self, batch, row)
    ):
        written = merged(shop, query, tmp_path)
    assert written == b"a,b,c,d,e,f,g,h\n1,-2,3,4,-0.50,0044-03-15,true,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\n"
    assert [batch.num_columns for batch in seen] == [1]


def test_null_is_what_the_format_says_and_empty_text_is_not_null(shop: Database, tmp_path: Path) -> None:
    query = "select * from (values (1, null::numeric, date '2026-11-22', ''), (null, 2.50, null, null)) v(a, b, c, d)"
    assert merged(shop, query, tmp_path) == b'a,b,c,d\n1,,2026-11-22,""\n,2.50,,\n'
    assert merged(shop, query, tmp_path, null="-") == b'a,b,c,d\n1,-,2026-11-22,""\n-,2.50,-,-\n'
    assert merged(shop, query, tmp_path, null="infinity").startswith(b"a,b,c,d\n1,infinity,2026-11-22,")
    assert merged(shop, "select 1 as a, null::date as b", tmp_path, null="infinity") == b"a,b\n1,infinity\n"
    assert merged(shop, query, tmp_path, null=r"\N") == b'a,b,c,d\n1,\\N,2026-11-22,""\n\\N,2.50,\\N,\\N\n'
    written = merged(shop, query, tmp_path, delimiter="||", trailing_delimiter=True, line_ending="crlf", quote="none")
    assert written == b"a||b||c||d||\r\n1||||2026-11-22||||\r\n||2.50||||||\r\n"


@pytest.mark.parametrize(("word", "ours"), [("NaN", "nan"), ("Infinity", "inf"), ("-Infinity", "-inf")])
def test_a_numeric_that_is_no_number_is_spelled_as_ever(shop: Database, tmp_path: Path, word: str, ours: str) -> None:
    query = f"""select i, case when i = 2 then '{word}'::numeric else i * 0.10 end as n, date '2026-11-22' + i as d,
        nullif(i, 3) as m, i % 2 = 0 as b from generate_series(1, 3) i"""
    assert merged(shop, query, tmp_path, header=False) == (
        f"1,0.10,2026-11-23,1,false\n2,{ours},2026-11-24,2,true\n3,0.30,2026-11-25,,false\n".encode()
    )
    assert f"2;{ours};2026-11-24;2;true" in merged(shop, query, tmp_path, delimiter=";", null="NULL").decode()


@pytest.mark.parametrize("day", ["-infinity", "0001-12-31 BC", "10000-01-01"])
@pytest.mark.parametrize("keys", [{}, {"null": "NULL"}, {"null": "infinity"}, {"delimiter": "y"}])
def test_a_date_that_no_file_can_carry_is_the_same_error(
    shop: Database, tmp_path: Path, day: str, keys: dict[str, Any]
) -> None:
    query = f"""select i, date '2026-11-22' as "from", case when i = 25000 then date '{day}' else '9999-12-31' end as due,
        repeat('x', 500) as filler from generate_series(1, 25001) i"""
    errors = []
    for merging in (True, False):
        with pytest.raises(UnwritableValue, match="row 25000, column 'due': ") as caught:
            build(shop, query, tmp_path, merging=merging, **keys)
        errors.append((caught.value.message, caught.value.hint))
    assert errors[0] == errors[1]
    assert not list((tmp_path / "out").iterdir())


def test_a_query_that_fails_in_the_middle_leaves_no_file(shop: Database, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="division by zero"):
        build(shop, "select i, 1 / (i - 60000) as x from generate_series(1, 100000) i", tmp_path, merging=True)
    assert not list((tmp_path / "out").iterdir())


def test_the_order_of_rows_is_kept(shop: Database, tmp_path: Path) -> None:
    written = merged(
        shop,
        "select i, -i as j from generate_series(1, 300000) i order by i desc",
        tmp_path,
        header=False,
    )
    assert written == b"".join(b"%d,-%d\n" % (i, i) for i in range(300000, 0, -1))


def test_chosen_columns_may_be_reordered_converted_counted_and_taken_twice(shop: Database, tmp_path: Path) -> None:
    query = "select i as a, i * 1.5 as b, i * 2 as c, date '2026-11-22' as d from generate_series(1, 3) i"
    columns = [
        {"name": "d"},
        {"name": "c"},
        {"name": "a", "as": "x"},
        {"name": "a", "as": "y", "type": "decimal(5,2)"},
        {"name": "b", "type": "text"},
    ]
    assert merged(
        shop, query, tmp_path, columns=columns, trailer_record="{rows} {sum[c]}", header_record="{count[a]}"
    ) == (b"3\nd,c,x,y,b\n2026-11-22,2,1,1.00,1.5\n2026-11-22,4,2,2.00,3.0\n2026-11-22,6,3,3.00,4.5\n3 12\n")
    assert merged(shop, query, tmp_path, columns=columns[2:4], header=False) == b"1,1.00\n2,2.00\n3,3.00\n"
    assert merged(shop, query, tmp_path, columns=columns[1:3], trailer_record="{sum[b]}", header=False) == (
        b"2,1\n4,2\n6,3\n9.0\n"
    )


@pytest.mark.parametrize(
    "keys",
    [
        {"quote": "all"},
        {"decimal_point": ",", "delimiter": ";"},
        {"delimiter": "-", "quote_char": "'"},
        {"delimiter": "0"},
        {"date_format": "%d.%m.%Y"},
        {"true": "Y", "false": "N"},
        {"encoding": "utf-16"},
        {"null": "0"},
        {"delimiter": "y", "null": "N"},
    ],
)
def test_what_a_format_says_of_values_is_kept(shop: Database, tmp_path: Path, keys: dict[str, Any]) -> None:
    query = """select * from (values (10, 0.50, date '2026-11-22', true, 0), (null, -1, null, false, 7),
        (0, {}, date '2026-11-22', null, 0)) v(a, b, c, d, e)"""
    for number in ("7", "'NaN'::numeric"):
        merged(shop, query.format(number), tmp_path, **keys)


def test_hundreds_of_columns_are_merged(shop: Database, tmp_path: Path) -> None:
    numbers = ", ".join(f"nullif({i}, i) as n{i}" for i in range(300))
    written = merged(shop, f"select {numbers} from (values (7), (-1)) v(i)", tmp_path, header=False)
    whole = ",".join(map(str, range(300)))
    assert written.decode() == whole.replace(",7,", ",,", 1) + "\n" + whole + "\n"


def test_no_expression_of_the_query_is_worked_out_twice(shop: Database, tmp_path: Path) -> None:
    shop.execute(
        "create function costly(i integer) returns integer language plpgsql stable as $$ begin return i; end $$",
    )
    query = "select i, costly(i) as a, costly(i + 1) as b from generate_series(1, 40) i"
    seen: list[str] = []
    statement = postgresql.Merging.statement
    with mock.patch.object(
        postgresql.Merging, "statement", lambda self, text: seen.append(statement(self, text)) or seen[-1]
    ):
        merged(shop, query, tmp_path)
    [plan] = ["\n".join(row[0] for row in shop.execute(f"explain (verbose) {text}")) for text in seen]
    assert plan.count("costly(") == 2


# --- any table in any format ---------------------------------------------------------------------

TYPES = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "oid": st.integers(0, 2**32 - 1),
    "numeric": st.decimals(places=3, allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "Infinity"]),
    "numeric(9,2)": st.decimals(-(10**6), 10**6, places=2) | st.just("NaN"),
    "bool": st.booleans(),
    "date": st.dates(),
    "uuid": st.uuids(),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
    | st.text(" ,;|\t\"'\\\r\nNy-0", max_size=4),
    "float8": st.floats(),
    "timestamp": st.datetimes(),
}


@st.composite
def tables(draw: st.DrawFn) -> str:
    kinds = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=7))
    rows = draw(st.lists(st.tuples(*(st.none() | TYPES[kind] for kind in kinds)), min_size=1, max_size=6))
    return " union all ".join(f"select {', '.join(map(_cast, row, kinds))}" for row in rows)


def _cast(value: object, kind: str) -> str:
    return f"{'null' if value is None else postgresql._literal(str(value))}::{kind}"


@pytest.mark.soak
@examples(60, 20_000)
@given(table=tables(), keys=KEYS)
def test_any_table_in_any_format(shop: Database, tmp_path: Path, table: str, keys: dict[str, Any]) -> None:
    names = ", ".join(f"c{n}" for n in range(table.partition(" union all ")[0].count("::")))
    query = f"select * from ({table}) v({names})"
    assert outcome(shop, query, tmp_path, True, keys) == outcome(shop, query, tmp_path, False, keys)
