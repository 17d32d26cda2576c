"""Takes rows from SQLite as one JSON text each, and makes columns of many of them at once.

Python's driver makes an object of each value. Asked for `json_array(c0, c1, …)`, SQLite hands over one a row, and Arrow's
reader of CSV takes the lines apart: inside of JSON's brackets an integer, a quoted text and `null` are what they are in CSV. A
text with an escape takes one more step, a batch with a rare one Python's own.

Reals, which JSON rounds in many versions of SQLite, and blobs, which it has not, come beside it as they are. Whatever does not
look as it should is read again value by value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.databases._canonical import Reader, Row, batch_of
from batchxfer.model import TypeName

MOST_TOGETHER = 100
"""A function of SQLite takes 127 arguments."""

_ROW_END = b"]\n["
# Control characters never come as they are: some stand for what CSV would take for its own.
_ESCAPES = ((b"\\\\", b"\x01"), (b'\\"', b"\x02"), (b"\\n", b"\x03"), (b"\\r", b"\x04"), (b"\\t", b"\t"))
_STAND_FOR = ((b"\x01", "\\"), (b"\x02", '"'), (b"\x03", "\n"), (b"\x04", "\r"))
_PATTERNS = {TypeName.INTEGER: r"(?:-?[0-9]+|null)", TypeName.TEXT: r'(?:"(?:[^"\\]|\\.)*"|null)'}
_EVERY_CHARACTER = "".join(map(chr, [*range(0x80), 0xE9, 0x2028, 0x65E5, 0xFFFD, 0x1F600]))


def is_exact(driver: sqlite3.Connection) -> bool:
    """Whether this SQLite has json_array, and it writes every character and integer so that it reads back."""
    known = [_EVERY_CHARACTER, -(2**63), None, 2**63 - 1, ""]
    try:
        [line] = driver.execute("SELECT json_array(?, ?, ?, ?, ?)", known).fetchone()
    except sqlite3.Error:
        return False
    return bool(orjson.loads(line) == known)


class Lines:
    """The rows of a query from its first on. `q` is the query as a table with the columns c0, c1 …: `WITH q(…) AS (…)`."""

    def __init__(self, driver: sqlite3.Connection, q: str, arguments: Any, readers: Sequence[Reader]) -> None:
        self._driver = driver
        self._q = q
        self._arguments = arguments
        self._readers = readers
        together = [index for index, reader in enumerate(readers) if _goes_together(reader)]
        self._groups = [together[start : start + MOST_TOGETHER] for start in range(0, len(together), MOST_TOGETHER)]
        self._alone = [index for index, reader in enumerate(readers) if not _goes_together(reader)]
        self._patterns = [self._pattern(group) for group in self._groups]
        self._cursor: sqlite3.Cursor | None = None
        self._make: Callable[[Sequence[Row], int], pa.RecordBatch | None] = self._batch

    @property
    def worthwhile(self) -> bool:
        return len(self._groups) > 0 and len(self._alone) <= len(self._readers) // 2

    def more(self, rows: int, first_row: int) -> pa.RecordBatch | None:
        """The batch of the next rows, None after the last. Raises UnwritableValue."""
        if self._cursor is None:
            self._cursor = self._lines()
        found = self._cursor.fetchmany(rows)
        if not found:
            return None
        batch = self._make(found, first_row)
        return self._one_by_one(rows, first_row) if batch is None else batch

    # --- asking ----------------------------------------------------------------------------------

    def _lines(self) -> sqlite3.Cursor:
        """The query's lines, once it is known that nothing in it makes JSON: that would not be taken for a text."""
        text = self._select("c{}")
        plan = self._driver.execute(f"EXPLAIN {text}", self._arguments).fetchall()
        called = [str(step[5]) for step in plan if str(step[5]).startswith(("json", "->"))]
        self._driver.text_factory = bytes
        return self._driver.execute(
            text if len(called) <= len(self._groups) else self._select("c{} || ''"), self._arguments
        )

    def _select(self, text: str) -> str:
        asked = [text if reader.column.type.name is TypeName.TEXT else "c{}" for reader in self._readers]
        groups = (f"json_array({', '.join(asked[index].format(index) for index in group)})" for group in self._groups)
        return f"{self._q} SELECT {', '.join([*groups, *(f'c{index}' for index in self._alone)])} FROM q"  # noqa: S608

    def _one_by_one(self, rows: int, first_row: int) -> pa.RecordBatch | None:
        """The same rows, and from now on all others, value by value."""
        self._driver.text_factory = str
        names = ", ".join(f"c{index}" for index in range(len(self._readers)))
        self._cursor = self._driver.execute(f"{self._q} SELECT {names} FROM q", self._arguments)  # noqa: S608
        for _ in range(first_row - 1):
            self._cursor.fetchone()
        self._make = lambda found, row: batch_of(self._readers, found, row)
        return self.more(rows, first_row)

    # --- making columns --------------------------------------------------------------------------

    def _batch(self, rows: Sequence[Row], first_row: int) -> pa.RecordBatch | None:
        """The batch of `rows`; None where something in them is not as it should be."""
        columns = list(zip(*rows, strict=True))
        arrays: dict[int, pa.Array] = {}
        for group, pattern, lines in zip(self._groups, self._patterns, columns, strict=False):
            readers = [self._readers[index] for index in group]
            found = _columns(readers, pattern, lines, first_row)
            if found is None:
                return None
            arrays.update(zip(group, found, strict=True))
        for index, values in zip(self._alone, columns[len(self._groups) :], strict=True):
            arrays[index] = self._readers[index].array(values, first_row)
        names = [reader.column.name for reader in self._readers]
        return pa.RecordBatch.from_arrays([arrays[index] for index in range(len(names))], names)

    def _pattern(self, group: Sequence[int]) -> str:
        """What a line must look like: an integer where there is to be one, a text where there is to be one."""
        values = ",".join(_PATTERNS[self._readers[index].column.type.name] for index in group)
        return rf"^\[{values}\]$"


