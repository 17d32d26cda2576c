"""A server that says no, in any of the ways in which servers do: never taken for a yes, never without its reason."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from batchxfer.endpoints.sftp import connecting
from batchxfer.endpoints.sftp.packets import Stream
from batchxfer.errors import (
    AttemptError,
    FolderMissing,
    ForeignFile,
    NetworkError,
    NotSupported,
    PermissionRefused,
    ServerError,
)
from batchxfer.ports import Session
from tests.servers import faults
from tests.servers.endpoints import PASSWORD_VARIABLE, to_partner
from tests.servers.partner import PASSWORD, Folder, Partner, serve

PIECE = 255 * 1024


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


@pytest.fixture(params=[False, True], ids=["any order", "in order"])
def in_order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A server that is taken for OpenSSH gets the close with the last write."""
    if request.param:
        monkeypatch.setattr(connecting, "IN_ORDER", "SSH-2.0-")
    return bool(request.param)


@contextmanager
def connected(root: Path, fault: type[Folder], **keys: Any) -> Iterator[tuple[Partner, Session]]:
    with serve(root, fault) as partner:
        session = to_partner(partner, **keys).connect()
        try:
            yield partner, session
        finally:
            session.close()


def put(session: Session, path: str = "a.part", content: bytes = b"content") -> int:
    return session.upload(path, io.BytesIO(content), exclusive=True)


@pytest.mark.parametrize("refused", [1, 2, 15, 16, 17, 39, 40])
@pytest.mark.usefixtures("in_order")
def test_a_refused_write_is_never_reported_as_delivered(tmp_path: Path, refused: int) -> None:
    class RefusesNth(faults.RefusesOneWrite):
        nth = refused

    with connected(tmp_path, RefusesNth) as (partner, session):
        with pytest.raises(ServerError, match=r"endpoint 'partner': cannot write a\.part: failure \(status 4: no\)"):
            put(session, content=os.urandom(40 * PIECE))
        assert session.alive
        session.remove("a.part")
        assert partner.names() == []


@pytest.mark.parametrize(
    ("code", "error", "meaning"),
    [
        (1, ServerError, "end of file"),
        (2, ServerError, "no such file"),
        (3, PermissionRefused, "permission denied"),
        (4, ServerError, "failure"),
        (5, ServerError, "bad message"),
        (6, NetworkError, "no connection"),
        (7, NetworkError, "connection lost"),
        (8, NotSupported, "operation not supported"),
        (11, ServerError, "the file exists already"),
        (14, ServerError, "no space left on the server"),
        (15, ServerError, "quota exceeded"),
        (99, ServerError, "unknown status"),
    ],
)
def test_the_status_of_a_refusal_decides_and_is_told(
    tmp_path: Path, code: int, error: type[AttemptError], meaning: str
) -> None:
    status = code

    class Refuses(faults.RefusesOneWrite):
        code = status

    with connected(tmp_path, Refuses) as (_, session):
        with pytest.raises(AttemptError, match=rf"{meaning} \(status {code}: no\)") as raised:
            put(session)
        assert type(raised.value) is error


@pytest.mark.parametrize(
    ("code", "error"),
    [(2, FolderMissing), (10, FolderMissing), (11, ForeignFile), (3, PermissionRefused), (20, NotSupported)],
)
def test_what_a_status_says_of_a_name_counts_where_a_name_was_given(
    tmp_path: Path, code: int, error: type[AttemptError]
) -> None:
    status = code

    class Refuses(Folder):
        def open(self, path: bytes, pflags: int, attrs: Any) -> object:
            raise faults.Status(status, "no")

    with connected(tmp_path, Refuses) as (_, session):
        with pytest.raises(AttemptError) as raised:
            put(session)
        assert type(raised.value) is error


def test_where_the_folder_is_missing_it_is_the_folder_that_is_said_to_be(tmp_path: Path) -> None:
    with connected(tmp_path, Folder) as (_, session):
        with pytest.raises(
            FolderMissing, match=r"cannot write in/a\.part: its folder is not there: no such file \(status 2"
        ):
            put(session, "in/a.part")
        with pytest.raises(FolderMissing, match=r"cannot read a\.csv: no such file"):
            list(session.read("a.csv"))


@pytest.mark.parametrize("code", [14, 15, 4])
def test_a_full_disk_is_transient_and_says_so_as_the_server_does(tmp_path: Path, code: int) -> None:
    status = code

    class Full(faults.DiskFull):
        code = status

    with (
        connected(tmp_path, Full) as (_, session),
        pytest.raises(ServerError, match=rf"status {code}: No space left on device"),
    ):
        put(session, content=os.urandom(3 * PIECE))


@pytest.mark.usefixtures("in_order")
def test_a_refused_close_is_never_reported_as_delivered(tmp_path: Path) -> None:
    with (
        connected(tmp_path, faults.RefusesClose) as (_, session),
        pytest.raises(ServerError, match=r"cannot write a\.part: failure \(status 4: Input/output error\)"),
    ):
        put(session, content=b"")


