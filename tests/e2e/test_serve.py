"""`serve`: due slots, signals, reloading, retries that survive, pauses, notices."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import CONFIG, SLOW_QUERY, Project, make_project, until
from tests.e2e.daemons import OFTEN, Daemon, serving

# So that no other slot comes in the middle of a test.
RARELY = OFTEN.replace('"2s"', '"52w"')
RETRY = '[retry]\nafter = ["{after}", "{after}", "{after}", "{after}"]\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path)
    (tmp_path / "jobs/daily.toml").unlink()
    (tmp_path / "jobs/by-hand.toml").unlink()
    project.job("often", OFTEN)
    return project


def runs(project: Project, *words: str) -> list[Any]:
    return list(reversed(project("runs", "--json", "--limit", "500", *words).document["runs"]))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def assert_each_slot_once(project: Project, seconds: int = 2) -> list[Any]:
    """Every slot since the first is there, delivered, and its file exists once."""
    found = runs(project)
    slots = [at(run["slot"]) for run in found]
    assert slots == [slots[0] + number * timedelta(seconds=seconds) for number in range(len(slots))]
    assert {run["status"] for run in found} == {"delivered"}
    names = [f"often_{slot.astimezone(UTC):%Y%m%dT%H%M%SZ}.psv" for slot in slots]
    assert sorted(project.delivered()) == sorted(names)
    return found


# --- on time, and to an end ----------------------------------------------------------------------


def test_a_due_slot_is_delivered_within_about_a_second_and_sigterm_ends_with_0(project: Project) -> None:
    with serving(project) as daemon:
        daemon.wait_for("delivered", 3)
        assert daemon.end() == 0
        assert daemon.lines[0]["action"] == "serving"
        assert [line["action"] for line in daemon.lines][-2:] == ["stopping", "stopped"]
        assert list(daemon.lines[0]) == ["at", "level", "action", "message"]
    for run in assert_each_slot_once(project):
        # The machine may be busy with other tests.
        delivered_at = at(run["deliveries"][0]["delivered_at"])
        assert timedelta() < delivered_at - at(run["slot"]) < timedelta(seconds=2.5)
    first = next(iter(project.delivered().values()))
    assert first.splitlines()[1].startswith("1|Ana García|")


def test_what_runs_at_sigterm_is_finished_within_its_grace(project: Project) -> None:
    make_slow(project, 1_000_000)
    with serving(project, "--grace", "50s") as daemon:
        daemon.wait_for("begun")
        assert daemon.end() == 0
    (run, *_) = runs(project)
    assert run["status"] == "delivered"
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["built", "delivered"]


def make_slow(project: Project, rows: int, more: str = "") -> None:
    """Let the query take a while: until `pace` says otherwise."""
    project.execute("create table pace(rows integer)")
    project.execute(f"insert into pace values ({rows})")
    count = SLOW_QUERY.format(rows="(select rows from pace)").replace("select i from c", "select count(*) from c")
    project.job("often", OFTEN.replace("select id", f"select ({count}) as n, id") + more)


def test_what_outlasts_the_grace_is_handed_back_and_costs_no_retry(project: Project) -> None:
    make_slow(project, 500_000_000, "[retry]\nafter = []\n")
    with serving(project, "--grace", "1s") as daemon:
        daemon.wait_for("begun")
        began = time.monotonic()
        assert daemon.end() == 0
        assert time.monotonic() - began < 15
        assert daemon.said("handed-back")
    run = runs(project)[0]
    assert (run["status"], run["attempts"][0]["outcome"]) == ("pending", "abandoned")
    project.execute("update pace set rows = 1")
    assert project("run", "--due").code == 0
    assert runs(project)[0]["status"] == "delivered"


def test_ctrl_c_drains_too_and_says_so_by_130_and_a_second_one_ends_at_once(project: Project) -> None:
    with serving(project) as daemon:
        daemon.wait_for("serving")
        assert daemon.end(signal.SIGINT) == 130
    make_slow(project, 500_000_000)
    with serving(project) as daemon:
        daemon.wait_for("begun")
        daemon.send(signal.SIGINT)
        daemon.wait_for("stopping")
        assert daemon.end(signal.SIGINT) == 130


def test_a_second_serve_on_a_sqlite_ledger_is_busy_and_a_first_that_was_killed_is_not(project: Project) -> None:
    with serving(project) as daemon:
        daemon.wait_for("serving")
        second = project.process("serve", "--json")
        assert (second.code, second.document["error"]["kind"]) == (5, "busy")
        daemon.end(signal.SIGKILL)
    with serving(project) as daemon:
        daemon.wait_for("serving")
        assert daemon.end() == 0


def test_paths_that_collide_are_refused_as_check_does(project: Project) -> None:
    project.job("often", OFTEN.replace("%Y%m%dT%H%M%SZ", "%Y%m%d"))
    said = project.process("serve")
    assert (said.code, said.out) == (2, "")
    assert "jobs/often.toml: file.path" in said.err


# --- reloading -----------------------------------------------------------------------------------


def test_sighup_takes_up_a_valid_configuration_and_keeps_an_invalid_one_out(project: Project) -> None:
    with serving(project) as daemon:
        daemon.wait_for("serving")
        project.job("more", OFTEN)
        daemon.send(signal.SIGHUP)
        assert daemon.wait_for("reloaded")["jobs"] == 2
        daemon.wait_for("delivered", job="more")

        project.job("more", OFTEN.replace("[source]", "[sauce]"))
        daemon.send(signal.SIGHUP)
        until(lambda: refused(daemon, "jobs/more.toml: sauce: "))
        until(lambda: refused(daemon, "the configuration was not taken up: serving goes on as before"))
        daemon.wait_for("delivered", len(daemon.said("delivered", job="more")) + 1, job="more")

        project.job("more", OFTEN)
        project.write("config.toml", 'spool = "elsewhere"\n' + CONFIG)
        daemon.send(signal.SIGHUP)
        until(lambda: refused(daemon, "`ledger` or `spool` is another one now"))
        project.write("config.toml", CONFIG)
        project.job("more", OFTEN.replace("%Y%m%dT%H%M%SZ", "%Y%m%d"))
        daemon.send(signal.SIGHUP)
        until(lambda: refused(daemon, "jobs/more.toml: file.path: "))
        (project.folder / "config.toml").unlink()
        daemon.send(signal.SIGHUP)
        until(lambda: refused(daemon, "the configuration "))
        assert daemon.end() == 0


def test_what_runs_when_a_configuration_is_taken_up_stays_with_whoever_does_it(project: Project) -> None:
    make_slow(project, 500_000_000)
    with serving(project) as daemon:
        run = daemon.wait_for("begun", job="often")["run"]
        project.job("more", OFTEN)
        daemon.send(signal.SIGHUP)
        # The first tick with the new configuration is over when something has come of it.
        daemon.wait_for("delivered", job="more")
        assert daemon.said("given-back") == []
        assert [line["run"] for line in daemon.said("begun", job="often")] == [run]
        (there,) = [each for each in runs(project) if each["run"] == run]
        assert there["status"] == "running"


@pytest.mark.parametrize("way", ["SIGHUP", "restart"])
def test_a_schedule_that_is_changed_sends_nothing_of_the_time_before(project: Project, way: str) -> None:
    project.job("orders", RARELY)
    project("run", "--due")
    longer_ago(project, "orders", timedelta(minutes=15))
    with serving(project) as daemon:
        daemon.wait_for("delivered", job="often")
        project.job("orders", OFTEN.replace('"2s"', '"1m"'))
        project.job("new", OFTEN)
        if way == "SIGHUP":
            daemon.send(signal.SIGHUP)
            daemon.wait_for("delivered", job="new")
        assert daemon.end() == 0
    if way == "restart":
        with serving(project) as daemon:
            daemon.wait_for("delivered", job="new")
    assert len(runs(project, "--job", "orders")) <= 2


def longer_ago(project: Project, job: str, by: timedelta) -> None:
    """A job's mark, as where no slot came for so much longer."""
    with contextlib.closing(sqlite3.connect(project.folder / "var/ledger.db")) as ledger, ledger:
        ((until,),) = ledger.execute("select planned_until from marks where job = ?", [job]).fetchall()
        earlier = (at(until) - by).isoformat(timespec="microseconds")
        ledger.execute("update marks set planned_until = ? where job = ?", [earlier, job])


