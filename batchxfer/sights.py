"""What is at a final name, and what of a job's files lies in the spool: what reconciling goes by."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from batchxfer.errors import FolderMissing, NotSupported, PermissionRefused
from batchxfer.judging import Sight
from batchxfer.ports import Session
from batchxfer.resolve import Seen
from batchxfer.spool import chunks

_STAMP = "%Y%m%dT%H%M%SZ"


def check_root(session: Session, endpoint: str) -> None:
    """Raise FolderMissing where the endpoint's root is not there: what is not mounted says nothing of what lies in it."""
    if seen_at(session, ".") is Seen.ABSENT:
        raise FolderMissing(
            f"endpoint {endpoint!r}: its root is not there", hint="mount it, or make it; then reconcile"
        )


def sight(session: Session, path: str) -> Sight:
    """What is at `path`, read back where that is allowed."""
    seen, size = _look(session, path)
    if seen is not Seen.THERE:
        return Sight(seen=seen)
    digest, count = hashlib.sha256(), 0
    try:
        for piece in session.read(path):
            digest.update(piece)
            count += len(piece)
    except (PermissionRefused, NotSupported):
        return Sight(seen=seen, bytes=size)
    return Sight(seen=seen, bytes=count, sha256=digest.hexdigest())


def seen_at(session: Session, path: str) -> Seen:
    """Whether something is at `path`."""
    return _look(session, path)[0]


def _look(session: Session, path: str) -> tuple[Seen, int]:
    try:
        found = session.stat(path)
    except FolderMissing:
        return Seen.ABSENT, 0
    except (PermissionRefused, NotSupported):
        return Seen.UNKNOWN, 0
    return (Seen.ABSENT, 0) if found is None else (Seen.THERE, found.size)


def files_of_slot(folder: Path, slot: datetime) -> dict[str, str]:
    """The digests of a slot's finished files in a job's folder of the spool, with their names, whatever the ledger knows."""
    return dict(_digests(path for path in _finished(folder) if path.name.startswith(_start(slot))))


def files_of_earlier_slots(folder: Path, slot: datetime, size: int) -> dict[str, str]:
    """The same of the earlier slots' files that have that size in bytes."""
    earlier = (path for path in _finished(folder) if path.name < _start(slot))
    return dict(_digests(path for path in earlier if path.stat().st_size == size))


def slots_built(folder: Path, but: Collection[Path]) -> list[datetime]:
    """The slots that a job's folder of the spool has finished files of, `but` those left out."""
    names = {path.name.partition("-")[0] for path in _finished(folder) if path not in but}
    found = []
    for name in sorted(names):
        # Somebody's own file.
        with contextlib.suppress(ValueError):
            found.append(datetime.strptime(name, _STAMP).replace(tzinfo=UTC))
    return found


def slot_of(path: Path) -> datetime | None:
    """The slot of a finished file in a job's folder of the spool; None of another one."""
    stamp, _, rest = path.name.partition("-")
    with contextlib.suppress(ValueError):
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) if rest and "." not in rest else None
    return None


def _start(slot: datetime) -> str:
    return f"{slot:{_STAMP}}-"


def _finished(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*T*Z-*")):
        if path.is_file() and "." not in path.name:
            yield path


def _digests(paths: Iterator[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        digest = hashlib.sha256()
        for piece in chunks(path):
            digest.update(piece)
        yield digest.hexdigest(), f"{path.parent.name}/{path.name}"
