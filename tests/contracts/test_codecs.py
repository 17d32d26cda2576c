"""Every option of every format, with the expected bytes written out by hand."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from batchxfer.errors import UnwritableValue
from tests.contracts.format_files import encode, problems
from tests.oracles.naive import Float4

Row = list[Any]

# One row of every type, as DESIGN's table of values has them.
EVERY_TYPE: dict[str, tuple[str, Any]] = {
    "int": ("integer", -7),
    "dec": ("decimal(12,2)", "12.50"),
    "flo": ("float", 0.1),
    "boo": ("boolean", True),
    "dat": ("date", date(2026, 11, 23)),
    "tim": ("time", time(1, 2, 3)),
    "tsn": ("timestamp", datetime(2026, 11, 22, 16, 2, 3)),
    "tsz": ("timestamptz", datetime(2026, 11, 22, 16, 2, 3, 500000, tzinfo=UTC)),
    "txt": ("text", "as it is"),
    "uui": ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    "byt": ("bytes", b"\x00\xff"),
    "itv": ("interval", "P1DT2H"),
    "jso": ("json", '{"a":[1,1.10]}'),
}
TYPES = {name: kind for name, (kind, _) in EVERY_TYPE.items()}
ROW = [value for _, value in EVERY_TYPE.values()]
NULLS: Row = [None] * len(ROW)

WIDTHS = [{"name": name, "width": 36} for name in TYPES]


def one(table: Mapping[str, Any], kind: str, value: Any, **more: Any) -> str:
    """What stands in a delimited file without header for one value."""
    return encode({"kind": "delimited", "header": False, **table}, {"c": kind}, [[value]], **more).decode()[:-1]


def refused(table: Mapping[str, Any], columns: dict[str, str], rows: list[Row], **more: Any) -> str:
    with pytest.raises(UnwritableValue) as caught:
        encode(table, columns, rows, **more)
    return caught.value.message


# --- every type in every format ------------------------------------------------------------------


def test_every_type_in_a_delimited_file() -> None:
    assert encode({"kind": "delimited"}, TYPES, [ROW, NULLS]) == (
        b"int,dec,flo,boo,dat,tim,tsn,tsz,txt,uui,byt,itv,jso\n"
        b"-7,12.50,0.1,true,2026-11-23,01:02:03,2026-11-22T16:02:03,2026-11-22T16:02:03.500000+00:00,as it is,"
        b'6ba7b810-9dad-11d1-80b4-00c04fd430c8,AP8=,P1DT2H,"{""a"":[1,1.10]}"\n'
        b",,,,,,,,,,,,\n"
    )


def test_every_type_in_a_key_value_file() -> None:
    assert encode({"kind": "key-value"}, TYPES, [ROW, NULLS]) == (
        b"int=-7 dec=12.50 flo=0.1 boo=true dat=2026-11-23 tim=01:02:03 tsn=2026-11-22T16:02:03 "
        b'tsz=2026-11-22T16:02:03.500000+00:00 txt="as it is" uui=6ba7b810-9dad-11d1-80b4-00c04fd430c8 byt="AP8=" '
        b'itv=P1DT2H jso="{\\"a\\":[1,1.10]}"\n'
        b"int= dec= flo= boo= dat= tim= tsn= tsz= txt= uui= byt= itv= jso=\n"
    )


def test_every_type_in_json_lines() -> None:
    assert encode({"kind": "json-lines"}, TYPES, [ROW, NULLS]) == (
        b'{"int":-7,"dec":12.50,"flo":0.1,"boo":true,"dat":"2026-11-23","tim":"01:02:03","tsn":"2026-11-22T16:02:03",'
        b'"tsz":"2026-11-22T16:02:03.500000+00:00","txt":"as it is","uui":"6ba7b810-9dad-11d1-80b4-00c04fd430c8",'
        b'"byt":"AP8=","itv":"P1DT2H","jso":{"a":[1,1.10]}}\n'
        b'{"int":null,"dec":null,"flo":null,"boo":null,"dat":null,"tim":null,"tsn":null,"tsz":null,"txt":null,"uui":null,'
        b'"byt":null,"itv":null,"jso":null}\n'
    )


def test_every_type_in_a_fixed_width_file() -> None:
    written = encode({"kind": "fixed-width", "columns": WIDTHS}, TYPES, [ROW, NULLS]).decode()
    first, second, rest = written.split("\n")
    assert rest == ""
    assert [first[start : start + 36].rstrip() for start in range(0, 36 * 13, 36)] == [
        "-7", "12.50", "0.1", "true", "2026-11-23", "01:02:03", "2026-11-22T16:02:03", "2026-11-22T16:02:03.500000+00:00",
        "as it is", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "AP8=", "P1DT2H", '{"a":[1,1.10]}',
    ]  # fmt: skip
    assert second == " " * 36 * 13


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.1, "0.1"), (1.0, "1.0"), (-0.0, "-0.0"), (1e-7, "1e-07"), (1e16, "1e+16"), (1e15, "1000000000000000.0"),
        (123456789012345.6, "123456789012345.6"), (0.0001, "0.0001"), (0.00001, "1e-05"), (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (float("nan"), "nan"), (float("inf"), "inf"),
        (float("-inf"), "-inf"), (Float4(0.1), "0.1"), (Float4(16777216), "16777216.0"), (Float4(1e-7), "1e-07"),
        (Float4(3.4e38), "3.4e+38"), (Float4(123456790), "123456790.0"),
    ],
)  # fmt: skip
def test_floats_are_python_s_repr_and_short_ones_stay_short(value: float, written: str) -> None:
    assert one({}, "float", value) == written


def test_the_way_a_float_is_written_does_not_depend_on_its_neighbours() -> None:
    values = [1.0, 1e-7, None, 0.5, 1e22, float("nan"), 3.0]
    whole = encode({"kind": "delimited", "header": False}, {"c": "float"}, [[value] for value in values])
    assert whole == b"1.0\n1e-07\n\n0.5\n1e+22\nnan\n3.0\n"


@pytest.mark.parametrize("digits", ["12.50", "-0.01", "0.00", "1" * 60 + "." + "0" * 30, "nan"])
def test_decimals_keep_their_digits(digits: str) -> None:
    assert one({}, "decimal", digits) == digits


def test_integers_beyond_64_bits_keep_their_digits() -> None:
    assert one({}, "integer", 10**40) == "1" + "0" * 40


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (time(1, 2, 3), "01:02:03"),
        (time(1, 2, 3, 4), "01:02:03.000004"),
        (time(0), "00:00:00"),
        (datetime(1, 1, 1), "0001-01-01T00:00:00"),
        (datetime(1969, 12, 31, 23, 59, 59, 999999), "1969-12-31T23:59:59.999999"),
        (datetime(9999, 12, 31, 23, 59, 59), "9999-12-31T23:59:59"),
    ],
)
def test_a_fraction_is_shown_only_where_there_is_one(value: Any, written: str) -> None:
    assert one({}, "time" if isinstance(value, time) else "timestamp", value) == written


def test_an_instant_is_shown_in_the_format_s_zone() -> None:
    instant = datetime(2026, 11, 22, 16, 2, 3, tzinfo=UTC)
    assert one({"timezone": ZoneInfo("Asia/Seoul")}, "timestamptz", instant) == "2026-11-23T01:02:03+09:00"
    assert one({"timezone": ZoneInfo("America/New_York")}, "timestamptz", instant) == "2026-11-22T11:02:03-05:00"


def test_offsets_are_those_of_the_instant_in_both_hours_of_a_fold() -> None:
    instants = [[datetime(2026, 10, 25, 0, 30, tzinfo=UTC)], [datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]]
    table = {"kind": "delimited", "header": False, "timezone": ZoneInfo("Europe/Berlin")}
    assert encode(table, {"c": "timestamptz"}, instants) == b"2026-10-25T02:30:00+02:00\n2026-10-25T02:30:00+01:00\n"


def test_an_offset_with_seconds_is_shown_with_them() -> None:
    table = {"timezone": ZoneInfo("Asia/Seoul")}
    assert one(table, "timestamptz", datetime(1800, 1, 1, tzinfo=UTC)) == "1800-01-01T08:27:52+08:27:52"


@pytest.mark.parametrize(
    ("table", "kind", "value", "written"),
    [
        ({"date_format": "%Y%m%d"}, "date", date(26, 1, 2), "00260102"),
        ({"date_format": "%a %d %b %y %j"}, "date", date(2026, 11, 23), "Mon 23 Nov 26 327"),
        ({"date_format": "%G-W%V-%u %%"}, "date", date(2027, 1, 1), "2026-W53-5 %"),
        ({"time_format": "%I:%M %p"}, "time", time(0, 5), "12:05 AM"),
        ({"time_format": "%H%M%S%f"}, "time", time(23, 5, 6, 7), "230506000007"),
        ({"timestamp_format": "%d.%m.%Y %H:%M:%S"}, "timestamp", datetime(2026, 1, 2, 3, 4, 5), "02.01.2026 03:04:05"),
        ({"timestamp_format": "%z"}, "timestamptz", datetime(2026, 1, 2, tzinfo=UTC), "+0000"),
        ({"true": "Y", "false": "N"}, "boolean", True, "Y"),
        ({"true": "Y", "false": "N"}, "boolean", False, "N"),
        ({"bytes": "hex"}, "bytes", b"\x00\xff", "00ff"),
        ({"decimal_point": ",", "delimiter": ";"}, "decimal", "-12.50", "-12,50"),
        ({"decimal_point": ",", "delimiter": ";"}, "float", 1.5e300, "1,5e+300"),
        ({"decimal_point": ","}, "decimal", "12.50", '"12,50"'),
    ],
)
def test_formats_of_values(table: dict[str, Any], kind: str, value: Any, written: str) -> None:
    assert one(table, kind, value) == written


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz", "time"])
def test_what_no_calendar_has_is_an_error_with_row_and_column(kind: str) -> None:
    import pyarrow as pa

    from batchxfer.codec import delimited
    from batchxfer.layout import Encoder
    from tests.contracts.format_files import CARRIERS, column

    days = pa.array([0, None, 2**31 - 1], pa.int32()) if kind == "date" else pa.array([0, None, 2**62], pa.int64())
    encoder = Encoder(delimited.Options(kind="delimited"), delimited.Codec, (column("when", kind),), {})
    with pytest.raises(UnwritableValue, match=rf"row 3, column 'when': cannot write .* a {kind} must be within"):
        encoder.encode(pa.RecordBatch.from_arrays([days.view(CARRIERS[kind])], names=["when"]))


def test_an_instant_whose_local_time_leaves_the_calendar_is_an_error() -> None:
    table = {"kind": "delimited", "timezone": ZoneInfo("Asia/Seoul")}
    rows = [[datetime(9999, 12, 31, 23, tzinfo=UTC)]]
    assert "row 1, column 'when'" in refused(table, {"when": "timestamptz"}, rows)


# --- delimited -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "value", "written"),
    [
        ({}, None, ""),
        ({}, "", '""'),
        ({"quote_empty": False}, "", ""),
        ({}, "a,b", '"a,b"'),
        ({}, 'a"b', '"a""b"'),
        ({}, "a\nb", '"a\nb"'),
        ({}, "a\rb", '"a\rb"'),
        ({}, " a", '" a"'),
        ({}, "a ", '"a "'),
        ({}, "a b", "a b"),
        ({}, "\ta", "\ta"),
        ({"delimiter": "|"}, "a,b", "a,b"),
        ({"delimiter": "||"}, "a|b", "a|b"),
        ({"delimiter": "||"}, "a|", '"a|"'),
        ({"quote_char": "'"}, "it's", "'it''s'"),
        ({"quote_char": "'"}, 'a"b', 'a"b'),
        ({"null": "NULL"}, None, "NULL"),
        ({"null": "NULL"}, "NULL", '"NULL"'),
        ({"null": "NULL"}, "NULLS", "NULLS"),
        ({"null": "NULL"}, "", '""'),
        ({"quote": "all"}, "a", '"a"'),
        ({"quote": "all"}, "", '""'),
        ({"quote": "all"}, None, ""),
        ({"quote": "all", "null": "NULL"}, None, "NULL"),
        ({"quote": "none"}, 'a" b', 'a" b'),
        ({"quote": "none"}, "", ""),
        ({"quote": "none", "escape": "\\"}, "a,b\\c", "a\\,b\\\\c"),
        ({"quote": "none", "escape": "\\"}, "a\nb", "a\\\nb"),
        ({"quote": "none", "escape": "\\", "delimiter": "||"}, "a||b|", "a\\|\\|b\\|"),
        ({"quote": "none", "escape": "\\", "null": "\\N"}, None, "\\N"),
        ({"quote": "none", "escape": "\\", "null": "\\N"}, "\\N", "\\\\N"),
        ({"quote": "none", "escape": "\\", "null": "-"}, "-", "\\-"),
        ({"spreadsheet_safe": True}, "=1+1", "'=1+1"),
        ({"spreadsheet_safe": True}, "@a,b", '"\'@a,b"'),
        ({"spreadsheet_safe": True}, "a=1", "a=1"),
        ({"trailing_delimiter": True}, "a", "a,"),
        ({}, "뷁 é\x00", "뷁 é\x00"),
    ],
)
def test_texts_in_delimited_files(table: dict[str, Any], value: str | None, written: str) -> None:
    assert not problems({"kind": "delimited", **table})
    assert one(table, "text", value) == written


def test_numbers_are_quoted_only_where_they_clash() -> None:
    columns = {"n": "integer", "d": "decimal", "t": "date"}
    row = [-5, "0.5", date(2026, 1, 2)]
    head = {"kind": "delimited", "header": False}
    assert encode({**head, "delimiter": "-"}, columns, [row]) == b'"-5"-0.5-"2026-01-02"\n'
    assert encode({**head, "null": "-5"}, columns, [row, [None] * 3]) == b'"-5",0.5,2026-01-02\n-5,-5,-5\n'
    assert encode({**head, "spreadsheet_safe": True}, columns, [row]) == b"-5,0.5,2026-01-02\n"


def test_the_column_header_is_quoted_like_texts() -> None:
    columns = {"a,b": "text", 'c"': "text", "d": "text"}
    assert encode({"kind": "delimited"}, columns, []) == b'"a,b","c""",d\n'
    assert (
        encode({"kind": "delimited", "quote": "all", "trailing_delimiter": True}, columns, []) == b'"a,b","c""","d",\n'
    )
    assert encode({"kind": "delimited", "header": False}, columns, []) == b""
    message = refused({"kind": "delimited", "quote": "none"}, columns, [])
    assert message == "column name 'a,b': it has the delimiter ',' in it, and quote is \"none\""


