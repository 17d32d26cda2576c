"""Looks at everything of a project, and says what is wrong. Nothing is changed; what is found is judged by `diagnosis`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path

from batchxfer import diagnosis, paths
from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.definitions import EndpointOptions
from batchxfer.diagnosis import Disk, Finding, OnDisk
from batchxfer.errors import AttemptError, FolderMissing
from batchxfer.facts import KnownFile, LedgerFacts
from batchxfer.model import DeliveryStatus, Run
from batchxfer.ports import Clock, Ledger, Session
from batchxfer.pruning import leftovers
from batchxfer.runner import Runner
from batchxfer.spool import chunks

_MOUNTS = Path("/proc/mounts")
_OTHERS = 0o077
_RUNS_LOOKED_AT = 1000
_ULID = "[0-9A-HJKMNP-TV-Z]{26}"
PACKAGES = (
    *("batchxfer", "paramiko", "cryptography", "pyarrow", "adbc-driver-postgresql", "psycopg", "sqlalchemy", "alembic"),
    *("pydantic", "orjson", "apscheduler", "cronsim", "holidays", "tzdata", "typer"),
)


def of_ledger(project: Project, ledger: Ledger, clock: Clock, *, deep: bool) -> tuple[LedgerFacts, list[Finding]]:
    """What the ledger says of itself, and what is wrong with it, and with what it says is in the spool."""
    facts = ledger.inspect()
    rules = [(rule.key, rule.on) for rule in project.config.notify]
    findings = [
        *diagnosis.of_ledger(facts, clock.now()),
        *diagnosis.of_open_runs(ledger.open_runs(), facts.now),
        *diagnosis.of_notices(ledger.notices(), rules, facts.now),
        *diagnosis.of_artifacts([_on_disk(file, deep) for file in facts.files]),
        *_leftovers(project, ledger, facts, clock),
    ]
    return facts, findings


def of_machine(project: Project, ledger_file: Path | None, now: datetime) -> Iterator[Finding]:
    """What is wrong with this machine: disks, rights, the time zone database. `ledger_file` is None where it is no file."""
    yield from diagnosis.of_zones(zones_version(), now)
    places = [("spool", path) for path in (project.spool, *_folders(project.spool))]
    if ledger_file is not None:
        places.append(("ledger", ledger_file.parent))
    seen: set[int] = set()
    for where, path in places:
        disk = _disk(where, path)
        if disk is None:
            continue
        if where == "ledger":
            yield from diagnosis.of_ledger_disk(disk)
        device = _existing(path).stat().st_dev
        if device not in seen:
            yield from diagnosis.of_disk(disk)
        seen.add(device)
    if os.path.exists(project.spool) and not os.path.isdir(project.spool):
        yield diagnosis.of_spool_that_is_no_folder(project.spool)
        return
    ours = [project.spool, *([ledger_file] if ledger_file is not None else [])]
    yield from diagnosis.of_readers([path for path in ours if _others_may_read(path)])
    yield from diagnosis.of_unwritable([path for path in dict.fromkeys(map(_existing, ours)) if not _is_writable(path)])


def of_endpoints(project: Project, ledger: Ledger, connections: Connections, runner: Runner) -> Iterator[Finding]:
    """Temporary files of ours that no run needs any more, in the folders that were sent to."""
    runs = ledger.runs(limit=_RUNS_LOOKED_AT)
    for name, options in project.config.endpoints.items():
        folders = sorted({paths.split(path)[0] for path in _sent_to(runs, name)})
        try:
            runner.check_environment(name)
            with connections.session(name) as session:
                left = [
                    paths.join(folder, name)
                    for folder in folders
                    for name in _names_in(session, folder)
                    if is_temporary(options, name)
                ]
        except AttemptError as error:
            yield diagnosis.of_error("endpoint", f"endpoint {name!r}", error)
            continue
        needed = _needed(runs, name)
        yield from diagnosis.of_remote_leftovers(name, [path for path in left if path not in needed])


def _names_in(session: Session, folder: str) -> list[str]:
    """What is in a folder that was sent to; one that the partner has put away has nothing in it."""
    try:
        return [entry.name for entry in session.list(folder or ".")]
    except FolderMissing:
        if not folder:
            raise
        return []


def versions() -> dict[str, str]:
    """What is installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