@pytest.mark.usefixtures("in_order")
def test_after_a_permanent_refusal_the_session_goes_on(tmp_path: Path) -> None:
    class Refuses(faults.RefusesOneWrite):
        code = 3
        nth = 2

    with connected(tmp_path, Refuses) as (partner, session):
        with pytest.raises(PermissionRefused):
            put(session, content=os.urandom(20 * PIECE))
        session.remove("a.part")
        put(session, "b", b"next")
        assert partner.names() == ["b"]
        assert partner.file("b") == b"next"


@pytest.mark.usefixtures("in_order")
def test_a_size_that_is_wrong_is_told_as_the_server_tells_it(tmp_path: Path) -> None:
    with connected(tmp_path, faults.StatLies) as (_, session):
        put(session)
        stat = session.stat("a.part")
        assert stat is not None
        assert stat.size == len(b"content") - 1


def test_a_forbidden_rename_is_permanent_and_names_both_paths(tmp_path: Path) -> None:
    with connected(tmp_path, faults.RenameRefused) as (partner, session):
        put(session)
        with pytest.raises(
            PermissionRefused,
            match=r"^endpoint 'partner': cannot rename a\.part to a: permission denied \(status 3\)$",
        ) as raised:
            session.rename("a.part", "a")
        assert raised.value.hint
        assert partner.names() == ["a.part"]
        assert session.alive


def test_a_server_without_rename_is_told_what_to_set(tmp_path: Path) -> None:
    class NoRename(faults.RenameRefused):
        code = 8

    with connected(tmp_path, NoRename) as (_, session):
        put(session)
        with pytest.raises(NotSupported) as raised:
            session.rename("a.part", "a")
        assert "publish = 'direct'" in (raised.value.hint or "")


def test_a_rename_that_was_done_and_reported_as_failed_is_not_taken_for_a_foreign_file(tmp_path: Path) -> None:
    with connected(tmp_path, faults.RenameRefusedButDone) as (_, session):
        put(session)
        with pytest.raises(ServerError):
            session.rename("a.part", "a")


def test_a_server_whose_rename_overwrites_is_asked_before(tmp_path: Path) -> None:
    with connected(tmp_path, faults.RenameOverwrites) as (partner, session):
        put(session)
        (tmp_path / "a").write_bytes(b"theirs")
        with pytest.raises(ForeignFile):
            session.rename("a.part", "a")
        assert partner.file("a") == b"theirs"


@pytest.mark.parametrize("code", [3, 4, 11])
def test_a_name_taken_between_look_and_rename_is_a_foreign_file_whatever_the_status(tmp_path: Path, code: int) -> None:
    status = code

    class Faster(faults.SomebodyIsFaster):
        code = status

    with connected(tmp_path, Faster) as (partner, session):
        put(session)
        with pytest.raises(ForeignFile):
            session.rename("a.part", "a")
        assert partner.file("a") == b"theirs"
        assert session.alive


def test_a_server_without_posix_rename_is_not_made_to_replace_by_other_means(tmp_path: Path) -> None:
    with faults.NoExtensions(), connected(tmp_path, Folder) as (partner, session):
        put(session)
        (tmp_path / "a").write_bytes(b"old")
        with pytest.raises(NotSupported, match=r"posix-rename@openssh\.com") as raised:
            session.replace("a.part", "a")
        assert "on_exists" in (raised.value.hint or "")
        assert partner.file("a") == b"old"
        assert partner.names() == ["a", "a.part"]


def test_a_server_without_extensions_gets_pieces_of_32_kib(tmp_path: Path) -> None:
    sizes: set[int] = set()

    class Measures(Folder):
        def write(self, file_obj: Any, offset: int, data: bytes) -> int:
            sizes.add(len(data))
            return super().write(file_obj, offset, data)

    content = os.urandom(10 * 32 * 1024)
    with faults.NoExtensions(), connected(tmp_path, Measures) as (partner, session):
        put(session, content=content)
        assert session.describe()["write_bytes"] == 32 * 1024
        assert b"".join(session.read("a.part")) == content
        assert partner.file("a.part") == content
    assert sizes == {32 * 1024}


def test_no_attribute_is_ever_set(tmp_path: Path) -> None:
    with connected(tmp_path, faults.NoSetstat) as (partner, session):
        put(session)
        session.make_folder("f")
        session.rename("a.part", "f/a")
        assert partner.file("f/a") == b"content"


@pytest.mark.parametrize("fault", [faults.ReorderedReplies, faults.ShortReads])
def test_replies_out_of_order_or_short_give_the_same_bytes(tmp_path: Path, fault: type[Folder]) -> None:
    content = os.urandom(9 * PIECE + 17)
    with connected(tmp_path, fault) as (partner, session):
        put(session, content=content)
        assert partner.file("a.part") == content
        assert b"".join(session.read("a.part")) == content


def test_a_write_only_mailbox_takes_a_file_and_its_rename(tmp_path: Path) -> None:
    with connected(tmp_path, faults.WriteOnlyMailbox) as (partner, session):
        put(session)
        with pytest.raises(PermissionRefused):
            session.stat("a.part")
        session.rename("a.part", "a")
        with pytest.raises(PermissionRefused):
            list(session.read("a"))
        assert session.alive
        assert partner.names() == ["a"]