@pytest.mark.parametrize(
    ("table", "value", "why"),
    [
        ({}, "a,b", "it has the delimiter ',' in it"),
        ({}, "a\nb", "it has a line feed in it"),
        ({}, "a\rb", "it has a CR in it"),
        ({"delimiter": "||"}, "a|", "its end '|' runs into the delimiter '||'"),
        ({"null": "NULL"}, "NULL", "it reads as NULL"),
    ],
)
def test_without_quoting_what_would_be_misread_is_an_error(table: dict[str, Any], value: str, why: str) -> None:
    rows = [["fine", "x"], ["fine", value]]
    message = refused({"kind": "delimited", "quote": "none", **table}, {"a": "text", "b": "text"}, rows, sizes=(1,))
    assert message == f"row 2, column 'b': cannot write {value!r}: {why}, and quote is \"none\""


def test_line_endings() -> None:
    rows = [["a"], ["b"]]
    assert encode({"kind": "delimited", "line_ending": "crlf"}, {"c": "text"}, rows) == b"c\r\na\r\nb\r\n"
    assert encode({"kind": "json-lines", "line_ending": "none"}, {"c": "text"}, rows) == b'{"c":"a"}{"c":"b"}'


NASTY = ["", "a", " a ", 'q"q', "a,b", "a|b", "a\nb", "a\r\nb", "'", "é뷁😀", "\t", "=1", "\\", "NULL", '""', ","]


