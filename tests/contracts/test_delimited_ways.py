"""A delimited file means the same whichever way it is taken apart: in pieces at once, by Arrow's stream, record by record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchxfer.codec import _delimited_pieces, _records
from batchxfer.codec.delimited import Decoder, Options
from batchxfer.decoding import Reading
from batchxfer.errors import ReadPatiently, UnreadableFile
from batchxfer.model import Column, ColumnType, TargetColumn
from batchxfer.ports import BadRecord
from tests.soak import examples

TOKENS = [
    "a",
    "1",
    "-",
    ",",
    ",",
    "\n",
    "\n",
    "\r\n",
    "\r",
    '"',
    '"',
    '""',
    " ",
    "\n\n",
    "\\.",
    "\u00e9",
    "NULL",
    "x,y\n",
    "\ufeff",
    "\0",
]
TEXTS = st.lists(st.sampled_from(TOKENS), max_size=40).map("".join)
FORMATS = st.fixed_dictionaries(
    {
        "kind": st.just("delimited"),
        "quote": st.sampled_from(["minimal", "none"]),
        "null": st.sampled_from(["", "NULL", "-"]),
        "header": st.just(False),
        "trailing_delimiter": st.sampled_from([False, False, True]),
    }
)
Outcome = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], str]


def read(text: str, keys: dict[str, Any], columns: int, *, patient: bool = False) -> Outcome:
    """The rows; the bad records, by their lines; and why the whole file was refused."""
    table = [TargetColumn(name=f"c{number}", type=ColumnType.parse("text")) for number in range(columns)]
    data = text.encode()
    reading = Reading([data], Options.model_validate(keys), Decoder, table, patient=patient)
    good: list[tuple[Any, ...]] = []
    bad: list[tuple[Any, ...]] = []
    try:
        for item in reading:
            if isinstance(item, BadRecord):
                bad.append((item.line, item.column, item.reason))
            else:
                assert isinstance(item, pa.RecordBatch)
                good += [tuple(row.values()) for row in item.to_pylist()]
    except ReadPatiently:
        return read(text, keys, columns, patient=True)
    except UnreadableFile as error:
        return [], [], error.message
    return good, sorted(bad), ""


@contextlib.contextmanager
def pieces_of(size: int) -> Iterator[None]:
    with mock.patch.object(_records, "_READ_BYTES", size):
        yield


@contextlib.contextmanager
def no_pieces() -> Iterator[None]:
    with mock.patch.object(_delimited_pieces, "_whole_records", return_value=(0, 0)):
        yield


@pytest.mark.soak
@examples(600, 200_000)
@given(text=TEXTS, keys=FORMATS, columns=st.integers(1, 3), size=st.sampled_from([5, 16, 1 << 20]))
@example(text='a,"b\n",c\n1,5" disk\n2,"x\ny"\n', keys={"kind": "delimited", "header": False}, columns=2, size=16)
@example(text=',\n"', keys={"kind": "delimited", "header": False}, columns=2, size=5)
@example(text="a,b\n\nc,d\n", keys={"kind": "delimited", "header": False}, columns=2, size=5)
@example(text='a,5" disk\n\nc,d\n', keys={"kind": "delimited", "header": False}, columns=2, size=1 << 20)
@example(text='a\n\n\n\n\n\ufeffa"\r"\n', keys={"kind": "delimited", "header": False}, columns=1, size=5)
@example(text="ab\n\ufeffa\n", keys={"kind": "delimited", "header": False}, columns=1, size=5)
@example(
    text='""', keys={"kind": "delimited", "header": False, "trailing_delimiter": True, "null": "-"}, columns=1, size=5
)
def test_all_ways_give_the_same(text: str, keys: dict[str, Any], columns: int, size: int) -> None:
    found = read(text, keys, columns, patient=True)
    with pieces_of(size):
        assert read(text, keys, columns) == found
    with no_pieces():
        assert read(text, keys, columns) == found


@pytest.mark.parametrize("size", [12, 1 << 20])
@pytest.mark.parametrize(
    ("text", "keys"),
    {
        "plain": ("a,b\nc,d\n", {}),
        "quotes": ('"a","b"\n"","c ""\n', {"quote": "none"}),
        "quoted": ('"a",b\n"c,\nd",""\n', {}),
        "crlf": ("a,b\r\nc,d\r\n", {}),
        "nulls": ("NULL,NULL\nNULL,b\n", {"null": "NULL"}),
        "nothing": (",\n,\n", {}),
    }.values(),
)
def test_ordinary_text_is_taken_apart_at_once(text: str, keys: dict[str, str], size: int) -> None:
    pieces = _delimited_pieces.Pieces(Options.model_validate({"kind": "delimited", **keys}), ["a", "b"])
    data = text.encode()
    taken = list(pieces.of(data[at : at + size] for at in range(0, len(data), size)))
    assert b"".join(bytes(piece.text) for piece in taken) == data
    assert list(pieces.rest) == []


@pytest.mark.parametrize(
    ("text", "keys", "verbatim"),
    [
        ("a,b\nc,d\n", {}, "a,b\nc,d\n"),
        ("a,b\r\nc,d\r\n", {}, "a,b\nc,d\n"),
        # PostgreSQL before 18 takes a line `\\.` for the end of all.
        ("a,b\n\\,d\n", {}, None),
        ("a,b\n", {"null": "NULL"}, None),
        ("a,b\n", {"quote_char": "'"}, None),
        ('a,"\n', {"quote": "none"}, None),
        ("a,b\n", {"quote": "none"}, "a,b\n"),
    ],
)
def test_records_are_verbatim_where_they_mean_the_same_to_all(
    text: str, keys: dict[str, str], verbatim: str | None
) -> None:
    decoder = Decoder(
        Options.model_validate({"kind": "delimited", "header": False, **keys}),
        tuple(Column(name, ColumnType.parse("text")) for name in "ab"),
    )
    (fields,) = decoder.decode([text.encode()])
    assert not isinstance(fields, BadRecord)
    assert (None if fields.verbatim is None else bytes(fields.verbatim.text).decode()) == verbatim