def refused(daemon: Daemon, beginning: str) -> list[Any]:
    return [line for line in daemon.said("reload-refused") if line["message"].startswith(beginning)]


# --- retries and pauses --------------------------------------------------------------------------


def unreachable(port: int, name: str = "bank") -> str:
    return f"""
[endpoints.{name}]
protocol = "sftp"
host = "127.0.0.1"
port = {port}
user = "bank"
password = {{ env = "BANK_PASSWORD" }}
host_key = ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
"""


def test_a_retry_is_due_after_a_restart_when_it_was_due_before(project: Project) -> None:
    folder = project.folder / "out"
    folder.rename(project.folder / "gone")
    (project.folder / "out").touch()
    project.write("config.toml", CONFIG + unreachable(1))
    project.job("often", OFTEN.replace('"2s"', '"5s"').replace('"out"', '"bank"') + RETRY.format(after="4s"))
    project.environment["BANK_PASSWORD"] = "secret"
    with serving(project) as daemon:
        line = daemon.wait_for("retrying")
        daemon.end(signal.SIGKILL)
    retry_at = at(line["retry_at"])
    project.job("often", RARELY.replace('"out"', '"bank"') + RETRY.format(after="4s"))
    with serving(project) as daemon:
        daemon.wait_for("begun", run=line["run"])
        again = at(daemon.said("begun", run=line["run"])[0]["at"])
        assert retry_at <= again < retry_at + timedelta(seconds=4)
        daemon.wait_for("retrying", run=line["run"])
        daemon.end()
    found = next(run for run in runs(project) if run["run"] == line["run"])
    # What is retried is the artifact: one build, however many tries.
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["built", "transient", "transient"]


