"""Whatever is in a fetched file: rows, bad records, or an error with words; and not by how it was cut into pieces."""

from __future__ import annotations

import gzip
from datetime import time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchxfer.decoding import Reading
from batchxfer.errors import UnreadableFile
from batchxfer.model import ColumnType, TargetColumn
from batchxfer.ports import BadRecord
from batchxfer.wiring import adapter
from tests.contracts.format_files import options
from tests.security.test_fuzz_texts import mixture
from tests.soak import examples

pytestmark = pytest.mark.soak

TYPES = [
    *("text", "integer", "decimal(9,2)", "float", "boolean", "date", "time", "timestamp", "timestamptz"),
    *("uuid", "bytes", "interval", "json"),
]
TABLE = {f"c{number}": kind for number, kind in enumerate(TYPES)}
ROW = [
    "x",
    "-5",
    "12.50",
    "1e-07",
    "true",
    "2026-11-23",
    "01:02:03",
    "2026-11-23T01:02:03",
    "2026-11-23T01:02:03+00:00",
]
ROW += ["6f9619ff-8b86-d011-b42d-00c04fc964ff", "YQ==", "P1DT2H", '{"a":[1.10]}']
NAMES = list(TABLE)

FORMATS: list[dict[str, Any]] = [
    {"kind": "delimited"},
    {"kind": "delimited", "header": False, "delimiter": "||", "quote": "none", "null": "\\N"},
    {"kind": "delimited", "header": False, "quote": "none", "escape": "\\", "trailing_delimiter": True},
    {"kind": "delimited", "quote_char": "'", "quote": "all", "spreadsheet_safe": True, "decimal_point": ","},
    {"kind": "key-value"},
    {"kind": "key-value", "separator": "; ", "assign": ": ", "quote": "none", "null": "omit"},
    {"kind": "json-lines"},
    {"kind": "json-lines", "decimals": "string", "null": "omit"},
    {"kind": "fixed-width", "columns": [{"name": name, "width": 7, "type": TABLE[name]} for name in NAMES]},
    {"kind": "fixed-width", "width_unit": "bytes", "columns": [{"name": "c0", "width": 3}, {"name": "c1", "width": 2}]},
    {"kind": "lines", "columns": [{"name": "c0"}]},
    {"kind": "delimited", "header_record": "H|{rows}", "trailer_record": "T|{rows:08}|{sum[c1]}", "header": False},
]
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "euc_kr",
    "iso2022_kr",
    "cp1252",
    "utf-7",
    "ascii",
    "shift_jis",
]
LINES = [
    *(",".join(NAMES), ",".join(f'"{value}"' if "," in value or '"' in value else value for value in ROW)),
    "||".join(ROW),
    " ".join(f"{name}={value}" for name, value in zip(NAMES, ROW, strict=True)),
    '{"c0":"x","c1":1,"c2":12.50,"c12":{"a":[1.10,null]}}',
]
PIECES = [
    *LINES,
    *NAMES,
    *ROW,
    ",",
    "||",
    '"',
    "'",
    '""',
    "\\",
    "\n",
    "\r\n",
    "\r",
    "=",
    ": ",
    "; ",
    "{",
    "}",
    "[",
    "\ufeff",
    "\0",
    "H|1",
    "T|00000001|1",
]
CONTENTS = st.one_of(mixture(*PIECES).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=120))
SIZES = st.sampled_from([1, 2, 3, 7, 64, 10_000])


def reading(
    table: dict[str, Any], columns: dict[str, str], data: bytes, piece: int = 64, compress: str = "none"
) -> Reading:
    targets = [TargetColumn(name=name, type=ColumnType.parse(kind)) for name, kind in columns.items()]
    chunks = [data[at : at + piece] for at in range(0, len(data), piece)]
    return Reading(chunks, options(table), adapter("codec", table["kind"]).Decoder, targets, compress=compress)


def told(table: dict[str, Any], data: bytes, piece: int, compress: str) -> tuple[list[Any], str | None]:
    """The rows and bad records, and the error that ended it."""
    found: list[Any] = []
    try:
        for item in reading(table, TABLE, data, piece, compress):
            if isinstance(item, BadRecord):
                assert item.line >= 1
                assert item.reason
                assert len(item.text) <= 2000
                found.append((item.line, item.column, item.reason, item.text))
            else:
                assert isinstance(item, pa.RecordBatch)
                item.validate(full=True)
                found += [repr(row) for row in item.to_pylist()]
    except UnreadableFile as error:
        return found, error.message
    return found, None


@examples(120, 100_000)
@given(st.sampled_from(FORMATS), st.sampled_from(ENCODINGS), CONTENTS, SIZES, SIZES)
@example(FORMATS[0], "utf-8", ",".join(NAMES).encode() + b'\n"a', 1, 7)
def test_whatever_is_in_a_file_is_read_or_refused_in_words(
    table: dict[str, Any], encoding: str, data: bytes, one: int, other: int
) -> None:
    chosen = {**table, "encoding": encoding}
    first, second = told(chosen, data, one, "none"), told(chosen, data, other, "none")
    assert (first[1] is None) == (second[1] is None), (first, second)
    if first[1] is None:
        assert first == second


@examples(40, 30_000)
@given(
    st.sampled_from(["gzip", "zstd"]),
    st.binary(max_size=200),
    st.integers(0, 400),
    st.binary(max_size=5),
    st.integers(0, 20),
    SIZES,
)
def test_a_packed_file_that_is_damaged_is_refused_or_read_as_it_is(
    kind: str, plain: bytes, at: int, new: bytes, cut: int, piece: int
) -> None:
    packed = gzip.compress(plain, mtime=0) if kind == "gzip" else pa.Codec("zstd").compress(plain, asbytes=True)
    told({"kind": "lines", "columns": [{"name": "c0"}]}, packed[:at] + new + packed[at + cut :], piece, kind)


def test_a_time_of_day_is_read_and_one_that_no_clock_shows_is_a_bad_record() -> None:
    """Found by the first case that was looked at: Arrow casts no text to a time."""
    (batch,) = reading({"kind": "json-lines"}, {"a": "time"}, b'{"a":"01:02:03.5"}\n{"a":null}\n')
    assert isinstance(batch, pa.RecordBatch)
    assert batch.column(0).to_pylist() == [time(1, 2, 3, 500_000), None]
    items = list(reading({"kind": "delimited"}, {"a": "time"}, b"a\n23:59:59\n24:00:00\n"))
    assert [item.line for item in items if isinstance(item, BadRecord)] == [3]
    assert [item.num_rows for item in items if not isinstance(item, BadRecord)] == [1]
