"""Whole columns of text at once: looking for a few special characters, putting columns together.

One look over a column's block of bytes costs a twentieth of a pattern match on each value, and most columns have nothing
special in them: only those that do take the slow way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, reduce

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.values import TEXT, text_bytes


class Block:
    """The bytes of all values of a `large_string` column, one after the other.

    A hit may lie across the end of one value and the start of the next, or under a NULL: "no" is certain, "yes" means that
    the values are worth a look.
    """

    def __init__(self, text: pa.Array) -> None:
        self._data = text_bytes(text)

    @cached_property
    def _bytes(self) -> bytes:
        return self._data.tobytes()

    @cached_property
    def has_control(self) -> bool:
        """Whether any byte is below 0x20."""
        if not self._data:
            return False
        numbers = pa.Array.from_buffers(pa.uint8(), len(self._data), [None, pa.py_buffer(self._data)])
        return bool(pc.less(pc.min(numbers), 0x20).as_py())

    @cached_property
    def is_ascii(self) -> bool:
        return self._bytes.isascii()

    @property
    def is_printable_ascii(self) -> bool:
        """Whether no byte is a control character (DEL too) or beyond ASCII."""
        return self.is_ascii and not self.has_control and not self.has("\x7f")

    def has(self, text: str) -> bool:
        return text.encode() in self._bytes

    def has_any(self, characters: str) -> bool:
        return any(map(self.has, characters))


def join(*parts: pa.Array | str, separator: str = "", null: str | None = None) -> pa.Array:
    """The texts of each row in one; a NULL is written as `null`, or makes the row NULL."""
    texts = [pa.scalar(part, TEXT) if isinstance(part, str) else part for part in parts]
    handling = (
        {"null_handling": "emit_null"} if null is None else {"null_handling": "replace", "null_replacement": null}
    )
    return pc.binary_join_element_wise(*texts, pa.scalar(separator, TEXT), **handling)


def join_present(fields: Iterable[tuple[str, pa.Array, str]], separator: str) -> pa.Array:
    """The fields of each row that are not NULL, each with the text before and the text after it, and separated."""
    parts: list[pa.Array | str] = []
    begun: pa.Array | bool = False
    for before, text, after in fields:
        if isinstance(begun, bool):
            lead: pa.Array | str = separator * begun + before
        else:
            lead = pc.if_else(begun, pa.scalar(separator + before, TEXT), pa.scalar(before, TEXT))
        if text.null_count == 0:
            parts += [lead, text, after] if after else [lead, text]
            begun = True
        else:
            parts.append(join(lead, text, after) if after else join(lead, text))
            begun = begun if begun is True else pc.or_(pc.is_valid(text), begun)
    return join(*parts, null="")


def any_of(masks: Iterable[pa.Array]) -> pa.Array | None:
    """Where any of the masks is true; None where that is nowhere."""
    found = [mask for mask in masks if pc.any(mask).as_py()]
    return reduce(pc.or_, found) if found else None


def is_empty(text: pa.Array) -> pa.Array:
    """Where the text is empty (and not NULL)."""
    return pc.equal(pc.binary_length(text), 0)
