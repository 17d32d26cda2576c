"""A codec by itself: the records of lineitem's rows, which are in memory, batch by batch; `csv` and `orjson` row by row.

python -m benchmarks.peers.codec_alone KIND FILE ROWS

KIND is a format's, `csv.writer` or `orjson`. FILE is lineitem as CSV; its first rows are encoded until there were ROWS of them.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module

import orjson
import pyarrow as pa
import pyarrow.csv

from batchxfer.model import Column, ColumnType, TypeName

BATCH_ROWS = 65_536
INTEGERS, DECIMALS, DATES = range(4), range(4, 8), range(10, 13)


def main(kind: str, file: str, rows: str) -> None:
    batch = _batch(file)
    encode = {"csv.writer": _by_csv, "orjson": _by_orjson}.get(kind, _by_codec)(kind, batch)
    began, done = time.perf_counter(), 0
    while done < int(rows):
        encode()
        done += batch.num_rows
    print(json.dumps({"seconds": time.perf_counter() - began}))


def _batch(file: str) -> pa.RecordBatch:
    """The first rows as ports.Rows says: integers, exact digits, dates, texts."""
    reader = pyarrow.csv.open_csv(
        file,
        pyarrow.csv.ReadOptions(block_size=32 << 20, use_threads=False),
        convert_options=pyarrow.csv.ConvertOptions(column_types=_types(file)),
    )
    with reader:
        return reader.read_next_batch().slice(0, BATCH_ROWS)


def _types(file: str) -> dict[str, pa.DataType]:
    with open(file) as lines:
        names = lines.readline().strip().split(",")
    return {name: _carrier(index) for index, name in enumerate(names)}


def _carrier(index: int) -> pa.DataType:
    return pa.int64() if index in INTEGERS else pa.date32() if index in DATES else pa.string()


def _by_codec(kind: str, batch: pa.RecordBatch) -> Callable[[], object]:
    module = import_module(f"batchxfer.codec.{kind.replace('-', '_')}")
    columns = tuple(Column(name, _type(index)) for index, name in enumerate(batch.schema.names))
    keys = {"columns": [{"name": column.name, "width": 44} for column in columns]} if kind == "fixed-width" else {}
    codec = module.Codec(module.Options.model_validate({"kind": kind, **keys}), columns)
    return lambda: codec.encode(batch, 1)


def _type(index: int) -> ColumnType:
    if index in DECIMALS:
        return ColumnType(TypeName.DECIMAL, 15, 2)
    return ColumnType(TypeName.INTEGER if index in INTEGERS else TypeName.DATE if index in DATES else TypeName.TEXT)


def _by_csv(kind: str, batch: pa.RecordBatch) -> Callable[[], object]:
    rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return lambda: csv.writer(io.StringIO()).writerows(rows)


def _by_orjson(kind: str, batch: pa.RecordBatch) -> Callable[[], object]:
    rows = batch.to_pylist()
    return lambda: [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows]


if __name__ == "__main__":
    main(*sys.argv[1:])
