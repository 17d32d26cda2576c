"""batchxfer projects as a user would write them, and the installed command to run them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measuring import Measured, run
from benchmarks.stage import Stage

PROGRAM = Path(sys.executable).parent / "batchxfer"

KINDS = {
    "delimited": 'kind = "delimited"\n',
    "key-value": 'kind = "key-value"\n',
    "json-lines": 'kind = "json-lines"\n',
}

TINY = "select 1 as id, 'Ana' as name"


class Project:
    """A project in a folder of its own, with its ledger made. Everything is as it comes: no check is turned off."""

    def __init__(self, folder: Path, config: str, jobs: Mapping[str, str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("jobs", "formats"):
            (folder / name).mkdir(parents=True)
        (folder / "config.toml").write_text(config)
        for kind, text in KINDS.items():
            (folder / "formats" / f"{kind}.toml").write_text(text)
        for name, text in jobs.items():
            (folder / "jobs" / f"{name}.toml").write_text(text)
        self.folder = folder
        self._slot = datetime(2026, 1, 1, tzinfo=UTC)

    def batchxfer(self, *words: str) -> Measured:
        """The installed command in the project's folder, measured."""
        return run([PROGRAM, *words], folder=self.folder)

    def run(self, job: str) -> Measured:
        """`batchxfer run` for a slot that no run had yet."""
        self._slot += timedelta(minutes=1)
        return self.batchxfer("run", job, "--slot", self._slot.isoformat())

    def forget_files(self, *others: Path) -> None:
        """Remove what a run left in the spool, and in the `others`."""
        for folder in (self.folder / "var" / "spool", *others):
            for path in list(folder.rglob("*")) if folder.exists() else []:
                if path.is_file() and not path.name.startswith("project"):
                    path.unlink()


def database(name: str, url: str) -> str:
    return f'[databases.{name}]\nurl = "{url}"\n'


def partner(stage: Stage, **more: object) -> str:
    """The loopback sshd as an endpoint."""
    server = stage.sshd
    keys = {
        "host": server.host,
        "user": server.user,
        "private_key": str(server.private_key),
        "root": str(stage.partner),
    }
    lines = [f'{key} = "{value}"' for key, value in keys.items()]
    lines += [f"{key} = {value}" for key, value in more.items()]
    return "\n".join(["[endpoints.partner]", 'protocol = "sftp"', f"port = {server.port}", *lines]) + (
        f'\nhost_key = ["{server.host_key()}"]\n'
    )


def local(root: Path) -> str:
    """A folder as an endpoint."""
    return f'[endpoints.partner]\nprotocol = "local"\nroot = "{root}"\n'


def by_hand(database: str, query: str, *, format: str = "delimited") -> str:
    """A job without a schedule, whose every run has a name of its own."""
    return f"""
[source]
database = "{database}"
query = "{query}"
[file]
format = "{format}"
endpoint = "partner"
path = "{{job}}-{{slot:%Y%m%d%H%M%S}}.txt"
"""
