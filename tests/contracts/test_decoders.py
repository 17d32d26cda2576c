"""What one project writes, another reads back: every codec, every option, generated rows."""

from __future__ import annotations

import contextlib
import csv as python_csv
import gzip
import importlib
import io
import zlib
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchxfer.decoding import Reading
from batchxfer.errors import ReadPatiently, UnreadableFile, UnwritableValue
from batchxfer.layout import Encoder
from batchxfer.model import Column, ColumnType, TargetColumn
from batchxfer.ports import BadRecord
from tests.contracts.format_files import encode, options
from tests.contracts.test_codecs import EVERY_TYPE, NULLS, ROW, TYPES
from tests.contracts.test_codecs_oracle import (
    COMMON,
    DELIMITED,
    ENCODINGS,
    JSON_LINES,
    KEY_VALUE,
    SUMMED,
    TEXTS,
    files,
    fixed_files,
)

CASES = settings(COMMON, max_examples=60)
NOT_READABLE = {"%a %I %p"}


def target(name: str, kind: str, **more: Any) -> TargetColumn:
    return TargetColumn(name=name, type=ColumnType.parse(kind), **more)


def reading(
    table: Mapping[str, Any], columns: Mapping[str, Any], data: bytes, *, piece: int = 7, **more: Any
) -> Reading:
    codec = importlib.import_module(f"batchxfer.codec.{table['kind'].replace('-', '_')}")
    chunks = [data[at : at + piece] for at in range(0, len(data), piece)]
    made = [target(name, kind) if isinstance(kind, str) else kind for name, kind in columns.items()]
    return Reading(chunks, options(table), codec.Decoder, made, **more)


def read_all(
    table: Mapping[str, Any], columns: Mapping[str, Any], data: bytes, **more: Any
) -> tuple[Reading, list[pa.RecordBatch | BadRecord]]:
    """As loading does it: where a fast reader gives up, once more and patiently."""
    try:
        read = reading(table, columns, data, **more)
        return read, list(read)
    except ReadPatiently:
        read = reading(table, columns, data, patient=True, **more)
        return read, list(read)


def rows(table: Mapping[str, Any], columns: Mapping[str, Any], text: str | bytes, **more: Any) -> list[tuple[Any, ...]]:
    """The rows read, each a tuple; and bad records as ("line", "column", "reason")."""
    found: list[tuple[Any, ...]] = []
    _, items = read_all(table, columns, text.encode() if isinstance(text, str) else text, **more)
    for item in items:
        if isinstance(item, BadRecord):
            found.append((item.line, item.column, item.reason))
        else:
            found += [tuple(row.values()) for row in item.to_pylist()]
    return found


def csv(text: str, table: Mapping[str, Any] | None = None, **keys: Any) -> list[tuple[Any, ...]]:
    return rows({"kind": "delimited", **keys}, table or {"a": "text", "b": "text"}, text)


# --- the way there and back ----------------------------------------------------------------------


def again(table: Mapping[str, Any], columns: Mapping[str, str], data: bytes, **more: Any) -> bytes:
    """Read, and written once more."""
    _, batches = read_all(table, columns, data, **more)
    codec = importlib.import_module(f"batchxfer.codec.{table['kind'].replace('-', '_')}")
    assert not [item for item in batches if isinstance(item, BadRecord)], batches
    made = tuple(Column(name, ColumnType.parse(kind)) for name, kind in columns.items())
    encoder = Encoder(options(table), codec.Codec, made, {})
    body = encoder.begin()
    for batch in batches:
        assert isinstance(batch, pa.RecordBatch)
        assert batch.schema.names == list(columns)
        body += bytes(encoder.encode(batch))
    body += encoder.end()
    return encoder.header_bytes() + body if encoder.needs_totals_first else body


def there_and_back(table: dict[str, Any], file: Any, **more: Any) -> None:
    columns, given_rows, sizes = file
    assume(table.get("timestamp_format") not in NOT_READABLE)
    try:
        data = encode(table, columns, given_rows, sizes=sizes)
    except UnwritableValue:
        assume(False)
    assert again(table, columns, data, **more) == data


def assume_told_apart(table: dict[str, Any]) -> None:
    """Without line endings nothing tells control records from the others, and such files are refused."""
    assume(table.get("line_ending") != "none" or table.keys().isdisjoint({"header_record", "trailer_record"}))


@CASES
@given(DELIMITED, files())
def test_delimited_files_are_read_back_equal(table: dict[str, Any], file: Any) -> None:
    there_and_back(table, file)


@CASES
@given(KEY_VALUE, files())
def test_key_value_files_are_read_back_equal(table: dict[str, Any], file: Any) -> None:
    there_and_back(table, file)


def test_an_empty_text_without_quotes_is_one_where_nulls_are_left_out() -> None:
    kinds = {"a": "text", "b": "bytes", "c": "text"}
    table = {"kind": "key-value", "quote": "none", "null": "omit"}
    assert rows(table, kinds, "a= b=\n") == [("", b"", None)]
    assert rows({**table, "null": "empty"}, kinds, "a= b= c=\n") == [(None, None, None)]
    assert rows({**table, "quote": "minimal"}, kinds, 'a= b=""\n') == [(None, b"", None)]


@CASES
@given(JSON_LINES, files())
def test_json_lines_are_read_back_equal(table: dict[str, Any], file: Any) -> None:
    assume_told_apart(table)
    # A document's escapes are read, and need not be written again.
    assume("\\u" not in str(file[1]))
    there_and_back(table, file)


