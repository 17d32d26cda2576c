"""Files that a partner left are fetched whole and once, by the installed command."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import Desk, desk_fixture  # noqa: F401


def test_files_are_fetched_whole_with_their_evidence(desk: Desk) -> None:
    desk.put("box/a.csv", "id\n1\n")
    desk.put("box/empty.csv", "")
    desk.put("box/other.txt")
    run = desk.pull()
    assert run["status"] == "delivered"
    assert desk.fetched() == {"a.csv": "id\n1\n", "empty.csv": ""}
    first, second = run["files"]
    assert first["path"] == "box/a.csv"
    assert first["endpoint"] == "out"
    assert (first["status"], first["bytes"]) == ("done", 5)
    assert first["sha256"] == hashlib.sha256(b"id\n1\n").hexdigest()
    assert first["local_path"] == str(desk.folder / "var/in/rates/a.csv")
    assert re.fullmatch(r"2\d{3}-.*\+00:00", first["fetched_at"])
    assert (first["rows"], first["bad_rows"], first["loaded_at"]) == (None, None, None)
    assert second["bytes"] == 0
    assert run["deliveries"] == []
    assert desk.left() == ["box/a.csv", "box/empty.csv", "box/other.txt"]
    told = desk("show", run["run"])
    assert f"sha256 {first['sha256']}" in told.out
    assert "left there as it is" in told.out


def test_nothing_to_fetch_is_delivered_where_any_number_is_right(desk: Desk) -> None:
    said = desk("run", "rates")
    assert said.code == 0
    assert "nothing to fetch from out: box/*.csv" in said.out
    assert desk("status", "--json").document["jobs"][2]["last"]["rows"] is None


def test_links_folders_and_hostile_names_are_never_taken_and_keep_no_other_from_it(desk: Desk) -> None:
    box = desk.put("box/good.csv").parent
    (box / "link.csv").symlink_to("/etc/passwd")
    (box / "folder.csv").mkdir()
    (box / "two\nlines.csv").write_text("x")
    (box / "\x1b[2Jclear.csv").write_text("x")
    (box / "back\\slash.csv").write_text("x")
    Path(os.fsdecode(os.fsencode(box) + b"/not-utf-8-\xff.csv")).write_text("x")
    run = desk.pull()
    states = desk.states(run)
    assert desk.fetched() == {"good.csv": "1\n"}
    assert sorted(set(states.values())) == ["done", "refused"]
    assert len(states) == 5
    assert all(path.isprintable() for path in states)
    said = desk("show", run["run"])
    assert "\x1b" not in said.out
    assert "4 refused" in desk("run", "rates").out
    assert newer_slot(desk)["files"] == [], "they are told once, not with every look"


def test_a_file_over_the_limit_is_refused_and_taken_once_the_limit_is_raised(desk: Desk) -> None:
    desk.pulls('max_bytes = "10B"')
    desk.put("box/small.csv")
    desk.put("box/large.csv", "x" * 11)
    run = desk.pull()
    assert desk.states(run) == {"box/small.csv": "done", "box/large.csv": "refused"}
    assert "11 bytes are more than max_bytes = 10" in run["files"][1]["reason"]
    assert newer_slot(desk)["files"] == [], "told once, not with every look"
    desk.pulls('max_bytes = "11B"')
    run = newer_slot(desk)
    assert desk.states(run) == {"box/large.csv": "done"}


def newer_slot(desk: Desk, code: int = 0) -> dict[str, Any]:
    desk.clock.later(3600)
    return desk.pull(code=code)


def test_a_known_file_is_fetched_again_only_when_its_bytes_have_changed(desk: Desk) -> None:
    desk.put("box/a.csv", "1\n", at=1_000_000_000)
    desk.pull()
    assert newer_slot(desk)["files"] == []
    desk.put("box/a.csv", "1\n", at=1_000_000_060)
    run = newer_slot(desk)
    assert desk.states(run) == {"box/a.csv": "skipped"}
    assert "the same bytes as run" in run["files"][0]["reason"]
    desk.put("box/a.csv", "2\n", at=1_000_000_060 + 60)
    assert desk.states(newer_slot(desk)) == {"box/a.csv": "done"}
    assert desk.fetched() == {"a.csv": "1\n", "a.2.csv": "2\n"}


@pytest.mark.parametrize(("policy", "status"), [("take", "done"), ("skip", "skipped")])
def test_the_same_bytes_under_another_name(desk: Desk, policy: str, status: str) -> None:
    desk.pulls(f'same_content = "{policy}"')
    desk.put("box/a.csv")
    desk.pull()
    desk.put("box/b.csv")
    assert desk.states(newer_slot(desk)) == {"box/b.csv": status}


@pytest.mark.parametrize("key", ["same_content", "changed"])
def test_what_is_held_is_taken_once_it_is_released(desk: Desk, key: str) -> None:
    desk.pulls(f'{key} = "hold"')
    desk.put("box/a.csv", at=1_000_000_000)
    desk.pull()
    desk.put(*(("box/b.csv",) if key == "same_content" else ("box/a.csv", "2\n")))
    run = newer_slot(desk, code=4)
    assert run["status"] == "held"
    assert f'and {key} = "hold"' in run["reason"]
    assert desk("retry", run["run"]).code == 4
    released = desk("release", run["run"], "--json")
    assert released.code == 0
    assert [file["status"] for file in released.run["files"]] == ["done"]


def test_a_removed_file_is_removed_with_its_sidecars_and_may_come_again(desk: Desk) -> None:
    desk.pulls('then = "delete"\ndone_file = "{path}.done"\n')
    for _ in range(2):
        desk.put("box/a.csv", at=1_000_000_000)
        desk.put("box/a.csv.done", "")
        run = newer_slot(desk)
        assert desk.states(run) == {"box/a.csv": "done"}, "the same bytes again, after we took the last ones away"
        assert desk.left() == []
    assert desk.fetched() == {"a.csv": "1\n", "a.2.csv": "1\n"}


def test_a_file_without_its_done_file_is_not_there_yet(desk: Desk) -> None:
    desk.pulls('done_file = "{dir}/{stem}.ok"\nexpect = "once"')
    desk.put("box/a.csv")
    run = desk.pull(code=3)
    assert (run["status"], run["files"]) == ("pending", [])
    assert run["reason"] == "no file matches box/*.csv yet; 1 without their done or checksum file"
    assert run["retry_at"] is not None
    desk.put("box/a.ok", "")
    assert desk.states(desk.pull()) == {"box/a.csv": "done"}


def test_a_done_file_that_is_older_than_its_file_says_nothing_of_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left from the day before, and today's file is being written under the same name."""
    desk.pulls('done_file = "{path}.done"\nexpect = "once"')
    desk.put("box/a.csv.done", "", at=1_700_000_000)
    desk.put("box/a.csv", "1\n", at=1_700_000_001)

    def grow(clock: object, seconds: float) -> None:
        desk.clock.later(seconds)
        desk.put("box/a.csv", "1\n2\n", at=1_700_000_002)

    monkeypatch.setattr(desk.clock, "sleep", grow)
    assert desk.pull(code=3)["reason"] == "no file matches box/*.csv yet; 1 still changing"
    # It stays as it is: whatever the done file is for, the file is whole.
    desk.put("box/b.csv.done", "", at=1_700_000_002)
    desk.put("box/b.csv", "3\n", at=1_700_000_002)
    monkeypatch.undo()
    monkeypatch.setattr("batchxfer.cli.clock.SystemClock", desk.clock)
    before = desk.clock.skipped
    assert desk.states(desk.pull()) == {"box/a.csv": "done"}
    assert (desk.clock.skipped - before).total_seconds() == 30
    # One that is not older is believed at once.
    before = desk.clock.skipped
    assert desk.states(desk.pull("--slot", "2026-11-20T05:00:00Z", code=3)) == {}
    desk.clock.later(3600)
    assert desk.states(desk.pull()) == {"box/b.csv": "done"}
    assert (desk.clock.skipped - before).total_seconds() == 3600