@pytest.mark.parametrize(
    "table", [{}, {"quote": "all"}, {"delimiter": "|", "line_ending": "crlf"}, {"quote_char": "'"}]
)
def test_python_s_csv_reads_back_what_was_written(table: dict[str, Any]) -> None:
    rows = [[text, other] for text in NASTY for other in NASTY]
    text = encode({"kind": "delimited", **table}, {"a": "text", "b": "text"}, rows, sizes=(7, 1, 30)).decode()
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=table.get("delimiter", ","),
        quotechar=table.get("quote_char", '"'),
        strict=True,
    )
    assert list(reader) == [["a", "b"], *rows]


def test_python_s_csv_reads_back_what_was_escaped() -> None:
    rows = [[text, other] for text in NASTY for other in NASTY]
    table = {"kind": "delimited", "quote": "none", "escape": "\\", "header": False}
    text = encode(table, {"a": "text", "b": "text"}, rows).decode()
    reader = csv.reader(io.StringIO(text, newline=""), quoting=csv.QUOTE_NONE, escapechar="\\", strict=True)
    assert list(reader) == rows


# --- key-value -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "value", "written"),
    [
        ({}, None, "c="),
        ({}, "", 'c=""'),
        ({}, "a", "c=a"),
        ({}, "a b", 'c="a b"'),
        ({}, "a=b", 'c="a=b"'),
        ({}, 'a"b', 'c="a\\"b"'),
        ({}, "a\\b", 'c="a\\\\b"'),
        ({}, "a\nb\x01", 'c="a\\nb\\u0001"'),
        ({}, "\x7f", 'c="\x7f"'),
        ({}, "é뷁", "c=é뷁"),
        ({"separator": ";"}, "a;b", 'c="a;b"'),
        ({"separator": ";"}, "a b", 'c="a b"'),
        ({"separator": "||"}, "a|", 'c="a|"'),
        ({"assign": ":"}, "a:b", 'c:"a:b"'),
        ({"assign": ":"}, "a=b", "c:a=b"),
        ({"quote": "all"}, "a", 'c="a"'),
        ({"quote": "all"}, None, "c="),
        ({"quote": "none"}, 'a"', 'c=a"'),
        ({"quote": "none"}, "", "c="),
        ({"null": "omit"}, None, ""),
    ],
)
def test_texts_in_key_value_files(table: dict[str, Any], value: str | None, written: str) -> None:
    assert encode({"kind": "key-value", **table}, {"c": "text"}, [[value]]).decode() == written + "\n"


