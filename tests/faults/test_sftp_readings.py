"""Files that are begun before their turn, at servers that take it amiss: each is read whole, or its own error is told."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from batchxfer import afterwards, pull
from batchxfer.endpoints.sftp import connecting, packets
from batchxfer.errors import AttemptError, NetworkError, PermissionRefused, ServerError
from batchxfer.inbox import Arrival
from batchxfer.model import FetchedFile
from batchxfer.ports import Session
from tests.faults.test_pull import AGREED, seen
from tests.servers.endpoints import PASSWORD_VARIABLE, to_openssh, to_partner
from tests.servers.faults import ReorderedReplies, ShortReads, Status
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.partner import PASSWORD, Folder, serve

MANY = 90


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


@pytest.fixture(name="in_order", params=[False, True], ids=["any order", "in order"])
def in_order_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A server that is taken for OpenSSH is asked for the look after the bytes together with them."""
    if request.param:
        monkeypatch.setattr(connecting, "IN_ORDER", "SSH-2.0-")
    return bool(request.param)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Small ones, and now and then one that takes many reads."""
    folder = tmp_path / "there"
    folder.mkdir()
    contents = {f"{n:02}.dat": os.urandom(600_000 if n % 15 == 7 else 317 * n) for n in range(MANY)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return contents


@contextmanager
def connected(root: Path, behaviour: type[Folder] = Folder) -> Iterator[Session]:
    with serve(root, behaviour) as partner:
        session = to_partner(partner).connect()
        try:
            yield session
        finally:
            session.close()


def read_all(session: Session, files: dict[str, bytes]) -> dict[str, bytes]:
    """As a pull does it: so many begun, one after the other read."""
    read = {}
    wanted = [replace(seen(session, name), id=name) for name in files]
    with closing(pull.Ahead(session, wanted)) as ahead:
        for file in wanted:
            with closing(ahead.take(file)) as reading:
                assert reading.look() is not None
                read[file.path] = b"".join(reading.pieces())
                assert reading.look_again() == reading.look()
    return read


@pytest.mark.parametrize("behaviour", [Folder, ShortReads, ReorderedReplies])
def test_many_files_are_read_whole_whatever_order_replies_have(
    tmp_path: Path, files: dict[str, bytes], behaviour: type[Folder]
) -> None:
    with connected(tmp_path / "there", behaviour) as session:
        assert read_all(session, files) == files


class FewHandles(Folder):
    """Lets so many files be open at a time."""

    most: int
    counts: Counter[str]

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if self.counts["open"] >= self.most:
            self.counts["refused"] += 1
            raise Status(4, "too many open files")
        file = super().open(path, pflags, attrs)
        self.counts["open"] += 1
        return file

    def close(self, file_obj: Any) -> None:
        self.counts["open"] -= 1
        super().close(file_obj)


@pytest.mark.parametrize("room", [1, 3])
@pytest.mark.usefixtures("in_order")
def test_a_server_that_opens_few_files_at_a_time_gives_every_one(
    tmp_path: Path, files: dict[str, bytes], room: int
) -> None:
    class Few(FewHandles):
        most, counts = room, Counter()

    with connected(tmp_path / "there", Few) as session:
        assert read_all(session, files) == files
        refused = Few.counts["refused"]
        assert read_all(session, files) == files
        assert refused > 0
        assert Few.counts["refused"] == refused, "it is not tried again with this server"


def test_a_file_that_may_not_be_read_is_told_and_keeps_no_other_from_it(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    class Forbids(Folder):
        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
            if path.endswith(b"02.dat"):
                raise Status(3, "no")
            return super().open(path, pflags, attrs)

    with connected(tmp_path / "there", Forbids) as session:
        readings = {name: session.begin_reading(name, size=len(content)) for name, content in files.items()}
        for name, reading in readings.items():
            if name == "02.dat":
                with pytest.raises(PermissionRefused, match=r"cannot read 02\.dat: permission denied \(status 3: no\)"):
                    list(reading.pieces())
            else:
                assert b"".join(reading.pieces()) == files[name]
            reading.close()


def test_the_look_after_the_bytes_waits_for_them_where_it_could_overtake_them(
    tmp_path: Path, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dat").write_bytes(b"content")
    with connected(tmp_path) as session, closing(session.begin_reading("a.dat", size=7)) as reading:
        reading.look()
        sent = sends(monkeypatch)
        assert b"".join(reading.pieces()) == b"content"
        assert len(sent) == 1
        assert reading.look_again() is not None
        assert len(sent) == (1 if in_order else 2)


def test_a_look_after_bytes_that_came_in_parts_is_not_the_one_before_the_last_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "IN_ORDER", "SSH-2.0-")

    class Halves(Folder):
        def read(self, file_obj: Any, offset: int, size: int) -> bytes:
            if offset == 3:
                os.utime(self.root / "a.dat", (2_000_000_000, 2_000_000_000))
            return super().read(file_obj, offset, min(size, 3))

    (tmp_path / "a.dat").write_bytes(b"content")
    with connected(tmp_path, Halves) as session, closing(session.begin_reading("a.dat", size=7)) as reading:
        before = reading.look()
        assert b"".join(reading.pieces()) == b"content"
        assert reading.look_again() != before


def test_a_line_that_breaks_while_files_are_begun_ends_all_of_them(tmp_path: Path, files: dict[str, bytes]) -> None:
    class Drops(Folder):
        def read(self, file_obj: Any, offset: int, size: int) -> bytes:
            self.cut()
            return super().read(file_obj, offset, size)

    with connected(tmp_path / "there", Drops) as session:
        readings = [session.begin_reading(name, size=len(content)) for name, content in files.items()]
        with pytest.raises(NetworkError):
            list(readings[1].pieces())
        assert not session.alive
        for reading in readings:
            with pytest.raises(NetworkError):
                list(reading.pieces())
            reading.close()


def sends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each thing that is sent from now on."""
    sent: list[int] = []
    send = packets.Stream.send

    def counted(stream: packets.Stream, data: memoryview) -> int:
        sent.append(len(data))
        return send(stream, data)

    monkeypatch.setattr(packets.Stream, "send", counted)
    return sent


