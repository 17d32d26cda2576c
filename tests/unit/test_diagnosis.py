"""What is wrong, from what was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchxfer import diagnosis
from batchxfer.diagnosis import Disk, Finding, Level, OnDisk
from batchxfer.errors import ExitCode, Problem
from batchxfer.facts import Claimed, KnownFile, LedgerFacts, Restored
from batchxfer.model import Notice, NoticeKind, OpenRun, RunStatus

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
LEDGER = LedgerFacts(where="ledger var/ledger.db", version="0003", project="P", now=NOW, runs=1, newest_event=NOW)
FILE = KnownFile(run="01R", job="daily", path=Path("/spool/daily/a"), bytes=10, sha256="0" * 64, settled=False)
GIB = 1 << 30
DISK = Disk(where="spool", path=Path("/spool"), free_bytes=50 * GIB, bytes=100 * GIB, free_inodes=900, inodes=1000)


def names(findings: list[Finding]) -> list[tuple[str, ExitCode]]:
    return [(finding.name, finding.code) for finding in findings]


def test_a_sound_ledger_has_no_findings() -> None:
    assert list(diagnosis.of_ledger(LEDGER, NOW)) == []


@pytest.mark.parametrize(
    ("facts", "name", "code", "said"),
    [
        (replace(LEDGER, damage=["row 3 missing"]), "ledger-damaged", ExitCode.USAGE, "row 3 missing"),
        (
            replace(LEDGER, restored=Restored(known_until=NOW - timedelta(hours=1), at=NOW)),
            "ledger-restored",
            ExitCode.HELD,
            "2026-11-25T02:00:00+00:00",
        ),
        (replace(LEDGER, forgets=True, newest_event=None), "ledger-restored", ExitCode.HELD, "its beginning"),
        (replace(LEDGER, now=NOW + timedelta(seconds=30)), "clocks-apart", ExitCode.DONE, "2026-11-25T03:00:30"),
        (replace(LEDGER, now=NOW - timedelta(hours=1)), "clocks-apart", ExitCode.FAILED, "2026-11-25T02:00:00"),
        (
            replace(LEDGER, ahead=[("mark", "daily", NOW + timedelta(days=365))]),
            "future-rows",
            ExitCode.FAILED,
            "1 row in the future: mark daily: 2027-11-25",
        ),
        (
            replace(LEDGER, claims=[Claimed(run="01R", job="daily", owner="here.7.X", lease_until=NOW, lives=False)]),
            "abandoned-runs",
            ExitCode.DONE,
            "1 run begun by processes that are gone: daily 01R",
        ),
    ],
)
def test_what_a_ledger_says_of_itself(facts: LedgerFacts, name: str, code: ExitCode, said: str) -> None:
    (finding,) = diagnosis.of_ledger(facts, NOW)
    assert (finding.name, finding.code) == (name, code)
    assert said in finding.what
    assert finding.why
    assert finding.safe
    assert finding.hint


def test_what_is_at_work_is_not_abandoned() -> None:
    at_work = Claimed(run="01R", job="daily", owner="here.7.X", lease_until=NOW, lives=True)
    assert list(diagnosis.of_ledger(replace(LEDGER, claims=[at_work]), NOW)) == []


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (OnDisk(file=FILE, bytes=None), "/spool/daily/a: gone"),
        (OnDisk(file=FILE, bytes=9), "9 bytes instead of 10"),
        (OnDisk(file=FILE, bytes=10, differs=True), "its content is another"),
    ],
)
def test_a_file_that_is_not_as_it_was_built_is_a_problem_while_it_is_to_be_sent(seen: OnDisk, said: str) -> None:
    (finding,) = diagnosis.of_artifacts([seen, OnDisk(file=FILE, bytes=10)])
    assert (finding.name, finding.code, finding.level) == ("artifacts", ExitCode.HELD, Level.PROBLEM)
    assert said in finding.what
    (finding,) = diagnosis.of_artifacts([replace(seen, file=replace(FILE, settled=True))])
    assert (finding.name, finding.level) == ("artifacts-of-delivered-runs", Level.WARNING)


@pytest.mark.parametrize(
    ("disk", "found"),
    [
        (DISK, []),
        (replace(DISK, free_bytes=GIB // 2), [("disk-low", ExitCode.DONE)]),
        # A small disk that is half empty is none to be told of.
        (replace(DISK, bytes=GIB, free_bytes=GIB // 2), []),
        (replace(DISK, bytes=GIB, free_bytes=GIB // 25), [("disk-full", ExitCode.RETRYING)]),
        (replace(DISK, free_inodes=0), [("disk-full", ExitCode.RETRYING)]),
        (replace(DISK, free_inodes=5), [("disk-low", ExitCode.DONE)]),
        # File systems that count none.
        (replace(DISK, free_inodes=None, inodes=None), []),
    ],
)
def test_room_on_a_disk(disk: Disk, found: list[tuple[str, ExitCode]]) -> None:
    assert names(list(diagnosis.of_disk(disk))) == found


def test_a_sqlite_ledger_on_a_network_folder() -> None:
    assert list(diagnosis.of_ledger_disk(replace(DISK, kind="ext4"))) == []
    (finding,) = diagnosis.of_ledger_disk(replace(DISK, kind="nfs4"))
    assert finding.name == "ledger-on-network-folder"


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("2026a", []),
        ("2025.2", []),
        ("2024b", ["zones-old"]),
        ("2031.1", ["clock-behind"]),
        (None, []),
        ("unknown", []),
    ],
)
def test_the_time_zone_database(version: str | None, found: list[str]) -> None:
    assert [finding.name for finding in diagnosis.of_zones(version, NOW)] == found


def test_runs_that_nobody_has_settled_for_long() -> None:
    run = OpenRun(id="01R", job="daily", slot=NOW - timedelta(days=2), status=RunStatus.HELD)
    (finding,) = diagnosis.of_open_runs([run, replace(run, id="01S", slot=NOW)], NOW)
    assert (finding.name, finding.level) == ("undelivered", Level.WARNING)
    assert "1 run of more than 1 day not settled: daily 01R (held, due 2026-11-23T03:00:00+00:00)" in finding.what
    assert list(diagnosis.of_open_runs([replace(run, slot=NOW)], NOW)) == []


def test_notices_that_a_command_should_have_been_told_of() -> None:
    notice = Notice(
        id="N", kind=NoticeKind.HELD, at=NOW - timedelta(hours=1), job=None, run=None, subject="ledger", detail={}
    )
    assert list(diagnosis.of_notices([notice], [], NOW)) == []
    assert list(diagnosis.of_notices([notice], [("a", ["failed"])], NOW)) == []
    (finding,) = diagnosis.of_notices([notice], [("a", ["failed"]), ("b", ["held"])], NOW)
    assert finding.name == "notices-untold"
    told = replace(notice, told_at={"b": NOW})
    assert list(diagnosis.of_notices([told], [("a", ["failed"]), ("b", ["held"])], NOW)) == []
    assert list(diagnosis.of_notices([notice], [("b", ["held"])], notice.at + timedelta(minutes=1))) == []


def test_configuration_problems_keep_their_places() -> None:
    problem = Problem(file="jobs/a.toml", where="schedule.cron", problem="no such hour", hint="write 0 to 23")
    (finding,) = diagnosis.of_configuration([problem])
    assert (finding.where, finding.what, finding.hint) == (
        "jobs/a.toml: schedule.cron",
        "no such hour",
        "write 0 to 23",
    )
    assert finding.code is ExitCode.USAGE
    (finding,) = diagnosis.of_configuration([problem], warnings=True)
    assert finding.level is Level.WARNING
