"""What a local folder keeps beyond the common contract: modes, durability, links, full disks."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchxfer import writeback
from batchxfer.endpoints import local
from batchxfer.errors import FolderMissing, ForeignFile, NotSupported, PermissionRefused, StorageError


def endpoint(root: Path, **keys: object) -> local.Endpoint:
    options = local.Options.model_validate({"protocol": "local", "root": str(root), **keys})
    return local.Endpoint("archive", options, root)


@pytest.fixture(params=[0o022, 0o077, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def put(session: local.LocalSession, path: str, content: bytes = b"x") -> None:
    session.upload(path, io.BytesIO(content), exclusive=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("keys", "file", "folder"),
    [({}, 0o600, 0o700), ({"mode": "0640"}, 0o640, 0o750), ({"mode": "664"}, 0o664, 0o775)],
)
@pytest.mark.usefixtures("umask")
def test_the_mode_is_the_endpoints_whatever_the_umask(
    tmp_path: Path, keys: dict[str, object], file: int, folder: int
) -> None:
    session = endpoint(tmp_path, **keys).connect()
    session.make_folder("d")
    put(session, "d/a")
    assert (mode(tmp_path / "d" / "a"), mode(tmp_path / "d")) == (file, folder)


@pytest.mark.parametrize("text", ["", "rw", "0o640", "888", "4755", "00640", "٦٤٠"])
def test_what_is_not_a_mode_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        local.Options.model_validate({"protocol": "local", "root": ".", "mode": text})


def test_a_root_is_required() -> None:
    with pytest.raises(ValueError, match="root"):
        local.Options.model_validate({"protocol": "local"})


def test_a_root_is_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    options = local.Options.model_validate({"protocol": "local", "root": "out"})
    session = local.Endpoint("archive", options, tmp_path).connect()
    put(session, "a")
    assert (tmp_path / "out" / "a").exists()


def test_what_the_disk_refuses_while_a_file_is_copied_is_not_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again, the system would say that all is well."""

    def refuses(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(writeback, "WORTH_BYTES", 1)
    monkeypatch.setattr(writeback, "_make_durable", refuses)
    session = endpoint(tmp_path).connect()
    with pytest.raises(StorageError, match="Input/output error"):
        put(session, "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../a", "d/../../a", "/etc/a", "d/.."])
def test_a_path_that_leads_out_of_the_root_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "root" / "d").mkdir(parents=True)
    session = endpoint(tmp_path / "root").connect()
    for step in (put, lambda session, path: session.stat(path), lambda session, path: session.remove(path)):
        with pytest.raises(PermissionRefused, match="leads out of"):
            step(session, path)
    assert not (tmp_path / "a").exists()


def test_a_link_that_leads_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"theirs")
    root = tmp_path / "root"
    root.mkdir()
    (root / "d").symlink_to(outside)
    (root / "f").symlink_to(outside / "secret")
    session = endpoint(root).connect()
    with pytest.raises(PermissionRefused, match="is a link that leads out of"):
        put(session, "d/a")
    with pytest.raises(PermissionRefused):
        list(session.list("d"))
    with pytest.raises(PermissionRefused):
        b"".join(session.read("f"))
    with pytest.raises(ForeignFile):
        session.upload("f", io.BytesIO(b"ours"), exclusive=False)
    assert (outside / "secret").read_bytes() == b"theirs"
    assert os.listdir(outside) == ["secret"]


def test_a_root_that_is_a_link_is_meant(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    put(endpoint(tmp_path / "root").connect(), "a")
    assert (tmp_path / "real" / "a").exists()
    assert endpoint(tmp_path / "root").place == endpoint(tmp_path / "real").place


def test_a_root_that_is_missing_is_permanent_and_named(tmp_path: Path) -> None:
    session = endpoint(tmp_path / "nothing").connect()
    with pytest.raises(FolderMissing, match=r"endpoint 'archive': cannot write a: the folder .*nothing does not exist"):
        put(session, "a")


def test_a_step_that_is_forbidden_is_permanent() -> None:
    with pytest.raises(PermissionRefused, match="endpoint 'archive': cannot write a: Permission denied"):
        put(endpoint(Path("/sys")).connect(), "a")


def test_a_name_that_is_too_long_is_not_supported(tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="File name too long"):
        put(endpoint(tmp_path).connect(), "a" * 300)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_or_failing_disk_is_transient_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    session = endpoint(tmp_path).connect()
    whole = os.write

    def write(file: int, data: memoryview) -> int:
        if os.fstat(file).st_size > 0:
            raise OSError(code, os.strerror(code))
        return whole(file, data[:1])

    monkeypatch.setattr("batchxfer.endpoints.local.os.write", write)
    with pytest.raises(StorageError, match=os.strerror(code)):
        put(session, "a", b"content")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fails_only_when_it_is_synced_is_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    session = endpoint(tmp_path).connect()
    monkeypatch.setattr("batchxfer.endpoints.local.os.fsync", fails)
    with pytest.raises(StorageError):
        put(session, "a")


def test_file_and_folder_are_synced_before_each_step_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    whole = os.fsync

    def fsync(file: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        whole(file)

    session = endpoint(tmp_path).connect()
    monkeypatch.setattr("batchxfer.endpoints.local.os.fsync", fsync)
    put(session, "a.part")
    assert synced == ["file", "folder"]
    session.rename("a.part", "a")
    assert synced[2:] == ["folder"]


def test_a_file_system_that_cannot_rename_exclusively_gets_a_link_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(source: Path, target: Path) -> None:
        raise OSError(errno.EINVAL, "renameat2")

    monkeypatch.setattr("batchxfer.endpoints.local._rename_no_replace", unknown)
    session = endpoint(tmp_path).connect()
    put(session, "a.part", b"ours")
    session.rename("a.part", "a")
    assert os.listdir(tmp_path) == ["a"]
    put(session, "b.part", b"ours")
    with pytest.raises(ForeignFile):
        session.rename("b.part", "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b.part"]


def test_a_file_system_with_neither_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr("batchxfer.endpoints.local._rename_no_replace", unknown)
    monkeypatch.setattr("batchxfer.endpoints.local.os.link", unknown)
    session = endpoint(tmp_path).connect()
    put(session, "a.part")
    with pytest.raises(NotSupported) as raised:
        session.rename("a.part", "a")
    assert "publish = 'direct'" in (raised.value.hint or "")
