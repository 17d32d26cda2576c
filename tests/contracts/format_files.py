"""Rows of Python values → Arrow batches as ports.Rows says → a file's bytes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from batchxfer.definitions import FormatOptions
from batchxfer.layout import Encoder
from batchxfer.model import Column, ColumnType
from tests.oracles.naive import Float4

CARRIERS: Mapping[str, pa.DataType] = {
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "bytes": pa.binary(),
}


def column(name: str, kind: str) -> Column:
    return Column(name, ColumnType.parse(kind))


def options(table: Mapping[str, Any]) -> FormatOptions:
    module = _module(table["kind"])
    made = module.Options.model_validate(dict(table))
    assert isinstance(made, FormatOptions)
    return made


def _module(kind: str) -> Any:
    return importlib.import_module(f"batchxfer.codec.{kind.replace('-', '_')}")


def problems(table: Mapping[str, Any]) -> list[str]:
    """`key: problem` for each complaint about a format's table."""
    found = _module(table["kind"]).Options.complaints(table)
    return [f"{complaint.key}: {complaint.problem}" for complaint in found]


def array(values: Sequence[Any], kind: str) -> pa.Array:
    if kind == "float" and any(isinstance(value, Float4) for value in values):
        return pa.array(values, pa.float32())
    if kind == "integer" and any(value is not None and not -(2**63) <= value < 2**63 for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array(values, CARRIERS.get(kind.partition("(")[0], pa.string()))


def batches(
    names: Sequence[str], kinds: Sequence[str], rows: Sequence[Sequence[Any]], sizes: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """The rows in batches of the given sizes in turn, as slices of one batch, so that offsets are not zero."""
    whole = pa.RecordBatch.from_arrays(
        [array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)], names=list(names)
    )
    start = 0
    while start < len(rows):
        for size in sizes:
            yield whole.slice(start, size)
            start += size


def encode(
    table: Mapping[str, Any],
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
    *,
    sizes: Sequence[int] = (1000,),
    facts: Mapping[str, object] | None = None,
    **more: Any,
) -> bytes:
    """The file of `rows`, whose columns are given as name → type."""
    encoder = Encoder(
        options(table),
        _module(table["kind"]).Codec,
        tuple(column(name, kind) for name, kind in columns.items()),
        facts or {},
        **more,
    )
    body = encoder.begin()
    for batch in batches(list(columns), list(columns.values()), rows, sizes):
        body += bytes(encoder.encode(batch))
    body += encoder.end()
    assert encoder.rows == len(rows)
    return encoder.header_bytes() + body if encoder.needs_totals_first else body