class LooksTooEarly(Folder):
    """The first look at a name sees what was there before the last change, as of a server that does many things at a time."""

    before: dict[bytes, Any]

    def lstat(self, path: bytes) -> Any:
        early = self.before.pop(path.rpartition(b"/")[2], None)
        if early == 0:
            raise faults.Status(2, "not yet")
        return asyncssh.SFTPAttrs(size=early) if early else super().lstat(path)


@pytest.mark.usefixtures("in_order")
@pytest.mark.parametrize("early", [0, 3])
def test_a_look_that_overtakes_the_close_is_repeated(tmp_path: Path, early: int) -> None:
    class Looks(LooksTooEarly):
        before = {b"a.part": early}  # noqa: RUF012

    with connected(tmp_path, Looks) as (_, session):
        put(session)
        stat = session.stat("a.part")
        assert stat is not None
        assert stat.size == len(b"content")
        assert Looks.before == {}


def test_another_server_behind_opensshs_sshd_is_looked_at_before_a_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySecureShell, whose rename overwrites; the greeting is OpenSSH's."""
    monkeypatch.setattr(connecting, "IN_ORDER", "SSH-2.0-")
    with faults.NoExtensions(), connected(tmp_path, faults.RenameOverwrites) as (partner, session):
        put(session)
        (tmp_path / "a").write_bytes(b"theirs")
        with pytest.raises(ForeignFile):
            session.rename("a.part", "a")
        assert (partner.file("a"), partner.file("a.part")) == (b"theirs", b"content")


def test_a_look_that_overtakes_a_rename_is_repeated(tmp_path: Path) -> None:
    class Looks(LooksTooEarly):
        before: dict[bytes, Any] = {}  # noqa: RUF012

    with connected(tmp_path, Looks) as (_, session):
        put(session)
        Looks.before[b"a.part"] = 7
        session.rename("a.part", "a")
        assert session.stat("a.part") is None
        assert Looks.before == {}


def test_a_close_waits_for_the_writes_where_it_could_overtake_them(
    tmp_path: Path, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = Stream.send

    def counted(stream: Stream, data: memoryview) -> int:
        sent.append(len(data))
        return send(stream, data)

    with connected(tmp_path, Folder) as (_, session):
        monkeypatch.setattr(Stream, "send", counted)
        put(session)
        assert len(sent) == (2 if in_order else 3)


def test_a_look_is_not_remembered_beyond_the_next_request(tmp_path: Path) -> None:
    """What was seen with the close, or the rename, says nothing of later."""
    with connected(tmp_path, Folder) as (_, session):
        put(session)
        session.stat("other")
        (tmp_path / "a.part").write_bytes(b"grown, and more")
        stat = session.stat("a.part")
        assert stat is not None
        assert stat.size == 15
        session.rename("a.part", "a")
        session.stat("a")
        (tmp_path / "a.part").write_bytes(b"again")
        assert session.stat("a.part") is not None


@pytest.mark.parametrize("code", [5, 8])
def test_a_server_without_exclusive_create_takes_a_new_name_and_keeps_an_old_one(tmp_path: Path, code: int) -> None:
    status = code

    class Without(faults.NoExclusiveCreate):
        code = status

    with connected(tmp_path, Without) as (partner, session):
        put(session, "new")
        (tmp_path / "old").write_bytes(b"theirs")
        with pytest.raises(ForeignFile):
            put(session, "old")
        assert partner.file("new") == b"content"
        assert partner.file("old") == b"theirs"
        assert session.describe()["exclusive_create"] is False


def test_an_exclusive_create_that_fails_for_another_reason_is_not_tried_without(tmp_path: Path) -> None:
    class Fails(faults.NoExclusiveCreate):
        code = 4

    with connected(tmp_path, Fails) as (partner, session):
        with pytest.raises(ServerError):
            put(session)
        assert partner.names() == []


def test_a_server_without_lstat_is_looked_at_with_stat(tmp_path: Path) -> None:
    with connected(tmp_path, faults.NoLstat) as (_, session):
        put(session)
        session.rename("a.part", "a")
        stat = session.stat("a")
        assert stat is not None
        assert stat.size == 7
        assert session.stat("a.part") is None


def test_a_file_that_is_taken_at_once_is_seen_as_gone(tmp_path: Path) -> None:
    with connected(tmp_path, faults.TakesFilesAtOnce) as (_, session):
        put(session)
        session.rename("a.part", "a")
        assert session.stat("a") is None


def test_what_a_server_says_cannot_steer_a_terminal(tmp_path: Path) -> None:
    class Rude(faults.RefusesOneWrite):
        def write(self, file_obj: Any, offset: int, data: bytes) -> int:
            raise faults.Status(4, "\x1b[2Jok\r\ndelivered" + "x" * 5000)

    with connected(tmp_path, Rude) as (_, session):
        with pytest.raises(ServerError) as raised:
            put(session, "a\nb")
        assert "\x1b" not in str(raised.value)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 400