def test_a_moved_file_never_overwrites_another(desk: Desk) -> None:
    (desk.folder / "out/old").mkdir()
    desk.put("old/a.csv", "theirs")
    desk.put("box/a.csv")
    desk.pulls('then = "move"\nmove_to = "old/{name}"')
    run = desk.pull()
    assert desk.left() == ["old/a.2.csv", "old/a.csv"]
    assert run["files"][0]["moved_to"] == "old/a.2.csv"
    assert "moved there to old/a.2.csv" in desk("show", run["run"]).out


def test_dated_folders_are_made_for_what_is_moved(desk: Desk) -> None:
    (desk.folder / "out/old").mkdir()
    desk.put("box/a.csv")
    desk.pulls('then = "move"\nmove_to = "old/{business_date:%Y}/{name}"')
    run = desk.pull()
    assert desk.left() == [f"old/{run['business_date'][:4]}/a.csv"]


def test_a_checksum_that_disagrees_keeps_the_file_out_until_it_agrees(desk: Desk) -> None:
    desk.pulls('checksum_file = "{path}.sha256"')
    desk.put("box/a.csv", "right\n")
    desk.put("box/a.csv.sha256", f"{'0' * 64}  a.csv\n")
    run = desk.pull(code=3)
    assert run["status"] == "retrying"
    assert "does not agree with box/a.csv.sha256" in run["reason"]
    assert desk.fetched() == {}
    desk.put("box/a.csv.sha256", hashlib.sha256(b"right\n").hexdigest() + "  a.csv\n")
    assert desk("retry", run["run"]).code == 0
    assert desk.fetched() == {"a.csv": "right\n"}


