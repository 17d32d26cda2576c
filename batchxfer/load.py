"""A fetched file → a table: all or nothing, and once.

The record of a load is written in the transaction of its rows, into the same database; whoever was killed, or lost the reply to
the commit, finds it there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from batchxfer.definitions import Guard, LoadOptions
from batchxfer.errors import AttemptError, GuardTripped, LoadError, ReadPatiently, RowRefused, UnreadableFile
from batchxfer.model import TargetColumn
from batchxfer.ports import BadRecord, LoadCounts, Loading, LoadKey, Takes, Target, Verbatim, VerbatimLoading
from batchxfer.quantities import counted
from batchxfer.spool import storage_errors, sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

MOST_TOLD = 5
"""How many bad records an error names."""


class Records(Protocol):
    """A file's records as typed batches; its columns are known after the first item."""

    @property
    def columns(self) -> tuple[TargetColumn, ...]: ...

    def line_of(self, index: int) -> int | None:
        """The line on which a record of the last batch begins; None where nobody knows."""

    def __iter__(self) -> Iterator[pa.RecordBatch | Verbatim | BadRecord]: ...


Open = Callable[[Sequence[TargetColumn], bool, "Takes | None"], Records]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One file to be loaded. `open` is called with the table's columns, whether to read patiently, and what a VerbatimLoading
    takes; `bad_path` is where its bad records go."""

    key: LoadKey
    name: str
    open: Open
    bad_path: Path


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What came of one file. `again` where it had been loaded before, by somebody who could not say so any more."""

    counts: LoadCounts
    again: bool = False


Progress = Callable[[int], None]
"""Called with the number of rows so far."""


def load(
    target: Target,
    pieces: Sequence[Piece],
    options: LoadOptions,
    guard: Guard | None,
    *,
    hint: str,
    progress: Progress | None = None,
) -> list[Loaded]:
    """Load all pieces in one transaction, and say how many records each had, in their order.

    `guard` is None where a person let them pass; `hint` says how. Raises what decoding and Loading raise, GuardTripped, and
    UnreadableFile for bad records; then nothing was loaded.
    """
    try:
        return _load(target, pieces, options, guard, hint, progress, patient=False)
    except ReadPatiently:
        # What went into the table was taken back; from the beginning, more slowly.
        return _load(target, pieces, options, guard, hint, progress, patient=True)


def _load(
    target: Target,
    pieces: Sequence[Piece],
    options: LoadOptions,
    guard: Guard | None,
    hint: str,
    progress: Progress | None,
    *,
    patient: bool,
) -> list[Loaded]:
    with target.begin() as loading:
        known = loading.recorded([piece.key for piece in pieces])
        left = [piece for piece in pieces if piece.key not in known]
        made = _load_left(loading, left, known, options, progress, patient) if left else {}
        counts = {**known, **made}
        rows = sum(counts[piece.key].rows for piece in pieces)
        if left:
            _check_guard(guard, rows, hint)
            for piece in left:
                loading.record(piece.key, made[piece.key])
            loading.commit()
    return [Loaded(counts=counts[piece.key], again=piece.key in known) for piece in pieces]


def _load_left(
    loading: Loading,
    pieces: Sequence[Piece],
    known: Mapping[LoadKey, LoadCounts],
    options: LoadOptions,
    progress: Progress | None,
    patient: bool,
) -> dict[LoadKey, LoadCounts]:
    columns = _needed(options, loading.columns(options.table))
    if options.mode == "replace":
        if known:
            raise LoadError(
                f"some of the slot's files are in {options.table} already, from before the mode was 'replace'",
                hint="load all of them anew with: batchxfer rerun RUN",
            )
        loading.clear(options.table)
    made, before = {}, 0
    for piece in pieces:
        told = _told_from(before, progress)
        made[piece.key] = _load_one(loading, piece, columns, options, told, patient)
        before += made[piece.key].rows
    return made


def _told_from(before: int, progress: Progress | None) -> Progress:
    return lambda rows: progress(before + rows) if progress is not None else None


def _needed(options: LoadOptions, columns: Sequence[TargetColumn]) -> list[TargetColumn]:
    """The table's columns; those of the key must be in the file, and not NULL, for NULL identifies nothing."""
    known = {column.name for column in columns}
    if lacking := [name for name in options.key if name not in known]:
        raise LoadError(
            f"[load] key names {', '.join(map(repr, lacking))}, which table {options.table} does not have",
            hint="its columns are " + ", ".join(column.name for column in columns),
        )
    return [
        replace(column, nullable=False, optional=False) if column.name in options.key else column for column in columns
    ]


def _load_one(
    loading: Loading,
    piece: Piece,
    columns: Sequence[TargetColumn],
    options: LoadOptions,
    progress: Progress,
    patient: bool,
) -> LoadCounts:
    most = options.max_bad_records if options.on_bad_record == "quarantine" else 0
    takes = loading.takes if isinstance(loading, VerbatimLoading) and not patient else None
    with _told_of(piece, columns, options, patient), _BadRecords(piece, most) as bad:
        records = iter(_Sorted(piece.open(columns, patient, takes), bad, progress))
        # The columns are known with the first batch; a file without rows has been checked to its end.
        first = next(records, None)
        if first is None:
            return LoadCounts(rows=0, bad_rows=bad.count)
        batch, filled = first
        rows = loading.append(options.table, filled, _batches(batch, records), key=options.key)
        return LoadCounts(rows=rows, bad_rows=bad.count)


