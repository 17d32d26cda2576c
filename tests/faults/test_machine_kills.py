"""The command is killed at a system call, all along its way: its partner sees whole files only, and the next one finishes the
slot exactly once.

The suite takes a few calls of each kind of agreement; `make soak ARGS="-s tests/faults/test_machine_kills.py"` all of them, and
says how many.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import strikes
from tests.faults import agreements
from tests.faults.agreements import LOCAL, MOVE, PULL, PUSH, SIDECARS, Agreement, DirectPush, Pull, Push
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.soak import SOAKING
from tests.strikes import KILL, Machine, Strike

POINTS = 5
OLD = b"yesterday's\n" * 9000


class Replacing(Push):
    before = OLD


@dataclass(frozen=True)
class Kind:
    """A kind of agreement, by SFTP or into a folder, with its ledger in SQLite or PostgreSQL."""

    agreement: type[Agreement]
    job: str
    sftp: bool = True
    postgresql: bool = False
    endpoint: str = ""
    ahead: bool = False


KINDS = {
    "push": Kind(Push, PUSH + SIDECARS),
    "push, ledger on PostgreSQL": Kind(Push, PUSH + SIDECARS, postgresql=True),
    "push into a folder": Kind(Push, PUSH + SIDECARS, sftp=False),
    "push, replacing": Kind(Replacing, PUSH + 'on_exists = "replace"\n'),
    "push, sent while it is built": Kind(Push, PUSH + SIDECARS, ahead=True),
    "push into a folder, sent while it is built": Kind(Push, PUSH + SIDECARS, sftp=False, ahead=True),
    "push, read back": Kind(Push, PUSH + 'verify = "readback"\ncompress = "none"\n', postgresql=True),
    "push, directly": Kind(DirectPush, PUSH, endpoint='publish = "direct"\n'),
    "fetch": Kind(Pull, PULL),
    "fetch and delete": Kind(Pull, PULL + 'then = "delete"\n', postgresql=True),
    "fetch and move": Kind(Pull, PULL + MOVE),
    "fetch and move from a folder": Kind(Pull, PULL + MOVE, sftp=False),
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with strikes.machine(tmp_path_factory.mktemp("machine") / "m") as found:
        yield found


def made(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Agreement:
    kind = KINDS[name]
    folder, endpoint = tmp_path / "project", LOCAL
    if kind.sftp:
        server: OpenSSH = request.getfixturevalue("openssh")
        endpoint = server.endpoint(folder / "out")
    url = request.getfixturevalue("postgresql_database") if kind.postgresql else None
    return agreements.make(folder, kind.agreement, kind.job, endpoint + kind.endpoint, ledger=url)


@pytest.mark.soak
@pytest.mark.timeout(0 if SOAKING else 120)
@pytest.mark.parametrize("kind", KINDS)
def test_a_command_that_is_killed_at_any_call_leaves_nothing_in_part_and_the_next_finishes_it_once(
    kind: str, machine: Machine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    agreement, ahead = made(kind, tmp_path, request), KINDS[kind].ahead
    agreement.prepare(1)
    whole = machine.run(agreement.command(1), ahead=ahead)
    assert whole.code == 0, whole.said
    points = whole.points()
    if not SOAKING:
        points = points[:: max(1, len(points) // POINTS)]
    killed = 0
    for number, (call, nth) in enumerate(points, 2):
        agreement.prepare(number)
        struck = machine.run(agreement.command(number), Strike(call, nth, KILL), ahead=ahead)
        assert struck.code in (-9, 0), struck.said
        killed += struck.code == -9
        agreement.assert_nothing_in_part(number)
        said = agreement.finish(number)
        agreement.assert_delivered_once(number, said)
    print(f"\n{kind}: {len(points)} points, {killed} killed, 0 violations")
    # A thread may make a call more or less than the last time.
    assert killed > len(points) * 0.5


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("push", "TERM"),
        ("push, sent while it is built", "TERM"),
        ("fetch and move from a folder", "INT"),
        ("push into a folder", "HUP"),
    ],
)
def test_a_command_that_is_asked_to_end_at_any_call_leaves_nothing_in_part(
    kind: str, name: str, machine: Machine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    agreement, ahead = made(kind, tmp_path, request), KINDS[kind].ahead
    agreement.prepare(1)
    points = machine.run(agreement.command(1), ahead=ahead).points()
    stopped = 0
    for number, (call, nth) in enumerate(points[:: len(points) // 4], 2):
        agreement.prepare(number)
        struck = machine.run(agreement.command(number), Strike(call, nth, f"signal={name}"), ahead=ahead)
        # SIGHUP is a daemon's; of a command it is the terminal that is gone.
        assert struck.code in (0, -1 if name == "HUP" else 128 + getattr(signal, f"SIG{name}")), struck.said
        stopped += struck.code != 0
        assert "Traceback" not in struck.said
        agreement.assert_nothing_in_part(number)
        agreement.assert_delivered_once(number, agreement.finish(number))
    assert stopped
