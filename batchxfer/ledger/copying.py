"""A consistent copy of a SQLite ledger while others write to it; what to type for a PostgreSQL one."""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from batchxfer.errors import LedgerError, StorageError, UsageError
from batchxfer.facts import Backup
from batchxfer.ids import new_id
from batchxfer.ledger.faults import RESTORE, translated
from batchxfer.ledger.schema import VERSION_TABLE
from batchxfer.ledger.sqlite import may_write, to_read, unchanged
from batchxfer.model import utc

_PAGES = 1024


def file_of(url: str) -> Path | None:
    """The file of a SQLite ledger; None for another one."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def dump_command(url: str, to: Path) -> str:
    """The pg_dump that copies a PostgreSQL ledger; a password is never in it."""
    parsed = make_url(url)
    words = ["pg_dump", "--format=custom", f"--file={to}"]
    given = {"host": parsed.host, "port": parsed.port, "username": parsed.username, "dbname": parsed.database}
    for name in ("host", "port"):
        said = parsed.query.get(name)
        given[name] = given[name] or (said if isinstance(said, str) else None)
    words += [f"--{name}={value}" for name, value in given.items() if value]
    options = parsed.query.get("options")
    if isinstance(options, str) and "search_path=" in options:
        words.append(f"--schema={options.partition('search_path=')[2].split()[0].split(',')[0]}")
    return shlex.join(words)


def backup(ledger: Path, to: Path, now: datetime) -> Backup:
    """Copy the ledger in the file `ledger` to `to`, which must not exist, and check the copy.

    Writers go on meanwhile: the copy is what the ledger was at one moment. Raises UsageError, LedgerError, StorageError.
    """
    where = f"ledger {ledger}"
    if not ledger.is_file():
        raise LedgerError(f"{where} is not there: nothing was ever run", hint="run a job with: batchxfer run JOB")
    _refuse_existing(to)
    partial = to.with_name(f".{to.name}.{new_id(now)}.part")
    with _removed(partial), _writing(to):
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with translated(where):
            _copy(ledger, partial)
        with translated(f"copy {partial}"):
            found = _check(partial, to)
        _sync(partial)
        _publish(partial, to)
        _sync(to.parent)
    return found


def _copy(ledger: Path, partial: Path) -> None:
    mine = may_write(ledger)
    name = ledger.absolute().as_uri() + "?mode=ro" if mine else to_read(ledger)
    with (
        contextlib.nullcontext() if mine else unchanged(ledger),
        contextlib.closing(sqlite3.connect(name, uri=True, timeout=60)) as source,
        contextlib.closing(sqlite3.connect(partial)) as copy,
    ):
        # A transaction that reads keeps one state of the ledger in view: without it each write would begin the copy anew.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(copy, pages=_PAGES, sleep=0.0)


def _check(partial: Path, to: Path) -> Backup:
    """Read the copy as it lies on the disk."""
    uri = partial.absolute().as_uri() + "?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as copy:
        damage = [row[0] for row in copy.execute("PRAGMA integrity_check(5)")]
        if damage != ["ok"]:
            raise LedgerError(
                f"the ledger is damaged, and so would be its copy: {damage[0].strip().splitlines()[-1]}", hint=RESTORE
            )
        tables = {row[0] for row in copy.execute("SELECT name FROM sqlite_master")}
        if VERSION_TABLE not in tables:
            raise LedgerError("there is no ledger in that file: nothing was copied", hint="see: batchxfer doctor")
        (runs,) = copy.execute("SELECT count(*) FROM runs").fetchone()
        events, newest = copy.execute("SELECT coalesce(max(id), 0), max(at) FROM events").fetchone()
        statuses = dict(copy.execute("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status"))
    return Backup(
        path=to,
        bytes=partial.stat().st_size,
        runs=runs,
        events=events,
        newest_event=utc(datetime.fromisoformat(newest)) if newest else None,
        statuses=statuses,
    )


def _refuse_existing(to: Path) -> None:
    if to.exists() or to.is_symlink():
        what = "is a folder" if to.is_dir() else "is there already, and is not overwritten"
        raise UsageError(f"{to} {what}", hint="name a new file, such as ledger-$(date +%F).db")
    if not to.parent.is_dir():
        raise UsageError(f"the folder {to.parent} is not there", hint=f"mkdir -p '{to.parent}'")


def _publish(partial: Path, to: Path) -> None:
    """Give the copy its name, unless somebody has taken it meanwhile."""
    try:
        os.link(partial, to)
    except FileExistsError:
        _refuse_existing(to)
        raise
    except OSError:
        # A file system without links.
        _refuse_existing(to)
        os.rename(partial, to)


@contextlib.contextmanager
def _removed(partial: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for path in (partial, partial.with_name(partial.name + "-journal"), partial.with_name(partial.name + "-wal")):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def _writing(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(
            f"cannot write {to}: {exc.strerror}. Nothing of it was kept",
            hint=f"look at the space and the rights of {to.parent}, then try again",
        ) from exc


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
