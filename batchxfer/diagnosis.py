"""What is wrong, from what was seen: facts of the ledger, the spool, the disks, the clocks → findings. Pure.

A finding says what, where, why it matters, what is safe, and what to type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from batchxfer.errors import BatchxferError, ExitCode, Problem
from batchxfer.facts import Claimed, KnownFile, LedgerFacts
from batchxfer.model import Notice, OpenRun
from batchxfer.quantities import counted

MEBI = 1 << 20
FULL_BYTES = 64 * MEBI
LOW_BYTES = 1024 * MEBI
LOW_SHARE = 0.05
LOW_INODES_SHARE = 0.01
APART = timedelta(seconds=5)
FAR_APART = timedelta(minutes=1)
LONG = timedelta(days=1)
UNTOLD_AFTER = timedelta(minutes=10)
OLD_ZONES_YEARS = 2
NETWORK_FILE_SYSTEMS = frozenset("9p afs ceph cifs fuse.sshfs glusterfs lustre nfs nfs4 smb3 smbfs".split())  # noqa: SIM905
OLDER_LEDGER = "older-ledger"
_MOST_NAMED = 5


class Level(StrEnum):
    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be. `name` is for programs; `code` is the exit status that it causes."""

    name: str
    where: str
    what: str
    why: str
    safe: str
    hint: str
    code: ExitCode = ExitCode.DONE

    @property
    def level(self) -> Level:
        return Level.WARNING if self.code is ExitCode.DONE else Level.PROBLEM


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A file system, by what of ours lies on it. `free_inodes` is None where it counts none; `kind` as in /proc/mounts."""

    where: str
    path: Path
    free_bytes: int
    bytes: int
    free_inodes: int | None
    inodes: int | None
    kind: str | None = None


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """What was seen of an artifact. `bytes` is None where there is none; `differs` where its digest is another, or it could
    not be read; `is_closed` where this user has no right to."""

    file: KnownFile
    bytes: int | None
    differs: bool = False
    is_closed: bool = False


def of_error(name: str, where: str, error: BatchxferError) -> Finding:
    """What keeps something from being looked at."""
    if error.kind == OLDER_LEDGER:
        return Finding(
            name=OLDER_LEDGER,
            where=where,
            what=error.message,
            why="an older batchxfer cannot use it after that",
            safe="nothing was changed: it was not looked at further",
            hint=f"keep a copy first, if you may want to go back: batchxfer backup; {error.hint}",
        )
    return Finding(
        name=name,
        where=where,
        what=error.message,
        why="nothing runs while it is so" if error.exit_code is ExitCode.USAGE else "runs wait for it",
        safe="nothing was changed, and what was delivered stays delivered",
        hint=error.hint or "see docs/runbook.md",
        code=error.exit_code,
    )


def of_configuration(problems: Sequence[Problem], *, warnings: bool = False) -> Iterator[Finding]:
    for problem in problems:
        yield Finding(
            name="configuration-warning" if warnings else "configuration",
            where=f"{problem.file}: {problem.where}" if problem.where else problem.file,
            what=problem.problem,
            why="see docs/configuration.md" if warnings else "no command that sends runs until it is mended",
            safe="a daemon that runs goes on with what it read before",
            hint=problem.hint or "mend it; see: batchxfer check",
            code=ExitCode.DONE if warnings else ExitCode.USAGE,
        )


# --- the ledger ----------------------------------------------------------------------------------


def of_ledger(ledger: LedgerFacts, now: datetime) -> Iterator[Finding]:
    """`now` is this machine's clock."""
    yield from _damage(ledger)
    yield from _restored(ledger)
    yield from _clocks(ledger, now)
    yield from _ahead(ledger)
    yield from _abandoned(ledger.claims)


def _damage(ledger: LedgerFacts) -> Iterator[Finding]:
    if ledger.damage:
        yield Finding(
            name="ledger-damaged",
            where=ledger.where,
            what=f"its own check finds: {'; '.join(ledger.damage[:_MOST_NAMED])}",
            why="what was sent may be forgotten, or wrong",
            safe="stop `serve` now; the artifacts in the spool are whole, and partners have what they have",
            hint="keep the damaged file, put back the newest backup (docs/ledger.md), then: batchxfer reconcile",
            code=ExitCode.USAGE,
        )


