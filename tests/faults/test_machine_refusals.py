"""This machine refuses a call while the command works: the disk is full or failing, files or memory run out.

As SQLite is tested: the first call fails, then the second, and so on until everything goes through. Each time nothing is in
part, the command says what happened and what to do, and the next one finishes the slot exactly once.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from batchxfer import layout, spool
from batchxfer.endpoints import local
from tests import strikes
from tests.e2e.command import make_project
from tests.e2e.daemons import OFTEN, serving
from tests.faults import agreements
from tests.faults.agreements import LOCAL, MOVE, PULL, PUSH, SIDECARS, Agreement, Pull, Push
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.soak import SOAKING
from tests.strikes import Machine, Strike

POINTS = 6
READS_AND_WRITES = (
    *("openat", "mkdir", "write", "pwrite64", "pread64", "read", "fsync", "fdatasync", "ftruncate"),
    *("rename", "renameat2", "link", "linkat", "unlink", "unlinkat"),
)
# What a command's exit status may say of it: delivered all the same, wrong for now, held, or not even begun.
FOR_NOW = {0, 2, 3, 4}
LOST_OUTPUT = "cannot write to standard output"


KINDS = {
    "push": (Push, PUSH + SIDECARS),
    "push into a folder": (Push, PUSH + SIDECARS),
    "fetch and move": (Pull, PULL + MOVE),
}
CASES = [("push", "EIO"), ("push into a folder", "ENOSPC"), ("fetch and move", "EIO"), ("fetch and move", "EMFILE")]
ALL_CASES = [(kind, error) for kind in KINDS for error in ("EIO", "ENOSPC", "EMFILE")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with strikes.machine(tmp_path_factory.mktemp("machine") / "m") as found:
        yield found


@pytest.fixture
def agreement(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Agreement:
    folder, endpoint = tmp_path / "project", LOCAL
    if kind == "push":
        server: OpenSSH = request.getfixturevalue("openssh")
        endpoint = server.endpoint(folder / "out")
    return agreements.make(folder, *KINDS[kind], endpoint)


@pytest.fixture
def push(tmp_path: Path) -> Agreement:
    return agreements.make(tmp_path / "project", Push, PUSH + SIDECARS)


def assert_said_well(said: str, code: int) -> None:
    """In words, with what to do; no fault of batchxfer's own."""
    for sign in ("Traceback", "unexpected", "error of batchxfer itself", "Error:"):
        assert sign not in said, said
    assert code in FOR_NOW or LOST_OUTPUT in said, (code, said)
    assert code == 0 or "→" in said or LOST_OUTPUT in said, said


