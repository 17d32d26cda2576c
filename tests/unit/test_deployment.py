"""The files in deploy/ hold commands that exist, and what systemd accepts."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from batchxfer.cli.process import run

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd/batchxfer.service"


def commands() -> list[list[str]]:
    """The words of each batchxfer command in deploy/."""
    found = [re.search(r"ExecStart=\S+ (.*)", UNIT.read_text()), re.search(r"bin/batchxfer (.*) >", crontab())]
    words = [shlex.split(match[1]) for match in found if match]
    for path in (DEPLOY / "kubernetes").glob("*.yaml"):
        words += [match.split(", ") for match in re.findall(r"args: \[(.*)\]", path.read_text())]
    words += [
        re.findall(r'"(.*?)"', match) for match in re.findall(r"CMD \[(.*)\]", (DEPLOY / "Dockerfile").read_text())
    ]
    return words


def crontab() -> str:
    return (DEPLOY / "crontab").read_text()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_each_command_exists_with_its_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    assert f"batchxfer {words[0]}" in capsys.readouterr().out


def test_all_five_ways_are_there() -> None:
    assert len(commands()) == 5


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert "Type=notify" in text
    if shutil.which("systemd-analyze") is None:
        return
    # What it starts is not on this machine.
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text))
    told = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (0, "")


def test_a_tick_may_end_before_the_service_is_killed() -> None:
    text = UNIT.read_text()
    grace = re.search(r"--grace (\d+)s", text)
    stop = re.search(r"TimeoutStopSec=(\d+)s", text)
    assert grace
    assert stop
    assert int(stop[1]) >= int(grace[1]) + 10


def test_the_image_is_built_from_all_that_the_package_needs_and_no_more() -> None:
    """Neither a project's secrets nor a virtual environment of this machine are sent to whoever builds."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        *wheel["packages"],
        *wheel["force-include"],
        *wheel["shared-data"],
        project["project"]["readme"],
        "pyproject.toml",
        "requirements",
    }
    assert allowed == needed | set(project["project"]["license-files"])


def test_the_pages_are_installed_beside_the_program_with_all_that_they_link_to() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {name: f"share/doc/batchxfer/{name}" for name in shared}
    for page in [DEPLOY.parent / "README.md", *(DEPLOY.parent / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https:|#)([^)#]+)", page.read_text("utf-8")):
            top = (page.parent / target).resolve().relative_to(DEPLOY.parent).parts[0]
            # Who reads the code has it.
            assert top in {*shared, "batchxfer", "benchmarks", "tests"}, f"{page.name}: {target}"


def test_help_says_where_the_pages_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "Documentation:" in line)
    assert (Path(line.partition(":")[2].strip()) / "runbook.md").is_file()
