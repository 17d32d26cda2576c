"""Takes rows from SQLite with many columns as one JSON text.

Python's driver makes an object of each value. Asked for `json_array(c0, c1, …)`, SQLite hands over one a row: inside of JSON's
brackets an integer, a quoted text and `null` are what they are in CSV, or, without the quotes, what a format writes. Reals,
which JSON rounds in many versions of SQLite, and blobs, which it has not, come beside it as they are. Where something does not
look as it should, the rows are read again from there, value by value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import orjson
import pyarrow as pa

from batchxfer.databases._ahead import StartAgain, Steps
from batchxfer.databases._canonical import BATCH_BYTES, Reader, Row, batch_of, next_size
from batchxfer.databases._sqlite_together import Making, Together, goes_together, is_plain
from batchxfer.model import TypeName
from batchxfer.ports import Apart, Merge

MOST_TOGETHER = 100
"""A function of SQLite takes 127 arguments."""
MOST_ROWS = 16_000
"""In a batch: so many that what is done once for each costs little."""
MOST_AT_ONCE = 128
"""So many rows are fetched before their size is looked at: those to come may be much larger than those before."""
_WORTH_A_TEXT = 3
"""Fewer columns that are not merged come sooner as they are."""

_EVERY_CHARACTER = "".join(map(chr, [*range(0x80), 0xE9, 0x2028, 0x65E5, 0xFFFD, 0x1F600]))

_Batch = TypeVar("_Batch")
_Make = Callable[[Sequence[Sequence[Any]], int], _Batch | None]


def is_exact(driver: sqlite3.Connection) -> bool:
    """Whether this SQLite has json_array, and it writes every character and integer so that it reads back, in UTF-8.

    In a file whose encoding is UTF-16 it does not.
    """
    known = [_EVERY_CHARACTER, -(2**63), None, 2**63 - 1, ""]
    try:
        [line] = driver.execute("SELECT CAST(json_array(?, ?, ?, ?, ?) AS BLOB)", known).fetchone()
        return bool(orjson.loads(line) == known)
    except (sqlite3.Error, orjson.JSONDecodeError):
        return False


def is_worthwhile(readers: Sequence[Reader]) -> bool:
    """Whether enough columns can come together."""
    return 2 * sum(map(goes_together, readers)) >= max(len(readers), 1)


class Lines:
    """The rows of a query from its first on, as ports.TextMergingRows says.

    `q` is the query as a table with the columns c0, c1 …: `WITH q(…) AS (…)`. `first` are its first rows, which say what looks
    plain, and how many fit into a batch.
    """

    def __init__(
        self, driver: sqlite3.Connection, q: str, arguments: Any, readers: Sequence[Reader], first: Sequence[Row]
    ) -> None:
        self._driver = driver
        self._q = q
        self._arguments = arguments
        self._readers = readers
        self._first = first

    @property
    def mergeable(self) -> Collection[int]:
        return self._of(TypeName.INTEGER)

    def mergeable_texts(self, special: str) -> Collection[int]:
        return [index for index in self._of(TypeName.TEXT) if self._looks_plain(index, special)]

    def batches(self) -> Steps[pa.RecordBatch]:
        groups, alone = self._shared_out(range(len(self._readers)))
        return self._steps(groups, alone, Making(self._readers, groups, alone).apart, _itself)

    def merged(self, wanted: Sequence[int | Merge]) -> Steps[pa.RecordBatch | Apart]:
        singles = sorted({part for part in wanted if isinstance(part, int)})
        groups, alone = self._shared_out(singles, _WORTH_A_TEXT)
        groups = [*(Together(part.fields, self._readers, part) for part in wanted if isinstance(part, Merge)), *groups]
        return self._steps(groups, alone, Making(self._readers, groups, alone, wanted).merged, _apart)

    def _of(self, kind: TypeName) -> list[int]:
        """The columns of a type that can be a part of a JSON text."""
        readers = enumerate(self._readers)
        return [index for index, reader in readers if reader.column.type.name is kind and goes_together(reader)]

    def _looks_plain(self, index: int, special: str) -> bool:
        values = [row[index] for row in self._first]
        return all(value is None or (isinstance(value, str) and is_plain(value, special)) for value in values)

    def _shared_out(self, indices: Sequence[int], least: int = 1) -> tuple[list[Together], list[int]]:
        """Which of the columns come together, and which alone."""
        together = [index for index in indices if goes_together(self._readers[index])]
        if len(together) < least:
            together = []
        starts = range(0, len(together), MOST_TOGETHER)
        groups = [Together(together[start : start + MOST_TOGETHER], self._readers) for start in starts]
        return groups, [index for index in indices if index not in together]

    # --- asking ----------------------------------------------------------------------------------

    def _steps(
        self,
        groups: Sequence[Together],
        alone: Sequence[int],
        make: _Make[_Batch],
        as_it_is: Callable[[pa.RecordBatch], _Batch],
    ) -> Steps[_Batch]:
        """What makes the batches; `make` gives None for rows that are to be read value by value."""
        asked = {*alone, *(index for group in groups for index in group.fields)}

        def made(rows: Sequence[Row], first_row: int) -> _Batch:
            batch = make([_column(rows, index) for index in range(len(rows[0]))], first_row)
            return again(first_row) if batch is None else batch

        def again(first_row: int) -> _Batch:
            raise StartAgain(self._one_by_one(first_row, asked, as_it_is))

        sized = [*range(len(groups)), *(len(groups) + place for place in self._sized(alone))]
        row = 1
        with closing(self._asked(groups, alone)) as cursor:
            try:
                for rows in self._fetched(cursor, sized):
                    yield partial(made, rows, row)
                    row += len(rows)
            except sqlite3.OperationalError as exc:
                if "BLOB" not in str(exc):
                    raise
                # A blob where all values before were texts or integers.
                yield partial(again, row)

    def _asked(self, groups: Sequence[Together], alone: Sequence[int]) -> sqlite3.Cursor:
        """The query, once it is known that nothing in it makes JSON: that would not be taken for a text."""
        text = self._select(groups, alone, "c{}")
        made = sum(called.startswith((b"json", b"->")) for called in self._called(text))
        return self._driver.execute(
            text if made <= len(groups) else self._select(groups, alone, "c{} || ''"), self._arguments
        )

    def _called(self, text: str) -> list[bytes]:
        """What each step of the query has to do with: functions, and constants of any kind."""
        self._driver.text_factory = bytes
        try:
            steps = self._driver.execute(f"EXPLAIN {text}", self._arguments).fetchall()
        finally:
            self._driver.text_factory = str
        return [step[5] or b"" for step in steps]

    def _select(self, groups: Sequence[Together], alone: Sequence[int], text: str) -> str:
        asked = [text if reader.column.type.name is TypeName.TEXT else "c{}" for reader in self._readers]
        arrays = (f"json_array({', '.join(asked[index].format(index) for index in group.fields)})" for group in groups)
        # As a blob it comes as it is, whether it is UTF-8 or not.
        names = [*(f"CAST({array} AS BLOB)" for array in arrays), *(f"c{index}" for index in alone)]
        return f"{self._q} SELECT {', '.join(names)} FROM q"  # noqa: S608 - it has already run by itself

    def _one_by_one(
        self, first_row: int, asked: Collection[int], as_it_is: Callable[[pa.RecordBatch], _Batch]
    ) -> Steps[_Batch]:
        """The rows from `first_row` on, value by value.

        It is asked for the columns of the query that was given up and no others: which they are decides whether SQLite reads
        an index instead of the table, and so the order of the rows.
        """
        every = range(len(self._readers))
        names = ", ".join(f"c{index}" if index in asked else "NULL" for index in every)
        text = f"{self._q} SELECT {names} FROM q"  # noqa: S608 - it has already run by itself
        with closing(self._driver.execute(text, self._arguments)) as cursor:
            for _ in islice(cursor, first_row - 1):
                pass
            row = first_row
            for rows in self._fetched(cursor, self._sized(every)):
                yield partial(as_it_is, batch_of(self._readers, rows, row))
                row += len(rows)

    def _sized(self, columns: Sequence[int]) -> list[int]:
        """The places of the columns whose values have a length."""
        kinds = [self._readers[index].column.type.name for index in columns]
        return [place for place, kind in enumerate(kinds) if kind in (TypeName.TEXT, TypeName.BYTES)]

    def _fetched(self, cursor: sqlite3.Cursor, sized: Sequence[int]) -> Iterator[list[Row]]:
        """The rows of each batch; `sized` are the columns whose values have a length."""
        # The first rows say how many fit.
        piece = max(1, len(self._first))
        rows: list[Row] = []
        size = 0
        while found := cursor.fetchmany(min(piece, MOST_ROWS, MOST_AT_ONCE)):
            more = _size(found, sized)
            piece = next_size(len(found), more)
            if rows and (len(rows) + len(found) > MOST_ROWS or size + more > BATCH_BYTES):
                yield rows
                rows, size = [], 0
            if more > BATCH_BYTES:
                yield from (found[start : start + piece] for start in range(0, len(found), piece))
                continue
            rows += found
            size += more
        if rows:
            yield rows


def _itself(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def _apart(batch: pa.RecordBatch) -> pa.RecordBatch | Apart:
    return Apart(batch=batch)


def _size(rows: Sequence[Row], sized: Sequence[int]) -> int:
    try:
        return sum(sum(map(len, filter(None, _column(rows, index)))) for index in sized)
    except TypeError:
        # A number where there is to be a text: making a batch of it says so.
        return 0


def _column(rows: Sequence[Row], index: int) -> list[Any]:
    return [row[index] for row in rows]
