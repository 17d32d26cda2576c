"""What a test needs from the machine: skipped at a desk, a failure where skips are forbidden."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Say that `what` is not on this machine: skip, or fail where BATCHXFER_NO_SKIPS is set."""
    if os.environ.get("BATCHXFER_NO_SKIPS"):
        pytest.fail(f"{what} is missing, and skips are forbidden here")
    pytest.skip(f"{what} is missing")