def test_a_timestamp_with_the_assign_text_in_it_is_quoted() -> None:
    table = {"kind": "key-value", "assign": ":"}
    assert encode(table, {"t": "time", "n": "integer"}, [[time(1, 2), 5]]) == b't:"01:02:00" n:5\n'


OMITTED: list[Row] = [[1, None, "x"], [None, "y", None], [None, None, None], [None, None, "z"], [1, "y", None]]


@pytest.mark.parametrize("sizes", [(5,), (1,), (2, 3)])
def test_omitted_nulls_leave_no_separators(sizes: tuple[int, ...]) -> None:
    columns = {"a": "integer", "b": "text", "c": "text"}
    assert encode({"kind": "key-value", "null": "omit", "separator": ", "}, columns, OMITTED, sizes=sizes) == (
        b"a=1, c=x\nb=y\n\nc=z\na=1, b=y\n"
    )
    assert encode({"kind": "json-lines", "null": "omit"}, columns, OMITTED, sizes=sizes) == (
        b'{"a":1,"c":"x"}\n{"b":"y"}\n{}\n{"c":"z"}\n{"a":1,"b":"y"}\n'
    )


@pytest.mark.parametrize("name", ["a b", "a=b", 'a"', "a\\", "a\n", "", "\x7f"])
def test_a_name_that_a_pair_cannot_carry_is_an_error(name: str) -> None:
    assert refused({"kind": "key-value"}, {name: "text"}, []).startswith(
        f"column name {name!r} cannot stand in a pair: "
    )


def test_a_name_that_runs_into_the_separator_is_an_error() -> None:
    table = {"kind": "key-value", "separator": ", ", "assign": " = "}
    assert "it has the separator ', ' in it" in refused(table, {"a,": "text"}, [])


@pytest.mark.parametrize("value", ["a b", "a=b", "a\nb"])
def test_without_quoting_a_pair_that_would_be_misread_is_an_error(value: str) -> None:
    message = refused({"kind": "key-value", "quote": "none"}, {"c": "text"}, [["x"], [value]])
    assert message.startswith(f"row 2, column 'c': cannot write {value!r}: it has ")


def test_a_small_logfmt_reader_reads_back_what_was_written() -> None:
    rows = [[text, other] for text in NASTY for other in NASTY]
    text = encode({"kind": "key-value"}, {"a": "text", "b": "text"}, rows, sizes=(3,)).decode()
    read = []
    for line in text.removesuffix("\n").split("\n"):
        pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^ ]*)(?: |$)', line)
        read.append([json.loads(value, strict=False) if value.startswith('"') else value for _, value in pairs])
        assert [name for name, _ in pairs] == ["a", "b"]
    assert read == rows


# --- JSON lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ascii_only", [False, True])
def test_strings_are_what_json_dumps_writes(ascii_only: bool) -> None:
    texts = [*NASTY, *(chr(code) for code in range(0x180)), "\u2028", "\ufffe", "😀"]
    table = {"kind": "json-lines", "ascii": ascii_only}
    expected = "".join(json.dumps({"é": text}, ensure_ascii=ascii_only, separators=(",", ":")) + "\n" for text in texts)
    assert encode(table, {"é": "text"}, [[text] for text in texts]) == expected.encode()


def test_json_is_nested_verbatim() -> None:
    rows = [['{"n":1.10,"big":12345678901234567890123,"e":1E5,"s":"\\u00e9/é"}'], ["null"], ["[]"], [None]]
    assert encode({"kind": "json-lines"}, {"j": "json"}, rows).decode() == (
        '{"j":{"n":1.10,"big":12345678901234567890123,"e":1E5,"s":"\\u00e9/é"}}\n{"j":null}\n{"j":[]}\n{"j":null}\n'
    )
    assert encode({"kind": "json-lines", "ascii": True}, {"j": "json"}, [['{"é":"😀"}']]) == (
        b'{"j":{"\\u00e9":"\\ud83d\\ude00"}}\n'
    )


def test_decimals_are_numbers_with_their_digits_or_strings() -> None:
    columns, rows = {"d": "decimal", "i": "integer"}, [["12.50", 2**63], ["-0.01", 0]]
    assert encode({"kind": "json-lines"}, columns, rows) == b'{"d":12.50,"i":9223372036854775808}\n{"d":-0.01,"i":0}\n'
    assert encode({"kind": "json-lines", "decimals": "string"}, columns, rows) == (
        b'{"d":"12.50","i":9223372036854775808}\n{"d":"-0.01","i":0}\n'
    )


@pytest.mark.parametrize(("kind", "value"), [("float", float("nan")), ("float", float("-inf")), ("decimal", "NaN")])
def test_a_number_that_json_does_not_have_is_an_error(kind: str, value: Any) -> None:
    message = refused({"kind": "json-lines"}, {"a": "integer", "n": kind}, [[1, None], [2, value]])
    assert message == f"row 2, column 'n': cannot write {str(value)!r}: JSON has no such number"


def test_booleans_with_words_of_their_own_are_strings() -> None:
    assert encode({"kind": "json-lines", "true": "Y", "false": "N"}, {"b": "boolean"}, [[True]]) == b'{"b":"Y"}\n'


def test_a_json_object_has_each_key_once() -> None:
    table = {"kind": "json-lines", "columns": [{"name": "a"}, {"name": "b", "as": "a"}]}
    assert "'a' twice" in refused(table, {"a": "text", "b": "text"}, [])


def test_a_json_parser_reads_back_what_was_written() -> None:
    rows = [[text, number] for text in NASTY for number in ("1.10", None, "-5")]
    read = encode({"kind": "json-lines"}, {"t": "text", "d": "decimal"}, rows, sizes=(4, 9)).decode().split("\n")
    parsed = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in read[:-1]]
    assert parsed == [{"t": text, "d": None if digits is None else Decimal(digits)} for text, digits in rows]


# --- fixed width ---------------------------------------------------------------------------------


