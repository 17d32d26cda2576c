"""Generated rows in generated formats: the same bytes as the naive encoder's, whatever the batches."""

from __future__ import annotations

import os
import string
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchxfer.errors import UnwritableValue
from tests.contracts.format_files import encode, problems
from tests.oracles import naive

COMMON = settings(
    deadline=None, max_examples=int(os.environ.get("BATCHXFER_EXAMPLES", "40")), suppress_health_check=list(HealthCheck)
)

# What means something somewhere, beside what does not.
SPECIAL = st.sampled_from(
    [
        *"\",;|=\\ \t\r\n'+-@.:~0",
        "||",
        "~|",
        "\\N",
        "NULL",
        "\x00",
        "\x7f",
        "\x1f",
        "é",
        "뷁",
        "😀",
        "＝",
        "\u2028",
        "\ufeff",
    ]
)
TEXTS = st.lists(SPECIAL | st.sampled_from(string.ascii_letters) | st.characters(codec="utf-8"), max_size=6).map(
    "".join
)
DECIMALS = st.tuples(st.integers(-(10**14), 10**14), st.integers(0, 6)).map(
    lambda pair: format(Decimal(pair[0]).scaleb(-pair[1]), "f")
)
FLOAT4 = st.floats(width=32).map(naive.Float4)
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))
JSON_TEXTS = st.sampled_from(
    ['{"a":1}', "[1,2.50,1e400]", "null", '"x"', '{"k":"a b"}', '"é😀"', "[]", "-0.10", '"\\u00e9"']
)

VALUES: dict[str, Any] = {
    "integer": st.integers(-(2**63), 2**64) | st.sampled_from([0, -1, 2**63, 10**30]),
    "decimal": DECIMALS,
    "float": st.floats() | st.sampled_from([0.1, 1.0, -0.0, 1e16, 1e15, 9999999999999998.0, 1e-4, 9.999e-5, 5e-324]),
    "float4": FLOAT4 | st.sampled_from([naive.Float4(x) for x in (0.1, 16777216.0, 3.4e38, 1e-45)]),
    "boolean": st.booleans(),
    "date": st.dates(),
    "time": st.times() | st.times().map(lambda value: value.replace(microsecond=0)),
    "timestamp": MOMENTS | MOMENTS.map(lambda value: value.replace(microsecond=0)),
    "timestamptz": (MOMENTS | MOMENTS.map(lambda value: value.replace(microsecond=0))).map(
        lambda value: value.replace(tzinfo=UTC)
    ),
    "text": TEXTS,
    "uuid": st.uuids().map(str),
    "bytes": st.binary(max_size=8),
    "interval": st.sampled_from(["P1D", "PT0S", "-P1Y2M3DT4H5M6.5S"]),
    "json": JSON_TEXTS,
}
NAMES = st.text(string.ascii_letters + "_é", min_size=1, max_size=4)


@st.composite
def files(draw: st.DrawFn) -> tuple[dict[str, str], list[list[Any]], list[int]]:
    """Columns (name → type), rows and batch sizes."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    kinds = [draw(st.sampled_from(sorted(VALUES))) for _ in names]
    row = st.tuples(*[st.none() | VALUES[kind] for kind in kinds]).map(list)
    rows = draw(st.lists(row, max_size=7))
    sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any))
    return {name: "float" if kind == "float4" else kind for name, kind in zip(names, kinds, strict=True)}, rows, sizes


def table_of(kind: str, keys: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A format of a kind with some of the keys, each with one of its values, that has no complaints."""
    common = {
        "line_ending": ["lf", "crlf"],
        "timezone": [
            "UTC",
            "Asia/Seoul",
            "America/New_York",
            "Europe/Amsterdam",
            "Australia/Lord_Howe",
            "Africa/Monrovia",
        ],
        "bytes": ["hex"],
        "true": ["Y", " yes", "1"],
        "false": ["N", "no, never"],
        "date_format": ["%Y%m%d", "%d.%m.%y", "%a %d %b %Y, %j", "%G-W%V-%u", "%%Y"],
        "time_format": ["%H%M", "%I:%M:%S.%f %p"],
        "timestamp_format": ["%Y%m%d%H%M%S", "%d/%m/%Y %H:%M:%S.%f %z", "%a %I %p", "%Y-%m-%d\t%H:%M"],
        "trailer_record": ["T{rows:05}"],
        "header_record": ["H {rows:>3}", "HEAD"],
    }
    optional = {key: st.sampled_from(values) for key, values in (common | keys).items()}
    tables = st.fixed_dictionaries({"kind": st.just(kind)}, optional=optional)
    return tables.filter(lambda table: not problems(table))


DELIMITED = table_of(
    "delimited",
    {
        "delimiter": [",", ";", "|", "\t", "||", "~|~", " ", "-", "5", "é", "aab", "aba"],
        "header": [False],
        "quote": ["minimal", "all", "none"],
        "quote_char": ["'", "~", "é"],
        "escape": ["\\", "^"],
        "quote_empty": [False],
        "trailing_delimiter": [True],
        "null": ["NULL", "\\N", "-", "0", "nan", "é"],
        "decimal_point": [","],
        "spreadsheet_safe": [True],
    },
)
KEY_VALUE = table_of(
    "key-value",
    {
        "separator": [";", "\t", ", ", "||", "\x1f", "-"],
        "assign": [":", " = ", "::", "0"],
        "quote": ["minimal", "all", "none"],
        "null": ["omit"],
    },
)
JSON_LINES = table_of(
    "json-lines", {"decimals": ["string"], "null": ["omit"], "ascii": [True], "line_ending": ["none"]}
)


