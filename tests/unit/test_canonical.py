"""How the values of Python drivers become Arrow columns, whatever the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from batchxfer.databases import _canonical as canonical
from batchxfer.databases import sqlalchemy as adapter
from batchxfer.databases._backend import Backend
from batchxfer.databases._mysql import MysqlBackend
from batchxfer.definitions import DatabaseOptions
from batchxfer.errors import DatabaseUnavailable, NotSupported, QueryError, UnwritableValue
from batchxfer.model import ColumnType, TypeName
from batchxfer.ports import Query

NUMBERS = (
    st.none() | st.integers(-9, 9) | st.integers() | st.floats() | st.sampled_from([2**53, 2**53 + 1, 1e15, 1e16, -0.0])
)


@example([1, 2.0, None, -3, 0.5, -0.0])
@example([1e-5, 0.0001, 99999999999999.9])
@example([float("inf"), 0.5])
@example([float("nan"), 0.5])
@given(st.lists(NUMBERS | st.integers(-999, 999).map(lambda cents: cents / 100), max_size=6))
def test_many_digits_are_those_of_each(values: list[Any]) -> None:
    reader = canonical.digits_reader("n", ColumnType(TypeName.DECIMAL))
    texts = [None if value is None else canonical.digits(value) for value in values]
    assert reader.array(values, 1).to_pylist() == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+2"), "100"),
        (Decimal("-1E-7"), "-0.0000001"),
        (Decimal("0E-10"), "0.0000000000"),
        (Decimal("NaN"), "nan"),
        (Decimal("-Infinity"), "-inf"),
        (1e-07, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (0.1, "0.1"),
        (7, "7"),
    ],
)
def test_digits_have_no_exponent(value: Any, text: str) -> None:
    assert canonical.digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(days=1), "P1D"),
        (timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=500), "P1DT2H3M4.5S"),
        (timedelta(microseconds=1), "PT0.000001S"),
        (-timedelta(hours=1, seconds=1), "PT-1H-1S"),
        (timedelta(hours=100), "P4DT4H"),
    ],
)
def test_a_duration_is_written_as_iso_8601(value: timedelta, text: str) -> None:
    assert canonical.duration(value) == text


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        ('{ "a" : 1.10 ,\n"b c" : [ 1e400, "x \\" , y" , "\\\\" ] }', '{"a":1.10,"b c":[1e400,"x \\" , y","\\\\"]}'),
        ('"  "', '"  "'),
        ("[]", "[]"),
    ],
)
def test_json_loses_its_space_and_keeps_its_tokens(text: str, compact: str) -> None:
    assert canonical.compact_json(text) == compact


VALUES: list[tuple[TypeName, Any, Any]] = [
    (TypeName.INTEGER, 7, "7"),
    (TypeName.INTEGER, 10**30, "1" + "0" * 30),
    (TypeName.DECIMAL, Decimal("1.50"), "1.50"),
    (TypeName.FLOAT, 0.1, 0.1),
    (TypeName.BOOLEAN, True, True),
    (TypeName.TEXT, "x", "x"),
    (TypeName.BYTES, b"x", b"x"),
    (TypeName.BYTES, bytearray(b"x"), b"x"),
    (TypeName.DATE, date(2026, 1, 1), date(2026, 1, 1)),
    (TypeName.TIME, time(1, 2), time(1, 2)),
    (TypeName.TIMESTAMP, datetime(2026, 1, 1), datetime(2026, 1, 1)),
    (TypeName.TIMESTAMPTZ, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    (
        TypeName.TIMESTAMPTZ,
        datetime(2026, 1, 1, tzinfo=ZoneInfo("Asia/Seoul")),
        datetime(2025, 12, 31, 15, tzinfo=UTC),
    ),
    (TypeName.INTERVAL, timedelta(days=1), "P1D"),
    (TypeName.UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (TypeName.JSON, {"a": [1, "b"]}, '{"a":[1,"b"]}'),
]


def backend(url: str = "sqlite://") -> Backend:
    return Backend("shop", DatabaseOptions(url=url), sa.make_url(url))


@pytest.mark.parametrize(("type_name", "value", "carried"), VALUES)
def test_a_value_says_the_type_of_its_column(type_name: TypeName, value: Any, carried: Any) -> None:
    assert canonical.type_of(value) == type_name
    array = backend().reader("x", type_name).array([None, value], 1)
    assert array.to_pylist() == [None, carried]


@pytest.mark.parametrize(("type_name", "value", "_carried"), VALUES)
@pytest.mark.parametrize("odd", [object(), "x", 1.5, datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), True])
def test_a_value_of_another_type_is_an_error_with_row_and_column(
    type_name: TypeName, value: Any, _carried: Any, odd: object
) -> None:
    if canonical.type_of(odd) == type_name or (type_name == TypeName.DECIMAL and isinstance(odd, float)):
        return
    if type_name == TypeName.JSON and isinstance(odd, str):
        return
    with pytest.raises(UnwritableValue, match="row 12, column 'x': "):
        backend().reader("x", type_name).array([value, None, odd], 10)


def test_wide_rows_make_small_batches() -> None:
    asked: list[int] = []

    def fetch(count: int) -> Sequence[tuple[str]]:
        asked.append(count)
        return [("x" * 1_000_000,)] * count

    first, complete = canonical.first_rows(fetch)
    assert (len(first) < 30, complete) == (True, False)
    assert canonical.next_size(len(first), len(first) * 1_000_000) <= 8


def test_narrow_rows_make_big_batches_step_by_step() -> None:
    assert canonical.next_size(1000, 8000) == 4000
    assert canonical.next_size(10, 80) == 40


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=50), st.integers(1, 9))
def test_the_cut_into_batches_changes_nothing(values: list[int | None], size: int) -> None:
    rows = [(value, "x") for value in values]
    readers = [canonical.reader_of("n", TypeName.INTEGER), canonical.reader_of("s", TypeName.TEXT)]
    rest = iter([rows[start : start + size] for start in range(size, len(rows), size)])
    batches = list(canonical.stream(readers, rows[:size], lambda _: next(rest, [])))
    whole = list(canonical.stream(readers, rows, lambda _: []))
    assert [row for b in whole for row in b.to_pylist()] == [row for b in batches for row in b.to_pylist()]


# --- a database of which nothing special is known ---------------------------------------------------


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> adapter.Source:
    """SQLite's dialect, treated as one that nobody has heard of."""
    monkeypatch.setattr(adapter, "_BACKENDS", {})
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    return adapter.Source("shop", DatabaseOptions(url=url, timezone="Asia/Seoul"), url=url, password=None)  # type: ignore[arg-type]


