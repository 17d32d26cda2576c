"""No secret reaches a log, an error, the ledger, `ps` or a file: each secret of a project is a canary, and nothing sings."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from batchxfer import redaction
from tests.e2e.command import PROGRAM, Project, Said, clean, make_project, until
from tests.e2e.daemons import serving
from tests.ledgers import execute
from tests.security.canaries import KINDS, base64_forms, canary, core, found, found_below
from tests.servers.openssh import free_port, make_key
from tests.servers.partner import Doors, Partner, serve

CORES = [core(kind) for kind in KINDS]
OTHER_KEY = "SHA256:" + "A" * 42 + "E"

SFTP = """
[endpoints.{name}]
protocol = "sftp"
host = "127.0.0.1"
port = {port}
user = "batchxfer"
host_key = ["{host_key}"]
root = "in"
{way_in}
"""
JOB = """
[source]
database = "{database}"
query = "{query}"
[file]
format = "psv"
endpoint = "{endpoint}"
path = "{{job}}_{{slot_utc:%Y%m%d%H%M%S}}.psv"
"""
# database, endpoint, query, and what has to come of it
JOBS = {
    "good": ("shop", "bank", "select 1 as a", 0),
    "with-key": ("shop", "keyed", "select 1 as a", 0),
    "wrong-passphrase": ("shop", "locked", "select 1 as a", 1),
    "wrong-password": ("shop", "refused", "select 1 as a", 3),
    "wrong-host-key": ("shop", "stranger", "select 1 as a", 1),
    "bad-sql": ("shop", "bank", "select secret::int as a from vault", 1),
    "unreachable": ("gone", "bank", "select 1 as a", 3),
    "broken-url": ("broken", "bank", "select 1 as a", None),
    "unreachable-mysql": ("mysql", "bank", "select 1 as a", 3),
    "no-database": ("nowhere", "bank", "select 1 as a", 1),
}
SOME_JOBS = ("good", "bad-sql", "wrong-password")
TELLER = """#!/bin/sh
{ cat; echo; tr '\\0' '\\n' < /proc/self/environ; tr '\\0' ' ' < /proc/self/cmdline; } >> told
"""
FAULT = """
import threading
import batchxfer.databases.postgresql as adapter

def fail(self, query):
    threading.Thread(target=fail_here, args=(self,), name="ill").start()
    fail_here(self)

def fail_here(self):
    raise RuntimeError(f"{self._url!r}", self._url, self._password.reveal(), {"password": self._password.reveal()})

