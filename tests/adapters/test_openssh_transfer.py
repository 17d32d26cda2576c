"""Transfers to OpenSSH that are long: keys are exchanged anew on the way, from either side."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchxfer.endpoints.sftp import packets
from tests.servers import openssh as sshd
from tests.servers.endpoints import to_openssh
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401

MIB = 1024 * 1024


def there_and_back(server: OpenSSH, root: Path, content: bytes) -> None:
    session = to_openssh(server, root).connect()
    try:
        session.upload("a", io.BytesIO(content), exclusive=True)
        assert hashlib.sha256((root / "a").read_bytes()).digest() == hashlib.sha256(content).digest()
        assert hashlib.sha256(b"".join(session.read("a"))).digest() == hashlib.sha256(content).digest()
    finally:
        session.close()


def test_our_side_may_exchange_keys_anew_on_the_way(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets.Packets, "REKEY_BYTES", 4 * MIB)
    there_and_back(openssh, tmp_path, os.urandom(20 * MIB))


def test_the_server_may_exchange_keys_anew_on_the_way(tmp_path: Path) -> None:
    server = sshd.start(tmp_path, host_keys=("ed25519",), configuration="RekeyLimit 4M")
    (tmp_path / "root").mkdir()
    try:
        there_and_back(server, tmp_path / "root", os.urandom(20 * MIB))
    finally:
        server.stop()


def test_a_small_delivery_waits_for_four_answers(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round trip each where the partner is far away: the name, the file, its bytes and size, the rename."""
    session = to_openssh(openssh, tmp_path).connect()
    sent: list[int] = []
    send = packets.Stream.send

    def counted(stream: packets.Stream, data: memoryview) -> int:
        sent.append(len(data))
        return send(stream, data)

    monkeypatch.setattr(packets.Stream, "send", counted)
    try:
        assert session.stat("a") is None
        session.upload(".a.part", io.BytesIO(b"content"), exclusive=True)
        seen = session.stat(".a.part")
        assert seen is not None
        assert seen.size == 7
        session.rename(".a.part", "a")
        assert session.stat(".a.part") is None
        assert len(sent) == 4
    finally:
        session.close()


def test_reading_the_options_imports_no_driver() -> None:
    """`--help` and `check` must be quick."""
    code = "import sys, batchxfer.endpoints.sftp, batchxfer.endpoints.local; sys.exit('paramiko' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
