"""List, wait until stable, fetch, verify.

Each function is one thing done over one Session; what was done before, and what it means, is puller's and the ledger's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import compress

from batchxfer import checksums, globs, paths
from batchxfer.errors import (
    AttemptError,
    DeadlineError,
    FolderMissing,
    NetworkError,
    ServerError,
    UnreadableFile,
    printable,
)
from batchxfer.inbox import Arrival
from batchxfer.model import FetchedFile, SeenFile
from batchxfer.ports import Entry, FileStat, Progress, Reading, Session

LONGEST_CHECKSUM_FILE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What was agreed about the files. `done_file` and `checksum_file` are called with a path, and give their sidecar's."""

    glob: str
    max_bytes: int
    done_file: Callable[[str], str] | None = None
    checksum_file: Callable[[str], str] | None = None

    @property
    def has_sidecars(self) -> bool:
        return self.done_file is not None or self.checksum_file is not None

    def sidecars(self, path: str) -> list[str]:
        """The sidecars of a file."""
        return [render(path) for render in (self.done_file, self.checksum_file) if render is not None]

    def followers(self, path: str) -> list[str]:
        """Those that go where the file goes, the done file first: not a checksum file that is there for others too."""
        shared = self.checksum_file is not None and self.checksum_file(path) == self.checksum_file(f"{path}.another")
        return self.sidecars(path)[:-1] if shared else self.sidecars(path)


# --- looking -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look found: files that may be taken, and those that cannot be, with the reason; and the folder that it was to look
    into where that is not there."""

    files: Mapping[str, SeenFile]
    refused: tuple[SeenFile, ...] = ()
    absent: str | None = None


def look(session: Session, agreement: Agreement) -> Look:
    """The files that the glob means, sidecars left out. Links, and what is no file, are passed over.

    A folder that is not there is an empty one: dated folders are made when there is something to put into them.
    """
    files: dict[str, SeenFile] = {}
    refused: list[SeenFile] = []
    start, segments = _start("", agreement.glob.split("/"))
    try:
        first = list(session.list(start or "."))
    except FolderMissing:
        return Look(files={}, absent=start or ".")
    for folder, entry in _walk(session, start, segments, refused, first):
        path = paths.join(folder, entry.name)
        seen = SeenFile(path=path, size=entry.stat.size, modified=entry.stat.modified)
        if entry.stat.size > agreement.max_bytes:
            why = f"{entry.stat.size:,} bytes are more than max_bytes = {agreement.max_bytes:,}"
            refused.append(SeenFile(path=path, size=entry.stat.size, modified=seen.modified, refused=why))
        else:
            files[path] = seen
    sidecars = {sidecar for path in files for sidecar in _possible(agreement, path)}
    return Look(files={path: seen for path, seen in files.items() if path not in sidecars}, refused=tuple(refused))


def _possible(agreement: Agreement, path: str) -> Iterator[str]:
    """The sidecars' names; a name that cannot be written is nobody's."""
    for render in (agreement.done_file, agreement.checksum_file):
        if render is not None:
            try:
                yield render(path)
            except paths.PathError:
                continue


def _start(folder: str, segments: list[str]) -> tuple[str, list[str]]:
    """The folder that a glob's segments below `folder` surely mean, and those that are left."""
    while len(segments) > 1 and globs.is_plain(segments[0]):
        folder, segments = paths.join(folder, globs.plain(segments[0])), segments[1:]
    return folder, segments


def _walk(
    session: Session, folder: str, segments: list[str], refused: list[SeenFile], listed: Iterable[Entry]
) -> Iterator[tuple[str, Entry]]:
    """The files that the segments mean among what is `listed` of `folder`, and below it, with their folders."""
    wanted = "file" if len(segments) == 1 else "folder"
    folders: list[str] = []
    for entry in listed:
        if not globs.matches(segments[0], entry.name) or entry.stat.kind != wanted:
            continue
        if (why := globs.refusal(folder, entry.name)) is not None:
            refused.append(SeenFile(path=globs.shown(paths.join(folder, entry.name)), size=0, refused=why))
        elif wanted == "file":
            yield folder, entry
        else:
            folders.append(paths.join(folder, entry.name))
    for inner in sorted(folders):
        start, left = _start(inner, segments[1:])
        yield from _walk(session, start, left, refused, _entries(session, start))


