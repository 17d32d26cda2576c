"""A line to a server that a test can cut, freeze, or slow down: a TCP proxy in threads."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator


class Line:
    """Passes bytes both ways, to an address or to a socket in the file system. Frozen, it takes nothing more and says nothing:
    buffers fill up, as on a dead link. While `away`, whoever connects is hung up on."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self.away = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.passed = 0
        self.freeze_after: int | None = None
        self.cut_after: int | None = None
        self._frozen = threading.Event()
        self._closed = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def freeze(self) -> None:
        self._frozen.set()

    def thaw(self) -> None:
        """What was on its way when it froze is lost: cut it first."""
        self._frozen.clear()

    def cut(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def open_connections(self) -> int:
        """How many clients have not hung up."""
        clients = self._sockets[::2]
        return sum(1 for client in clients if not _hung_up(client))

    def close(self) -> None:
        self._closed.set()
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        for sock in self._sockets:
            sock.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
                if self.away:
                    client.close()
                    continue
                server = _connected(self._target)
            except OSError:
                return
            self._sockets += [client, server]
            for pair in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._pass, args=pair, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        try:
            while not self._closed.is_set():
                if self._frozen.is_set():
                    self._closed.wait(0.05)
                    continue
                if not select.select([source], [], [], 0.05)[0]:
                    continue
                data = source.recv(65536)
                if not data:
                    break
                if upwards:
                    self._count(len(data))
                if not self._frozen.is_set():
                    sink.sendall(self.changed(data, upwards))
        except (OSError, ValueError):
            pass
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def changed(self, data: bytes, upwards: bool) -> bytes:
        """What is passed on of `data`; a test may make the line tell something else."""
        return data

    def _count(self, size: int) -> None:
        self.passed += size
        if self.freeze_after is not None and self.passed >= self.freeze_after:
            self.freeze()
        if self.cut_after is not None and self.passed >= self.cut_after:
            self.cut()


def _connected(target: tuple[str, int] | str) -> socket.socket:
    if not isinstance(target, str):
        return socket.create_connection(target, 5)
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(5)
    server.connect(target)
    server.settimeout(None)
    return server


def _hung_up(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextlib.contextmanager
def line_to(host: str, port: int) -> Iterator[Line]:
    line = Line((host, port))
    try:
        yield line
    finally:
        line.close()
