"""Projects whose command is struck: one slot after another of one job, and what must be true of each, struck or finished."""

from __future__ import annotations

import hashlib
import sqlite3
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.e2e.command import Project, Said, make_project
from tests.ledgers import execute

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 3000
SHOP = """
[databases.shop]
url = "sqlite:///shop.db"
[endpoints.partner]
"""
LOCAL = 'protocol = "local"\nroot = "out"\n'
PUSH = f"""
[schedule]
cron = "0 * * * *"
[source]
database = "shop"
query = "with recursive c(i) as (select 1 union all select i + 1 from c where i < {ROWS}) select :slot as slot, i from c"
[file]
format = "psv"
endpoint = "partner"
path = "{{slot_utc:%Y%m}}/orders-{{slot_utc:%d%H}}.psv"
"""
SIDECARS = 'checksum_file = "{path}.sha256"\ndone_file = "{path}.done"\n'
RETRIES = '[retry]\nafter = ["1s", "1s", "1s"]\n'
PULL = """
direction = "pull"
[schedule]
cron = "0 * * * *"
[file]
endpoint = "partner"
path = "{slot_utc:%Y%m%d%H}/*.csv"
into = "var/in/hourly/{slot_utc:%Y%m%d%H}/{name}"
done_file = "{path}.done"
expect = "some"
"""
MOVE = 'then = "move"\nmove_to = "archive/{slot_utc:%Y%m%d%H}/{name}"\n'
TAKEN = {"a.csv": b"1\n" * 40_000, "b.csv": b"", "c.csv": b"3\n"}
Files = dict[str, bytes]


@dataclass
class Agreement(ABC):
    """A job with its partner; slot number n is the nth hour of 2026."""

    project: Project
    job: str
    ledger_url: str | None = None
    partner: Path = field(init=False)

    def __post_init__(self) -> None:
        self.partner = self.project.folder / "out"
        self.project.job("hourly", self.job + RETRIES)

    def slot(self, number: int) -> datetime:
        return FIRST + timedelta(hours=number)

    def words(self, number: int, *more: str) -> tuple[str, ...]:
        return ("run", "hourly", "--slot", self.slot(number).isoformat(), *more)

    def command(self, number: int) -> list[str]:
        """The same, said in whatever folder."""
        return [*self.words(number), "--config", str(self.project.folder / "config.toml")]

    def finish(self, number: int) -> Said:
        """The next command, after the last one is gone with its claims."""
        if number:
            self.let_time_pass()
        return self.project(*self.words(number, "--wait", "--json"))

    def let_time_pass(self) -> None:
        """Leases run out (on SQLite the lock of a process that is gone is free at once), and what waits is due."""
        tables = [("runs", "lease_until"), ("runs", "retry_at"), ("deliveries", "retry_at")]
        past = "2026-01-01T00:00:00.000000+00:00"
        statements = [f"UPDATE {table} SET {column} = '{past}' WHERE {column} > '{past}'" for table, column in tables]
        if self.ledger_url is not None:
            execute(self.ledger_url, *statements)
            return
        with sqlite3.connect(self.project.folder / "var/ledger.db") as ledger:
            ledger.executescript(";".join(statements[1:]))
        ledger.close()

    def run(self, number: int) -> dict[str, Any]:
        """What the ledger says of the slot's one run."""
        runs = self.project("runs", "--json", "--limit", "100000").document["runs"]
        (run,) = (run for run in runs if datetime.fromisoformat(run["slot"]) == self.slot(number))
        return dict(run)

    def assert_delivered_once(self, number: int, said: Said) -> None:
        """The slot is finished: exit code, ledger and partner agree."""
        assert said.code == 0, said
        run = said.run
        assert run["status"] == "delivered"
        assert None not in [attempt["outcome"] for attempt in run["attempts"]]
        self.assert_finished(number, run)

    @abstractmethod
    def prepare(self, number: int) -> None:
        """What the world is like before the slot is run."""

    @abstractmethod
    def assert_nothing_in_part(self, number: int) -> None:
        """Whatever has its final name is whole."""

    @abstractmethod
    def assert_finished(self, number: int, run: dict[str, Any]) -> None: ...


