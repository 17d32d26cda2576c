"""A link that breaks, stalls or freezes, at any moment: the attempt ends in time, and nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import paramiko
import psutil
import pytest

from batchxfer.endpoints.sftp import Endpoint
from batchxfer.errors import AttemptError, DeadlineError, NetworkError
from batchxfer.ports import Session
from tests.servers import faults
from tests.servers.endpoints import PASSWORD_VARIABLE, to_openssh, to_partner
from tests.servers.line import Line, line_to
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.packets import DOWN, FLIP, UP, Cut, packets_to
from tests.servers.partner import PASSWORD, Folder, serve

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


def ours() -> list[str]:
    """Threads of batchxfer and paramiko, the timers that they start included."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("batchxfer") or isinstance(thread, threading.Timer | paramiko.Transport)
    ]


def sockets() -> int:
    gc.collect()
    return sum(1 for connection in psutil.Process().net_connections("tcp") if connection.status == "ESTABLISHED")


class Endless:
    def read(self, size: int = -1, /) -> bytes:
        return bytes(size)


SOON = 20.0
"""Far more than any of the limits that are set here, even on a machine that is busy; far less than for ever."""


@contextmanager
def took_less_than(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@contextmanager
def connected(endpoint: Endpoint) -> Iterator[Session]:
    session = endpoint.connect()
    try:
        yield session
    finally:
        with took_less_than(SOON):
            session.close()
        assert ours() == []


@pytest.fixture
def line(openssh: OpenSSH) -> Iterator[Line]:
    with line_to(openssh.host, openssh.port) as line:
        yield line


def test_a_line_cut_in_the_middle_of_an_upload_is_a_network_error(
    openssh: OpenSSH,
    line: Line,
    tmp_path: Path,
) -> None:
    line.cut_after = 5 * MIB
    with connected(to_openssh(openssh, tmp_path, port=line.port)) as session:
        with pytest.raises(NetworkError, match=r"endpoint 'partner': cannot write .*/a: the connection broke"):
            session.upload("a", Endless(), exclusive=True)
        assert not session.alive
        with pytest.raises(NetworkError):
            session.stat("a")


def test_a_line_cut_in_the_middle_of_a_download_never_looks_like_the_end(
    openssh: OpenSSH,
    line: Line,
    tmp_path: Path,
) -> None:
    (tmp_path / "a").write_bytes(os.urandom(20 * MIB))
    got = 0
    with connected(to_openssh(openssh, tmp_path, port=line.port)) as session, pytest.raises(NetworkError):  # noqa: PT012
        for piece in session.read("a"):
            got += len(piece)
            if got > 3 * MIB:
                line.cut()
    assert got < 20 * MIB


def test_a_line_that_breaks_while_idle_is_noticed_before_the_next_file(
    openssh: OpenSSH,
    line: Line,
    tmp_path: Path,
) -> None:
    with connected(to_openssh(openssh, tmp_path, port=line.port)) as session:
        session.end_attempt()
        line.cut()
        time.sleep(0.3)
        assert not session.alive


@pytest.mark.parametrize("upload", [True, False])
def test_a_frozen_line_is_ended_by_the_stall_timeout_even_with_full_send_buffers(
    openssh: OpenSSH,
    line: Line,
    tmp_path: Path,
    upload: bool,
) -> None:
    (tmp_path / "big").write_bytes(bytes(8 * MIB))
    with connected(to_openssh(openssh, tmp_path, port=line.port, stall_timeout=_s(1))) as session:
        line.freeze_after = line.passed + (3 * MIB if upload else 2000)
        with took_less_than(SOON), pytest.raises(NetworkError, match="stalled, the transfer got no answer"):  # noqa: PT012
            if upload:
                session.upload("a", Endless(), exclusive=True)
            else:
                b"".join(session.read("big"))
        assert not session.alive


def test_a_frozen_line_is_ended_by_the_deadline(openssh: OpenSSH, line: Line, tmp_path: Path) -> None:
    with connected(to_openssh(openssh, tmp_path, port=line.port, deadline=_s(1.2))) as session:
        line.freeze_after = line.passed + 3 * MIB
        with took_less_than(SOON), pytest.raises(DeadlineError, match=r"deadline of 1\.2s"):
            session.upload("a", Endless(), exclusive=True)


def test_a_slow_line_that_moves_is_not_stalled(tmp_path: Path) -> None:
    class Slow(Folder):
        async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
            await asyncio.sleep(0.4)
            return super().write(file_obj, offset, data)

    with serve(tmp_path, Slow) as partner, connected(to_partner(partner, stall_timeout=_s(1))) as session:
        for number in range(4):
            session.upload(str(number), io.BytesIO(b"x"), exclusive=True)


def test_content_that_comes_slowly_is_not_a_stall_of_the_line(openssh: OpenSSH, tmp_path: Path) -> None:
    class SlowQuery:
        def __init__(self) -> None:
            self.pieces = 1

        def read(self, size: int = -1, /) -> bytes:
            self.pieces -= 1
            time.sleep(0.6)
            return b"row\n" if self.pieces >= 0 else b""

    with connected(to_openssh(openssh, tmp_path, stall_timeout=_s(0.4))) as session:
        assert session.upload("a", SlowQuery(), exclusive=True) == 4


@pytest.mark.parametrize("operation", ["write", "close", "open", "lstat", "rename"])
def test_an_answer_that_never_comes_is_ended_by_the_stall_timeout(tmp_path: Path, operation: str) -> None:
    stalled = operation

    class Stalls(faults.StallsAt):
        operation = stalled

    with serve(tmp_path, Stalls) as partner, connected(to_partner(partner, stall_timeout=_s(0.4))) as session:
        with took_less_than(SOON), pytest.raises(NetworkError, match="stalled"):  # noqa: PT012
            session.upload("a", io.BytesIO(b"x"), exclusive=True)
            session.rename("a", "b")
        assert not session.alive


def test_a_line_dropped_by_the_server_in_the_middle_is_a_network_error(tmp_path: Path) -> None:
    with (
        serve(tmp_path, faults.DropsMidWrite) as partner,
        connected(to_partner(partner)) as session,
        pytest.raises(NetworkError),
    ):
        session.upload("a", io.BytesIO(bytes(3 * MIB)), exclusive=True)


# connecting


def _silent(listener: socket.socket, say: bytes) -> None:
    kept = []
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            break
        client.sendall(say)
        kept.append(client)
    for client in kept:
        client.close()


@contextmanager
def saying(say: bytes) -> Iterator[int]:
    """A server that says one thing, and then nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_silent, args=(listener, say))
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("say", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"220 ftp.example.com ready\r\n"])
def test_a_server_that_goes_silent_while_connecting_is_ended_by_connect_timeout(
    openssh: OpenSSH,
    tmp_path: Path,
    say: bytes,
) -> None:
    with saying(say) as port:
        endpoint = to_openssh(openssh, tmp_path, port=port, connect_timeout=_s(0.4))
        with (
            took_less_than(SOON),
            pytest.raises(NetworkError, match=rf"endpoint 'partner': cannot agree on keys.*:{port}"),
        ):
            endpoint.connect()
    assert ours() == []


def test_a_server_that_is_not_ssh_is_a_network_error_at_once(openssh: OpenSSH, tmp_path: Path) -> None:
    with saying(b"HTTP/1.1 400 Bad Request\r\n" * 120) as port, took_less_than(SOON), pytest.raises(NetworkError):
        to_openssh(openssh, tmp_path, port=port, connect_timeout=_s(5)).connect()


def test_a_server_that_is_down_is_a_network_error(openssh: OpenSSH, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NetworkError, match=rf"cannot connect to 127\.0\.0\.1:{port}: Connection refused") as raised:
            to_openssh(openssh, tmp_path, port=port).connect()
    assert raised.value.hint == "check host, port and firewall; it is tried again"


def test_a_host_that_has_no_address_is_a_network_error(openssh: OpenSSH, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"cannot connect to nowhere\.invalid:"):
        to_openssh(openssh, tmp_path, host="nowhere.invalid").connect()


@pytest.fixture(scope="module")
def bytes_to_connect(openssh: OpenSSH) -> int:
    """How many bytes a client sends until its session is ready."""
    with line_to(openssh.host, openssh.port) as line:
        to_openssh(openssh, Path("."), port=line.port).connect().close()
        return line.passed


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.8, 0.9, 0.97])
def test_a_line_that_breaks_anywhere_while_connecting_is_a_network_error(
    openssh: OpenSSH,
    line: Line,
    tmp_path: Path,
    bytes_to_connect: int,
    share: float,
) -> None:
    line.cut_after = int(bytes_to_connect * share)
    with took_less_than(SOON), pytest.raises(NetworkError, match="the connection broke"):
        to_openssh(openssh, tmp_path, port=line.port).connect()
    assert ours() == []


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_bit_that_is_bent_anywhere_while_connecting_is_an_error_with_words(
    openssh: OpenSSH, tmp_path: Path, direction: str
) -> None:
    """It shows as whatever the cipher or the parser raises."""
    for nth in range(1, 13):
        with packets_to(openssh.host, openssh.port, Cut(direction, nth, FLIP)) as line:
            with suppress(AttemptError):
                to_openssh(openssh, tmp_path, port=line.port, connect_timeout=_s(2)).connect().close()
            assert line.fired or nth > 9
    assert ours() == []


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.8, 0.9, 0.97])
def test_a_line_that_freezes_anywhere_while_connecting_is_ended(
    openssh: OpenSSH,
    line: Line,
    tmp_path: Path,
    bytes_to_connect: int,
    share: float,
) -> None:
    line.freeze_after = int(bytes_to_connect * share)
    with took_less_than(SOON), pytest.raises(NetworkError, match="no answer for"):
        to_openssh(openssh, tmp_path, port=line.port, connect_timeout=_s(0.4), stall_timeout=_s(0.4)).connect()
    assert ours() == []


def test_the_deadline_covers_connecting_too(openssh: OpenSSH, line: Line, tmp_path: Path) -> None:
    line.freeze_after = 1
    with took_less_than(SOON), pytest.raises(DeadlineError):
        to_openssh(openssh, tmp_path, port=line.port, deadline=_s(0.6)).connect()
    assert ours() == []


def test_closing_from_another_thread_ends_what_is_going_on(openssh: OpenSSH, tmp_path: Path) -> None:
    with connected(to_openssh(openssh, tmp_path)) as session:
        closing = threading.Timer(0.3, session.close)
        closing.start()
        with took_less_than(SOON), pytest.raises(NetworkError):
            session.upload("a", Endless(), exclusive=True)
        closing.join()


def test_after_fifty_failures_no_thread_and_no_socket_is_left(openssh: OpenSSH, tmp_path: Path) -> None:
    before = sockets()
    for number in range(50):
        with line_to(openssh.host, openssh.port) as line:
            line.cut_after = number * 120
            with pytest.raises(AttemptError):  # noqa: PT012
                session = to_openssh(openssh, tmp_path, port=line.port).connect()
                try:
                    session.upload(f"a{number}", Endless(), exclusive=True)
                finally:
                    session.close()
    assert ours() == []
    assert sockets() == before


def _s(seconds: float) -> Any:
    return timedelta(seconds=seconds)
