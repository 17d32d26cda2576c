"""A new project's files: the configuration, one job, one format, and a few rows to send."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from batchxfer.errors import UsageError

# In the project ← in project/. A file that begins with a dot would be left out of packages.
FILES = {
    "config.toml": "config.toml",
    "jobs/orders.toml": "jobs/orders.toml",
    "formats/csv.toml": "formats/csv.toml",
    ".gitignore": "gitignore",
}
SAMPLE = "var/sample.db"
SAMPLE_ROWS = """
create table orders (order_id integer primary key, customer text not null, amount text not null, ordered_at text not null);
insert into orders values
    (1, 'Ana García', '49.90', '2026-11-21 09:30:00'),
    (2, 'Müller, Max', '129.50', '2026-11-21 16:05:00'),
    (3, '김서연', '8.00', '2026-11-22 11:47:00');
"""


def write_project(folder: Path) -> list[Path]:
    """Write a new project into `folder` (made where it is missing), and return the files written.

    Overwrites nothing: raises UsageError, with nothing written, when one of the files is there.
    """
    paths = [folder / name for name in (*FILES, SAMPLE)]
    _refuse_what_exists(folder, paths)
    try:
        for name, template in FILES.items():
            _write(folder / name, _template(template).read_text("utf-8"))
        _write_sample(folder / SAMPLE)
        (folder / "outbox").mkdir(exist_ok=True)
    except OSError as exc:
        raise UsageError(f"cannot write the project into {folder}: {exc.strerror}", hint="name another folder") from exc
    return paths


def _refuse_what_exists(folder: Path, paths: list[Path]) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", hint="name another folder")
    there = [str(path) for path in paths if path.exists() or path.is_symlink()]
    if there:
        raise UsageError(
            f"{', '.join(there)}: already there, and nothing is overwritten",
            hint="name another folder: batchxfer init my-project",
        )


def _template(name: str) -> Traversable:
    return files(__name__).joinpath("project", *name.split("/"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _write_sample(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    try:
        connection.executescript(SAMPLE_ROWS)
    finally:
        connection.close()
