"""The line to a partner cut, frozen or bent at each packet of a pull: what is fetched is whole, loaded once, and what was
agreed becomes of the partner's files."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path

import pytest

from tests.e2e.command import Said
from tests.faults.journeys import FIRST, Journeys, in_time, keys_for_openssh
from tests.faults.test_wire_cuts import HASTY, HOWS, nothing_left, ours, some  # noqa: F401
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.packets import DOWN, UP, Cut, packets_to
from tests.soak import SOAKING

pytestmark = pytest.mark.soak

JOB = """
direction = "pull"
[schedule]
cron = "0 5 * * *"
[file]
format = "psv"
endpoint = "partner"
path = "{{business_date:%Y%m%d}}/*.psv"
into = "in/{{business_date:%Y%m%d}}/{{name}}"
done_file = "{{path}}.done"
checksum_file = "{{path}}.sha256"
expect = "once"
{then}
[load]
database = "shop"
table = "rates"
"""
THEN = {
    "delete": 'then = "delete"',
    "move": 'then = "move"\nmove_to = "{business_date:%Y%m%d}/old/{name}"',
}
AGAIN_BYTES = 300_000


class Pulls(Journeys):
    """Each slot has a file of its own at the partner."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.project.execute("create table rates (i integer, n text)")
        (self.folder / "jobs/daily.toml").unlink()
        self.project.job("rates", JOB.replace("{{", "{").replace("}}", "}").replace("{then}", self.more))

    def next(self) -> Pull:
        self.seen += 1
        pull = Pull(self, self.seen)
        place = self.root / pull.day
        place.mkdir()
        (place / "rates.psv").write_bytes(pull.content)
        digest = hashlib.sha256(pull.content).hexdigest()
        (place / "rates.psv.sha256").write_text(f"{digest}  rates.psv\n")
        (place / "rates.psv.done").touch()
        return pull


@dataclass
class Pull:
    """What becomes of one slot's file."""

    pulls: Pulls
    number: int

    @property
    def day(self) -> str:
        return f"{FIRST + timedelta(days=self.number):%Y%m%d}"

    @property
    def content(self) -> bytes:
        rows = range(self.number * 10 + 1, self.number * 10 + 4)
        return ("i|n\n" + "".join(f"{i}|{i:0200000d}\n" for i in rows)).encode()

    def run(self) -> Said:
        slot = (FIRST + timedelta(days=self.number)).isoformat()
        with in_time():
            return self.pulls.project("run", "rates", "--slot", slot, "--json")

    def again(self, said: Said) -> Said:
        if said.run["status"] == "pending":
            return self.run()
        with in_time():
            return self.pulls.project("retry", said.run["run"], "--json")

    def fetched(self) -> dict[str, bytes]:
        folder = self.pulls.folder / "in" / self.day
        return {path.name: path.read_bytes() for path in folder.glob("*")} if folder.exists() else {}

    def rows(self) -> int:
        shop = sqlite3.connect(self.pulls.folder / "shop.db")
        try:
            return int(shop.execute("select count(*) from rates where i / 10 = ?", [self.number]).fetchone()[0])
        finally:
            shop.close()

    def at_partner(self) -> list[str]:
        folder = self.pulls.root / self.day
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def check_nothing_partial_or_lost(self, what: object) -> None:
        final = {name: content for name, content in self.fetched().items() if not name.startswith(".")}
        assert final in ({}, {"rates.psv": self.content}), f"{what}: {sorted(final)}"
        assert self.rows() in (0, 3), what
        kept = [path for path in self.at_partner() if path.endswith("rates.psv")]
        assert kept or final, f"{what}: taken away before it was here"
        for path in kept:
            assert (self.pulls.root / self.day / path).read_bytes() == self.content, what


LEFT = {"delete": [], "move": ["old/rates.psv", "old/rates.psv.done", "old/rates.psv.sha256"]}


