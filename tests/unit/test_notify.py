"""Notices: told at least once, again while they last, whatever the command does."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from batchxfer import notify
from batchxfer.model import NoticeKind
from batchxfer.notify import Notifier, run_command
from batchxfer.ports import Ledger
from batchxfer.wiring import load_project
from tests.ledgers import SqlitePlace

RULE = '[[notify]]\non = {on}\ncommand = ["{name}"]\nremind = "1h"\n'
MINUTE = timedelta(minutes=1)


class Commands:
    """What was run, and how the commands behave."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []
        self.fails: dict[str, Exception] = {}

    def __call__(self, command: Sequence[str], event: bytes, folder: Path) -> None:
        found = json.loads(event)
        error = self.fails.get(command[0]) or self.fails.get(str(found["job"]))
        self.told.append((command[0], found))
        if error is not None:
            raise error

    @property
    def names(self) -> list[tuple[str, object]]:
        names = [(name, event["job"]) for name, event in self.told]
        self.told.clear()
        return names


def notifier(folder: Path, ledger: Ledger, run: Commands, *names: str, on: str = '["late", "recovered"]') -> Notifier:
    rules = "".join(RULE.format(on=on, name=name) for name in names)
    (folder / "jobs").mkdir(exist_ok=True)
    (folder / "config.toml").write_text(rules)
    return Notifier(load_project(folder / "config.toml"), ledger, run)


def note(ledger: Ledger, job: str) -> None:
    assert ledger.note(NoticeKind.LATE, job, job=job, run=None, detail={"late_after": "30m"})


@pytest.fixture
def ledger(sqlite_place: SqlitePlace) -> Ledger:
    return sqlite_place.open()


def test_each_command_is_told_once_and_reminded(sqlite_place: SqlitePlace, ledger: Ledger, tmp_path: Path) -> None:
    run = Commands()
    teller = notifier(tmp_path, ledger, run, "mail", "page")
    note(ledger, "orders")
    teller.tell()
    teller.tell()
    assert [(name, event["kind"], event["reminder"]) for name, event in run.told] == [
        ("mail", "late", False),
        ("page", "late", False),
    ]
    run.told.clear()
    sqlite_place.clock.instant += 60 * MINUTE
    teller.tell()
    teller.tell()
    assert [(name, event["reminder"]) for name, event in run.told] == [("mail", True), ("page", True)]
    ledger.end_note(NoticeKind.LATE, "orders")
    sqlite_place.clock.instant += 60 * MINUTE
    run.told.clear()
    teller.tell()
    assert run.told == []


def test_what_was_told_is_known_after_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    run = Commands()
    note(ledger, "orders")
    notifier(tmp_path, ledger, run, "mail").tell()
    notifier(tmp_path, ledger, run, "mail").tell()
    assert run.names == [("mail", "orders")]


def test_a_command_is_told_wherever_it_stands_and_one_that_is_new_at_once(
    sqlite_place: SqlitePlace, ledger: Ledger, tmp_path: Path
) -> None:
    """What was told is known of a command, not of its place: the place may be another one's by now."""
    run = Commands()
    note(ledger, "orders")
    notifier(tmp_path, ledger, run, "mail").tell()
    assert run.names == [("mail", "orders")]
    notifier(tmp_path, ledger, run, "page", "mail").tell()
    assert run.names == [("page", "orders")]
    notifier(tmp_path, ledger, run, "mail", "page").tell()
    assert run.names == []
    sqlite_place.clock.instant += 60 * MINUTE
    notifier(tmp_path, ledger, run, "mail", "mail").tell()
    assert run.names == [("mail", "orders")]


def test_a_command_that_fails_is_tried_again_after_a_minute_and_last(
    sqlite_place: SqlitePlace, ledger: Ledger, tmp_path: Path
) -> None:
    run = Commands()
    teller = notifier(tmp_path, ledger, run, "mail")
    note(ledger, "orders")
    sqlite_place.clock.sleep(0.01)
    note(ledger, "stock")
    run.fails["orders"] = subprocess.CalledProcessError(1, ["mail"])
    teller.tell()
    teller.tell()
    assert run.names == [("mail", "orders"), ("mail", "stock")]
    sqlite_place.clock.instant += MINUTE
    note(ledger, "prices")
    teller.tell()
    assert run.names == [("mail", "prices"), ("mail", "orders")]
    run.fails.clear()
    sqlite_place.clock.instant += MINUTE
    teller.tell()
    teller.tell()
    assert run.names == [("mail", "orders")]


def test_a_command_that_hangs_delays_neither_itself_a_hundred_times_nor_another_one(
    sqlite_place: SqlitePlace, ledger: Ledger, tmp_path: Path
) -> None:
    run = Commands()
    teller = notifier(tmp_path, ledger, run, "hangs", "mail")
    run.fails["hangs"] = subprocess.TimeoutExpired(["hangs"], 30)
    note(ledger, "orders")
    sqlite_place.clock.sleep(0.01)
    note(ledger, "stock")
    teller.tell()
    assert run.names == [("hangs", "orders"), ("mail", "orders"), ("mail", "stock")]
    run.fails.clear()
    sqlite_place.clock.instant += MINUTE
    teller.tell()
    assert sorted(run.names) == [("hangs", "orders"), ("hangs", "stock")]


def test_only_wanted_kinds_are_told(ledger: Ledger, tmp_path: Path) -> None:
    run = Commands()
    note(ledger, "orders")
    notifier(tmp_path, ledger, run, "mail", on='["held"]').tell()
    assert run.told == []


# --- the command as a process --------------------------------------------------------------------


def script(folder: Path, text: str) -> list[str]:
    path = folder / "notify.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o700)
    return ["./notify.sh"]


def test_a_command_gets_the_event_and_runs_in_the_projects_folder(tmp_path: Path) -> None:
    run_command(script(tmp_path, "cat > event\n"), b'{"kind":"late"}', tmp_path)
    assert (tmp_path / "event").read_text() == '{"kind":"late"}'


def test_a_command_that_reads_nothing_or_says_much_is_no_failure(tmp_path: Path) -> None:
    run_command(
        script(tmp_path, "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2\n"), b"x" * 3_000_000, tmp_path
    )


def test_what_a_failing_command_says_stands_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_command(script(tmp_path, "echo no such user >&2; exit 7\n"), b"", tmp_path)
    assert (caught.value.returncode, caught.value.stderr) == (7, b"no such user\n")


def test_a_command_that_hangs_is_ended_with_all_that_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "COMMAND_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_command(script(tmp_path, "(sleep 60; echo > survived) &\necho $! > pid\nsleep 60\n"), b"", tmp_path)
    assert time.monotonic() - began < 10
    child = int((tmp_path / "pid").read_text())
    assert gone(child)


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_a_command_that_is_not_there_is_a_failure_like_others(ledger: Ledger, tmp_path: Path) -> None:
    note(ledger, "orders")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "config.toml").write_text(RULE.format(on='["late"]', name="./is-not-there"))
    teller = Notifier(load_project(tmp_path / "config.toml"), ledger)
    teller.tell()
    (notice,) = ledger.notices()
    assert notice.told_at == {}