# --- the spool -----------------------------------------------------------------------------------


def _on_disk(file: KnownFile, deep: bool) -> OnDisk:
    try:
        size = file.path.stat().st_size
        if not os.access(file.path, os.R_OK):
            return OnDisk(file=file, bytes=size, is_closed=True)
        return OnDisk(file=file, bytes=size, differs=deep and size == file.bytes and _digest(file.path) != file.sha256)
    except FileNotFoundError:
        return OnDisk(file=file, bytes=None)
    except PermissionError:
        return OnDisk(file=file, bytes=file.bytes, is_closed=True)
    except OSError:
        return OnDisk(file=file, bytes=file.bytes, differs=True)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for piece in chunks(path):
        digest.update(piece)
    return digest.hexdigest()


def _leftovers(project: Project, ledger: Ledger, facts: LedgerFacts, clock: Clock) -> Iterator[Finding]:
    if facts.restored is not None or facts.forgets:
        # They tell what was sent.
        return
    known = {file.path for file in facts.files}
    found = leftovers(project, ledger, known, clock)
    size = 0
    for path in found:
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    yield from diagnosis.of_leftovers(found, size)


# --- endpoints -----------------------------------------------------------------------------------


def is_temporary(options: EndpointOptions, name: str) -> bool:
    """Whether a name is one that this endpoint's `temp_name` gives."""
    given, attempt = "NAME", "ATTEMPT"
    pattern = re.escape(paths.render_temp_name(options.temp_name, given, attempt))
    return re.fullmatch(pattern.replace(given, ".+").replace(attempt, _ULID), name) is not None


def _sent_to(runs: Sequence[Run], endpoint: str) -> Iterator[str]:
    for run in runs:
        if not run.is_pull:
            yield from (
                file.path for delivery in run.deliveries if delivery.endpoint == endpoint for file in delivery.files
            )


def _needed(runs: Sequence[Run], endpoint: str) -> set[str]:
    """The temporary names of deliveries that are not over: the next attempt looks at them."""
    over = (DeliveryStatus.DELIVERED, DeliveryStatus.EXCLUDED)
    return {
        file.temp_path
        for run in runs
        for delivery in run.deliveries
        if delivery.endpoint == endpoint and delivery.status not in over
        for file in delivery.files
        if file.temp_path is not None
    }


# --- the machine ---------------------------------------------------------------------------------


def _disk(where: str, path: Path) -> Disk | None:
    try:
        seen = os.statvfs(_existing(path))
    except OSError:
        return None
    return Disk(
        where=where,
        path=path,
        free_bytes=seen.f_bavail * seen.f_frsize,
        bytes=seen.f_blocks * seen.f_frsize,
        free_inodes=seen.f_favail if seen.f_files else None,
        inodes=seen.f_files or None,
        kind=_kind(_existing(path)),
    )


def _folders(spool: Path) -> list[Path]:
    """The jobs' folders, each of which may be a disk of its own."""
    try:
        return sorted(path for path in spool.iterdir() if path.is_dir())
    except OSError:
        return []


def _existing(path: Path) -> Path:
    """The path, or the first of its folders that is there, as far as this user may look."""
    return next((each for each in (path, *path.parents) if os.path.exists(each)), Path("/"))


def _kind(path: Path) -> str | None:
    """The kind of file system that `path` lies on, as Linux names it."""
    try:
        lines = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    kinds = {fields[1]: fields[2] for fields in (line.split() for line in lines) if len(fields) > 2}
    real = path.resolve()
    return next((kinds[str(each)] for each in (real, *real.parents) if str(each) in kinds), None)


def _others_may_read(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK | (os.X_OK if os.path.isdir(path) else 0))


def zones_version() -> str | None:
    """The version of the time zone database that zones are read from: the system's where there is one, else the package's."""
    for folder in zoneinfo.TZPATH:
        with contextlib.suppress(OSError):
            first = Path(folder, "tzdata.zi").read_text("ascii", "replace").partition("\n")[0]
            return first.removeprefix("# version").strip()
    try:
        return metadata.version("tzdata")
    except metadata.PackageNotFoundError:
        return None