def agree(table: dict[str, Any], file: tuple[dict[str, str], list[list[Any]], list[int]]) -> None:
    columns, rows, sizes = file
    try:
        expected = naive.encode(table, list(columns), list(columns.values()), rows)
    except naive.Unwritable:
        with pytest.raises(UnwritableValue, match="column"):
            encode(table, columns, rows, sizes=sizes)
        return
    assert encode(table, columns, rows, sizes=sizes) == expected


@COMMON
@given(DELIMITED, files())
def test_delimited_files_are_what_a_naive_encoder_writes(table: dict[str, Any], file: Any) -> None:
    agree(table, file)


@COMMON
@given(KEY_VALUE, files())
def test_key_value_files_are_what_a_naive_encoder_writes(table: dict[str, Any], file: Any) -> None:
    separator, assign = table.get("separator", " "), table.get("assign", "=")
    names = [name for name in file[0] if separator in name or (name + assign).find(assign) != len(name)]
    if names:
        with pytest.raises(UnwritableValue, match="column name"):
            encode(table, *file[:2])
        return
    agree(table, file)


@COMMON
@given(JSON_LINES, files())
def test_json_lines_are_what_a_naive_encoder_writes(table: dict[str, Any], file: Any) -> None:
    agree(table, file)


@st.composite
def fixed_files(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    table = draw(
        st.fixed_dictionaries(
            {"kind": st.just("fixed-width")},
            optional={
                "width_unit": st.just("bytes"),
                "encoding": st.sampled_from(["utf-8", "utf-16-le", "cp949", "latin-1", "shift_jis"]),
                "unencodable": st.just("replace"),
                "line_ending": st.sampled_from(["crlf", "none"]),
                "decimal_point": st.just(","),
                "trailer_record": st.just("T{rows}"),
            },
        )
    )
    file = draw(files())
    layouts = []
    for name in file[0]:
        width = draw(st.sampled_from([2, 6, 24, 36, 40]))
        optional = {
            "align": st.just("right"),
            "pad": st.sampled_from(["0", "*"]),
            "overflow": st.just("cut"),
        }
        layouts.append({"name": name, "width": width, **draw(st.fixed_dictionaries({}, optional=optional))})
    return {**table, "columns": layouts}, file


@COMMON
@given(fixed_files())
def test_fixed_width_files_are_what_a_naive_encoder_writes(made: Any) -> None:
    table, file = made
    try:
        agree(table, file)
    except UnicodeEncodeError:
        with pytest.raises(UnwritableValue, match=r"has no|cannot be filled"):
            encode(table, *file[:2])


@COMMON
@given(st.lists(TEXTS, max_size=6), st.sampled_from(["lf", "crlf", "none"]))
def test_lines_are_written_as_they_are(texts: list[str], line_ending: str) -> None:
    table = {"kind": "lines", "line_ending": line_ending}
    agree(table, ({"line": "text"}, [[text] for text in texts], [2, 1]))


SUMMED = st.lists(st.tuples(st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | DECIMALS).map(list), max_size=8)


@COMMON
@given(SUMMED)
def test_sums_and_counts_are_exact(rows: list[list[Any]]) -> None:
    table = {
        "kind": "delimited",
        "header_record": "H{rows:05}{sum[n]:>30}",
        "trailer_record": "T{count[n]}|{count[d]}|{sum[d]:>30}",
    }
    agree(table, ({"n": "integer", "d": "decimal"}, rows, [3, 1]))


ENCODINGS = [
    "utf-16",
    "utf-32",
    "utf-8-sig",
    "cp949",
    "euc_kr",
    "iso2022_kr",
    "iso2022_jp",
    "hz",
    "utf-7",
    "shift_jis",
    "cp1252",
    "gb18030",
    "euc_jis_2004",
    "big5hkscs",
    "cp500",
]


@COMMON
@given(
    st.lists(st.text("ab한국語日か゚Ê̄é+-~ \\", max_size=6), max_size=6),
    st.sampled_from(ENCODINGS),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
def test_a_file_is_encoded_as_one_text(texts: list[str], encoding: str, sizes: list[int]) -> None:
    """One byte-order mark, one run of escape sequences; what the encoding lacks, or reads back otherwise, is an error."""
    table = {"kind": "lines", "encoding": encoding}
    rows = [[text] for text in texts]
    whole = "".join(f"{text}\n" for text in texts)
    try:
        expected = whole.encode(encoding) if whole else b""
        sound = expected.decode(encoding) == whole
    except UnicodeError:
        sound = False
    if sound:
        assert encode(table, {"line": "text"}, rows, sizes=sizes) == expected
    else:
        with pytest.raises(UnwritableValue, match=r"row \d+, column 'line'"):
            encode(table, {"line": "text"}, rows, sizes=sizes)
    assert encode({**table, "unencodable": "replace"}, {"line": "text"}, rows, sizes=sizes).decode(encoding).count(
        "\n"
    ) == len(texts)


@pytest.mark.parametrize("kind", ["date", "time", "timestamp", "timestamptz"])
def test_the_ends_of_the_calendar_are_written(kind: str) -> None:
    first, last = {
        "date": (date.min, date.max),
        "time": (time.min, time.max),
        "timestamp": (datetime.min, datetime.max),
        "timestamptz": (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    }[kind]
    table = {"kind": "delimited", "header": False}
    expected = f"{first.isoformat()}\n{last.isoformat()}\n".encode()
    assert encode(table, {"c": kind}, [[first], [last]]) == expected
