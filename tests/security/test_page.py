"""The pages on security and reliability name tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["security", "reliability"])
def test_each_test_that_the_page_names_is_there(name: str) -> None:
    page = (ROOT / f"docs/{name}.md").read_text()
    sources = list((ROOT / "tests").rglob("test_*.py"))
    functions = set(re.findall(r"(?m)^ *def (test_\w+)", "\n".join(path.read_text() for path in sources)))
    named = set(re.findall(r"`(test_\w+)`", page))
    files = set(re.findall(r"`(test_\w+\.py)`", page))
    assert len(named) > 20
    assert named - functions == set()
    assert files - {path.name for path in sources} == set()
