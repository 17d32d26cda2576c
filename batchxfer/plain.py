"""Whether a column of text holds only plain values, found by a look at all of its bytes at once.

To match each value by itself against a pattern takes ten times as long. "Yes" is certain, together with the cast that follows
where that is said; "no" means that each value is worth a look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.model import ColumnType, TypeName

_DIGITS = b"0123456789"
_DAY, _SECOND = len("2026-11-23"), len("2026-11-23 01:02:03")


@dataclass(frozen=True)
class _Look:
    """The bytes that may be in the values, and how many a value has at least and at most."""

    letters: bytes
    least: int
    most: int


_LOOKS: Mapping[TypeName, _Look] = {
    TypeName.INTEGER: _Look(_DIGITS + b"-", 1, 18),
    TypeName.FLOAT: _Look(_DIGITS + b"-.", 1, 40),
    TypeName.DATE: _Look(_DIGITS + b"-", _DAY, _DAY),
    TypeName.TIMESTAMP: _Look(_DIGITS + b"-T :", _SECOND, _SECOND),
}


def may_be_plain(text: pa.Array, name: TypeName) -> bool:
    """Whether Arrow's cast reads the values as they are meant, or refuses them: it knows one meaning of such texts."""
    look = _LOOKS.get(name)
    return look is not None and _have_length(text, look.least, look.most) and not _others(text, look.letters)


def are_plain_decimals(text: pa.Array, kind: ColumnType) -> bool:
    """Whether each is digits, and has either no point or one before all decimals that the type has."""
    if kind.precision is None:
        return _have_length(text, 1, 300) and not _others(text, _DIGITS)
    scale = kind.scale or 0
    whole = min(max(kind.precision - scale, 1), 300)
    if scale == 0:
        return _have_length(text, 1, whole) and not _others(text, _DIGITS)
    return _have_length(text, scale + 2, whole + 1 + scale) and _have_one_point(text, scale)


def _have_one_point(text: pa.Array, decimals: int) -> bool:
    # As many other bytes as values: none has one beside its point.
    if len(_others(text, _DIGITS)) != len(text) - text.null_count:
        return False
    points = pc.binary_slice(text.cast(pa.binary()), -decimals - 1, -decimals)
    return pc.all(pc.equal(points, b".")).as_py() is not False


def _have_length(text: pa.Array, least: int, most: int) -> bool:
    bounds = pc.min_max(pc.binary_length(text))
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    return low is None or bool(least <= low and high <= most)


def _others(text: pa.Array, letters: bytes) -> bytes:
    """All bytes of the values but those."""
    _, offsets, data = text.buffers()
    if len(text) == 0 or data is None:
        return b""
    ends = memoryview(offsets).cast("i" if pa.types.is_string(text.type) else "q")
    return bytes(memoryview(data)[ends[text.offset] : ends[text.offset + len(text)]]).translate(None, letters)
