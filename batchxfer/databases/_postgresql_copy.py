"""Batches as COPY reads them: CSV, each text in quotes and NULL as nothing.

COPY's text and not its binary form, nor ADBC's ingestion, which is binary too: a server reads text by each column's own type,
whatever it is (jsonb, arrays, domains, enumerations, types of extensions); binary values must be of exactly the column's type.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import pyarrow as pa
from pyarrow import csv

from batchxfer.beside import Beside
from batchxfer.model import TargetColumn, TypeName
from batchxfer.ports import Verbatim

_AHEAD = 3
"""So that the server waits for nobody while a batch takes longer than others."""

_T = TypeName
_PLAIN = {_T.INTEGER, _T.DECIMAL, _T.FLOAT, _T.BOOLEAN, _T.DATE, _T.TIME, _T.TIMESTAMP, _T.UUID, _T.TEXT}
_BOUNDS = re.compile(r"\[[+-]?\d+:[+-]?\d+\]")


def reads_verbatim(delimiter: str, columns: Sequence[TargetColumn]) -> bool:
    """Whether COPY makes of plain values, as they are in a file, what it makes of them when they are written anew."""
    # Batches among them are written with the same delimiter: it must be in no number and no time.
    return (
        len(delimiter) == 1
        and delimiter.isascii()
        and not delimiter.isalnum()
        and delimiter not in '+-.: "\\\r\n\0'
        and all(map(_is_plain, columns))
    )


def _is_plain(column: TargetColumn) -> bool:
    # real rounds a text once; here it has been a double before.
    return column.type.name in _PLAIN and column.native != "real" and not column.native.endswith("[]")


def texts(
    batches: Iterable[pa.RecordBatch | Verbatim], columns: Sequence[TargetColumn], delimiter: str
) -> Iterator[tuple[memoryview, int]]:
    """Each batch's text and its number of rows; while one is used, the next ones are made in a thread."""
    how = csv.WriteOptions(include_header=False, delimiter=delimiter)
    items = (
        (batch.text if isinstance(batch, Verbatim) else memoryview(_text(batch, columns, how)), batch.num_rows)
        for batch in batches
    )
    beside, following = Beside("postgresql-load"), partial(next, items, None)
    try:
        coming = deque(beside.submit(following) for _ in range(_AHEAD))
        while (item := coming.popleft().result()) is not None:
            coming.append(beside.submit(following))
            yield item
    finally:
        beside.end()


def _text(batch: pa.RecordBatch, columns: Sequence[TargetColumn], how: csv.WriteOptions) -> pa.Buffer:
    arrays = [_readable(array, column) for array, column in zip(batch.columns, columns, strict=True)]
    sink = pa.BufferOutputStream()
    csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=batch.schema.names), sink, how)
    return sink.getvalue()


def _readable(array: pa.Array, column: TargetColumn) -> pa.Array:
    if pa.types.is_binary(array.type):
        return pa.array([None if value is None else f"\\x{value.hex()}" for value in array.to_pylist()], pa.string())
    if column.native.endswith("[]"):
        documents = column.native.startswith("json")
        return pa.array([_literal(value, documents) for value in array.to_pylist()], pa.string())
    return array


# --- arrays --------------------------------------------------------------------------------------


class _Token(str):
    """A number as it was written."""

    __slots__ = ()


def _literal(value: str | None, documents: bool) -> str | None:
    """A JSON array, which is how an array is written into files, as PostgreSQL's `{…}`; anything else as it is."""
    if value is None or not value.lstrip().startswith("[") or _BOUNDS.match(value.lstrip()):
        return value
    try:
        found = json.loads(value, parse_int=_Token, parse_float=_Token)
    except (ValueError, RecursionError):
        return value
    return _braces(found, documents)


def _braces(value: list[object], documents: bool) -> str:
    return "{" + ",".join(_element(each, documents) for each in value) + "}"


def _element(value: object, documents: bool) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, _Token):
        return str(value)
    if isinstance(value, list) and not documents:
        return _braces(value, documents)
    if isinstance(value, str) and not documents:
        return _quoted(value)
    return _quoted(_document(value))


def _document(value: object) -> str:
    """A value inside of JSON, numbers as they were written."""
    if isinstance(value, _Token):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_document(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_document(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
