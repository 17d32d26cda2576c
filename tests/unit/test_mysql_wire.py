"""How the bytes that a MySQL server sends become columns, wherever a read happens to end."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql import err  # type: ignore[import-untyped]

from batchxfer.databases import _mysql_wire

Row = Sequence[bytes | None]
THE_END = b"\xfe\x03\x00\x02\x00"

SIZES = [0, 1, 250, 251, 252, 253, 254, 255, 256, 65535, 65536]
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=4),
    st.sampled_from([b"\xfb", b"\xfc\x00", b"\xfe\xff", b"\x00" * 9]),
    st.builds(lambda size, octet: bytes([octet]) * size, st.sampled_from(SIZES), st.integers(0, 255)),
)


def value(content: bytes | None) -> bytes:
    if content is None:
        return b"\xfb"
    size = len(content)
    if size < 251:
        return bytes([size]) + content
    if size < 1 << 16:
        return b"\xfc" + size.to_bytes(2, "little") + content
    return (b"\xfd" + size.to_bytes(3, "little") if size < 1 << 24 else b"\xfe" + size.to_bytes(8, "little")) + content


def packets(payload: bytes) -> bytes:
    parts = [payload[start : start + 0xFFFFFF] for start in range(0, len(payload) + 1, 0xFFFFFF)]
    return b"".join(len(part).to_bytes(3, "little") + b"\x07" + part for part in parts)


def sent(rows: Sequence[Row], end: bytes = THE_END) -> bytes:
    return b"".join(packets(b"".join(map(value, row))) for row in rows) + packets(end)


class Trickle:
    """A socket's file that gives a few bytes a time, and fails when it is asked for more than was sent."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        self._data, self._sizes, self._at, self._turn = data, sizes, 0, 0

    def read1(self, size: int) -> bytes:
        given = min(size, self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        part = self._data[self._at : self._at + given]
        self._at += given
        return part


def wire_of(data: bytes, width: int, sizes: Sequence[int] = (1 << 30,)) -> _mysql_wire.Wire:
    result = SimpleNamespace(warning_count=0, unbuffered_active=True, fields=[None] * width, connection=None)
    return _mysql_wire.Wire(SimpleNamespace(_rfile=Trickle(data, sizes)), result)


def read(wire: Any, rows: int = 4000) -> list[tuple[bytes | None, ...]]:
    found: list[tuple[bytes | None, ...]] = []
    while (columns := wire.fetch(rows)) is not None:
        assert 0 < len(columns[0]) <= rows
        found += zip(*(column.to_pylist() for column in columns), strict=True)
    return found


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[VALUES] * width), max_size=9)),
    sizes=st.lists(st.sampled_from([1, 3, 4, 5, 251, 4096, 1 << 20]), min_size=1, max_size=4),
    fetched=st.integers(1, 5),
)
def test_rows_are_those_that_were_sent_however_they_come(rows: list[Row], sizes: list[int], fetched: int) -> None:
    few_reads = sizes if sum(len(v or b"") for row in rows for v in row) < 2000 else [max(4096, *sizes)]
    assert read(wire_of(sent(rows), len(rows[0]) if rows else 1, few_reads), fetched) == rows


@pytest.mark.parametrize("size", [0xFFFFFF - 5, 0xFFFFFF - 4, 0xFFFFFF, 1 << 24, (1 << 24) + 7])
def test_a_row_of_sixteen_mebibytes_comes_in_several_packets(size: int) -> None:
    rows = [(b"a", b"1"), (b"x" * size, None), (b"b", b"2")]
    assert read(wire_of(sent(rows), 2)) == rows


def test_the_end_tells_how_many_warnings_there_are() -> None:
    wire = wire_of(sent([(b"a",)]), 1)
    assert read(wire) == [(b"a",)]
    assert wire.warnings == 3


def test_an_error_after_rows_is_raised_after_them() -> None:
    wire = wire_of(sent([(b"a",)], end=b"\xff\xf4\x04#42000Statement timed out"), 1)
    assert wire.fetch(10) is not None
    with pytest.raises(err.MySQLError, match="timed out"):
        wire.fetch(10)


@pytest.mark.parametrize("kept", [0, 3, 4, 6, 9])
def test_a_connection_that_ends_early_never_looks_like_the_end(kept: int) -> None:
    wire = wire_of(sent([(b"abc",), (b"de",)])[:kept], 1)
    with pytest.raises(err.OperationalError, match="Lost connection"):
        read(wire)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x01a",
        b"\x01a\x01b\x01c",
        b"\x01a\x05b",
        b"\x09a\x01b",
        b"\x01a\xfc\x01",
        b"\x01a\xfd\xff\xff\xff",
        b"\x01a\xfe",
    ],
)
def test_what_is_no_row_is_an_error(payload: bytes) -> None:
    good = b"\x01a\x01b"
    wire = wire_of(packets(good) + packets(payload) + packets(good) + packets(THE_END), 2)
    with pytest.raises(err.InternalError, match="no row"):
        read(wire)
