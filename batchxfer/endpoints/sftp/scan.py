"""Which keys a server has, learned without logging in: for `batchxfer hostkey`."""

from __future__ import annotations

from collections.abc import Sequence

import paramiko

from batchxfer.endpoints.sftp import failures
from batchxfer.endpoints.sftp.hostkeys import KEY_TYPES, HostKey
from batchxfer.endpoints.sftp.link import Link, open_socket
from batchxfer.endpoints.sftp.watchdog import Watchdog
from batchxfer.errors import AlgorithmError


def scan(host: str, port: int, timeout_seconds: float) -> list[tuple[str, str]]:
    """(type, fingerprint) of each key. Raises NetworkError, AlgorithmError."""
    first, offered = _look(host, port, KEY_TYPES, timeout_seconds)
    keys = [first]
    for type_ in KEY_TYPES:
        if type_ in offered and type_ != first.type:
            keys.append(_look(host, port, [type_], timeout_seconds)[0])
    return [(key.type or "", key.fingerprint) for key in keys]


def _look(host: str, port: int, types: Sequence[str], timeout_seconds: float) -> tuple[HostKey, tuple[str, ...]]:
    where, step = "hostkey", f"ask {host}:{port} for its keys"
    try:
        sock = open_socket(host, port, timeout_seconds)
    except OSError as exc:
        raise failures.unreachable(exc, timeout_seconds, where=where, step=step) from exc
    link = Link(sock, types, legacy=True)
    watchdog = Watchdog(stall_seconds=timeout_seconds, end=link.close)
    try:
        with watchdog.step("the key exchange", timeout_seconds):
            return link.exchange_keys(), link.transport.offered_key_types or ()
    except paramiko.IncompatiblePeer as exc:
        raise AlgorithmError(f"{where}: {host}:{port} and this machine have no common algorithm: {exc}") from exc
    except Exception as exc:
        if not failures.is_of_the_link(exc):
            raise
        raise failures.from_break(exc, watchdog.verdict, where=where, step=step) from exc
    finally:
        link.close()
        watchdog.close()
