"""What the demo does when a command surprises it, and the shop that it makes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchxfer.demo.shell import DemoError, Shell, inside
from batchxfer.demo.shop import create_shop
from batchxfer.demo.stage import EXAMPLE_PIN, EXAMPLE_PORT, PARTNERS, example
from batchxfer.errors import ExitCode

NOW = datetime(2026, 3, 2, 12, 34, tzinfo=UTC)


def ends_with(status: int) -> Shell:
    def command(words: Sequence[str]) -> int:
        print("{}")
        return status

    return Shell(command=command, quiet=False)


def test_a_command_that_ends_otherwise_than_told_ends_the_demo() -> None:
    with pytest.raises(DemoError, match="`batchxfer run x` ended with 4, and the demo expected 3"):
        ends_with(4).run("run", "x", expect=ExitCode.RETRYING)


def test_ctrl_c_in_a_command_ends_the_demo() -> None:
    with pytest.raises(KeyboardInterrupt):
        ends_with(130).run("check")


def test_what_was_typed_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    shell = ends_with(3)
    shell.run("run", "x", expect=ExitCode.RETRYING)
    assert shell.typed == [{"command": ["batchxfer", "run", "x"], "exit_code": 3}]
    assert capsys.readouterr().out == "{}\n"
    assert shell.ask("runs") == {}
    assert capsys.readouterr().out == ""


def test_another_configuration_that_is_named_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHXFER_CONFIG", "mine.toml")
    before = Path.cwd()
    with inside(tmp_path):
        assert (Path.cwd(), "BATCHXFER_CONFIG" in os.environ) == (tmp_path, False)
    assert (Path.cwd(), os.environ["BATCHXFER_CONFIG"]) == (before, "mine.toml")


def test_the_shop_s_rows_follow_from_the_hour_alone(tmp_path: Path) -> None:
    dumps = []
    for name, minute in (("a", 1), ("b", 59)):
        create_shop(tmp_path / name, NOW.replace(minute=minute))
        connection = sqlite3.connect(tmp_path / name)
        dumps.append(list(connection.iterdump()))
        connection.close()
    assert dumps[0] == dumps[1]
    assert any("'2026-03-02 11:45:00'" in line for line in dumps[0])


def test_the_example_says_what_the_demo_replaces() -> None:
    """Once for each partner's account: the port, and the pin."""
    text = (example() / "config.example.toml").read_text("utf-8")
    assert text.count(EXAMPLE_PORT) == text.count(EXAMPLE_PIN) == len(PARTNERS)
