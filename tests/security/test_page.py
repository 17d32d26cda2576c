"""docs/security.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs/security.md").read_text()
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    functions = set(re.findall(r"(?m)^ *def (test_\w+)", "\n".join(sources.values())))
    named = set(re.findall(r"`(test_\w+)`", page))
    files = set(re.findall(r"`(test_\w+\.py)`", page))
    assert len(named) > 20
    assert named - functions == set()
    assert files - sources.keys() == set()
