"""What the runbook tells people to type exists, and its links lead somewhere."""

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
RUNBOOK = DOCS / "runbook.md"
PAGES = [RUNBOOK, DOCS / "commands.md", DOCS / "ledger.md"]


def commands() -> Any:
    return typer.main.get_command(app()).commands  # type: ignore[attr-defined]


def typed() -> Iterator[list[str]]:
    """The words of each command on the page, in its consoles and in its sentences."""
    text = RUNBOOK.read_text("utf-8")
    for line in re.findall(r"^\$ batchxfer (.+?)(?: #.*)?$", text, re.MULTILINE):
        yield shlex.split(line)
    for line in re.findall(r"`batchxfer ([^`]+)`", text):
        yield shlex.split(line.replace("…", "TEXT"))


def test_each_command_of_the_runbook_can_be_typed() -> None:
    found = list(typed())
    assert len(found) > 30
    for words in found:
        command = commands()[words[0]]
        # Raises where an option, or an argument too many, is not known.
        command.make_context(words[0], words[1:], resilient_parsing=False).close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        name, _, anchor = target.partition("#")
        other = page if not name else page.parent / name
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
