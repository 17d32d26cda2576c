"""What MariaDB's types become, and what its session is like."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from datetime import time as clock_time
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from batchxfer.databases._mysql import constant_offset
from batchxfer.errors import CredentialError, NotSupported, PermanentError, QueryError, UnwritableValue
from batchxfer.ports import Query
from tests.databases import Database

SUMMER = datetime(2026, 6, 30, 22, 0, tzinfo=UTC)


@pytest.fixture
def shop(mariadb_shop: Database) -> Database:
    return mariadb_shop


@pytest.mark.parametrize(
    ("declared", "literal", "type_name", "arrow", "value"),
    [
        ("tinyint(1)", "true", "integer", pa.int64(), 1),
        ("bigint unsigned", "18446744073709551615", "integer", pa.uint64(), 18446744073709551615),
        ("bigint", "-9223372036854775808", "integer", pa.int64(), -9223372036854775808),
        ("int unsigned", "4294967295", "integer", pa.int64(), 4294967295),
        ("year", "2026", "integer", pa.int64(), 2026),
        ("decimal(12,2)", "12.5", "decimal(12,2)", pa.string(), "12.50"),
        ("decimal(12,2) unsigned", "0.01", "decimal(12,2)", pa.string(), "0.01"),
        ("decimal(5,0)", "7", "decimal(5,0)", pa.string(), "7"),
        ("decimal(65,10)", "-1", "decimal(65,10)", pa.string(), "-1.0000000000"),
        ("double", "0.1", "float", pa.float64(), 0.1),
        ("double", "1e-7", "float", pa.float64(), 1e-7),
        ("date", "'2026-11-22'", "date", pa.date32(), date(2026, 11, 22)),
        ("time", "'01:02:03'", "time", pa.time64("us"), clock_time(1, 2, 3)),
        ("time(6)", "'23:59:59.5'", "time", pa.time64("us"), clock_time(23, 59, 59, 500000)),
        ("datetime", "'2026-11-22 01:02:03'", "timestamp", pa.timestamp("us"), datetime(2026, 11, 22, 1, 2, 3)),
        (
            "datetime(6)",
            "'2026-11-22 01:02:03.000001'",
            "timestamp",
            pa.timestamp("us"),
            datetime(2026, 11, 22, 1, 2, 3, 1),
        ),
        ("varchar(20)", "'Café 日本'", "text", pa.string(), "Café 日本"),
        ("varchar(20) character set latin1", "'Café'", "text", pa.string(), "Café"),
        ("longtext", "'x'", "text", pa.string(), "x"),
        ("enum('a','b')", "'b'", "text", pa.string(), "b"),
        ("set('x','y')", "'y,x'", "text", pa.string(), "x,y"),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "text", pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("bit(5)", "b'00101'", "text", pa.string(), "00101"),
        ("blob", "x'00ff'", "bytes", pa.binary(), b"\x00\xff"),
        ("varbinary(9)", "'ab'", "bytes", pa.binary(), b"ab"),
        ("json", '\'{"b": 1.10,\\n "a": [1, "x y"]}\'', "json", pa.string(), '{"b":1.10,"a":[1,"x y"]}'),
    ],
)
def test_a_type_becomes(
    shop: Database, declared: str, literal: str, type_name: str, arrow: pa.DataType, value: Any
) -> None:
    shop.execute(f"create table t (n int, x {declared} null)", f"insert into t values (1, {literal}), (2, null)")
    result = shop.read("select x from t order by n")
    assert result.types == [type_name]
    assert result.batches[0].schema.types == [arrow]
    assert result.rows == [(value,), (None,)]


@pytest.mark.parametrize(
    "text",
    [
        "select f, n as f from t order by 2 desc",
        "with q as (select * from t) select f, n from q order by n desc",
        "with q as (select * from t) select f, n from q order by n desc limit 3",
        "select f, n from t where n > 1 union all select f, n from t where n <= 1 order by 2 desc;",
        "select f, n from t order by n desc limit 3 -- the end",
    ],
)
def test_a_small_float_is_exact_and_the_order_is_kept(shop: Database, text: str) -> None:
    shop.execute("create table t (n int, f float)", "insert into t values (2, 0.1), (1, 16777217), (3, 0.12345679)")
    result = shop.read(text)
    assert result.batches[0].schema.types[0] == pa.float32()
    expected = pa.array([0.12345679, 0.1, 16777216], pa.float32())
    assert result.batches[0].column(0).equals(expected)


def test_a_time_that_is_none_of_a_day_is_an_error_with_row_column_and_value(shop: Database) -> None:
    with pytest.raises(UnwritableValue, match="row 2, column 'span': P1DT1H: it is not a time of day"):
        shop.values("select time '00:00:00' as span union all select time '25:00:00'")


def test_the_zone_of_a_timestamp_is_the_sessions(shop: Database) -> None:
    shop.execute("create table t (at timestamp(6) null)", "set time_zone = '+00:00'")
    shop.execute("insert into t values (from_unixtime(1782856800.5))")
    result = shop.read("select at from t where at > :at", {"at": SUMMER}, timezone="Asia/Seoul")
    assert result.types == ["timestamptz"]
    assert result.rows == [(datetime(2026, 6, 30, 22, 0, 0, 500000, UTC),)]
    assert shop.values("select @@time_zone", timezone="Asia/Seoul") == [("+09:00",)]


def test_a_zone_that_the_server_lacks_is_refused_where_it_matters(shop: Database) -> None:
    shop.execute("create table t (at datetime)", "insert into t values ('2026-07-01 00:00:00')")
    assert shop.values("select at from t where at = :at", {"at": SUMMER}, timezone="Europe/Berlin") == [
        (datetime(2026, 7, 1),)
    ]
    with pytest.raises(PermanentError, match="'Europe/Berlin'") as caught:
        shop.read("select now()", timezone="Europe/Berlin")
    assert "mariadb-tzinfo-to-sql" in (caught.value.hint or "")
    shop.execute("create table u (at timestamp)")
    with pytest.raises(PermanentError, match="'Europe/Berlin'"):
        shop.read("select at from u", timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("zone", "offset"),
    [("UTC", "+00:00"), ("Asia/Seoul", "+09:00"), ("Asia/Kathmandu", "+05:45"), ("America/Phoenix", "-07:00")],
)
def test_a_zone_that_does_not_change_is_an_offset(zone: str, offset: str) -> None:
    assert constant_offset(ZoneInfo(zone)) == offset


def test_a_zone_that_changes_is_none() -> None:
    assert constant_offset(ZoneInfo("Europe/Berlin")) is None


@pytest.mark.parametrize(
    ("declared", "literal", "shown"),
    [
        ("date", "'0000-00-00'", "'0000-00-00'"),
        ("datetime", "'0000-00-00 00:00:00'", "'0000-00-00 00:00:00'"),
        ("date", "'2026-11-00'", "'2026-11-00'"),
        ("time", "'25:00:00'", "P1DT1H"),
        ("time", "'-00:00:01'", "PT-1S"),
    ],
)
def test_a_date_that_is_none_is_an_error_with_row_and_column(
    shop: Database, declared: str, literal: str, shown: str
) -> None:
    shop.execute(
        "set sql_mode = ''",
        f"create table t (x {declared})",
        "insert into t values (null)",
        f"insert into t values ({literal})",
    )
    with pytest.raises(UnwritableValue, match="row 2, column 'x': ") as caught:
        shop.read("select x from t")
    assert shown in caught.value.message


def test_a_comment_and_a_literal_of_mysql_hide_a_parameter(shop: Database) -> None:
    assert shop.values("select 'it\\'s :x', '%s' # :y\n, :z", {"z": 1}) == [("it's :x", "%s", 1)]


def test_a_table_that_must_not_be_read_is_named(shop: Database) -> None:
    name = shop.execute("select database()")[0][0]
    shop.execute(
        "create table t (i int)", "create or replace user clerk identified by 'pw'", f"grant usage on {name}.* to clerk"
    )
    shop.execute("create table open_table (i int)", f"grant select on {name}.open_table to clerk")
    url = shop.url.replace("root@", "clerk@")
    with pytest.raises(QueryError) as caught:
        shop.read("select * from t", url=url, password="pw")
    assert caught.value.hint == "grant the user SELECT on it"
    with pytest.raises(CredentialError) as refused:
        shop.read("select 1", url=url, password="hunter2")
    assert "hunter2" not in str(refused.value)


def test_json_is_seen_with_the_right_to_read_alone(shop: Database) -> None:
    name = shop.execute("select database()")[0][0]
    shop.execute(
        "create table t (j json)",
        "insert into t values ('[1, 2]')",
        "create or replace user reader identified by 'pw'",
        f"grant select on {name}.t to reader",
    )
    assert shop.read("select x.j from t x", url=shop.url.replace("root@", "reader@"), password="pw").types == ["json"]


def test_another_driver_is_not_taken(shop: Database) -> None:
    with pytest.raises(NotSupported) as caught:
        shop.read("select 1", url="mysql+mysqldb://x@h/d")
    assert caught.value.hint == "write mysql+pymysql://…"


def test_leaving_early_ends_a_query_that_has_fallen_asleep(shop: Database) -> None:
    text = "select repeat('x', 100) as x, sleep(if(seq > 2000, 60, 0)) as s from seq_1_to_3000"
    with shop.source().read(Query(text=text, parameters={})) as rows:
        assert next(iter(rows)).num_rows > 0
    asleep = "select info from information_schema.processlist where info like '%seq_1_to_3000'"
    deadline = time.monotonic() + 10
    while shop.execute(asleep):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- rows after the first thousand come off the wire by themselves ----------------------------------

HOSTILE = {
    "bigint": ["-9223372036854775808", "9223372036854775807", "0", "-7"],
    "bigint unsigned": ["18446744073709551615", "0"],
    "int(9) zerofill": ["7", "4294967295"],
    "year": ["2026", "0"],
    "decimal(65,30)": ["-0.000000000000000000000000000001", "99999999999999999999999999999999999.5", "0"],
    "decimal(9,2) zerofill": ["12.5", "0.01"],
    "float": ["0.1", "16777217", "-3.4e38", "1e-45"],
    "double": ["0.1", "-1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "-0e0", "123456789012345678"],
    "date": ["'0001-01-01'", "'9999-12-31'", "'2024-02-29'"],
    "datetime(6)": ["'0001-01-01 00:00:00'", "'9999-12-31 23:59:59.999999'", "'2026-11-22 01:02:03.000001'"],
    "datetime(2)": ["'2026-11-22 01:02:03.5'"],
    "timestamp(6) null": ["'2026-07-01 00:00:00.25'", "'1970-01-01 10:00:01'"],
    "time(6)": ["'00:00:00'", "'23:59:59.999999'"],
    "varchar(400)": [
        "''",
        "'NULL'",
        "'null'",
        "repeat('x', 250)",
        "repeat('x', 251)",
        "repeat('é', 200)",
        "'a\\0\\nb\\\\'",
        "'😀'",
    ],
    "longtext": ["repeat('y', 65535)", "repeat('y', 65536)", "''"],
    "varbinary(300)": ["x'fbfcfdfeff00'", "x''", "repeat(x'ff', 251)"],
    "bit(10)": ["b'1000000001'", "b'0'"],
    "json": ['\'{"a": 1.10, "b": [1, "x  y"]}\'', '\'" \\\\" "\''],
    "enum('a','ß')": ["'ß'", "'a'"],
    "uuid": ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul"])
def test_a_value_far_down_the_rows_is_the_one_that_it_would_be_at_their_top(shop: Database, zone: str) -> None:
    period = 1 + max(len(literals) for literals in HOSTILE.values())
    names = [f"c{number}" for number in range(len(HOSTILE))]
    rows = [[[*literals, *["null"] * period][number] for literals in HOSTILE.values()] for number in range(period)]
    shop.execute(
        f"create table t (n int primary key, {', '.join(map(' '.join, zip(names, HOSTILE, strict=True)))})",
        *(f"insert into t values ({number}, {', '.join(row)})" for number, row in enumerate(rows)),
    )
    columns = ", ".join(names)
    result = shop.read(
        f"select {columns} from t, seq_1_to_400 where n < 7 or seq % 50 = 0 order by seq, n", timezone=zone
    )
    assert len(result.rows) > 2000
    assert len(result.batches) > 1
    again = shop.read(f"select {columns} from t order by n", timezone=zone).rows
    wanted = [again[n] for seq in range(1, 401) for n in range(period) if n < 7 or seq % 50 == 0]
    assert repr(result.rows) == repr(wanted)


@pytest.mark.parametrize(
    ("declared", "literal", "shown"),
    [
        ("date", "'0000-00-00'", "'0000-00-00'"),
        ("datetime", "'2026-00-10 00:00:00'", "'2026-00-10 00:00:00'"),
        ("time", "'-00:00:01'", "PT-1S"),
    ],
)
def test_a_date_that_is_none_far_down_the_rows_is_an_error_with_row_and_column(
    shop: Database, declared: str, literal: str, shown: str
) -> None:
    shop.execute(
        "set sql_mode = ''",
        f"create table t (n int primary key, x {declared})",
        "insert into t select seq, if(seq % 2, '2026-01-01', '10:00:00') from seq_1_to_2999"
        if declared == "time"
        else "insert into t select seq, '2026-01-01 00:00:00' from seq_1_to_2999",
        f"insert into t values (3000, {literal})",
    )
    with pytest.raises(UnwritableValue, match="row 3000, column 'x': ") as caught:
        shop.read("select x from t order by n")
    assert shown in caught.value.message


@pytest.mark.parametrize("rows", [3, 3000])
def test_a_value_that_is_too_large_for_the_server_is_no_null(shop: Database, rows: int) -> None:
    """The server gives NULL and a warning."""
    text = f"select seq, if(seq = {rows}, repeat('x', @@max_allowed_packet + 1), 1 / 0) as x from seq_1_to_{rows}"
    with pytest.raises(UnwritableValue, match="max_allowed_packet") as caught:
        shop.read(text)
    assert "raise max_allowed_packet" in (caught.value.hint or "")


def test_other_warnings_do_not_matter(shop: Database) -> None:
    assert shop.values("select 1 / 0 as x, cast('12abc' as int) as n") == [(None, 12)]
