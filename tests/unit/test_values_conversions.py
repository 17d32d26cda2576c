"""A column of one type as another: exactly, value by value, or an error with row, column and value."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from batchxfer import values
from batchxfer.conversions import converter
from batchxfer.definitions import FormatOptions
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, ColumnType
from tests.contracts.format_files import array, column
from tests.oracles.naive import Float4

OPTIONS = FormatOptions(kind="any")


def convert(kind: str, given: list[Any], target: str, *, naive_zone: str | None = None, zone: str = "UTC") -> list[Any]:
    """The values as the target type, written as text."""
    options = FormatOptions(kind="any", timezone=ZoneInfo(zone))
    made = converter(
        column("c", kind), ColumnType.parse(target), options, naive_zone=ZoneInfo(naive_zone) if naive_zone else None
    )
    converted = array(given, kind) if made is None else made(array(given, kind), 1)
    return list(values.as_text(converted, Column("c", ColumnType.parse(target)), OPTIONS, 1).to_pylist())


def refusal(kind: str, given: list[Any], target: str, **more: Any) -> str:
    with pytest.raises(UnwritableValue) as caught:
        convert(kind, given, target, **more)
    return caught.value.message


CONVERSIONS: list[tuple[str, Any, str, str]] = [
    ("text", "12.5", "decimal(12,2)", "12.50"),
    ("text", "12.500", "decimal(12,2)", "12.50"),
    ("text", " -1 ", "decimal(12,2)", "-1.00"),
    ("text", "1.5e2", "decimal(12,2)", "150.00"),
    ("text", ".5", "decimal(2,2)", "0.50"),
    ("text", "0012.50", "decimal(12,2)", "12.50"),
    ("text", "12.50", "decimal", "12.50"),
    ("text", "1E+3", "decimal", "1000"),
    ("decimal", "12.5", "decimal(12,3)", "12.500"),
    ("integer", 7, "decimal(4,2)", "7.00"),
    ("integer", 10**30, "decimal(31,0)", "1" + "0" * 30),
    ("float", 19.99, "decimal(12,2)", "19.99"),
    ("float", Float4(0.1), "decimal(12,2)", "0.10"),
    ("boolean", True, "decimal(1,0)", "1"),
    ("text", "007", "integer", "7"),
    ("text", "-0", "integer", "0"),
    ("text", "12.00", "integer", "12"),
    ("decimal", "12.00", "integer", "12"),
    ("float", 1e20, "integer", "100000000000000000000"),
    ("boolean", False, "integer", "0"),
    ("text", "0.10", "float", "0.1"),
    ("text", "nan", "float", "nan"),
    ("integer", 3, "float", "3.0"),
    ("integer", 1, "boolean", "true"),
    ("integer", 0, "boolean", "false"),
    ("text", "T", "boolean", "true"),
    ("text", "off", "boolean", "false"),
    ("decimal", "1.0", "boolean", "true"),
    ("bytes", b"\x01", "boolean", "true"),
    ("text", "2026-11-23", "date", "2026-11-23"),
    ("text", "2026-11-23 00:00:00", "date", "2026-11-23"),
    ("timestamp", datetime(2026, 11, 23), "date", "2026-11-23"),
    ("text", "01:02", "time", "01:02:00"),
    ("text", "01:02:03.5", "time", "01:02:03.500000"),
    ("text", "2026-11-23 01:02:03", "timestamp", "2026-11-23T01:02:03"),
    ("text", "2026-11-23T01:02", "timestamp", "2026-11-23T01:02:00"),
    ("text", "2026-11-23", "timestamp", "2026-11-23T00:00:00"),
    ("text", "2026-11-23 01:02:03.123456000", "timestamp", "2026-11-23T01:02:03.123456"),
    ("date", date(2026, 11, 23), "timestamp", "2026-11-23T00:00:00"),
    ("text", "2026-11-23T01:02:03Z", "timestamptz", "2026-11-23T01:02:03+00:00"),
    ("text", "2026-11-23 01:02:03+09", "timestamptz", "2026-11-22T16:02:03+00:00"),
    ("text", "2026-11-23 01:02:03 -0330", "timestamptz", "2026-11-23T04:32:03+00:00"),
    ("integer", -5, "text", "-5"),
    ("float", 1e22, "text", "1e+22"),
    ("boolean", True, "text", "true"),
    ("date", date(2026, 1, 2), "text", "2026-01-02"),
    ("timestamptz", datetime(2026, 1, 2, tzinfo=UTC), "text", "2026-01-02T00:00:00+00:00"),
    ("bytes", "é".encode(), "text", "é"),
    ("json", "[1]", "text", "[1]"),
    ("text", "6BA7B8109DAD11D180B400C04FD430C8", "uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("bytes", bytes(range(16)), "uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ("text", "é", "bytes", "w6k="),
    ("text", "P1Y2M3DT4H5M6.5S", "interval", "P1Y2M3DT4H5M6.5S"),
    ("text", "-P1D", "interval", "-P1D"),
    ("text", '{"a" : [1.10, "x  \\" y"],\n"b":1E5}', "json", '{"a":[1.10,"x  \\" y"],"b":1E5}'),
    ("integer", 5, "json", "5"),
    ("boolean", True, "json", "true"),
]


@pytest.mark.parametrize(("kind", "value", "target", "written"), CONVERSIONS)
def test_a_conversion_is_exact_and_null_stays_null(kind: str, value: Any, target: str, written: str) -> None:
    assert convert(kind, [None, value, value], target) == [None, written, written]


LOSSES: list[tuple[str, Any, str, str]] = [
    ("text", "12.505", "decimal(12,2)", "it has more than 2 decimals"),
    ("text", "12345.00", "decimal(6,2)", "it has more than 4 digits before the point"),
    ("text", "12,50", "decimal(12,2)", "it is not a number"),
    ("text", "", "decimal(12,2)", "it is not a number"),
    ("text", "1_000", "integer", "it is not a number"),
    ("text", "١٢", "integer", "it is not a number"),
    ("text", "nan", "decimal(12,2)", "it is not a number"),
    ("text", "1e9999", "decimal", "it has more than 1000 digits"),
    ("float", 0.1 + 0.2, "decimal(12,2)", "it has more than 2 decimals"),
    ("float", float("inf"), "decimal", "it is not a number"),
    ("decimal", "12.50", "integer", "it has a fraction"),
    ("float", 1.5, "integer", "it has a fraction"),
    ("integer", 2**53 + 1, "float", "a float would lose digits of it"),
    ("text", "1e400", "float", "a float would lose digits of it"),
    ("integer", 2, "boolean", "it is neither true nor false (1 or 0)"),
    ("text", "maybe", "boolean", "it is neither true nor false (1 or 0)"),
    ("timestamp", datetime(2026, 11, 23, 1), "date", "it has a time of day that would be lost"),
    ("text", "23.11.2026", "date", "it is not a date like 2026-11-23"),
    ("text", "2026-02-30", "date", "day is out of range for month"),
    ("text", "24:00", "time", "hour must be in 0..23"),
    ("text", "yesterday", "timestamp", "it is not a date and time like 2026-11-23 01:02:03"),
    ("text", "2026-11-23 01:02:03.1234567", "timestamp", "it has more than 6 digits of a second's fraction"),
    ("text", "2026-11-23 01:02:03", "timestamptz", "it has no offset, and no zone is known for it"),
    ("text", "0001-01-01 00:00:00+09", "timestamptz", "it is out of range"),
    ("bytes", b"\xff", "text", "its bytes are not UTF-8"),
    ("text", "abc", "uuid", "it is not a UUID"),
    ("text", "1 day", "interval", "it is not an ISO 8601 duration like P1DT2H"),
    ("text", "P", "interval", "it is not an ISO 8601 duration like P1DT2H"),
    ("text", "NaN", "json", "it is not JSON: JSON has no NaN"),
]


@pytest.mark.parametrize(("kind", "value", "target", "why"), LOSSES)
def test_what_would_be_lost_is_an_error_with_row_column_and_value(kind: str, value: Any, target: str, why: str) -> None:
    message = refusal(kind, [None, value], target)
    shown = value if kind == "decimal" else values.shown(value)
    assert message == f"row 2, column 'c': cannot write {shown} as {target}: {why}"


def test_a_value_is_converted_the_same_whatever_stands_beside_it() -> None:
    """A column that is in shape already is passed on as a whole: no value may tell."""
    for text in ("12.50", "-0.00", "0.00", "-12.50"):
        alone, together = convert("text", [text], "decimal(12,2)"), convert("text", [text, "1"], "decimal(12,2)")
        assert alone == together[:1] == [text]
    for text in ("0", "-5", "5", "123456789012345678901234567890"):
        assert convert("text", [text], "integer") == convert("text", [text, "007"], "integer")[:1] == [text]


def test_a_pair_of_types_without_a_conversion_is_an_error_at_once() -> None:
    with pytest.raises(UnwritableValue) as caught:
        converter(column("c", "date"), ColumnType.parse("uuid"), OPTIONS)
    assert caught.value.message == "column 'c' is date, and there is no conversion to uuid"
    assert caught.value.hint == "a uuid can be made from: bytes, text, uuid; or convert it in the query"


def test_nothing_is_converted_where_the_type_is_the_same() -> None:
    assert converter(column("c", "text"), ColumnType.parse("text"), OPTIONS) is None
    assert converter(column("c", "decimal(12,2)"), ColumnType.parse("decimal"), OPTIONS) is None
    assert converter(column("c", "decimal"), ColumnType.parse("decimal(12,2)"), OPTIONS) is not None


def test_local_times_become_instants_in_the_database_s_zone() -> None:
    moments = [datetime(2026, 10, 25, 2, 30), datetime(2026, 7, 1, 12)]
    written = convert("timestamp", moments, "timestamptz", naive_zone="Europe/Berlin")
    assert written == ["2026-10-25T00:30:00+00:00", "2026-07-01T10:00:00+00:00"]
    message = refusal("timestamp", [datetime(2026, 3, 29, 2, 30)], "timestamptz", naive_zone="Europe/Berlin")
    assert message.endswith("that local time does not exist in Europe/Berlin")


def test_instants_become_local_times_of_the_format_s_zone_where_those_lead_back() -> None:
    instants = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
    assert convert("timestamptz", instants[:1], "timestamp", zone="Europe/Berlin") == ["2026-10-25T02:30:00"]
    message = refusal("timestamptz", instants, "timestamp", zone="Europe/Berlin")
    assert message.startswith(
        "row 2, column 'c': cannot write 2026-10-25 01:30:00+00:00 as timestamp: 2026-10-25 02:30:00 "
    )
    midnight = datetime(2026, 11, 22, 15, tzinfo=UTC)
    assert convert("timestamptz", [midnight], "date", zone="Asia/Seoul") == ["2026-11-23"]


def test_a_time_is_not_a_text_of_a_date() -> None:
    assert convert("time", [time(1, 2, 3)], "text") == ["01:02:03"]
    with pytest.raises(UnwritableValue, match="no conversion to date"):
        convert("time", [time(1, 2, 3)], "date")
