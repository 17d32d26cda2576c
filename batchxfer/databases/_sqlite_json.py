"""Takes rows from SQLite with many columns as one JSON text.

Python's driver makes an object of each value. Asked for `json_array(c0, c1, …)`, SQLite hands over one a row: inside of JSON's
brackets an integer, a quoted text and `null` are what they are in CSV, or, without the quotes, what a format writes. Reals,
which JSON rounds in many versions of SQLite, and blobs, which it has not, come beside it as they are. Where something does not
look as it should, the rows are read again from there, value by value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from copy import copy
from functools import partial
from typing import Any, TypeVar

import orjson
import pyarrow as pa

from batchxfer.databases._ahead import StartAgain, Steps
from batchxfer.databases._canonical import BATCH_BYTES, Reader, Row
from batchxfer.databases._sqlite_process import Asked, Packet, Process
from batchxfer.databases._sqlite_rows import BLOB, LINE, MOST_ROWS, NUMBER, TEXT, packets
from batchxfer.databases._sqlite_together import Making, Together, array_of, is_plain, kind_together, settled
from batchxfer.model import TypeName
from batchxfer.ports import Apart, Merge

MOST_TOGETHER = 100
"""A function of SQLite takes 127 arguments."""
_KINDS = {TypeName.TEXT: TEXT, TypeName.BYTES: BLOB}
_WORTH_A_TEXT = 3
"""Fewer columns that are not merged come sooner as they are."""

_EVERY_CHARACTER = "".join(map(chr, [*range(0x80), 0xE9, 0x2028, 0x65E5, 0xFFFD, 0x1F600]))

_Batch = TypeVar("_Batch")
_Make = Callable[[Sequence[Any], int, int], _Batch | None]


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
    return 2 * sum(kind_together(reader) is not None for reader in readers) >= max(len(readers), 1)


class Lines:
    """The rows of a query from its first on, as ports.TextMergingRows says.

    `q` is the query as a table with the columns c0, c1 …: `WITH q(…) AS (…)`. `first` are its first rows, which say what looks
    plain, and how many fit into a batch. `elsewhere` gives a process that fetches what is asked, of the same state of the
    database; None where this one has to.
    """

    def __init__(
        self,
        driver: sqlite3.Connection,
        q: str,
        arguments: Any,
        readers: Sequence[Reader],
        first: Sequence[Row],
        elsewhere: Callable[[Asked], Process | None],
    ) -> None:
        self._driver = driver
        self._q = q
        self._arguments = arguments
        self._readers = readers
        self._first = first
        self._elsewhere = elsewhere

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
        return [index for index, reader in enumerate(self._readers) if kind_together(reader) is kind]

    def _looks_plain(self, index: int, special: str) -> bool:
        values = [row[index] for row in self._first]
        return all(value is None or (isinstance(value, str) and is_plain(value, special)) for value in values)

    def _shared_out(self, indices: Sequence[int], least: int = 1) -> tuple[list[Together], list[int]]:
        """Which of the columns come together, and which alone."""
        together = [index for index in indices if kind_together(self._readers[index]) is not None]
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
        row: int = 1,
    ) -> Steps[_Batch]:
        """What makes the batches from `row` on; `make` gives None for rows that are to be read in another way."""
        asked = {*alone, *(index for group in groups for index in group.fields)}

        def made(fetched: Sequence[Any], rows: int, first_row: int) -> _Batch:
            batch = make(fetched, rows, first_row)
            return again(first_row) if batch is None else batch

        def again(first_row: int) -> _Batch:
            other = self._settled(first_row, asked, as_it_is) or self._one_by_one(first_row, asked, as_it_is)
            raise StartAgain(other)

        with closing(self._packets(groups, alone, row - 1)) as found:
            try:
                for rows, fetched in found:
                    yield partial(made, fetched, rows, row)
                    row += rows
            except sqlite3.OperationalError as exc:
                if "BLOB" not in str(exc):
                    raise
                # A blob where all values before were texts or integers.
                yield partial(again, row)

    def _settled(
        self, row: int, asked: Collection[int], as_it_is: Callable[[pa.RecordBatch], _Batch]
    ) -> Steps[_Batch] | None:
        """The rows from `row` on, none put together, with columns that may have reals beside those that come together; None
        where there are none such."""
        readers = list(map(settled, self._readers))
        if readers == self._readers:
            return None
        lines = copy(self)
        lines._readers = readers
        groups, alone = lines._shared_out(sorted(asked))
        making = Making(readers, groups, alone)

        def make(fetched: Sequence[Any], rows: int, first_row: int) -> _Batch | None:
            batch = making.apart(fetched, rows, first_row)
            return None if batch is None else as_it_is(batch)

        return lines._steps(groups, alone, make, as_it_is, row)

    def _packets(self, groups: Sequence[Together], alone: Sequence[int], skip: int) -> Generator[Packet, None, None]:
        """The rows as they are fetched, by another process where that is worthwhile."""
        kinds = [*(LINE for _ in groups), *map(self._kind, alone)]
        asked = self._query(self._asked(groups, alone), kinds, skip)
        process = self._elsewhere(asked)
        if process is None:
            yield from self._here(asked)
            return
        with closing(process):
            yield from process.packets()

    def _here(self, asked: Asked) -> Generator[Packet, None, None]:
        with closing(self._driver.execute(asked.text, asked.arguments)) as cursor:
            yield from packets(cursor, **asked.limits)

    def _asked(self, groups: Sequence[Together], alone: Sequence[int]) -> str:
        """The query, so that nothing in it makes JSON: that would not be taken for a text."""
        text = self._select(groups, alone, "c{}")
        made = sum(called.startswith((b"json", b"->")) for called in self._called(text))
        return text if made <= len(groups) else self._select(groups, alone, "c{} || ''")

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
        self, row: int, asked: Collection[int], as_it_is: Callable[[pa.RecordBatch], _Batch]
    ) -> Steps[_Batch]:
        """The rows from `row` on, value by value.

        It is asked for the columns of the query that was given up and no others: which they are decides whether SQLite reads
        an index instead of the table, and so the order of the rows.
        """
        every = range(len(self._readers))
        names = ", ".join(f"c{index}" if index in asked else "NULL" for index in every)
        text = f"{self._q} SELECT {names} FROM q"  # noqa: S608 - it has already run by itself
        query = self._query(text, list(map(self._kind, every)), row - 1)
        with closing(self._here(query)) as found:
            for rows, columns in found:
                read = zip(self._readers, columns, strict=True)
                arrays = [array_of(reader, column, row) for reader, column in read]
                batch = pa.RecordBatch.from_arrays(arrays, [reader.column.name for reader in self._readers])
                yield partial(as_it_is, batch)
                row += rows

    def _query(self, text: str, kinds: Sequence[str], skip: int) -> Asked:
        # The first rows say how many fit.
        piece = max(1, len(self._first))
        return Asked(
            text=text,
            arguments=self._arguments,
            kinds=kinds,
            piece=piece,
            skip=skip,
            most_rows=MOST_ROWS,
            most_bytes=BATCH_BYTES,
        )

    def _kind(self, index: int) -> str:
        return _KINDS.get(self._readers[index].column.type.name, NUMBER)


def _itself(made: _Batch) -> _Batch:
    return made


def _apart(batch: pa.RecordBatch) -> pa.RecordBatch | Apart:
    return Apart(batch=batch)
