"""What a person does to a run: retry, resend, rerun, release, accept, exclude; and show, which tells it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import DAILY, ROWS, Project, make_project

SLOT = "2026-01-05T06:00"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


def delivered(project: Project, job: str = "daily") -> Any:
    return project("run", job, "--slot", SLOT, "--json").run


def held(project: Project) -> Any:
    """A run that a foreign file holds up."""
    project.write("out/daily_20260105.psv", "theirs")
    return delivered(project)


def test_where_a_foreign_file_is_to_stay_another_path_in_the_job_goes_on(project: Project) -> None:
    run = held(project)["run"]
    again = project("rerun", run)
    assert (again.code, "or give the job another path; then: batchxfer retry" in again.err) == (4, True)
    project.job("daily", DAILY.replace('path = "', 'path = "second_'))
    assert project("retry", run).code == 0
    assert sorted(project.delivered()) == ["daily_20260105.psv", "second_daily_20260105.psv"]


# --- one endpoint of several ---------------------------------------------------------------------


def two_endpoints(project: Project) -> None:
    (project.folder / "archive").mkdir()
    config = (project.folder / "config.toml").read_text("utf-8")
    project.write("config.toml", config + '\n[endpoints.archive]\nprotocol = "local"\nroot = "archive"\n')
    project.job("daily", DAILY.replace('endpoint = "out"', 'endpoints = ["out", "archive"]'))


def files(project: Project) -> list[str]:
    return sorted(
        str(path.relative_to(project.folder)) for path in project.folder.glob("*/daily_20260105.psv") if path.is_file()
    )


def states(run: Any) -> dict[str, str]:
    return {delivery["endpoint"]: delivery["status"] for delivery in run["deliveries"]}


def test_resend_to_one_endpoint_leaves_the_other_alone(project: Project) -> None:
    two_endpoints(project)
    run = delivered(project)["run"]
    # Both partners took their file away; one of them lost it.
    for path in files(project):
        (project.folder / path).unlink()
    said = project("resend", run, "--endpoint", "archive", "--json")
    assert (said.code, states(said.run)) == (0, {"out": "delivered", "archive": "delivered"})
    assert files(project) == ["archive/daily_20260105.psv"]


def test_what_one_partner_has_is_accepted_or_excluded_of_that_one_alone(project: Project) -> None:
    two_endpoints(project)
    project.write("archive/daily_20260105.psv", "theirs")
    run = held(project)["run"]
    accepted = project("accept", run, "--endpoint", "out", "--why", "they read me its sha256", "--json")
    assert (accepted.code, states(accepted.run)) == (4, {"out": "delivered", "archive": "held"})
    refused = project("exclude", run, "--endpoint", "out", "--why", "x")
    assert refused.code == 2
    assert "what has arrived cannot be excluded" in refused.err
    excluded = project("exclude", run, "--endpoint", "archive", "--why", "they closed that folder", "--json")
    assert (excluded.code, states(excluded.run)) == (0, {"out": "delivered", "archive": "excluded"})


def test_retry_at_one_endpoint_leaves_the_other_held(project: Project) -> None:
    two_endpoints(project)
    project.write("archive/daily_20260105.psv", "theirs")
    run = held(project)["run"]
    for path in files(project):
        (project.folder / path).unlink()
    said = project("retry", run, "--endpoint", "archive", "--json")
    assert (said.code, states(said.run)) == (4, {"out": "held", "archive": "delivered"})
    assert files(project) == ["archive/daily_20260105.psv"]


@pytest.mark.parametrize("command", [("retry",), ("resend",), ("accept", "--why", "x"), ("exclude", "--why", "x")])
def test_an_endpoint_that_a_run_does_not_go_to_is_refused(project: Project, command: tuple[str, ...]) -> None:
    two_endpoints(project)
    run = held(project)["run"]
    said = project(command[0], run, *command[1:], "--endpoint", "archiv")
    assert said.code == 2
    assert "has nothing for endpoint 'archiv'" in said.err
    assert "did you mean 'archive'?; it goes to: archive, out" in said.err


# --- retry ---------------------------------------------------------------------------------------


def test_retry_sends_what_was_built_and_does_not_query_again(project: Project) -> None:
    run = held(project)
    project.execute("insert into orders values (3, 'late')")
    again = project("retry", run["run"][:14], "--json")
    assert (again.code, again.run["status"]) == (4, "held"), "the foreign file is there still"
    (project.folder / "out/daily_20260105.psv").unlink()
    done = project("retry", run["run"].lower(), "--json")
    assert (done.code, done.run["status"]) == (0, "delivered")
    assert project.delivered() == {"daily_20260105.psv": ROWS}
    assert done.run["artifact"] == run["artifact"]


def test_retry_of_a_failed_query_takes_todays_definition(project: Project) -> None:
    project.job("daily", DAILY.replace("from orders", "from ordres"))
    run = delivered(project)
    assert run["status"] == "failed"
    project.job("daily", DAILY)
    said = project("retry", run["run"])
    assert said.code == 0
    assert said.out.startswith("daily · due 2026-01-05 06:00 Europe/Berlin · delivered to out")


def test_retry_of_what_was_delivered_does_nothing_and_says_so(project: Project) -> None:
    run = delivered(project)
    said = project("retry", run["run"])
    assert said.code == 0
    assert said.out.endswith("it was delivered before, and nothing was done\n")
    assert project("show", run["run"], "--json").document == run


@pytest.mark.parametrize("command", [["retry"], ["resend"], ["rerun"], ["release"], ["accept", "--why", "x"]])
def test_an_unknown_run_is_refused(project: Project, command: list[str]) -> None:
    delivered(project)
    for run, message in (("01ZZZZZZ", "no run begins with '01ZZZZZZ'"), ("01", "too short")):
        said = project(command[0], run, *command[1:])
        assert said.code == 2
        assert message in said.err


def test_before_the_first_run_there_is_nothing_to_do_again(project: Project) -> None:
    said = project("retry", "01ZZZZZZ")
    assert said.code == 2
    assert "no ledger yet" in said.err
    assert not (project.folder / "var").exists()


# --- resend, rerun -------------------------------------------------------------------------------


def test_resend_leaves_an_equal_file_and_brings_back_a_missing_one_and_never_touches_another(project: Project) -> None:
    run = delivered(project)
    there = project("resend", run["run"], "--json")
    assert (there.code, there.run["deliveries"][0]["sha256"]) == (0, run["deliveries"][0]["sha256"])
    (project.folder / "out/daily_20260105.psv").unlink()
    gone = project("resend", run["run"], "--json")
    assert (gone.code, project.delivered()) == (0, {"daily_20260105.psv": ROWS})
    project.write("out/daily_20260105.psv", "theirs")
    other = project("resend", run["run"], "--json")
    assert (other.code, other.run["status"]) == (4, "held")
    assert project.delivered() == {"daily_20260105.psv": "theirs"}


def test_a_rerun_has_a_name_of_its_own_and_the_rows_of_today(project: Project) -> None:
    run = delivered(project)
    project.execute("insert into orders values (3, 'late')")
    said = project("rerun", run["run"], "--json")
    assert (said.code, said.run["revision"], said.run["slot"]) == (0, 2, run["slot"])
    assert said.run["run"] != run["run"]
    assert project.delivered() == {"daily_20260105.psv": ROWS, "daily_20260105.r2.psv": f"{ROWS}3|late\n"}
    older = project("rerun", run["run"])
    assert older.code == 2
    assert f"batchxfer rerun {said.run['run']}" in older.err


def test_a_rerun_of_what_was_never_published_takes_its_place(project: Project) -> None:
    project.job("daily", DAILY.replace("from orders", "from ordres"))
    run = delivered(project)
    project.job("daily", DAILY)
    said = project("rerun", run["run"], "--json")
    assert (said.code, said.run["run"], said.run["revision"]) == (0, run["run"], 1)
    assert project.delivered() == {"daily_20260105.psv": ROWS}


def test_a_rerun_may_have_other_parameters(project: Project) -> None:
    query = "select :land as land"
    text = DAILY.replace("select id, name from orders order by id", query)
    project.job("daily", text.replace(f'"{query}"', f'"{query}"\nparameters = {{ land = "KR" }}'))
    run = delivered(project)
    said = project("rerun", run["run"], "--param", "land=JP", "--json")
    assert said.run["parameters"] == {"land": "JP"}
    assert project.delivered()["daily_20260105.r2.psv"] == "land\nJP\n"
    assert project("rerun", said.run["run"], "--param", "sea=X").code == 2


def test_what_once_arrived_keeps_its_name_though_a_resend_stopped_half_way(project: Project) -> None:
    """The partner may have taken the first file: the same name must never stand for other rows."""
    run = delivered(project)
    (project.folder / "out/daily_20260105.psv").unlink()
    Path(run["artifact"]["path"]).write_text("damaged")
    assert project("resend", run["run"]).code == 4
    project.execute("insert into orders values (3, 'late')")
    said = project("rerun", run["run"], "--json")
    assert (said.code, said.run["revision"]) == (0, 2)
    assert project.delivered() == {"daily_20260105.r2.psv": f"{ROWS}3|late\n"}


def test_a_rerun_of_what_a_person_accepted_is_a_new_revision(project: Project) -> None:
    run = held(project)
    assert project("accept", run["run"], "--why", "they have it").code == 0
    said = project("rerun", run["run"], "--json")
    assert (said.code, said.run["revision"], said.run["status"]) == (0, 2, "delivered")
    assert project.delivered() == {"daily_20260105.psv": "theirs", "daily_20260105.r2.psv": ROWS}


def test_what_was_excluded_comes_back_by_a_rerun_and_by_nothing_else(project: Project) -> None:
    run = held(project)
    project("exclude", run["run"], "--why", "not wanted")
    assert project("retry", run["run"], "--json").run["status"] == "excluded"
    accepted = project("accept", run["run"], "--why", "x")
    assert accepted.code == 2
    assert f"batchxfer rerun {run['run']}" in accepted.err
    (project.folder / "out/daily_20260105.psv").unlink()
    said = project("rerun", run["run"], "--json")
    assert (said.code, said.run["revision"], said.run["status"]) == (0, 1, "delivered")
    assert project.delivered() == {"daily_20260105.psv": ROWS}


# --- what a person decides -----------------------------------------------------------------------


def test_release_sends_what_the_guard_held(project: Project) -> None:
    project.job("daily", DAILY + "[guard]\nmax_rows = 1\n")
    run = delivered(project)
    assert run["status"] == "held"
    said = project("release", run["run"], "--json")
    assert (said.code, said.run["status"]) == (0, "delivered")
    assert project.delivered() == {"daily_20260105.psv": ROWS}
    assert project("release", run["run"]).code == 2


def test_accept_is_a_persons_word_and_stands_in_the_evidence(project: Project) -> None:
    run = held(project)
    assert project("accept", run["run"], "--why", " ").code == 2
    said = project("accept", run["run"], "--why", "Kim called: it is there", "--json")
    assert (said.code, said.run["status"]) == (0, "delivered")
    (delivery,) = said.run["deliveries"]
    assert delivery["verified"] == "accepted"
    assert "Kim called: it is there" in delivery["evidence"]


def test_what_is_excluded_is_never_sent_and_is_no_failure(project: Project) -> None:
    run = held(project)
    said = project("exclude", run["run"], "--why", "sent by hand", "--json")
    assert (said.code, said.run["status"]) == (0, "excluded")
    again = project("run", "daily", "--slot", SLOT, "--json")
    assert (again.code, again.run["status"]) == (0, "excluded")
    assert project.delivered() == {"daily_20260105.psv": "theirs"}


def test_what_has_arrived_cannot_be_excluded(project: Project) -> None:
    said = project("exclude", delivered(project)["run"], "--why", "x")
    assert said.code == 2
    assert "is delivered" in said.err


# --- show ----------------------------------------------------------------------------------------


def test_show_is_the_run_itself_and_tells_it_on_every_clock(project: Project) -> None:
    run = delivered(project)
    assert project("show", run["run"][:12], "--json").document == run
    told = project.process("show", run["run"])
    assert told.code == 0
    assert told.out.startswith(f"daily · run {run['run']}\ndelivered\n")
    for words in (
        "due        2026-01-05 06:00 Europe/Berlin = 2026-01-05 05:00 UTC",
        "interval   2026-01-04 06:00 up to 2026-01-05 06:00 Europe/Berlin",
        "To out (Hangang Logistics): daily_20260105.psv",
        "due there  2026-01-05 14:00 Asia/Seoul",
        f"34 bytes · sha256 {run['artifact']['sha256']}",
        "evidence   size: after the upload the server reported as many bytes as were sent",
    ):
        assert words in told.out
    assert re.search(r"delivered +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d Asia/Seoul = .* Europe/Berlin = .* UTC", told.out)
    assert re.search(r" 1  .* Europe/Berlin  build · [0-9.]+ s · built", told.out)


def test_show_of_a_failure_has_the_error_and_what_to_type(project: Project) -> None:
    run = held(project)
    told = project("show", run["run"]).out
    assert "held: endpoint 'out': daily_20260105.psv is there already" in told
    assert (
        "→ on_exists = 'replace' would overwrite it; have it moved away, or give the job another path, then retry"
        in told
    )
    assert (
        f"Next: look at the reason; then batchxfer retry, resend, release, accept --why … or exclude --why … {run['run'][:12]}"
        in told
    )


def test_names_that_would_draw_on_the_terminal_are_written_out(project: Project) -> None:
    project.job("daily", DAILY.replace("from orders", "from [or\\u001b[31mders]"))
    said = project("run", "daily", "--slot", SLOT)
    assert said.code == 1
    assert "\x1b" not in said.out + said.err
    assert "\\x1b" in said.err


# --- what is paused ------------------------------------------------------------------------------

SECOND = '\n[endpoints.archive]\nprotocol = "local"\nroot = "archive"\n'


@pytest.mark.parametrize("subject", ["daily", "@out"])
@pytest.mark.parametrize("word", ["retry", "release", "rerun"])
def test_what_is_paused_waits_whoever_asks_and_is_done_when_the_pause_ends(
    project: Project, word: str, subject: str
) -> None:
    guard = "[guard]\nmax_rows = 1\n" if word == "release" else ""
    project.job("daily", guard + DAILY.replace("from orders", "from ordres" if word == "retry" else "from orders"))
    run = delivered(project)
    project.job("daily", guard + DAILY)
    before = project.delivered()
    assert project("pause", subject, "--why", "they move").code == 0
    said = project(word, run["run"], "--json")
    assert (said.code, said.run["status"], said.run["reason"]) == (4, "pending", f"{subject} is paused: they move")
    assert project.delivered() == before
    assert f"{subject} is paused: they move" in project("run", "daily", "--slot", SLOT).err
    shown = project("show", said.run["run"])
    assert f"\npending: {subject} is paused: they move\n" in shown.out
    assert shown.out.endswith(f"Next: end the pause, and it goes on: batchxfer resume {subject}\n")
    for command in (["show", said.run["run"]], ["runs"]):
        assert f"{subject} is paused: they move" in project(*command, "--json").out
    assert project("resume", subject).code == 0
    assert project("run", "--due").code == 0
    revision = ".r2" if word == "rerun" else ""
    assert f"daily_20260105{revision}.psv" in project.delivered()


@pytest.mark.parametrize("subject", ["daily", "@out"])
def test_a_resend_to_what_is_paused_is_refused_since_it_would_look_like_a_delivery(
    project: Project, subject: str
) -> None:
    run = delivered(project)
    (project.folder / "out/daily_20260105.psv").unlink()
    assert project("pause", subject, "--why", "they move").code == 0
    said = project("resend", run["run"])
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith(f"error: {subject} is paused: they move: nothing was sent\n")
    assert project("resume", subject).code == 0
    assert project("resend", run["run"]).code == 0
    assert project.delivered() == {"daily_20260105.psv": ROWS}


@pytest.mark.parametrize("word", ["run", "rerun"])
def test_what_waits_for_one_of_two_endpoints_says_why(project: Project, word: str) -> None:
    project.write("config.toml", (project.folder / "config.toml").read_text() + SECOND)
    (project.folder / "archive").mkdir()
    project.job("daily", DAILY.replace('endpoint = "out"', 'endpoints = ["out", "archive"]'))
    if word == "rerun":
        run = delivered(project)
    assert project("pause", "@archive", "--why", "it is full").code == 0
    words = ["run", "daily", "--slot", SLOT] if word == "run" else ["rerun", run["run"]]
    said = project(*words)
    assert (said.code, said.err.splitlines()[0]) == (4, "error: @archive is paused: it is full")


def test_several_are_paused_by_one_word_and_all_by_another(project: Project) -> None:
    both = project("pause", "daily", "@out", "--why", "their move", "--json")
    assert [each["subject"] for each in both.document["paused"]] == ["daily", "@out"]
    assert project("resume", "daily", "@out", "--json").document == {"paused": []}
    assert project("resume", "--all").out == "nothing is paused\n"
    said = project("pause", "--all", "--why", "stop everything")
    assert said.out.splitlines() == [
        "by-hand is paused; end it with: batchxfer resume by-hand",
        "daily is paused; end it with: batchxfer resume daily",
    ]
    assert project("run", "daily", "--slot", SLOT).code == 4
    assert project.delivered() == {}
    assert project("resume", "--all").out.splitlines() == ["by-hand goes on", "daily goes on"]
    assert project("run", "daily", "--slot", SLOT).code == 0


@pytest.mark.parametrize("words", [("pause", "--why", "x"), ("resume",), ("pause", "daily", "--all", "--why", "x")])
def test_a_pause_of_nothing_or_of_both_is_refused(project: Project, words: tuple[str, ...]) -> None:
    said = project(*words)
    assert said.code == 2
    assert "--all" in said.err


def test_of_several_one_that_is_not_there_pauses_none(project: Project) -> None:
    assert project("pause", "daily", "dayly", "--why", "x").code == 2
    assert project("resume", "--all", "--json").document == {"paused": []}