def test_pause_stops_what_starts_and_status_shows_it_until_resume(project: Project) -> None:
    assert project("pause", "often", "--why", "their holidays").code == 0
    assert project("pause", "offen", "--why", "x").err.startswith("error: there is no job 'offen'")
    assert project("pause", "out", "--why", "x").err.endswith("an endpoint is written with an @: @out\n")
    paused = project("pause", "@out", "--why", "full", "--json").document["paused"]
    assert [(each["subject"], each["why"], each["until"]) for each in paused] == [
        ("often", "their holidays", None),
        ("@out", "full", None),
    ]
    with serving(project) as daemon:
        daemon.wait_for("due", 2)
        assert daemon.said("begun") == []
        daemon.end()
    (row,) = project("status", "--json").document["jobs"]
    assert (row["counts"]["pending"] >= 2, row["reason"]) == (True, "often is paused: their holidays")
    assert "paused" in project("status").out
    by_hand = project("run", "often", "--json")
    assert (by_hand.code, by_hand.run["status"], by_hand.run["reason"]) == (
        4,
        "pending",
        "often is paused: their holidays",
    )
    assert project("resume", "often", "--json").document["paused"][0]["subject"] == "@out"
    due = project("run", "--due", "--json")
    assert (due.code, {run["status"] for run in due.document["runs"]}) == (4, {"pending"})
    assert {run["reason"] for run in due.document["runs"]} == {"@out is paused: full"}
    assert project("resume", "@out").code == 0
    assert project("resume", "@out").out == "@out was not paused: nothing to do\n"
    assert project("run", "--due").code == 0
    assert_each_slot_once(project)


# --- run --due -----------------------------------------------------------------------------------


def test_run_due_from_a_cron_owes_what_came_since_the_last_one(project: Project) -> None:
    project.job("other", OFTEN)
    first = project("run", "--due", "often")
    assert (first.code, first.out) == (0, "nothing is due\n")
    time.sleep(2.1)
    assert project("run", "--due", "oftn").code == 2
    assert project("run", "--due", "--slot", "now").code == 2
    assert project("run").code == 2
    said = project("run", "--due", "often", "--json")
    assert said.code == 0
    assert {(run["job"], run["status"]) for run in said.document["runs"]} == {("often", "delivered")}
    assert all(name.startswith("often_") for name in project.delivered())


