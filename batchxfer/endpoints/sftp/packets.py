"""A channel's bytes, many packets at a time.

A server takes 32 KiB a packet, and paramiko copies, encrypts and sends each by itself, and reads each in two small pieces:
most of the processor time of a large transfer. Here the packets of one write are encrypted into one buffer and sent at once,
the socket is read ahead, and what arrives is handed on without a buffer that is moved with each read.

Keys, nonces, tags and the exchange of new keys stay paramiko's: its own state is read and moved on, as if it had sent and
opened the packets itself, and where anything is not as it is known here (another cipher than GCM, compression, a limit that
asks for new keys, another paramiko) it does.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import paramiko
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import MSG_CHANNEL_DATA, cMSG_CHANNEL_DATA
from paramiko.packet import Packetizer

_READ_BYTES = 256 * 1024
_MOST_PACKETS = 64
_DATA_HEADER = struct.Struct(">IBBII")
_DATA_START = struct.Struct(">BII")
_DATA_OVERHEAD = _DATA_START.size
_BLOCK, _TAG = 16, 16
_STATE = (
    "write_lock",
    "block_engine_out",
    "aead_out",
    "iv_out",
    "sequence_number_out",
    "sent_bytes",
    "sent_packets",
    "need_rekey",
    "compress_engine_out",
    "block_engine_in",
    "aead_in",
    "iv_in",
    "sequence_number_in",
    "received_bytes",
    "received_packets",
    "compress_engine_in",
    "dump_packets",
)


class ReadAhead:
    """A socket of which more is read than was asked for, and kept for the next time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._at = self._end = 0

    def recv(self, size: int) -> bytes:
        """As of a socket: some bytes, none at the end; TimeoutError and other OSErrors leave what is kept as it is."""
        if self._at == self._end:
            self._at = self._end = 0
            self._end = self._socket.recv_into(self._buffer)
        piece = bytes(self._buffer[self._at : min(self._at + size, self._end)])
        self._at += len(piece)
        return piece

    def ahead(self) -> memoryview:
        """What was read and not yet asked for. Valid until the next `recv`."""
        return self._buffer[self._at : self._end]

    def skip(self, size: int) -> None:
        """So much of it was taken."""
        self._at += size

    def send(self, data: bytes | memoryview) -> int:
        return int(self._socket.send(data))

    def close(self) -> None:
        self._socket.close()


class Parcel:
    """Data of a channel on its way, in pieces of which each fits into a packet. Goes where paramiko's messages go."""

    def __init__(self, channel: int, pieces: Sequence[memoryview]) -> None:
        self.channel = channel
        self.pieces = pieces

    def messages(self) -> list[paramiko.Message]:
        """The same as messages of paramiko's."""
        return [self._message(piece) for piece in self.pieces]

    def _message(self, piece: memoryview) -> paramiko.Message:
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_DATA)
        message.add_int(self.channel)
        message.add_string(bytes(piece))
        return message


class Gathered:
    """The data of several packets of one channel, read by paramiko as if it had come in one."""

    def __init__(self, first: paramiko.Message) -> None:
        self.seqno = first.seqno
        self.channel = first.get_int()
        self._data = bytearray(first.get_binary())

    def add(self, data: memoryview) -> None:
        self._data += data

    def get_int(self) -> int:
        return int(self.channel)

    def get_binary(self) -> bytearray:
        return self._data


