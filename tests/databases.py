"""Databases for tests: a real PostgreSQL, a real MariaDB and an SQLite file, each with a Source to read from it."""

from __future__ import annotations

import getpass
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from batchxfer.credentials import Secret
from batchxfer.databases import _canonical, _sqlite, postgresql, sqlalchemy
from batchxfer.databases._sqlite_process import Process, started
from batchxfer.definitions import DatabaseOptions
from batchxfer.model import Column
from batchxfer.ports import Query, Source, Target
from tests.needs import missing


@dataclass
class Database(ABC):
    """One database of one server, empty at first."""

    url: str

    @abstractmethod
    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as an administrator, and return the rows of the last."""

    def source(self, *, url: str | None = None, password: str | None = None, **options: Any) -> Source:
        known = DatabaseOptions(url="unused://", **options)
        module = postgresql if isinstance(self, Postgresql) else sqlalchemy
        return module.Source("shop", known, url=url or self.url, password=Secret(password) if password else None)

    def target(self, *, url: str | None = None, **options: Any) -> Target:
        known = DatabaseOptions(url="unused://", **options)
        module = postgresql if isinstance(self, Postgresql) else sqlalchemy
        return module.Target("shop", known, url=url or self.url, password=None)

    def read(self, text: str, parameters: dict[str, Any] | None = None, **options: Any) -> Result:
        with self.source(**options).read(Query(text=text, parameters=parameters or {})) as rows:
            return Result(rows.columns, list(rows))

    def values(self, text: str, parameters: dict[str, Any] | None = None, **options: Any) -> list[tuple[Any, ...]]:
        return self.read(text, parameters, **options).rows


@dataclass
class Result:
    columns: tuple[Column, ...]
    batches: list[pa.RecordBatch]

    @property
    def types(self) -> list[str]:
        return [str(column.type) for column in self.columns]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Python's values, each with its scalar's own precision."""
        return [
            row for batch in self.batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ]

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches)


@dataclass
class Postgresql(Database):
    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        import psycopg

        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows


@dataclass
class Sqlite(Database):
    path: Path

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        connection = sqlite3.connect(self.path)
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.commit()
        connection.close()
        return rows


@dataclass
class Mariadb(Database):
    socket: str
    name: str

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        import pymysql

        rows: list[tuple[Any, ...]] = []
        with pymysql.connect(unix_socket=self.socket, user="root", database=self.name, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.cursor()
                cursor.execute(statement)
                rows = list(cursor.fetchall())
        return rows


@pytest.fixture(scope="session")
def mariadb_socket() -> Iterator[str]:
    """The socket of a MariaDB that only this test session has."""
    if not shutil.which("mariadbd") or not shutil.which("mariadb-install-db"):
        missing("MariaDB's server")
    # A socket's path has at most 107 characters: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    user = f"--user={getpass.getuser()}"
    data = f"--datadir={folder / 'data'}"
    subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            data,
            user,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = _start_mariadb(folder, data, user)
    yield str(folder / "socket")
    server.terminate()
    server.wait(30)
    shutil.rmtree(folder)


def _start_mariadb(folder: Path, data: str, user: str) -> subprocess.Popen[bytes]:
    words = ["--skip-networking", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        ["mariadbd", "--no-defaults", data, user, f"--socket={folder / 'socket'}", *words], stdout=log, stderr=log
    )
    log.close()
    deadline = time.monotonic() + 60
    while not (folder / "socket").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise RuntimeError((folder / "log").read_text())
        time.sleep(0.05)
    return server


@pytest.fixture
def postgresql_shop(postgresql_database: str) -> Database:
    return Postgresql(postgresql_database)


@pytest.fixture
def sqlite_shop(tmp_path: Path) -> Database:
    path = tmp_path / "shop.db"
    path.touch()
    return Sqlite(f"sqlite:///{path}", path)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """Rows of SQLite that come after the first ones are fetched by a process of its own, however small the file is. Those
    processes, None where one could not be used."""
    begun: list[Any] = []

    def spied(*words: Any, **more: Any) -> Process | None:
        begun.append(started(*words, **more))
        return begun[-1]

    monkeypatch.setattr(_sqlite, "LARGE_BYTES", 0)
    monkeypatch.setattr(_sqlite, "started", spied)
    return begun


@pytest.fixture
def sqlite_elsewhere_shop(
    sqlite_shop: Database, elsewhere: list[Process], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    monkeypatch.setattr(_canonical, "FIRST_ROWS", 1)
    yield sqlite_shop
    assert None not in elsewhere


@pytest.fixture
def mariadb_shop(mariadb_socket: str) -> Iterator[Database]:
    name = f"t{uuid4().hex}"
    Mariadb("", mariadb_socket, "mysql").execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield Mariadb(f"mysql+pymysql://root@/{name}?unix_socket={mariadb_socket}", mariadb_socket, name)
    Mariadb("", mariadb_socket, "mysql").execute(f"DROP DATABASE {name}")


@pytest.fixture(params=["postgresql", "sqlite", "sqlite_elsewhere", "mariadb"])
def shop(request: pytest.FixtureRequest) -> Database:
    """An empty database of each kind."""
    database = request.getfixturevalue(f"{request.param}_shop")
    assert isinstance(database, Database)
    return database


@pytest.fixture
def machine_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Puts this machine into another zone until the test ends."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    before = os.environ.get("TZ")
    yield move
    if before is None:
        monkeypatch.delenv("TZ", raising=False)
    else:
        monkeypatch.setenv("TZ", before)
    time.tzset()
