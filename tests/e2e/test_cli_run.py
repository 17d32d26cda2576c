"""`run`: which slot, which exit status, which words; and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import datetime
from pathlib import Path

import pytest

from batchxfer.cli import process
from tests.e2e.command import BY_HAND, DAILY, ROWS, SLOW_QUERY, Project, end, make_project, until

RUN_KEYS = [
    *("run", "job", "slot", "interval_start", "interval_end", "business_date", "revision", "parameters"),
    *("status", "reason", "retry_at", "attempts", "artifact", "deliveries", "files"),
]
ATTEMPT_KEYS = ["attempt", "number", "endpoint", "started_at", "ended_at", "outcome", "error"]
DELIVERY_KEYS = [
    *("endpoint", "path", "slot_local", "status", "retry_at", "bytes", "sha256", "verified", "evidence"),
    *("delivered_at", "server_key", "error"),
]
SLOT = "2026-01-05T06:00"
UNREACHABLE = """
[endpoints.bank]
protocol = "sftp"
host = "127.0.0.1"
port = 1
user = "bank"
password = { env = "BANK_PASSWORD" }
host_key = ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("run"))
    config = project.folder / "config.toml"
    config.write_text(config.read_text() + UNREACHABLE)
    project.job("to-bank", DAILY.replace('"out"', '"bank"'))
    project.job("bad-query", DAILY.replace("from orders", "from ordres"))
    project.job("strict", DAILY.replace('"out"', '"bank"') + '[retry]\norder = "strict"\n')
    project.job("guarded", DAILY + "[guard]\nmin_rows = 3\n")
    return project


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("slow"))
    query = SLOW_QUERY.format(rows=100_000_000)
    project.job("daily", DAILY.replace("select id, name from orders order by id", query))
    return project


# --- the document --------------------------------------------------------------------------------


def test_a_run_is_told_in_one_document_with_the_keys_of_the_contract(project: Project) -> None:
    said = project.process("run", "daily", "--slot", SLOT, "--json")
    assert (said.code, said.err) == (0, "")
    assert list(said.document) == ["runs"]
    run = said.run
    assert list(run) == RUN_KEYS
    assert run["slot"] == "2026-01-05T06:00:00+01:00"
    assert run["interval_start"] == "2026-01-04T06:00:00+01:00"
    assert run["interval_end"] == "2026-01-05T06:00:00+01:00"
    assert (run["business_date"], run["revision"], run["parameters"]) == ("2026-01-05", 1, {})
    assert (run["status"], run["reason"], run["retry_at"], run["files"]) == ("delivered", None, None, [])
    assert [list(attempt) for attempt in run["attempts"]] == [ATTEMPT_KEYS, ATTEMPT_KEYS]
    assert [(a["endpoint"], a["outcome"]) for a in run["attempts"]] == [(None, "built"), ("out", "delivered")]
    (delivery,) = run["deliveries"]
    assert list(delivery) == DELIVERY_KEYS
    assert (delivery["path"], delivery["slot_local"]) == ("daily_20260105.psv", "2026-01-05T14:00:00+09:00")
    assert (delivery["status"], delivery["verified"], delivery["error"]) == ("delivered", "size", None)
    assert list(run["artifact"]) == ["path", "rows", "bytes", "sha256"]
    assert run["artifact"]["rows"] == 2
    assert Path(run["artifact"]["path"]).read_text("utf-8") == ROWS == project.delivered()["daily_20260105.psv"]
    for instant in (delivery["delivered_at"], run["attempts"][0]["started_at"]):
        assert instant.endswith("+00:00")
        assert datetime.fromisoformat(instant).utcoffset() is not None


def test_the_line_for_people_says_what_when_where_and_how_much(project: Project) -> None:
    said = project("run", "daily", "--slot", "2026-01-06T06:00")
    assert said.err == ""
    assert re.fullmatch(
        r"daily · due 2026-01-06 06:00 Europe/Berlin · delivered to out: daily_20260106\.psv · 2 rows · 34 B · "
        r"sha256 [0-9a-f]{8}… · size checked\n",
        said.out,
    )


def test_what_was_delivered_is_left_alone_however_often_it_is_run(project: Project) -> None:
    first = project("run", "daily", "--slot", "2026-01-07T06:00", "--json").run
    for _ in range(3):
        again = project("run", "daily", "--slot", "2026-01-07T05:00:00Z", "--json")
        assert (again.code, again.run) == (0, first)
    assert "it was delivered before" in project("run", "daily", "--slot", "2026-01-07T06:00").out


# --- which slot ----------------------------------------------------------------------------------


def test_without_a_slot_the_latest_one_that_is_due_runs(project: Project) -> None:
    run = project("run", "daily", "--json").run
    slot = datetime.fromisoformat(run["slot"])
    age = datetime.now(slot.tzinfo) - slot
    assert 0 <= age.total_seconds() < 25 * 3600
    assert (slot.hour, slot.minute) == (6, 0)