def strike(pulls: Pulls, server: OpenSSH, cut: Cut, then: str) -> None:
    pull = pulls.next()
    with packets_to(server.host, server.port, cut) as line:
        pulls.reach(port=line.port, **HASTY)
        said = pull.run()
    assert said.code in (0, 3), f"{cut}: {said}"
    assert ours() == [], cut
    pull.check_nothing_partial_or_lost(cut)
    was_here = "rates.psv" in pull.fetched()
    with packets_to(server.host, server.port) as line:
        pulls.reach(port=line.port)
        again = pull.again(said)
        assert again.code == 0, f"{cut}: {said} {again}"
    assert pull.fetched() == {"rates.psv": pull.content}, f"{cut}: {again}"
    assert pull.rows() == 3, cut
    assert pull.at_partner() == LEFT[then], f"{cut}: {again}"
    assert not was_here or line.bytes_down < AGAIN_BYTES, f"{cut}: fetched again, though it was here"


def points_of(pulls: Pulls, openssh: OpenSSH) -> list[tuple[str, int]]:
    """Each packet of a pull that goes well, by its way and its number."""
    with packets_to(openssh.host, openssh.port) as line:
        pulls.reach(port=line.port)
        assert pulls.next().run().code == 0
        return [(way, nth) for way in (UP, DOWN) for nth in range(1, line.passed[way] + 1)]


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("then", THEN)
def test_a_line_that_fails_at_any_packet_of_a_pull_fetches_and_loads_once(
    openssh: OpenSSH, tmp_path: Path, then: str
) -> None:
    root = tmp_path / "partner"
    root.mkdir()
    pulls = Pulls(tmp_path / "project", root, keys_for_openssh(openssh, root), more=THEN[then])
    points = points_of(pulls, openssh)
    hows = cycle(HOWS)
    for direction, nth in some(points, 4):
        for how, half in HOWS if SOAKING else [next(hows)]:
            strike(pulls, openssh, Cut(direction, nth, how, half), then)


MANY = JOB.replace('expect = "once"', 'expect = "some"').partition("[load]")[0]


class ManyPulls(Pulls):
    """Each slot has many small files and a larger one; nothing is loaded."""

    def next(self) -> ManyFiles:
        self.seen += 1
        pull = ManyFiles(self, self.seen)
        place = self.root / pull.day
        place.mkdir()
        for name, content in pull.contents.items():
            (place / name).write_bytes(content)
            (place / f"{name}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
            (place / f"{name}.done").touch()
        return pull


class ManyFiles(Pull):
    @property
    def contents(self) -> dict[str, bytes]:
        return {f"{n}.psv": f"{self.number} {n}\n".encode() * (60_000 if n == 3 else 100 * n) for n in range(9)}

    def check_each(self, what: object) -> None:
        fetched = {name: content for name, content in self.fetched().items() if not name.startswith(".")}
        assert fetched.items() <= self.contents.items(), f"{what}: {sorted(fetched)}"
        left = {path for path in self.at_partner() if path.endswith(".psv")}
        assert {path.rpartition("/")[2] for path in left} | set(fetched) == set(self.contents), f"{what}: lost"


def all_left(then: str) -> list[str]:
    names = [f"{n}.psv{ending}" for n in range(9) for ending in ("", ".done", ".sha256")]
    return [f"old/{name}" for name in names] if then == "move" else []


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("then", THEN)
def test_a_line_that_fails_at_any_packet_of_many_files_fetches_each_once(
    openssh: OpenSSH, tmp_path: Path, then: str
) -> None:
    root = tmp_path / "partner"
    root.mkdir()
    pulls = ManyPulls(tmp_path / "project", root, keys_for_openssh(openssh, root), more=THEN[then])
    pulls.project.job("rates", MANY.replace("{{", "{").replace("}}", "}").replace("{then}", THEN[then]))
    points = points_of(pulls, openssh)
    hows = cycle(HOWS)
    for direction, nth in some(points, 4):
        for how, half in HOWS if SOAKING else [next(hows)]:
            cut = Cut(direction, nth, how, half)
            pull = pulls.next()
            with packets_to(openssh.host, openssh.port, cut) as line:
                pulls.reach(port=line.port, **HASTY)
                said = pull.run()
            assert said.code in (0, 3), f"{cut}: {said}"
            assert ours() == [], cut
            pull.check_each(cut)
            pulls.reach(port=openssh.port)
            again = pull.again(said)
            assert again.code == 0, f"{cut}: {said} {again}"
            assert pull.fetched() == pull.contents, f"{cut}: {again}"
            assert pull.at_partner() == all_left(then), f"{cut}: {again}"
