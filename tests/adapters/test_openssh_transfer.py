"""Transfers to OpenSSH that are long: keys are exchanged anew on the way, from either side."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchxfer import push
from batchxfer.endpoints.sftp import packets
from batchxfer.model import Artifact, Delivery, DeliveryFile, DeliveryStatus, FileRole
from batchxfer.resolve import Policy
from tests.faults.journeys import Journeys, keys_for_openssh
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


def test_a_small_delivery_waits_for_three_answers(
    openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round trip each where the partner is far away: the name and the file, its bytes and size, the rename."""
    content = b"content"
    (tmp_path / "artifact").write_bytes(content)
    digest, now = hashlib.sha256(content).hexdigest(), datetime(2026, 11, 23, tzinfo=UTC)
    artifact = Artifact(id="A", path=tmp_path / "artifact", rows=1, bytes=7, sha256=digest, created_at=now)
    file = DeliveryFile(role=FileRole.DATA, path="box/a")
    delivery = Delivery(id="D", endpoint="partner", path="box/a", status=DeliveryStatus.PENDING, files=(file,))
    agreement = push.Agreement(endpoint="partner", policy=Policy())
    (tmp_path / "box").mkdir()
    session = to_openssh(openssh, tmp_path).connect()
    sent: list[int] = []
    send = packets.Stream.send

    def counted(stream: packets.Stream, data: memoryview) -> int:
        sent.append(len(data))
        return send(stream, data)

    monkeypatch.setattr(packets.Stream, "send", counted)
    try:
        push.deliver(session, delivery, artifact, agreement, lambda *step, **facts: None, attempt="T")
        assert (tmp_path / "box/a").read_bytes() == content
        assert len(sent) == 3
    finally:
        session.close()


def test_a_foreign_file_is_held_and_a_mended_job_may_name_another_path(openssh: OpenSSH, tmp_path: Path) -> None:
    """It is seen when the temporary file has been opened: that is taken away, and nothing was begun."""
    root = tmp_path / "partner"
    root.mkdir()
    journeys = Journeys(tmp_path / "project", root, keys_for_openssh(openssh, root))
    journey = journeys.begin()
    journey.place.mkdir()
    (journey.place / "orders.psv").write_bytes(b"theirs")
    said = journey.run()
    assert (said.code, journey.there()) == (4, {"orders.psv": b"theirs"})
    assert "orders.psv is there already, and it is not ours" in said.run["reason"]
    job = journeys.folder / "jobs/daily.toml"
    job.write_text(job.read_text().replace("/orders.psv", "/mended.psv"))
    again = journey.retry(said)
    assert (again.code, again.run["status"]) == (0, "delivered")
    assert sorted(journey.there()) == ["mended.psv", "mended.psv.done", "mended.psv.sha256", "orders.psv"]


def test_reading_the_options_imports_no_driver() -> None:
    """`--help` and `check` must be quick."""
    code = "import sys, batchxfer.endpoints.sftp, batchxfer.endpoints.local; sys.exit('paramiko' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
