"""The encrypted link to a server: own socket, key exchange, and a close that ends everything.

paramiko's timeouts are not relied on: the watchdog closes the link, and every blocked call returns.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Sequence

import paramiko

from batchxfer.endpoints.sftp import algorithms
from batchxfer.endpoints.sftp.failures import Broken
from batchxfer.endpoints.sftp.hostkeys import HostKey
from batchxfer.endpoints.sftp.packets import Packets, Stream

LOG_NAME = "batchxfer.endpoints.sftp.paramiko"
_NEVER = 7 * 24 * 3600.0
# How much is in flight is bounded by the reads that were asked for; a window far above that is seldom adjusted.
_WINDOW_BYTES = 32 * 1024 * 1024
# What the server may put into one packet: the fewer there are, the less there is to do for each.
_PACKET_BYTES = 128 * 1024


def _quiet_log() -> str:
    """paramiko logs tracebacks of what it raises anyway; nobody hears them unless they lower the level of this logger."""
    logger = logging.getLogger(LOG_NAME)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL + 1)
    return LOG_NAME


class Transport(paramiko.Transport):  # type: ignore[misc]
    """Keeps what the server said: what it offers, what was agreed, why it hung up."""

    def __init__(self, sock: socket.socket, *, legacy: bool) -> None:
        super().__init__(sock, disabled_algorithms=algorithms.disabled(legacy=legacy), packetizer_class=Packets)
        self.set_log_channel(_quiet_log())
        self.banner_timeout = self.handshake_timeout = self.auth_timeout = self.channel_timeout = _NEVER
        self.clear_to_send_timeout = _NEVER
        self.offered_key_types: tuple[str, ...] | None = None
        self.key_exchange: str | None = None
        self.hung_up: tuple[int, str] | None = None

    def _parse_kex_init(self, m: paramiko.Message) -> None:
        with contextlib.suppress(UnicodeDecodeError, struct.error):
            self.offered_key_types = _offered_key_types(m.get_remainder())
        super()._parse_kex_init(m)
        self.key_exchange = next((name for name, kind in self._kex_info.items() if type(self.kex_engine) is kind), None)

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        code = m.get_int()
        self.hung_up = (code, m.get_string().decode("utf-8", "backslashreplace"))

    def get_exception(self) -> Exception | None:
        """What ended the transport's thread, whatever it was, is of the link: a bit that was bent on the way shows as an
        error of the cipher, a wrong key as one of a number."""
        exc: Exception | None = super().get_exception()
        if exc is None or isinstance(exc, (paramiko.SSHException, EOFError, OSError)):
            return exc
        broken = Broken(f"what came from the server cannot be understood: {str(exc) or type(exc).__name__}")
        broken.__cause__ = exc
        return broken


def _offered_key_types(kex_init: bytes) -> tuple[str, ...]:
    """The types of a server's host keys, from its offer (RFC 4253, 7.1)."""
    at = 16
    (length,) = struct.unpack_from(">I", kex_init, at)
    at += 4 + length
    (length,) = struct.unpack_from(">I", kex_init, at)
    names = kex_init[at + 4 : at + 4 + length].decode("ascii").split(",")
    return tuple(dict.fromkeys(algorithms.key_type(name) for name in names))


def open_socket(host: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection to the first address that answers. Raises OSError; TimeoutError after `seconds` in all."""
    end = time.monotonic() + seconds
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in _look_up(host, port, seconds):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(end - time.monotonic(), 0.001))
            sock.connect(address)
        except OSError as exc:
            sock.close()
            failure = exc
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    raise failure


_Addresses = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]]


def _look_up(host: str, port: int, seconds: float) -> _Addresses:
    """The addresses of a host; the resolver cannot be interrupted, so it runs beside."""
    found: list[_Addresses | OSError | UnicodeError] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))  # type: ignore[arg-type]
        except (OSError, UnicodeError) as exc:
            found.append(exc)

    thread = threading.Thread(target=ask, name="batchxfer-resolver", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"the name {host} was not resolved in {seconds:g}s")
    if isinstance(found[0], UnicodeError):
        raise OSError(f"{host!r} is not a host name") from found[0]
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


class Link:
    """A socket and the transport on it. `close` may come from any thread, at any time, and never raises."""

    def __init__(self, sock: socket.socket, key_types: Sequence[str], *, legacy: bool) -> None:
        self._socket = sock
        self.transport = Transport(sock, legacy=legacy)
        algorithms.restrict(self.transport, key_types, legacy=legacy)

    def exchange_keys(self) -> HostKey:
        """Agree on algorithms and keys; returns the key that the server proved to have. Nothing is sent of us."""
        self.transport.start_client(timeout=_NEVER)
        key = self.transport.get_remote_server_key()
        return HostKey(type=key.get_name(), fingerprint=key.fingerprint)

    def open_channel(self) -> Stream:
        """A channel with the sftp subsystem."""
        channel = self.transport.open_session(window_size=_WINDOW_BYTES, max_packet_size=_PACKET_BYTES, timeout=_NEVER)
        if channel is None:
            raise Broken("the server closed the connection")
        stream = Stream(channel, _WINDOW_BYTES)
        channel.invoke_subsystem("sftp")
        return stream

    @property
    def alive(self) -> bool:
        return bool(self.transport.is_active())

    def close(self) -> None:
        # Shutting down first makes the transport's thread end by itself, even one that is blocked in a full send buffer.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self.transport.is_alive() and threading.current_thread() is not self.transport:
            self.transport.join(2)
        self.transport.close()
        self.transport.packetizer.close()
        self._socket.close()
