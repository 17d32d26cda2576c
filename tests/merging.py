"""A query's file in a delimited format, with columns that the database puts together and with columns that come one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from batchxfer import spool
from batchxfer.codec import delimited
from batchxfer.errors import UnwritableValue
from batchxfer.layout import Encoder, takes_any_number
from batchxfer.model import Column
from batchxfer.ports import Query, Rows
from tests.databases import Database


class OneByOne:
    """Rows that give their columns one by one only."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.columns: tuple[Column, ...] = rows.columns

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self._rows)


def build(shop: Database, query: str, folder: Path, *, merging: bool, looking: bool = False, **keys: Any) -> bytes:
    """The file of a query in a delimited format; `looking` for whether numbers are integers or decimals, in any case."""
    options = delimited.Options.model_validate({"kind": "delimited", **keys})
    path = folder / "out" / ("merged" if merging else "apart")
    path.unlink(missing_ok=True)
    any_number = not looking and takes_any_number(options)
    with shop.source().read(Query(text=query, parameters={}, any_number=any_number)) as rows:
        given_rows = rows if merging else OneByOne(rows)
        encoder = Encoder(options, delimited.Codec, rows.columns, {})
        artifact = spool.build(
            path, given_rows, encoder, artifact="a", compress="none", at=datetime(2026, 11, 22, tzinfo=UTC)
        )
    assert artifact.bytes == path.stat().st_size
    return path.read_bytes()


def merged(shop: Database, query: str, folder: Path, **keys: Any) -> bytes:
    """The same, as long as both ways give the same."""
    together = build(shop, query, folder, merging=True, **keys)
    assert together == build(shop, query, folder, merging=False, **keys)
    assert together == build(shop, query, folder, merging=False, looking=True, **keys)
    return together


def outcome(
    shop: Database, query: str, folder: Path, merging: bool, keys: dict[str, Any], *, looking: bool = False
) -> bytes | str:
    try:
        return build(shop, query, folder, merging=merging, looking=looking, **keys)
    except UnwritableValue as error:
        return error.message


KEYS = st.fixed_dictionaries(
    {},
    optional={
        "delimiter": st.sampled_from([",", ";", "|", "\t", "||", "y", "N", " "]),
        "null": st.sampled_from(["", "NULL", r"\N", "-", "y"]),
        "quote": st.sampled_from(["minimal", "minimal", "all", "none"]),
        "quote_char": st.sampled_from(["'", "^"]),
        "quote_empty": st.booleans(),
        "trailing_delimiter": st.booleans(),
        "line_ending": st.sampled_from(["lf", "crlf"]),
        "header": st.booleans(),
        "true": st.sampled_from(["1", "true", " yes "]),
        "date_format": st.sampled_from(["iso", "%Y%m%d"]),
        "trailer_record": st.just("{rows}"),
    },
).filter(lambda keys: not list(delimited.Options.complaints({"kind": "delimited", **keys})))
