"""Records that go to COPY as they are in the file leave in the table what they would leave if they were written anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchxfer.codec import _records
from batchxfer.codec.delimited import Decoder, Options
from batchxfer.databases import _postgresql_copy, _postgresql_load
from batchxfer.decoding import Reading
from batchxfer.definitions import LoadOptions
from batchxfer.errors import BatchxferError
from batchxfer.load import Loaded, Piece, _load, load
from batchxfer.model import TargetColumn
from batchxfer.ports import LoadKey
from tests.databases import Database
from tests.soak import examples

COLUMNS = {
    "i2": "smallint",
    "i4": "integer",
    "i8": "bigint",
    "n62": "numeric(6,2)",
    "n": "numeric",
    "f4": "real",
    "f8": "double precision",
    "b": "boolean",
    "d": "date",
    "tm": "time(3)",
    "ts": "timestamp",
    "tz": "timestamptz",
    "u": "uuid",
    "v": "varchar(4)",
    "c": "char(4)",
    "x": "text",
    "j": "json",
    "a": "text[]",
    "ip": "inet",
}
TABLE = f"create table t ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())}, number serial)"
OWN = {
    "i2": ["0", "-7", "007", "32767", "32768"],
    "i4": ["0", "-2147483648", "2147483648"],
    "i8": ["1", "9" * 18, "9223372036854775807", "9223372036854775808"],
    "n62": ["1.25", "-1", "9999.99", "10000.00", "1.", ".5", "1.255"],
    "n": ["0", "1" * 40, "0.10", "1e3", "NaN", "infinity"],
    "f4": ["0.1", "16777217", "0.30000001192092893554687499999999999999999"],
    "f8": ["0.1", "-.5", "1e-400", "1e400", "nan", "inf", "Infinity", "4.35"],
    "b": ["true", "false", "t", "TRUE", "yes", "1"],
    "d": ["2026-11-23", "0001-01-01", "0000-01-01", "2023-02-29", "today", "infinity", "0001-01-01 BC", "23.11.2026"],
    "tm": ["01:02:03", "23:59:59.999", "01:02:03.1234", "24:00:00", "now"],
    "ts": ["2026-11-23T01:02:03", "2026-11-23 01:02:03.5", "2026-11-23", "2026-11-23 01:02:60", "epoch"],
    "tz": [
        "2026-11-23T01:02:03Z",
        "2026-11-23 01:02:03+09:00",
        "2026-11-23 01:02:03+15:59",
        "2026-11-23 01:02:03+23:59",
    ],
    "u": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{x}"],
    "v": ["abcd", "abcde", "abc  ", "\u00e9\u00e9\u00e9\u00e9"],
    "c": ["ab", "abcd ", "abcde"],
    "x": ["NULL", "null", "\u00e9", "a b", "\\N", "\\.", "\\", "1", "\x00"],
    "j": ['{""a"": 1}', "[1]", "{"],
    "a": ["{p}", "[1]", "{"],
    "ip": ["10.0.0.1", "10.0.0.1/8", "x"],
}
ANY = [
    "",
    '""',
    " ",
    " 1",
    "1 ",
    "+1",
    "0x1F",
    "1_000",
    "$5",
    "'a'",
    'a"b',
    '"a""b"',
    '"a"b',
    '"a',
    "\r",
    '"p\nq"',
    '"p\r\nq"',
]


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True))
    delimiter = draw(st.sampled_from([*",,,,|;\t-a", "||"]))
    ending = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    # One bad value says nothing of the others: most are good.
    good = {name: st.sampled_from([*OWN[name][:2], f'"{OWN[name][0]}"', ""]) for name in names}
    odd = {name: st.sampled_from([*OWN[name], *(f'"{text}"' for text in OWN[name]), *ANY]) for name in names}
    plain = st.tuples(*good.values()).map(delimiter.join)
    one_odd = st.sampled_from(names).flatmap(
        lambda odd_one: st.tuples(*(odd[name] if name == odd_one else good[name] for name in names)).map(delimiter.join)
    )
    some = st.one_of(*[plain] * 6, one_odd, st.sampled_from(["", "x", "\\."]))
    records = draw(st.lists(st.one_of(some), min_size=1, max_size=8))
    keys = {
        "kind": "delimited",
        "delimiter": delimiter,
        "null": "NULL" if delimiter == "," and draw(st.booleans()) else "",
        "quote": draw(st.sampled_from(["minimal", "minimal", "none"])),
    }
    text = ending.join([delimiter.join(names), *records]) + draw(st.sampled_from([ending, ""]))
    return text, keys


@contextmanager
def written_anew() -> Iterator[None]:
    with mock.patch.object(_postgresql_load, "reads_verbatim", return_value=False):
        yield


def outcome(shop: Database, text: str, keys: dict[str, Any], mode: str) -> object:
    """What is in the table, in order, and what was counted; or why nothing was loaded."""
    try:
        loaded = loaded_from(shop, text, keys, mode)
    except BatchxferError as error:
        return type(error), error.message
    shown = ", ".join(f"{name}::text" for name in COLUMNS)
    return shop.execute(f"select {shown} from t order by number"), loaded


def loaded_from(shop: Database, text: str, keys: dict[str, Any], mode: str) -> Loaded:
    def opened(table: Sequence[TargetColumn], patient: bool, takes: Any) -> Reading:
        options = Options.model_validate(keys)
        data, zone = text.encode(), ZoneInfo("UTC")
        return Reading([data], options, Decoder, table, naive_zone=zone, patient=patient, takes=takes)

    options = LoadOptions.model_validate({"database": "shop", "table": "t", "mode": "replace", "on_bad_record": mode})
    key = LoadKey(project="P", file=uuid4().hex, revision=1)
    piece = Piece(key=key, name="f", open=opened, bad_path=Path("/dev/null/no"))
    with mock.patch("batchxfer.load._BadRecords._write"):
        (loaded,) = load(shop.target(), [piece], options, None, hint="")
    return loaded


@contextmanager
def tries(count: int) -> Iterator[None]:
    """How often the file is read, because there was something that a fast reader does not read."""
    with mock.patch("batchxfer.load._load", wraps=_load) as tried:
        yield
    assert tried.call_count == count


@pytest.fixture
def stock(postgresql_shop: Database) -> Database:
    postgresql_shop.execute(TABLE)
    with postgresql_shop.target().begin():
        pass  # makes the table of loads
    return postgresql_shop


# What COPY would take otherwise than decoding does, or the other way round: columns, the format's keys, text, rows.
DIFFERENCES: dict[str, tuple[str, dict[str, Any], str, list[tuple[Any, ...]]]] = {
    "COPY ends at a line of its own": ("x text", {}, "x\na\n\\.\nb\n", [("a",), ("\\.",), ("b",)]),
    "COPY ends values at a quote within": (
        "x text, y text",
        {},
        'x,y\na,5" b\nc,6" d\n',
        [("a", '5" b'), ("c", '6" d')],
    ),
    "quotes are text": ("x text, y text", {"quote": "none"}, 'x,y\n"a,b\nc,d"\n', [('"a', "b"), ("c", 'd"')]),
    "other quotes": ("x text, y text", {"quote_char": "'"}, "x,y\n'a,b',\"c\n", [("a,b", '"c')]),
    "lines end with CR LF": ("x text, y text", {}, 'x,y\r\na,b\r\n"c\nd",e\r\n', [("a", "b"), ("c\nd", "e")]),
    "lines end in both ways": (
        "x text, y text",
        {},
        'x,y\r\na,b\r\nc,d\r\n"e ""f""",g\r\nh,i\n',
        [("a", "b"), ("c", "d"), ('e "f"', "g"), ("h", "i")],
    ),
    "no end of the last line": ("x text, y text", {}, "x,y\na,b\nc,d", [("a", "b"), ("c", "d")]),
    "an empty text is not NULL": ("x text, y text", {}, 'x,y\n"",\n,""\n', [("", None), (None, "")]),
    "a word is NULL": ("x text, y text", {"null": "NULL"}, 'x,y\nNULL,"NULL"\n,""\n', [(None, "NULL"), ("", "")]),
    "another delimiter": ("x text, y date", {"delimiter": "|"}, "x|y\na,b|2026-11-23\n", [("a,b", "2026-11-23")]),
    "a delimiter of two characters": ("x text, y text", {"delimiter": "||"}, "x||y\na||b\n", [("a", "b")]),
    "a delimiter that nobody types": ("x text, y text", {"delimiter": "\x1f"}, "x\x1fy\na\x1fb\n", [("a", "b")]),
    "a way to escape": ("x text, y text", {"quote": "none", "escape": "/"}, "x,y\na/,,b\n", [("a,", "b")]),
    "another delimiter, and what COPY would not take first": (
        "x integer, y text",
        {"delimiter": "|"},
        "x|y\n1e0|a\n2|b\n3|c\n",
        [("1", "a"), ("2", "b"), ("3", "c")],
    ),
    "a delimiter that dates have": (
        "x text, y date",
        {"delimiter": "-"},
        'x-y\na-"2026-11-23"\n',
        [("a", "2026-11-23")],
    ),
    "COPY reads exponents that are too small": ("x float8, y text", {}, "x,y\n1e-400,a\n", [("0", "a")]),
    "COPY reads other numbers": ("x integer, y numeric", {}, "x,y\n 1,1e3\n+2, .5\n", [("1", "1000"), ("2", "0.5")]),
    "offsets that PostgreSQL does not know": (
        "x timestamptz, y text",
        {},
        "x,y\n2026-11-23 23:59:00+23:59,a\n",
        [("2026-11-23 00:00:00+00", "a")],
    ),
    "words for true and false": ("x bool, y bool", {"true": "f", "false": "t"}, "x,y\nf,t\n", [("true", "false")]),
    "a comma before decimals": (
        "x numeric(6,2), y text",
        {"delimiter": ";", "decimal_point": ","},
        "x;y\n1,5;a\n",
        [("1.50", "a")],
    ),
    "real is rounded from a double": (
        "x real, y text",
        {},
        "x,y\n1.00000005960464477539062499999,a\n",
        [("1.0000001", "a")],
    ),
    "arrays": ("x text[], y text", {}, "x,y\n[1],a\n", [("{1}", "a")]),
    "apostrophes before formulas": ("x text, y text", {"spreadsheet_safe": True}, "x,y\n'=1,'a\n", [("=1", "'a")]),
    "a form of dates": ("x date, y text", {"date_format": "%Y-%d-%m"}, "x,y\n2026-01-02,a\n", [("2026-02-01", "a")]),
    "columns by other names": (
        "x text, y text",
        {"columns": [{"name": "x", "as": "b"}, {"name": "y", "as": "a"}]},
        "a,b\n1,2\n",
        [("2", "1")],
    ),
    "columns that are left out": ("x text, y text", {"columns": [{"name": "x"}]}, "y,x\n1,2\n", [("2", None)]),
    "columns of another type": (
        "x text, y text",
        {"columns": [{"name": "x", "type": "decimal(5,2)"}, {"name": "y", "type": "boolean"}]},
        "x,y\n1.50,true\n",
        [("1.50", "true")],
    ),
    "arrays and documents": ("x text[], y json", {}, 'x,y\n"[1, 2]","{""a"": 1}"\n', [("{1,2}", '{"a":1}')]),
    "bytes": ("x bytea, y text", {}, "x,y\nAGE=,b\n", [("\\x0061", "b")]),
    "defaults": ("x text default 'd', y text, z text default 'e'", {}, "y\na\n", [("d", "a", "e")]),
    "a control record": (
        "x text, y text",
        {"trailer_record": "T{rows}"},
        "x,y\na,b\nc,d\nT2\n",
        [("a", "b"), ("c", "d")],
    ),
    "blank lines at the end": ("x text, y text", {}, "x,y\na,b\n\n\n", [("a", "b")]),
    "not a single row": ("x text, y text", {}, "x,y\n", []),
}


