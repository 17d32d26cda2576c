"""The words of the command: help, options, errors, streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchxfer import __version__
from tests.e2e.command import PROGRAM, Project, clean, make_project

COMMANDS = [
    *("init", "demo", "check", "probe", "hostkey", "plan", "run", "runs", "show", "status"),
    *("retry", "resend", "rerun", "release", "accept", "exclude", "prune", "schema"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("words"))
    assert project("run", "daily", "--slot", "2026-01-05T06:00").code == 0
    return project


def test_help_answers_at_once(tmp_path: Path) -> None:
    """DESIGN: under 0.3 s. Measured in CPU time, since other tests run beside it."""
    times = []
    for _ in range(3):
        before = os.times()
        subprocess.run([PROGRAM, "--help"], env=clean(tmp_path), capture_output=True, check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.6, times


def test_help_names_every_command_and_each_explains_itself(project: Project) -> None:
    shown = project.process("--help")
    assert shown.code == 0
    listed = shown.out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert {line.split()[0] for line in listed} >= set(COMMANDS)
    assert not [line for line in listed if line.endswith("...")], "a first sentence is cut at 80 columns"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_config_and_json(command: str) -> None:
    import typer

    from batchxfer.cli.app import app

    options = {name for param in typer.main.get_command(app()).commands[command].params for name in param.opts}  # type: ignore[attr-defined]
    assert {"--config", "--json"} <= options


def test_the_version_is_told(project: Project) -> None:
    assert project.process("--version").out == f"batchxfer {__version__}\n"
    for words in (("--version", "--json"), ("--json", "--version")):
        assert project(*words).document == {"batchxfer": __version__}


def test_no_command_at_all_shows_the_help_as_wrong_usage(project: Project) -> None:
    said = project.process()
    assert (said.code, said.out) == (2, "")
    assert "Commands:" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frobnicate"], "no such command 'frobnicate'"),
        (["show"], "missing argument 'RUN'"),
        (["run", "daily", "--frob"], "no such option: --frob"),
        (["runs", "--limit", "many"], "invalid value for '--limit'"),
        (["runs", "--status", "lost"], "invalid value for '--status': 'lost' is not one of"),
        (["accept", "01M8"], "missing option '--why'"),
    ],
)
def test_wrong_words_are_usage_errors_for_people_and_programs(project: Project, words: list[str], message: str) -> None:
    told = project.process(*words)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"error: {message}")
    assert "→ see: batchxfer" in told.err
    said = project(*words, "--json")
    assert (said.code, said.err) == (2, "")
    assert set(said.document) == {"error"}
    assert set(said.document["error"]) == {"kind", "message", "hint"}
    assert said.document["error"]["kind"] == "usage"
    assert said.document["error"]["message"].startswith(message)


def test_config_and_json_may_stand_before_or_after_the_command(project: Project, tmp_path: Path) -> None:
    elsewhere, path = Project(tmp_path), str(project.folder / "config.toml")
    wanted = project("runs", "--json").document
    assert elsewhere("--config", path, "--json", "runs").document == wanted
    assert elsewhere("runs", f"--config={path}", "--json").document == wanted
    assert elsewhere("runs", "--json", BATCHXFER_CONFIG=path).document == wanted
    assert elsewhere("--config", "nowhere.toml", "runs", "--config", path, "--json").document == wanted


def test_a_missing_configuration_says_how_to_begin(tmp_path: Path) -> None:
    said = Project(tmp_path)("runs")
    assert said.code == 2
    assert said.err.startswith("error: the configuration config.toml is not there\n→ name it with --config")
    assert "batchxfer init" in said.err
    assert Project(tmp_path)("runs", "--json").document["error"]["kind"] == "usage"


def test_every_problem_of_every_file_comes_at_once_as_text_and_as_json(tmp_path: Path) -> None:
    project = make_project(tmp_path / "broken")
    project.write("config.toml", 'workers = "four"\ntimezon = "UTC"\n')
    project.write("formats/psv.toml", 'kind = "delimted"\n')
    project.write("jobs/daily.toml", "[schedule\n")
    said = project("check", "--json")
    assert said.code == 2
    assert said.document["ok"] is False
    assert {problem["file"] for problem in said.document["problems"]} >= {
        "config.toml",
        "formats/psv.toml",
        "jobs/daily.toml",
    }
    assert all(set(problem) == {"file", "where", "problem", "hint"} for problem in said.document["problems"])
    told = project("check")
    assert (told.code, told.out) == (2, "")
    assert "timezon" in told.err
    assert "did you mean" in told.err
    other = project("runs", "--json")
    assert other.code == 2
    assert other.document["error"]["kind"] == "configuration"


@pytest.mark.parametrize("words", [["runs"], ["schema"], ["--help"]])
def test_a_closed_pipe_is_no_error(project: Project, words: list[str]) -> None:
    """As in `batchxfer runs | head -1`: the reader has gone before the first word."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [PROGRAM, *words], cwd=project.folder, env=clean(project.folder), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"]])
def test_a_full_disk_under_stdout_is_told_on_stderr(project: Project, words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PROGRAM, *words], cwd=project.folder, env=clean(project.folder), stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert done.stderr == b"error: cannot write to standard output: No space left on device\n"


def test_closed_streams_are_no_error(project: Project) -> None:
    shell = f"{PROGRAM} runs >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", shell], cwd=project.folder, env=clean(project.folder)).returncode == 0


def test_a_stream_that_cannot_show_a_character_gets_an_escape(project: Project) -> None:
    assert "-> out" in project.process("runs", PYTHONIOENCODING="ascii").out
    assert "Ana Garc\\xeda" in project.process("run", "daily", "--dry-run", PYTHONIOENCODING="ascii").out


def test_nothing_is_coloured_or_drawn_in_a_pipe(project: Project) -> None:
    for words in (["run", "daily", "--slot", "2026-01-05T06:00"], ["show", "nope"]):
        said = project.process(*words)
        assert "\x1b" not in said.out + said.err


FAULT = """
import sys
from batchxfer.cli import process, runs
def break_down(*words): raise ZeroDivisionError("ouch")
runs.context_of = break_down
sys.exit(process.run(sys.argv[1:]))
"""


@pytest.mark.parametrize(("words", "debug", "trace"), [([], "", 0), (["--debug"], "", 1), ([], "1", 1)])
def test_an_unexpected_error_asks_to_be_reported_and_shows_its_place_only_when_asked(
    project: Project, words: list[str], debug: str, trace: int
) -> None:
    environment = {**clean(project.folder), "BATCHXFER_DEBUG": debug}
    done = subprocess.run(
        [sys.executable, "-c", FAULT, "runs", *words],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: unexpected ZeroDivisionError: ouch" in done.stderr
    assert "please report it" in done.stderr
    assert done.stderr.count("Traceback") == trace


def test_python_dash_m_is_the_command_too(project: Project) -> None:
    command = [sys.executable, "-m", "batchxfer", "--version"]
    done = subprocess.run(command, env=clean(project.folder), capture_output=True, text=True)
    assert done.stdout == f"batchxfer {__version__}\n"


def test_what_a_library_warns_of_is_not_the_user_s_to_read() -> None:
    """psycopg says over several lines that it could not say goodbye to a server that is gone."""
    program = (
        "import logging; from batchxfer.cli import logs; logs.to_stderr(logging.WARNING); "
        "logging.getLogger('psycopg').warning('error ignored'); logging.getLogger('batchxfer').warning('ours')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "error ignored" not in done.stderr
    assert "ours" in done.stderr
