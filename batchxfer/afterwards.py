"""What becomes of a partner's files once they are here: removed, or moved, with their sidecars.

A server is asked for many at once; where one of them is refused, each is tried by itself, which says which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from batchxfer import paths
from batchxfer.errors import AttemptError, DeadlineError, FolderMissing, ForeignFile, NetworkError
from batchxfer.model import FetchedFile
from batchxfer.ports import FileStat, Session
from batchxfer.pull import Agreement

Ended = tuple[FetchedFile, str | None]
"""A file that was put away, or the words that say why it was left where it is."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """A file that is to be moved to `target`; so many leading folders of it are never made (None: none is)."""

    file: FetchedFile
    target: str
    given_folders: int | None

    @property
    def folders(self) -> list[str]:
        """Those that may be made, the outermost first."""
        names, given = self.target.split("/")[:-1], self.given_folders
        return [] if given is None else ["/".join(names[:depth]) for depth in range(given + 1, len(names) + 1)]


Intend = Callable[[Mapping[str, str]], None]
"""Told the new names before files get them, by the files' ids."""


# --- removed -------------------------------------------------------------------------------------


def remove_each(session: Session, files: Sequence[FetchedFile], agreement: Agreement) -> Iterator[Ended]:
    """Remove each file that was fetched, and its sidecars. A newer version in its place stays."""
    for start in range(0, len(files), session.at_once):
        some = files[start : start + session.at_once]
        try:
            yield from _remove_together(session, some, agreement)
        except (NetworkError, DeadlineError):
            raise
        except AttemptError:
            for file in some:
                yield from _remove_together(session, [file], agreement)


def _remove_together(session: Session, files: Sequence[FetchedFile], agreement: Agreement) -> list[Ended]:
    seen = session.stat_all([file.path for file in files])
    notes = [_newer(file, now) for file, now in zip(files, seen, strict=True)]
    going = [file.path for file, note in zip(files, notes, strict=True) if note is None]
    session.remove_all(going)
    sidecars = [sidecar for path in going for sidecar in agreement.followers(path)]
    if sidecars:
        session.remove_all(sidecars)
    return list(zip(files, notes, strict=True))


def _newer(file: FetchedFile, seen: FileStat | None) -> str | None:
    if seen is None or (seen.kind == "file" and (seen.size, seen.modified) == (file.size, file.modified)):
        return None
    return "a newer version is in its place, and was left there"


# --- moved ---------------------------------------------------------------------------------------


def move_each(
    session: Session, where: str, moves: Sequence[Move], agreement: Agreement, intend: Intend
) -> Iterator[Ended]:
    """Move each file to its target, or to the next name that is free there, and its sidecars beside it.

    After a crash it may be called again: what was moved already is found by its `moved_to`.
    """
    for start in range(0, len(moves), session.at_once):
        some = moves[start : start + session.at_once]
        moved = _move_together(session, some, agreement, intend) if len(some) > 1 else {}
        for move in some:
            if moved.get(move.file.id, False):
                yield move.file, None
            else:
                # Where it was tried, its name is known.
                file = replace(move.file, moved_to=move.target) if move.file.id in moved else move.file
                yield move.file, _move_one(session, where, replace(move, file=file), agreement, intend)


def _move_together(session: Session, moves: Sequence[Move], agreement: Agreement, intend: Intend) -> dict[str, bool]:
    """Move those that are as they were to targets that are free; whether each was, by the files' ids."""
    simple, missing = _look(session, moves)
    if not simple:
        return {}
    intend({move.file.id: move.target for move in simple})
    try:
        for folder in missing:
            session.make_folder(folder)
        session.rename_all([(move.file.path, move.target) for move in simple])
        _move_sidecars(session, simple, agreement)
    except (NetworkError, DeadlineError):
        raise
    except AttemptError:
        return {move.file.id: False for move in simple}
    return {move.file.id: True for move in simple}


def _look(session: Session, moves: Sequence[Move]) -> tuple[list[Move], list[str]]:
    """Those that can be moved with others, and the folders that are to be made for them."""
    targets = Counter(move.target for move in moves)
    sources = [move.file.path for move in moves]
    innermost = sorted({folder for move in moves for folder in move.folders[-1:]})
    seen = dict(zip([*sources, *targets, *innermost], _see(session, [*sources, *targets, *innermost]), strict=True))
    simple = [
        move
        for move in moves
        if seen[move.file.path] is not None
        and _newer(move.file, seen[move.file.path]) is None
        and seen[move.target] is None
        and targets[move.target] == 1
    ]
    missing = {folder for move in simple if move.folders and seen[move.folders[-1]] is None for folder in move.folders}
    return simple, sorted(missing)


def _move_one(session: Session, where: str, move: Move, agreement: Agreement, intend: Intend) -> str | None:
    file, target = move.file, move.target
    seen, taken, *there = _see(session, [file.path, target, *move.folders[-1:]])
    if seen is None and file.moved_to is not None and session.stat(file.moved_to) is not None:
        _move_sidecars_of(session, file.path, file.moved_to, agreement)
        return None
    if seen is None:
        return "it was gone before it could be moved"
    if (newer := _newer(file, seen)) is not None:
        return newer
    missing = move.folders if None in there else []
    for number in range(1, 10_000):
        name = paths.numbered(target, number)
        if taken is not None if number == 1 else _is_there(session, name):
            continue
        intend({file.id: name})
        try:
            for folder in missing:
                session.make_folder(folder)
            session.rename(file.path, name)
        except ForeignFile:
            continue
        _move_sidecars_of(session, file.path, name, agreement)
        return None
    raise ForeignFile(f"{where}: no name is free for {target}", hint="tidy the folder up, then retry")


def _move_sidecars(session: Session, moves: Sequence[Move], agreement: Agreement) -> None:
    if not agreement.has_sidecars:
        return
    pairs = [
        pair
        for move in moves
        for pair in zip(agreement.followers(move.file.path), agreement.followers(move.target), strict=True)
    ]
    seen = session.stat_all([old for old, _ in pairs])
    session.rename_all([pair for pair, now in zip(pairs, seen, strict=True) if now is not None])


def _move_sidecars_of(session: Session, old: str, new: str, agreement: Agreement) -> None:
    for before, after in zip(agreement.followers(old), agreement.followers(new), strict=True):
        if session.stat(before) is None:
            continue
        try:
            session.rename(before, after)
        except ForeignFile:
            session.remove(before)


def _see(session: Session, names: Sequence[str]) -> list[FileStat | None]:
    try:
        return session.stat_all(names)
    except FolderMissing:
        return [session.stat(name) if _is_there(session, name) else None for name in names]


def _is_there(session: Session, path: str) -> bool:
    try:
        return session.stat(path) is not None
    except FolderMissing:
        return False
