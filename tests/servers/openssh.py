"""OpenSSH's sshd on loopback, with its own host keys and configuration; one a test module."""

from __future__ import annotations

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.needs import missing

SSHD = Path("/usr/sbin/sshd")

CONFIGURATION = """
ListenAddress 127.0.0.1
PidFile none
UsePAM no
UseDNS no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""


def make_key(path: Path, kind: str = "ed25519", *options: str, passphrase: str = "") -> Path:
    """A private key at `path`, made by ssh-keygen."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", *options, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def fingerprint(key: Path) -> str:
    """What ssh-keygen says of a key: an independent view."""
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class OpenSSH:
    """A running sshd. `folder` holds its keys; `root` is where files go; any key of `user_keys` lets `user` in."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    host: str = "127.0.0.1"
    user: str = field(default_factory=getpass.getuser)

    @property
    def private_key(self) -> Path:
        return self.folder / "user_ed25519"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def host_key(self, kind: str = "ed25519") -> str:
        return fingerprint(self.folder / f"host_{kind}.pub")

    def host_key_line(self, kind: str = "ed25519") -> str:
        """`type base64` of a host key, as known_hosts has it."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def endpoint(self, root: Path) -> str:
        """The keys of an endpoint of config.toml whose files go below `root`."""
        return f"""
protocol = "sftp"
host = "{self.host}"
port = {self.port}
user = "{self.user}"
private_key = "{self.private_key}"
host_key = ["{self.host_key()}"]
root = "{root}"
"""

    def allow(self, key: Path) -> None:
        public = key.with_name(key.name + ".pub").read_text()
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(public)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def start(
    folder: Path, *, host_keys: tuple[str, ...] = ("ed25519", "ecdsa", "rsa"), configuration: str = ""
) -> OpenSSH:
    """Start sshd with keys of these types; lines of `configuration` come before the usual ones, and so win."""
    if not SSHD.exists() or shutil.which("ssh-keygen") is None:
        missing("OpenSSH sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)
    for kind in host_keys:
        make_key(folder / f"host_{kind}", kind)
    port = free_port()
    lines = [configuration, f"Port {port}", f"AuthorizedKeysFile {folder}/authorized_keys", CONFIGURATION]
    lines += [f"HostKey {folder}/host_{kind}" for kind in host_keys]
    (folder / "sshd_config").write_text("\n".join(lines))
    log = (folder / "log").open("wb")
    command = [str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, preexec_fn=die_with_parent)
    log.close()
    server = OpenSSH(folder=folder, port=port, process=process)
    server.allow(make_key(server.private_key))
    wait_until_listening(server.host, port)
    return server


def wait_until_listening(host: str, port: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


@pytest.fixture(name="openssh", scope="module")
def openssh_fixture() -> Iterator[OpenSSH]:
    """An sshd that is there for the tests of one module."""
    with tempfile.TemporaryDirectory(prefix="sshd-") as folder:
        server = start(Path(folder))
        try:
            yield server
        finally:
            server.stop()
