"""A ledger that was put back from a backup sends nothing twice, and loses nothing, by the installed command."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchxfer.cli import clock as clock_module
from tests.e2e.command import make_project
from tests.e2e.desk import Desk, HastyClock

CONFIG = """
timezone = "UTC"
[databases.shop]
url = "sqlite:///shop.db"
[endpoints.out]
protocol = "local"
root = "out"
"""
HOURLY = """
[schedule]
every = "1h"
{schedule}
[source]
database = "shop"
query = "select id, name{what} from orders order by id"
[file]
format = "psv"
endpoint = "{endpoint}"
path = "{path}"
{file}
"""
NAME = "{job}_{slot_utc:%Y%m%dT%H}.psv"
HOUR = 3600


@dataclass
class Office(Desk):
    """A project with a job a slot an hour, whose backups are put back."""

    def hourly(
        self, name: str, path: str = NAME, *, schedule: str = 'catch_up = "all"', file: str = "", endpoint: str = "out"
    ) -> None:
        text = HOURLY.replace("{path}", path).replace("{schedule}", schedule).replace("{file}", file)
        what = ", :slot as slot" if "all" in schedule else ""
        self.job(name, text.replace("{endpoint}", endpoint).replace("{what}", what))

    def hours(self, count: int) -> None:
        """Pass so many hours, each with what is due in it."""
        for _ in range(count):
            self.clock.later(HOUR)
            said = self("run", "--due")
            assert said.code == 0, said

    def back_up(self) -> Path:
        return Path(self("backup", f"backup-{self.clock.skipped.total_seconds():.0f}.db", "--json").document["path"])

    def put_back(self, copy: Path) -> None:
        for ending in ("-wal", "-shm"):
            Path(f"{self.ledger}{ending}").unlink(missing_ok=True)
        shutil.copy(copy, self.ledger)

    @property
    def ledger(self) -> Path:
        return self.folder / "var/ledger.db"

    def there(self) -> dict[str, tuple[str, int]]:
        """What the partner has: contents, and which file it is."""
        out = self.folder / "out"
        return {path.name: (path.read_text("utf-8"), path.stat().st_ino) for path in out.iterdir() if path.is_file()}

    def reconcile(self, *words: str, code: int = 0) -> Any:
        said = self("reconcile", *words, "--json")
        assert said.code == code, said
        return said.document

    def runs(self, status: str) -> list[dict[str, Any]]:
        return list(self("runs", "--status", status, "--json").document["runs"])


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    make_project(tmp_path, config=CONFIG)
    for job in (tmp_path / "jobs").iterdir():
        job.unlink()
    clock = type("Clock", (HastyClock,), {})
    monkeypatch.setattr(clock_module, "SystemClock", clock)
    return Office(tmp_path, clock=clock)


def forgetful(office: Office, before: int = 2, after: int = 2) -> dict[str, tuple[str, int]]:
    """The ledger of `before` slots, where `after` more were sent; what the partner has."""
    office("run", "--due")
    office.hours(before)
    copy = office.back_up()
    office.hours(after)
    there = office.there()
    office.put_back(copy)
    return there


def verdicts(document: Any) -> list[str]:
    return [run["verdict"] for run in document["runs"]]


def test_what_was_sent_since_is_sent_again_by_nothing_and_is_found_by_reconcile(office: Office) -> None:
    office.hourly("hourly")
    there = forgetful(office)
    assert len(there) == 4

    said = office("run", "--due")
    assert said.code == 4
    assert "the ledger was put back from a backup: it knows nothing after" in said.err
    assert "batchxfer reconcile --dry-run" in said.err
    held = office.runs("held")
    assert len(held) == 2
    assert "may have been sent" in held[0]["reason"]
    assert held[0]["deliveries"][0]["error"]["kind"] == "ledger-restored"
    for words in (
        ("run", "hourly", "--slot", held[0]["slot"]),
        ("run", "hourly"),
        ("retry", held[0]["run"]),
        ("release", held[0]["run"]),
        ("rerun", held[0]["run"]),
        ("resend", held[0]["run"]),
        ("status",),
    ):
        assert office(*words).code in (2, 4), words
    assert office.there() == there

    seen = office.reconcile()
    assert verdicts(seen) == ["found", "found"]
    assert [run["status"] for run in seen["runs"]] == ["delivered", "delivered"]
    assert seen["over"]
    assert office("status").code == 0
    delivery = office("show", held[0]["run"], "--json").document["deliveries"][0]
    assert delivery["verified"] == "looked"
    assert delivery["bytes"] == len(there[delivery["path"]][0].encode())
    assert delivery["evidence"].startswith(f"looked: found there by reconcile: {delivery['bytes']} bytes, sha256 ")
    assert "the same as hourly/" in delivery["evidence"]
    assert office.there() == there
    (row,) = office("status", "--json").document["jobs"]
    assert row["last"]["bytes"] == delivery["bytes"]

    office.hours(1)
    assert len(office.there()) == 5
    assert "put back" not in office("status").err
    assert office.reconcile()["restored"] is None


def test_a_slot_that_was_never_sent_is_sent_once_reconcile_has_looked(office: Office) -> None:
    office.hourly("hourly")
    there = forgetful(office, 1, 1)
    office.clock.later(HOUR)
    assert office("run", "--due").code == 4
    assert office.there() == there
    seen = office.reconcile()
    assert verdicts(seen) == ["found", "absent"]
    assert seen["runs"][1]["status"] == "pending"
    assert office("run", "--due").code == 0
    assert {name: office.there()[name] for name in there} == there
    assert len(office.there()) == 3


def test_what_the_spool_has_of_it_is_not_pruned_before_somebody_has_looked(office: Office) -> None:
    office.hourly("hourly")
    there = forgetful(office)
    built = list((office.folder / "var/spool/hourly").iterdir())
    for path in built:
        os.utime(path, (1, 1))
    assert {finding["name"] for finding in office("doctor", "--json").document["findings"]} == {"ledger-restored"}
    said = office("prune", "--json").document
    assert (said["artifacts"], said["orphans"]) == ([], [])
    assert verdicts(office.reconcile()) == ["found", "found"]
    assert office("run", "--due").code == 0
    assert office.there() == there
    # Nor is it afterwards, as long as what was delivered is kept: it is all that is left here of it.
    assert office("doctor", "--json").document["findings"] == []
    assert office("prune", "--json").document["orphans"] == []
    office.clock.later(100 * 86400)
    assert len(office("prune", "--json").document["orphans"]) == 2


def test_a_dry_run_says_the_same_and_records_nothing(office: Office) -> None:
    office.hourly("hourly")
    there = forgetful(office)
    office.clock.later(HOUR)
    seen = office.reconcile("--dry-run")
    assert verdicts(seen) == ["found", "found", "absent"]
    assert [run["run"] for run in seen["runs"]] == [None] * 3
    assert not seen["over"]
    assert not seen["recorded"]
    assert len(office.runs("delivered")) == 2
    assert office.there() == there
    told = office("reconcile", "--dry-run")
    assert "nothing was recorded; do it with: batchxfer reconcile" in told.out


def test_missed_slots_that_would_be_skipped_are_found_too(office: Office) -> None:
    office.hourly("hourly", schedule='catch_up = "latest"')
    there = forgetful(office, 1, 3)
    seen = office.reconcile()
    assert verdicts(seen) == ["found", "found", "found"]
    assert {run["status"] for run in seen["runs"]} == {"delivered"}
    assert office("run", "--due").code == 0
    assert office.there() == there
    assert office.runs("skipped") == []


def test_intervals_are_not_merged_over_what_was_sent(office: Office) -> None:
    office.hourly("hourly", schedule='catch_up = "merge"')
    there = forgetful(office, 1, 2)
    office.clock.later(HOUR)
    seen = office.reconcile()
    assert verdicts(seen) == ["found", "found", "absent"]
    assert office("run", "--due").code == 0
    assert {name: office.there()[name] for name in there} == there
    (newest,) = office("runs", "--limit", "1", "--json").document["runs"]
    interval = [datetime.fromisoformat(newest[key]) for key in ("interval_start", "interval_end")]
    assert interval[1] - interval[0] == timedelta(hours=1)


def test_a_name_that_is_replaced_each_time_is_told_by_what_the_spool_has(office: Office) -> None:
    office.hourly("hourly", "current.psv", file='on_exists = "replace"')
    there = forgetful(office, 1, 2)
    office.clock.later(HOUR)
    seen = office.reconcile(code=4)
    # The first was replaced by the second, which it must not replace in turn. The third was never sent.
    assert verdicts(seen) == ["undecided", "found", "absent"]
    assert office.there() == there
    assert office("run", "--due").code == 0
    assert office.there() != there
    (held,) = office.runs("held")
    assert held["slot"] == seen["runs"][0]["slot"]


def test_a_file_that_is_not_ours_is_a_question(office: Office) -> None:
    office.hourly("hourly")
    forgetful(office, 1, 2)
    newest = max(office.there())
    (office.folder / "out" / newest).write_text("somebody else's\n")
    seen = office.reconcile(code=4)
    assert verdicts(seen) == ["found", "undecided"]
    assert seen["over"]
    (held,) = office.runs("held")
    assert f"{newest} may have been sent before the ledger was put back" in held["reason"]
    assert "this slot's in the spool is another" in held["reason"]
    hint = held["deliveries"][0]["error"]["hint"]
    assert f"batchxfer accept {held['run']} --why TEXT" in hint
    assert office("run", "--due").code == 0
    assert office("accept", held["run"], "--why", "they have it").code == 0
    assert office("status").code == 0


def test_a_sidecar_that_lacks_is_a_question(office: Office) -> None:
    office.hourly("hourly", file='done_file = "{path}.done"')
    forgetful(office, 1, 2)
    last = max(name for name in office.there() if name.endswith(".done"))
    (office.folder / "out" / last).unlink()
    seen = office.reconcile(code=4)
    assert verdicts(seen) == ["found", "undecided"]
    assert f"{last}, which belongs to it, is not" in seen["runs"][1]["looks"][0]["reason"]


@pytest.mark.parametrize("taken", ["all", "one"])
def test_what_was_built_and_is_gone_may_have_been_taken_away(office: Office, taken: str) -> None:
    """A partner that takes its files away is known by the file before; else the one that lacks was never there."""
    office.hourly("hourly")
    there = forgetful(office, 2, 1)
    for name in sorted(there) if taken == "all" else [max(there)]:
        (office.folder / "out" / name).unlink()
    seen = office.reconcile(code=4 if taken == "all" else 0)
    assert verdicts(seen) == ["undecided" if taken == "all" else "absent"]
    assert office("run", "--due").code == 0
    assert set(office.there()) == (set() if taken == "all" else set(there))


def test_a_file_that_the_partner_takes_at_once_is_a_question(office: Office) -> None:
    office.write("config.toml", CONFIG + 'vanished = "delivered"\n')
    office.hourly("hourly")
    forgetful(office, 1, 1)
    for path in (office.folder / "out").iterdir():
        path.unlink()
    seen = office.reconcile(code=4)
    assert verdicts(seen) == ["undecided"]
    (held,) = office.runs("held")
    assert office("retry", held["run"]).code == 0
    assert len(office.there()) == 1


def test_an_endpoint_that_nobody_can_reach_keeps_its_slots_held_until_it_is_back(office: Office) -> None:
    office.write("config.toml", CONFIG + '[endpoints.away]\nprotocol = "local"\nroot = "away"\n')
    (office.folder / "away").mkdir()
    office.hourly("here")
    office.hourly("there", endpoint="away")
    forgetful(office, 1, 1)
    (office.folder / "away").rename(office.folder / "gone")
    seen = office.reconcile(code=4)
    assert sorted(verdicts(seen)) == ["found", "not-looked"]
    assert not seen["over"]
    assert office("run", "--due").code == 0
    (held,) = office.runs("held")
    assert "nobody could look" in held["reason"]
    assert office("retry", held["run"]).code == 4
    (office.folder / "gone").rename(office.folder / "away")
    seen = office.reconcile()
    assert verdicts(seen) == ["found"]
    assert seen["over"]


def test_only_the_jobs_that_are_named_are_reconciled(office: Office) -> None:
    office.hourly("one")
    office.hourly("two")
    forgetful(office, 1, 1)
    seen = office.reconcile("one")
    assert [run["job"] for run in seen["runs"]] == ["one"]
    assert not seen["over"]
    assert office.reconcile("two")["over"]
    assert office("reconcile", "three").code == 2


def test_a_ledger_that_came_back_with_its_spool_is_declared(office: Office) -> None:
    office.hourly("hourly")
    office("run", "--due")
    office.hours(1)
    copy, spool = office.back_up(), shutil.copytree(office.folder / "var/spool", office.folder / "spool-then")
    office.hours(1)
    there = office.there()
    office.put_back(copy)
    shutil.rmtree(office.folder / "var/spool")
    spool.rename(office.folder / "var/spool")
    told = office("reconcile")
    assert told.code == 0
    assert "the ledger is whole" in told.out
    assert "batchxfer reconcile --why TEXT" in told.err
    assert office("reconcile", "--why", " ").code == 2
    seen = office.reconcile("--why", "the disk of var was lost")
    assert seen["restored"]["declared"]
    assert verdicts(seen) == ["found"]
    assert office("run", "--due").code == 0
    assert office.there() == there


def test_a_run_that_was_under_way_in_the_backup_is_found_by_its_own_name(office: Office) -> None:
    office.hourly("hourly")
    office("run", "--due")
    office.clock.later(HOUR)
    out = office.folder / "out"
    out.rename(office.folder / "away")
    assert office("run", "--due").code == 1
    (failed,) = office.runs("failed")
    copy = office.back_up()
    (office.folder / "away").rename(out)
    assert office("retry", failed["run"]).code == 0
    there = office.there()
    office.put_back(copy)
    office.hourly("hourly", "renamed_" + NAME)
    seen = office.reconcile()
    assert verdicts(seen) == ["found"]
    assert seen["runs"][0]["run"] == failed["run"]
    assert office("retry", failed["run"]).code == 0
    assert office.there() == there


BY_HAND = """
[source]
database = "shop"
query = "select id from orders order by id"
[file]
format = "psv"
endpoint = "out"
path = "{job}_{slot_utc:%Y%m%dT%H%M%S}.psv"
"""


@pytest.mark.parametrize("words", [(), ("--slot", "2026-11-20T06:00")])
def test_what_was_run_by_hand_is_known_by_what_the_spool_has(office: Office, words: tuple[str, ...]) -> None:
    """No daemon owes these slots: without this, `run` would find a file that it takes for somebody else's."""
    office.hourly("hourly")
    office.job("by-hand", BY_HAND)
    for name in ("hourly", "by-hand"):
        assert office("run", name, *words).code == 0
    copy = office.back_up()
    for name in ("hourly", "by-hand"):
        assert office("run", name, "--slot", "2026-11-21T06:00").code == 0
    there = office.there()
    office.put_back(copy)
    assert verdicts(office.reconcile("--dry-run")) == ["found", "found"]
    seen = office.reconcile()
    assert verdicts(seen) == ["found", "found"]
    assert {run["status"] for run in seen["runs"]} == {"delivered"}
    for name in ("hourly", "by-hand"):
        assert office("run", name, "--slot", "2026-11-21T06:00").code == 0
    assert office.there() == there