@pytest.mark.parametrize("name", DIFFERENCES)
@pytest.mark.parametrize(("way", "size"), [("verbatim", 12), ("verbatim", 1 << 20), ("written anew", 1 << 20)])
def test_what_copy_would_take_otherwise(postgresql_shop: Database, name: str, way: str, size: int) -> None:
    columns, keys, text, rows = DIFFERENCES[name]
    postgresql_shop.execute(f"create table t ({columns}, number serial)")
    asked = written_anew() if way == "written anew" else nullcontext()
    with mock.patch.object(_records, "_READ_BYTES", size), asked, tries(1):
        loaded = loaded_from(postgresql_shop, text, {"kind": "delimited", **keys}, "fail")
    names = [column.split()[0] for column in columns.split(", ")]
    shown = ", ".join(f"{column}::text" for column in names)
    assert postgresql_shop.execute(f"select {shown} from t order by number") == rows
    assert loaded.counts.rows == len(rows)


def test_ordinary_records_go_to_copy_as_they_are(stock: Database) -> None:
    names = [name for name in COLUMNS if name not in ("f4", "tz", "j", "a")]
    text = "\n".join([",".join(names), *2 * [",".join(OWN[name][0] for name in names)], ""])
    with mock.patch.object(_postgresql_copy, "_text", side_effect=AssertionError):
        assert loaded_from(stock, text, {"kind": "delimited"}, "fail").counts.rows == 2


