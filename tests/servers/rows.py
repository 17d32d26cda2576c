"""A line to a database that is cut or frozen at a given row: a proxy that knows rows by a mark that each of them holds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

FIN, RST, FREEZE = "fin", "rst", "freeze"
MARK = b"row-mark-"


class RowLine:
    """Passes bytes to the unix socket `target`. After the mark of the nth row (0: before the first) it does what `how` says;
    None lets everything pass. `reached` says that it did."""

    def __init__(self, target: str, after_rows: int | None, how: str = FIN) -> None:
        self.after_rows = after_rows
        self.how = how
        self.reached = False
        self.frozen = False
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._marks = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(listener.getsockname()[1])
        self._server = self._run(asyncio.start_server(self._serve, sock=listener))

    @property
    def connections(self) -> int:
        """How many ends of connections are open."""
        return len(self._open)

    def freeze(self) -> None:
        """Take what comes from now on, and pass nothing."""
        self.frozen = True

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, coroutine: object) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)  # type: ignore[arg-type]

    async def _end(self) -> None:
        self._server.close()  # type: ignore[attr-defined]
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            above, below = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, below}
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self._pass(reader, below), self._pass_rows(above, writer))
        self._open -= {writer, below}
        writer.close()
        below.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self.frozen:
                    writer.write(data)
                    await writer.drain()
        if not self.frozen:
            writer.close()

    async def _pass_rows(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                kept += data
                if (at := self._end_of(kept)) is not None:
                    writer.write(kept[:at])
                    await writer.drain()
                    await self._strike(writer)
                    return
                # A mark may be cut in two by the reading.
                passed = len(kept) - max(size for size in range(len(MARK)) if kept.endswith(MARK[:size]))
                self._marks += kept.count(MARK, 0, passed)
                writer.write(kept[:passed])
                kept = kept[passed:]
                await writer.drain()
            writer.write(kept)
        writer.close()

    def _end_of(self, data: bytes) -> int | None:
        """Where the bytes end that still pass, if the row is in `data`."""
        if self.after_rows is None or self.reached or MARK not in data:
            return None
        wanted, at = self.after_rows - self._marks, 0
        if wanted <= 0:
            return data.find(MARK)
        for _ in range(wanted):
            at = data.find(MARK, at)
            if at < 0:
                return None
            at += len(MARK)
        return at

    async def _strike(self, writer: asyncio.StreamWriter) -> None:
        self.reached = True
        if self.how == FREEZE:
            self.frozen = True
            await asyncio.Event().wait()
        if self.how == RST:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        writer.close()


@contextlib.contextmanager
def rows_from(target: str, after_rows: int | None = None, how: str = FIN) -> Iterator[RowLine]:
    line = RowLine(target, after_rows, how)
    try:
        yield line
    finally:
        line.close()
