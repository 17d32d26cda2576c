"""How rows become fields of fixed width."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer import values
from batchxfer.charset import Charset, Unencodable
from batchxfer.codec._columns import Block, join
from batchxfer.codec._options import LINE_ENDINGS
from batchxfer.codec.fixed_width import NUMBERS, PAD_HINT, Options, pad_fault
from batchxfer.definitions import FormatColumn
from batchxfer.errors import UnwritableValue
from batchxfer.model import Column, TypeName
from batchxfer.values import TEXT

_ASCII = "".join(map(chr, range(32, 127)))


class Codec:
    """Rows as fields of fixed width."""

    def __init__(self, options: Options, columns: tuple[Column, ...]) -> None:
        if len(options.columns) != len(columns):
            raise UnwritableValue("a fixed-width format needs [[columns]] with a width each")
        charset = Charset(options.encoding, replace=options.unencodable == "replace") if _by_bytes(options) else None
        self._fields = [
            _Field(options, layout, column, charset) for layout, column in zip(options.columns, columns, strict=True)
        ]
        self._end = LINE_ENDINGS[options.line_ending]

    def header(self) -> str | None:
        return None

    def encode(self, batch: pa.RecordBatch, first_row: int) -> pa.Array:
        texts = [field.write(array, first_row) for field, array in zip(self._fields, batch.columns, strict=True)]
        return join(*texts, self._end)


def _by_bytes(options: Options) -> bool:
    return options.width_unit == "bytes"


class _Field:
    """One column of the records. `charset` counts its width; None: characters do."""

    def __init__(self, options: Options, layout: FormatColumn, column: Column, charset: Charset | None) -> None:
        if layout.width is None:
            raise UnwritableValue(f"column {layout.name!r} has no width, and a fixed-width format needs one")
        if why := pad_fault(column.type, layout.align == "right", layout.pad):
            raise UnwritableValue(f"column {layout.name!r}: {why}", hint=PAD_HINT)
        self._options = options
        self._layout = layout
        self._width = layout.width
        self._column = column
        self._charset = charset
        self._is_number = column.type.name in NUMBERS
        self._ascii_width = self._width if charset is None else _width_in_ascii(charset, self._width)
        if Charset(options.encoding, replace=False).lacking(layout.pad):
            raise UnwritableValue(f"column {layout.name!r}: the encoding {options.encoding} has no pad {layout.pad!r}")
        self._unit = "characters" if charset is None else "bytes"

    def write(self, array: pa.Array, first_row: int) -> pa.Array:
        text = values.as_text(array, self._column, self._options, first_row)
        if self._column.type.name in (TypeName.DECIMAL, TypeName.FLOAT):
            text = values.with_decimal_point(text, self._options.decimal_point)
        text = pc.fill_null(text, "")
        block = Block(text)
        if block.has_any("\r\n"):
            self._refuse(pc.match_substring_regex(text, "[\r\n]"), text, first_row, "it has a line break in it")
        pad_is_plain = self._layout.pad.isascii()
        if self._charset is not None and not (block.is_ascii and pad_is_plain and self._ascii_width is not None):
            return self._fit_bytes(text, first_row, self._charset)
        return self._fit(text, block, self._ascii_width or self._width, first_row)

    # --- where a character is one unit -----------------------------------------------------------

    def _fit(self, text: pa.Array, block: Block, width: int, first_row: int) -> pa.Array:
        lengths = pc.binary_length(text) if block.is_ascii else pc.utf8_length(text)
        if (pc.max(lengths).as_py() or 0) > width:
            too_wide = pc.greater(lengths, width)
            if not self._may_cut:
                index = values.first_true(too_wide) or 0
                raise self._too_wide(text, index, lengths[index].as_py() * (self._width // width), first_row)
            text = pc.utf8_slice_codeunits(text, 0, width)
        return self._pad(text, width)

    def _pad(self, text: pa.Array, width: int) -> pa.Array:
        pad = self._layout.pad
        if self._layout.align == "left":
            return pc.utf8_rpad(text, width, pad)
        padded = pc.utf8_lpad(text, width, pad)
        if not self._sign_first:
            return padded
        negative = pc.starts_with(text, "-")
        if not pc.any(negative).as_py():
            return padded
        behind_sign = pc.utf8_lpad(pc.utf8_slice_codeunits(text, 1), width - 1, pad)
        return pc.if_else(negative, join("-", behind_sign), padded)

    @property
    def _sign_first(self) -> bool:
        """Zeros go between a number's sign and its digits."""
        return self._is_number and self._layout.pad == "0"

    @property
    def _may_cut(self) -> bool:
        """A number is never cut: it would be another number."""
        return self._layout.overflow == "cut" and not self._is_number

    # --- where it is not -------------------------------------------------------------------------

    def _fit_bytes(self, text: pa.Array, first_row: int, charset: Charset) -> pa.Array:
        fitted = [self._fit_one(text, index, value, first_row, charset) for index, value in enumerate(text.to_pylist())]
        return pa.array(fitted, TEXT)

    def _fit_one(self, text: pa.Array, index: int, value: str, first_row: int, charset: Charset) -> str:
        try:
            clean = charset.clean(value)
        except Unencodable as error:
            why = f"the encoding {charset.name} has no {error}"
            raise values.unwritable(first_row + index, self._column.name, value, why) from None
        size = charset.size(clean)
        if size > self._width:
            if not self._may_cut:
                raise self._too_wide(text, index, size, first_row)
            while size > self._width:
                clean = clean[:-1]
                size = charset.size(clean)
        return self._filled(clean, size, index, first_row, charset)

    def _filled(self, text: str, size: int, index: int, first_row: int, charset: Charset) -> str:
        times, rest = divmod(self._width - size, charset.size(self._layout.pad))
        if rest:
            why = f"{self._width - size} bytes cannot be filled with {self._layout.pad!r}"
            raise values.unwritable(first_row + index, self._column.name, text, why, hint="choose a pad of one byte")
        padding = self._layout.pad * times
        if self._layout.align == "left":
            return text + padding
        if self._sign_first and text.startswith("-"):
            return "-" + padding + text[1:]
        return padding + text

    # --- errors ----------------------------------------------------------------------------------

    def _too_wide(self, text: pa.Array, index: int, size: int, first_row: int) -> UnwritableValue:
        why = f"it takes {size} {self._unit}, and the column has {self._width}"
        hint = 'make the column wider, or set overflow = "cut"' if not self._is_number else "make the column wider"
        return values.unwritable(first_row + index, self._column.name, text[index].as_py(), why, hint=hint)

    def _refuse(self, mask: pa.Array, text: pa.Array, first_row: int, why: str) -> None:
        index = values.first_true(mask)
        if index is not None:
            hint = "replace line breaks in the query"
            raise values.unwritable(first_row + index, self._column.name, text[index].as_py(), why, hint=hint)


def _width_in_ascii(charset: Charset, width: int) -> int | None:
    """How many ASCII characters fill `width` bytes; None where they are not all of one size, or do not fill it."""
    unit = charset.size("A")
    if charset.lacking(_ASCII) or charset.size(_ASCII) != unit * len(_ASCII) or width % unit:
        return None
    return width // unit
