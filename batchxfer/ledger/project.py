"""The project id in the spool: what ties a spool to its ledger.

A new id is first written under a temporary name, then committed to the ledger, then renamed. Whoever finds the temporary
name and the same id in the ledger finishes the rename; a temporary name alone means that no ledger was ever used.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from batchxfer.errors import LedgerError, StorageError
from batchxfer.ledger.faults import refused
from batchxfer.ports import PROJECT_ID

NAME = PROJECT_ID
_INTENT = NAME + ".new"


def read_id(spool: Path) -> str | None:
    """The spool's project id; None where there is none."""
    return _read(spool / NAME)


def is_hidden(spool: Path) -> bool:
    """Whether this user may not look for an id in there."""
    try:
        _read(spool / NAME)
    except LedgerError:
        return True
    return False


def read_intent(spool: Path) -> str | None:
    """The id of a project that was about to be made."""
    return _read(spool / _INTENT)


def write_intent(spool: Path, project: str) -> None:
    """Record that the project `project` is about to be made; makes the spool's folder."""
    try:
        _make_folder(spool)
        descriptor = os.open(spool / _INTENT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(project + "\n")
            file.flush()
            os.fsync(file.fileno())
        _sync(spool)
    except OSError as exc:
        raise _unwritable(spool, exc) from exc


def _make_folder(spool: Path) -> None:
    try:
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError) as exc:
        raise LedgerError(
            f"spool {spool} cannot be a folder: there is a file of that name, or above it",
            hint="mend `spool` in config.toml, or move the file away",
        ) from exc


def _unwritable(spool: Path, exc: OSError) -> StorageError:
    return StorageError(
        f"spool {spool}: cannot write the project id: {exc.strerror}. Nothing was begun",
        hint="look at its owner and mode, and the room on its disk, then try again",
    )


def finish(spool: Path, project: str) -> None:
    """Give the intent its final name; another process may have done so already."""
    try:
        with contextlib.suppress(FileNotFoundError):
            os.rename(spool / _INTENT, spool / NAME)
        _sync(spool)
    except OSError as exc:
        raise _unwritable(spool, exc) from exc
    if read_id(spool) != project:
        raise LedgerError(f"spool {spool}: its project id changed while the ledger was opened", hint="try again")


def _read(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise refused(exc, f"spool {path.parent}: the project id cannot be read") from exc
    return text


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
