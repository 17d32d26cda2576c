"""Opening the project's ledger; making it for a new project, and never where one was.

The ledger and the spool carry one project id. Only where neither has one is the project new. Making it survives being killed
anywhere (`project` says how), and two processes that do it at once make one.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from batchxfer import __version__
from batchxfer.errors import LedgerError
from batchxfer.ids import new_id
from batchxfer.ledger import project
from batchxfer.ledger.faults import RESTORE, refused
from batchxfer.ledger.pausing import SqlLedger
from batchxfer.ledger.schema import HEAD, VERSION_TABLE, meta, metadata
from batchxfer.ledger.store import Store, Transaction
from batchxfer.ports import Clock, Ledger

if TYPE_CHECKING:
    from batchxfer.credentials import Secret


log = logging.getLogger("batchxfer")


class OlderLedger(LedgerError):
    """It would have to be migrated."""

    kind = "older-ledger"


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A ledger in a database: its project, and whether its schema is the newest."""

    project: str
    is_current: bool


def open_ledger(
    url: str, password: Secret | None, *, spool: Path, clock: Clock, create: bool, migrate: bool = True
) -> Ledger | None:
    """The ledger at `url` (`sqlite:///PATH` or `postgresql://…`) of the project whose artifacts lie in `spool`.

    A new project gets its ledger where `create` is true; otherwise the answer is None, and nothing is made. An older ledger
    is migrated, where `migrate` is true. `clock` is the ledger's clock on SQLite.

    Raises LedgerError where the ledger is missing, damaged, foreign, newer than this program (or older, and not to be
    migrated), or another project's;
    DatabaseUnavailable where it is out of reach or locked; StorageError where the disk is full.
    """
    spool = spool.absolute()
    parsed = _parse(url)
    is_hidden = _is_only_read(parsed) and project.is_hidden(spool)
    if is_hidden:
        log.warning(
            "spool %s: this user may not look into it: whether it belongs to this ledger, and whether the ledger was put "
            "back from a backup, is not known",
            spool,
            extra={"action": "spool-hidden"},
        )
    # Before the ledger is looked at: another process may be making both just now, the spool's id last.
    beside = None if is_hidden else project.read_id(spool)
    store = _store(parsed, password, spool, clock, create=create and beside is None)
    if store is None:
        refuse_lost(f"ledger {make_url(url).database}", spool, beside)
        return None
    with _closed_on_error(store):
        with store.read() as tx:
            found = _look(store, tx)
        if found is not None:
            _agree(store, found.project, is_hidden=is_hidden)
        else:
            refuse_lost(store.where, spool, beside)
        if found is None and not create:
            store.close(set)
            return None
        if found is not None and not found.is_current and not migrate:
            raise OlderLedger(
                f"{store.where} is of an earlier batchxfer", hint="the next command that runs migrates it"
            )
        if found is None or not found.is_current:
            found = _make_or_migrate(store)
        return SqlLedger(store, _agree(store, found.project, is_hidden=is_hidden))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text itself may hold a password.
        raise LedgerError(
            "the ledger's URL cannot be read", hint="write sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        ) from None
    if parsed.get_backend_name() == "postgres":
        return parsed.set(drivername="postgresql")
    return parsed


def _store(url: URL, password: Secret | None, spool: Path, clock: Clock, *, create: bool) -> Store | None:
    """The database, opened; None where there is none and none is to be made."""
    match url.get_backend_name():
        case "sqlite":
            return _sqlite(url, spool, clock, create)
        case "postgresql":
            from batchxfer.ledger.postgresql import PostgresqlStore

            return PostgresqlStore(url, password, spool)
        case other:
            raise LedgerError(f"a ledger cannot be in {other!r}", hint="use sqlite:///PATH or postgresql://…")


def _sqlite(url: URL, spool: Path, clock: Clock, create: bool) -> Store | None:
    from batchxfer.ledger.sqlite import SqliteStore, make_file

    if not url.database or url.database == ":memory:":
        raise LedgerError("a ledger in memory would forget everything", hint="give it a path: sqlite:///var/ledger.db")
    path = Path(url.database).absolute()
    if not _is_there(path):
        if not create:
            return None
        make_file(path)
    store = SqliteStore(path, spool, clock)
    with _closed_on_error(store):
        store.check()
    return store


def _is_only_read(url: URL) -> bool:
    """Whether there is a file of which this user is known to have no right to write it."""
    if url.get_backend_name() != "sqlite" or not url.database or not os.path.exists(url.database):
        return False
    from batchxfer.ledger.sqlite import may_write

    return not may_write(Path(url.database).absolute())


def _is_there(path: Path) -> bool:
    """A ledger that may not be looked at is not one that is lost."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise refused(exc, f"ledger {path} cannot be looked at") from exc
    return True


@contextlib.contextmanager
def _closed_on_error(store: Store) -> Iterator[None]:
    try:
        yield
    except BaseException:
        store.close(set)
        raise


# --- what is there -------------------------------------------------------------------------------


def _look(store: Store, tx: Transaction) -> _Found | None:
    tables = store.tables(tx.connection)
    if not {meta.name, VERSION_TABLE} <= tables:
        _refuse_foreign(store, tables)
        return None
    version = tx.connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
    rows = {row.key: row.value for row in tx.connection.execute(select(meta))}
    if version is None or "project" not in rows:
        raise LedgerError(f"{store.where} is damaged: it has lost its project id or version", hint=RESTORE)
    if version > HEAD:
        raise LedgerError(
            f"{store.where} has schema {version}, written by batchxfer {rows.get('program', 'of a later version')}; "
            f"this is {__version__}, which knows {HEAD}",
            hint="use the newer batchxfer, or restore a backup of the ledger from before",
        )
    return _Found(project=rows["project"], is_current=version == HEAD)


def _refuse_foreign(store: Store, tables: set[str]) -> None:
    ours = tables & (set(metadata.tables) | {VERSION_TABLE})
    foreign = ours if store.shared else tables
    if foreign:
        raise LedgerError(
            f"{store.where} is no ledger: it holds other tables ({', '.join(sorted(foreign)[:3])})",
            hint="point `ledger` in config.toml to the right place, or to an empty one",
        )


def refuse_lost(where: str, spool: Path, beside: str | None) -> None:
    """Raise where the spool's id `beside` says that there was a ledger."""
    if beside is not None:
        raise LedgerError(
            f"{where} is missing or empty, but the spool {spool} belongs to a project that had one",
            hint="restore the ledger from a backup, or mend `ledger` in config.toml; to begin anew and forget what was "
            "sent, move the spool away",
        )


def _agree(store: Store, known: str, *, is_hidden: bool) -> str:
    """The project id that ledger and spool have in common; finishes what a process that was killed left unfinished. The
    ledger's own where the spool is hidden."""
    spool = store.spool
    if is_hidden:
        return known
    # The intent first: what another process renames between the two looks is then seen under its final name.
    intent = project.read_intent(spool)
    beside = project.read_id(spool)
    if beside is None and intent == known:
        project.finish(spool, known)
        return known
    if beside is None:
        raise LedgerError(
            f"{store.where} belongs to project {known}, but the spool {spool} has no project id",
            hint="mount or restore the spool, or mend `spool` in config.toml; if it is lost for good: "
            f"mkdir -p -m 700 '{spool}' && echo {known} > '{spool / project.NAME}'",
        )
    if beside != known:
        raise LedgerError(
            f"{store.where} belongs to project {known}, but the spool {spool} to project {beside}",
            hint="mend `ledger` or `spool` in config.toml: each project has its own",
        )
    return known


# --- making one ----------------------------------------------------------------------------------


def _make_or_migrate(store: Store) -> _Found:
    """One process at a time; whoever comes second finds it done."""
    from batchxfer.ledger.migrating import upgrade

    store.prepare()
    with store.write() as tx:
        store.lock_opening(tx.connection)
        found = _look(store, tx)
        if found is not None and found.is_current:
            return found
        if found is not None:
            upgrade(tx.connection)
            tx.connection.execute(update(meta).where(meta.c.key == "program").values(value=__version__))
            return _Found(project=found.project, is_current=True)
        refuse_lost(store.where, store.spool, project.read_id(store.spool))
        identifier = new_id(tx.now)
        project.write_intent(store.spool, identifier)
        upgrade(tx.connection)
        created = {"project": identifier, "program": __version__, "created_at": tx.now.isoformat()}
        tx.connection.execute(insert(meta), [{"key": key, "value": value} for key, value in created.items()])
        return _Found(project=identifier, is_current=True)