@pytest.mark.parametrize(
    "line", ["no digest here", "0" * 63 + "  a.csv", "SHA3-256 (a.csv) = " + "0" * 64, "x" * (2 << 20)]
)
def test_a_checksum_file_that_holds_none_is_told(desk: Desk, line: str) -> None:
    desk.pulls('checksum_file = "{path}.sha256"')
    desk.put("box/a.csv")
    desk.put("box/a.csv.sha256", line)
    run = desk.pull(code=1)
    assert run["status"] == "failed"
    assert "a.csv.sha256" in run["reason"]
    assert desk.fetched() == {}


@pytest.mark.parametrize("line", ["", "0" * 63, f"{'0' * 64}  b.csv\n{'0' * 64}  c.csv\n"])
def test_a_checksum_file_that_is_not_whole_yet_is_waited_for(desk: Desk, line: str) -> None:
    desk.pulls('checksum_file = "{dir}/sums"\nthen = "delete"')
    desk.put("box/a.csv", "right\n")
    desk.put("box/sums", line)
    run = desk.pull(code=3)
    assert (run["status"], desk.fetched()) == ("retrying", {})
    desk.put("box/sums", line.splitlines()[0] + "\n" if "b.csv" in line else "")
    with (desk.folder / "out/box/sums").open("a") as sums:
        sums.write(f"{hashlib.sha256(b'right' + bytes([10])).hexdigest()} *a.csv\n")
    assert desk("retry", run["run"]).code == 0
    assert desk.fetched() == {"a.csv": "right\n"}
    # It is for others too.
    assert desk.left() == ["box/sums"]


def test_a_look_that_leaves_files_for_later_says_so(desk: Desk) -> None:
    desk.pulls('done_file = "{path}.done"\nmax_bytes = 5')
    desk.put("box/a.csv")
    desk.put("box/b.csv", "too long\n")
    said = desk("run", "rates")
    assert said.code == 0
    assert "nothing to fetch from out: box/*.csv · 1 refused · but: 1 without" in said.out


def test_files_that_are_known_are_not_said_to_be_missing(desk: Desk) -> None:
    desk.pulls('expect = "once"')
    desk.put("box/a.csv")
    desk.pull("--slot", "2026-11-20T05:00:00Z")
    run = desk.pull("--slot", "2026-11-20T06:00:00Z", code=3)
    assert run["reason"] == "no file matches box/*.csv yet; 1 known already"