def _restored(ledger: LedgerFacts) -> Iterator[Finding]:
    if ledger.restored is None and not ledger.forgets:
        return
    until = ledger.restored.known_until if ledger.restored is not None else ledger.newest_event
    yield Finding(
        name="ledger-restored",
        where=ledger.where,
        what="it was put back from a backup: it knows nothing after "
        + (until.isoformat() if until else "its beginning"),
        why="what was due since may have been sent already",
        safe="it is held, whoever would send it; slots that become due from now on are sent",
        hint="batchxfer reconcile --dry-run; then: batchxfer reconcile",
        code=ExitCode.HELD,
    )


def _clocks(ledger: LedgerFacts, now: datetime) -> Iterator[Finding]:
    apart = abs(ledger.now - now)
    if apart > APART:
        yield Finding(
            name="clocks-apart",
            where=ledger.where,
            what=f"its clock says {ledger.now.isoformat()}, and this machine's {now.isoformat()}",
            why="slots are due, and retries made, by the ledger's clock; names of files and logs are by this machine's",
            safe="no slot is lost or run twice",
            hint="set both by NTP; see: timedatectl",
            code=ExitCode.FAILED if apart > FAR_APART else ExitCode.DONE,
        )


def _ahead(ledger: LedgerFacts) -> Iterator[Finding]:
    if not ledger.ahead:
        return
    named = [f"{what} {which}: {at.isoformat()}" for what, which, at in ledger.ahead[:_MOST_NAMED]]
    yield Finding(
        name="future-rows",
        where=ledger.where,
        what=f"{_many(ledger.ahead, 'row')} in the future: {'; '.join(named)}",
        why="a clock was ahead: a job whose mark lies in the future is not planned before then",
        safe="nothing is sent twice; slots until the mark were planned already",
        hint="set the clock right; run what is missing with: batchxfer run JOB --slot TIME (see: batchxfer plan)",
        code=ExitCode.FAILED,
    )


def _abandoned(claims: Sequence[Claimed]) -> Iterator[Finding]:
    left = [claim for claim in claims if not claim.lives]
    if left:
        yield Finding(
            name="abandoned-runs",
            where=", ".join(sorted({claim.owner for claim in left})[:_MOST_NAMED]),
            what=f"{_many(left, 'run')} begun by processes that are gone: "
            + ", ".join(f"{claim.job} {claim.run}" for claim in left[:_MOST_NAMED]),
            why="they wait for somebody to take them over",
            safe="whoever does looks at both names first, and sends nothing twice",
            hint="`serve` does by itself; else: batchxfer run --due",
        )


def of_open_runs(runs: Sequence[OpenRun], now: datetime) -> Iterator[Finding]:
    """Those that nobody has settled for long."""
    old = sorted((run for run in runs if now - run.slot > LONG), key=lambda run: run.slot)
    if old:
        named = [f"{run.job} {run.id} ({run.status}, due {run.slot.isoformat()})" for run in old[:_MOST_NAMED]]
        yield Finding(
            name="undelivered",
            where="runs",
            what=f"{_many(old, 'run')} of more than {LONG.days} day not settled: {', '.join(named)}",
            why="each is a file that a partner does not have, or that is not loaded",
            safe="what was built for them is kept in the spool",
            hint="batchxfer status says why; then retry, accept or exclude: batchxfer show RUN",
        )


def of_notices(
    notices: Sequence[Notice], rules: Sequence[tuple[str, Collection[str]]], now: datetime
) -> Iterator[Finding]:
    """`rules` are each `[[notify]]` command's key, and the kinds that it is told of."""
    late = [
        notice
        for notice in notices
        if now - notice.at > UNTOLD_AFTER
        and any(notice.kind in kinds and key not in notice.told_at for key, kinds in rules)
    ]
    if late:
        yield Finding(
            name="notices-untold",
            where="config.toml: notify",
            what=f"{_many(late, 'notice')} not told, the oldest since {min(each.at for each in late).isoformat()}",
            why="whoever should know does not",
            safe="they are told when the command works, or somebody serves",
            hint="see what the command says in the log of `serve` (action notify-failed); run it by hand",
            code=ExitCode.FAILED,
        )


