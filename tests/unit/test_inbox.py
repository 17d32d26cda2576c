"""A fetched file: whole under its name, or not at all; never over another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from batchxfer.errors import HeldError, StorageError
from batchxfer.inbox import Arrival, whole

CONTENT = b"id,name\n1,Ana\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def arrived(target: Path, content: bytes = CONTENT, key: str = "K1") -> Arrival:
    arrival = Arrival(target, key)
    arrival.open()
    arrival.write(content)
    arrival.finish()
    return arrival


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_name_appears_with_the_whole_file(tmp_path: Path) -> None:
    arrival = arrived(tmp_path / "in/a.csv")
    assert names(tmp_path / "in") == [".a.csv.K1.part"]
    intended: list[Path] = []
    path = arrival.accept(intended.append)
    assert (path, intended) == (tmp_path / "in/a.csv", [tmp_path / "in/a.csv"])
    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "in") == ["a.csv"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_taken_is_left_as_it_is(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "a.2.csv.gz"):
        (tmp_path / name).write_bytes(b"theirs")
    (tmp_path / "a.3.csv.gz").symlink_to("nowhere")
    assert arrived(tmp_path / "a.csv.gz").accept(lambda name: None) == tmp_path / "a.4.csv.gz"
    assert (tmp_path / "a.csv.gz").read_bytes() == b"theirs"
    assert not (tmp_path / "nowhere").exists()


def test_a_name_that_is_taken_between_the_look_and_the_step_is_left_as_it_is(tmp_path: Path) -> None:
    def race(name: Path) -> None:
        if name.name == "a.csv":
            name.write_bytes(b"theirs")

    assert arrived(tmp_path / "a.csv").accept(race) == tmp_path / "a.2.csv"
    assert (tmp_path / "a.csv").read_bytes() == b"theirs"


def test_without_links_a_name_is_taken_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a.csv").write_bytes(b"theirs")
    path = arrived(tmp_path / "a.csv").accept(lambda name: None)
    assert (path.name, path.read_bytes(), names(tmp_path)) == ("a.2.csv", CONTENT, ["a.2.csv", "a.csv"])


def test_what_a_broken_link_left_is_gone_on_with(tmp_path: Path) -> None:
    first = Arrival(tmp_path / "a.csv", "K1")
    first.open()
    first.write(CONTENT[:5])
    first.keep()
    second = Arrival(tmp_path / "a.csv", "K1")
    second.open()
    assert (second.bytes, second.tail()) == (5, CONTENT[:5])
    second.write(CONTENT[5:])
    second.finish()
    assert second.sha256 == SHA256


def test_what_a_killed_process_left_is_not_trusted(tmp_path: Path) -> None:
    first = Arrival(tmp_path / "a.csv", "K1")
    first.open()
    first.write(CONTENT[:5])
    second = Arrival(tmp_path / "a.csv", "K1")
    second.open()
    assert second.bytes == 0
    first.discard()


def test_a_file_that_got_its_name_before_a_kill_is_found_again(tmp_path: Path) -> None:
    first = arrived(tmp_path / "a.csv")
    os.link(tmp_path / ".a.csv.K1.part", tmp_path / "a.csv")
    del first
    again = Arrival(tmp_path / "a.csv", "K1")
    assert again.accepted(tmp_path / "a.csv", SHA256)
    assert names(tmp_path) == ["a.csv"]


def test_somebody_elses_equal_file_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    again = arrived(tmp_path / "a.csv")
    assert not again.accepted(tmp_path / "a.csv", SHA256)
    assert not again.accepted(tmp_path / "b.csv", SHA256)


def test_a_full_disk_is_an_error_with_a_hint(tmp_path: Path) -> None:
    arrival = Arrival(Path("/dev/full/x/a.csv"), "K1")
    with pytest.raises(StorageError, match="cannot write"):
        arrival.open()


def test_bytes_that_changed_on_this_machine_are_found_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT + b"more")
    with pytest.raises(HeldError, match="was changed on this machine"):
        list(whole(path, SHA256))
    with pytest.raises(HeldError, match="is gone"):
        list(whole(tmp_path / "b.csv", SHA256))


class Told:
    """Who follows an arrival: what it could read then."""

    def __init__(self) -> None:
        self.read: list[bytes | None] = []

    def came(self, descriptor: int, size: int) -> None:
        self.read.append(os.pread(descriptor, size, 0))

    def began_anew(self) -> None:
        self.read.append(None)


def test_who_follows_is_told_what_can_be_read_and_when_it_is_forgotten(tmp_path: Path) -> None:
    arrival = Arrival(tmp_path / "a.csv", "F1")
    told = arrival.follower = Told()
    arrival.open()
    arrival.write(b"one")
    arrival.restart()
    arrival.write(b"two")
    arrival.write(b", three")
    arrival.discard()
    assert told.read == [b"one", None, b"two", b"two, three"]
