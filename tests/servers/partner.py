"""An SFTP server of another maker (asyncssh) in a thread, which can be told to misbehave.

A fault is a small class of tests.servers.faults that replaces a few operations of `Folder`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

USER = "batchxfer"
PASSWORD = "correct horse"


class Folder(asyncssh.SFTPServer):
    """Serves one folder as the root, as it should be done; faults are subclasses."""

    root: Path
    opened: list[Any]

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(chan, chroot=bytes(self.root))

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        file = super().open(path, pflags, attrs)
        self.opened.append(file)
        return file

    def cut(self) -> None:
        """The line breaks."""
        self.connection.abort()


@dataclass
class Doors:
    """How the server lets people in: methods in the order in which it wants them, all of them where `all_of`."""

    password: str | None = PASSWORD
    questions: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


class Doorkeeper(asyncssh.SSHServer):
    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return self._doors.password is not None

    def validate_password(self, username: str, password: str) -> bool:
        self._doors.asked.append("password")
        return username == USER and password == self._doors.password

    def public_key_auth_supported(self) -> bool:
        return bool(self._doors.keys)

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._doors.asked.append("publickey")
        return username == USER and key.get_fingerprint() in self._doors.keys

    def kbdint_auth_supported(self) -> bool:
        return bool(self._doors.questions)

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        self._doors.asked.append("keyboard-interactive")
        return "", "", "", [(question, False) for question in self._doors.questions]

    def validate_kbdint_response(self, username: str, responses: list[str]) -> bool:
        self._doors.answers += responses
        return list(responses) == ["open sesame"]


@dataclass
class Partner:
    """A running server; `root` is its folder."""

    root: Path
    port: int
    fingerprint: str
    key_line: str
    doors: Doors
    connections: list[Any]
    host: str = "127.0.0.1"
    user: str = USER

    def file(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())

    def as_endpoint(self, more: str = "") -> str:
        """The endpoint `bank` of a configuration, with its password in a file, and `more` behind it."""
        return f"""
[endpoints.bank]
protocol = "sftp"
host = "{self.host}"
port = {self.port}
user = "{self.user}"
password = {{ file = "password" }}
host_key = ["{self.fingerprint}"]
{more}"""


@contextmanager
def serve(
    root: Path,
    folder: type[Folder] = Folder,
    *,
    doors: Doors | None = None,
    host_key: asyncssh.SSHKey | None = None,
    **options: Any,
) -> Iterator[Partner]:
    """Serve `root` with the behaviour of `folder`, on a free port, until the end of the block."""
    root.mkdir(parents=True, exist_ok=True)
    doors = doors or Doors()
    key = host_key or asyncssh.generate_private_key("ssh-ed25519")
    opened: list[Any] = []
    behaviour = type(folder.__name__, (folder,), {"root": root, "opened": opened})
    connections: list[Any] = []

    def doorkeeper() -> Doorkeeper:
        keeper = Doorkeeper(doors)
        connections.append(keeper)
        return keeper

    loop = asyncio.new_event_loop()

    async def listen() -> asyncssh.SSHAcceptor:
        settings = {"server_host_keys": [key], "sftp_factory": behaviour, "login_timeout": 60, **options}
        return await asyncssh.listen("127.0.0.1", 0, server_factory=doorkeeper, **settings)

    thread = threading.Thread(target=loop.run_forever, name="partner", daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(20)
    public = key.export_public_key().decode().split()[:2]
    digest = hashlib.sha256(base64.b64decode(public[1])).digest()
    try:
        yield Partner(
            root=root,
            port=acceptor.get_port(),
            fingerprint="SHA256:" + base64.b64encode(digest).decode().rstrip("="),
            key_line=" ".join(public),
            doors=doors,
            connections=connections,
        )
    finally:
        asyncio.run_coroutine_threadsafe(_end(acceptor), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        for file in opened:
            file.close()


async def _end(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
