"""What this machine runs out of while it works (memory, threads, open files, space), and a disk that fails: it may pass."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from batchxfer.errors import StorageError

PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
)
_HINT = "look at what else runs on this machine and at its limits (fewer `workers` need less); it is tried again"


@contextlib.contextmanager
def shortages(doing: str) -> Iterator[None]:
    """Turn a shortage that is met where nobody expects it into StorageError: it is no fault of batchxfer."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as exc:
        what = shortage(exc)
        if what is None:
            raise
        raise StorageError(f"{doing}: {what}", hint=_HINT) from exc


def shortage(exc: Exception) -> str | None:
    """What this machine is short of; None where the error is another one."""
    if isinstance(exc, MemoryError):
        return "this machine has no memory left"
    if isinstance(exc, OSError):
        return f"this machine says: {exc.strerror}" if exc.errno in PASSING else None
    return "this machine starts no more threads" if "start new thread" in str(exc) else None
