"""Columns of text: their bytes, and what an error shows of a value."""

from __future__ import annotations

import pyarrow as pa

from batchxfer.values import TEXT, shown, text_bytes


def test_the_bytes_of_a_slice_are_its_own() -> None:
    texts = pa.array(["ab", None, "뷁", "", "c"], TEXT)
    assert bytes(text_bytes(texts)) == "ab뷁c".encode()
    assert bytes(text_bytes(texts.slice(1, 3))) == "뷁".encode()
    assert bytes(text_bytes(texts.slice(4))) == b"c"
    assert bytes(text_bytes(texts.slice(2, 0))) == b""
    assert bytes(text_bytes(pa.array([], TEXT))) == b""


def test_an_error_shows_a_value_in_one_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert shown(b"\xff") == "b'\\xff'"
    assert shown(12) == "12"
    assert len(shown("x" * 1000)) == 61
