"""Makes columns of many rows that SQLite hands over as a JSON text each, or one text of the columns that a format merges.

What is fetched is as _sqlite_rows.packets says: the JSON texts are the lines of one text.

A JSON text without its brackets is a record of CSV, which Arrow's reader takes apart. A text with an escape takes one more
step, a batch with a rare one Python's own. Where all values are plain, the quotes are left out, and nothing is taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.databases._canonical import Reader, digits_reader
from batchxfer.model import ColumnType, TypeName
from batchxfer.ports import Apart, Merge

_ROW_END = b"]\n["
# Control characters never come as they are: some stand for what CSV would take for its own.
_ESCAPES = ((b"\\\\", b"\x01"), (b'\\"', b"\x02"), (b"\\n", b"\x03"), (b"\\r", b"\x04"), (b"\\t", b"\t"))
_STAND_FOR = ((b"\x01", "\\"), (b"\x02", '"'), (b"\x03", "\n"), (b"\x04", "\r"))
_PATTERNS = {TypeName.INTEGER: r"(?:-?[0-9]+|null)", TypeName.TEXT: r'(?:"(?:[^"\\\n]|\\.)*"|null)'}
_NEVER_PLAIN = '"\\,[]' + "".join(map(chr, range(0x20)))
_PATIENCE = 3
"""So many batches more that come apart than that are merged, and it is tried no longer."""


@dataclass(frozen=True, kw_only=True)
class IntegersSoFar(Reader):
    """Reads numbers as their digits. They were integers so far, which can be a part of the JSON text."""


def integers_so_far(name: str, *, hint: str) -> IntegersSoFar:
    return IntegersSoFar(**vars(digits_reader(name, ColumnType(TypeName.DECIMAL), hint=hint)))


def settled(reader: Reader) -> Reader:
    """The same for numbers that are no integers any more."""
    return Reader(**vars(reader)) if isinstance(reader, IntegersSoFar) else reader


def kind_together(reader: Reader) -> TypeName | None:
    """What a column is as a part of the JSON text; None where it cannot be one."""
    kind = TypeName.INTEGER if isinstance(reader, IntegersSoFar) else reader.column.type.name
    return kind if kind in _PATTERNS and (kind is TypeName.INTEGER or reader.convert is None) else None


def is_plain(text: str, special: str) -> bool:
    """Whether a text may be merged with others, as ports.TextMergingRows says."""
    return text != "" and text.strip(" ") == text and set(text).isdisjoint(_NEVER_PLAIN + special)


class Together:
    """Columns that come as one JSON text, and stay one text where they are merged."""

    def __init__(self, fields: Sequence[int], readers: Sequence[Reader], merge: Merge | None = None) -> None:
        self.fields = fields
        self.merge = merge
        self._readers = [readers[index] for index in fields]
        kinds = [kind for reader in self._readers if (kind := kind_together(reader)) is not None]
        line = rf"\[{','.join(map(_PATTERNS.__getitem__, kinds))}\]"
        self._pattern = rf"^{line}(?:\n{line})*$"
        special = "" if merge is None else merge.special
        self._plain, self._plain_or_null = (_plain_lines(kinds, special, null) for null in ("", "|null"))

    def columns(self, lines: bytes, rows: int, first_row: int) -> list[pa.Array] | None:
        """The columns; None where a line is not as it should be."""
        if lines.count(b"\n") != rows - 1 or not _matches(lines, self._pattern, pa.large_binary()):
            return None
        data = lines.replace(_ROW_END, b"\n")[1:-1]
        escaped = b"\\" in data
        if escaped:
            for escape, stand_in in _ESCAPES:
                data = data.replace(escape, stand_in)
        try:
            if b"\\" in data:
                values = zip(*map(orjson.loads, lines.split(b"\n")), strict=True)
                return [reader.array(column, first_row) for reader, column in zip(self._readers, values, strict=True)]
            return [_plain(array) if escaped else array for array in self._read_csv(data)]
        except (pa.ArrowInvalid, orjson.JSONDecodeError):
            return None

    def text(self, lines: bytes, rows: int, merge: Merge) -> pa.Array | None:
        """The columns as one text; None where a line is not as it should be, or a text in it not plain."""
        null = merge.null.encode()
        if lines.count(b"\n") != rows - 1 or not _is_utf8(lines) or (null and b'"%b"' % null in lines):
            return None
        # The first NULL ends the first look.
        if _matches(lines, self._plain):
            return _split(_separated(lines, merge.separator))
        if not _matches(lines, self._plain_or_null):
            return None
        stand_in = next(byte for byte in map(chr, range(1, 0x20)) if byte not in merge.separator).encode()
        # What is plain has neither a comma nor a bracket: this is no part of a text.
        data = lines.replace(b",null", b"," + stand_in).replace(b"[null", b"[" + stand_in)
        return _split(_separated(data, merge.separator).replace(stand_in, null))

    def _read_csv(self, data: bytes) -> Iterator[pa.Array]:
        # Imported when there are many rows: few need none.
        from pyarrow import csv

        names = list(map(str, range(len(self._readers))))
        table = csv.read_csv(
            pa.py_buffer(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            csv.ParseOptions(double_quote=False),
            csv.ConvertOptions(
                column_types={name: reader.arrow for name, reader in zip(names, self._readers, strict=True)},
                null_values=["null"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        for column in table.columns:
            yield column.combine_chunks()


class Making:
    """Makes batches of fetched columns: a JSON text for each of `groups`, then the values of each of `alone`."""

    def __init__(
        self,
        readers: Sequence[Reader],
        groups: Sequence[Together],
        alone: Sequence[int],
        wanted: Sequence[int | Merge] = (),
    ) -> None:
        self._readers = readers
        self._groups = groups
        self._alone = alone
        self._wanted = wanted
        self._hope = _PATIENCE

    def apart(self, fetched: Sequence[Any], rows: int, first_row: int) -> pa.RecordBatch | None:
        """The batch with all columns; None where something is not as it should be."""
        arrays = self._arrays(self._groups, fetched, rows, first_row)
        if arrays is None:
            return None
        columns = [
            arrays[index] if index in arrays else pa.nulls(rows, reader.arrow)
            for index, reader in enumerate(self._readers)
        ]
        return pa.RecordBatch.from_arrays(columns, [reader.column.name for reader in self._readers])

    def merged(self, fetched: Sequence[Any], rows: int, first_row: int) -> pa.RecordBatch | Apart | None:
        """The batch that is wanted, or apart; None where something is not as it should be."""
        batch = self._together(fetched, rows, first_row) if self._hope >= 0 else None
        if batch is not None:
            self._hope += 1
            return batch
        self._hope -= 1
        whole = self.apart(fetched, rows, first_row)
        return None if whole is None else Apart(batch=whole)

    def _together(self, fetched: Sequence[Any], rows: int, first_row: int) -> pa.RecordBatch | None:
        texts: dict[Merge, pa.Array] = {}
        for group, lines in zip(self._groups, fetched, strict=False):
            if group.merge is not None:
                text = group.text(lines, rows, group.merge)
                if text is None:
                    return None
                texts[group.merge] = text
        arrays = self._arrays([group for group in self._groups if group.merge is None], fetched, rows, first_row)
        if arrays is None:
            return None
        columns = [texts[part] if isinstance(part, Merge) else arrays[part] for part in self._wanted]
        return pa.RecordBatch.from_arrays(columns, list(map(str, range(len(columns)))))

    def _arrays(
        self, groups: Sequence[Together], fetched: Sequence[Any], rows: int, first_row: int
    ) -> Mapping[int, pa.Array] | None:
        """The columns of `groups` and those that come alone."""
        arrays: dict[int, pa.Array] = {}
        for group, lines in zip(self._groups, fetched, strict=False):
            if group in groups:
                found = group.columns(lines, rows, first_row)
                if found is None:
                    return None
                arrays.update(zip(group.fields, found, strict=True))
        for index, column in zip(self._alone, fetched[len(self._groups) :], strict=True):
            arrays[index] = array_of(self._readers[index], column, first_row)
        return arrays


def array_of(reader: Reader, column: Any, first_row: int) -> pa.Array:
    """A column of a packet: values, or the lines of one text. Raises UnwritableValue."""
    if not isinstance(column, bytes):
        return reader.array(column, first_row)
    return _split(column).cast(reader.arrow)


def _plain(array: pa.Array) -> pa.Array:
    """A column whose texts have again what the stand-ins stood for."""
    if not pa.types.is_string(array.type):
        return array
    data = bytes(array.buffers()[2] or b"")
    for stand_in, text in _STAND_FOR:
        if stand_in in data:
            array = pc.replace_substring(array, pattern=stand_in.decode(), replacement=text)
    return array


# --- merged texts --------------------------------------------------------------------------------


def _plain_lines(kinds: Sequence[TypeName], special: str, null: str) -> str:
    """The pattern of lines whose texts are plain; `null` is what else a value may be."""
    never = "".join(f"\\x{ord(character):02x}" for character in sorted({*_NEVER_PLAIN, *special}))
    values = {TypeName.INTEGER: "-?[0-9]+", TypeName.TEXT: f'"[^{never} ](?:[^{never}]*[^{never} ])?"'}
    line = rf"\[{','.join(f'(?:{values[kind]}{null})' for kind in kinds)}\]"
    return rf"^{line}(?:\n{line})*$"


def _matches(data: bytes, pattern: str, of: pa.DataType | None = None) -> bool:
    return bool(pc.match_substring_regex(_one(data, of), pattern)[0].as_py())


def _one(data: bytes, of: pa.DataType | None = None) -> pa.Array:
    """An array of one text, without a copy."""
    ends = pa.array([0, len(data)], pa.int64()).buffers()[1]
    return pa.Array.from_buffers(of or pa.large_string(), 1, [None, ends, pa.py_buffer(data)])


def _is_utf8(data: bytes) -> bool:
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False


def _separated(data: bytes, separator: str) -> bytes:
    """Lines of JSON without brackets and quotes, and with the separator for the comma."""
    wanted = separator.encode()
    if len(wanted) == 1:
        return data.translate(bytes.maketrans(b",", wanted), b'"[]')
    return data.translate(None, b'"[]').replace(b",", wanted)


def _split(data: bytes) -> pa.Array:
    """A text for each line."""
    return pc.split_pattern(_one(data), "\n").flatten()
