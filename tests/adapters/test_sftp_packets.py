"""Packets sealed and opened many at a time, against paramiko's own, which does one at a time."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from paramiko.packet import Packetizer

from batchxfer.endpoints.sftp import packets
from batchxfer.endpoints.sftp.packets import Packets, Parcel, Pieces
from batchxfer.errors import NetworkError
from tests.servers import openssh as sshd
from tests.servers.endpoints import to_openssh
from tests.servers.line import Line
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401

KIB, MIB = 1024, 1024 * 1024
CHANNEL = 7


class Recording:
    """AES-GCM that keeps the nonces it was given."""

    def __init__(self, key: bytes) -> None:
        self._engine = AESGCM(key)
        self.nonces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        def act(nonce: bytes, *rest: Any) -> Any:
            self.nonces.append(nonce)
            return getattr(self._engine, name)(nonce, *rest)

        if not hasattr(self._engine, name):
            raise AttributeError(name)
        return act


class Ends:
    """Two ends of a line, `ours` with many packets at a time, `theirs` as paramiko has it; the same keys on both."""

    def __init__(self, ours: Packetizer, theirs: Packetizer) -> None:
        self.ours, self.theirs = ours, theirs
        self.sealing = self.take_new_keys()

    def take_new_keys(self) -> Recording:
        up, down, nonce = os.urandom(16), os.urandom(16), os.urandom(4) + bytes(7) + b"\xfe"
        sealing = Recording(up)
        fixed: dict[str, Any] = {"block_size": 16, "mac_engine": None, "mac_size": 16, "mac_key": None, "aead": True}
        self.ours.set_outbound_cipher(block_engine=sealing, iv_out=nonce, **fixed)
        self.ours.set_inbound_cipher(block_engine=AESGCM(down), iv_in=nonce, **fixed)
        self.theirs.set_outbound_cipher(block_engine=AESGCM(down), iv_out=nonce, **fixed)
        self.theirs.set_inbound_cipher(block_engine=AESGCM(up), iv_in=nonce, **fixed)
        return sealing


@contextmanager
def a_line(kind: type[Packetizer] = Packets) -> Iterator[Ends]:
    here, there = socket.socketpair()
    with here, there:
        for sock in (here, there):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
            sock.settimeout(5)
        ends = Ends(kind(here), Packetizer(there))
        ends.ours._initial_kex_done = ends.theirs._initial_kex_done = True
        yield ends


def parcel(*sizes: int) -> Parcel:
    return Parcel(CHANNEL, [memoryview(os.urandom(size)) for size in sizes])


def text_of(message: Any) -> bytes:
    assert message.get_int() == CHANNEL
    return bytes(message.get_binary())


def read_parcel(end: Packetizer, count: int) -> list[bytes]:
    read = []
    for _ in range(count):
        kind, message = end.read_message()
        assert kind == 94
        read.append(text_of(message))
    return read


SIZES = [1, 2, 3, 15, 16, 17, 4095, 32 * KIB - 65, 32 * KIB - 64, 32 * KIB - 1, 32 * KIB]


def test_what_is_sealed_at_once_is_what_paramiko_reads_one_by_one() -> None:
    with a_line() as ends:
        sent = [parcel(*SIZES), parcel(1), parcel(*reversed(SIZES))]
        for each in sent:
            ends.ours.send_message(each)
            assert read_parcel(ends.theirs, len(each.pieces)) == [bytes(piece) for piece in each.pieces]
        assert ends.ours.parcels == 3


class Older:
    """AES-GCM of a cryptography that cannot write into a buffer."""

    def __init__(self, key: bytes) -> None:
        self._engine = AESGCM(key)
        self.encrypt, self.decrypt = self._engine.encrypt, self._engine.decrypt


def test_an_older_cryptography_seals_one_by_one() -> None:
    with a_line() as ends:
        key, nonce = os.urandom(16), os.urandom(12)
        fixed: dict[str, Any] = {"block_size": 16, "mac_engine": None, "mac_size": 16, "mac_key": None, "aead": True}
        ends.ours.set_outbound_cipher(block_engine=Older(key), iv_out=nonce, **fixed)
        ends.theirs.set_inbound_cipher(block_engine=AESGCM(key), iv_in=nonce, **fixed)
        ends.theirs.set_outbound_cipher(block_engine=AESGCM(key), iv_out=nonce, **fixed)
        ends.ours.set_inbound_cipher(block_engine=Older(key), iv_in=nonce, **fixed)
        sent = parcel(10, 20)
        ends.ours.send_message(sent)
        assert read_parcel(ends.theirs, 2) == [bytes(piece) for piece in sent.pieces]
        for message in sent.messages():
            ends.theirs.send_message(message)
        assert read_parcel(ends.ours, 2) == [bytes(piece) for piece in sent.pieces]
        assert (ends.ours.parcels, ends.ours.gathered) == (0, 0)


def test_other_messages_go_between_parcels_in_order() -> None:
    with a_line() as ends:
        for number in range(4):
            ends.ours.send_message(parcel(100, 200))
            adjust = paramiko.Message()
            adjust.add_byte(bytes([93]))
            adjust.add_int(number)
            ends.ours.send_message(adjust)
        kinds = [ends.theirs.read_message()[0] for _ in range(12)]
        assert kinds == [94, 94, 93] * 4


def test_no_nonce_is_used_twice_with_a_key_even_where_sending_breaks_off() -> None:
    """A broken line must not lead to the same nonce for what is sent next."""
    with a_line() as ends:
        ends.ours.send_message(parcel(*SIZES))
        ends.ours.write_all, sending = _breaks, ends.ours.write_all
        with pytest.raises(EOFError):
            ends.ours.send_message(parcel(*SIZES))
        ends.ours.write_all = sending
        ends.ours.send_message(parcel(*SIZES))
        ends.ours.send_message(parcel(5).messages()[0])
        nonces = ends.sealing.nonces
        assert len(nonces) == 3 * len(SIZES) + 1
        counters = [int.from_bytes(nonce[4:], "big") for nonce in nonces]
        assert counters == list(range(counters[0], counters[0] + len(nonces)))
        assert {nonce[:4] for nonce in nonces} == {nonces[0][:4]}


def _breaks(data: object) -> None:
    raise EOFError


@pytest.mark.parametrize(("limit", "value"), [("REKEY_BYTES", 300 * KIB), ("REKEY_PACKETS", 10)])
def test_paramiko_asks_for_new_keys_where_it_would_have_without_parcels(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    asked: list[list[int]] = []
    for kind in (Packetizer, Packets):
        monkeypatch.setattr(kind, limit, value)
        with a_line(kind) as ends:
            after = []
            for number in range(1, 16):
                each = parcel(32 * KIB)
                for message in [each] if kind is Packets else each.messages():
                    ends.ours.send_message(message)
                read_parcel(ends.theirs, 1)
                after += [number] if ends.ours.need_rekey() else []
            ends.take_new_keys()
            assert not ends.ours.need_rekey()
            asked.append(after)
    assert asked[0] == asked[1] != []


@pytest.mark.parametrize(("limit", "value"), [("REKEY_BYTES", 3000), ("REKEY_PACKETS", 10)])
def test_paramiko_asks_for_new_keys_after_as_much_was_received_as_ever(limit: str, value: int) -> None:
    """Where the limit is inside what was read ahead, it is the packet that reaches it which counts."""
    asked = []
    for kind in (Packetizer, Packets):
        with a_line(kind) as ends:
            setattr(ends.ours, limit, value)
            asked.append(_packets_until_new_keys(ends))
    assert asked[0] == asked[1] > 0
    assert isinstance(ends.ours, Packets)
    assert ends.ours.gathered > 0


def _packets_until_new_keys(ends: Ends) -> int:
    for message in parcel(*[200] * 30).messages():
        ends.theirs.send_message(message)
    size = 0
    while not ends.ours.need_rekey():
        size += len(text_of(ends.ours.read_message()[1]))
    return size // 200


def test_another_cipher_takes_over_at_the_right_number() -> None:
    """Other ciphers put the number of each packet under their tag, and count on from here."""
    with a_line() as ends:
        sent = parcel(*SIZES)
        ends.ours.send_message(sent)
        read_parcel(ends.theirs, len(SIZES))
        for message in sent.messages():
            ends.theirs.send_message(message)
        got = 0
        while got < sum(SIZES):
            got += len(text_of(ends.ours.read_message()[1]))
        key, mac_key, start = os.urandom(16), os.urandom(32), os.urandom(16)
        fixed: dict[str, Any] = {"block_size": 16, "mac_engine": hashlib.sha256, "mac_size": 32, "mac_key": mac_key}
        for end, other in ((ends.ours, ends.theirs), (ends.theirs, ends.ours)):
            cipher = Cipher(AES(key), CTR(start))
            end.set_outbound_cipher(block_engine=cipher.encryptor(), sdctr=True, **fixed)
            other.set_inbound_cipher(block_engine=cipher.decryptor(), **fixed)
        ends.ours.send_message(sent)
        assert read_parcel(ends.theirs, len(SIZES)) == [bytes(piece) for piece in sent.pieces]
        ends.theirs.send_message(sent.messages()[-1])
        assert read_parcel(ends.ours, 1) == [bytes(sent.pieces[-1])]


def test_what_paramiko_sends_one_by_one_is_gathered_in_order() -> None:
    with a_line() as ends:
        sent = parcel(*SIZES)
        for message in sent.messages():
            ends.theirs.send_message(message)
        got = b""
        while len(got) < sum(SIZES):
            kind, message = ends.ours.read_message()
            assert kind == 94
            got += text_of(message)
        assert got == b"".join(bytes(piece) for piece in sent.pieces)
        assert ends.ours.gathered > 0


def test_a_message_between_data_is_read_in_its_place_with_its_number() -> None:
    with a_line() as ends:
        words = [94, 94, 97, 94, 21, 94]
        for word in words:
            message = paramiko.Message()
            message.add_byte(bytes([word]))
            message.add_int(CHANNEL)
            message.add_string(b"x")
            ends.theirs.send_message(message)
        read = [ends.ours.read_message() for _ in range(5)]
        assert [kind for kind, _ in read] == [94, 97, 94, 21, 94]
        assert [message.seqno for _, message in read] == [0, 2, 3, 4, 5]
        assert text_of(read[0][1]) == b"xx"


def test_the_keys_change_between_two_messages_whatever_was_read_ahead() -> None:
    """Packets after NEWKEYS, already in the buffer, are opened with the new keys only."""
    with a_line() as ends:
        one, newkeys = parcel(10, 10), paramiko.Message()
        newkeys.add_byte(bytes([21]))
        for message in [*one.messages(), newkeys]:
            ends.theirs.send_message(message)
        key, nonce = os.urandom(32), os.urandom(12)
        fixed: dict[str, Any] = {"block_size": 16, "mac_engine": None, "mac_size": 16, "mac_key": None, "aead": True}
        ends.theirs.set_outbound_cipher(block_engine=AESGCM(key), iv_out=nonce, **fixed)
        two = parcel(20, 20)
        for message in two.messages():
            ends.theirs.send_message(message)
        assert len(text_of(ends.ours.read_message()[1])) == 20
        assert ends.ours.read_message()[0] == 21
        ends.ours.set_inbound_cipher(block_engine=AESGCM(key), iv_in=nonce, **fixed)
        assert text_of(ends.ours.read_message()[1]) == b"".join(map(bytes, two.pieces))


@pytest.mark.parametrize("byte", [0, 3, 4, 40, 99, 140])
def test_a_bit_that_was_flipped_in_any_packet_is_refused(byte: int) -> None:
    """The second packet, which is opened beside the first."""
    with a_line() as ends:
        written: list[bytes] = []
        ends.theirs.write_all = written.append
        for message in parcel(100, 100).messages():
            ends.theirs.send_message(message)
        damaged = bytearray(written[1])
        damaged[min(byte, len(damaged) - 1)] ^= 1
        there = ends.theirs._Packetizer__socket
        there.sendall(written[0] + bytes(damaged))
        there.shutdown(socket.SHUT_WR)
        with pytest.raises((InvalidTag, EOFError, paramiko.SSHException)):  # noqa: PT012
            for _ in range(2):
                ends.ours.read_message()


def test_pieces_are_taken_as_they_came_and_long_ones_in_parts() -> None:
    pieces = Pieces(100)
    for piece in (b"abcd", b"", bytearray(b"ef")):
        pieces.feed(piece)
    assert [bytes(pieces.read(size)) for size in (3, 3, 9)] == [b"abc", b"d", b"ef"]
    threading.Timer(0.05, pieces.close).start()
    assert pieces.read(1) == b""


def test_a_server_that_ignores_its_window_is_not_listened_to_for_ever() -> None:
    pieces = Pieces(10)
    for _ in range(5):
        pieces.feed(b"12345")
        pieces.feed(b"67890")
        assert bytes(pieces.read(3)) + bytes(pieces.read(5)) + bytes(pieces.read(5)) == b"1234567890"
    pieces.feed(b"1234567890")
    with pytest.raises(paramiko.SSHException, match="more than it may"):
        pieces.feed(b"1")


# --- against OpenSSH -----------------------------------------------------------------------------


def there_and_back(server: OpenSSH, root: Path, *contents: bytes) -> Packets:
    session = to_openssh(server, root).connect()
    try:
        for number, content in enumerate(contents):
            session.upload(f"{number}", io.BytesIO(content), exclusive=True)
            assert (root / f"{number}").read_bytes() == content
            assert b"".join(session.read(f"{number}")) == content
        assert isinstance(session._link.transport.packetizer, Packets)
        return session._link.transport.packetizer
    finally:
        session.close()


def test_the_locked_paramiko_is_one_that_is_known(openssh: OpenSSH, tmp_path: Path) -> None:
    """Else everything works, at half the speed: see what changed in its Packetizer."""
    used = there_and_back(openssh, tmp_path, os.urandom(4 * MIB))
    assert used.known
    assert used.parcels > 10
    assert hasattr(used._Packetizer__block_engine_in, "decrypt_into")


def test_another_paramiko_sends_them_itself(openssh: OpenSSH, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "_STATE", (*packets._STATE, "something_new"))
    used = there_and_back(openssh, tmp_path, os.urandom(4 * MIB))
    assert (used.parcels, used.gathered) == (0, 0)


WRITE = 255 * KIB


def test_every_size_around_a_packet_and_a_write_arrives(openssh: OpenSSH, tmp_path: Path) -> None:
    around = [0, 1, 32 * KIB - 64, 32 * KIB, WRITE, 2 * WRITE, 4 * MIB]
    sizes = sorted({max(size + more, 0) for size in around for more in (-1, 0, 1)})
    there_and_back(openssh, tmp_path, *(os.urandom(size) for size in sizes))


@pytest.mark.parametrize(
    ("cipher", "at_once"),
    [
        ("aes128-gcm@openssh.com", True),
        ("aes256-gcm@openssh.com", True),
        ("aes128-ctr", False),
        ("aes192-ctr", False),
        ("aes256-ctr", False),
    ],
)
def test_every_cipher_carries_every_byte_through_new_keys(tmp_path: Path, cipher: str, at_once: bool) -> None:
    """OpenSSH asks for new keys after each MiB, in the middle of both directions."""
    server = sshd.start(tmp_path, host_keys=("ed25519",), configuration=f"Ciphers {cipher}\nRekeyLimit 1M")
    (tmp_path / "root").mkdir()
    try:
        used = there_and_back(server, tmp_path / "root", os.urandom(6 * MIB + 1), b"", os.urandom(3 * MIB))
    finally:
        server.stop()
    assert (used.parcels > 0) is at_once
    assert at_once or used.gathered == 0  # how many there are at once is for the line to say


class FlipsABit(Line):
    """Passes everything, and one bit in what comes `after` so many bytes from the server wrongly."""

    after: int | None = None
    upwards = False
    seen = 0

    def changed(self, data: bytes, upwards: bool) -> bytes:
        if upwards is not self.upwards or self.after is None:
            return data
        at, self.seen = self.after - self.seen, self.seen + len(data)
        if not 0 <= at < len(data):
            return data
        return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize("after", [100_000, 100_001, 300_000, 1_000_017])
@pytest.mark.parametrize("upwards", [True, False])
def test_a_bit_that_flips_on_the_line_is_never_taken_for_data(
    openssh: OpenSSH, tmp_path: Path, after: int, upwards: bool
) -> None:
    content = os.urandom(4 * MIB)
    (tmp_path / "theirs").write_bytes(content)
    line = FlipsABit((openssh.host, openssh.port))
    got = b""
    try:
        session = to_openssh(openssh, tmp_path, port=line.port).connect()
        line.upwards, line.after = upwards, after
        with pytest.raises(NetworkError):  # noqa: PT012
            if upwards:
                session.upload("ours", io.BytesIO(content), exclusive=True)
            for piece in session.read("theirs"):
                got += piece
        session.close()
    finally:
        line.close()
    assert content.startswith(got)
    assert len(got) < len(content)
    if upwards:
        assert content.startswith((tmp_path / "ours").read_bytes())
