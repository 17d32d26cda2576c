"""What is going on in a run, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchxfer.model import Run


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What is going on, for a progress bar: `stage` is building, sending, fetching or loading; `bytes` so far, `total` where
    it is known."""

    stage: str
    run: Run
    bytes: int
    rows: int | None = None
    total: int | None = None
    endpoint: str | None = None
    path: str | None = None


Listener = Callable[[Activity], None]
