"""SFTP servers of other makers, as Debian packages them: ProFTPD's mod_sftp, and Dropbear before OpenSSH's sftp-server."""

from __future__ import annotations

import contextlib
import getpass
import grp
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchxfer.endpoints import sftp
from tests.needs import missing
from tests.servers.openssh import die_with_parent, fingerprint, free_port, make_key, wait_until_listening
from tests.servers.partner import PASSWORD

MOD_SFTP = Path("/usr/lib/proftpd/mod_sftp.so")
NSS_WRAPPERS = ("/usr/lib/x86_64-linux-gnu/libnss_wrapper.so", "/usr/lib/aarch64-linux-gnu/libnss_wrapper.so")
PASSWORD_VARIABLE = "PARTNER_PASSWORD"


@dataclass(frozen=True)
class Vendor:
    """A running server, and the keys of an endpoint that reaches it; logging in needs PASSWORD in PASSWORD_VARIABLE."""

    name: str
    folder: Path
    port: int
    ways: dict[str, Any]

    def keys(self, root: Path) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "host_key": [fingerprint(self.folder / "host.pub")],
            "root": str(root),
            **self.ways,
        }

    def endpoint(self, root: Path, **keys: Any) -> sftp.Endpoint:
        options = sftp.Options.model_validate({"protocol": "sftp", **self.keys(root), **keys})
        return sftp.Endpoint("partner", options, self.folder)


PROFTPD = """
LoadModule mod_sftp.c
ServerName partner
ServerType standalone
DefaultAddress 127.0.0.1
UseIPv6 off
Port 0
User {user}
Group {group}
PidFile {folder}/pid
ScoreboardFile none
SystemLog {folder}/log
<Global>
RootLogin on
DelayEngine off
WtmpLog off
TransferLog none
AuthUserFile {folder}/passwd
AuthOrder mod_auth_file.c
RequireValidShell off
UseFtpUsers off
ShowSymlinks on
AllowOverwrite {overwrite}
AllowStoreRestart on
Umask 077
</Global>
<VirtualHost 127.0.0.1>
Port {port}
SFTPEngine on
SFTPLog {folder}/log
SFTPHostKey {folder}/host
SFTPAuthMethods password
</VirtualHost>
"""


@contextlib.contextmanager
def proftpd(folder: Path, *, overwrite: bool = False) -> Iterator[Vendor]:
    """ProFTPD, whose user logs in with PASSWORD. Without `overwrite` it takes no file twice."""
    command = shutil.which("proftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if command is None or not MOD_SFTP.exists() or shutil.which("openssl") is None:
        missing("ProFTPD with mod_sftp")
    make_key(folder / "host", "rsa", "-m", "PEM")
    words = ["openssl", "passwd", "-6", PASSWORD]
    crypted = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    (folder / "passwd").write_text(f"{user}:{crypted}:{os.getuid()}:{os.getgid()}:partner:{folder}:/bin/sh\n")
    (folder / "passwd").chmod(0o600)
    port = free_port()
    (folder / "configuration").write_text(
        PROFTPD.format(folder=folder, user=user, group=group, port=port, overwrite="on" if overwrite else "off")
    )
    with _running([command, "-n", "-c", str(folder / "configuration")], port, folder):
        yield Vendor("proftpd", folder, port, {"password": {"env": PASSWORD_VARIABLE}})


@contextlib.contextmanager
def dropbear(folder: Path) -> Iterator[Vendor]:
    """Dropbear: no AES-GCM, small windows. It takes the keys of a home folder, so this machine's users are others for it."""
    command = shutil.which("dropbear", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    wrapper = next((path for path in NSS_WRAPPERS if Path(path).exists()), None)
    if command is None or wrapper is None or shutil.which("dropbearkey") is None:
        missing("Dropbear with libnss-wrapper")
    for words in (["dropbearkey", "-t", "ed25519", "-f", str(folder / "host")],):
        made = subprocess.run(words, check=True, capture_output=True, text=True)
    (folder / "host.pub").write_text(next(line for line in made.stdout.splitlines() if line.startswith("ssh-")) + "\n")
    key = make_key(folder / "user")
    (folder / ".ssh").mkdir(mode=0o700)
    (folder / ".ssh/authorized_keys").write_bytes((folder / "user.pub").read_bytes())
    (folder / ".ssh/authorized_keys").chmod(0o600)
    user = getpass.getuser()
    (folder / "passwd").write_text(f"{user}:x:{os.getuid()}:{os.getgid()}:partner:{folder}:/bin/sh\n")
    (folder / "group").write_text(f"partner:x:{os.getgid()}:\n")
    others = {
        "LD_PRELOAD": wrapper,
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }
    port = free_port()
    words = [
        command,
        "-F",
        "-E",
        "-s",
        "-p",
        f"127.0.0.1:{port}",
        "-r",
        str(folder / "host"),
        "-P",
        str(folder / "pid"),
    ]
    with _running(words, port, folder, others):
        yield Vendor("dropbear", folder, port, {"private_key": str(key)})


@contextlib.contextmanager
def _running(words: list[str], port: int, folder: Path, others: dict[str, str] | None = None) -> Iterator[None]:
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(others or {})},
            preexec_fn=die_with_parent,
        )
    try:
        wait_until_listening("127.0.0.1", port)
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(name="proftpd", scope="module")
def proftpd_fixture() -> Iterator[Vendor]:
    with tempfile.TemporaryDirectory(prefix="proftpd-") as folder, proftpd(Path(folder), overwrite=True) as vendor:
        yield vendor


@pytest.fixture(name="dropbear", scope="module")
def dropbear_fixture() -> Iterator[Vendor]:
    with tempfile.TemporaryDirectory(prefix="dropbear-") as folder, dropbear(Path(folder)) as vendor:
        yield vendor