# --- which file, and which line of it ------------------------------------------------------------


@contextlib.contextmanager
def _told_of(piece: Piece, columns: Sequence[TargetColumn], options: LoadOptions, patient: bool) -> Iterator[None]:
    """Errors name the file, and where one row is to blame its line."""
    try:
        yield
    except ReadPatiently:
        raise
    except UnreadableFile as error:
        raise UnreadableFile(f"{piece.name}: {error.message}", hint=error.hint) from error
    except LoadError as error:
        where = piece.name
        if isinstance(error, RowRefused):
            line = _line_of(piece.open(columns, patient, None), error)
            where += f": line {line}" if line is not None else f": row {error.row} of those to be loaded"
        hint = error.hint
        if options.on_bad_record == "quarantine":
            hint = f"{hint}; {_ONLY_BY_ITSELF}" if hint else _ONLY_BY_ITSELF
        raise LoadError(f"{where}: {error.message}", hint=hint) from error


_ONLY_BY_ITSELF = "on_bad_record = 'quarantine' leaves out what is wrong by itself, not what only the database knows"


def _line_of(records: Records, error: RowRefused) -> int | None:
    """The line of a row that was refused: the file is read once more up to there."""
    left = error.row
    with contextlib.suppress(AttemptError):
        for item in records:
            if isinstance(item, BadRecord | Verbatim):
                continue
            first = left == error.row
            for index, height in enumerate(error.lines(item, first) if error.lines else [1] * item.num_rows):
                left -= height
                if left <= 0:
                    return records.line_of(index)
    return None


def _batches(
    first: pa.RecordBatch | Verbatim, rest: Iterable[tuple[pa.RecordBatch | Verbatim, tuple[TargetColumn, ...]]]
) -> Iterator[Any]:
    yield first
    for batch, _ in rest:
        yield batch


class _Sorted:
    """The good records of a file; the bad ones are put aside where they stand."""

    def __init__(self, records: Records, bad: _BadRecords, progress: Progress) -> None:
        self._records = records
        self._bad = bad
        self._progress = progress

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch | Verbatim, tuple[TargetColumn, ...]]]:
        rows = 0
        for item in self._records:
            if isinstance(item, BadRecord):
                self._bad.put(item)
                continue
            yield item, self._records.columns
            rows += item.num_rows
            self._progress(rows)
        self._bad.check()


class _BadRecords:
    """Bad records on their way into the side file: one JSON object a line, with line, column, reason and text.

    `most` is how many may be left out, None for any number. With 0 the first few end the load.
    """

    def __init__(self, piece: Piece, most: int | None) -> None:
        self.count = 0
        self._piece = piece
        self._most = most
        self._first: list[BadRecord] = []
        self._part = piece.bad_path.with_name(f"{piece.bad_path.name}.part")
        self._file: int | None = None

    def put(self, record: BadRecord) -> None:
        self.count += 1
        if len(self._first) < MOST_TOLD:
            self._first.append(record)
        if self._most == 0:
            if self.count >= MOST_TOLD:
                self.check()
            return
        if self._most is not None and self.count > self._most:
            self.check()
        self._write(record)

    def check(self) -> None:
        """Raise UnreadableFile where there are more than may be."""
        if self._most is None or self.count <= self._most:
            return
        told = "; ".join(_shown(record) for record in sorted(self._first, key=lambda record: record.line))
        more = " …" if self.count >= MOST_TOLD else ""
        limit = "" if self._most == 0 else f"more than max_bad_records = {self._most} bad records, "
        raise UnreadableFile(
            f"{limit}{told}{more}. Nothing was loaded",
            hint="have the file mended, or mend the format; "
            + (
                "on_bad_record = 'quarantine' leaves bad records out" if self._most == 0 else "or raise max_bad_records"
            ),
        )

    def _write(self, record: BadRecord) -> None:
        line = {"line": record.line, "column": record.column, "reason": record.reason, "text": record.text}
        with storage_errors(self._part):
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                self._file = os.open(self._part, flags, 0o600)
            view = memoryview(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            while view:
                view = view[os.write(self._file, view) :]

    def __enter__(self) -> _BadRecords:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._file is None:
            return
        if kind is None:
            # Durable before the commit: what the database leaves out is here.
            with storage_errors(self._part):
                os.fsync(self._file)
                os.close(self._file)
                os.replace(self._part, self._piece.bad_path)
                sync_folder(self._part.parent)
            return
        os.close(self._file)
        with contextlib.suppress(OSError):
            self._part.unlink()


def _shown(record: BadRecord) -> str:
    where = f"line {record.line}" + (f", column {record.column!r}" if record.column else "")
    return f"{where}: {record.reason}"


def _check_guard(guard: Guard | None, rows: int, hint: str) -> None:
    if guard is None:
        return
    low = guard.min_rows is not None and rows < guard.min_rows
    high = guard.max_rows is not None and rows > guard.max_rows
    if low or high:
        limit = f"min_rows = {guard.min_rows}" if low else f"max_rows = {guard.max_rows}"
        raise GuardTripped(f"{counted(rows, 'row')}, and the job's [guard] has {limit}: nothing was loaded", hint=hint)
