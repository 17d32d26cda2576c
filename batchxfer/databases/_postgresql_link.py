"""The socket beneath libpq, and an end to waiting for it.

A server, or a proxy before it, that goes silent while the network still takes what is sent keeps libpq waiting for ever:
`statement_timeout` is the server's to keep, and keepalives are answered. The driver shows no socket, so it is found among
those of the process: by a TCP timeout that no other has, or as the one that came while connecting.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator

CANCEL_SECONDS = 5.0
_FDS = "/dev/fd"
_ROOM_BYTES = 4 << 20
_TCP_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
_marks = itertools.count()


def mark() -> int:
    """A `tcp_user_timeout`, in milliseconds, by which a connection's socket is known."""
    return 60_000 + next(_marks) % 30_000


class Link:
    """Ends what waits for the server `seconds` after it was made, if it is not closed by then: `expired` says so."""

    def __init__(self, sock: socket.socket | None, seconds: float) -> None:
        self.expired = False
        self._socket = sock
        self._seconds = seconds
        self._timer = self._after(seconds, self._expire)

    def begin_anew(self) -> None:
        """Count from now: another statement begins."""
        self._timer.cancel()
        self._timer = self._after(self._seconds, self._expire)

    def end(self) -> None:
        """Every call that waits for the server fails now. From any thread; after `close` it does nothing."""
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    @contextlib.contextmanager
    def ending(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Ask the server to stop; what still waits for it some seconds later is ended all the same."""
        timer = self._after(CANCEL_SECONDS, self.end)
        # Asking opens a connection of its own, which may wait for ever too.
        asking = threading.Thread(target=cancel, name="postgresql-cancel", daemon=True)
        asking.start()
        asking.join(CANCEL_SECONDS)
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        self.end()

    def _after(self, seconds: float, act: Callable[[], None]) -> threading.Timer:
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), act)
        timer.name, timer.daemon = "postgresql-timer", True
        timer.start()
        return timer


def sockets() -> set[tuple[int, int]]:
    """(descriptor, inode) of each socket of this process; none where the system does not list them."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(_FDS):
            with contextlib.suppress(OSError, ValueError):
                status = os.fstat(int(name))
                if stat.S_ISSOCK(status.st_mode):
                    found.add((int(name), status.st_ino))
    return found


def find(marked: int, before: set[tuple[int, int]]) -> socket.socket | None:
    """A duplicate of the socket of a connection that was made since `before`; None where it cannot be told which it is."""
    new = [_duplicate(fd, inode) for fd, inode in sorted(sockets() - before)]
    candidates = [sock for sock in new if sock is not None]
    chosen = next((sock for sock in candidates if _has(sock, marked)), None)
    if chosen is None and len(candidates) == 1:
        chosen = candidates[0]
    for sock in candidates:
        if sock is not chosen:
            sock.close()
    return chosen


def of(fd: int) -> socket.socket:
    """A duplicate of the socket that a driver shows."""
    return socket.socket(fileno=os.dup(fd))


def make_roomy(sock: socket.socket) -> None:
    """Let a server on this machine have more to take from, while Python does something else than to hand it on. A line of TCP
    finds its room by itself."""
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM_BYTES)


def _duplicate(fd: int, inode: int) -> socket.socket | None:
    try:
        copy = os.dup(fd)
    except OSError:
        return None
    try:
        if os.fstat(copy).st_ino == inode:
            return socket.socket(fileno=copy)
    except OSError:
        pass
    os.close(copy)
    return None


def _has(sock: socket.socket, marked: int) -> bool:
    if _TCP_USER_TIMEOUT is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    with contextlib.suppress(OSError):
        return sock.getsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT) == marked
    return False
