"""Servers of other makers through the installed command: what they can do is told truly, and a push arrives whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.journeys import Journeys
from tests.servers.packets import DOWN, FIN, RST, UP, Cut, packets_to
from tests.servers.vendors import Vendor, dropbear_fixture, proftpd_fixture  # noqa: F401

MORE = {
    "readback": 'verify = "readback"',
    "replace": 'on_exists = "replace"',
}


@pytest.fixture(params=["proftpd", "dropbear"])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Vendor)
    return found


def journeys_to(vendor: Vendor, folder: Path, more: str = "") -> Journeys:
    root = folder / "partner"
    root.mkdir()
    return Journeys(folder / "project", root, vendor.keys(root), more=more)


def test_probe_tells_what_the_server_does(vendor: Vendor, tmp_path: Path) -> None:
    journeys = journeys_to(vendor, tmp_path)
    said = journeys.project("probe", "partner", "--json")
    assert said.code == 0
    (answer,) = said.document["endpoints"]
    assert (answer["connected"], answer["advice"], answer["error"]) == (True, [], None)
    found = answer["found"]
    for what in ("write", "exclusive_create", "stat", "read_back", "rename", "posix_rename", "remove"):
        assert found[what] is True, what
    assert found["rename_over"] == "refused"
    assert found["server"].startswith({"proftpd": "SSH-2.0-mod_sftp", "dropbear": "SSH-2.0-dropbear"}[vendor.name])
    assert ("gcm" in found["cipher"]) == (vendor.name == "proftpd")
    assert list(journeys.root.iterdir()) == []


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_a_push_arrives_whole_with_its_sidecars(vendor: Vendor, tmp_path: Path, more: str) -> None:
    journeys = journeys_to(vendor, tmp_path, more)
    journey = journeys.begin()
    if "replace" in more:
        journey.place.mkdir()
        (journey.place / "orders.psv").write_bytes(b"yesterday's")
    journey.check_delivered(journey.run(), vendor.name)


def test_a_foreign_file_stays(vendor: Vendor, tmp_path: Path) -> None:
    journey = journeys_to(vendor, tmp_path).begin()
    journey.place.mkdir()
    (journey.place / "orders.psv").write_bytes(b"theirs")
    assert journey.run().code == 4
    assert journey.there() == {"orders.psv": b"theirs"}


@pytest.mark.parametrize("cut", [Cut(UP, 20, FIN), Cut(DOWN, 18, RST), Cut(UP, 34, RST), Cut(DOWN, 36, FIN)], ids=str)
def test_a_line_that_is_cut_delivers_whole_files_once(proftpd: Vendor, tmp_path: Path, cut: Cut) -> None:
    journeys = journeys_to(proftpd, tmp_path)
    journey = journeys.begin()
    with packets_to("127.0.0.1", proftpd.port, cut) as line:
        journeys.reach(port=line.port)
        said = journey.run()
        assert line.fired
    assert said.code == 3, said
    journey.check_whole_and_in_order(cut)
    journeys.reach()
    journey.check_delivered(journey.retry(said), cut)