@pytest.mark.soak
@pytest.mark.timeout(0 if SOAKING else 120)
@pytest.mark.parametrize(("kind", "error"), ALL_CASES if SOAKING else CASES)
def test_a_call_that_this_machine_refuses_loses_nothing(
    agreement: Agreement, kind: str, error: str, machine: Machine
) -> None:
    calls = ["openat"] if error == "EMFILE" else READS_AND_WRITES
    agreement.prepare(1)
    points = machine.run(agreement.command(1), None, calls).points()
    if not SOAKING:
        points = points[1 :: max(1, len(points) // POINTS)]
    refused = 0
    for number, (call, nth) in enumerate(points, 2):
        agreement.prepare(number)
        struck = machine.run(agreement.command(number), Strike(call, nth, f"error={error}"), calls)
        refused += struck.struck
        assert_said_well(struck.said, struck.code)
        agreement.assert_nothing_in_part(number)
        said = agreement.finish(number)
        agreement.assert_delivered_once(number, said)
    print(f"\n{kind}, {error}: {len(points)} points, {refused} refused, 0 violations")
    assert refused > len(points) * 0.5


@pytest.mark.parametrize("call", ["write", "pwrite64"])
def test_a_disk_that_is_full_from_some_moment_on_loses_nothing(push: Agreement, call: str, machine: Machine) -> None:
    """Every write from the nth on is refused, of the ledger or of the spool: the outcome cannot be recorded either."""
    push.prepare(1)
    points = machine.run(push.command(1), None, [call]).points()
    for number, (_, nth) in enumerate(points[:: max(1, len(points) // 6)], 2):
        push.prepare(number)
        struck = machine.run(push.command(number), Strike(call, nth, "error=ENOSPC", on=True), [call])
        # Standard output may be on that disk too: then nothing can be said.
        assert struck.code in FOR_NOW | {1}
        push.assert_nothing_in_part(number)
        push.assert_delivered_once(number, push.finish(number))


def test_a_page_that_the_disk_does_not_give_is_not_called_damage(push: Agreement, machine: Machine) -> None:
    """Else a good ledger would be replaced by a backup of yesterday's."""
    calls = ["pread64"]
    push.prepare(1)
    for nth in (3, 9, 20):
        struck = machine.run(push.command(1), Strike("pread64", nth, "error=EIO"), calls)
        assert struck.struck
        assert "damaged" not in struck.said
        if struck.code != 0:
            assert "look at the disk" in struck.said
            assert struck.code == 3
    push.assert_delivered_once(1, push.finish(1))


def test_a_command_that_runs_out_of_files_loses_nothing(push: Agreement, machine: Machine) -> None:
    seen = []
    for number, most in enumerate([4, 6, 8, 9, 10, 11, 12, 14, 16, 60], 1):
        push.prepare(number)
        struck = machine.run(push.command(number), most_files=most)
        assert struck.code in FOR_NOW, struck.said
        seen.append(struck.code)
        push.assert_nothing_in_part(number)
        push.assert_delivered_once(number, push.finish(number))
    assert seen[-1] == 0
    assert {2, 3} & set(seen)


def no_memory(*args: object) -> NoReturn:
    raise MemoryError


def no_thread(*args: object) -> NoReturn:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("where", "shortage"),
    [
        ((layout.Encoder, "encode_all"), no_memory),
        ((spool.HashingFile, "finish"), no_memory),
        ((spool.VerifyingReader, "read"), no_memory),
        ((local.LocalSession, "rename"), no_memory),
        ((threading.Thread, "start"), no_thread),
    ],
    ids=["encoding", "writing", "sending", "publishing", "starting a thread"],
)
def test_memory_and_threads_that_run_out_are_waited_for(
    push: Agreement, where: tuple[type, str], shortage: Callable[..., NoReturn], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fault of batchxfer, and nothing that a person must mend."""
    push.prepare(1)
    with monkeypatch.context() as patch:
        patch.setattr(*where, shortage)
        said = push.project(*push.words(1))
    assert_said_well(said.out + said.err, said.code)
    assert said.code == 3
    push.assert_nothing_in_part(1)
    push.assert_delivered_once(1, push.finish(1))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_an_artifact_that_cannot_be_read_just_now_is_sent_later(
    push: Agreement, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not gone: no person need bring it back."""
    opened = Path.open

    def refuse(path: Path, *mode: Any, **options: Any) -> Any:
        if "/spool/hourly/" in str(path):
            raise OSError(number, os.strerror(number))
        return opened(path, *mode, **options)

    push.prepare(1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        said = push.project(*push.words(1))
    assert said.code == 3
    assert f": {os.strerror(number)}" in said.err
    assert "cannot read " in said.err
    push.assert_delivered_once(1, push.finish(1))


def test_a_spool_that_is_taken_away_under_a_daemon_is_waited_for(tmp_path: Path) -> None:
    """Nothing is written into the empty place of a disk that is not mounted."""
    project = make_project(tmp_path / "project")
    for name in ("daily", "by-hand"):
        (project.folder / f"jobs/{name}.toml").unlink()
    job = OFTEN.replace('"2s"', '"1s"\ncutoff = "5m"')
    project.job("often", job + '[retry]\nafter = ["1s"]\nrepeat = "1s"\n')
    spool_folder, away = project.folder / "var/spool", project.folder / "away"
    with serving(project) as daemon:
        daemon.wait_for("delivered")
        os.rename(spool_folder, away)
        spool_folder.mkdir()
        told = daemon.wait_for("retrying")
        assert "is away" in told["reason"]
        assert list(spool_folder.iterdir()) == []
        spool_folder.rmdir()
        os.rename(away, spool_folder)
        daemon.wait_for("delivered", slot=told["slot"])
        assert daemon.end() == 0
    (run,) = (run for run in project("runs", "--json").document["runs"] if run["run"] == told["run"])
    assert run["status"] == "delivered"