# --- the spool -----------------------------------------------------------------------------------


def of_artifacts(found: Sequence[OnDisk]) -> Iterator[Finding]:
    """Files that the ledger says are there."""
    yield from _closed([each for each in found if each.is_closed])
    for settled in (False, True):
        wrong = [each for each in found if each.file.settled is settled and _is_wrong(each)]
        if wrong:
            yield _artifacts(wrong, settled=settled)


def _is_wrong(found: OnDisk) -> bool:
    return not found.is_closed and (found.bytes != found.file.bytes or found.differs)


def _closed(closed: Sequence[OnDisk]) -> Iterator[Finding]:
    if closed:
        waiting = any(not each.file.settled for each in closed)
        yield Finding(
            name="artifacts-closed",
            where="spool",
            what=f"this user cannot read {_many(closed, 'file')}: {_named([each.file.path for each in closed])}",
            why="they are to be sent" if waiting else "they can no longer be sent again by this user",
            safe="nothing is known to be wrong with them: they could not be looked at",
            hint="give them to the user that runs batchxfer (chown): somebody else may have typed a command here; or run "
            "this as that user",
            code=ExitCode.USAGE if waiting else ExitCode.DONE,
        )


def _artifacts(wrong: Sequence[OnDisk], *, settled: bool) -> Finding:
    named = [f"run {each.file.run} ({each.file.job}): {each.file.path}: {_how(each)}" for each in wrong[:_MOST_NAMED]]
    return Finding(
        name="artifacts-of-delivered-runs" if settled else "artifacts",
        where="spool",
        what=f"{_many(wrong, 'file')} not as built: {'; '.join(named)}",
        why="they can no longer be sent again" if settled else "they are to be sent",
        safe="the partners have what was delivered"
        if settled
        else "a damaged file is never published: its digest is checked",
        hint="bring them back from a backup of the spool"
        + ("; a new file of those rows: batchxfer rerun RUN" if settled else ", then retry; or: batchxfer rerun RUN"),
        code=ExitCode.DONE if settled else ExitCode.HELD,
    )


def _how(found: OnDisk) -> str:
    if found.bytes is None:
        return "gone"
    if found.bytes != found.file.bytes:
        return f"{found.bytes:,} bytes instead of {found.file.bytes:,}"
    return "its content is another"


def of_leftovers(paths: Sequence[Path], size: int) -> Iterator[Finding]:
    if paths:
        yield Finding(
            name="leftovers",
            where=str(paths[0].parent),
            what=f"{_many(paths, 'file')} in the spool of no run, {size:,} bytes: {_named(paths)}",
            why="they take room",
            safe="they are of builds that were killed, and of dry runs: nothing needs them",
            hint="batchxfer prune",
        )


def of_spool_that_is_no_folder(path: Path) -> Finding:
    return Finding(
        name="spool-is-no-folder",
        where=f"spool {path}",
        what="there is a file of that name",
        why="nothing can be built",
        safe="nothing was begun",
        hint="mend `spool` in config.toml, or move the file away",
        code=ExitCode.USAGE,
    )


def of_readers(paths: Sequence[Path]) -> Iterator[Finding]:
    """Ours that other users may read."""
    if paths:
        yield Finding(
            name="readable-by-others",
            where=str(paths[0]),
            what=f"other users of this machine may read or write it: {_named(paths)}",
            why="they hold what is sent to partners, and the queries",
            safe="whoever has read it has read it; nothing else changes",
            hint=f"chmod -R go= {' '.join(str(path) for path in paths)}",
        )


def of_unwritable(paths: Sequence[Path]) -> Iterator[Finding]:
    """What this user cannot write."""
    if paths:
        yield Finding(
            name="not-writable",
            where=str(paths[0]),
            what=f"this user cannot write it: {_named(paths)}",
            why="nothing can be built, or recorded",
            safe="what was delivered stays delivered",
            hint="give it to the user that runs batchxfer (chown), or run as that user",
            code=ExitCode.USAGE,
        )