def fixed(kind: str, value: Any, table: Mapping[str, Any] | None = None, **layout: Any) -> bytes:
    made = {"kind": "fixed-width", "line_ending": "none", **(table or {}), "columns": [{"name": "c", **layout}]}
    return encode(made, {"c": kind}, [[value]])


@pytest.mark.parametrize(
    ("kind", "value", "layout", "written"),
    [
        ("text", "ab", {"width": 4}, "ab  "),
        ("text", "ab", {"width": 4, "align": "right"}, "  ab"),
        ("text", "ab", {"width": 4, "pad": "*"}, "ab**"),
        ("text", "abcd", {"width": 4}, "abcd"),
        ("text", "abcde", {"width": 4, "overflow": "cut"}, "abcd"),
        ("text", "abcde", {"width": 4, "overflow": "cut", "align": "right"}, "abcd"),
        ("text", "뷁é", {"width": 4}, "뷁é  "),
        ("text", "뷁뷁뷁", {"width": 2, "overflow": "cut"}, "뷁뷁"),
        ("text", "a", {"width": 3, "pad": "·"}, "a··"),
        ("text", None, {"width": 3}, "   "),
        ("text", "", {"width": 3, "pad": "*"}, "***"),
        ("integer", 42, {"width": 5, "align": "right", "pad": "0"}, "00042"),
        ("integer", -42, {"width": 5, "align": "right", "pad": "0"}, "-0042"),
        ("integer", -42, {"width": 5, "align": "right"}, "  -42"),
        ("text", "-42", {"width": 5, "align": "right", "pad": "0"}, "00-42"),
        ("decimal", "12.50", {"width": 8, "align": "right"}, "   12.50"),
        ("integer", None, {"width": 3, "align": "right", "pad": "0"}, "000"),
    ],
)
def test_fields_of_characters(kind: str, value: Any, layout: dict[str, Any], written: str) -> None:
    assert fixed(kind, value, **layout).decode() == written


@pytest.mark.parametrize(
    ("encoding", "value", "layout", "written"),
    [
        ("cp949", "한글", {"width": 6}, b"\xc7\xd1\xb1\xdb  "),
        ("cp949", "한글", {"width": 3, "overflow": "cut"}, b"\xc7\xd1 "),
        ("cp949", "한글", {"width": 3, "overflow": "cut", "align": "right"}, b" \xc7\xd1"),
        ("cp949", "ab", {"width": 3}, b"ab "),
        ("utf-8", "é뷁", {"width": 6}, b"\xc3\xa9\xeb\xb7\x81 "),
        ("utf-8", "é뷁", {"width": 4, "overflow": "cut"}, b"\xc3\xa9  "),
        ("utf-16-le", "a", {"width": 6}, b"a\x00 \x00 \x00"),
        ("latin-1", "é", {"width": 2}, b"\xe9 "),
    ],
)
def test_fields_of_bytes_never_split_a_character(
    encoding: str, value: str, layout: dict[str, Any], written: bytes
) -> None:
    assert fixed("text", value, {"encoding": encoding, "width_unit": "bytes"}, **layout) == written


def test_a_byte_order_mark_is_no_part_of_a_field() -> None:
    table = {"encoding": "utf-8-sig", "width_unit": "bytes"}
    assert fixed("text", "é", table, width=3) == b"\xef\xbb\xbf\xc3\xa9 "