def _entries(session: Session, folder: str) -> Iterable[Entry]:
    try:
        # At once: the names of one folder are looked at before the next question is asked.
        return list(session.list(folder or "."))
    except FolderMissing:
        return ()


def ready(session: Session, agreement: Agreement, found: Collection[SeenFile]) -> tuple[list[SeenFile], list[SeenFile]]:
    """Of those of `found` whose sidecars, where there are any by agreement, are there: the ones that their done file says are
    complete, and the others.

    A done file that is older than its file may be left from an earlier one of the same name: it says nothing of this one.
    """
    listed: dict[str, dict[str, FileStat]] = {}

    def seen(path: str) -> FileStat | None:
        folder, name = paths.split(path)
        if folder not in listed:
            listed[folder] = {entry.name: entry.stat for entry in _entries(session, folder)}
        return listed[folder].get(name)

    present = [file for file in found if all(seen(sidecar) for sidecar in agreement.sidecars(file.path))]
    if agreement.done_file is None:
        return [], present
    older = [_is_older(seen(agreement.done_file(file.path)), file) for file in present]
    sure, unsure = (list(compress(present, chosen)) for chosen in ([not each for each in older], older))
    return sure, unsure


def _is_older(done: FileStat | None, file: SeenFile) -> bool:
    if done is None or done.modified is None or file.modified is None:
        return False
    return done.modified < file.modified


def unchanged(before: Collection[SeenFile], after: Look) -> list[SeenFile]:
    """Those that are as they were. Pure."""
    return [file for file in before if after.files.get(file.path) == file]


# --- fetching ------------------------------------------------------------------------------------


class Changed(ServerError):
    """The remote file is not what it was when it was listed."""

    kind = "changed"


class Gone(Changed):
    """The remote file is not there any more."""

    kind = "gone"


class Ahead:
    """The readings of files that are fetched one after the other, and of their checksum files: those that come next are begun
    before their turn, so that a partner who is far away is waited for once for many."""

    def __init__(self, session: Session, files: Iterable[FetchedFile], agreement: Agreement | None = None) -> None:
        self._session = session
        self._waiting = deque(files)
        self._checksum_file = agreement.checksum_file if agreement is not None else None
        self._begun: dict[str, Reading] = {}
        self._sidecars: dict[str, Reading] = {}

    def take(self, file: FetchedFile) -> Reading:
        """The reading of `file`, which is the caller's to close."""
        while self._waiting and len(self._begun) < self._session.at_once:
            self._begin(self._waiting.popleft())
        return self._begun.pop(file.id, None) or begin_reading(self._session, file)

    def take_sidecar(self, file: FetchedFile) -> Reading | None:
        """The reading of its checksum file, where it was begun; the caller's to close too."""
        return self._sidecars.pop(file.id, None)

    def _begin(self, file: FetchedFile) -> None:
        self._begun[file.id] = begin_reading(self._session, file)
        if self._checksum_file is not None:
            name = paths.split(file.path)[1].encode("utf-8", "surrogateescape")
            usual = len(f"{'0' * 64}  \n") + len(name)
            self._sidecars[file.id] = self._session.begin_reading(self._checksum_file(file.path), size=usual)

    def close(self) -> None:
        for reading in (*self._begun.values(), *self._sidecars.values()):
            reading.close()


def begin_reading(session: Session, file: FetchedFile) -> Reading:
    return session.begin_reading(file.path, size=file.size)


def fetch(
    session: Session,
    where: str,
    file: FetchedFile,
    agreement: Agreement,
    arrival: Arrival,
    reading: Reading,
    *,
    sidecar: Reading | None = None,
    progress: Progress | None = None,
) -> None:
    """Bring the bytes of `file`, which `reading` reads, into `arrival`, durable and verified; its digest is there then.
    `sidecar` reads its checksum file, where that was begun.

    What an earlier attempt kept is gone on with where its end agrees. Raises Changed where the file is not, or does not stay,
    as `file` says; then nothing is kept. Any other AttemptError keeps what is here for the next attempt.
    """
    check_unchanged(where, file, reading.look())
    try:
        arrival.open()
        _receive(reading, where, file, arrival, progress)
        check_unchanged(where, file, reading.look_again())
        reading.close()
        arrival.finish()
        _check_sidecar(session, where, file.path, agreement, arrival, sidecar)
    except (Changed, UnreadableFile):
        arrival.discard()
        raise
    except (NetworkError, DeadlineError):
        arrival.keep()
        raise
    except AttemptError:
        arrival.discard()
        raise


