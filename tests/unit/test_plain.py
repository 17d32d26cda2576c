"""A look at all bytes of a column reads nothing that a look at each value would not, and reads it as the same value."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchxfer import reading
from batchxfer.codec.delimited import Options
from batchxfer.model import ColumnType, TargetColumn
from batchxfer.plain import are_plain_decimals, may_be_plain

FORMAT = Options(kind="delimited")
UTC = ZoneInfo("UTC")
PLAIN = {
    "integer": ["0", "7", "-12", "007", "9" * 18],
    "decimal(5,2)": ["1.25", "999.99", "0.00"],
    "decimal(3,3)": ["0.125"],
    "decimal(4,0)": ["0", "9999"],
    "decimal": ["0", "1" * 40],
    "float": ["0.5", "-1", "1.", "-.5", "3.25"],
    "date": ["2026-11-23", "1970-01-01", "2024-02-29"],
    "timestamp": ["2026-11-23 01:02:03", "2026-11-23T23:59:59"],
}
# What differs from the plain ones in one letter, mostly, and what others write.
NEAR = st.one_of(
    st.sampled_from(sorted({text for texts in PLAIN.values() for text in texts})),
    st.builds(
        lambda text, at, letters: text[: at % (len(text) + 1)] + letters + text[at % (len(text) + 1) + 1 :],
        st.sampled_from(sorted({text for texts in PLAIN.values() for text in texts})),
        st.integers(0, 40),
        st.text("0123456789-.+eE :TtZ\u0663,x", max_size=2),
    ),
    st.sampled_from(
        [
            "",
            "-",
            ".",
            "1.2.3",
            "--1",
            "0x1F",
            "0x12",
            "1000.25",
            "-1000",
            "1e400",
            "nan",
            "2023-02-29",
            "2026-11-23 01:02:60",
        ]
    ),
    st.none(),
)


def read(kind: str, texts: Sequence[str | None]) -> str:
    column = ColumnType.parse(kind)
    found = reading.read_column(pa.array(texts, pa.string()), column, TargetColumn(name="a", type=column), FORMAT, UTC)
    return f"{found.array.to_pylist()} {found.wrong}"


@pytest.mark.parametrize("kind", PLAIN)
@settings(max_examples=150)
@given(data=st.data())
def test_a_glance_finds_what_a_look_at_each_value_finds(kind: str, data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.one_of(st.sampled_from(PLAIN[kind]), NEAR), max_size=4))
    found = read(kind, texts)
    with (
        mock.patch.object(reading, "may_be_plain", return_value=False),
        mock.patch.object(reading, "are_plain_decimals", return_value=False),
    ):
        assert read(kind, texts) == found


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_values_are_known_at_a_glance(kind: str) -> None:
    column = ColumnType.parse(kind)
    # A slice, as batches are cut into.
    text = pa.array(["x", *PLAIN[kind], None, "x"], pa.string()).slice(1, len(PLAIN[kind]) + 1)
    assert may_be_plain(text, column.name) or are_plain_decimals(text, column)