class Packets(Packetizer):  # type: ignore[misc]
    """paramiko's packets, many at once, where paramiko is as it is `known` here. `parcels` counts the parcels sent at once,
    `gathered` the packets that were opened beside another.

    Without the handshake's timer, whose thread outlives a failed handshake; the watchdog is our timer.
    """

    # What of paramiko's own state is moved on.
    _Packetizer__sequence_number_out: int
    _Packetizer__sequence_number_in: int
    _Packetizer__sent_packets: int
    _Packetizer__sent_bytes: int
    _Packetizer__received_packets: int
    _Packetizer__received_bytes: int
    _Packetizer__iv_out: bytes
    _Packetizer__iv_in: bytes

    def __init__(self, sock: socket.socket) -> None:
        self._ahead = ReadAhead(sock)
        super().__init__(self._ahead)
        self.parcels = self.gathered = 0
        self._next: tuple[int, paramiko.Message] | None = None
        self._opened = memoryview(bytearray(_READ_BYTES))
        self.known = all(hasattr(self, _name(field)) for field in _STATE)
        self._plain = memoryview(bytearray())
        self._sealed = memoryview(bytearray())

    def start_handshake(self, timeout: float) -> None:
        pass

    def send_message(self, data: Any) -> None:
        if not isinstance(data, Parcel):
            super().send_message(data)
        elif not (self.known and self._send_parcel(data)):
            for message in data.messages():
                super().send_message(message)

    def _send_parcel(self, parcel: Parcel) -> bool:
        """Send all of it at once; False where paramiko has to, and then nothing was sent."""
        with self._Packetizer__write_lock:
            if not self._may_seal(parcel):
                return False
            sealed = self._seal(parcel)
            count = len(parcel.pieces)
            self._Packetizer__sequence_number_out = (self._Packetizer__sequence_number_out + count) & 0xFFFFFFFF
            self._Packetizer__sent_packets += count
            self._Packetizer__sent_bytes += len(sealed)
            self.parcels += 1
            self.write_all(sealed)
        return True

    def _may_seal(self, parcel: Parcel) -> bool:
        """Whether these packets are like any others: none of them makes paramiko ask for new keys."""
        size = sum(map(_sealed_size, parcel.pieces))
        return bool(
            self._Packetizer__aead_out
            and self._initial_kex_done
            and hasattr(self._Packetizer__block_engine_out, "encrypt_into")
            and self._Packetizer__compress_engine_out is None
            and not self._Packetizer__dump_packets
            and not self._Packetizer__need_rekey
            and self._Packetizer__sent_packets + len(parcel.pieces) < self.REKEY_PACKETS
            and self._Packetizer__sent_bytes + size < self.REKEY_BYTES
        )

    def _seal(self, parcel: Parcel) -> memoryview:
        """The packets, encrypted, one after the other (RFC 4253, 6, and RFC 5647, 7): each with the next nonce.

        The nonces are used up before a byte is sent, whatever becomes of them.
        """
        self._make_room(parcel)
        encrypt, nonce = self._Packetizer__block_engine_out.encrypt_into, self._Packetizer__iv_out
        plain, sealed, at = self._plain, self._sealed, 0
        noise = os.urandom(2 * _BLOCK)
        for piece in parcel.pieces:
            size = len(piece)
            padding = _padding(size)
            length = 1 + _DATA_OVERHEAD + size + padding
            _DATA_HEADER.pack_into(plain, 0, length, padding, MSG_CHANNEL_DATA, parcel.channel, size)
            plain[14 : 14 + size] = piece
            plain[14 + size : 14 + size + padding] = noise[:padding]
            end = at + 4 + length + _TAG
            sealed[at : at + 4] = plain[:4]
            encrypt(nonce, plain[4 : 4 + length], plain[:4], sealed[at + 4 : end])
            nonce = self._inc_iv_counter(nonce)
            at = end
        self._Packetizer__iv_out = nonce
        return sealed[:at]

    def _make_room(self, parcel: Parcel) -> None:
        largest = 4 + max(map(_sealed_size, parcel.pieces))
        if largest > len(self._plain):
            self._plain = memoryview(bytearray(largest))
        whole = sum(map(_sealed_size, parcel.pieces))
        if whole > len(self._sealed):
            self._sealed = memoryview(bytearray(whole))

    # receiving

    def read_message(self) -> tuple[int, paramiko.Message | Gathered]:
        """The next message; data that was read ahead comes with the data before it."""
        if self._next is not None:
            following, self._next = self._next, None
            return following
        kind, message = super().read_message()
        if kind == MSG_CHANNEL_DATA and self.known and len(self._ahead.ahead()):
            return kind, self._gather(Gathered(message))
        return kind, message

    def _gather(self, gathered: Gathered) -> Gathered:
        """Add the packets that are here already, up to one that is something else: that is kept for the next time."""
        while self._next is None and (size := self._whole()):
            payload = self._open(self._ahead.ahead()[:size])
            kind, channel, length = _DATA_START.unpack_from(payload) if len(payload) >= _DATA_OVERHEAD else (0, 0, 0)
            if kind == MSG_CHANNEL_DATA and channel == gathered.channel and length == len(payload) - _DATA_OVERHEAD:
                gathered.add(payload[_DATA_OVERHEAD:])
                self.gathered += 1
            else:
                self._next = (payload[0], paramiko.Message(bytes(payload[1:])))
                self._next[1].seqno = self._Packetizer__sequence_number_in
            self._Packetizer__sequence_number_in = (self._Packetizer__sequence_number_in + 1) & 0xFFFFFFFF
            self._ahead.skip(size)
        return gathered

    def _whole(self) -> int:
        """The size of the packet that comes next, where all of it is here and it may be opened here; else 0."""
        ahead = self._ahead.ahead()
        if len(ahead) < 4:
            return 0
        size = 4 + int.from_bytes(ahead[:4], "big") + _TAG
        like_any_other = (
            2 * _BLOCK + 4 <= size <= len(ahead)
            and self._Packetizer__aead_in
            and self._initial_kex_done
            and hasattr(self._Packetizer__block_engine_in, "decrypt_into")
            and self._Packetizer__compress_engine_in is None
            and not self._Packetizer__dump_packets
            and not self._Packetizer__need_rekey
            and self._Packetizer__received_packets + 1 < self.REKEY_PACKETS
            and self._Packetizer__received_bytes + size < self.REKEY_BYTES
        )
        return size if like_any_other else 0

    def _open(self, packet: memoryview) -> memoryview:
        """The payload of an encrypted packet, whose tag was right. Valid until the next one is opened."""
        length, nonce = len(packet) - 4 - _TAG, self._Packetizer__iv_in
        plain = self._opened[:length]
        self._Packetizer__block_engine_in.decrypt_into(nonce, packet[4:], packet[:4], plain)
        self._Packetizer__iv_in = self._inc_iv_counter(nonce)
        self._Packetizer__received_packets += 1
        self._Packetizer__received_bytes += len(packet)
        payload = plain[1 : length - plain[0]]
        if not payload:
            raise paramiko.SSHException("a packet without a payload")
        return payload


