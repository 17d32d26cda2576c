"""512 MiB up and down over SFTP on loopback: no database, no format."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measuring import MIB, Contender, Measured, peer, run, side_by_side
from benchmarks.report import Table
from benchmarks.stage import GCM, Stage

REFERENCE = "`sftp` of OpenSSH"
ABOUT = (
    "{size:.0f} MiB on loopback, {cipher} for all that let one choose. Connecting and logging in counts, starting Python does "
    "not; batchxfer looks at each reply and, sending, at the digest of what it reads."
)


def upload(stage: Stage, rounds: int) -> Table:
    remote = stage.partner / "up"

    def cleaned(taken: Measured) -> Measured:
        return _same_size(stage, remote, taken)

    ways = [
        Contender(name=REFERENCE, act=lambda: cleaned(run(stage.sftp(f"put {stage.block} {remote}")))),
        Contender(
            name="batchxfer", act=lambda: cleaned(run(peer("own_transfer", "put", stage.block, remote, *_own(stage))))
        ),
        Contender(
            name="`SFTPClient.put` of paramiko",
            act=lambda: cleaned(run(peer("paramiko_transfer", "put", stage.block, remote, *stage.login))),
        ),
    ]
    return _table("One large file up", stage, side_by_side(ways, rounds))


def download(stage: Stage, rounds: int) -> Table:
    local = stage.folder / "down"

    def cleaned(taken: Measured) -> Measured:
        return _same_size(stage, local, taken)

    ways = [
        Contender(name=REFERENCE, act=lambda: cleaned(run(stage.sftp(f"get {stage.block} {local}")))),
        Contender(
            name="batchxfer", act=lambda: cleaned(run(peer("own_transfer", "get", stage.block, local, *_own(stage))))
        ),
        Contender(
            name="`SFTPClient.get` of paramiko",
            act=lambda: cleaned(run(peer("paramiko_transfer", "get", stage.block, local, *stage.login))),
        ),
    ]
    return _table("One large file down", stage, side_by_side(ways, rounds))


def _own(stage: Stage) -> list[str]:
    return [*stage.login, stage.sshd.host_key()]


def _table(title: str, stage: Stage, results: list) -> Table:  # type: ignore[type-arg]
    about = ABOUT.format(size=stage.block.stat().st_size / MIB, cipher=GCM)
    return Table(title=title, about=about, reference=REFERENCE, results=results)


def _same_size(stage: Stage, path: Path, taken: Measured) -> Measured:
    if path.stat().st_size != stage.block.stat().st_size:
        raise SystemExit(f"{path} did not arrive whole")
    path.unlink()
    return taken