def test_a_folder_that_is_not_there_is_said_to_be_missing(desk: Desk) -> None:
    desk.pulls(path="bxo/*.csv")
    desk.put("box/a.csv")
    said = desk("run", "rates")
    assert (said.code, "nothing to fetch from out: bxo/*.csv · but: there is no folder bxo" in said.out) == (0, True)
    desk.pulls('expect = "some"', path="bxo/{business_date:%Y}/*.csv")
    assert desk.pull("--slot", "2026-11-20T05:00:00Z", code=3)["reason"] == (
        "no file matches bxo/2026/*.csv yet; there is no folder bxo/2026"
    )


def test_what_is_owed_and_refused_is_not_said_to_be_missing(desk: Desk) -> None:
    desk.pulls('expect = "once"\nmax_bytes = 5')
    desk.put("box/b.csv", "too long\n")
    run = desk.pull(code=3)
    assert run["reason"] == "1 refused, such as box/b.csv: 9 bytes are more than max_bytes = 5"


def test_a_partner_who_renames_whole_files_is_not_waited_for(desk: Desk) -> None:
    desk.pulls('stable_for = "0s"')
    desk.put("box/a.csv")
    before = desk.clock.skipped
    desk.pull()
    assert (desk.fetched(), desk.clock.skipped) == ({"a.csv": "1\n"}, before)


def test_what_is_owed_is_waited_for_then_missing_and_taken_when_it_comes_after_all(desk: Desk) -> None:
    desk.pulls('expect = "once"', path="box/{slot:%H}/*.csv")
    text = (desk.folder / "jobs/rates.toml").read_text()
    desk.job("rates", text.replace('every = "1h"', 'every = "1h"\nmissing_after = "2h"\nlate_after = "1h"'))
    slot = "2026-11-23T05:00:00+00:00"
    run = desk.pull("--slot", slot, code=3)
    assert run["reason"] == "no file matches box/06/*.csv yet; there is no folder box/06"
    assert desk("run", "--due", "rates").code == 1
    (row,) = (row for row in desk("status", "--json").document["jobs"] if row["job"] == "rates")
    assert (row["counts"]["missing"], row["counts"]["pending"]) == (1, 0)
    assert row["reason"] == "no file came for the slot 2026-11-23T06:00:00+01:00 until 2026-11-23T08:00:00+01:00"
    assert desk("status").code == 1
    run = desk.pull("--slot", slot, code=1)
    assert run["status"] == "missing"
    shown = desk("show", run["run"]).out
    assert f"look now with: batchxfer retry {run['run'][:12]}; if it never comes: batchxfer exclude" in shown
    desk.put("box/06/late.csv")
    run = desk.pull("--slot", slot)
    assert run["status"] == "delivered"
    assert desk.fetched() == {"late.csv": "1\n"}
    assert desk("status").code == 0


def test_what_came_while_no_daemon_ran_is_taken_though_it_would_be_missing_by_now(desk: Desk) -> None:
    desk.pulls('expect = "once"', path="box/{slot_utc:%H}.csv")
    assert desk("run", "--due", "rates").code == 0
    for hour in range(24):
        desk.put(f"box/{hour:02}.csv", f"{hour}\n")
    desk.clock.later(4 * 3600)
    said = desk("run", "--due", "rates", "--json")
    assert {run["status"] for run in said.document["runs"]} == {"delivered"}
    assert said.code == 0
    assert len(desk.fetched()) == 4


def test_a_slot_that_was_said_to_be_missing_before_anybody_looked_is_looked_for(desk: Desk) -> None:
    """A ledger may have such slots: what said so did not look first, once."""
    desk.pulls('expect = "once"', path="box/{slot_utc:%H}.csv")
    assert desk("run", "--due", "rates").code == 0
    assert desk("pause", "rates", "--why", "moving").code == 0
    desk.clock.later(3600)
    assert desk("run", "--due", "rates").code == 4
    with closing(sqlite3.connect(desk.folder / "var/ledger.db")) as ledger, ledger:
        ledger.execute("update runs set status = 'missing', ending = 'missing', reason = 'no file came'")
    assert desk("resume", "rates").code == 0
    for hour in range(24):
        desk.put(f"box/{hour:02}.csv")
    (run,) = desk("run", "--due", "rates", "--json").document["runs"]
    assert run["status"] == "delivered"


