"""The line to a partner cut, frozen or bent at each packet of a push: the installed command, OpenSSH, and whole files only.

One packet is one step: the greeting, the key exchange, the login, the channel, each request and each reply. A request that is
cut was never heard; a reply that is cut belongs to a step that was done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import paramiko
import psutil
import pytest

from tests.faults.journeys import Journey, Journeys, keys_for_openssh
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.packets import DOWN, FIN, FLIP, FREEZE, RST, UP, Cut, PacketLine, packets_to
from tests.soak import SOAKING

pytestmark = pytest.mark.soak

HASTY = {"connect_timeout": "1s", "stall_timeout": "1s"}
ANEW_BYTES = 300_000
"""A file of 600 KB that is sent again needs more than this; looking, and the sidecars, need less."""


@dataclass(frozen=True)
class Policy:
    """What was agreed with the partner: keys of the endpoint, and lines of the job's [file]."""

    name: str
    keys: tuple[tuple[str, str], ...] = ()
    more: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def direct(self) -> bool:
        return ("publish", "direct") in self.keys


RENAME = Policy("rename")
OTHERS = (
    Policy("replace", more='on_exists = "replace"'),
    Policy("readback", more='verify = "readback"'),
    Policy("reply", more='verify = "reply"'),
    Policy("direct", keys=(("publish", "direct"),)),
)


def journeys_of(policy: Policy, server: OpenSSH, folder: Path) -> Journeys:
    root = folder / "partner"
    root.mkdir()
    keys = {**keys_for_openssh(server, root), **dict(policy.keys)}
    return Journeys(folder / "project", root, keys, more=policy.more)


def points(journeys: Journeys, server: OpenSSH) -> list[tuple[str, int]]:
    """Every packet of one push, in both directions."""
    with packets_to(server.host, server.port) as line:
        journeys.reach(port=line.port)
        journey = journeys.begin()
        journey.check_delivered(journey.run(), "nothing")
        return [(way, nth) for way in (UP, DOWN) for nth in range(1, line.passed[way] + 1)]


def ours() -> list[str]:
    """Threads that a push begins."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("batchxfer") or isinstance(thread, threading.Timer | paramiko.Transport)
    ]


def strike(journeys: Journeys, server: OpenSSH, cut: Cut, policy: Policy, *, buffers: int | None = None) -> bool:
    """A push whose line has this cut, and its retry on one that has none. Whether the cut came."""
    journey = journeys.begin()
    with packets_to(server.host, server.port, cut, buffers=buffers) as line:
        journeys.reach(port=line.port, **HASTY)
        said = journey.run()
        fired = line.fired
    assert said.code in (0, 3), f"{cut}: {said}"
    assert said.code == 3 or not fired or cut.how == FLIP or journey.final() == journey.expected, f"{cut}: {said}"
    assert ours() == [], cut
    if not policy.direct:
        journey.check_whole_and_in_order(cut)
    with packets_to(server.host, server.port) as line:
        journeys.reach(port=line.port)
        try_again(journey, said, cut, policy, line)
    return fired


def try_again(journey: Journey, said: object, cut: Cut, policy: Policy, line: PacketLine) -> None:
    arrived = "orders.psv" in journey.final()
    again = journey.retry(said)  # type: ignore[arg-type]
    if policy.direct and again.code == 4:
        # The reply to the exclusive create was lost: nobody can tell whose the file is.
        assert "it is not ours" in again.run["reason"], f"{cut}: {again}"
        return
    journey.check_delivered(again, cut)
    if arrived and not policy.direct:
        assert line.bytes_up < ANEW_BYTES, f"{cut}: sent again, though it was there"


def some(found: list[tuple[str, int]], many: int) -> list[tuple[str, int]]:
    """Each of them with `make soak`; else so many, all along the way, the last of each direction among them."""
    if SOAKING:
        return found
    step = max(1, len(found) // many)
    return found[::-step][::-1]


def sockets() -> int:
    return sum(1 for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No thread and no socket is left of all that a test tried."""
    before = sockets()
    yield
    assert ours() == []
    assert sockets() <= before


HOWS = ((FIN, False), (RST, False), (FIN, True), (FREEZE, False), (RST, True), (FLIP, False), (FREEZE, True))


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("nothing_left")
def test_a_line_that_fails_at_any_packet_delivers_whole_files_once(openssh: OpenSSH, tmp_path: Path) -> None:
    journeys = journeys_of(RENAME, openssh, tmp_path)
    hows = cycle(HOWS)
    for direction, nth in some(points(journeys, openssh), 10):
        for how, half in HOWS if SOAKING else [next(hows)]:
            strike(journeys, openssh, Cut(direction, nth, how, half), RENAME)


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("policy", OTHERS, ids=str)
def test_a_line_that_is_cut_at_any_packet_keeps_what_was_agreed(
    openssh: OpenSSH, tmp_path: Path, policy: Policy
) -> None:
    journeys = journeys_of(policy, openssh, tmp_path)
    hows = cycle(HOWS[:3])
    for direction, nth in some(points(journeys, openssh), 3):
        for how, half in HOWS[:3] if SOAKING else [next(hows)]:
            strike(journeys, openssh, Cut(direction, nth, how, half), policy)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("buffers", [None, 4096], ids=["default buffers", "small buffers"])
def test_a_line_that_freezes_while_much_is_on_its_way_is_ended_in_time(
    openssh: OpenSSH, tmp_path: Path, buffers: int | None
) -> None:
    journeys = journeys_of(RENAME, openssh, tmp_path)
    journeys.rows = 30
    journeys.write_job()
    for cut in (Cut(UP, 60, FREEZE, half=True), Cut(DOWN, 14, FREEZE)):
        assert strike(journeys, openssh, cut, RENAME, buffers=buffers), cut