class Push(Agreement):
    """A file and, where the job has them, its checksum and done files; `before` is what is there already under its name."""

    before: bytes | None = None

    def prepare(self, number: int) -> None:
        self._seen: dict[str, int] = {}
        if self.before is not None:
            path = self.partner / self.names(number)[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.before)

    def names(self, number: int) -> list[str]:
        data = f"{self.slot(number):%Y%m/orders-%d%H}.psv"
        return [data, f"{data}.sha256", f"{data}.done"] if "done_file" in self.job else [data]

    def expected(self, number: int) -> Files:
        names, slot = self.names(number), f"{self.slot(number):%Y-%m-%d %H:%M:%S}"
        rows = ("slot|i\n" + "".join(f"{slot}|{i}\n" for i in range(1, ROWS + 1))).encode()
        line = f"{hashlib.sha256(rows).hexdigest()}  {names[0].rpartition('/')[2]}\n".encode()
        return dict(zip(names, (rows, line, b""), strict=False))

    def seen(self, number: int) -> Files:
        """Everything of the slot that the partner has, under whatever name."""
        stem = f"orders-{self.slot(number):%d%H}.psv"
        folder = self.partner / f"{self.slot(number):%Y%m}"
        found = (path for path in folder.glob("*") if stem in path.name) if folder.exists() else ()
        return {str(path.relative_to(self.partner)): path.read_bytes() for path in found}

    def assert_nothing_in_part(self, number: int) -> None:
        seen = {name: content for name, content in self.seen(number).items() if not _is_hidden(name)}
        expected = self.expected(number)
        names = [name for name in expected if name in seen]
        assert names == list(expected)[: len(names)], "the files come in their order"
        for name, content in seen.items():
            assert content == expected[name] or content == self.before, f"{name} is there in part"
            if content == expected[name]:
                self._seen[name] = (self.partner / name).stat().st_ino

    def assert_finished(self, number: int, run: dict[str, Any]) -> None:
        expected = self.expected(number)
        assert self.seen(number) == expected
        for name, inode in self._seen.items():
            assert (self.partner / name).stat().st_ino == inode, f"{name} was there, and was sent again"
        data = next(iter(expected.values()))
        assert (run["artifact"]["rows"], run["artifact"]["bytes"]) == (ROWS, len(data))
        (delivery,) = run["deliveries"]
        assert delivery["sha256"] == hashlib.sha256(data).hexdigest() == run["artifact"]["sha256"]
        assert [attempt["outcome"] for attempt in run["attempts"]].count("built") == 1


class DirectPush(Push):
    """Written at its final name: in part there while it is written, and held where nobody can tell whose it is."""

    def assert_nothing_in_part(self, number: int) -> None:
        (expected,) = self.expected(number).values()
        for content in self.seen(number).values():
            assert expected.startswith(content)

    def assert_delivered_once(self, number: int, said: Said) -> None:
        if said.code != 4:
            super().assert_delivered_once(number, said)
            return
        # Killed between the creation and its record in the ledger.
        assert said.run["status"] == "held"
        assert "is there already, and it is not ours" in said.run["reason"]
        assert list(self.seen(number).values()) == [b""]


class Pull(Agreement):
    """Three files of a partner; `then` they are left, deleted or moved into `archive/`."""

    def prepare(self, number: int) -> None:
        folder = self.partner / self._hour(number)
        folder.mkdir(parents=True)
        (self.partner / "archive").mkdir(exist_ok=True)
        for name, content in TAKEN.items():
            (folder / name).write_bytes(content)
            (folder / f"{name}.done").touch()

    def _hour(self, number: int) -> str:
        return f"{self.slot(number):%Y%m%d%H}"

    def _files(self, folder: Path) -> Files:
        found = folder.glob("*") if folder.exists() else ()
        return {path.name: path.read_bytes() for path in found if path.suffix != ".done"}

    def here(self, number: int) -> Files:
        return self._files(self.project.folder / "var/in/hourly" / self._hour(number))

    def there(self, number: int) -> tuple[Files, Files]:
        return self._files(self.partner / self._hour(number)), self._files(
            self.partner / "archive" / self._hour(number)
        )

    def assert_nothing_in_part(self, number: int) -> None:
        here = {name: content for name, content in self.here(number).items() if not name.startswith(".")}
        assert here.items() <= TAKEN.items(), f"in part, or twice: {sorted(here)}"
        left, moved = self.there(number)
        for name in TAKEN.keys() - left.keys():
            assert here.get(name) == TAKEN[name], f"{name} is gone there before it is here"
            if '"move"' in self.job:
                assert moved.get(name) == TAKEN[name], f"{name} was moved to nowhere"

    def assert_finished(self, number: int, run: dict[str, Any]) -> None:
        assert self.here(number) == TAKEN
        left, moved = self.there(number)
        assert (left, moved) == (
            ({}, TAKEN) if '"move"' in self.job else ({}, {}) if '"delete"' in self.job else (TAKEN, {})
        )
        assert sorted((file["path"].rpartition("/")[2], file["status"]) for file in run["files"]) == [
            (name, "done") for name in sorted(TAKEN)
        ]


def _is_hidden(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".")


def make(
    folder: Path, kind: type[Agreement], job: str, endpoint: str = LOCAL, *, ledger: str | None = None
) -> Agreement:
    """A project with that job, whose ledger is there."""
    config = f'ledger = "{ledger}"\n' if ledger else ""
    project = make_project(folder, config=config + SHOP + endpoint)
    for name in ("daily", "by-hand"):
        (folder / f"jobs/{name}.toml").unlink()
    agreement = kind(project, job, ledger)
    agreement.prepare(0)
    said = agreement.finish(0)
    agreement.assert_delivered_once(0, said)
    return agreement
