"""`batchxfer init`: a new project's files."""

from __future__ import annotations

import sqlite3
import tomllib
from pathlib import Path

import pytest

from batchxfer.errors import UsageError
from batchxfer.starter import write_project


def test_a_new_project_has_a_config_a_job_a_format_and_a_gitignore(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    written = {path.relative_to(folder).as_posix() for path in write_project(folder)}
    assert written == {"config.toml", "jobs/orders.toml", "formats/csv.toml", ".gitignore", "var/sample.db"}
    for path in folder.rglob("*.toml"):
        tomllib.loads(path.read_text("utf-8"))


def test_its_sample_rows_can_be_queried(tmp_path: Path) -> None:
    write_project(tmp_path)
    query = tomllib.loads((tmp_path / "jobs/orders.toml").read_text("utf-8"))["source"]["query"]
    connection = sqlite3.connect(tmp_path / "var/sample.db")
    assert len(connection.execute(query).fetchall()) == 3
    connection.close()


@pytest.mark.parametrize("there", ["config.toml", "jobs/orders.toml", ".gitignore", "var/sample.db"])
def test_nothing_is_overwritten_and_nothing_written_beside_it(tmp_path: Path, there: str) -> None:
    mine = tmp_path / there
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match="nothing is overwritten") as refused:
        write_project(tmp_path)
    assert str(mine) in refused.value.message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("mine")
    (tmp_path / "outbox").mkdir()
    write_project(tmp_path)
    assert (tmp_path / "README").read_text() == "mine"


def test_a_file_in_the_folder_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        write_project(tmp_path / "x")
    with pytest.raises(UsageError, match="cannot write"):
        write_project(tmp_path / "x" / "y")
