"""A project whose partner leaves files in a folder, and a clock that need not be waited for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchxfer.cli import clock as clock_module
from batchxfer.cli.clock import SystemClock
from tests.e2e.command import Project, make_project

RATES = """
direction = "pull"
[schedule]
every = "1h"
[file]
endpoint = "out"
path = "{path}"
{more}
"""


class HastyClock(SystemClock):
    """The real time, and what was slept or skipped on top of it."""

    skipped = timedelta()

    def now(self) -> datetime:
        return super().now() + self.skipped

    def sleep(self, seconds: float) -> None:
        self.later(seconds)

    @classmethod
    def later(cls, seconds: float) -> None:
        cls.skipped += timedelta(seconds=seconds)


@dataclass
class Desk(Project):
    """A project whose partner leaves files in `out/`; what is fetched is in `var/in/rates/`."""

    clock: type[HastyClock] = HastyClock

    def pulls(self, more: str = "", path: str = "box/*.csv") -> None:
        self.job("rates", RATES.replace("{path}", path, 1).replace("{more}", more))

    def put(self, name: str, content: str = "1\n", *, at: int | None = None) -> Path:
        path = self.folder / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
        if at is not None:
            os.utime(path, (at, at))
        return path

    def fetched(self) -> dict[str, str]:
        found = sorted((self.folder / "var/in/rates").rglob("*"))
        return {path.name: path.read_text("utf-8") for path in found}

    def left(self) -> list[str]:
        out = self.folder / "out"
        return sorted(str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir() or path.is_symlink())

    def pull(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run the latest slot; or, so that time need not pass, an earlier one."""
        said = self("run", "rates", *words, "--json")
        assert said.code == code, said
        return dict(said.run)

    def states(self, run: dict[str, Any]) -> dict[str, str]:
        return {file["path"]: file["status"] for file in run["files"]}


@pytest.fixture(name="desk")
def desk_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    make_project(tmp_path)
    clock = type("Clock", (HastyClock,), {})
    # Ten past: a slot every hour, and no test that is halfway when the next one comes.
    now = datetime.now(UTC)
    clock.later(((10 - now.minute) % 60) * 60)
    monkeypatch.setattr(clock_module, "SystemClock", clock)
    desk = Desk(tmp_path, clock=clock)
    desk.pulls()
    return desk
