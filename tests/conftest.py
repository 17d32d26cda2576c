"""Fixtures that several kinds of tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from batchxfer import redaction
from tests.soak import SOAKING

pytest_plugins = ["tests.databases", "tests.ledgers"]

if not SOAKING:
    # The same cases each time, whatever runs beside: a change is judged by itself. `make soak` looks for new ones.
    settings.register_profile("suite", derandomize=True, database=None)
    settings.load_profile("suite")
    # Hypothesis also takes constants out of the modules that happen to be imported by then.
    nothing = type(providers._local_constants)()
    providers._get_local_constants = lambda: nothing


@pytest.fixture(autouse=True)
def _no_secrets_yet() -> Iterator[None]:
    """Each test begins as a process does: the passwords of other tests are common words in this one's messages."""
    yield
    redaction.forget()