def test_what_was_built_by_hand_and_is_not_there_is_owed_by_nobody(office: Office) -> None:
    office.job("by-hand", BY_HAND)
    assert office("run", "by-hand", "--slot", "2026-11-20T06:00").code == 0
    copy = office.back_up()
    assert office("run", "by-hand", "--slot", "2026-11-21T06:00").code == 0
    (office.folder / "out" / max(office.there())).unlink()
    office.put_back(copy)
    seen = office.reconcile()
    assert (seen["runs"], seen["over"]) == ([], True)
    assert office("run", "--due").code == 0
    assert len(office.there()) == 1


# --- what was fetched ------------------------------------------------------------------------------

PULL = """
direction = "pull"
[schedule]
every = "1h"
[file]
endpoint = "out"
path = "box/*.csv"
"""


def pulled(office: Office, job: str = PULL) -> None:
    """The ledger of the first file, where a second one was fetched since."""
    office.job("rates", job)
    office.put("box/a.csv", "id\n1\n")
    office("run", "--due")
    office.hours(1)
    copy = office.back_up()
    office.put("box/b.csv", "id\n2\n")
    office.hours(1)
    assert office.fetched() == {"a.csv": "id\n1\n", "b.csv": "id\n2\n"}
    office.put_back(copy)


def test_files_that_may_have_been_taken_are_a_question_and_are_not_taken_again(office: Office) -> None:
    pulled(office)
    assert office("run", "--due").code == 4
    office.clock.later(HOUR)
    assert office("run", "--due").code == 4
    assert set(office.fetched()) == {"a.csv", "b.csv"}
    seen = office.reconcile(code=4)
    assert sorted(verdicts(seen)) == ["absent", "undecided"]
    (held,) = office.runs("held")
    assert "1 there that may have been taken before: box/b.csv" in held["reason"]
    office.put("box/c.csv", "id\n3\n")
    office.hours(1)
    assert set(office.fetched()) == {"a.csv", "b.csv", "c.csv"}
    assert office("accept", held["run"], "--why", "b.csv is in var/in").code == 0
    office.hours(2)
    assert set(office.fetched()) == {"a.csv", "b.csv", "c.csv"}
    assert office("status").code == 0


