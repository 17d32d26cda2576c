"""A partner's SFTP server on 127.0.0.1: paramiko's server side over a folder, with accounts, and faults on request.

It behaves as OpenSSH does where it matters: an exclusive open and a plain rename refuse a name that exists, `posix-rename`
replaces it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import posixpath
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
from paramiko import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
    SFTP_FAILURE,
    SFTP_OK,
    SFTP_OP_UNSUPPORTED,
    SFTPAttributes,
    SFTPServer,
)

LOOPBACK = "127.0.0.1"
LOG_CHANNEL = "batchxfer.demo.partner"


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who may log in: with the key whose fingerprint this is, or with the password. `folder` is all that it sees."""

    folder: Path
    key_fingerprint: str | None = None
    password: str | None = None


class Partner:
    """The server. It listens from the start on a free port until `close`; also a context manager.

    `host_key` may be changed between connections: the next one sees the new key. `logins` are the names that clients gave.
    """

    def __init__(self, accounts: Mapping[str, Account], host_key: paramiko.PKey) -> None:
        self.accounts = accounts
        self.host_key = host_key
        self.logins: list[str] = []
        self._cut_after: int | None = None
        self._transports: list[paramiko.Transport] = []
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        quiet = logging.getLogger(LOG_CHANNEL)
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        threading.Thread(target=self._serve, name="partner", daemon=True).start()

    def __enter__(self) -> Partner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fingerprint(self) -> str:
        return str(self.host_key.fingerprint)

    def cut_next_upload(self, after_bytes: int) -> None:
        """Break the link in the next file that is written, once so many of its bytes have come; once."""
        self._cut_after = after_bytes

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transport.set_log_channel(LOG_CHANNEL)
        transport.add_server_key(self.host_key)
        transport.set_subsystem_handler("sftp", SFTPServer, sftp_si=Folder, wire=Wire(self, connection))
        self._transports.append(transport)
        # With an event this returns at once; a client that goes away is not our trouble.
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(event=threading.Event(), server=Door(self))

    def take_cut(self, written: int) -> bool:
        """Whether a file of which `written` bytes have come is the one to cut; true only once."""
        if self._cut_after is None or written < self._cut_after:
            return False
        self._cut_after = None
        return True


@dataclass(frozen=True)
class Wire:
    """The link of one connection, so that it can be cut."""

    partner: Partner
    connection: socket.socket

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class Door(paramiko.ServerInterface):  # type: ignore[misc]
    """Who comes in: one connection's login."""

    def __init__(self, partner: Partner) -> None:
        self.partner = partner
        self.account: Account | None = None

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_none(self, username: str) -> int:
        self.partner.logins.append(username)
        return int(AUTH_FAILED)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._admit(username, lambda account: account.key_fingerprint == key.fingerprint)

    def check_auth_password(self, username: str, password: str) -> int:
        return self._admit(username, lambda account: account.password == password)

    def _admit(self, username: str, right: Callable[[Account], bool]) -> int:
        self.partner.logins.append(username)
        account = self.partner.accounts.get(username)
        if account is None or not right(account):
            return int(AUTH_FAILED)
        self.account = account
        return int(AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)


class Folder(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """The requests of one session, within its account's folder."""

    def __init__(self, server: Door, wire: Wire) -> None:
        super().__init__(server)
        assert server.account is not None  # noqa: S101  paramiko opens no channel before a login
        self.root = server.account.folder
        self.wire = wire

    def _local(self, path: str) -> Path:
        return self.root / posixpath.normpath(f"/{path}").lstrip("/")

    def stat(self, path: str) -> Any:
        with _replies() as reply:
            reply.value = SFTPAttributes.from_stat(self._local(path).stat())
        return reply.value

    def lstat(self, path: str) -> Any:
        with _replies() as reply:
            reply.value = SFTPAttributes.from_stat(self._local(path).lstat())
        return reply.value

    def list_folder(self, path: str) -> Any:
        with _replies() as reply:
            entries = sorted(self._local(path).iterdir())
            reply.value = [SFTPAttributes.from_stat(entry.lstat(), entry.name) for entry in entries]
        return reply.value

    def open(self, path: str, flags: int, attr: SFTPAttributes) -> Any:
        with _replies() as reply:
            reply.value = OpenFile(os.open(self._local(path), flags, 0o600), self.wire)
        return reply.value

    def remove(self, path: str) -> int:
        return _status(lambda: self._local(path).unlink())

    def rename(self, oldpath: str, newpath: str) -> int:
        return _status(lambda: _rename_exclusively(self._local(oldpath), self._local(newpath)))

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return _status(lambda: self._local(oldpath).replace(self._local(newpath)))

    def mkdir(self, path: str, attr: SFTPAttributes) -> int:
        return _status(lambda: self._local(path).mkdir(mode=0o700))

    def rmdir(self, path: str) -> int:
        return _status(lambda: self._local(path).rmdir())

    def chattr(self, path: str, attr: SFTPAttributes) -> int:
        return _status(lambda: SFTPServer.set_file_attr(str(self._local(path)), attr))

    def readlink(self, path: str) -> int:
        return int(SFTP_OP_UNSUPPORTED)

    def symlink(self, target_path: str, path: str) -> int:
        return int(SFTP_OP_UNSUPPORTED)


class OpenFile(paramiko.SFTPHandle):  # type: ignore[misc]
    """A file that a client has open, read and written at the offsets that it names."""

    def __init__(self, descriptor: int, wire: Wire) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.wire = wire
        self.written = 0

    def read(self, offset: int, length: int) -> Any:
        with _replies() as reply:
            reply.value = os.pread(self.descriptor, length, offset)
        return reply.value

    def write(self, offset: int, data: bytes) -> int:
        if self.wire.partner.take_cut(self.written + len(data)):
            self.wire.cut()
            return int(SFTP_FAILURE)
        self.written += len(data)
        return _status(lambda: _write_all(self.descriptor, data, offset))

    def stat(self) -> Any:
        with _replies() as reply:
            reply.value = SFTPAttributes.from_stat(os.fstat(self.descriptor))
        return reply.value

    def chattr(self, attr: SFTPAttributes) -> int:
        return _status(lambda: SFTPServer.set_file_attr(f"/dev/fd/{self.descriptor}", attr))

    def close(self) -> None:
        os.close(self.descriptor)


@dataclass
class _Reply:
    value: Any = SFTP_FAILURE


@contextlib.contextmanager
def _replies() -> Iterator[_Reply]:
    """What a request answers: the value that was set, or the status of the error that was raised."""
    reply = _Reply()
    try:
        yield reply
    except OSError as exc:
        reply.value = SFTPServer.convert_errno(exc.errno)


def _status(act: Callable[[], object]) -> int:
    with _replies() as reply:
        act()
        reply.value = SFTP_OK
    return int(reply.value)


def _rename_exclusively(old: Path, new: Path) -> None:
    """A link first, so that a name that exists is refused without a moment in between."""
    if old.is_dir():
        if new.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        old.rename(new)
        return
    new.hardlink_to(old)
    old.unlink()


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