adapter.Source.read = fail
"""


@dataclass
class Vault:
    """A project all of whose secrets are canaries; they are kept outside of its folder."""

    project: Project
    partner: Partner
    schema: str
    everything: bool
    key_lines: list[str] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, *words: str) -> Said:
        redaction.forget()  # as each new process
        done = self.project(*words)
        self.said.append((" ".join(words), done.out + done.err))
        return done

    @property
    def secrets(self) -> list[str]:
        return [*CORES, *self.key_lines]

    def leaks(self) -> list[tuple[str, str]]:
        """Where a secret was said, or written."""
        in_words = [(words, secret) for words, text in self.said for secret in found(text, self.secrets)]
        return in_words + found_below(self.project.folder, self.secrets)


def _secret(name: str) -> str:
    return f'{{ env = "{name.upper()}" }}'


@pytest.fixture(params=["sqlite", "postgresql"])
def vault(request: pytest.FixtureRequest, tmp_path: Path, postgresql_database: str) -> Iterator[Vault]:
    key = make_key(tmp_path / "key", passphrase=canary("passphrase"))
    with serve(tmp_path / "partner", doors=Doors(password=canary("password"), keys=(_fingerprint(key),))) as partner:
        (partner.root / "in").mkdir()
        ledger = "sqlite:///var/ledger.db" if request.param == "sqlite" else postgresql_database
        project = make_project(tmp_path / "project", config=_config(partner, ledger))
        for name, (database, endpoint, query, _) in JOBS.items():
            project.job(name, JOB.format(database=database, endpoint=endpoint, query=query))
        project.environment = _environment(postgresql_database, key)
        if request.param == "sqlite":
            del project.environment["LEDGERPASSWORD"]
        execute(postgresql_database, "create table vault (secret text)")
        execute(
            postgresql_database, "insert into vault values ('" + canary("databasepassword").replace("'", "''") + "')"
        )
        lines = [line for line in key.read_text().splitlines() if not line.startswith("-----") and len(line) > 20]
        yield Vault(project, partner, postgresql_database, everything=request.param == "sqlite", key_lines=lines)


def _fingerprint(key: Path) -> str:
    shown = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def _config(partner: Partner, ledger: str) -> str:
    password = "" if ledger.startswith("sqlite") else f"ledger_password = {_secret('ledgerpassword')}\n"
    databases = "".join(
        f'[databases.{name}]\nurl = {_secret(url)}\nconnect_timeout = "2s"\n'
        + (f"password = {_secret('databasepassword')}\n" if name == "shop" else "")
        for name, url in [
            ("shop", "url"),
            ("gone", "gone"),
            ("broken", "brokenurl"),
            ("mysql", "mysqlurl"),
            ("nowhere", "nowhere"),
        ]
    )
    ways_in = {
        "bank": f"password = {_secret('password')}",
        "refused": f"password = {_secret('wrongpassword')}",
        "stranger": f"password = {_secret('password')}",
        "keyed": f"private_key = {_secret('key')}\npassphrase = {_secret('passphrase')}",
        "locked": f"private_key = {_secret('key')}\npassphrase = {_secret('wrongpassword')}",
    }
    endpoints = "".join(
        SFTP.format(
            name=name,
            port=partner.port,
            host_key=OTHER_KEY if name == "stranger" else partner.fingerprint,
            way_in=way_in,
        )
        for name, way_in in ways_in.items()
    )
    notify = '[[notify]]\non = ["failed", "held", "late"]\ncommand = ["./tell"]\n'
    local = '[endpoints.out]\nprotocol = "local"\nroot = "out"\n'
    databases += '[databases.shop-file]\nurl = "sqlite:///shop.db"\n'
    return f'timezone = "Europe/Berlin"\nledger = "{ledger}"\n{password}{databases}{local}{endpoints}{notify}'


def _environment(postgresql: str, key: Path) -> dict[str, str]:
    def url(kind: str, rest: str, scheme: str = "postgresql", *, escaped: bool = True) -> str:
        password = quote(canary(kind), safe="") if escaped else canary(kind)
        return f"{scheme}://postgres:{password}@{rest}"

    rest = postgresql.partition("@")[2]
    port = free_port()
    return {
        **{kind.upper(): canary(kind) for kind in KINDS},
        "KEY": key.read_text(),
        "URL": url("url", rest),
        "GONE": url("url", f"127.0.0.1:{port}/shop"),
        "BROKENURL": url("brokenurl", f"127.0.0.1:{port}/shop", escaped=False),
        "MYSQLURL": url("mysqlurl", f"127.0.0.1:{port}/shop", "mysql+pymysql"),
        "NOWHERE": url("url", rest.replace("/of_", "/no_such_")),
    }


def test_no_secret_is_said_or_written_whatever_happens(vault: Vault) -> None:
    vault.project.write("tell", TELLER).chmod(0o700)
    assert vault("check").code == 0
    for name in JOBS if vault.everything else SOME_JOBS:
        code = JOBS[name][-1]
        done = vault("run", name, "--json")
        assert code in (None, done.code), f"{name}: {done.out}{done.err}"
        for run in done.document.get("runs", ()):
            vault("show", run["run"])
    failed = next(run["run"] for run in vault("runs", "--json").document["runs"] if run["job"] == "bad-sql")
    for words in (["show", failed, "--json"], ["retry", failed, "--debug"], ["run", "bad-sql", "--dry-run"]):
        vault(*words)
    for endpoint in ("bank", "refused"):
        vault("probe", endpoint)
    for words in (["status"], ["runs"], ["status", "--json"], ["runs", "--json"], ["plan", "--json"], ["schema"]):
        vault(*words)
    if not vault.everything:
        config = vault.project.folder / "config.toml"
        config.write_text(
            config.read_text().replace("postgresql://postgres@/", f"postgresql://postgres@127.0.0.1:{free_port()}/")
        )
        assert vault("status").code == 3
    assert len(vault.partner.names()) >= 1
    assert vault.leaks() == []
    assert found("\n".join(_tables(vault)), vault.secrets) == []


def _tables(vault: Vault) -> Iterator[str]:
    """Every row of every table that PostgreSQL has of ours."""
    for (name,) in execute(vault.schema, "select tablename from pg_tables where schemaname = current_schema()"):
        if name != "vault":
            yield from (str(row) for (row,) in execute(vault.schema, f'select t::text from "{name}" t'))


@pytest.mark.parametrize("vault", ["sqlite"], indirect=True)
def test_a_fault_of_ours_shows_no_secret_in_its_traceback(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "fault").mkdir()
    (tmp_path / "fault/sitecustomize.py").write_text(FAULT)
    environment = {**clean(vault.project.folder), **vault.project.environment, "PYTHONPATH": str(tmp_path / "fault")}
    done = subprocess.run(
        [str(PROGRAM), "run", "good", "--debug"],
        cwd=vault.project.folder,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert done.stderr.count(b"Traceback") == 2, "that of the thread too"
    assert b"unexpected RuntimeError" in done.stderr
    assert found(done.stdout + done.stderr, vault.secrets) == []
    assert vault.leaks() == []


@pytest.mark.parametrize("vault", ["sqlite"], indirect=True)
def test_the_daemon_its_log_and_its_commands_are_told_no_secret(vault: Vault, tmp_path: Path) -> None:
    """The daemon fails, also in ways that nobody foresaw; its notify command sees what it was given, and by whom."""
    (tmp_path / "fault").mkdir()
    (tmp_path / "fault/sitecustomize.py").write_text(FAULT)
    vault.project.write("tell", TELLER).chmod(0o700)
    schedule = '[schedule]\nevery = "2s"\ncatch_up = "latest"\n'
    for name in JOBS:
        (vault.project.folder / f"jobs/{name}.toml").unlink()
    for name, endpoint, database in (("strange", "stranger", "shop-file"), ("faulty", "bank", "shop")):
        text = schedule + JOB.format(database=database, endpoint=endpoint, query="select 1 as a")
        vault.project.job(name, text)
    for name in ("daily", "by-hand"):
        (vault.project.folder / f"jobs/{name}.toml").unlink()
    told = vault.project.folder / "told"
    with serving(vault.project, PYTHONPATH=str(tmp_path / "fault")) as daemon:
        daemon.wait_for("fault")
        until(lambda: told.exists() and "PATH=" in told.read_text())
        command_line = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
        assert daemon.end() == 0
    event = json.loads(told.read_text().partition("\n")[0])
    assert event["kind"] in {"failed", "held", "late"}
    assert "RuntimeError" in daemon.log.read_text()
    assert found(command_line, vault.secrets) == []
    assert vault.leaks() == []
    assert not any(name in told.read_text() for name in ("PASSWORD=", "PASSPHRASE=", "URL=", "KEY="))


@pytest.mark.parametrize("vault", ["sqlite"], indirect=True)
def test_what_is_made_is_for_its_owner_only_whatever_the_umask(vault: Vault) -> None:
    vault.project.job(
        "fetch", 'direction = "pull"\n[file]\nendpoint = "bank"\npath = "*.csv"\ndone_file = "{path}.done"\n'
    )
    (vault.partner.root / "in/x.csv").write_text("a")
    (vault.partner.root / "in/x.csv.done").touch()
    before = os.umask(0)
    try:
        assert vault("run", "good").code == 0
        assert vault("run", "good", "--dry-run").code == 0
        assert vault("run", "fetch").code == 0
    finally:
        os.umask(before)
    made = list((vault.project.folder / "var").rglob("*"))
    assert {path.name for path in made} >= {"ledger.db", "spool", "good", "dry-run", "x.csv"}
    assert [str(path) for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_the_search_finds_each_way_of_writing_a_secret() -> None:
    import base64

    for before in ("", "x", "xy"):
        text = base64.b64encode(f"{before}{canary('url')} and more".encode()).decode()
        assert found(text, CORES) == [core("url")], text
    assert found(quote(canary("url")), CORES) == [core("url")]
    assert len(set(base64_forms(core("url")))) == 3
