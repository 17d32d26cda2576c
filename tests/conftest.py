"""Fixtures that several kinds of tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchxfer import redaction

pytest_plugins = ["tests.databases", "tests.ledgers"]


@pytest.fixture(autouse=True)
def _no_secrets_yet() -> Iterator[None]:
    """Each test begins as a process does: the passwords of other tests are common words in this one's messages."""
    yield
    redaction.forget()