def of_remote_leftovers(endpoint: str, paths: Sequence[str]) -> Iterator[Finding]:
    if paths:
        yield Finding(
            name="remote-leftovers",
            where=f"endpoint {endpoint!r}",
            what=f"{_many(paths, 'temporary file')} of ours left there: {', '.join(paths[:_MOST_NAMED])}",
            why="they take the partner's room, and are never published",
            safe="no run needs them: those that are under way are left out",
            hint="remove them there by hand",
        )


def _many(things: Sequence[object], noun: str) -> str:
    return counted(len(things), noun)


def _named(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths[:_MOST_NAMED]) + (", …" if len(paths) > _MOST_NAMED else "")


# --- the machine ---------------------------------------------------------------------------------


def of_disk(disk: Disk) -> Iterator[Finding]:
    if disk.free_bytes < FULL_BYTES or disk.free_inodes == 0:
        yield _room(disk, "disk-full", ExitCode.RETRYING)
    elif disk.free_bytes < min(LOW_BYTES, disk.bytes * LOW_SHARE) or _few_inodes(disk):
        yield _room(disk, "disk-low", ExitCode.DONE)


def _few_inodes(disk: Disk) -> bool:
    return bool(disk.inodes) and (disk.free_inodes or 0) < (disk.inodes or 0) * LOW_INODES_SHARE


def _room(disk: Disk, name: str, code: ExitCode) -> Finding:
    inodes = f", {disk.free_inodes:,} of {disk.inodes:,} inodes" if disk.inodes else ""
    return Finding(
        name=name,
        where=f"{disk.where} {disk.path}",
        what=f"{disk.free_bytes // MEBI:,} MiB of {disk.bytes // MEBI:,} MiB are free{inodes}",
        why="no file can be built, and nothing recorded, on a full disk",
        safe="what is built or delivered stays; an attempt that meets a full disk is tried again",
        hint="free some space; batchxfer prune removes what keep_artifacts no longer keeps",
        code=code,
    )


def of_ledger_disk(disk: Disk) -> Iterator[Finding]:
    if disk.kind in NETWORK_FILE_SYSTEMS:
        yield Finding(
            name="ledger-on-network-folder",
            where=f"{disk.where} {disk.path}",
            what=f"a SQLite ledger lies on a network folder ({disk.kind})",
            why="its locks do not hold there: two machines could work on it, and damage it",
            safe="one machine alone may go on until it is moved",
            hint="move it to a local disk; for several nodes take PostgreSQL (docs/ledger.md)",
            code=ExitCode.FAILED,
        )


def of_zones(version: str | None, now: datetime) -> Iterator[Finding]:
    """`version` is the time zone database's, such as 2026a or 2026.1."""
    year = int(version[:4]) if version is not None and version[:4].isdigit() else None
    if year is None:
        return
    if now.year < year:
        yield Finding(
            name="clock-behind",
            where="this machine's clock",
            what=f"it says {now.isoformat()}, and the time zone database is of {version}",
            why="slots are due by it",
            safe="nothing is planned twice when it steps forward",
            hint="set it by NTP; see: timedatectl",
            code=ExitCode.FAILED,
        )
    elif now.year - year >= OLD_ZONES_YEARS:
        yield Finding(
            name="zones-old",
            where="time zone database",
            what=f"it is of {version}",
            why="countries change their clocks: a slot may come an hour early or late",
            safe="slots that were planned stay as they are",
            hint="upgrade the system's tzdata and `pip install --upgrade tzdata`; then see: batchxfer plan",
        )


def summary(ledger: LedgerFacts | None) -> Mapping[str, object]:
    """What is known of the ledger, for programs."""
    if ledger is None:
        return {}
    return {
        "where": ledger.where,
        "version": ledger.version,
        "project": ledger.project,
        "runs": ledger.runs,
        "newest_event": ledger.newest_event.isoformat() if ledger.newest_event else None,
        "serving": ledger.serving,
    }