@CASES
@given(fixed_files())
def test_fixed_width_files_are_read_back_equal(made: Any) -> None:
    table, file = made
    # What was cut is not there any more, nor what was replaced.
    assume(all("overflow" not in column for column in table["columns"]) and "unencodable" not in table)
    # Padding that a value may begin or end with is taken off with it.
    kinds = [kind.partition("(")[0] for kind in file[0].values()]
    layouts = zip(table["columns"], kinds, strict=True)
    assume(all(layout.get("pad") != "0" or kind in ("integer", "text") for layout, kind in layouts))
    assume_told_apart(table)
    there_and_back(table, file)


@CASES
@given(st.lists(TEXTS, max_size=6), st.sampled_from(["lf", "crlf"]))
def test_lines_are_read_back_equal(texts: list[str], line_ending: str) -> None:
    # A mark at the very start of a file is taken for its byte-order mark.
    texts = [text.replace("\n", "").replace("\r", "").lstrip("\ufeff") for text in texts]
    there_and_back({"kind": "lines", "line_ending": line_ending}, ({"line": "text"}, [[text] for text in texts], [2]))


@CASES
@given(SUMMED)
def test_sums_and_counts_agree(given_rows: list[list[Any]]) -> None:
    table = {
        "kind": "delimited",
        "header_record": "H{rows:05}{sum[n]:>30}",
        "trailer_record": "T{count[n]}|{count[d]}|{sum[d]:>30}",
    }
    there_and_back(table, ({"n": "integer", "d": "decimal"}, given_rows, [3, 1]))


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "delimited", "quote": "none"},
        {"kind": "delimited", "quote_empty": False},
        {"kind": "key-value", "quote": "none"},
        {"kind": "fixed-width", "columns": [{"name": "a", "width": 2}, {"name": "n", "width": 2}]},
    ],
)
def test_an_empty_text_that_reads_as_null_was_counted_all_the_same(table: dict[str, Any]) -> None:
    table = {**table, "trailer_record": "{count[a]} {count[n]}"}
    columns = {"a": "text", "n": "integer"}
    data = encode(table, columns, [["", 1], ["x", None], [None, 3]])
    assert data.endswith(b"2 2\n")
    assert rows(table, columns, data) == [(None, 1), ("x", None), (None, 3)]
    # More than there are records, fewer than there are values, and of numbers any other count are none.
    for wrong in (b"4 2\n", b"0 2\n", b"2 3\n", b"2 1\n"):
        with pytest.raises(UnreadableFile, match="its trailer record says count"):
            rows(table, columns, data.removesuffix(b"2 2\n") + wrong)


