"""Many files of 10 kB over one login, up and down, nearby and from afar."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.report import Table
from benchmarks.stage import Stage

NEAR_FILES, FAR_FILES = 1_000, 200
SIZE_BYTES = 10_000
FAR_MILLISECONDS = 10
PUT, GET = "`sftp -b` with a `put` a file", "`sftp -b` with a `get` a file"
FAR = f" to a server that is {FAR_MILLISECONDS} ms away (the round trip)"


@dataclass(frozen=True)
class Place:
    """Where the files go to and come from: `local` here, `remote` at the server, which is reached by `port`."""

    stage: Stage
    files: int
    local: Path
    remote: Path
    port: int | None

    @property
    def names(self) -> list[str]:
        return [f"file-{number:04}.txt" for number in range(self.files)]

    @property
    def login(self) -> list[str]:
        return [*self.stage.login(self.port), self.stage.sshd.host_key()]

    @property
    def about(self) -> str:
        where = FAR if self.port else " on loopback"
        return f"{self.files:,} files of {SIZE_BYTES:,} bytes over one login{where}. "


def near(stage: Stage, rounds: int) -> Table:
    return _put(_place(stage, NEAR_FILES, None), rounds)


def far(stage: Stage, rounds: int) -> Table:
    return _put(_place(stage, FAR_FILES, stage.line(FAR_MILLISECONDS)), rounds)


def near_gets(stage: Stage, rounds: int) -> Table:
    return _get(_place(stage, NEAR_FILES, None), rounds)


def far_gets(stage: Stage, rounds: int) -> Table:
    return _get(_place(stage, FAR_FILES, stage.line(FAR_MILLISECONDS)), rounds)


def _put(place: Place, rounds: int) -> Table:
    _fill(place.local, place)
    _empty(place.remote)
    batch = [f"put {place.local / name} {place.remote / name}" for name in place.names]
    own = [place.local, place.remote, *place.login]
    ways: dict[str, Callable[[], Sequence[str]]] = {
        PUT: lambda: place.stage.sftp(*batch, port=place.port),
        "batchxfer, files only": lambda: peer("own_files", "plain", *own),
        "batchxfer, each verified and renamed": lambda: peer("own_files", "published", *own),
        "batchxfer, the same over two connections": lambda: peer("own_files", "shared", *own),
        "`SFTPClient.put` of paramiko": lambda: peer("paramiko_files", "put", *own[:-1]),
    }
    return Table(
        title="Many small files" + (", from afar" if place.port else ""),
        about=f"{place.about}“Renamed” is what a delivery does: look, temporary name, write, size, rename, look, one file "
        "after the other. Two connections are what an endpoint has, for runs that are due together. The ledger is not part of "
        "this.",
        reference=PUT,
        results=side_by_side(_contenders(ways, place.remote, place), rounds),
    )


def _get(place: Place, rounds: int) -> Table:
    _fill(place.remote, place)
    _empty(place.local)
    batch = [f"get {place.remote / name} {place.local / name}" for name in place.names]
    own = [place.remote, place.local, *place.login]
    ways: dict[str, Callable[[], Sequence[str]]] = {
        GET: lambda: place.stage.sftp(*batch, port=place.port),
        "batchxfer": lambda: peer("own_fetches", *own),
        "`SFTPClient.get` of paramiko": lambda: peer("paramiko_files", "get", *own[:-1]),
    }
    return Table(
        title="Many small files down" + (", from afar" if place.port else ""),
        about=f"{place.about}batchxfer lists the folder, looks at each file before and after it is read, makes the digest, and "
        "makes each durable under its name, as a pull does. The ledger is not part of this.",
        reference=GET,
        results=side_by_side(_contenders(ways, place.local, place), rounds),
    )


def _place(stage: Stage, files: int, port: int | None) -> Place:
    return Place(stage, files, stage.folder / "small", stage.partner / "small", port)


def _contenders(ways: dict[str, Callable[[], Sequence[str]]], target: Path, place: Place) -> list[Contender]:
    def act(command: Callable[[], Sequence[str]]) -> Measured:
        taken = run(command())
        _check(target, place)
        return taken

    return [Contender(name=name, act=lambda command=command: act(command)) for name, command in ways.items()]  # type: ignore[misc]


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _fill(folder: Path, place: Place) -> None:
    _empty(folder)
    for name in place.names:
        (folder / name).write_bytes(os.urandom(SIZE_BYTES))


def _check(target: Path, place: Place) -> None:
    """All have arrived; they are taken away for the next contender."""
    arrived = list(target.iterdir())
    if len(arrived) != place.files or any(path.stat().st_size != SIZE_BYTES for path in arrived):
        raise SystemExit(f"{len(arrived)} files of {place.files} arrived in {target}")
    for path in arrived:
        path.unlink()