@pytest.mark.parametrize(
    ("kind", "value", "table", "layout", "why"),
    [
        ("text", "abcd", {}, {"width": 3}, "it takes 4 characters, and the column has 3"),
        (
            "text",
            "한글",
            {"encoding": "cp949", "width_unit": "bytes"},
            {"width": 3},
            "it takes 4 bytes, and the column has 3",
        ),
        ("integer", 1234, {}, {"width": 3, "overflow": "cut"}, "it takes 4 characters, and the column has 3"),
        ("text", "a\nb", {}, {"width": 5}, "it has a line break in it"),
        ("text", "a\rb", {}, {"width": 5}, "it has a line break in it"),
        (
            "text",
            "é",
            {"encoding": "ascii", "width_unit": "bytes"},
            {"width": 5},
            "the encoding ascii has no 'é' (U+00E9)",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(
    kind: str, value: Any, table: dict[str, Any], layout: dict[str, Any], why: str
) -> None:
    made = {"kind": "fixed-width", **table, "columns": [{"name": "c", **layout}]}
    shown = repr(str(value))
    assert refused(made, {"c": kind}, [[None], [value]]) == f"row 2, column 'c': cannot write {shown}: {why}"


def test_a_replaced_character_takes_the_room_that_it_takes_in_the_file() -> None:
    table = {"encoding": "euc_kr", "width_unit": "bytes", "unencodable": "replace"}
    assert fixed("text", "뷁a", table, width=4) == b"?a  "


# --- lines ---------------------------------------------------------------------------------------


def test_lines_are_written_as_they_are_and_null_is_an_error() -> None:
    assert encode({"kind": "lines", "line_ending": "crlf"}, {"c": "text"}, [['a,"b"'], [""]]) == b'a,"b"\r\n\r\n'
    message = refused({"kind": "lines"}, {"c": "text"}, [["a"], [None]])
    assert message == "row 2, column 'c': cannot write 'NULL': a line has no way to say NULL"


def test_lines_have_one_column_of_text() -> None:
    assert "the query has 2: a, b" in refused({"kind": "lines"}, {"a": "text", "b": "text"}, [])
    assert "'n' is integer" in refused({"kind": "lines"}, {"n": "integer"}, [])
    assert encode({"kind": "lines", "columns": [{"name": "n", "type": "text"}]}, {"n": "integer"}, [[5]]) == b"5\n"


# --- columns -------------------------------------------------------------------------------------


def test_columns_are_chosen_ordered_renamed_and_converted() -> None:
    table = {
        "kind": "delimited",
        "columns": [{"name": "c", "as": "C"}, {"name": "a", "type": "decimal(8,2)"}, {"name": "a", "as": "raw"}],
    }
    rows = [["1.5", "no", 7], [None, "no", None]]
    assert encode(table, {"a": "text", "b": "text", "c": "integer"}, rows) == b"C,a,raw\n7,1.50,1.5\n,,\n"


def test_a_column_may_stand_in_a_file_twice() -> None:
    table = {"kind": "delimited", "columns": [{"name": "a"}, {"name": "a"}], "trailer_record": "{sum[a]}"}
    assert encode(table, {"a": "integer"}, [[1], [2]]) == b"a,a\n1,1\n2,2\n3\n"


def test_an_unknown_column_is_an_error_that_names_the_known_ones() -> None:
    table = {"kind": "delimited", "columns": [{"name": "amuont"}]}
    with pytest.raises(UnwritableValue) as caught:
        encode(table, {"id": "integer", "amount": "decimal"}, [])
    assert caught.value.message == "the format's [[columns]] name 'amuont', which the query does not have"
    assert caught.value.hint == "did you mean 'amount'?; columns: amount, id"


def test_a_value_that_cannot_be_converted_is_an_error_with_its_row_whatever_the_batches() -> None:
    table = {"kind": "delimited", "columns": [{"name": "a", "type": "decimal(8,2)"}]}
    rows = [["1.50"], ["2.50"], ["1.505"], ["3.50"]]
    for sizes in [(4,), (1,), (2, 1)]:
        message = refused(table, {"a": "text"}, rows, sizes=sizes)
        assert message == "row 3, column 'a': cannot write '1.505' as decimal(8,2): it has more than 2 decimals"


# --- control records -----------------------------------------------------------------------------

FACTS = {
    "job": "orders",
    "slot": datetime(2026, 11, 22, 16, 0, tzinfo=UTC),
    "business_date": date(2026, 11, 22),
    "run": "01J8",
}


def test_control_records_stand_around_the_column_header_and_the_rows() -> None:
    table = {
        "kind": "delimited",
        "line_ending": "crlf",
        "header_record": "H|{job}|{business_date:%Y%m%d}|{slot:%H%M}",
        "trailer_record": "T|{rows:08}|{sum[amount]:>15}|{count[amount]}|{sum[n]}",
    }
    rows = [["12.50", 1], [None, 2], ["-0.01", None]]
    columns = {"amount": "decimal(12,2)", "n": "integer"}
    assert encode(table, columns, rows, facts=FACTS) == (
        b"H|orders|20261122|1600\r\namount,n\r\n12.50,1\r\n,2\r\n-0.01,\r\nT|00000003|          12.49|2|3\r\n"
    )
    assert encode(table, columns, [], facts=FACTS) == (
        b"H|orders|20261122|1600\r\namount,n\r\nT|00000000|           0.00|0|0\r\n"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949", "iso2022_kr"])
def test_a_header_record_with_totals_stands_first_and_under_one_byte_order_mark(encoding: str) -> None:
    table = {"kind": "lines", "header_record": "머리 {rows}", "trailer_record": "끝", "encoding": encoding}
    written = encode(table, {"c": "text"}, [["한글"], ["b"]], sizes=(1,))
    assert written.decode(encoding) == "머리 2\n한글\nb\n끝\n"
    assert written.count("\ufeff".encode("utf-16-le")) == (1 if encoding == "utf-16" else 0)


def test_sums_do_not_overflow_and_are_not_rounded() -> None:
    table = {"kind": "delimited", "header": False, "trailer_record": "{sum[n]} {sum[d]} {sum[e]}"}
    columns = {"n": "integer", "d": "decimal", "e": "decimal(40,20)"}
    rows = [[2**63 - 1, "1" + "0" * 60, "0.00000000000000000001"], [2**63 - 1, "0.0000001", None]]
    for sizes in [(1,), (2,)]:
        last = encode(table, columns, rows, sizes=sizes).decode().splitlines()[-1]
        assert last == f"{2**64 - 2} 1{'0' * 60}.0000001 0.00000000000000000001"


def test_totals_are_of_what_is_in_the_file_under_the_query_s_names() -> None:
    table = {
        "kind": "delimited",
        "header": False,
        "columns": [{"name": "a", "as": "amount", "type": "decimal(8,2)"}],
        "trailer_record": "{sum[a]} {count[b]}",
    }
    assert encode(table, {"a": "text", "b": "text"}, [["1.5", "x"], ["2", None]]) == b"1.50\n2.00\n3.50 1\n"


def test_only_numbers_are_added_up() -> None:
    message = refused({"kind": "delimited", "trailer_record": "{sum[a]}"}, {"a": "text"}, [])
    assert message == "{sum[a]}: column 'a' is text, and sums are of integers and decimals only"
    message = refused({"kind": "delimited", "trailer_record": "{sum[a]}"}, {"a": "decimal"}, [["1"], ["nan"]])
    assert message == "row 2, column 'a': cannot write 'nan': it cannot be added up"


# --- encodings -----------------------------------------------------------------------------------


def test_one_byte_order_mark_stands_at_the_start_of_a_file() -> None:
    rows = [["a"], ["b"], ["c"]]
    assert encode({"kind": "delimited", "encoding": "utf-8-sig"}, {"c": "text"}, rows, sizes=(1,)) == (
        b"\xef\xbb\xbfc\na\nb\nc\n"
    )
    assert encode({"kind": "lines", "encoding": "utf-16"}, {"c": "text"}, rows, sizes=(1,)) == (
        b"\xff\xfea\x00\n\x00b\x00\n\x00c\x00\n\x00"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso2022_kr"])
def test_a_file_without_records_is_empty(encoding: str) -> None:
    assert encode({"kind": "json-lines", "encoding": encoding}, {"c": "text"}, []) == b""


@pytest.mark.parametrize(
    ("encoding", "bad"), [("ascii", "é"), ("cp949", "😀"), ("euc_kr", "뷁"), ("euc_kr", "\u3164"), ("shift_jis", "¥")]
)
@pytest.mark.parametrize("sizes", [(10,), (1,)])
def test_a_character_outside_the_encoding_is_an_error_or_replaced(
    encoding: str, bad: str, sizes: tuple[int, ...]
) -> None:
    columns, rows = {"a": "integer", "b": "text"}, [[1, "fine"], [2, f"x{bad}y"], [3, None]]
    table = {"kind": "delimited", "encoding": encoding}
    message = refused(table, columns, rows, sizes=sizes)
    assert message == (
        f"row 2, column 'b': cannot write {f'x{bad}y'!r}: the encoding {encoding} has no {bad!r} (U+{ord(bad):04X})"
    )
    assert encode({**table, "unencodable": "replace"}, columns, rows, sizes=sizes) == b"a,b\n1,fine\n2,x?y\n3,\n"


def test_headers_and_control_records_must_be_in_the_encoding_too() -> None:
    assert refused({"kind": "delimited", "encoding": "ascii"}, {"é": "text"}, []).startswith("column header 'é")
    table = {"kind": "lines", "encoding": "ascii", "trailer_record": "é"}
    assert refused(table, {"c": "text"}, []).startswith("trailer record 'é")


# --- batches, machines ---------------------------------------------------------------------------


def test_a_large_batch_is_cut_into_pieces_and_written_whole() -> None:
    import pyarrow as pa

    from batchxfer import layout
    from batchxfer.codec import delimited
    from tests.contracts.format_files import column

    big = pa.array(["x" * 1_000_000] * 80, pa.large_string())
    encoder = layout.Encoder(
        delimited.Options(kind="delimited", header=False), delimited.Codec, (column("c", "text"),), {}
    )
    written = encoder.encode(pa.RecordBatch.from_arrays([big], names=["c"]))
    assert (len(written), encoder.rows) == (80 * 1_000_001, 80)
    assert bytes(written[-5:]) == b"xxxx\n"


PROGRAM = """
import sys
from datetime import date, datetime, time, UTC
from tests.contracts.format_files import encode
columns = {"d": "date", "t": "timestamptz", "n": "timestamp", "f": "float", "s": "text"}
rows = [[date(2026, 3, 4), datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2026, 3, 29, 2, 30), 1.5, "é"]]
formats = {"date_format": "%a %b", "timestamp_format": "%a %d %b %Y %I %p %z"}
sys.stdout.buffer.write(encode({"kind": "delimited", **formats}, columns, rows) + encode({"kind": "delimited"}, columns, rows))
"""
EXPECTED = (
    'd,t,n,f,s\nWed Mar,Wed 01 Jul 2026 12 PM +0000,"Sun 29 Mar 2026 02 AM ",1.5,é\n'
    "d,t,n,f,s\n2026-03-04,2026-07-01T12:00:00+00:00,2026-03-29T02:30:00,1.5,é\n"
)


@pytest.mark.parametrize(
    "machine",
    [
        {"TZ": "Asia/Seoul", "LC_ALL": "C"},
        {"TZ": "Europe/Berlin", "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
        {"PYTHONTZPATH": "", "TZ": "America/New_York", "PYTHONUTF8": "0"},
    ],
)
def test_bytes_do_not_depend_on_the_machine_s_zone_or_locale(machine: dict[str, str]) -> None:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "TZ"))
    } | machine
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
    assert done.stdout.decode() == EXPECTED


# --- options that do not go together -------------------------------------------------------------

NOT_SEPARABLE = 'line_ending: line_ending = "none" would leave records that cannot be told apart'
A_COLUMN = [{"name": "a", "width": 1}]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"kind": "delimited", "delimiter": '"'}, "delimiter: delimiter '\"' has the quote_char in it"),
        ({"kind": "delimited", "delimiter": "a\n"}, "delimiter: delimiter 'a\\n' has a line ending in it"),
        ({"kind": "delimited", "null": "a,b"}, "null: null 'a,b' has the delimiter ',' in it"),
        ({"kind": "delimited", "null": '"'}, "null: null '\"' has the quote_char in it"),
        ({"kind": "delimited", "quote_char": "\n"}, "quote_char: quote_char is a line ending"),
        ({"kind": "delimited", "escape": "\\"}, 'escape: escape is for quote = "none"'),
        (
            {"kind": "delimited", "quote": "none", "escape": ","},
            "escape: escape ',' is part of the delimiter or a line ending",
        ),
        (
            {"kind": "delimited", "quote": "none", "decimal_point": ","},
            "decimal_point: decimal_point ',' is the delimiter, and nothing is quoted",
        ),
        (
            {"kind": "delimited", "null": "|", "delimiter": "||"},
            "null: null '|' runs into the delimiter '||': its end '|' reads as a part of it",
        ),
        (
            {"kind": "delimited", "null": "\\", "quote": "none", "escape": "\\"},
            "null: null '\\\\' ends with the escape '\\\\', and what stands behind it would be a part of it",
        ),
        (
            {"kind": "delimited", "null": "\\N", "quote": "none", "escape": "N"},
            "null: null '\\\\N' ends with the escape 'N', and what stands behind it would be a part of it",
        ),
        (
            {"kind": "delimited", "null": "^^", "quote": "none", "escape": "^"},
            "null: null '^^' is how the text '^' is written",
        ),
        (
            {"kind": "delimited", "null": "^|", "quote": "none", "escape": "^", "delimiter": "||"},
            "null: null '^|' runs into the delimiter '||': its end '|' reads as a part of it",
        ),
        (
            {"kind": "delimited", "quote": "none", "false": "no, never"},
            "false: false 'no, never' cannot be written: it has the delimiter in it, and nothing is quoted",
        ),
        (
            {"kind": "delimited", "quote": "none", "date_format": "%a, %d"},
            "date_format: date_format '%a, %d' has the delimiter in it, and nothing is quoted",
        ),
        (
            {"kind": "delimited", "quote": "none", "null": "-", "true": "-"},
            "true: true '-' cannot be written: it reads as NULL, and nothing is quoted",
        ),
        (
            {"kind": "delimited", "quote": "none", "columns": [{"name": "a"}, {"name": "b", "as": "x,y"}]},
            "columns[1]: the name 'x,y' cannot be written: it has the delimiter in it, and nothing is quoted",
        ),
        (
            {"kind": "delimited", "quote": "none", "delimiter": "||", "columns": [{"name": "a|"}]},
            "columns[0]: the name 'a|' cannot be written: its end '|' runs into the delimiter '||', and nothing is quoted",
        ),
        (
            {"kind": "delimited", "encoding": "ascii", "columns": [{"name": "é"}]},
            "columns[0]: the encoding ascii has no 'é'",
        ),
        (
            {"kind": "json-lines", "encoding": "ascii", "columns": [{"name": "a", "as": "é"}]},
            "columns[0]: the encoding ascii has no 'é'",
        ),
        (
            {"kind": "key-value", "columns": [{"name": "a=b"}]},
            "columns[0]: the name 'a=b' cannot be written: it has '=' in it",
        ),
        (
            {"kind": "key-value", "separator": ", ", "assign": " = ", "columns": [{"name": "a,"}]},
            "columns[0]: the name 'a,' cannot be written: with ' = ' behind it, it has the separator ', ' in it",
        ),
        ({"kind": "delimited", "decimal_point": "5"}, "decimal_point: '5' cannot stand in a number"),
        ({"kind": "delimited", "line_ending": "none"}, NOT_SEPARABLE),
        ({"kind": "key-value", "line_ending": "none"}, NOT_SEPARABLE),
        (
            {"kind": "key-value", "separator": "=", "assign": "="},
            "assign: assign '=' and separator '=' cannot be told apart",
        ),
        ({"kind": "key-value", "separator": '"'}, "separator: separator '\"' has '\"' in it"),
        ({"kind": "fixed-width"}, "columns: a fixed-width format needs [[columns]]"),
        (
            {"kind": "fixed-width", "columns": [{"name": "a", "width": 1}, {"name": "b"}]},
            "columns[1].width: column 'b' has no width",
        ),
        (
            {"kind": "fixed-width", "columns": [{"name": "a", "width": 1, "pad": "\n"}]},
            "columns[0].pad: pad is a line break",
        ),
        (
            {"kind": "fixed-width", "encoding": "ascii", "columns": [{"name": "a", "width": 1, "pad": "·"}]},
            "columns[0].pad: the encoding ascii has no '·'",
        ),
        (
            {"kind": "fixed-width", "width_unit": "bytes", "encoding": "iso2022_kr", "columns": A_COLUMN},
            "width_unit: widths in bytes have no meaning in iso2022_kr, whose characters have no fixed size",
        ),
        (
            {"kind": "fixed-width", "columns": [{"name": "a", "width": 9, "pad": "0", "type": "integer"}]},
            "columns[0].pad: a number would be read as another one with '0' behind it",
        ),
        (
            {"kind": "fixed-width", "width_unit": "bytes", "encoding": "utf-16", "columns": A_COLUMN},
            "columns[0].width: 1 bytes cannot be filled: a character takes 2 or more in this encoding",
        ),
        (
            {"kind": "lines", "columns": [{"name": "a"}, {"name": "b"}]},
            "columns: a format of lines has one column, not 2",
        ),
        ({"kind": "lines", "encoding": "utf8x"}, "encoding: unknown encoding 'utf8x'; did you mean 'utf-8'?"),
        ({"kind": "lines", "encoding": "rot13"}, "encoding: unknown encoding 'rot13'"),
        ({"kind": "lines", "encoding": "punycode"}, "encoding: the encoding punycode is not one for files"),
        ({"kind": "json-lines", "date_format": "%Q"}, "date_format: the code %Q in '%Q' is unknown"),
        ({"kind": "json-lines", "true": "x", "false": "x"}, "true: true and false are both written 'x'"),
        ({"kind": "delimited", "encoding": "ascii", "delimiter": "¦"}, "delimiter: the encoding ascii has no '¦'"),
    ],
)
def test_options_that_do_not_go_together_are_told_at_check(table: dict[str, Any], problem: str) -> None:
    assert problems(table)[0] == problem


