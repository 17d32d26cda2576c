"""A file that changes while it is fetched is never taken in part; what a broken line left is gone on with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from batchxfer import afterwards, pull
from batchxfer.endpoints.local import Endpoint as LocalEndpoint
from batchxfer.endpoints.local import Options as LocalOptions
from batchxfer.errors import AttemptError, NetworkError, ServerError
from batchxfer.inbox import Arrival
from batchxfer.model import FetchedFile
from batchxfer.ports import Session
from tests.servers.endpoints import PASSWORD_VARIABLE, to_openssh, to_partner
from tests.servers.faults import ReorderedReplies, ShortReads, StatLies
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.partner import PASSWORD, Folder, serve

SIZE = 300_000
CONTENT = bytes(range(256)) * (SIZE // 256) + b"the end" * 10
DIGEST = hashlib.sha256(CONTENT).hexdigest()
AGREED = pull.Agreement(glob="box/*.dat", max_bytes=1 << 40)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


def seen(session: Session, path: str = "box/a.dat") -> FetchedFile:
    stat = session.stat(path)
    assert stat is not None
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return FetchedFile(
        id="F1",
        file="F1",
        run="R1",
        revision=1,
        job="rates",
        endpoint="partner",
        path=path,
        size=stat.size,
        modified=stat.modified,
        seen_at=now,
    )


def fetched(session: Session, file: FetchedFile, target: Path, **options: Any) -> Arrival:
    arrival = Arrival(target, file.id)
    with closing(pull.begin_reading(session, file)) as reading:
        pull.fetch(session, "endpoint 'partner'", file, AGREED, arrival, reading, **options)
    return arrival


def here(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def box(tmp_path: Path) -> Path:
    box = tmp_path / "there/box"
    box.mkdir(parents=True)
    (box / "a.dat").write_bytes(CONTENT)
    return box


@pytest.fixture(params=["local", "openssh", "asyncssh"])
def session(request: pytest.FixtureRequest, box: Path) -> Iterator[Session]:
    root = box.parent
    if request.param == "local":
        options = LocalOptions.model_validate({"protocol": "local", "root": str(root)})
        session = LocalEndpoint("partner", options, root).connect()
        yield session
        session.close()
    elif request.param == "openssh":
        openssh: OpenSSH = request.getfixturevalue("openssh")
        session = to_openssh(openssh, root).connect()
        yield session
        session.close()
    else:
        with serve(root) as partner:
            session = to_partner(partner).connect()
            yield session
            session.close()


def test_the_bytes_come_whole(session: Session, tmp_path: Path) -> None:
    arrival = fetched(session, seen(session), tmp_path / "in/a.dat")
    assert arrival.sha256 == DIGEST
    assert arrival.accept(lambda name: None).read_bytes() == CONTENT


def grows(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrinks(path: Path) -> None:
    os.truncate(path, SIZE // 2)


def is_replaced(path: Path) -> None:
    path.with_name("new").write_bytes(CONTENT[::-1])
    os.utime(path.with_name("new"), (1_000_000_000, 1_000_000_000))
    path.with_name("new").rename(path)


def is_touched(path: Path) -> None:
    os.utime(path, (1_000_000_000, 1_000_000_000))


def vanishes(path: Path) -> None:
    path.unlink()


def becomes_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


CHANGES: list[Callable[[Path], None]] = [grows, shrinks, is_replaced, is_touched, vanishes, becomes_a_link]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_before_it_is_fetched_is_not_taken(
    session: Session, box: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    file = seen(session)
    change(box / "a.dat")
    with pytest.raises(pull.Changed):
        fetched(session, file, tmp_path / "in/a.dat")
    assert here(tmp_path / "in") == []


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_while_it_is_fetched_is_not_taken(
    session: Session, box: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    file, changed = seen(session), []

    def once(done: int) -> None:
        if not changed:
            changed.append(done)
            change(box / "a.dat")

    with pytest.raises(AttemptError):
        fetched(session, file, tmp_path / "in/a.dat", progress=once)
    assert changed
    assert here(tmp_path / "in") == []


def test_what_is_announced_too_small_is_not_taken(box: Path, tmp_path: Path) -> None:
    with serve(box.parent, StatLies) as partner:
        session = to_partner(partner).connect()
        with pytest.raises(pull.Changed, match="is longer than the"):
            fetched(session, seen(session), tmp_path / "in/a.dat")
        session.close()
    assert here(tmp_path / "in") == []


@pytest.mark.parametrize("behaviour", [ShortReads, ReorderedReplies])
def test_replies_may_be_short_and_come_in_any_order(box: Path, tmp_path: Path, behaviour: type[Folder]) -> None:
    with serve(box.parent, behaviour) as partner:
        session = to_partner(partner).connect()
        assert fetched(session, seen(session), tmp_path / "in/a.dat").sha256 == DIGEST
        session.close()


class DropsMidRead(Folder):
    """The line breaks at a place in the file, the first time."""

    offset = 100_000
    dropped = False

    def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        if offset >= self.offset and not type(self).dropped:
            type(self).dropped = True
            self.cut()
        type(self).first = min(getattr(type(self), "first", offset), offset)
        return super().read(file_obj, offset, size)


def broken_off(box: Path, target: Path) -> FetchedFile:
    class Drops(DropsMidRead):
        pass

    with serve(box.parent, Drops) as partner:
        session = to_partner(partner).connect()
        file = seen(session)
        with pytest.raises(NetworkError):
            fetched(session, file, target)
        session.close()
    return file


def test_a_broken_line_is_gone_on_with(box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchxfer.inbox.OVERLAP_BYTES", 1000)
    file = broken_off(box, tmp_path / "in/a.dat")
    (kept,) = here(tmp_path / "in")
    size = (tmp_path / "in" / kept).stat().st_size
    assert kept.endswith(".kept")
    assert size > 1000
    offsets: list[int] = []

    class Counts(Folder):
        def read(self, file_obj: Any, offset: int, size: int) -> bytes:
            offsets.append(offset)
            return super().read(file_obj, offset, size)

    with serve(box.parent, Counts) as partner:
        session = to_partner(partner).connect()
        arrival = fetched(session, file, tmp_path / "in/a.dat")
        session.close()
    assert min(offsets) == size - 1000
    assert arrival.sha256 == DIGEST
    assert arrival.accept(lambda name: None).read_bytes() == CONTENT
    assert here(tmp_path / "in") == ["a.dat"]


def test_what_is_here_and_is_not_the_beginning_of_what_is_there_is_fetched_anew(box: Path, tmp_path: Path) -> None:
    file = broken_off(box, tmp_path / "in/a.dat")
    (kept,) = (tmp_path / "in").iterdir()
    kept.write_bytes(bytes(len(kept.read_bytes())))
    with serve(box.parent) as partner:
        session = to_partner(partner).connect()
        assert fetched(session, file, tmp_path / "in/a.dat").sha256 == DIGEST
        session.close()


class Hostile(Folder):
    """Lists what no file system would."""

    names = (b"../../../etc/x.dat", b"/etc/passwd.dat", b"..", b"a\0b.dat", b"x" * 4000 + b".dat", b"\xff\xfe.dat")

    async def scandir(self, path: bytes) -> Any:
        attrs = asyncssh.SFTPAttrs(size=10, permissions=0o100644, atime=1, mtime=1, type=asyncssh.FILEXFER_TYPE_REGULAR)
        for number in range(500):
            name = self.names[number % len(self.names)] + (b"" if number < 6 else b"%d.dat" % number)
            yield asyncssh.SFTPName(name, attrs=attrs)
        huge = asyncssh.SFTPAttrs(size=10**15, permissions=0o100644, atime=1, mtime=1)
        yield asyncssh.SFTPName(b"huge.dat", attrs=huge)
        async for entry in super().scandir(path):
            yield entry


def test_five_hundred_hostile_names_keep_no_good_file_from_being_seen(box: Path) -> None:
    agreed = pull.Agreement(glob="box/*.dat", max_bytes=1 << 30)
    with serve(box.parent, Hostile) as partner:
        session = to_partner(partner).connect()
        found = pull.look(session, agreed)
        session.close()
    assert list(found.files) == ["box/a.dat"]
    # What begins with a dot is not meant, the rest is told.
    assert len(found.refused) > 300
    assert all(file.path.isprintable() and len(file.path) <= 210 for file in found.refused)
    assert [file.refused for file in found.refused if file.path == "box/huge.dat"] == [
        "1,000,000,000,000,000 bytes are more than max_bytes = 1,073,741,824"
    ]


def test_a_folder_that_is_not_there_holds_nothing(session: Session) -> None:
    assert pull.look(session, pull.Agreement(glob="other/20261123/*.dat", max_bytes=10)).files == {}


def test_a_pattern_may_stand_in_the_folders_too(session: Session, box: Path) -> None:
    for name in ("x1/in/a.dat", "x2/in/b.dat", "y/in/c.dat", "x3/out/d.dat"):
        (box / name).parent.mkdir(parents=True)
        (box / name).write_bytes(b"1")
    (box / "x4").symlink_to("/etc")
    found = pull.look(session, pull.Agreement(glob="box/x?/in/*.dat", max_bytes=10))
    assert list(found.files) == ["box/x1/in/a.dat", "box/x2/in/b.dat"]


def move(
    session: Session, file: FetchedFile, target: str, given: int | None, intend: Callable[[Any], None]
) -> str | None:
    moving = afterwards.Move(file=file, target=target, given_folders=given)
    ((_, note),) = afterwards.move_each(session, "endpoint", [moving], AGREED, intend)
    return note


def test_a_moved_file_is_found_again_after_a_lost_reply(session: Session, box: Path) -> None:
    file = seen(session)
    (box / "old").mkdir()
    (box / "a.dat").rename(box / "old/a.dat")
    moved = replace(file, moved_to="box/old/a.dat")
    intended: list[str] = []
    assert move(session, moved, "box/old/a.dat", None, intended.append) is None
    assert intended == []


def test_a_newer_version_is_neither_removed_nor_moved(session: Session, box: Path) -> None:
    file = seen(session)
    (box / "a.dat").write_bytes(b"newer")
    note = "a newer version is in its place, and was left there"
    assert list(afterwards.remove_each(session, [file], AGREED)) == [(file, note)]
    assert move(session, file, "box/old/a.dat", 0, lambda names: None) == note
    assert (box / "a.dat").read_bytes() == b"newer"


def test_an_error_of_the_server_is_no_end_of_the_file(box: Path, tmp_path: Path) -> None:
    class Fails(Folder):
        def read(self, file_obj: Any, offset: int, size: int) -> bytes:
            if offset >= 100_000:
                raise asyncssh.SFTPFailure("no")
            return super().read(file_obj, offset, size)

    with serve(box.parent, Fails) as partner:
        session = to_partner(partner).connect()
        with pytest.raises(ServerError):
            fetched(session, seen(session), tmp_path / "in/a.dat")
        session.close()
    assert here(tmp_path / "in") == []