def asked(session: Session, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often something is sent, so that an answer is waited for, while these are read and removed."""
    wanted = [replace(seen(session, name), id=name) for name in files]
    sent = sends(monkeypatch)
    with closing(pull.Ahead(session, wanted)) as ahead:
        for file in wanted:
            with closing(ahead.take(file)) as reading:
                assert reading.look() is not None
                assert b"".join(reading.pieces()) == files[file.path]
                assert reading.look_again() is not None
    assert [note for _, note in afterwards.remove_each(session, wanted, AGREED)] == [None] * len(wanted)
    return len(sent)


def test_small_files_wait_for_few_answers_together(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look and open, bytes and look, look, remove: four answers for all that are asked at once, or a few more where some of
    the answers come late."""
    contents = {f"{number}.dat": os.urandom(1000) for number in range(20)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    session = to_openssh(openssh, tmp_path).connect()
    try:
        assert asked(session, contents, monkeypatch) < 20
        assert list(tmp_path.iterdir()) == []
    finally:
        session.close()


def test_checksum_files_are_read_together_with_their_files(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = pull.Agreement(glob="*.dat", max_bytes=1 << 40, checksum_file=lambda path: f"{path}.sha256")
    (tmp_path / "there").mkdir()
    for number in range(20):
        content = os.urandom(1000)
        (tmp_path / f"there/{number}.dat").write_bytes(content)
        # As sha256sum writes it, alone, and of another file.
        said = hashlib.sha256(content).hexdigest() + ("" if number == 7 else f"  {number}.dat\n")
        (tmp_path / f"there/{number}.dat.sha256").write_text("0" * 64 if number == 9 else said)
    session = to_openssh(openssh, tmp_path / "there").connect()
    wanted = [replace(seen(session, f"{number}.dat"), id=f"{number}") for number in range(20)]
    sent, disagreed = sends(monkeypatch), []
    with closing(session), closing(pull.Ahead(session, wanted, agreed)) as ahead:
        for file in wanted:
            arrival = Arrival(tmp_path / file.path, file.id)
            with closing(ahead.take(file)) as reading, closing(ahead.take_sidecar(file)) as sidecar:  # type: ignore[type-var]
                try:
                    pull.fetch(session, "there", file, agreed, arrival, reading, sidecar=sidecar)
                except ServerError as error:
                    disagreed.append(error.message)
    assert [text[:50] for text in disagreed] == ["there: 9.dat does not agree with 9.dat.sha256: its"]
    assert len(sent) < 20


class KeepsOne(Folder):
    """Removes all but one, which it refuses."""

    def remove(self, path: bytes) -> None:
        if path.endswith(b"02.dat"):
            raise Status(3, "no")
        super().remove(path)


def test_a_file_that_cannot_be_removed_is_told_after_those_before_it(tmp_path: Path, files: dict[str, bytes]) -> None:
    with connected(tmp_path / "there", KeepsOne) as session:
        wanted = [seen(session, name) for name in files]
        gone: list[str] = []
        with pytest.raises(PermissionRefused, match=r"cannot remove 02\.dat: permission denied"):  # noqa: PT012
            for file, _ in afterwards.remove_each(session, wanted, AGREED):
                gone.append(file.path)
        assert gone == ["00.dat", "01.dat"]
        assert names_of(tmp_path)[0] == "02.dat"
        assert remove(session, [wanted[0], *wanted[3:]]) == ["00.dat", *list(files)[3:]], "gone already"
        assert names_of(tmp_path) == ["02.dat"]


def remove(session: Session, wanted: Sequence[FetchedFile]) -> list[str]:
    return [file.path for file, _ in afterwards.remove_each(session, wanted, AGREED)]


def names_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "there").iterdir())


def test_a_newer_version_among_many_is_left_with_its_sidecars(tmp_path: Path, files: dict[str, bytes]) -> None:
    agreed = pull.Agreement(glob="*.dat", max_bytes=1 << 40, done_file=lambda path: f"{path}.done")
    for name in files:
        (tmp_path / "there" / f"{name}.done").touch()
    with connected(tmp_path / "there") as session:
        wanted = [seen(session, name) for name in files]
        (tmp_path / "there/05.dat").write_bytes(b"newer")
        notes = {file.path: note for file, note in afterwards.remove_each(session, wanted, agreed)}
    assert {name for name, note in notes.items() if note} == {"05.dat"}
    assert names_of(tmp_path) == ["05.dat", "05.dat.done"]


def test_what_a_server_does_not_show_is_no_file_that_may_be_taken(tmp_path: Path) -> None:
    class ShowsNothing(Folder):
        def lstat(self, path: bytes) -> Any:
            raise Status(3, "")

    (tmp_path / "a.dat").write_bytes(b"content")
    with connected(tmp_path, ShowsNothing) as session:
        with closing(session.begin_reading("a.dat", size=7)) as reading:
            with pytest.raises(PermissionRefused):
                reading.look()
            with pytest.raises(AttemptError):
                session.stat_all(["a.dat", "b.dat"])
            assert session.alive
            assert b"".join(reading.pieces()) == b"content"
        assert session._wire._expected == {}, "nothing is waited for that nobody hears"
