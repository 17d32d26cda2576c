"""A line to a server that is far away: passes bytes both ways, each later by half the round trip. No limit of speed.

python -m benchmarks.peers.far_line HOST PORT MILLISECONDS

Prints the port that it listens on, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Awaitable

PIECE_BYTES = 256 * 1024
# What may be on its way in one direction: far more than any contender sends ahead.
MOST_BYTES = 64 * 1024 * 1024


class OnItsWay:
    """What was sent and has not arrived."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self.bytes = 0
        self.room = asyncio.Event()

    async def put(self, at: float, piece: bytes) -> None:
        while self.bytes > MOST_BYTES:
            self.room.clear()
            await self.room.wait()
        self.bytes += len(piece)
        self.pieces.put_nowait((at, piece))

    async def take(self) -> tuple[float, bytes]:
        at, piece = await self.pieces.get()
        self.bytes -= len(piece)
        self.room.set()
        return at, piece


async def depart(reader: asyncio.StreamReader, way: OnItsWay, delay_seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        piece = await reader.read(PIECE_BYTES)
        await way.put(clock() + delay_seconds, piece)
        if not piece:
            return


async def arrive(way: OnItsWay, writer: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        at, piece = await way.take()
        await asyncio.sleep(max(at - clock(), 0))
        if not piece:
            writer.close()
            return
        writer.write(piece)
        await writer.drain()


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, round_trip_seconds: float
) -> None:
    # A connection takes a round trip, too.
    await asyncio.sleep(round_trip_seconds)
    far_reader, far_writer = await asyncio.open_connection(host, port, limit=PIECE_BYTES)
    ways: list[Awaitable[None]] = []
    for source, sink in ((reader, far_writer), (far_reader, writer)):
        sock = sink.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way = OnItsWay()
        ways += [depart(source, way, round_trip_seconds / 2), arrive(way, sink)]
    # At the end of this program, too, lines break off.
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await asyncio.gather(*ways)


async def main(host: str, port: int, round_trip_seconds: float) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: pass_on(reader, writer, host, port, round_trip_seconds),
        "127.0.0.1",
        0,
        limit=PIECE_BYTES,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) / 1000))
