"""JSON's strings, for whole columns: exactly as `json.dumps` writes them."""

from __future__ import annotations

import re
from json.encoder import encode_basestring, encode_basestring_ascii

import pyarrow as pa
import pyarrow.compute as pc

from batchxfer.codec._columns import Block, join
from batchxfer.values import TEXT

_ESCAPED = r'[\x00-\x1f"\\]'
_ESCAPED_ASCII = r'["\\]|[^\x20-\x7e]'
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def string(text: str, *, ascii_only: bool = False) -> str:
    """One JSON string, with its quotes; `ascii_only` as `ensure_ascii`."""
    return encode_basestring_ascii(text) if ascii_only else encode_basestring(text)


def needs_escapes(block: Block, *, ascii_only: bool) -> bool:
    """Whether any of the block's texts may have to be escaped."""
    return block.has_control or block.has_any('"\\') or (ascii_only and not block.is_printable_ascii)


def strings(text: pa.Array, block: Block, *, ascii_only: bool = False) -> pa.Array:
    """Each text as a JSON string, with its quotes."""
    quoted = join('"', text, '"')
    if not needs_escapes(block, ascii_only=ascii_only):
        return quoted
    mask = pc.match_substring_regex(text, _ESCAPED_ASCII if ascii_only else _ESCAPED)
    escaped = [string(value, ascii_only=ascii_only) for value in text.filter(mask).to_pylist()]
    return pc.replace_with_mask(quoted, pc.fill_null(mask, False), pa.array(escaped, TEXT))


def ascii_documents(text: pa.Array, block: Block) -> pa.Array:
    """JSON documents with escapes for what is not ASCII; it can only stand in their strings."""
    if block.is_ascii:
        return text
    return pa.array([value if value is None else _NOT_ASCII.sub(_escape, value) for value in text.to_pylist()], TEXT)


def _escape(match: re.Match[str]) -> str:
    return encode_basestring_ascii(match[0])[1:-1]
