"""What the disk is asked for while a file is written: nothing that it refuses is lost, and no file is closed under it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from batchxfer import writeback
from batchxfer.errors import StorageError
from batchxfer.inbox import Arrival
from batchxfer.spool import HashingFile
from batchxfer.writeback import Writeback

CONTENT = b"0123456789" * 10
SECONDS = 20


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writeback, "WORTH_BYTES", 10)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    found = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    yield found
    os.close(found)


class Disk:
    """Takes what is written when it is let; each call is of an open file."""

    def __init__(self) -> None:
        self.calls = 0
        self.began, self.may_end = threading.Event(), threading.Event()
        self.closed_under_it = False

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        self.began.set()
        assert self.may_end.wait(SECONDS)
        try:
            os.fstat(descriptor)
        except OSError:
            self.closed_under_it = True


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr(writeback, "_make_durable", found)
    return found


def refuses(descriptor: int) -> NoReturn:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def write_in_pieces(write: Callable[[bytes], object]) -> None:
    for start in range(0, len(CONTENT), 5):
        write(CONTENT[start : start + 5])


def test_who_writes_does_not_wait_for_the_disk(descriptor: int, disk: Disk) -> None:
    with Writeback(descriptor) as given:
        given.wrote(9)
        assert not disk.began.is_set()
        given.wrote(1)
        assert disk.began.wait(SECONDS)
        # It is busy: what comes now is asked for together.
        for _ in range(100):
            given.wrote(10)
        assert disk.calls == 1
        disk.may_end.set()
    assert disk.calls == 1


def test_what_is_refused_once_is_said_once(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writeback, "_make_durable", refuses)
    given = Writeback(descriptor)
    given.wrote(10)
    with pytest.raises(OSError, match="Input/output error"):
        given.end()
    given.end()


def test_what_went_wrong_before_says_more(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writeback, "_make_durable", refuses)

    def fail() -> NoReturn:
        with Writeback(descriptor) as given:
            given.wrote(10)
            raise ValueError("before")

    with pytest.raises(ValueError, match="before"):
        fail()


def test_a_machine_that_starts_no_more_threads_leaves_it_for_the_end(
    descriptor: int, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*args: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with Writeback(descriptor) as given:
        given.wrote(10)
        given.wrote(10)
    assert disk.calls == 0


def built(path: Path) -> HashingFile:
    file = HashingFile(path)
    write_in_pieces(file.write)
    return file


def fetched(path: Path) -> Arrival:
    arrival = Arrival(path, "ID")
    arrival.open()
    write_in_pieces(arrival.write)
    return arrival


@pytest.mark.parametrize("make", [built, fetched])
def test_an_error_of_the_disk_while_a_file_is_written_is_an_error_of_the_file(
    tmp_path: Path, make: Callable[[Path], HashingFile | Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again, the system would say that all is well."""
    monkeypatch.setattr(writeback, "WORTH_BYTES", len(CONTENT))
    monkeypatch.setattr(writeback, "_make_durable", refuses)
    file = make(tmp_path / "file")
    with pytest.raises(StorageError, match="Input/output error"):
        file.finish()
    file.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [built, fetched])
@pytest.mark.parametrize("end", ["finish", "discard"])
def test_no_file_is_closed_while_the_disk_takes_it(
    tmp_path: Path, make: Callable[[Path], HashingFile | Arrival], end: str, disk: Disk
) -> None:
    """Its number may be another file's by then."""
    file = make(tmp_path / "file")
    assert disk.began.wait(SECONDS)
    ending = threading.Thread(target=getattr(file, end))
    ending.start()
    ending.join(0.05)
    assert ending.is_alive()
    disk.may_end.set()
    ending.join(SECONDS)
    assert not disk.closed_under_it