def read(source: adapter.Source, text: str, **parameters: Any) -> tuple[list[str], list[pa.RecordBatch]]:
    with source.read(Query(text=text, parameters=parameters)) as rows:
        return [str(column.type) for column in rows.columns], list(rows)


def test_an_unknown_database_is_typed_by_its_first_values(unknown: adapter.Source) -> None:
    types, [batch] = read(unknown, "select 1 as i, 1.5 as f, 'x' as s, null as n union all select 2, 2.5, 'y', 'z'")
    assert types == ["integer", "float", "text", "text"]
    assert batch.to_pylist() == [{"i": "1", "f": 1.5, "s": "x", "n": None}, {"i": "2", "f": 2.5, "s": "y", "n": "z"}]


def test_an_unknown_database_gets_wall_times(unknown: adapter.Source) -> None:
    _, [batch] = read(unknown, "select cast(:n as integer) as n, :t as t", n=3, t="x%")
    assert batch.to_pylist() == [{"n": "3", "t": "x%"}]
    instant = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
    seoul = Backend("shop", unknown.options, sa.make_url("sqlite://"))
    assert seoul.value(instant) == datetime(2026, 11, 23, 1, 0)


def test_an_unknown_databases_failure_may_be_tried_again_and_its_words_may_not_show_the_query(
    unknown: adapter.Source,
) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        read(unknown, "select * from no_such_table where x = :secret", secret="hunter2")
    assert caught.value.message == "database 'shop': no such table: no_such_table"


def test_what_gives_no_rows_is_refused(unknown: adapter.Source) -> None:
    with pytest.raises(QueryError, match="no rows and no columns"):
        read(unknown, "create table t (i integer)")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("foo://hunter2@h/d", "no driver for 'foo' urls"),
        ("no url: hunter2", "not one that SQLAlchemy reads"),
        ("mssql+pyodbc://u:hunter2@h/d", "the driver is missing"),
    ],
)
def test_a_database_without_driver_says_what_to_install(url: str, message: str) -> None:
    source = adapter.Source("shop", DatabaseOptions(url="sqlite:///x"), url=url, password=None)
    with pytest.raises(NotSupported, match=message) as caught:
        read(source, "select 1")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


# --- MySQL's instants --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("Europe/Berlin", datetime(2026, 7, 1), datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 1, 1), datetime(2025, 12, 31, 23, tzinfo=UTC)),
        ("America/Phoenix", datetime(2026, 1, 1), datetime(2026, 1, 1, 7, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 1, 1), datetime(2025, 12, 31, 18, 15, tzinfo=UTC)),
    ],
)
def test_a_timestamp_of_the_sessions_zone_is_an_instant(zone: str, wall: datetime, instant: datetime) -> None:
    assert timestamps(zone).array([wall], 1).to_pylist() == [instant]


def test_a_timestamp_that_may_be_two_instants_is_an_error() -> None:
    with pytest.raises(UnwritableValue, match=r"row 5, column 'at': .* comes twice in Europe/Berlin"):
        timestamps("Europe/Berlin").array([datetime(2026, 10, 25, 2, 30)], 5)


def timestamps(zone: str) -> canonical.Reader:
    from types import SimpleNamespace

    mysql = MysqlBackend("shop", DatabaseOptions(url="mysql://h/d"), sa.make_url("mysql+pymysql://h/d"))
    mysql._zone = ZoneInfo(zone)
    field = SimpleNamespace(
        name="at", type_code=7, org_table="", org_name="at", flags=0, length=19, charsetnr=63, db="d"
    )
    return mysql._reader(field, set())
