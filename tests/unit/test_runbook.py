"""What the runbook and the answers tell people to type exists, and the links of all pages lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from batchxfer.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
TO_TYPE = [DOCS / "runbook.md", DOCS / "howto.md"]
PAGES = sorted([*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")])


def commands() -> Any:
    return typer.main.get_command(app()).commands  # type: ignore[attr-defined]


def typed(page: Path) -> Iterator[list[str]]:
    """The words of each command on the page, in its consoles and in its sentences."""
    text = page.read_text("utf-8")
    for line in re.findall(r"^\$ batchxfer (.+?)(?: #.*)?$", text, re.MULTILINE):
        for one in line.split(" && batchxfer "):
            yield shlex.split(one)
    for line in re.findall(r"`batchxfer ([^`]+)`", text):
        yield shlex.split(line.replace("…", "TEXT"))


@pytest.mark.parametrize("page", TO_TYPE, ids=lambda page: page.name)
def test_each_command_of_the_page_can_be_typed(page: Path) -> None:
    found = list(typed(page))
    assert len(found) > 20
    for words in found:
        command = commands()[words[0]]
        # Raises where an option, or an argument too many, is not known.
        command.make_context(words[0], words[1:], resilient_parsing=False).close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        other = page if not name else page.parent / name
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
