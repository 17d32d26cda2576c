"""The project as a whole: init, check, plan, runs, status, prune, schema, completion."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchxfer.cli import process
from tests.e2e.command import DAILY, PROGRAM, Project, clean, make_project

SLOT = "2026-01-05T06:00"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


# --- init ----------------------------------------------------------------------------------------


def test_a_new_project_checks_and_runs_as_it_is(tmp_path: Path) -> None:
    begun = Project(tmp_path).process("init", "shop")
    assert (begun.code, begun.err) == (0, "")
    assert begun.out.splitlines()[-3:] == ["  cd shop", "  batchxfer check", "  batchxfer run orders"]
    assert (tmp_path / "shop/var/ledger.db").is_file()
    shop = Project(tmp_path / "shop")
    assert shop("check").out == "ok: 1 job, 1 format, 1 endpoint\n"
    assert shop("runs", "--json").document == {"runs": []}
    assert shop("run", "orders").code == 0
    assert list((tmp_path / "shop/outbox").iterdir())


def test_init_overwrites_nothing(project: Project) -> None:
    before = (project.folder / "config.toml").read_bytes()
    said = project("init")
    assert said.code == 2
    assert "nothing is overwritten" in said.err
    assert (project.folder / "config.toml").read_bytes() == before
    assert not (project.folder / "jobs/orders.toml").exists()


def test_init_is_told_as_json(tmp_path: Path) -> None:
    document = Project(tmp_path)("init", "shop", "--json").document
    assert document["folder"] == str(tmp_path / "shop")
    assert "shop/config.toml" in document["files"]


# --- check ---------------------------------------------------------------------------------------


def test_check_says_ok_and_opens_nothing(project: Project) -> None:
    assert project("check", "--json").document == {"ok": True, "problems": []}
    said = project.process("check")
    assert (said.code, said.out, said.err) == (0, "ok: 2 jobs, 1 format, 1 endpoint\n", "")
    assert not (project.folder / "var").exists(), "check needs no ledger"


def test_check_warns_of_weaker_promises_and_of_secrets_that_others_read(project: Project) -> None:
    secret = project.write("password", "x")
    secret.chmod(0o644)
    path = project.folder / "config.toml"
    path.write_text(
        path.read_text().replace('root = "out"', 'root = "out"\npublish = "direct"')
        + '[databases.other]\nurl = "postgresql://me@127.0.0.1/x"\npassword = { file = "password" }\n'
    )
    said = project("check", "--json")
    assert (said.code, said.document["ok"]) == (0, True)
    assert "warning: config.toml: endpoints.out.publish: direct" in said.err
    assert "databases.other.password" in said.err
    assert "chmod 600" in said.err
    secret.chmod(0o600)
    assert "password" not in project("check").err


def test_a_missing_configuration_is_a_problem_too(tmp_path: Path) -> None:
    said = Project(tmp_path)("check", "--json")
    assert said.code == 2
    assert said.document["ok"] is False
    assert said.document["problems"][0]["file"] == "config.toml"


# --- plan ----------------------------------------------------------------------------------------


def test_plan_has_the_next_ten_slots_of_each_job(project: Project) -> None:
    said = project("plan", "--json")
    assert list(said.document) == ["slots"]
    slots = said.document["slots"]
    assert len(slots) == 10
    assert all(datetime.fromisoformat(slot["slot"]) > datetime.now(UTC) for slot in slots)
    assert len(project("plan", "daily", "--count", "3", "--json").document["slots"]) == 3
    assert not (project.folder / "var").exists(), "plan needs no ledger"


def test_plan_shows_every_clock_over_a_clock_change(project: Project) -> None:
    said = project("plan", "daily", "--from", "2026-03-28", "--days", "3", "--json")
    assert said.document["slots"][1] == {
        "job": "daily",
        "slot": "2026-03-29T06:00:00+02:00",
        "slot_utc": "2026-03-29T04:00:00+00:00",
        "interval_start": "2026-03-28T06:00:00+01:00",
        "interval_end": "2026-03-29T06:00:00+02:00",
        "business_date": "2026-03-29",
        "deliveries": [
            {"endpoint": "out", "path": "daily_20260329.psv", "slot_local": "2026-03-29T13:00:00+09:00"},
        ],
    }
    assert [slot["business_date"] for slot in said.document["slots"]] == ["2026-03-28", "2026-03-29", "2026-03-30"]
    told = project.process("plan", "daily", "--from", "2026-03-28", "--days", "3").out
    assert "daily  Sun 2026-03-29 06:00 Europe/Berlin  2026-03-29 04:00" in told
    assert "out: daily_20260329.psv  Europe/Berlin: clock forward 1h to 03:00 on 2026-03-29" in told


def test_plan_takes_whole_days_of_24_hours_and_excludes_the_end(project: Project) -> None:
    said = project("plan", "daily", "--from", "2026-03-28T06:00", "--days", "1", "--json")
    assert [slot["slot"] for slot in said.document["slots"]] == [
        "2026-03-28T06:00:00+01:00",
        "2026-03-29T06:00:00+02:00",
    ][:2]


@pytest.mark.parametrize("words", [["nope"], ["daily", "--from", "2026-03-29T02:30"], ["--days", "-1"]])
def test_a_plan_that_makes_no_sense_is_refused(project: Project, words: list[str]) -> None:
    assert project("plan", *words).code == 2


def test_a_job_that_owes_nothing_has_no_slots_and_says_why(project: Project) -> None:
    project.job("off", "enabled = false\n" + DAILY)
    said = project("plan", "by-hand", "off", "--json")
    assert (said.code, said.document) == (0, {"slots": []})
    assert "'by-hand' has no schedule" in said.err
    assert "'off' is not enabled" in said.err
    assert {slot["job"] for slot in project("plan", "--json").document["slots"]} == {"daily"}


# --- runs, status --------------------------------------------------------------------------------


def test_runs_are_listed_newest_slot_first_and_filtered(project: Project) -> None:
    assert project("runs").out.startswith("no runs yet")
    project("run", "daily", "--from", "2026-01-01", "--to", "2026-01-04")
    project.write("out/daily_20260104.psv", "theirs")
    project("run", "daily", "--slot", "2026-01-04T06:00")

    def dates(*words: str) -> list[str]:
        return [run["business_date"][-2:] for run in project("runs", *words, "--json").document["runs"]]

    assert dates() == ["04", "03", "02", "01"]
    assert dates("--limit", "2") == ["04", "03"]
    assert dates("--status", "held") == ["04"]
    assert dates("--status", "Held") == ["04"]
    assert dates("--since", "2026-01-03T06:00") == ["04", "03"]
    assert dates("--job", "by-hand") == []
    table = project("runs").out.splitlines()
    assert table[0].split() == ["RUN", "JOB", "DUE", "(Europe/Berlin)", "STATUS", "ROWS", "SIZE", "WHERE", "OR", "WHY"]
    assert table[1].split()[1:5] == ["daily", "2026-01-04", "06:00", "held"]
    assert table[2].endswith("delivered     2  34 B  → out")


def test_status_tells_how_each_job_stands_and_exits_by_the_worst(project: Project) -> None:
    empty = project("status", "--json")
    assert empty.code == 0
    assert [job["job"] for job in empty.document["jobs"]] == ["by-hand", "daily"]
    assert [job["last"] for job in empty.document["jobs"]] == [None, None]
    run = project("run", "daily", "--slot", SLOT, "--json").run
    said = project("status", "--json")
    assert said.code == 0
    by_hand, daily = said.document["jobs"]
    assert list(daily) == ["job", "last", "next_slot", "late", "counts", "reason"]
    assert daily["last"] == {
        "run": run["run"],
        "slot": run["slot"],
        "delivered_at": run["deliveries"][0]["delivered_at"],
        "rows": 2,
        "bytes": 34,
    }
    assert by_hand["next_slot"] is None
    assert timedelta() < datetime.fromisoformat(daily["next_slot"]) - datetime.now(UTC) < timedelta(hours=25)
    project.write("out/daily_20260106.psv", "theirs")
    project("run", "daily", "--slot", "2026-01-06T06:00")
    held = project("status", "--json")
    assert held.code == 4
    assert held.document["jobs"][1]["counts"]["held"] == 1
    assert held.document["jobs"][1]["late"] is True
    assert "is there already" in held.document["jobs"][1]["reason"]
    assert "late, 1 held" in project("status").out
    assert project("status").out.endswith("→ what happened to one, and what to type: batchxfer show RUN\n")


# --- prune ---------------------------------------------------------------------------------------


def age(path: Path, days: float) -> None:
    os.utime(path, times=(time.time() - days * 86400,) * 2)


def test_prune_removes_what_was_delivered_long_ago_and_keeps_what_was_not(project: Project) -> None:
    run = project("run", "daily", "--slot", SLOT, "--json").run
    project.write("out/daily_20260106.psv", "theirs")
    kept = project("run", "daily", "--slot", "2026-01-06T06:00", "--json").run
    project.write("config.toml", 'keep_artifacts = "1s"\n' + (project.folder / "config.toml").read_text())
    time.sleep(1.2)
    dry = project("prune", "--dry-run", "--json").document
    assert [found["run"] for found in dry["artifacts"]] == [run["run"]]
    assert Path(run["artifact"]["path"]).exists()
    done = project("prune", "--json").document
    assert (done["removed"], done["bytes"], done["artifacts"]) == (True, 34, dry["artifacts"])
    assert not Path(run["artifact"]["path"]).exists()
    assert Path(kept["artifact"]["path"]).exists()
    assert project("prune").out == "0 artifacts and 0 orphaned files removed, 0 B\n"
    assert "(pruned)" in project("show", run["run"]).out
    refused = project("resend", run["run"])
    assert refused.code == 2
    assert "batchxfer rerun" in refused.err


def test_prune_removes_leftovers_of_ours_that_are_older_than_a_day_and_nothing_else(project: Project) -> None:
    project("run", "daily", "--slot", SLOT)
    spool = project.folder / "var/spool"
    ours = spool / "daily/20260101T050000Z-01M840JWRXH3H4F8XDXAGSRBQA.part"
    fresh = spool / "daily/20260102T050000Z-01M840JWRXH3H4F8XDXAGSRBQA.part"
    foreign = spool / "family/photo.jpg"
    foreign.parent.mkdir()
    for path in (ours, fresh, foreign):
        path.write_text("x")
    age(ours, 2)
    age(foreign, 400)
    assert project("prune", "--json").document["orphans"] == [str(ours)]
    assert (ours.exists(), fresh.exists(), foreign.exists()) == (False, True, True)


# --- schema, completion --------------------------------------------------------------------------


def test_schemas_know_every_table_and_refuse_unknown_keys(tmp_path: Path) -> None:
    said = Project(tmp_path)("schema", "--json")
    assert list(said.document) == ["config", "job", "format"]
    for name in said.document:
        one = Project(tmp_path)("schema", name)
        assert one.document == said.document[name]
        assert one.document["$schema"].startswith("http")
    assert Project(tmp_path)("schema", "jobs").code == 2


def completed(project: Project, line: str) -> list[str]:
    words = line.split(" ")
    environment = {
        **clean(project.folder),
        "_BATCHXFER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run([PROGRAM], cwd=project.folder, env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_a_tab_completes_commands_jobs_endpoints_and_runs(project: Project) -> None:
    run = project("run", "daily", "--slot", SLOT, "--json").run["run"]
    assert completed(project, "batchxfer ret") == ["retry"]
    assert completed(project, "batchxfer rec") == ["reconcile"]
    assert completed(project, "batchxfer run ") == ["by-hand", "daily"]
    assert completed(project, "batchxfer runs --job da") == ["daily"]
    assert completed(project, "batchxfer probe ") == ["out"]
    assert completed(project, "batchxfer show 01") == [run]


def test_a_tab_asks_the_project_that_is_named_before_the_command(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert completed(Project(other), f"batchxfer --config {project.folder}/config.toml run d") == ["daily"]


def test_a_tab_in_a_folder_without_a_project_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    assert completed(Project(tmp_path), "batchxfer run ") == []
    assert completed(Project(tmp_path), "batchxfer show 01") == []


def test_status_says_how_a_job_that_has_no_next_slot_is_begun(project: Project) -> None:
    project.job("removed", DAILY)
    project.job("disabled", "enabled = false\n" + DAILY)
    for job in ("removed", "disabled"):
        assert project("run", job, "--slot", "2026-01-05T06:00").code == 0
    project.write("out/removed_20260106.psv", "theirs")
    assert project("run", "removed", "--slot", "2026-01-06T06:00").code == 4
    (project.folder / "jobs/removed.toml").unlink()
    lines = {line.split()[0]: line for line in project("status").out.splitlines()}
    assert "by hand" in lines["by-hand"]
    # The name, and the word.
    assert "disabled" in lines["disabled"].removeprefix("disabled")
    assert "removed" in lines["removed"].removeprefix("removed").partition("removed_")[0]
    assert "by hand" not in lines["removed"] + lines["disabled"]


@pytest.mark.parametrize(
    ("root", "path"), [("out/sub", "a.psv"), ("{here}/out", "sub/a.psv"), ("./var/../out", "sub/a.psv")]
)
def test_folders_of_this_machine_are_one_place_however_they_are_written(project: Project, root: str, path: str) -> None:
    other = f'[endpoints.other]\nprotocol = "local"\nroot = "{root.format(here=project.folder)}"\n'
    config = (project.folder / "config.toml").read_text()
    project.write("config.toml", config + other)
    name = "{business_date:%Y%m%d}"
    project.job("daily", DAILY.replace("{job}_{business_date:%Y%m%d}.psv", f"sub/{name}a.psv"))
    project.job(
        "second",
        DAILY.replace('"out"', '"other"').replace(
            "{job}_{business_date:%Y%m%d}.psv", path.replace("a.psv", f"{name}a.psv")
        ),
    )
    said = project("check")
    assert said.code == 2
    assert "of job 'daily' at 'out' for the slot" in said.err
    assert "of job 'second' at 'other' for the slot" in said.err
    project.write("config.toml", config + other.replace("out", "elsewhere"))
    assert project("check").code == 0


def test_two_pulls_that_look_into_different_folders_of_one_place_are_not_warned_of(project: Project) -> None:
    config = (project.folder / "config.toml").read_text()
    project.write("config.toml", config + '[endpoints.other]\nprotocol = "local"\nroot = "other"\n')
    pull = 'direction = "pull"\n[schedule]\nevery = "1h"\n[file]\nendpoint = "{}"\npath = "*.csv"\nthen = "delete"\n'
    project.job("first", pull.format("out"))
    project.job("second", pull.format("other"))
    assert "warning" not in project("check").err
    project.job("second", pull.format("out"))
    assert "looks for the same files" in project("check").err


def test_status_of_some_jobs_exits_by_these_alone(project: Project) -> None:
    project.write(f"out/daily_{SLOT[:10].replace('-', '')}.psv", "theirs")
    assert project("run", "daily", "--slot", SLOT).code == 4
    assert project("status", "--json").code == 4
    other = project("status", "by-hand", "--json")
    assert (other.code, [row["job"] for row in other.document["jobs"]]) == (0, ["by-hand"])
    assert "batchxfer show" not in project("status", "by-hand").out
    both = project("status", "by-hand", "daily", "--json")
    assert (both.code, len(both.document["jobs"])) == (4, 2)
    wrong = project("status", "dayly")
    assert wrong.code == 2
    assert "did you mean 'daily'?" in wrong.err


# --- a place, or a name, that is nearly right ----------------------------------------------------


def test_in_a_folder_of_a_project_it_says_where_the_configuration_is(project: Project) -> None:
    said = Project(project.folder / "jobs")("status")
    assert said.code == 2
    assert f"one is in {project.folder}: go there, or say --config ../config.toml" in said.err


def test_where_a_folder_is_named_it_says_the_file_in_it(project: Project, tmp_path: Path) -> None:
    said = project("status", "--config", str(project.folder))
    assert said.code == 2
    assert f"name the file in it: --config {project.folder}/config.toml" in said.err
    assert "begin a project with: batchxfer init" in Project(tmp_path)("status", "--config", "nowhere.toml").err


def test_a_job_s_file_is_nearly_its_name(project: Project) -> None:
    said = project("run", "jobs/daily.toml")
    assert said.code == 2
    assert "did you mean 'daily'?" in said.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("stop",), "→ perhaps: batchxfer pause JOB --why TEXT; see: batchxfer --help"),
        (("test", "daily"), "→ perhaps: batchxfer run JOB --dry-run; see: batchxfer --help"),
        (("runs", "daily"), "→ perhaps: batchxfer runs --job daily; see: batchxfer runs --help"),
        (("frobnicate",), "→ see: batchxfer --help"),
    ],
)
def test_a_word_of_other_programs_is_told_in_ours(project: Project, words: tuple[str, ...], hint: str) -> None:
    said = project(*words)
    assert (said.code, said.err.splitlines()[1]) == (2, hint)


def test_every_word_that_is_proposed_is_a_command() -> None:
    for said in process.OTHERS_SAY.values():
        for one in re.split(r", (?:or|and) |, ", said):
            word = one.split(" ")[0]
            assert word in ("--help", "--version") or Project(Path())(word, "--help").code == 0, said


def test_a_demo_where_nothing_may_be_made_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = Project(tmp_path)("demo", "file/demo")
    assert said.code == 2
    assert "file/demo anew: Not a directory" in said.err


def test_each_argument_stands_in_one_pair_of_brackets() -> None:
    for command in ("init", "demo", "plan", "probe", "schema", "run", "reconcile", "backup"):
        usage = Project(Path())(command, "--help").out.splitlines()[0]
        assert "[[" not in usage, usage


# --- what is on disk -----------------------------------------------------------------------------


def test_what_a_run_leaves_behind_is_for_its_owner_only(project: Project) -> None:
    project("run", "daily", "--slot", SLOT)
    for path in (project.folder / "var").rglob("*"):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_the_ledger_says_the_same_as_the_command(project: Project) -> None:
    run = project("run", "daily", "--slot", SLOT, "--json").run
    ledger = sqlite3.connect(f"file:{project.folder}/var/ledger.db?mode=ro", uri=True)
    try:
        told = ledger.execute("select status, sha256 from deliveries").fetchall()
    finally:
        ledger.close()
    assert told == [("delivered", run["deliveries"][0]["sha256"])]
    assert json.dumps(run)


def test_a_job_that_is_gone_still_shows_what_it_left_open(project: Project) -> None:
    project.job("other", DAILY)
    project.write("out/other_20260105.psv", "theirs")
    run = project("run", "other", "--slot", SLOT, "--json").run
    (project.folder / "jobs/other.toml").unlink()
    status = project("status", "--json")
    assert status.code == 4
    assert [job["job"] for job in status.document["jobs"]] == ["by-hand", "daily", "other"]
    assert project("show", run["run"]).code == 0
    assert project("retry", run["run"]).code == 4