def test_rows_that_a_trigger_leaves_out_are_counted_as_ever(stock: Database) -> None:
    stock.execute(
        "create function skip() returns trigger language plpgsql as"
        " 'begin if new.x = ''no'' then return null; end if; return new; end'",
        "create trigger skip before insert on t for each row execute function skip()",
    )
    with tries(2):
        loaded = loaded_from(stock, "x,v\nyes,1\nno,2\n", {"kind": "delimited"}, "fail")
    assert (loaded.counts.rows, stock.execute("select x, v from t")) == (2, [("yes", "1")])


@pytest.mark.soak
@examples(60, 20_000)
@given(file=files(), mode=st.sampled_from(["fail", "quarantine"]), size=st.sampled_from([100, 1 << 20]))
@example(
    file=("x\na\n\\.\nb\n", {"kind": "delimited", "delimiter": ",", "null": "", "quote": "minimal"}),
    mode="fail",
    size=40,
)
def test_a_file_leaves_the_same_rows_or_is_refused_for_the_same_reason(
    stock: Database, file: tuple[str, dict[str, Any]], mode: str, size: int
) -> None:
    with mock.patch.object(_records, "_READ_BYTES", size):
        found = outcome(stock, *file, mode)
        with written_anew():
            assert outcome(stock, *file, mode) == found
