"""The models of the TOML: strict about types, frozen, and their own text as JSON."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from batchxfer import definitions as d
from batchxfer.model import ColumnType, TypeName


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("0d", d.DateOffset(0)),
        ("-1d", d.DateOffset(-1)),
        ("+2d", d.DateOffset(2)),
        ("-1bd", d.DateOffset(-1, open_days=True)),
        ("3bd", d.DateOffset(3, open_days=True)),
    ],
)
def test_date_offsets_count_days_or_open_days(text: str, offset: d.DateOffset) -> None:
    assert d.Schedule(date_offset=text).date_offset == offset  # type: ignore[arg-type]
    assert d.Schedule(date_offset=str(offset)).date_offset == offset  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1", "d", "1b", "-d", "1.5d", "1bd1d", 1, "1h", "--1d"])
def test_what_is_no_date_offset_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        d.Schedule(date_offset=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "cutoff"),
    [("07:00", time(7)), ("23:59:59", time(23, 59, 59)), ("4h", timedelta(hours=4)), (time(7), time(7))],
)
def test_a_cutoff_is_a_time_of_day_or_a_duration(text: Any, cutoff: object) -> None:
    assert d.Schedule(cutoff=text).cutoff == cutoff


@pytest.mark.parametrize("value", ["7:00", "24:00", "07:00Z", "07:60", "0s", "", 7, "07:00:00.5"])
def test_what_is_no_cutoff_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        d.Schedule(cutoff=value)


def test_types_are_the_columns_types() -> None:
    column = d.FormatColumn(name="a", type="decimal(12,2)")  # type: ignore[arg-type]
    assert column.type == ColumnType(TypeName.DECIMAL, 12, 2)


def test_sizes_may_be_numbers() -> None:
    common: dict[str, Any] = {"endpoint": "e", "path": "p"}
    assert d.PullFileOptions(**common).max_bytes == 4 * 1024**3
    assert d.PullFileOptions(**common, max_bytes=10).max_bytes == 10
    assert d.PullFileOptions(**common, max_bytes="1kB").max_bytes == 1000
    for wrong in (0, "0", True, 1.5, "x"):
        with pytest.raises(ValidationError):
            d.PullFileOptions(**common, max_bytes=wrong)


def test_every_kind_of_parameter_keeps_its_type() -> None:
    given = {"a": True, "b": 1, "c": 1.5, "d": "1", "e": time(1)}
    source = d.SourceQuery(database="x", query="q", parameters=given)
    assert {name: type(value) for name, value in source.parameters.items()} == {n: type(v) for n, v in given.items()}


def test_tables_are_frozen_and_take_no_other_keys() -> None:
    guard = d.Guard(min_rows=1)
    with pytest.raises(ValidationError):
        guard.min_rows = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        d.Guard.model_validate({"min_rowss": 1})


def test_a_validation_error_shows_no_value() -> None:
    with pytest.raises(ValidationError) as caught:
        d.DatabaseOptions.model_validate({"url": "sqlite:///x", "password": "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [
        d.Schedule(every="1h30m", timezone="Asia/Seoul", date_offset="-1bd", cutoff="07:00", lag="5m"),  # type: ignore[arg-type]
        d.Schedule(cron="0 5 * * *", cutoff="4h"),  # type: ignore[arg-type]
        d.Retry(after=["1m", "2h"], repeat="1d"),  # type: ignore[arg-type]
        d.FormatOptions(kind="x", columns=[{"name": "a", "as": "b", "type": "decimal(5,2)"}], timezone="UTC"),  # type: ignore
    ],
)
def test_a_table_reads_back_equal_from_its_json(table: d.Table) -> None:
    text = table.model_dump_json(by_alias=True, exclude_unset=True)
    assert type(table).model_validate_json(text) == table
    assert not re.search("PT|null", text)
