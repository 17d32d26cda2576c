"""What PostgreSQL's types become, and what its errors are called."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, date, datetime
from datetime import time as clock_time
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from batchxfer.errors import (
    CredentialError,
    DatabaseUnavailable,
    NotSupported,
    PermanentError,
    QueryError,
    UnwritableValue,
)
from batchxfer.ports import Query
from tests.databases import Database


@pytest.fixture
def shop(postgresql_shop: Database) -> Database:
    return postgresql_shop


@pytest.mark.parametrize(
    ("expression", "type_name", "arrow", "value"),
    [
        ("1::int2", "integer", pa.int16(), 1),
        ("-2147483648", "integer", pa.int32(), -2147483648),
        ("9223372036854775807", "integer", pa.int64(), 9223372036854775807),
        ("4000000000::oid", "integer", pa.int64(), 4000000000),
        ("12.50::numeric(12,2)", "decimal", pa.string(), "12.50"),
        ("-0.01::numeric", "decimal", pa.string(), "-0.01"),
        ("123456789012345678901234567890.10::numeric", "decimal", pa.string(), "123456789012345678901234567890.10"),
        ("1e30::numeric", "decimal", pa.string(), "1" + "0" * 30),
        ("'NaN'::numeric", "decimal", pa.string(), "nan"),
        ("'-Infinity'::numeric", "decimal", pa.string(), "-inf"),
        ("0.1::float8", "float", pa.float64(), 0.1),
        ("'-inf'::float8", "float", pa.float64(), -math.inf),
        ("true", "boolean", pa.bool_(), True),
        ("'0001-01-01'::date", "date", pa.date32(), date(1, 1, 1)),
        ("'9999-12-31'::date", "date", pa.date32(), date(9999, 12, 31)),
        ("'01:02:03.5'::time", "time", pa.time64("us"), clock_time(1, 2, 3, 500000)),
        (
            "'9999-12-31 23:59:59.999999'::timestamp",
            "timestamp",
            pa.timestamp("us"),
            datetime(9999, 12, 31, 23, 59, 59, 999999),
        ),
        (
            "'2026-11-23 01:02:03.5+09'::timestamptz",
            "timestamptz",
            pa.timestamp("us", "UTC"),
            datetime(2026, 11, 22, 16, 2, 3, 500000, UTC),
        ),
        ("'Café'", "text", pa.string(), "Café"),
        ("'ab'::varchar(9)", "text", pa.string(), "ab"),
        ("'ab'::char(4)", "text", pa.string(), "ab  "),
        ("'name'::name", "text", pa.string(), "name"),
        ("'c'::\"char\"", "text", pa.string(), "c"),
        ("null", "text", pa.string(), None),
        (
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid",
            "uuid",
            pa.string(),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("'\\x00ff'::bytea", "bytes", pa.binary(), b"\x00\xff"),
        ("'1 year -2 days 03:04:05.5'::interval", "interval", pa.string(), "P1Y-2DT3H4M5.5S"),
        ("'0'::interval", "interval", pa.string(), "PT0S"),
        ('\'{"b": 1.10,  "a": [1, "x \\" y"]}\'::jsonb', "json", pa.string(), '{"a":[1,"x \\" y"],"b":1.10}'),
        (
            'E\'{ "b" :\\n12345678901234567890.10, "b" : "\\\\u0020 "}\'::json',
            "json",
            pa.string(),
            '{"b":12345678901234567890.10,"b":"\\u0020 "}',
        ),
        ("array[1,null,3]", "json", pa.string(), "[1,null,3]"),
        ("array[[1.50,2],[3,4]]", "json", pa.string(), "[[1.50,2],[3,4]]"),
        ("array['a, b','{c}']", "json", pa.string(), '["a, b","{c}"]'),
        ("'{}'::int[]", "json", pa.string(), "[]"),
        ("array['{ \"a\": 1.0}'::json]", "json", pa.string(), '[{"a":1.0}]'),
        ("array['2026-11-22'::date]", "json", pa.string(), '["2026-11-22"]'),
        ("int2vector '1 2'", "text", pa.string(), "1 2"),
        ("'01:02:03+02'::timetz", "text", pa.string(), "01:02:03+02"),
        ("b'101'", "text", pa.string(), "101"),
        ("'1.2.3.4/8'::inet", "text", pa.string(), "1.2.3.4/8"),
        ("int4range(1,5)", "text", pa.string(), "[1,5)"),
        ("row(1,'a b')", "text", pa.string(), '(1,"a b")'),
        ("'a:1 b'::tsvector", "text", pa.string(), "'a':1 'b'"),
        ("pg_sleep(0)", "text", pa.string(), ""),
    ],
)
def test_a_type_becomes(shop: Database, expression: str, type_name: str, arrow: pa.DataType, value: Any) -> None:
    result = shop.read(f"select {expression} as x union all select null")
    assert result.types == [type_name]
    assert result.batches[0].schema.types == [arrow]
    assert result.rows == [(value,), (None,)]


def test_a_small_float_stays_small(shop: Database) -> None:
    result = shop.read("select 0.1::float4 as x")
    assert result.batches[0].schema.types == [pa.float32()]
    assert result.batches[0].column(0)[0] == pa.scalar(0.1, pa.float32())


def test_domains_and_enums_are_what_is_beneath_them(shop: Database) -> None:
    shop.execute(
        "create domain price as numeric(8,3)",
        "create domain dear as price check (value > 100)",
        "create type mood as enum ('glad', 'sad')",
        "create type pair as (a integer, b text)",
    )
    result = shop.read(
        "select 101.5::dear as d, 'sad'::mood as m, array['sad'::mood] as ms, row(1, null)::pair as p, 1::oid as o"
    )
    assert result.types == ["decimal(8,3)", "text", "json", "text", "integer"]
    assert result.rows == [("101.500", "sad", '["sad"]', "(1,)", 1)]


@pytest.mark.parametrize(
    "expression",
    [
        "'infinity'::date",
        "'-infinity'::date",
        "'0001-12-31 BC'::date",
        "'10000-01-01'::date",
        "'5874897-12-31'::date",
        "'infinity'::timestamp",
        "'-infinity'::timestamptz",
        "'0044-03-15 BC'::timestamp",
        "'10000-01-01'::timestamp",
        "'294276-12-31 23:59:59'::timestamptz",
        "'24:00'::time",
        "'infinity'::interval",
    ],
)
def test_a_date_that_no_file_can_carry_is_an_error_with_row_and_column(shop: Database, expression: str) -> None:
    kind = expression.rpartition("::")[2]
    usual = {"time": "'00:00'", "interval": "'1 day'"}.get(kind, "'2026-11-22'")
    due = f"case when i = 25000 then {expression} else {usual}::{kind} end as due"
    with pytest.raises(UnwritableValue, match="row 25000, column 'due': "):
        shop.read(f"select repeat('x', 500) as filler, {due} from generate_series(1, 25001) i")


def test_the_settings_of_the_server_do_not_matter(shop: Database) -> None:
    # In this database only: the other tests' processes have the same role.
    [(role, database)] = shop.execute("select current_user, current_database()")
    where = f"role {role} in database {database}"
    settings = {
        "datestyle": "'SQL, DMY'",
        "intervalstyle": "'sql_standard'",
        "extra_float_digits": "-3",
        "bytea_output": "'escape'",
        "timezone": "'America/New_York'",
        "standard_conforming_strings": "off",
        "client_min_messages": "debug5",
    }
    shop.execute(*(f"alter {where} set {key} = {value}" for key, value in settings.items()))
    try:
        rows = shop.values(
            "select '1 day'::interval, array[0.12345679::float4], array['2026-11-22'::date], array['\\x01'::bytea], :s as s,"
            " 'c\\d', current_setting('TimeZone'), now()::text like '%+09'",
            {"s": "a\\b"},
            timezone="Asia/Seoul",
        )
    finally:
        shop.execute(f"alter {where} reset all")
    assert rows == [("P1D", "[0.12345679]", '["2026-11-22"]', '["\\\\x01"]', "a\\b", "c\\d", "Asia/Seoul", True)]


def test_parameters_have_types(shop: Database) -> None:
    values: dict[str, Any] = {
        "at": datetime(2026, 11, 22, 16, 0, tzinfo=UTC),
        "wall": datetime(2026, 11, 22, 16, 0),
        "day": date(2026, 11, 22),
        "time": clock_time(1, 2),
        "flag": True,
        "n": -5,
    }
    text = ", ".join(f"pg_typeof(:{name})::text" for name in values)
    assert shop.values(f"select {text}, 2 -:n as m, :n::text as t", values) == [
        (
            "timestamp with time zone",
            "timestamp without time zone",
            "date",
            "time without time zone",
            "boolean",
            "integer",
            7,
            "-5",
        )
    ]


def test_a_text_that_postgresql_cannot_hold_is_a_wrong_query(shop: Database) -> None:
    with pytest.raises(QueryError, match="NUL"):
        shop.read("select :s", {"s": "a\0b"})


@pytest.mark.parametrize(
    "text", ["show timezone", "explain select 1", "with x as (delete from t returning 1) select * from x"]
)
def test_what_is_no_select_is_said_so(shop: Database, text: str) -> None:
    shop.execute("create table t (i integer)")
    with pytest.raises(QueryError, match="not a SELECT, or it changes data"):
        shop.read(text)


def test_parentheses_cannot_break_out(shop: Database) -> None:
    with pytest.raises(QueryError):
        shop.read("select 1) q, (select 2")


def test_an_error_says_the_line_and_what_postgresql_advises(shop: Database) -> None:
    shop.execute("create table orders (id integer, price numeric)")
    with pytest.raises(QueryError) as caught:
        shop.read("-- orders\nselect id,\n  prize\nfrom orders where id = :id", {"id": 1})
    assert caught.value.message == "database 'shop': column \"prize\" does not exist; line 3: prize"
    assert caught.value.hint == 'Perhaps you meant to reference the column "orders.price".'


def test_a_server_that_goes_away_in_the_middle_may_be_tried_again(shop: Database) -> None:
    query = Query(text="select i from generate_series(1, 5000000) i", parameters={})
    ours = "application_name = 'batchxfer' and datname = current_database()"
    kill = f"select pg_terminate_backend(pid) from pg_stat_activity where {ours}"
    with shop.source().read(query) as rows:
        batches = iter(rows)
        next(batches)
        shop.execute(kill)
        with pytest.raises(DatabaseUnavailable):
            list(batches)


def test_describing_and_reading_see_one_moment(shop: Database) -> None:
    text = "select current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    assert shop.values(text) == [("repeatable read", "on")]


def test_a_login_that_is_refused_is_an_error_for_good(shop: Database) -> None:
    with pytest.raises(CredentialError) as caught:
        shop.read("select 1", url=shop.url.replace("postgres@", "nobody@"), password="hunter2")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(PermanentError, match="nowhere"):
        shop.read("select 1", url=re.sub(r"/\w+\?", "/nowhere?", shop.url))


def test_a_bad_url_is_not_repeated(shop: Database) -> None:
    with pytest.raises(NotSupported) as caught:
        shop.read("select 1", url="postgresql://x:hun%ter2@h/d")
    assert "hun" not in str(caught.value)


def test_a_url_may_name_a_driver(shop: Database) -> None:
    assert shop.values("select 1", url=shop.url.replace("postgresql:", "postgresql+psycopg:")) == [(1,)]


def test_text_that_is_not_utf8_is_an_error(shop: Database) -> None:
    with psycopg.connect(shop.url, autocommit=True) as connection:
        connection.execute("drop database if exists raw")
        connection.execute("create database raw encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'")
    url = re.sub(r"/\w+\?", "/raw?", shop.url)
    with pytest.raises(QueryError, match="0xff"):
        shop.read("select convert_from('\\xff', 'SQL_ASCII') as s", url=url)


def test_leaving_early_ends_a_query_that_has_fallen_asleep(shop: Database) -> None:
    text = "select repeat('x', 1000), pg_sleep(case when i > 20000 then 60 else 0 end) from generate_series(1, 30000) i"
    ours = "select pid from pg_stat_activity where application_name = 'batchxfer' and datname = current_database()"
    # A ledger of another test may be open.
    before = set(shop.execute(ours))
    with shop.source().read(Query(text=text, parameters={})) as rows:
        assert next(iter(rows)).num_rows > 0
    deadline = time.monotonic() + 10
    while not set(shop.execute(ours)) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