@pytest.mark.parametrize(
    ("slot", "message", "hint"),
    [
        ("2026-01-05T06:01", "2026-01-05T06:01:00+01:00 is not a slot", "2026-01-05T06:00:00+01:00"),
        ("2999-01-05T06:00", "is in the future", "batchxfer plan daily"),
        ("yesterday", "--slot 'yesterday' is not a time", "write it like"),
        ("2026-02-30T06:00", "day is out of range", "write it like"),
        ("2026-01-05T06:00:00.5", "is not a time", "write it like"),
        ("0001-01-01", "lies outside of the years 1800 to 9000", "write it like"),
        ("2026-03-29T02:30", "does not exist in Europe/Berlin", "write it like"),
        ("2026-01-05T24:61", "must be in", "write it like"),
    ],
)
def test_a_slot_off_the_schedule_in_the_future_or_in_a_gap_is_refused(
    project: Project, slot: str, message: str, hint: str
) -> None:
    said = project("run", "daily", "--slot", slot)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert hint in said.err
    assert project("run", "daily", "--slot", slot, "--json").document["error"]["kind"] == "usage"


def test_of_a_time_that_comes_twice_the_first_is_meant(project: Project) -> None:
    run = project("run", "by-hand", "--slot", "2025-10-26T02:30", "--json").run
    assert run["slot"] == "2025-10-26T02:30:00+02:00"
    assert run["interval_start"] == "2025-10-26T00:00:00+02:00"
    assert run["interval_end"] == "2025-10-27T00:00:00+01:00"


def test_a_series_is_each_slot_from_the_first_up_to_before_the_last(project: Project) -> None:
    said = project("run", "daily", "--from", "2026-02-01", "--to", "2026-02-03T06:00", "--json")
    assert said.code == 0
    assert [run["business_date"] for run in said.document["runs"]] == ["2026-02-01", "2026-02-02"]
    told = project("run", "daily", "--from", "2026-02-01", "--to", "2026-02-01")
    assert (told.code, told.out) == (0, "no slot is due in [--from, --to): nothing to do\n")


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "2026-01-01"],
        ["--to", "2026-01-01"],
        ["--from", "2026-01-01", "--to", "2026-01-02", "--slot", SLOT],
        ["--from", "2026-01-02", "--to", "2026-01-01"],
        ["--from", "2026-01-02", "--to", "2999-01-01"],
    ],
)
def test_a_series_that_makes_no_sense_is_refused_before_anything_runs(project: Project, words: list[str]) -> None:
    before = project("runs", "--json").document
    assert project("run", "daily", *words).code == 2
    assert project("runs", "--json").document == before


def test_an_unknown_job_is_told_with_the_name_that_was_probably_meant(project: Project) -> None:
    said = project("run", "dayly")
    assert said.code == 2
    assert said.err.startswith("error: there is no job 'dayly'\n→ did you mean 'daily'?")


# --- parameters ----------------------------------------------------------------------------------


def test_parameters_take_the_types_that_the_job_declares(project: Project) -> None:
    given = ["what=a=b", "number=-7", "rate=2.5", "open=false", "day=2026-02-01", "at=2026-02-01T07:30:00"]
    words = [word for value in given for word in ("--param", value)]
    said = project("run", "by-hand", "--slot", "2026-01-01T00:00:01", *words, "--json")
    assert said.run["parameters"] == {
        "what": "a=b",
        "number": -7,
        "rate": 2.5,
        "open": False,
        "day": "2026-02-01",
        "at": "2026-02-01T07:30:00",
    }
    lines = project.delivered()["by-hand_20260101000001.psv"].splitlines()
    assert lines[1] == "a=b|-7|2.5|0|2026-02-01|2026-02-01 07:30:00"


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("number=many", "--param number=many: not a whole number"),
        ("number=1_000", "not a whole number"),
        ("rate=fast", "not a number"),
        ("open=1", "not true or false"),
        ("day=tomorrow", "not a date"),
        ("at=noon", "not a date and time"),
        ("whatt=x", "has no parameter 'whatt'"),
        ("what", "--param 'what' is not name=value"),
        ("=x", "is not name=value"),
    ],
)
def test_a_parameter_of_another_type_or_name_is_refused(project: Project, param: str, message: str) -> None:
    said = project("run", "by-hand", "--param", param)
    assert said.code == 2
    assert message in said.err


