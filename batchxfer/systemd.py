"""What systemd is told of the daemon: sd_notify(3), a datagram to the socket that it names."""

from __future__ import annotations

import contextlib
import socket


class ServiceManager:
    """Speaks to the socket `address` (NOTIFY_SOCKET); says nothing where there is none."""

    def __init__(self, address: str | None) -> None:
        self._address = address.replace("@", "\0", 1) if address and address.startswith("@") else address

    def ready(self, status: str) -> None:
        self._say(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        self._say("WATCHDOG=1")

    def reloading(self, monotonic_microseconds: int) -> None:
        self._say(f"RELOADING=1\nMONOTONIC_USEC={monotonic_microseconds}")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        # A service manager that is gone must not end the service.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self._address)
            sender.send(text.encode())
