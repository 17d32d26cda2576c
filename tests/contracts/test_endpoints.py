"""What every endpoint keeps (ports.Session), on a local folder and on SFTP servers of several makers."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from batchxfer.endpoints import local, sftp
from batchxfer.errors import AttemptError, DeadlineError, FolderMissing, ForeignFile, OwnershipLost
from batchxfer.ports import Endpoint, Session
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.partner import PASSWORD, serve
from tests.servers.vendors import Vendor, dropbear_fixture, proftpd_fixture  # noqa: F401

KIB, MIB = 1024, 1024 * 1024


@dataclass
class Place:
    """An endpoint, and the folder that its files end up in. ProFTPD tells of a link as if it were a file."""

    endpoint: Endpoint
    folder: Path
    remote: bool
    tells_links: bool = True


@pytest.fixture(params=["local", "openssh", "asyncssh", "proftpd", "dropbear"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    folder = tmp_path / "partner"
    folder.mkdir()
    if request.param == "local":
        options = local.Options.model_validate({"protocol": "local", "root": str(folder)})
        yield Place(local.Endpoint("archive", options, tmp_path), folder, remote=False)
    elif request.param in ("proftpd", "dropbear"):
        monkeypatch.setenv("PARTNER_PASSWORD", PASSWORD)
        vendor: Vendor = request.getfixturevalue(request.param)
        yield Place(vendor.endpoint(folder), folder, remote=True, tells_links=request.param == "dropbear")
    elif request.param == "openssh":
        server: OpenSSH = request.getfixturevalue("openssh")
        keys = {
            "protocol": "sftp",
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "private_key": str(server.private_key),
            "host_key": [server.host_key()],
            "root": str(folder),
        }
        yield Place(sftp.Endpoint("partner", sftp.Options.model_validate(keys), tmp_path), folder, remote=True)
    else:
        monkeypatch.setenv("PARTNER_PASSWORD", PASSWORD)
        with serve(folder) as partner:
            keys = {
                "protocol": "sftp",
                "host": partner.host,
                "port": partner.port,
                "user": partner.user,
                "password": {"env": "PARTNER_PASSWORD"},
                "host_key": [partner.fingerprint],
            }
            yield Place(sftp.Endpoint("partner", sftp.Options.model_validate(keys), tmp_path), folder, remote=True)


@pytest.fixture
def session(place: Place) -> Iterator[Session]:
    session = place.endpoint.connect()
    yield session
    session.close()


def put(session: Session, path: str, content: bytes = b"a|b\n", *, exclusive: bool = True) -> int:
    return session.upload(path, io.BytesIO(content), exclusive=exclusive)


@pytest.mark.parametrize("size", [0, 1, 32 * KIB, 255 * KIB, 255 * KIB + 1, 7 * MIB + 13])
def test_what_is_uploaded_arrives_byte_for_byte_and_reads_back(place: Place, session: Session, size: int) -> None:
    content = os.urandom(size)
    assert put(session, "a.psv", content) == size
    assert (place.folder / "a.psv").read_bytes() == content
    assert b"".join(session.read("a.psv")) == content


def test_an_upload_begins_where_the_content_stands(place: Place, session: Session) -> None:
    content = io.BytesIO(b"0123456789")
    content.seek(4)
    assert session.upload("a", content, exclusive=True) == 6
    assert (place.folder / "a").read_bytes() == b"456789"


def test_content_that_comes_in_odd_pieces_arrives_whole(place: Place, session: Session) -> None:
    class Trickle:
        def __init__(self) -> None:
            self.pieces = [bytes([number]) * number for number in range(255, 0, -1)]

        def read(self, size: int = -1, /) -> bytes:
            return self.pieces.pop() if self.pieces else b""

    expected = b"".join(bytes([number]) * number for number in range(1, 256))
    assert session.upload("a", Trickle(), exclusive=True) == len(expected)
    assert (place.folder / "a").read_bytes() == expected


def test_reading_may_begin_in_the_middle(session: Session) -> None:
    content = bytes(range(256)) * 4096
    put(session, "a", content)
    assert b"".join(session.read("a", offset=500_000)) == content[500_000:]
    assert b"".join(session.read("a", offset=len(content) + 5)) == b""


def test_a_reader_that_stops_early_does_not_disturb_what_comes_next(place: Place, session: Session) -> None:
    content = os.urandom(3 * MIB)
    put(session, "a", content)
    pieces = session.read("a")
    assert content.startswith(next(pieces))
    put(session, "b", b"between")
    pieces.close()  # type: ignore[attr-defined]
    assert hashlib.sha256(b"".join(session.read("a"))).digest() == hashlib.sha256(content).digest()
    assert (place.folder / "b").read_bytes() == b"between"


def test_files_that_were_begun_are_read_each_in_its_turn_whatever_comes_between(place: Place, session: Session) -> None:
    contents = {
        f"{number}": bytes([number]) * size for number, size in enumerate((0, 1, 10_000, 255 * KIB, 3 * MIB, 7))
    }
    for name, content in contents.items():
        put(session, name, content)
    readings = {name: session.begin_reading(name, size=len(content)) for name, content in contents.items()}
    readings["gone"] = session.begin_reading("gone", size=1)
    put(session, "between", b"12345")
    for name, content in contents.items():
        seen = readings[name].look()
        assert seen is not None
        assert (seen.kind, seen.size) == ("file", len(content))
        assert b"".join(readings[name].pieces()) == content
        assert readings[name].look_again() == seen
        readings[name].close()
        session.remove(name)
    assert readings["gone"].look() is None
    with pytest.raises(FolderMissing):
        list(readings["gone"].pieces())
    readings["gone"].close()
    readings["gone"].close()
    assert b"".join(session.read("between")) == b"12345"


def test_a_file_that_was_begun_may_be_read_anew_and_from_the_middle(session: Session) -> None:
    for size in (1000, 3 * MIB):
        content = os.urandom(size)
        put(session, f"{size}", content)
        reading = session.begin_reading(f"{size}", size=size)
        for offset in (0, 700, 0, size, size + 5, 700):
            assert b"".join(reading.pieces(offset)) == content[offset:]
        pieces = reading.pieces()
        assert content.startswith(next(pieces))
        pieces.close()  # type: ignore[attr-defined]
        assert b"".join(reading.pieces()) == content
        assert reading.look_again() == session.stat(f"{size}")
        reading.close()


@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("told", [0, 1, 999, 1001, 5 * MIB])
def test_a_file_of_another_size_than_it_was_begun_with_is_read_to_its_end(
    session: Session, told: int, size: int
) -> None:
    content = os.urandom(size)
    put(session, "a", content)
    reading = session.begin_reading("a", size=told)
    seen = reading.look()
    assert seen is not None
    assert seen.size == size
    assert b"".join(reading.pieces()) == content
    reading.close()


def test_what_was_begun_and_is_not_wanted_leaves_nothing_open(place: Place, session: Session) -> None:
    put(session, "a")
    for _ in range(300):
        session.begin_reading("a", size=4).close()
    readings = [session.begin_reading("a", size=4) for _ in range(20)]
    assert b"".join(readings[0].pieces()) == b"a|b\n"
    for reading in readings:
        reading.close()
    assert session.stat("a") is not None


def test_many_names_are_looked_at_in_their_order(place: Place, session: Session) -> None:
    names = [f"{number}" for number in range(100)]
    for name in names[::2]:
        (place.folder / name).write_bytes(bytes(int(name)))
    seen = session.stat_all([*names, "no/folder/a"])
    assert [stat and stat.size for stat in seen] == [*(None if n % 2 else n for n in range(100)), None]
    assert session.stat_all([]) == []


def test_many_files_are_removed_and_those_that_are_not_there_are_no_error(place: Place, session: Session) -> None:
    for number in range(0, 100, 2):
        (place.folder / f"{number}").touch()
    (place.folder / "stays").touch()
    session.remove_all([f"{number}" for number in range(100)])
    session.remove_all([])
    assert [path.name for path in place.folder.iterdir()] == ["stays"]


def test_a_removal_of_many_that_is_refused_is_told_and_the_session_goes_on(place: Place, session: Session) -> None:
    (place.folder / "a").touch()
    (place.folder / "folder").mkdir()
    with pytest.raises(AttemptError, match="cannot remove"):
        session.remove_all(["folder", "a"])
    session.remove("a")
    assert [path.name for path in place.folder.iterdir()] == ["folder"]


def test_an_exclusive_upload_refuses_a_name_that_exists_and_leaves_it(place: Place, session: Session) -> None:
    (place.folder / "a").write_bytes(b"theirs")
    with pytest.raises(ForeignFile, match="there already"):
        put(session, "a", b"ours")
    assert (place.folder / "a").read_bytes() == b"theirs"
    assert session.alive


def test_an_exclusive_upload_does_not_write_through_a_link(place: Place, session: Session) -> None:
    (place.folder / "a").symlink_to(place.folder / "elsewhere")
    with pytest.raises(ForeignFile):
        put(session, "a", b"ours")
    assert not (place.folder / "elsewhere").exists()


def test_an_upload_that_is_not_exclusive_leaves_no_byte_of_what_was_there(place: Place, session: Session) -> None:
    (place.folder / "a").write_bytes(b"a longer text than the new one")
    put(session, "a", b"short", exclusive=False)
    assert (place.folder / "a").read_bytes() == b"short"


def test_created_is_called_when_the_file_is_there_and_still_empty(place: Place, session: Session) -> None:
    seen = []
    session.upload(
        "a", io.BytesIO(b"content"), exclusive=True, created=lambda: seen.append((place.folder / "a").stat().st_size)
    )
    assert seen == [0]


def test_a_lost_run_stops_an_upload_and_the_session_goes_on(place: Place, session: Session) -> None:
    def lost() -> None:
        raise OwnershipLost("another worker owns the run now")

    with pytest.raises(OwnershipLost):
        session.upload("a", io.BytesIO(b"content"), exclusive=True, created=lost)
    put(session, "b", b"next")
    assert (place.folder / "b").read_bytes() == b"next"


def test_progress_tells_the_bytes_so_far_and_ends_at_the_size(session: Session) -> None:
    told: list[int] = []
    session.upload("a", io.BytesIO(bytes(3 * MIB + 1)), exclusive=True, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 3 * MIB + 1


def test_stat_says_what_is_at_a_name_and_does_not_follow_links(place: Place, session: Session) -> None:
    put(session, "a", b"12345")
    (place.folder / "folder").mkdir()
    (place.folder / "link").symlink_to(place.folder / "a")
    file = session.stat("a")
    assert file is not None
    assert (file.size, file.kind) == (5, "file")
    assert file.modified is not None
    assert file.modified.tzinfo is not None
    link = "link" if place.tells_links else "file"
    assert [stat.kind for name in ("folder", "link") if (stat := session.stat(name))] == ["folder", link]


def test_stat_is_none_where_nothing_is(session: Session) -> None:
    assert session.stat("a") is None
    assert session.stat("no/folder/a") is None


def test_rename_gives_the_new_name_and_takes_the_old(place: Place, session: Session) -> None:
    put(session, ".a.part", b"x")
    session.rename(".a.part", "a")
    assert [path.name for path in place.folder.iterdir()] == ["a"]


def test_rename_refuses_a_name_that_exists_and_changes_nothing(place: Place, session: Session) -> None:
    put(session, ".a.part", b"ours")
    (place.folder / "a").write_bytes(b"theirs")
    with pytest.raises(ForeignFile, match="exists already"):
        session.rename(".a.part", "a")
    assert (place.folder / "a").read_bytes() == b"theirs"
    assert (place.folder / ".a.part").read_bytes() == b"ours"
    assert session.alive


def test_rename_refuses_a_link_that_leads_nowhere(place: Place, session: Session) -> None:
    put(session, ".a.part", b"ours")
    (place.folder / "a").symlink_to(place.folder / "nothing")
    with pytest.raises(ForeignFile):
        session.rename(".a.part", "a")


def test_rename_of_what_is_not_there_is_a_missing_folder(session: Session) -> None:
    with pytest.raises(FolderMissing):
        session.rename("nothing", "a")
    assert session.alive


def test_replace_puts_a_file_over_another(place: Place, session: Session) -> None:
    put(session, ".a.part", b"new")
    (place.folder / "a").write_bytes(b"old")
    session.replace(".a.part", "a")
    assert {path.name: path.read_bytes() for path in place.folder.iterdir()} == {"a": b"new"}


def test_remove_takes_a_file_away_and_nothing_there_is_no_error(place: Place, session: Session) -> None:
    put(session, "a")
    session.remove("a")
    session.remove("a")
    session.remove("no/folder/a")
    assert list(place.folder.iterdir()) == []


def test_make_folder_makes_one_and_one_that_is_there_is_no_error(place: Place, session: Session) -> None:
    session.make_folder("2026")
    session.make_folder("2026")
    session.make_folder("2026/11")
    assert (place.folder / "2026" / "11").is_dir()
    with pytest.raises(FolderMissing):
        session.make_folder("2025/11")


def test_make_folder_where_a_file_is_says_so(place: Place, session: Session) -> None:
    (place.folder / "2026").write_bytes(b"")
    with pytest.raises(AttemptError, match="2026"):
        session.make_folder("2026")


def test_an_upload_into_a_folder_that_is_missing_is_permanent_and_names_the_path(session: Session) -> None:
    with pytest.raises(FolderMissing, match=r"no/such/a\.psv"):
        put(session, "no/such/a.psv")
    assert session.alive


def test_names_that_are_hostile_or_not_utf8_do_not_break_a_listing(place: Place, session: Session) -> None:
    names = {b"a.psv", b"new\nline", b"caf\xe9", b"\xff\xfe", "한글".encode(), b"..hidden", b"-rf *"}
    for name in names:
        (Path(os.fsdecode(bytes(place.folder) + b"/" + name))).write_bytes(b"1234")
    entries = list(session.list("."))
    assert {os.fsencode(entry.name) for entry in entries} == names
    assert {entry.stat.size for entry in entries} == {4}
    assert b"".join(session.read(os.fsdecode(b"caf\xe9"))) == b"1234"


def test_a_long_listing_is_complete_and_may_be_left_early(place: Place, session: Session) -> None:
    for number in range(500):
        (place.folder / f"file-{number:04}").touch()
    assert len({entry.name for entry in session.list(".")}) == 500
    entries = session.list(".")
    next(entries)
    entries.close()  # type: ignore[attr-defined]
    assert session.stat("file-0000") is not None


def test_listing_a_folder_that_is_missing_is_permanent(session: Session) -> None:
    with pytest.raises(FolderMissing):
        list(session.list("nothing"))


def test_the_deadline_ends_an_attempt_and_begins_anew_with_the_next(place: Place) -> None:
    endpoint = place.endpoint
    options = endpoint._options.model_copy(update={"deadline": timedelta(seconds=0.6)})
    session = type(endpoint)(endpoint._name, options, place.folder).connect()

    class Endless:
        def read(self, size: int = -1, /) -> bytes:
            time.sleep(0.02)
            return bytes(1000)

    try:
        with pytest.raises(DeadlineError, match=r"deadline of 0\.6s"):
            session.upload("a", Endless(), exclusive=True)
        assert not session.alive
    finally:
        session.close()


def test_an_idle_session_outlives_the_deadline_once_its_attempt_ended(place: Place) -> None:
    options = place.endpoint._options.model_copy(
        update={"deadline": timedelta(seconds=0.4), "stall_timeout": timedelta(seconds=0.4)}
    )
    session = type(place.endpoint)(place.endpoint._name, options, place.folder).connect()
    try:
        session.end_attempt()
        time.sleep(0.6)
        assert session.alive
        session.begin_attempt()
        assert session.stat("a") is None
    finally:
        session.close()


def test_describe_says_what_the_endpoint_can_do(session: Session) -> None:
    said = session.describe()
    assert said["posix_rename"] is True
    assert said["exclusive_create"] is True


def test_a_closed_session_is_not_alive_and_says_so(session: Session) -> None:
    session.close()
    session.close()
    assert not session.alive
    with pytest.raises(AttemptError):
        session.stat("a")


def test_one_session_serves_several_files(place: Place, session: Session) -> None:
    for number in range(5):
        session.begin_attempt()
        put(session, f".{number}.part", bytes([number]) * 100_000)
        session.rename(f".{number}.part", f"{number}")
        session.end_attempt()
    assert sorted(path.name for path in place.folder.iterdir()) == ["0", "1", "2", "3", "4"]