def test_parameters_of_a_scheduled_job_are_only_for_dry_runs(project: Project) -> None:
    query = "select :land as land"
    project.job(
        "by-country",
        DAILY.replace("select id, name from orders order by id", query).replace(
            f'query = "{query}"', f'query = "{query}"\nparameters = {{ land = "KR" }}'
        ),
    )
    said = project("run", "by-country", "--param", "land=JP")
    assert said.code == 2
    assert "which has a schedule" in said.err
    dry = project("run", "by-country", "--param", "land=JP", "--dry-run", "--json")
    assert dry.run["parameters"] == {"land": "JP"}


# --- dry runs ------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_file_and_where_it_would_go_and_changes_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path / "new")
    said = project("run", "daily", "--slot", SLOT, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "would go to out: daily_20260105.psv" in said.out
    assert "  │ 1|Ana García\n" in said.out
    assert project.delivered() == {}
    assert not (project.folder / "var/ledger.db").exists()
    document = project("run", "daily", "--slot", SLOT, "--dry-run", "--json").run
    assert list(document) == RUN_KEYS
    assert (document["run"], document["attempts"]) == (None, [])
    assert Path(document["artifact"]["path"]).read_text("utf-8") == ROWS
    assert project("runs", "--json").document == {"runs": []}


# --- exit statuses -------------------------------------------------------------------------------


def test_a_query_that_is_wrong_fails_for_good(project: Project) -> None:
    said = project("run", "bad-query", "--slot", SLOT, "--json")
    assert (said.code, said.run["status"]) == (1, "failed")
    assert said.run["deliveries"][0]["error"]["kind"] == "query"
    assert said.run["attempts"][0]["outcome"] == "permanent"
    told = project.process("run", "bad-query", "--slot", SLOT)
    assert told.code == 1
    assert "ordres" in told.err
    assert f"batchxfer retry {said.run['run']}" in told.err


def test_a_server_that_is_down_is_tried_again_later_and_the_file_is_built_already(project: Project) -> None:
    project.environment["BANK_PASSWORD"] = "secret-of-the-bank"
    said = project("run", "to-bank", "--slot", SLOT, "--json")
    assert (said.code, said.run["status"]) == (3, "retrying")
    assert said.run["artifact"]["rows"] == 2
    assert datetime.fromisoformat(said.run["retry_at"]) > datetime.fromisoformat(said.run["attempts"][1]["ended_at"])
    told = project.process("run", "to-bank", "--slot", SLOT)
    assert told.code == 3
    assert "→ check host, port and firewall; tried again from" in told.err
    assert told.err.count("tried again") == 1
    assert len(project("run", "to-bank", "--slot", SLOT, "--json").run["attempts"]) == 2, "it was tried before its time"
    assert "secret-of-the-bank" not in said.out + told.out + told.err


def test_what_the_guard_stops_is_held(project: Project) -> None:
    said = project("run", "guarded", "--slot", SLOT, "--json")
    assert (said.code, said.run["status"]) == (4, "held")
    assert "2 rows" in said.run["reason"]
    told = project.process("run", "guarded", "--slot", SLOT)
    assert told.code == 4
    assert "batchxfer release" in told.err


def test_a_foreign_file_under_the_name_is_held_and_stays(project: Project) -> None:
    project.write("out/daily_20260301.psv", "theirs")
    said = project("run", "daily", "--slot", "2026-03-01T06:00", "--json")
    assert (said.code, said.run["status"]) == (4, "held")
    assert project.delivered()["daily_20260301.psv"] == "theirs"


def test_a_series_goes_on_after_a_slot_that_fails_and_ends_with_the_worst(project: Project) -> None:
    project.write("out/daily_20260311.psv", "theirs")
    said = project("run", "daily", "--from", "2026-03-10", "--to", "2026-03-13", "--json")
    assert said.code == 4
    assert [run["status"] for run in said.document["runs"]] == ["delivered", "held", "delivered"]


def test_a_series_in_strict_order_stops_where_a_slot_is_not_settled(project: Project) -> None:
    project.environment["BANK_PASSWORD"] = "x"
    said = project("run", "strict", "--from", "2026-03-10", "--to", "2026-03-13")
    assert said.code == 3
    assert said.out.count("retrying") == 1
    assert "2 later slots wait" in said.err


def test_in_strict_order_a_later_slot_says_which_it_waits_for_and_no_retry_passes_it(project: Project) -> None:
    project.job("ordered", DAILY.replace("from orders", "from ordres") + '[retry]\norder = "strict"\n')
    first = project("run", "ordered", "--slot", "2026-03-10T06:00", "--json").run
    assert first["status"] == "failed"
    project.job("ordered", DAILY + '[retry]\norder = "strict"\n')
    later = project("run", "ordered", "--slot", "2026-03-11T06:00", "--json")
    reason = f'order = "strict", and the slot 2026-03-10T05:00:00+00:00 (run {first["run"]}) is not settled'
    assert (later.code, later.run["status"], later.run["reason"]) == (4, "pending", reason)
    waiting = later.run["run"]
    retried = project("retry", waiting, "--json")
    assert (retried.code, retried.run["status"], retried.run["reason"]) == (4, "pending", reason)
    assert project("runs", "--job", "ordered", "--status", "pending", "--json").run["reason"] == reason
    shown = project("show", waiting).out
    assert f"pending: {reason}\n" in shown
    assert f"Next: settle the earlier slot, and it goes on by itself: batchxfer show {first['run'][:12]}\n" in shown
    assert "ordered_20260311.psv" not in project.delivered()

    assert project("retry", first["run"]).code == 0
    assert project("retry", waiting).code == 0
    assert {"ordered_20260310.psv", "ordered_20260311.psv"} <= set(project.delivered())


def test_a_run_that_another_process_has_is_busy_and_its_claim_is_free_when_it_ends(slow: Project) -> None:
    with slow.begin("run", "daily", "--slot", SLOT) as first:
        until(lambda: slow("runs", "--status", "running", "--json").document["runs"])
        said = slow("run", "daily", "--slot", SLOT, "--json")
        assert said.code == 5
        assert said.run["status"] == "running"
        assert said.document["error"]["kind"] == "busy"
        retried = slow("retry", said.run["run"][:14])
        assert retried.code == 5
        assert retried.err.startswith("error: ")
        ended = end(first, signal.SIGKILL)
    assert ended.code == -signal.SIGKILL
    # The claim of a process that is gone holds nobody up.
    assert slow("exclude", said.run["run"], "--why", "test").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_gives_the_run_back_and_says_how_to_go_on(slow: Project, number: signal.Signals, code: int) -> None:
    slot = {signal.SIGINT: "2026-01-06T06:00", signal.SIGTERM: "2026-01-07T06:00"}[number]
    with slow.begin("run", "daily", "--slot", slot) as process:
        until(lambda: [r for r in slow("runs", "--status", "running", "--json").document["runs"] if r["attempts"]])
        said = end(process, number)
    assert said.code == code
    assert said.err.startswith("error: stopped by ")
    assert "batchxfer retry RUN" in said.err
    (run,) = [run for run in slow("runs", "--json").document["runs"] if run["slot"].startswith(slot)]
    assert (run["status"], run["retry_at"]) == ("pending", None)
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["abandoned"]
    # Whoever was killed before may have left something.
    assert list((slow.folder / "var/spool/daily").glob(f"{slot[:10].replace('-', '')}*")) == []


def test_ctrl_c_is_no_fault_where_a_library_makes_an_error_of_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            # As pydantic's core does while it builds a validator.
            raise ValueError('Error building "model" validator:') from None

    monkeypatch.setattr(process, "_invoke", build)
    said = project("runs")
    assert said.code == 130
    assert said.err.startswith("error: stopped by Ctrl-C")


# --- the ledger ----------------------------------------------------------------------------------


def test_a_ledger_that_is_gone_is_never_taken_for_a_new_project(tmp_path: Path) -> None:
    project = make_project(tmp_path / "lost")
    assert project("run", "daily", "--slot", SLOT).code == 0
    (project.folder / "var/ledger.db").unlink()
    for words in (["run", "daily", "--slot", SLOT], ["runs"], ["status"], ["show", "01M8"]):
        said = project(*words)
        assert (said.code, said.out) == (2, "")
        assert "restore the ledger from a backup" in said.err
    assert project("runs", "--json").document["error"]["kind"] == "ledger"


def test_a_ledger_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    project = make_project(tmp_path / "blocked")
    project.write("var", "a file where a folder should be")
    said = project("run", "daily", "--slot", SLOT)
    assert said.code == 2
    assert said.err.startswith("error: ledger ")
    assert len(said.err.splitlines()) == 2


def test_json_is_indented_for_people_and_one_line_for_programs(project: Project) -> None:
    assert len(project("runs", "--json").out.splitlines()) == 1
    json.loads(project("runs", "--json").out)


def test_two_jobs_that_would_share_a_path_are_warned_of_when_one_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path / "shared")
    project.job("daily", DAILY.replace("{job}_", "x_"))
    project.job("other", DAILY.replace("{job}_", "x_"))
    said = project("run", "daily", "--slot", SLOT)
    assert said.code == 0
    assert said.err.startswith("warning: jobs/")
    check = project("check", "--json")
    assert (check.code, check.document["ok"]) == (2, False)
    assert check.document["problems"][0]["where"] == "file.path"


def test_a_path_without_the_time_is_refused_for_a_job_that_is_run_by_hand(tmp_path: Path) -> None:
    project = make_project(tmp_path / "by-hand")
    project.job("by-hand", BY_HAND.replace("%Y%m%d%H%M%S", "%Y%m%d"))
    assert project("check").code == 2
