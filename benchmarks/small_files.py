"""1,000 files of 10 kB over one login."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.report import Table
from benchmarks.stage import Stage

FILES = 1_000
SIZE_BYTES = 10_000
REFERENCE = "`sftp -b` with a `put` a file"


def measure(stage: Stage, rounds: int) -> Table:
    files = _files(stage.folder / "small")
    remote = stage.partner / "small"
    batch = [f"put {path} {remote}/{path.name}" for path in files]
    own = [files[0].parent, remote, *stage.login(), stage.sshd.host_key()]
    ways = [
        Contender(name=REFERENCE, act=lambda: _cleaned(remote, run(stage.sftp(*batch)))),
        Contender(name="batchxfer, files only", act=lambda: _cleaned(remote, run(peer("own_files", "plain", *own)))),
        Contender(
            name="batchxfer, each verified and renamed",
            act=lambda: _cleaned(remote, run(peer("own_files", "published", *own))),
        ),
        Contender(
            name="batchxfer, the same over two connections",
            act=lambda: _cleaned(remote, run(peer("own_files", "shared", *own))),
        ),
        Contender(
            name="`SFTPClient.put` of paramiko",
            act=lambda: _cleaned(remote, run(peer("paramiko_files", files[0].parent, remote, *stage.login()))),
        ),
    ]
    remote.mkdir(exist_ok=True)
    return Table(
        title="Many small files",
        about=f"{FILES:,} files of {SIZE_BYTES:,} bytes over one login on loopback, one after the other. “Renamed” "
        "is what a delivery does: look, temporary name, write, size, rename, look. Two connections are what an endpoint "
        "has, for runs that are due together. The ledger is not part of this.",
        reference=REFERENCE,
        results=side_by_side(ways, rounds),
    )


def _files(folder: Path) -> list[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = [folder / f"file-{number:04}.txt" for number in range(FILES)]
    for path in files:
        path.write_bytes(os.urandom(SIZE_BYTES))
    return files


def _cleaned(remote: Path, taken: Measured) -> Measured:
    arrived = list(remote.iterdir())
    if len(arrived) != FILES or any(path.stat().st_size != SIZE_BYTES for path in arrived):
        raise SystemExit(f"{len(arrived)} files of {FILES} arrived in {remote}")
    for path in arrived:
        path.unlink()
    return taken
