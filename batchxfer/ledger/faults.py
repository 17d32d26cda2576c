"""What a driver's error means: said once, for both databases."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from batchxfer.errors import BatchxferError, DatabaseUnavailable, LedgerError, StorageError
from batchxfer.shortages import PASSING

RESTORE = "restore the ledger from a backup (docs/ledger.md); nothing was changed"
_DOCTOR = "nothing was changed; see what else is wrong with: batchxfer doctor"
SPACE = "look at the disk (space, errors) and the limit of open files, then run the command again"

DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_ACCESS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}

# PostgreSQL's error codes: connection, resources, intervention, system; a lock that did not come; a serialization failure.
_PASSING = ("08", "53", "57", "58", "55P03", "40")
_REFUSED = ("28", "3D", "42501", "25006")


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn what the driver raises inside into LedgerError, StorageError or DatabaseUnavailable about the ledger `where`."""
    try:
        yield
    except DBAPIError as exc:
        raise _translate(exc.orig if exc.orig is not None else exc, where) from exc
    except PoolTimeout as exc:
        raise DatabaseUnavailable(f"{where}: no free connection", hint="use fewer workers") from exc
    except sqlite3.Error as exc:
        raise _translate(exc, where) from exc
    except SQLAlchemyError as exc:
        raise LedgerError(f"{where} cannot be used: {first_line(exc)}", hint=_DOCTOR) from exc


def refused(exc: OSError, what: str) -> BatchxferError:
    """The error for a file of ours that this machine does not let us use: `what` says which, and what was to be done."""
    text = f"{what}: {exc.strerror or exc}"
    if exc.errno in PASSING:
        return StorageError(text, hint=SPACE)
    return LedgerError(text, hint="check the owner and mode of it and of its folder")


def first_line(exc: BaseException) -> str:
    """The first line of the error's text, which is what a person can use."""
    return str(exc).strip().partition("\n")[0] or type(exc).__name__


def _translate(exc: BaseException, where: str) -> BatchxferError:
    if isinstance(exc, sqlite3.Error):
        return _from_sqlite(exc, where)
    return _from_postgresql(exc, where)


def _from_sqlite(exc: sqlite3.Error, where: str) -> BatchxferError:
    # The low byte is the primary code, the rest says more: https://sqlite.org/rescode.html
    code = (getattr(exc, "sqlite_errorcode", None) or 0) & 0xFF
    text = first_line(exc)
    if code in DISK or code == sqlite3.SQLITE_NOMEM:
        return StorageError(f"{where} cannot be written: {text}", hint=SPACE)
    if code in _DAMAGE:
        return LedgerError(f"{where} is damaged: {text}", hint=RESTORE)
    if code in _BUSY:
        return DatabaseUnavailable(f"{where} is locked by another process: {text}", hint="try again when it has ended")
    if code in _ACCESS:
        return LedgerError(
            f"{where} cannot be used: {text}",
            hint="check the owner and mode of the file and its folder, the space on its disk and the limit of open files",
        )
    return LedgerError(f"{where} cannot be used: {text}", hint=RESTORE)


def _from_postgresql(exc: BaseException, where: str) -> BatchxferError:
    text = first_line(exc)
    state: str | None = getattr(exc, "sqlstate", None) or _state_of_refusal(text)
    if state is not None and state.startswith(_REFUSED):
        return LedgerError(f"{where} cannot be used: {text}", hint="check user, password, database and its grants")
    if state is None or state.startswith(_PASSING):
        return DatabaseUnavailable(f"{where} is out of reach: {text}", hint="it is tried again; nothing was changed")
    return LedgerError(f"{where} cannot be used: {text}", hint=_DOCTOR)


def _state_of_refusal(text: str) -> str | None:
    # libpq gives no code for an error during the connection, only the server's words.
    signs = (
        "authentication failed",
        "no password supplied",
        "no pg_hba.conf entry",
        "does not exist",
        "permission denied",
    )
    return "28000" if any(sign in text for sign in signs) else None
