"""What programs go by (kinds of errors, actions of the log, kinds of events) is on the pages that promise it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import batchxfer
from batchxfer.errors import BatchxferError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "batchxfer").rglob("*.py")))


def errors(kind: type[BatchxferError] = BatchxferError) -> Iterator[type[BatchxferError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from errors(below)


def test_each_kind_of_error_is_told_with_its_exit_status() -> None:
    for module in pkgutil.walk_packages(batchxfer.__path__, "batchxfer."):
        if "__main__" not in module.name and ".migrations" not in module.name:
            importlib.import_module(module.name)
    table = (DOCS / "commands.md").read_text("utf-8").partition("| exit status | kinds |")[2].partition("\n\n")[0]
    told = {
        (kind, int(code)) for code, kinds in re.findall(r"^\| (\d) \| (.*) \|$", table, re.M) for kind in words(kinds)
    }
    assert told == {
        (error.kind, int(error.exit_code)) for error in errors() if error.__module__.startswith("batchxfer")
    }


def test_each_action_of_the_log_is_told() -> None:
    found = set(re.findall(r'"action": "([a-z-]+)"', SOURCE))
    assert len(found) > 15
    assert found - words((DOCS / "serving.md").read_text("utf-8")) == set()


def test_each_kind_of_event_is_told() -> None:
    found = set(re.findall(r'_tell\(tx, [^,]+, "([a-z-]+)"', SOURCE))
    assert len(found) > 10
    assert found - words((DOCS / "ledger.md").read_text("utf-8")) == set()


def words(text: str) -> set[str]:
    return set(re.findall(r"`([a-z-]+)`", text))
