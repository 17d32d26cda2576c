"""A server that wants a key and then a password, which neither OpenSSH without accounts nor asyncssh can be made to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import paramiko

from tests.servers.partner import PASSWORD, USER


class Guard(paramiko.ServerInterface):
    def __init__(self, key: str, asked: list[str]) -> None:
        self._key = key
        self._asked = asked
        self._knows_key = False

    def get_allowed_auths(self, username: str) -> str:
        return "password" if self._knows_key else "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._asked.append("publickey")
        self._knows_key = username == USER and key.fingerprint == self._key
        return paramiko.AUTH_PARTIALLY_SUCCESSFUL if self._knows_key else paramiko.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self._asked.append("password")
        right = self._knows_key and password == PASSWORD
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED


@contextlib.contextmanager
def wanting_key_and_password(key: str) -> Iterator[tuple[int, str, list[str]]]:
    """Its port, its host key's fingerprint, and the methods that were tried. `key`: the fingerprint that it knows."""
    host_key = paramiko.ECDSAKey.generate()
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[str] = []
    transports: list[paramiko.Transport] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                transport = paramiko.Transport(client)
                transport.add_server_key(host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer)
                transports.append(transport)
                transport.start_server(threading.Event(), Guard(key, asked))

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1]), host_key.fingerprint, asked
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for transport in transports:
            transport.close()
            transport.join(5)