def test_a_file_that_was_not_taken_before_is_taken_when_a_person_says_so(office: Office) -> None:
    pulled(office)
    (office.folder / "var/in/rates/b.csv").unlink()
    office.reconcile(code=4)
    (held,) = office.runs("held")
    assert office("retry", held["run"]).code == 0
    assert office.fetched() == {"a.csv": "id\n1\n", "b.csv": "id\n2\n"}


@pytest.mark.parametrize("run_first", [True, False])
def test_a_pull_by_hand_does_not_take_again_what_it_took(office: Office, run_first: bool) -> None:
    office.job("rates", PULL.replace('[schedule]\nevery = "1h"\n', ""))
    assert office("run", "rates").code == 0
    copy = office.back_up()
    office.put("box/b.csv", "id\n2\n")
    office.clock.later(60)
    assert office("run", "rates").code == 0
    office.put_back(copy)
    office.clock.later(60)
    if run_first:
        assert office("run", "rates").code == 4
    seen = office.reconcile(code=4)
    assert verdicts(seen) == ["undecided"]
    office.clock.later(60)
    assert office("run", "rates").code == 0
    assert office.fetched() == {"b.csv": "id\n2\n"}


def test_a_load_is_not_done_again(office: Office) -> None:
    with contextlib.closing(sqlite3.connect(office.folder / "shop.db")) as shop:
        shop.execute("create table rates(id integer)")
        pulled(office, PULL + 'format = "psv"\n[load]\ndatabase = "shop"\ntable = "rates"\n')
        assert office("run", "--due").code == 4
        assert office.reconcile(code=4)["over"]
        (held,) = office.runs("held")
        assert "look into var/in/{job}/{name}, and table rates" in office("show", held["run"]).out
        assert office("accept", held["run"], "--why", "it is loaded").code == 0
        office.hours(2)
        assert sorted(shop.execute("select id from rates").fetchall()) == [(1,), (2,)]
