"""What becomes of many files at the partner's once they are here: each is put away once, over nothing that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from batchxfer import afterwards, pull
from batchxfer.afterwards import Move
from batchxfer.errors import AttemptError, ForeignFile, PermissionRefused
from batchxfer.ports import Session
from tests.faults.test_pull import seen
from tests.faults.test_sftp_readings import in_order_fixture, password, sends  # noqa: F401
from tests.servers.endpoints import to_openssh, to_partner
from tests.servers.faults import RenameOverwrites, Status
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.partner import Folder, serve

AGREED = pull.Agreement(glob="*.dat", max_bytes=1 << 40, done_file=lambda path: f"{path}.done")
NAMES = [f"{number:02}.dat" for number in range(45)]


@dataclass
class Box:
    """A partner's folder with files and their done files, and the session to it."""

    root: Path
    session: Session
    intended: dict[str, str] = field(default_factory=dict)

    def moves(self, folder: str = "old", *names: str) -> list[Move]:
        return [
            Move(file=replace(seen(self.session, name), id=name), target=f"{folder}/{name}", given_folders=0)
            for name in names or NAMES
        ]

    def intend(self, names: Mapping[str, str]) -> None:
        assert all((self.root / name).exists() for name in names), "the intent comes first"
        self.intended.update(names)

    def move(self, moves: list[Move]) -> dict[str, str | None]:
        ended = afterwards.move_each(self.session, "endpoint", moves, AGREED, self.intend)
        return {file.path: note for file, note in ended}

    def left(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@contextmanager
def at_partner(root: Path, behaviour: type[Folder] = Folder) -> Iterator[Box]:
    fill(root)
    with serve(root, behaviour) as partner:
        session = to_partner(partner).connect()
        try:
            yield Box(root, session)
        finally:
            session.close()


def fill(root: Path) -> None:
    root.mkdir(exist_ok=True)
    for name in NAMES:
        (root / name).write_text(name)
        (root / f"{name}.done").touch()


def moved(folder: str, *names: str) -> dict[str, bytes]:
    return {f"{folder}/{name}": name.encode() for name in names} | {f"{folder}/{name}.done": b"" for name in names}


def unmoved(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names} | {f"{name}.done": b"" for name in names}


@pytest.mark.usefixtures("in_order")
def test_many_files_are_moved_with_their_sidecars_into_a_folder_that_is_made(tmp_path: Path) -> None:
    with at_partner(tmp_path / "box") as box:
        assert box.move(box.moves("old/23")) == dict.fromkeys(NAMES)
        assert box.left() == moved("old/23", *NAMES)
        assert box.intended == {name: f"old/23/{name}" for name in NAMES}


@pytest.mark.usefixtures("in_order")
def test_those_that_are_in_the_way_newer_gone_or_alike_keep_no_other_from_being_moved(tmp_path: Path) -> None:
    with at_partner(tmp_path / "box") as box:
        moves = box.moves()
        moves[6] = replace(moves[6], target=moves[5].target)
        (box.root / "old").mkdir()
        (box.root / "old/01.dat").write_text("theirs")
        (box.root / "02.dat").write_text("newer")
        (box.root / "03.dat").unlink()
        notes = box.move(moves)
        assert {name: note for name, note in notes.items() if note} == {
            "02.dat": "a newer version is in its place, and was left there",
            "03.dat": "it was gone before it could be moved",
        }
        left = box.left()
    assert left.pop("old/01.dat") == b"theirs"
    assert left.pop("old/01.2.dat") == b"01.dat"
    assert (left.pop("02.dat"), left.pop("old/05.2.dat")) == (b"newer", b"06.dat")
    plain = [name for name in NAMES if name not in ("01.dat", "02.dat", "03.dat", "06.dat")]
    others = {"old/01.2.dat.done", "02.dat.done", "03.dat.done", "old/05.2.dat.done"}
    assert left == moved("old", *plain) | dict.fromkeys(others, b"")


class KeepsOne(Folder):
    """Gives a new name to all but one, which it refuses."""

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        if oldpath.rpartition(b"/")[2] == b"03.dat":
            raise Status(3, "no")
        super().rename(oldpath, newpath)


@pytest.mark.usefixtures("in_order")
def test_a_file_that_cannot_be_moved_is_told_after_those_before_it(tmp_path: Path) -> None:
    with at_partner(tmp_path / "box", KeepsOne) as box:
        notes: dict[str, str | None] = {}
        moves = box.moves()
        with pytest.raises(PermissionRefused, match=r"cannot rename 03\.dat to old/03\.dat: permission denied"):  # noqa: PT012
            for file, note in afterwards.move_each(box.session, "endpoint", moves, AGREED, box.intend):
                notes[file.path] = note
        assert notes == dict.fromkeys(NAMES[:3])
        assert (box.root / "03.dat").exists()
        again = [replace(move, file=replace(move.file, moved_to=box.intended.get(move.file.id))) for move in moves]
        assert box.move([*again[:3], *again[4:]]) == dict.fromkeys([*NAMES[:3], *NAMES[4:]]), "moved before, and not"
        assert box.left() == moved("old", *NAMES[:3], *NAMES[4:]) | unmoved("03.dat")


def test_a_server_whose_rename_overwrites_is_looked_at_before_each(tmp_path: Path) -> None:
    with at_partner(tmp_path / "box", RenameOverwrites) as box:
        (box.root / "theirs").write_text("theirs")
        with pytest.raises(ForeignFile):
            box.session.rename_all([("00.dat", "00.new"), ("01.dat", "theirs"), ("02.dat", "02.new")])
        assert (box.root / "theirs").read_text() == "theirs"
        assert (box.root / "01.dat").exists()


@pytest.mark.parametrize("refused", [0, 1, 2])
@pytest.mark.usefixtures("in_order")
def test_a_name_that_is_taken_refuses_the_rename_and_changes_nothing_there(tmp_path: Path, refused: int) -> None:
    with at_partner(tmp_path / "box") as box:
        pairs = [(f"{number:02}.dat", f"{number}.new") for number in range(3)]
        (box.root / pairs[refused][1]).write_text("theirs")
        with pytest.raises(AttemptError):
            box.session.rename_all(pairs)
        box.session.rename_all([])
        assert (box.root / pairs[refused][1]).read_text() == "theirs"
        assert (box.root / pairs[refused][0]).exists()
        assert box.session.alive


def test_moving_many_waits_for_few_answers(openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each thirty-two: the looks, the folder, the renames, and the same for the sidecars."""
    fill(tmp_path / "box")
    session = to_openssh(openssh, tmp_path / "box").connect()
    try:
        box = Box(tmp_path / "box", session)
        moves = box.moves()
        sent = sends(monkeypatch)
        assert box.move(moves) == dict.fromkeys(NAMES)
        assert len(sent) <= 10
        assert box.left() == moved("old", *NAMES)
    finally:
        session.close()


def test_a_server_that_is_not_known_to_refuse_a_taken_name_gets_one_rename_at_a_time(
    tmp_path: Path, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_partner(tmp_path / "box") as box:
        sent: list[Any] = sends(monkeypatch)
        box.session.rename_all([(name, f"{name}.new") for name in NAMES[:5]])
        assert len(sent) == (1 if in_order else 10)