def check_unchanged(where: str, file: FetchedFile, seen: FileStat | None) -> None:
    """Raise Changed where the remote file, as it was seen now, is not as it was listed."""
    if seen is None:
        raise Gone(
            f"{where}: {file.path} is gone; it was there when the folder was listed", hint="it is looked for again"
        )
    if seen.kind != "file" or (seen.size, seen.modified) != (file.size, file.modified):
        now = f"it had {file.size:,} bytes, now {seen.size:,}"
        if seen.kind != "file":
            now = f"it is a {seen.kind} now"
        elif seen.size == file.size:
            now = "it was written again"
        raise Changed(
            f"{where}: {file.path} has changed since it was listed: {now}",
            hint="it is fetched when it stays as it is for stable_for",
        )


def _receive(reading: Reading, where: str, file: FetchedFile, arrival: Arrival, progress: Progress | None) -> None:
    if arrival.bytes > file.size:
        arrival.restart()
    tail = arrival.tail()
    offset = arrival.bytes - len(tail)
    for piece in reading.pieces(offset):
        if tail:
            compared = min(len(tail), len(piece))
            if tail[:compared] != piece[:compared]:
                # What is here is not the beginning of what is there.
                arrival.restart()
                return _receive(reading, where, file, arrival, progress)
            tail, piece = tail[compared:], piece[compared:]
        if arrival.bytes + len(piece) > file.size:
            raise Changed(
                f"{where}: {file.path} is longer than the {file.size:,} bytes that it was listed with",
                hint="it is fetched when it stays as it is for stable_for",
            )
        arrival.write(piece)
        if progress is not None:
            progress(arrival.bytes)
    if tail or arrival.bytes != file.size:
        raise Changed(
            f"{where}: {file.path} ended after {arrival.bytes - len(tail):,} of {file.size:,} bytes",
            hint="it is fetched when it stays as it is for stable_for",
        )
    return None


def _check_sidecar(
    session: Session, where: str, path: str, agreement: Agreement, arrival: Arrival, begun: Reading | None
) -> None:
    if agreement.checksum_file is None:
        return
    sidecar = agreement.checksum_file(path)
    pieces = session.read(sidecar) if begun is None else begun.pieces()
    said = _checksum(where, path, sidecar, _read_small(pieces, where, sidecar))
    here = arrival.digest(said.algorithm)
    if said.digest != here:
        name = paths.split(path)[1]
        other = f", of {printable(said.name)!r}" if said.name not in (None, name) else ""
        raise ServerError(
            f"{where}: {path} does not agree with {sidecar}: its {said.algorithm} is {here}, and {said.digest} is written "
            f"there{other}",
            hint="it is fetched anew; if that goes on, ask the partner which of the two is wrong",
        )


def _read_small(pieces: Iterator[bytes], where: str, path: str) -> bytes:
    content = b""
    for piece in pieces:
        content += piece
        if len(content) > LONGEST_CHECKSUM_FILE:
            raise UnreadableFile(
                f"{where}: the checksum file {path} is longer than {LONGEST_CHECKSUM_FILE:,} bytes",
                hint="is it the file that was agreed? It has a line for each file: the sha256 in hex, and the name",
            )
    return content


def _checksum(where: str, path: str, sidecar: str, content: bytes) -> checksums.Checksum:
    found = checksums.read(content)
    if (said := checksums.of(found, paths.split(path)[1])) is not None:
        return said
    if found:
        raise ServerError(f"{where}: {sidecar} has no line for {path}", hint="it may come: the file is fetched anew")
    shown = repr(printable(content[:80].decode("utf-8", "replace")))
    if checksums.is_begun(content):
        how = f"not whole: {shown}" if content.strip() else "empty"
        raise ServerError(f"{where}: {sidecar} is {how}", hint="it may be written just now: the file is fetched anew")
    raise UnreadableFile(
        f"{where}: {sidecar} holds no checksum: {shown}",
        hint="ask the partner for one as sha256sum writes it: 64 hex digits, and the file's name",
    )


def by_age(file: SeenFile) -> tuple[bool, datetime | None, str]:
    """Sorts files by their age, those of unknown age first, then by path."""
    return (file.modified is not None, file.modified, file.path)