def _name(field: str) -> str:
    return f"_Packetizer__{field}"


def _padding(size: int) -> int:
    """To a whole number of blocks without the length field, which is not encrypted; at least 4."""
    return 3 + _BLOCK - (_DATA_OVERHEAD + size + 4) % _BLOCK


def _sealed_size(piece: memoryview) -> int:
    return 4 + 1 + _DATA_OVERHEAD + len(piece) + _padding(len(piece)) + _TAG


class Pieces(BufferedPipe):  # type: ignore[misc]
    """What a channel received, piece by piece as it came.

    Not more than `most_bytes`, twice the window that the server was given: paramiko would take, and keep, whatever comes.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes
        self._held_bytes = 0
        self._pieces: deque[memoryview] = deque()

    def feed(self, data: bytes | bytearray) -> None:
        if data:
            with self._lock:
                self._held_bytes += len(data)
                if self._held_bytes > self._most_bytes:
                    raise paramiko.SSHException("the server sends more than it may")
                self._pieces.append(memoryview(data))
                self._cv.notify()

    def read_ready(self) -> bool:
        return bool(self._pieces)

    def read(self, nbytes: int, timeout: float | None = None) -> memoryview:
        with self._lock:
            while not self._pieces:
                if self._closed:
                    return memoryview(b"")
                if not self._cv.wait(timeout):
                    raise PipeTimeout
            piece = self._pieces.popleft()
            if len(piece) > nbytes:
                self._pieces.appendleft(piece[nbytes:])
            self._held_bytes -= len(piece[:nbytes])
            return piece[:nbytes]


class Stream:
    """A channel as a stream of bytes: takes as much at once as the server's window has room for."""

    def __init__(self, channel: paramiko.Channel, window_bytes: int) -> None:
        self._channel = channel
        channel.in_buffer, channel.in_stderr_buffer = Pieces(2 * window_bytes), Pieces(2 * window_bytes)

    def recv(self, size: int) -> memoryview:
        """Some bytes; none where the channel is closed."""
        return self._channel.recv(size)  # type: ignore[no-any-return]

    @property
    def has_more(self) -> bool:
        """Whether some bytes are here."""
        return bool(self._channel.in_buffer.read_ready())

    def send(self, data: memoryview) -> int:
        """The number of bytes that were sent; 0 where the channel is closed."""
        channel, sent = self._channel, 0
        pieces: list[memoryview] = []
        with channel.lock:
            if channel.closed:
                raise OSError("the channel is closed")
            while sent < len(data) and len(pieces) < _MOST_PACKETS and (channel.out_window_size or not pieces):
                size = channel._wait_for_send_window(len(data) - sent)
                if size <= 0:
                    break
                pieces.append(data[sent : sent + size])
                sent += size
        # Without the channel's lock: a key exchange that waits for it would never end.
        if pieces:
            channel.transport._send_user_message(Parcel(channel.remote_chanid, pieces))
        return sent