NAMED = [{"name": "a", "as": "é b"}]


@pytest.mark.parametrize(
    "table",
    [
        {
            "kind": "delimited",
            "quote": "none",
            "escape": "^",
            "null": "^N",
            "columns": [{"name": "a,b"}],
            "true": "a,b",
        },
        {"kind": "delimited", "quote": "none", "header": False, "columns": [{"name": "a,b"}]},
        {"kind": "delimited", "quote": "none", "delimiter": "d", "date_format": "%Y%m%d", "null": "N"},
        {"kind": "delimited", "date_format": "%a, %d"},
        {"kind": "delimited", "encoding": "ascii", "header": False, "columns": NAMED},
        {"kind": "delimited", "encoding": "ascii", "unencodable": "replace", "columns": NAMED},
        {"kind": "json-lines", "encoding": "ascii", "ascii": True, "columns": NAMED},
        {"kind": "key-value", "separator": "; ", "columns": [{"name": 'others write "it"'}]},
        {"kind": "fixed-width", "date_format": "%Y%m%d", "columns": [{"name": "a", "width": 8, "type": "date"}]},
        {"kind": "fixed-width", "columns": [{"name": "a", "width": 7, "type": "timestamp", "overflow": "cut"}]},
        {"kind": "fixed-width", "columns": [{"name": "a", "width": 8, "type": "decimal(7,2)", "pad": "0"}]},
        {"kind": "fixed-width", "columns": [{"name": "a", "width": 8, "type": "text", "pad": "0"}]},
        {
            "kind": "fixed-width",
            "columns": [{"name": "a", "width": 8, "type": "integer", "pad": "0", "align": "right"}],
        },
    ],
)
def test_options_that_do_go_together_are_left_alone(table: dict[str, Any]) -> None:
    assert problems(table) == []


@pytest.mark.parametrize("layout", [{"pad": "0"}, {"pad": "7"}, {"pad": "-", "align": "right"}])
def test_a_number_is_not_padded_into_another_one(layout: dict[str, Any]) -> None:
    message = refused(
        {"kind": "fixed-width", "columns": [{"name": "c", "width": 5, **layout}]}, {"c": "integer"}, [[7]]
    )
    assert message.startswith("column 'c': a number would be read as another one with ")


@pytest.mark.parametrize("kind", ["delimited", "key-value", "json-lines", "lines", "fixed-width"])
def test_wrongly_typed_keys_are_left_to_their_own_errors(kind: str) -> None:
    """All problems come at once: the checks between keys meet tables whose values are anything."""
    odd: tuple[Any, ...] = (5, None, "", [], {}, [1], True, "\n", "é")
    keys = (
        "columns encoding line_ending delimiter quote quote_char escape null decimal_point separator assign true "
        "date_format width_unit"
    )
    for value in odd:
        for key in keys.split():
            problems({"kind": kind, key: value})
        problems({"kind": kind, **dict.fromkeys(keys.split(), value)})
