"""JSON that gives back exactly what went in: decimals, dates and times keep their type.

A value that JSON has no type for is an object with one key that begins with `$`: `{"$decimal": "12.50"}`. An auditor reads
it as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import orjson

_WIDEST = 2**63


def dumps(value: object) -> str:
    """`value` as JSON text. Raises TypeError for a type that has no form here."""
    return orjson.dumps(_encode(value)).decode()


def loads(text: str) -> Any:
    """What `dumps` was given. Raises ValueError for a text that `dumps` does not write."""
    try:
        return _decode(orjson.loads(text))
    except (TypeError, AttributeError, ArithmeticError, RecursionError) as exc:
        raise ValueError(f"not the ledger's JSON: {exc}") from exc


def storable(text: str) -> str:
    """`text` without what a database's text cannot hold: lone surrogates and NUL become escapes."""
    return _without_surrogates(text).replace("\0", "\\x00")


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _encode(value: object) -> object:
    if isinstance(value, str):
        return _without_surrogates(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_WIDEST <= value < _WIDEST else {"$integer": str(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Mapping):
        return _encode_mapping(value)
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return _encode_tagged(value)


def _encode_mapping(value: Mapping[Any, Any]) -> object:
    encoded = {_without_surrogates(str(key)): _encode(item) for key, item in value.items()}
    looks_tagged = len(encoded) == 1 and next(iter(encoded)).startswith("$")
    return {"$object": encoded} if looks_tagged else encoded


def _encode_tagged(value: object) -> object:
    # datetime before date: it is one.
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, time):
        return {"$time": value.isoformat()}
    if isinstance(value, timedelta):
        return {"$microseconds": _encode(value // timedelta(microseconds=1))}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    raise TypeError(f"the ledger has no form for a value of type {type(value).__name__}")


_DECODERS: Mapping[str, Callable[[Any], object]] = {
    "$integer": int,
    "$float": float,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$microseconds": lambda number: timedelta(microseconds=_decode(number)),  # type: ignore[arg-type]
    "$decimal": Decimal,
    "$object": lambda fields: {key: _decode(item) for key, item in fields.items()},
}


def _decode(value: object) -> object:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        key, inner = next(iter(value.items()))
        if key in _DECODERS:
            return _DECODERS[key](inner)
    return {key: _decode(item) for key, item in value.items()}