def test_where_nulls_are_told_from_empty_texts_counts_are_exact() -> None:
    for table in ({"kind": "delimited"}, {"kind": "key-value"}, {"kind": "json-lines"}):
        data = encode({**table, "trailer_record": "{count[a]}"}, {"a": "text"}, [["x"], [None]])
        with pytest.raises(UnreadableFile, match="says count"):
            rows({**table, "trailer_record": "{count[a]}"}, {"a": "text"}, data.removesuffix(b"1\n") + b"2\n")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_read_back(encoding: str) -> None:
    table = {"kind": "delimited", "encoding": encoding, "header": False}
    data = encode(table, {"a": "text", "b": "text"}, [["x", "y"], ["1", None]])
    assert rows(table, {"a": "text", "b": "text"}, data) == [("x", "y"), ("1", None)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_text_that_begins_with_a_mark_keeps_it_where_the_encoding_has_one_of_its_own(encoding: str) -> None:
    table = {"kind": "lines", "encoding": encoding}
    data = encode(table, {"line": "text"}, [["\ufeffx"]])
    assert rows(table, {"line": "text"}, data) == [("\ufeffx",)]


@pytest.mark.parametrize("kind", ["delimited", "key-value", "json-lines"])
@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_every_type_is_read_back_as_it_was(kind: str, compress: str) -> None:
    data = encode({"kind": kind}, TYPES, [ROW, NULLS])
    if compress == "gzip":
        data = gzip.compress(data[:20]) + gzip.compress(data[20:])
    elif compress == "zstd":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    found = rows({"kind": kind}, TYPES, data, compress=compress)
    expected = [value for _, value in EVERY_TYPE.values()]
    assert [str(value) for value in found[0]] == [str(value) for value in expected]
    assert found[1] == tuple(NULLS)


# --- comma separated values, as others write them ------------------------------------------------

# Where a line ends with a carriage return alone, and where records are ragged, Python has another opinion.
NOT_AS_PYTHON = {
    "a blank line in the middle",
    "a blank line behind a quote in the middle",
    "a carriage return alone is no line end",
    "cut in the last line end",
    "only split and not quoted at the end",
    "ragged",
}
ACID = {
    "comma in quotes": ('a,b\n1,"2, 3"\n', [("1", "2, 3")]),
    "empty values": ('a,b\n1,\n,"2"\n"",x\n', [("1", None), (None, "2"), ("", "x")]),
    "escaped quotes": ('a,b\n1,"ha ""ha"" ha"\n3,""""\n', [("1", 'ha "ha" ha'), ("3", '"')]),
    "json": ('a,b\n1,"{""type"": ""Point"", ""at"": [1,2]}"\n', [("1", '{"type": "Point", "at": [1,2]}')]),
    "newlines": ('a,b\n"1\n2",x\n"3\r\n4",y\n', [("1\n2", "x"), ("3\r\n4", "y")]),
    "newlines and quotes": ('a,b\n1,"""x""\n\n""y"""\n', [("1", '"x"\n\n"y"')]),
    "carriage returns": ('a,b\r\n1,2\r\n"3","4"\r\n', [("1", "2"), ("3", "4")]),
    "no last line end": ("a,b\n1,2", [("1", "2")]),
    "utf-8": ("a,b\n김서연,✓😀\n", [("김서연", "✓😀")]),
    "byte-order mark": ("\ufeffa,b\n1,2\n", [("1", "2")]),
    "spaces are values": ("a,b\n 1 , 2\n", [(" 1 ", " 2")]),
    "a quote in the middle": ('a,b\n5" disk,6" disk\n', [('5" disk', '6" disk')]),
    "only a header": ("a,b\n", []),
    "columns in another order": ("b,a\n1,2\n", [("1", "2")]),
    "blank lines at the end": ("a,b\n1,2\n\n\r\n\n", [("1", "2")]),
    "a backslash is nothing special": ('a,b\n\\,"\\n"\n', [("\\", "\\n")]),
    "a carriage return alone is no line end": ('a,b\nx\ry,2\n"3\r",4\n', [("x\ry", "2"), ("3\r", "4")]),
    "cut in the last line end": ("a,b\r\n1,2\r", [("1", "2")]),
    "only split and not quoted at the end": ('a,b\r\n1,"2"\r', [("1", "2")]),
    "line ends of both kinds": ("a,b\n1,2\r\n3,4\n", [("1", "2"), ("3", "4")]),
    "what some take for line ends": ("a,b\n1\u2028,2\x85\n\x0b,\x0c\n", [("1\u2028", "2\x85"), ("\x0b", "\x0c")]),
    "text after a quote": ('a,b\n"x"y,2\n', [("xy", "2")]),
    "a space before a quote": ('a,b\n "x",2\n', [(' "x"', "2")]),
    "quotes in the header": ('\ufeff"a","b"\r\n1,2\r\n', [("1", "2")]),
    "a blank line in the middle": (
        "a,b\r\n1,2\r\n\r\n3,4\r\n",
        [("1", "2"), (3, None, "it has 1 value, not 2"), ("3", "4")],
    ),
    "ragged": (
        "a,b\n1\n2,3,\n4,5\n",
        [(2, None, "it has 1 value, not 2"), (3, None, "it has 3 values, not 2"), ("4", "5")],
    ),
    "nul": ("a,b\n1\x002,3\n", [("1\x002", "3")]),
    "text after empty quotes at the end": ('a,b\n1,""a', [("1", "a")]),
    "a quote in the middle at the end": ('a,b\n1,2"', [("1", '2"')]),
    "text after quotes at the end": ('a,b\n1,"x""y"z', [("1", 'x"yz')]),
    "a blank line behind a quote in the middle": (
        'a,b\n1,5" disk\n\n3,4\n',
        [("1", '5" disk'), (3, None, "it has 1 value, not 2"), ("3", "4")],
    ),
    "nothing but NULLs": ("a,b\n,\n1,2\n", [(None, None), ("1", "2")]),
    "nothing but NULLs, and a blank line in quotes": ('a,b\n,\n1,"x\n\ny"\n', [(None, None), ("1", "x\n\ny")]),
    "only blank lines": ("a,b\n\n\n", []),
    "marks that are text": ("\ufeffa,b\n\ufeffx,\ufeff\n", [("\ufeffx", "\ufeff")]),
}


@pytest.mark.parametrize("name", [name for name in ACID if name not in NOT_AS_PYTHON])
def test_the_csv_module_of_python_reads_these_files_so_too(name: str) -> None:
    text, expected = ACID[name]
    records = python_csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    assert sorted(next(records)) == ["a", "b"]
    found = [tuple(record) for record in records if record]
    assert found == [tuple(value or "" for value in row) for row in expected]


@pytest.mark.parametrize("name", ACID)
@pytest.mark.parametrize("way", ["arrow", "one by one"])
def test_files_that_others_write(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "one by one":
        monkeypatch.setattr("batchxfer.codec._read_delimited._is_plain", lambda options: False)
    text, expected = ACID[name]
    assert sorted(csv(text), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("long", ['x""y,\n', '""', "z", '"",""\n'])
def test_long_values_are_whole_wherever_what_was_read_so_far_ends(long: str) -> None:
    value = long * (3_000_000 // len(long))
    text = f'a,b\n1,"{value}"\n"{value}",2\n3,"{value}"'
    whole = value.replace('""', '"')
    _, items = read_all({"kind": "delimited"}, {"a": "text", "b": "text"}, text.encode(), piece=99_991, patient=True)
    found = [tuple(row.values()) for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]
    assert found == [("1", whole), (whole, "2"), ("3", whole)]


@pytest.mark.parametrize("way", ["arrow", "one by one"])
def test_bad_records_have_their_line_and_keep_no_other_out(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "one by one":
        monkeypatch.setattr("batchxfer.codec._read_delimited._is_plain", lambda options: False)
    text = 'n,t\n1,"a\nb"\n2,3,4\nx,y\n\n5,"c\n\nd"\n6\n7,e\n'
    found = csv(text, {"n": "integer", "t": "text"})
    good = [row for row in found if len(row) == 2]
    bad = sorted(row for row in found if len(row) == 3)
    assert good == [(1, "a\nb"), (5, "c\n\nd"), (7, "e")]
    assert bad == [
        (4, None, "it has 3 values, not 2"),
        (5, "n", "'x': it is not a number"),
        (6, None, "it has 1 value, not 2"),
        (10, None, "it has 1 value, not 2"),
    ]


def test_a_blank_line_is_a_record_where_there_is_one_column() -> None:
    assert csv("a\nx\n\ny\n", {"a": "text"}) == [("x",), (None,), ("y",)]


@pytest.mark.parametrize("way", ["arrow", "one by one"])
@pytest.mark.parametrize(
    ("keys", "text", "expected"),
    [
        ({}, "a,b,\n1,2,\n3,4,", [("1", "2"), ("3", "4")]),
        ({}, "a,b\n1,2,\n", [("1", "2")]),
        # What is cut off in a last value is not taken for a whole one.
        ({}, "a,b,\n1,2.50,\n3,4.5", [("1", "2.50"), (3, None, "it does not end with the delimiter")]),
        ({}, "a,b,\n1,\n2,3,4,\n", [(2, None, "it has 1 value, not 2"), (3, None, "it has 3 values, not 2")]),
        (
            {},
            'a,b,\n1,2,3\n1,""\n',
            [(2, None, "it has 3 values, not 2"), (3, None, "it does not end with the delimiter")],
        ),
        ({}, "a,b,\n,,\n\n1,2,\n", [(None, None), (3, None, "it has 0 values, not 2"), ("1", "2")]),
        ({"null": "-"}, "a,b,\n1,-,\n1,-\n", [("1", None), (3, None, "it does not end with the delimiter")]),
    ],
)
def test_records_that_must_end_with_the_delimiter(
    way: str, keys: Any, text: str, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "one by one":
        monkeypatch.setattr("batchxfer.codec._read_delimited._is_plain", lambda options: False)
    assert sorted(csv(text, trailing_delimiter=True, **keys), key=str) == sorted(expected, key=str)


def test_a_header_record_moves_the_lines() -> None:
    table = {"kind": "delimited", "header_record": "H|{rows}", "trailer_record": "T|{rows}|{sum[n]}"}
    assert rows(table, {"n": "integer"}, "H|3\nn\n1\nx\n2\nT|3|3\n") == [
        (4, "n", "'x': it is not a number"),
        (1,),
        (2,),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("n\n1\n2\nT|1|3\n", "says rows = 1, and 2 were read"),
        ("n\n1\n2\nT|2|4\n", r"says sum\[n\] = 4, and 3 were read"),
        ("n\n1\n2\n", "its last line is '2', and by agreement the trailer record"),
        ("n\n1\nT|1|1\n2\n", "its last line is '2'"),
        ("", "its last line is ''"),
    ],
)
def test_a_trailer_that_disagrees_is_no_end(text: str, why: str) -> None:
    with pytest.raises(UnreadableFile, match=why):
        rows({"kind": "delimited", "trailer_record": "T|{rows}|{sum[n]}"}, {"n": "integer"}, text)


@pytest.mark.parametrize(
    ("text", "columns", "keys", "why"),
    [
        ("", {"a": "text"}, {}, "the file is empty, and its first line should name the columns"),
        ("a,x\n1,2\n", {"a": "text", "b": "text"}, {}, "the file has a column 'x', which the table does not have"),
        ("a,a\n1,2\n", {"a": "text"}, {}, "names the column 'a' twice"),
        ("a,A\n1,2\n", {"a": "text"}, {}, "two columns for the table's 'a': 'a' and 'A'"),
        (
            "a,b\r1,2\r",
            {"a": "text", "b": "text"},
            {},
            r"its first line is 'a,b\\r1,2': a carriage return alone ends no line",
        ),
        (
            "a\n1\n",
            {"a": "text", "b": target("b", "text", optional=False)},
            {},
            "has no column 'b', which the table cannot",
        ),
        ("a\n1\n", {"a": "text"}, {"columns": [{"name": "z"}]}, "name 'z', which the table does not have"),
        ("a\n1\n", {"z": "text"}, {"columns": [{"name": "z"}]}, "the file has no column 'z'"),
        ('a,b\n1,"2\n3,4\n', {"a": "text", "b": "text"}, {}, "ends inside a value"),
        ('a,b\n1,"2', {"a": "text", "b": "text"}, {}, "ends inside a value"),
        ('a,b\n1,"', {"a": "text", "b": "text"}, {}, "ends inside a value"),
        ('a,b\n1,2,"3', {"a": "text", "b": "text"}, {}, "ends inside a value"),
        ('a,b\n1,2\n"\n\n', {"a": "text", "b": "text"}, {}, "ends inside a value"),
    ],
)
@pytest.mark.parametrize("way", ["arrow", "one by one"])
def test_a_file_that_is_not_what_was_agreed_is_refused(
    way: str, text: str, columns: Any, keys: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "one by one":
        monkeypatch.setattr("batchxfer.codec._read_delimited._is_plain", lambda options: False)
    with pytest.raises(UnreadableFile, match=why):
        csv(text, columns, **keys)


@pytest.mark.parametrize("quote", ["minimal", "none"])
def test_text_of_another_encoding_is_refused(quote: str) -> None:
    with pytest.raises(UnreadableFile, match="it is not utf-8 text"):
        rows({"kind": "delimited", "quote": quote}, {"a": "text"}, "a\né\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("data", "encoding", "why", "hint"),
    [
        (
            b"a\nx\ncaf\xe9!\n",
            "utf-8",
            "it is not utf-8 text: invalid continuation byte, 0xE9 at byte 8, in line 3",
            "that the partner",
        ),
        (
            "a\n1\n".encode("utf-16"),
            "utf-8",
            "it is not utf-8 text: invalid start byte, 0xFF at byte 1, in line 1",
            '"utf-16"',
        ),
        (
            b"a\nx\xe2\x82",
            "utf-8",
            "it is not utf-8 text: unexpected end of data, 0xE282 at byte 4, in line 2",
            "that the partner",
        ),
        (
            b"a\n\x81\n",
            "cp1252",
            "it is not cp1252 text: character maps to <undefined>, 0x81 at byte 3, in line 2",
            "that the partner",
        ),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_where_a_file_is_not_in_its_encoding_is_told(
    data: bytes, encoding: str, why: str, hint: str, piece: int
) -> None:
    with pytest.raises(UnreadableFile) as caught:
        list(reading({"kind": "delimited", "encoding": encoding}, {"a": "text"}, data, piece=piece))
    assert caught.value.message == why
    if piece > 1:
        assert hint in str(caught.value.hint)


def test_a_value_is_not_dropped_because_the_first_batch_has_none() -> None:
    columns = {"n": "integer", "c": target("c", "text", nullable=False, optional=True)}
    text = "n,c\n" + "1,\n" * 70_000 + "2,x\n"
    with pytest.raises(UnreadableFile, match="line 70002, column 'c': no record before it has a value"):
        list(reading({"kind": "delimited"}, columns, text.encode(), piece=1 << 20))


@pytest.mark.parametrize("text", ["1,x\n2,y\n", "a;b\n1;2\n"])
def test_a_first_line_that_is_no_header_is_guessed_at(text: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        csv(text, {"a": "integer", "b": "text"})
    assert "header = false, and the delimiter that it has" in str(caught.value.hint)
    with pytest.raises(UnreadableFile) as caught:
        csv("a,x\n1,2\n", {"a": "integer", "b": "text"})
    assert "header = false" not in str(caught.value.hint)


def test_names_are_the_format_s_and_may_be_in_any_order() -> None:
    table = {"kind": "delimited", "columns": [{"name": "id", "as": "Nr"}, {"name": "day", "type": "date"}]}
    columns = {"id": "integer", "day": "text", "other": "text"}
    read = reading(table, columns, b"x,day,Nr\n?,2026-11-23,7\n")
    (batch,) = read
    assert [column.name for column in read.columns] == ["id", "day"]
    assert isinstance(batch, pa.RecordBatch)
    assert batch.to_pylist() == [{"id": 7, "day": "2026-11-23"}]


def test_without_a_header_the_place_says_which_column_it_is() -> None:
    assert csv("1,x\n", {"n": "integer", "t": "text"}, header=False) == [(1, "x")]


def test_names_that_differ_in_case_are_found() -> None:
    assert csv("A,B\n1,2\n", {"a": "integer", "b": "text"}) == [(1, "2")]


NUMBERS = {
    "integer": {"+1": 1, "007": 7, " 7 ": 7, "1e3": 1000, "-0": 0, "5.00": 5},
    "decimal(8,2)": {"+2.50": "2.50", "2.5E1": "25.00", "02.50": "02.50", ".5": "0.50", "-7": "-7"},
    "float": {
        "1.10": 1.1,
        "1e-7": 1e-7,
        "Infinity": float("inf"),
        "-inf": float("-inf"),
        "0.1000000000000000055511": 0.1,
    },
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_as_others_write_them(kind: str) -> None:
    texts = NUMBERS[kind]
    found = csv("a,b\n" + "".join(f"{text},\n" for text in texts), {"a": kind, "b": "text"})
    number = Decimal if kind.startswith("decimal") else lambda value: value
    assert [number(row[0]) for row in found] == [number(value) for value in texts.values()]
    # Alone or among others, a value is the same.
    for text, value in texts.items():
        assert number(csv(f"a,b\n{text},\n", {"a": kind, "b": "text"})[0][0]) == number(value), text
    assert str(csv("a,b\nNaN,\n", {"a": "float", "b": "text"})) == "[(nan, None)]"
    for text in ("1e400", "x,\n1e400"):
        assert csv(f"a,b\n{text},\n", {"a": "float", "b": "text"})[-1][2] == "'1e400': it is out of range"


@pytest.mark.parametrize("text", ["0x10", "٣", "1_000", "'1,234.50'", "", "-", "--1", "1-", "NaN", "1 000"])
def test_what_is_no_number_is_none(text: str) -> None:
    for kind in ("integer", "decimal(8,2)"):
        found = csv(f"a;b\n{text or ' '};\n", {"a": kind, "b": "text"}, delimiter=";")
        assert "it is not a number" in str(found), (kind, found)


@pytest.mark.parametrize(
    ("kind", "more", "text", "why"),
    [
        ("integer", {"bits": 16, "native": "smallint"}, "40000", "it does not fit into smallint"),
        ("integer", {"bits": 64, "native": "bigint"}, "9" * 19, "it does not fit into bigint"),
        ("integer", {"bits": 32}, "9" * 19, "it does not fit into 32 bits"),
        ("integer", {}, "1.5", "it has a fraction"),
        ("integer", {}, "0x10", "it is not a number"),
        ("decimal(4,2)", {}, "1.234", "it has more than 2 decimals"),
        ("decimal(4,2)", {}, "123.4", "it has more than 2 digits before the point"),
        ("text", {"longest": 3}, "abcd", "it is longer than 3"),
        ("date", {}, "2026-02-30", "day is out of range for month"),
        ("timestamp", {}, "yesterday", "it is not a date and time like"),
        ("boolean", {}, "maybe", "it is neither 'true' nor 'false'"),
        ("uuid", {}, "12", "it is not a UUID"),
        ("json", {}, "{", "it is not JSON"),
        ("bytes", {}, "*", "it is not base64"),
        ("text", {"nullable": False, "optional": False}, "", "it is NULL, and the table's column is NOT NULL"),
    ],
)
def test_a_value_that_does_not_fit_is_a_bad_record(kind: str, more: Any, text: str, why: str) -> None:
    ((line, column, reason),) = csv(f"a,n\n{text},1\n", {"a": target("a", kind, **more), "n": "integer"})
    assert (line, column) == (2, "a")
    assert why in reason


# --- pairs, JSON, fixed fields -------------------------------------------------------------------

LOGFMT = {
    'level=info msg="hello world" n=1\n': [("info", "hello world", 1)],
    'msg="a \\"quoted\\" \\n value"   n=2\n': [(None, 'a "quoted" \n value', 2)],
    "level= msg=x\n": [(None, "x", None)],
    'level="" n=-3\r\n': [("", None, -3)],
    "msg=a=b\n": [(None, "a=b", None)],
    "level msg=x\n": [("true", "x", None)],
    'msg="é😀\\u00e9"\n': [(None, "é😀é", None)],
}


@pytest.mark.parametrize("text", LOGFMT)
def test_names_and_values_that_others_write(text: str) -> None:
    columns = {"level": "text", "msg": "text", "n": "integer"}
    assert rows({"kind": "key-value"}, columns, text) == LOGFMT[text]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x=1\n", "the name 'x' is none of the table's columns"),
        ("a=1 a=2\n", "the name 'a' stands twice in it"),
        ('a="open\n', "no pair of name and value begins there"),
        ('a="\\x"\n', "an escape that JSON does not have"),
        ("\na=1\n", "the line is empty"),
    ],
)
def test_a_bad_pair_is_a_bad_record(text: str, why: str) -> None:
    assert why in str(rows({"kind": "key-value"}, {"a": "text"}, text)[0])


JSON = {
    '{"a":1,"b":"x"}\n': [("1", "x")],
    '  { "b" : "\\u00e9\\n" , "a" : 1.10 }  \n': [("1.10", "é\n")],
    '{"a":{"k":[1, 2.50, true, null, "s"]},"b":null}': [('{"k":[1,2.50,true,null,"s"]}', None)],
    '{}\r\n{"a":12345678901234567890123}\n': [(None, None), ("12345678901234567890123", None)],
    '{"a":"\\ud83d\\ude00"}\n\n\n': [("😀", None)],
    '{"a":-0.0e-7}\n': [("-0.0e-7", None)],
}


@pytest.mark.parametrize("text", JSON)
def test_json_lines_that_others_write(text: str) -> None:
    assert rows({"kind": "json-lines"}, {"a": "text", "b": "text"}, text) == JSON[text]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5\n", "it is not a JSON object"),
        ('[{"a":1},\n{"a":2}]\n', "the file is one array, and by agreement each line is an object"),
        ("[\n{}\n]\n", "the file is one array"),
        ('{"a":1,"a":2}\n', "the key 'a' stands twice in it"),
        ('{"a":NaN}\n', "JSON has no NaN"),
        ('{"a":1}{"a":2}\n', "it is not JSON"),
        ('{"a":"\\ud800"}\n', "half a surrogate pair"),
        ('{"z":1}\n', "the key 'z' is none of the table's columns"),
        ('{"a":' + "[" * 100_000 + "\n", "it is not JSON: it is nested too deeply"),
        ('\n{"a":1}\n', "it is not JSON: it is blank"),
        ('{"a":"b\n', "it is not JSON: unterminated string starting at character 6"),
        ('{"a":1} x\n', "it is not JSON: something else at character 9"),
    ],
)
def test_bad_json_is_a_bad_record(text: str, why: str) -> None:
    assert why in str(rows({"kind": "json-lines"}, {"a": "text"}, text)[0])


SIDE_BY_SIDE = {
    '{"a":"1"}{"a":"}{"}{"a":"\\"}"}': [("1",), ("}{",), ('"}',)],
    ' {"a":1} \n\r\n{"a":{"k":[{}]}}\t{}\n': [("1",), ('{"k":[{}]}',), (None,)],
    '{"a":"x\\\\"}{"a":"y"}': [("x\\",), ("y",)],
    "": [],
    "\n": [],
}


@pytest.fixture(params=[1, 3, 1000])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many bytes are read at a time, wherever that is."""
    monkeypatch.setattr("batchxfer.codec._records._READ_BYTES", request.param)
    return int(request.param)


@pytest.mark.parametrize("text", SIDE_BY_SIDE)
def test_objects_that_no_line_ending_parts_are_told_apart(text: str, piece: int) -> None:
    table = {"kind": "json-lines", "line_ending": "none"}
    assert rows(table, {"a": "text"}, text, piece=piece) == SIDE_BY_SIDE[text]


@pytest.mark.parametrize(
    ("text", "bad", "good"),
    [
        ('{"a":1}x{"a":2}', (2, None, "it is not JSON: no value at character 1"), [("1",), ("2",)]),
        ('{"a":}{"a":2}', (1, None, "it is not JSON: no value at character 6"), [("2",)]),
        ('{"a":1}{"a":"2', (2, None, "it is not JSON: unterminated string starting at character 6"), [("1",)]),
        ('{"a":1}{"a":{', (2, None, ""), [("1",)]),
        ('{"a":1}}', (2, None, "it is not JSON: no value at character 1"), [("1",)]),
    ],
)
def test_a_bad_object_among_those_side_by_side_keeps_no_other_out(text: str, bad: Any, good: list[Any]) -> None:
    found = rows({"kind": "json-lines", "line_ending": "none"}, {"a": "text"}, text)
    assert [row for row in found if len(row) == 1] == good
    (wrong,) = [row for row in found if len(row) == 3]
    assert wrong[:2] == bad[:2]
    assert bad[2] in wrong[2]


def test_blanks_part_pairs_as_logfmt_has_it() -> None:
    found = rows({"kind": "key-value"}, {"a": "text", "b": "text"}, 'a=1\tb=2\na="x\ty" \t b="\t"\n')
    assert found == [("1", "2"), ("x\ty", "\t")]
    # What quotes nothing has them in its values.
    table = {"kind": "key-value", "quote": "none"}
    assert rows(table, {"a": "text", "b": "text"}, "a=1\tb=2 b=3\n") == [("1\tb=2", "3")]


@pytest.mark.parametrize(
    ("quoted", "text"),
    [
        (r"\a\v\'\x07\x7f", "\a\v'\x07\x7f"),
        (r"\U0001f600\u00e9", "😀é"),
        (r"\\x41\\\x41", "\\x41\\A"),
        (r"\x22\x5c", '"\\'),
    ],
)
def test_texts_as_go_quotes_them(quoted: str, text: str) -> None:
    assert rows({"kind": "key-value"}, {"a": "text"}, f'a="{quoted}"\n') == [(text,)]


@pytest.mark.parametrize("quoted", [r"\xff", r"\U00110000", r"\Ud800", r"\q", r"\U0000d800"])
def test_an_escape_that_is_no_character_is_a_bad_record(quoted: str) -> None:
    (bad,) = rows({"kind": "key-value"}, {"a": "text"}, f'a="{quoted}"\n')
    assert "has an escape that JSON does not have" in bad[2]


@pytest.mark.parametrize("kind", ["decimal", "decimal(10,3)", "float"])
def test_a_dot_is_no_decimal_point_where_another_is_agreed(kind: str) -> None:
    """In half of Europe 1.500 is a thousand and a half."""
    table = {"kind": "delimited", "delimiter": ";", "decimal_point": ","}
    found = rows(table, {"n": kind}, "n\n1.500\n1.500,25\n-1,500\n")
    assert found[:2] == [(2, "n", "'1.500': it is not a number"), (3, "n", "'1.500,25': it is not a number")]
    assert [float(row[0]) for row in found[2:]] == [-1.5]


def test_an_escape_that_may_mean_something_else_is_a_bad_record() -> None:
    r"""`\n` is a line feed by the agreement of others (PostgreSQL's COPY, MySQL's OUTFILE), and the letter by this one."""
    table = {"kind": "delimited", "delimiter": "\t", "quote": "none", "escape": "\\", "null": "\\N", "header": False}
    found = rows(table, {"a": "text", "b": "text"}, 'x\\ny\t1\n\\N\t\\\t\\\\\n\\"q\\"\t\\\n\n')
    assert found == [
        (1, None, "the escape '\\\\' stands before 'n', which needs none"),
        (None, "\t\\"),
        ('"q"', "\n"),
    ]
    with pytest.raises(UnreadableFile, match="stands before 'b'"):
        rows({**table, "header": True}, {"a": "text"}, "a\\b\n1\n")
    # A text that equals NULL has an escape before it.
    data = encode({**table, "null": "N"}, {"a": "text", "b": "text"}, [["N", None]])
    assert rows({**table, "null": "N"}, {"a": "text", "b": "text"}, data) == [("N", None)]


def test_an_escape_before_nothing_is_itself() -> None:
    table = {"kind": "delimited", "quote": "none", "escape": "^", "header": False}
    assert rows(table, {"a": "text", "b": "text"}, "a^,b,c\rd\nx,y^", piece=1) == [("a,b", "c\rd"), ("x", "y^")]


def test_without_a_mark_the_order_of_bytes_is_asked_for() -> None:
    with pytest.raises(UnreadableFile) as caught:
        rows({"kind": "lines", "encoding": "utf-16"}, {"a": "text"}, "x\n".encode("utf-16-le"))
    assert 'write encoding = "utf-16-le" or "utf-16-be"' in str(caught.value.hint)


@pytest.mark.parametrize("document", ['{"\\ud83d":1}', '{"a":{"\\udc00":"b"}}', '["\\ud83d"]'])
def test_half_a_surrogate_pair_anywhere_in_a_document_is_a_bad_record(document: str) -> None:
    found = rows({"kind": "json-lines"}, {"a": "json", "n": "integer"}, f'{{"a":{document},"n":1}}\n{{"n":2}}\n')
    assert found == [(1, None, "it has half a surrogate pair in it"), (None, 2)]


def test_half_a_surrogate_pair_in_utf_7_is_no_text() -> None:
    with pytest.raises(UnreadableFile, match="half a surrogate pair"):
        list(reading({"kind": "lines", "encoding": "utf-7"}, {"a": "text"}, b"a+2D0-\n"))


@pytest.mark.parametrize(
    ("keys", "text", "shown"),
    [
        ({"kind": "delimited", "delimiter": "|", "null": "-"}, 'a|b|n\n-|"c|""d"|x\n', '-|"c|""d"|x'),
        ({"kind": "delimited"}, 'a,b,n\n,"",x\n', ',"",x'),
        ({"kind": "delimited", "quote": "none", "delimiter": "\t"}, "a\tb\tn\n'\"'\t,\tx\n", "'\"'\t,\tx"),
        ({"kind": "json-lines"}, '{"b":"c","n":"x"}\n', "b=c, n=x"),
    ],
)
def test_a_bad_record_is_shown_as_it_may_stand_in_a_file(keys: Any, text: str, shown: str) -> None:
    _, (bad,) = read_all(keys, {"a": "text", "b": "text", "n": "integer"}, text.encode())
    assert isinstance(bad, BadRecord)
    assert bad.text == shown


def test_fixed_fields_come_out_of_their_padding() -> None:
    table = {
        "kind": "fixed-width",
        "columns": [
            {"name": "t", "width": 4},
            {"name": "n", "width": 5, "align": "right", "pad": "0", "type": "integer"},
            {"name": "k", "width": 3, "align": "right", "pad": "*"},
        ],
    }
    columns = {"t": "text", "n": "integer", "k": "text"}
    text = "ab  -0012**x\n    00000***\r\nxyz 1234\n"
    assert rows(table, columns, text) == [
        (3, None, "it has 8 characters, not 12"),
        ("ab", -12, "x"),
        (None, 0, None),
    ]


@pytest.mark.parametrize("width", [1, 2])
def test_fields_that_no_line_ending_parts_may_have_one(width: int, piece: int) -> None:
    table = {"kind": "fixed-width", "line_ending": "none", "columns": [{"name": "a", "width": width}]}
    for end in ("", "\n", "\r\n", "\n\r\n"):
        text = "".join(letter.ljust(width) + end for letter in "xyz")
        assert rows(table, {"a": "text"}, text, piece=piece) == [("x",), ("y",), ("z",)]


@pytest.mark.parametrize("key", ["header_record", "trailer_record"])
@pytest.mark.parametrize("kind", ["fixed-width", "json-lines"])
def test_a_control_record_that_nothing_parts_from_the_others_is_refused(kind: str, key: str) -> None:
    """A header that ends with a name would take the whole file for itself, and nothing would be loaded."""
    table = {"kind": kind, key: "H{job}", "line_ending": "none", "columns": [{"name": "a", "width": 2}]}
    with pytest.raises(UnreadableFile, match='cannot be told from the records: line_ending is "none"'):
        rows(table, {"a": "text"}, "Hjx y ", facts={"job": "j"})


@pytest.mark.parametrize("align", ["left", "right"])
def test_a_date_whose_padding_is_a_digit_keeps_its_digits(align: str) -> None:
    columns = [{"name": "a", "width": 8, "pad": "0", "align": align}, {"name": "b", "width": 12, "pad": "1"}]
    table = {"kind": "fixed-width", "date_format": "%Y%m%d", "columns": columns}
    given_rows = [[date(2026, 11, 20), date(2026, 1, 11)], [date(200, 1, 1), None], [None, date(1111, 11, 11)]]
    data = encode(table, {"a": "date", "b": "date"}, given_rows)
    assert data == b"20261120202601111111\n02000101111111111111\n00000000111111111111\n"
    assert rows(table, {"a": "date", "b": "date"}, data) == [
        (date(2026, 11, 20), date(2026, 1, 11)),
        (date(200, 1, 1), None),
        (None, None),
    ]
    assert "'2026112X'" in rows(table, {"a": "text", "b": "date"} | {"a": "date"}, "2026112X" + "1" * 12)[0][2]


# --- hostile files -------------------------------------------------------------------------------


def bomb(megabytes: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for _ in range(megabytes):
        yield packer.compress(b"a" * (1 << 20))
    yield packer.flush()


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    data = b"".join(bomb(200))
    assert len(data) < 300_000
    read = reading({"kind": "lines"}, {"a": "text"}, data, piece=1 << 16, compress="gzip")
    with pytest.raises(UnreadableFile, match="unpacks to more than 250 times its size"):
        list(read)


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_padding_behind_gzip_is_nothing(piece: int) -> None:
    data = gzip.compress(b"a\n") + gzip.compress(b"b\n") + b"\0" * 600
    assert len(list(reading({"kind": "lines"}, {"a": "text"}, data, piece=piece, compress="gzip"))) == 1
    for behind in (b"x", gzip.compress(b"c\n")):
        with pytest.raises(UnreadableFile, match="it is not whole gzip: something else follows it"):
            list(reading({"kind": "lines"}, {"a": "text"}, data + behind, piece=piece, compress="gzip"))


@pytest.mark.parametrize(
    ("data", "compress", "why", "hint"),
    [
        (b"a\n", "gzip", "it does not begin as gzip does", 'write compress = "none"'),
        (b"a\n" * 99, "zstd", "it does not begin as zstd does", 'write compress = "none"'),
        (gzip.compress(b"a\n", mtime=0), "none", "it is not utf-8 text", 'write compress = "gzip"'),
        (pa.compress(b"a\n", codec="zstd", asbytes=True), "none", "it is not utf-8 text", 'write compress = "zstd"'),
        (b"PK\x03\x04\x14\0\x08\x08\x08\0\xff", "none", "it is not utf-8 text", "ZIP archive"),
        (
            gzip.compress(b"a\n", mtime=0)[:-4] + b"\0" * 4,
            "gzip",
            "it is not whole gzip: incorrect length check",
            "again",
        ),
        (pa.compress(b"a\n" * 99, codec="zstd", asbytes=True)[:-3], "zstd", "it is not whole zstd: truncated", "again"),
    ],
)
def test_how_a_file_is_packed_is_told(data: bytes, compress: str, why: str, hint: str) -> None:
    with pytest.raises(UnreadableFile, match=why) as caught:
        list(reading({"kind": "lines"}, {"a": "text"}, data, piece=1000, compress=compress))
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("broken", ["cut", "changed", "empty", "not packed"])
def test_what_is_not_whole_is_refused(kind: str, broken: str) -> None:
    plain = b"a\n" + b"x1y2z3\n" * 1000
    data = gzip.compress(plain) if kind == "gzip" else pa.Codec("zstd").compress(plain, asbytes=True)
    data = {"cut": data[:-6], "changed": data[:30] + b"\0\0\0\0" + data[34:], "empty": b"", "not packed": plain}[broken]
    with pytest.raises(UnreadableFile):
        list(reading({"kind": "lines"}, {"a": "text"}, data, compress=kind))


@settings(CASES, max_examples=40)
@given(
    st.sampled_from(["delimited", "key-value", "json-lines", "lines"]),
    st.binary(max_size=200) | TEXTS.map(str.encode),
    st.sampled_from(["none", "gzip", "zstd"]),
)
def test_random_bytes_are_read_or_refused(kind: str, data: bytes, compress: str) -> None:
    with contextlib.suppress(UnreadableFile):
        list(reading({"kind": kind}, {"a": "text"}, data, compress=compress))
