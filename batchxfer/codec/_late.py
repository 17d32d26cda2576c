"""The halves of a codec that need Arrow, found when they are asked for: who only looks at formats does not wait for it."""

from __future__ import annotations

import importlib
from typing import Any

_HALVES = {"Codec": "_write", "Decoder": "_read"}


def late(module: str, name: str) -> Any:
    """The `Codec` of `batchxfer.codec.KIND`, which is in `_write_KIND` beside it, or its `Decoder`, in `_read_KIND`.

    Raises AttributeError for any other name, as a module's `__getattr__` must."""
    folder, _, kind = module.rpartition(".")
    if name not in _HALVES:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{folder}.{_HALVES[name]}_{kind}"), name)
