"""A format to which any number is the same writes integers the same, whatever their column is called."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.codec import delimited, fixed_width, json_lines, key_value, lines
from batchxfer.errors import UnwritableValue
from batchxfer.layout import Encoder, takes_any_number
from batchxfer.model import Column, ColumnType, TypeName
from tests.merging import KEYS
from tests.soak import examples

KINDS: dict[str, Any] = {"delimited": delimited, "key-value": key_value, "json-lines": json_lines}
QUOTES = {"quote": st.sampled_from(["minimal", "all", "none"])}
OPTIONS = {
    "delimited": KEYS.flatmap(
        lambda keys: st.fixed_dictionaries(
            {}, optional={"decimal_point": st.just(";"), "spreadsheet_safe": st.booleans(), "escape": st.just("\\")}
        ).map(lambda more: {**keys, **more})
    ),
    "key-value": st.fixed_dictionaries(
        {},
        optional={**QUOTES, "separator": st.sampled_from(["-", "1", "; "]), "null": st.sampled_from(["empty", "omit"])},
    ),
    "json-lines": st.fixed_dictionaries(
        {},
        optional={
            "decimals": st.sampled_from(["number", "string"]),
            "null": st.sampled_from(["null", "omit"]),
            "ascii": st.booleans(),
        },
    ),
}
NUMBERS = st.lists(st.none() | st.integers(-9, 9) | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5)


def written(kind: str, keys: dict[str, Any], type_name: TypeName, array: pa.Array) -> bytes | str:
    options = KINDS[kind].Options.model_validate({"kind": kind, **keys})
    try:
        encoder = Encoder(options, KINDS[kind].Codec, (Column("n", ColumnType(type_name)),), {})
        batch = pa.RecordBatch.from_arrays([array], names=["n"])
        return b"".join([encoder.begin(), encoder.encode(batch), encoder.end()])
    except UnwritableValue as error:
        return error.message


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@examples(60, 5_000)
@given(data=st.data(), numbers=NUMBERS)
def test_integers_are_the_same_in_a_column_of_decimals(kind: str, data: st.DataObject, numbers: list[int]) -> None:
    codec = KINDS[kind]
    keys = data.draw(OPTIONS[kind].filter(lambda keys: not list(codec.Options.complaints({"kind": kind, **keys}))))
    if takes_any_number(codec.Options.model_validate({"kind": kind, **keys})):
        digits = pa.array([None if number is None else str(number) for number in numbers], pa.string())
        integers = written(kind, keys, TypeName.INTEGER, pa.array(numbers, pa.int64()))
        assert integers == written(kind, keys, TypeName.DECIMAL, digits)


def test_where_a_byte_may_depend_on_it_they_are_told_apart() -> None:
    strings = json_lines.Options.model_validate({"kind": "json-lines", "decimals": "string"})
    assert not takes_any_number(strings)
    assert takes_any_number(json_lines.Options.model_validate({"kind": "json-lines"}))
    assert not takes_any_number(lines.Options.model_validate({"kind": "lines"}))
    columns = [{"name": "n", "width": 3}]
    assert not takes_any_number(fixed_width.Options.model_validate({"kind": "fixed-width", "columns": columns}))