def test_run_due_tells_by_its_exit_status_what_came_of_it(project: Project) -> None:
    project.write("config.toml", CONFIG + unreachable(1))
    project.environment["BANK_PASSWORD"] = "secret"
    project.job("failing", OFTEN.replace('"out"', '"bank"'))
    project.job("wrong", OFTEN.replace("from orders", "from ordres"))
    assert project("run", "--due").code == 0
    time.sleep(2.1)
    assert project("run", "--due", "failing").code == 3
    assert project("run", "--due", "wrong", "failing").code in (1, 3)
    assert project("status").code == 1


def test_two_run_due_at_once_do_each_slot_once(project: Project) -> None:
    project("run", "--due")
    time.sleep(4.1)
    both = [project.begin("run", "--due") for _ in range(2)]
    assert {process.wait(60) for process in both} <= {0, 5}
    for process in both:
        process.communicate()
    assert_each_slot_once(project)


# --- systemd, late -------------------------------------------------------------------------------


def test_the_service_manager_hears_that_it_is_ready_alive_and_stopping(project: Project, tmp_path: Path) -> None:
    address = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(30)
        with serving(project, NOTIFY_SOCKET=address) as daemon:
            assert listener.recv(1000).startswith(b"READY=1\n")
            assert listener.recv(1000) == b"WATCHDOG=1"
            daemon.end()
            heard = [b""]
            while heard[-1] != b"STOPPING=1":
                heard.append(listener.recv(1000))


def test_a_slot_that_nobody_planned_is_late_all_the_same(project: Project) -> None:
    project.job("often", OFTEN.replace('every = "2s"', 'every = "2s"\nlate_after = "1s"'))
    assert project("run", "--due").code == 0
    assert project("status").code in (0, 3)
    time.sleep(3.2)
    said = project("status", "--json")
    (row,) = said.document["jobs"]
    assert (said.code, row["late"], row["counts"]["pending"]) == (3, True, 0)
    assert "no `serve`" in row["reason"]
    assert project("run", "--due").code == 0
    assert project("status").code == 0 or project("run", "--due").code == 0


# --- notices -------------------------------------------------------------------------------------

NOTIFY = """
[[notify]]
on = ["failed", "recovered"]
command = ["./tell.sh"]
remind = "1s"
"""


def told(project: Project) -> list[Any]:
    path = project.folder / "told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_notices_come_at_least_once_and_are_repeated_until_it_is_over(project: Project) -> None:
    project.write("config.toml", CONFIG + NOTIFY)
    project.job("wrong", RARELY.replace("from orders", "from ordres"))
    project.write("tell.sh", "#!/bin/sh\ncat >> told; echo >> told\n").chmod(0o700)
    said = project("run", "wrong", "--json")
    assert said.code == 1
    run = said.run["run"]
    with serving(project) as daemon:
        until(lambda: len(told(project)) >= 2)
        daemon.end(signal.SIGKILL)
    first, second = told(project)[:2]
    assert (first["kind"], first["job"], first["run"], first["reminder"]) == ("failed", "wrong", run, False)
    assert "ordres" in first["reason"]
    assert (second["notice"], second["reminder"]) == (first["notice"], True)
    project.job("wrong", RARELY)
    assert project("retry", run).code == 0
    assert project("run", "--due").code == 0
    assert (told(project)[-1]["kind"], told(project)[-1]["run"]) == ("recovered", run)
    count = len(told(project))
    assert project("run", "--due").code == 0
    assert len(told(project)) == count


def test_a_notify_command_that_hangs_keeps_neither_slots_nor_the_end_waiting(project: Project) -> None:
    project.write("config.toml", CONFIG + NOTIFY)
    project.job("wrong", RARELY.replace("from orders", "from ordres"))
    project.write("tell.sh", "#!/bin/sh\necho $$ > pid\nsleep 100\n").chmod(0o700)
    assert project("run", "wrong").code == 1
    with serving(project) as daemon:
        until(lambda: (project.folder / "pid").exists())
        daemon.wait_for("delivered", 2, job="often")
        began = time.monotonic()
        assert daemon.end() == 0
        assert time.monotonic() - began < 15
    os.kill(int((project.folder / "pid").read_text()), signal.SIGKILL)
    assert project("status").code == 1