def _goes_together(reader: Reader) -> bool:
    """Whether a column can be a part of the JSON text."""
    return reader.column.type.name in _PATTERNS and reader.convert is None


def _columns(readers: Sequence[Reader], pattern: str, lines: Any, first_row: int) -> list[pa.Array] | None:
    if not pc.all(pc.match_substring_regex(pa.array(lines, pa.binary()), pattern)).as_py():
        return None
    data = b"\n".join(lines).replace(_ROW_END, b"\n")[1:-1]
    escaped = b"\\" in data
    if escaped:
        for escape, stand_in in _ESCAPES:
            data = data.replace(escape, stand_in)
    try:
        if b"\\" in data:
            values = zip(*map(orjson.loads, lines), strict=True)
            return [reader.array(column, first_row) for reader, column in zip(readers, values, strict=True)]
        return [_plain(array) if escaped else array for array in _read_csv(readers, data)]
    except (pa.ArrowInvalid, orjson.JSONDecodeError):
        return None


def _read_csv(readers: Sequence[Reader], data: bytes) -> Iterator[pa.Array]:
    # Imported when there are many rows: few need none.
    from pyarrow import csv

    names = list(map(str, range(len(readers))))
    table = csv.read_csv(
        pa.py_buffer(data),
        csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        csv.ParseOptions(double_quote=False),
        csv.ConvertOptions(
            column_types={name: reader.arrow for name, reader in zip(names, readers, strict=True)},
            null_values=["null"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for column in table.columns:
        yield column.combine_chunks()


def _plain(array: pa.Array) -> pa.Array:
    """A column whose texts have again what the stand-ins stood for."""
    if not pa.types.is_string(array.type):
        return array
    data = bytes(array.buffers()[2] or b"")
    for stand_in, text in _STAND_FOR:
        if stand_in in data:
            array = pc.replace_substring(array, pattern=stand_in.decode(), replacement=text)
    return array
