"""Where a person must decide, what is said to type can be typed as it stands, and does what is meant."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.command import Project, make_project
from tests.e2e.test_cli_again import SLOT, delivered, files, states, two_endpoints

RENAMING = """
update delivery_files set status = 'publishing', temp_path = '.daily.part'
where delivery in (select id from deliveries where endpoint = 'out');
update deliveries set status = 'publishing', delivered_at = null, evidence = null where endpoint = 'out';
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


def vanishes(project: Project) -> str:
    """The process ended while it renamed, and neither name is there since: a run's id."""
    run = delivered(project)["run"]
    with closing(sqlite3.connect(project.folder / "var/ledger.db")) as ledger:
        ledger.executescript(RENAMING)
    (project.folder / "out/daily_20260105.psv").unlink()
    return str(run)


def typed(text: str, command: str) -> list[str]:
    """The words of that command in what was said."""
    found = re.search(rf"batchxfer ({command} [^;.\n]+)", text)
    assert found is not None, text
    return shlex.split(found[1].replace("TEXT", "'they have it'"))


@pytest.mark.parametrize("where", ["run", "show"])
def test_of_what_vanished_while_it_was_renamed_each_answer_of_the_partner_has_its_command(
    project: Project, where: str
) -> None:
    two_endpoints(project)
    run = vanishes(project)
    # The archive's was taken away since: it must not be brought back by what is typed for the other.
    (project.folder / "archive/daily_20260105.psv").unlink()
    said = project("run", "daily", "--slot", SLOT)
    assert said.code == 4
    assert project("retry", run).code == 4, "looking again sends nothing"
    assert files(project) == []
    text = said.err if where == "run" else project("show", run).out
    assert "retry" not in text
    accept, resend = typed(text, "accept"), typed(text, "resend")
    assert accept == ["accept", run, "--endpoint", "out", "--why", "they have it"]
    assert project(*resend).code == 0
    assert files(project) == ["out/daily_20260105.psv"]
    assert states(project("show", run, "--json").document) == {"out": "delivered", "archive": "delivered"}


def test_of_one_endpoint_none_is_named(project: Project) -> None:
    run = vanishes(project)
    said = project("run", "daily", "--slot", SLOT)
    assert typed(said.err, "resend") == ["resend", run]
    assert project(*typed(said.err, "accept")).code == 0
    assert files(project) == []


def test_what_is_held_since_it_was_sent_again_is_not_proven_by_what_was_seen_before(project: Project) -> None:
    run = delivered(project)["run"]
    project.write("out/daily_20260105.psv", "theirs")
    said = project("resend", run)
    assert said.code == 4
    assert typed(said.err, "rerun") == ["rerun", run]
    shown = project("show", run).out
    assert "\n  before     size: " in shown
    assert "evidence" not in shown


def test_an_artifact_that_is_gone_is_held_with_the_commands_for_both_ways(project: Project) -> None:
    run = vanishes(project)
    Path(project("show", run, "--json").document["artifact"]["path"]).unlink()
    said = project("retry", run)
    assert said.code == 4, said
    assert typed(said.err, "retry") == ["retry", run]
    assert project(*typed(said.err, "rerun")).code == 0
    assert list(project.delivered()) == ["daily_20260105.r2.psv"]
