"""One large file up and down over SFTP, on loopback and from afar: no database, no format."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measuring import MIB, Contender, Measured, peer, run, side_by_side
from benchmarks.report import Table
from benchmarks.stage import FAR_MILLISECONDS, GCM, Stage, say

REFERENCE = "`sftp` of OpenSSH"
NEAR_MIB, FAR_MIB = 512, 128
ABOUT = (
    "{size:.0f} MiB{where}, {cipher} for all that let one choose. Connecting and logging in counts, starting Python does "
    "not; batchxfer looks at each reply and, sending, at the digest of what it reads."
)
FAR = f" to a server that is {FAR_MILLISECONDS} ms away (the round trip), on a line that is as fast as the machine"

Command = Callable[[Path, Path], Sequence[str]]
"""The words that bring one file to another place."""


def upload(stage: Stage, rounds: int) -> Table:
    return _measure(stage, rounds, "put", None, NEAR_MIB)


def download(stage: Stage, rounds: int) -> Table:
    return _measure(stage, rounds, "get", None, NEAR_MIB)


def far_upload(stage: Stage, rounds: int) -> Table:
    return _measure(stage, rounds, "put", stage.far, FAR_MIB)


def far_download(stage: Stage, rounds: int) -> Table:
    return _measure(stage, rounds, "get", stage.far, FAR_MIB)


def _measure(stage: Stage, rounds: int, what: str, port: int | None, mib: int) -> Table:
    source = stage.block(mib)
    target = (stage.partner if what == "put" else stage.folder) / "copy"

    def act(command: Command) -> Measured:
        taken = run(command(source, target))
        if target.stat().st_size != source.stat().st_size:
            raise SystemExit(f"{target} did not arrive whole")
        target.unlink()
        return taken

    ways = [
        Contender(name=name, act=lambda command=command: act(command))  # type: ignore[misc]
        for name, command in _commands(stage, what, port).items()
    ]
    title = f"One large file {'up' if what == 'put' else 'down'}" + (", from afar" if port else "")
    about = ABOUT.format(size=source.stat().st_size / MIB, cipher=GCM, where=FAR if port else " on loopback")
    return Table(title=title, about=about, reference=REFERENCE, results=side_by_side(ways, rounds))


def _commands(stage: Stage, what: str, port: int | None) -> dict[str, Command]:
    login, key = stage.login(port), stage.sshd.host_key()
    commands: dict[str, Command] = {
        REFERENCE: lambda source, target: stage.sftp(f"{what} {source} {target}", port=port),
        "batchxfer": lambda source, target: peer("own_transfer", what, source, target, *login, key),
        f"`SFTPClient.{what}` of paramiko": lambda source, target: peer(
            "paramiko_transfer", what, source, target, *login
        ),
    }
    others: dict[str, tuple[str, Command]] = {
        "rclone": ("`rclone copyto`, without its checksums", lambda *files: _rclone(stage, what, port, *files)),
        "lftp": (f"`lftp` with `{what}`", lambda *files: _lftp(stage, what, port, *files)),
    }
    for program, (name, command) in others.items():
        if shutil.which(program):
            commands[name] = command
        else:
            say(f"  without {program}, which is not here (apt-get install {program})")
    return commands


def _rclone(stage: Stage, what: str, port: int | None, source: Path, target: Path) -> list[str]:
    host, number, user, key = stage.login(port)
    there = f":sftp,host={host},port={number},user={user},key_file={key},ciphers={GCM},shell_type=none:"
    places = [f"{source}", f"{there}{target}"] if what == "put" else [f"{there}{source}", f"{target}"]
    return ["rclone", "--config", "/dev/null", "copyto", *places]


def _lftp(stage: Stage, what: str, port: int | None, source: Path, target: Path) -> list[str]:
    host, number, user, key = stage.login(port)
    ssh = " ".join(["ssh", "-a", "-x", *stage.ssh_options, "-i", key])
    settings = f"set sftp:connect-program '{ssh}'; set xfer:use-temp-file no; set net:max-retries 1"
    return ["lftp", "-c", f"{settings}; open -u {user},none sftp://{host}:{number}; {what} {source} -o {target}"]