def test_one_file_is_expected_and_two_are_there(desk: Desk) -> None:
    desk.pulls('expect = "once"')
    desk.put("box/b.csv", at=1_000_000_000)
    desk.put("box/a.csv", at=1_000_000_060)
    assert desk.states(desk.pull()) == {"box/b.csv": "done"}, "the oldest; the next slot takes the next"
    assert desk.states(newer_slot(desk)) == {"box/a.csv": "done"}


def test_one_file_is_expected_for_a_day_and_two_are_there(desk: Desk) -> None:
    desk.pulls('expect = "once"', path="box/{business_date}/*.csv")
    day = desk.pull(code=3)["business_date"]
    desk.put(f"box/{day}/a.csv")
    desk.put(f"box/{day}/b.csv")
    run = desk.pull(code=4)
    assert "2 files match" in run["reason"]
    assert desk("release", run["run"]).code == 0
    assert sorted(desk.fetched()) == ["a.csv", "b.csv"]


def test_the_latest_slot_takes_what_has_no_date(desk: Desk) -> None:
    desk.pulls('expect = "some"')
    earlier = "2026-11-23T05:00:00+00:00"
    desk.pull("--slot", earlier, code=3)
    desk.pull(code=3)
    desk.put("box/a.csv")
    late = desk.pull("--slot", earlier, code=3)
    assert "has come since, and takes what is there" in late["reason"]
    assert desk.states(desk.pull()) == {"box/a.csv": "done"}


def test_what_a_person_excluded_is_never_taken(desk: Desk) -> None:
    desk.pulls('changed = "hold"')
    desk.put("box/a.csv", at=1_000_000_000)
    desk.pull()
    desk.put("box/a.csv", "2\n")
    run = newer_slot(desk, code=4)
    said = desk("exclude", run["run"], "--why", "a test file", "--json")
    assert [file["status"] for file in said.run["files"]] == ["excluded"]
    assert newer_slot(desk)["files"] == []
    # Looked at again by a person it comes back.
    assert desk("retry", run["run"]).code == 0


def test_two_jobs_of_which_one_takes_the_others_files_away_are_told(desk: Desk) -> None:
    desk.pulls('then = "delete"', path="box/*.csv")
    assert "warning" not in desk("check").err
    text = (desk.folder / "jobs/rates.toml").read_text()
    for name, path, then in (
        ("other", "box/*.psv", "delete"),
        ("deep", "box/x/*", "delete"),
        ("one", "box/a", "leave"),
    ):
        desk.job(name, text.replace("box/*.csv", path).replace('"delete"', f'"{then}"'))
    assert "warning" not in desk("check").err
    for path in ("box/*", "box/a.csv", "b?x/*.csv"):
        desk.job("same", text.replace("box/*.csv", path).replace('"delete"', '"leave"'))
        said = desk("check")
        assert (said.code, said.err.count("warning: jobs/rates.toml")) == (0, 1), said
        assert "jobs/rates.toml: file.then: delete: job 'same' looks for the same files" in said.err


def test_what_does_not_apply_to_a_pull_says_so(desk: Desk) -> None:
    run = desk.pull()
    said = desk("resend", run["run"])
    assert said.code == 2
    assert "there is nothing to send" in said.err
    said = desk("rerun", run["run"])
    assert said.code == 2
    assert "loads nothing" in said.err
    said = desk("run", "rates", "--dry-run")
    assert said.code == 2
    assert "batchxfer plan rates" in said.err


def test_a_plan_shows_what_is_looked_for(desk: Desk) -> None:
    desk.pulls(path="box/{business_date:%Y%m%d}/*.csv")
    slots = desk("plan", "rates", "--from", "2026-11-23T05:00", "--count", "1", "--json").document["slots"]
    assert slots[0]["deliveries"] == [
        {"endpoint": "out", "path": "box/20261123/*.csv", "slot_local": "2026-11-23T13:00:00+09:00"}
    ]


def test_ten_thousand_files_that_are_known_are_no_trouble(desk: Desk) -> None:
    box = desk.put("box/a.csv").parent
    for number in range(10_000):
        (box / f"{number}.txt").touch()
    run = desk.pull()
    assert len(run["files"]) == 1
