"""The socket beneath libpq."""

from __future__ import annotations

import socket

from batchxfer.databases._postgresql_link import make_roomy


def room(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_a_server_on_this_machine_has_more_to_take_from_and_a_line_of_tcp_is_left_alone() -> None:
    near, far = socket.socketpair()
    with near, far, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as line:
        before = room(near), room(line)
        make_roomy(near)
        make_roomy(line)
        assert room(near) > before[0]
        assert room(line) == before[1]
        near.close()
        make_roomy(near)
