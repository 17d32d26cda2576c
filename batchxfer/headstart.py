"""A delivery that begins while its file is built, so that a large file has arrived when the query ends.

What is sent lies at a temporary name; nothing gets its final one before the artifact is whole and recorded. Where it never is,
what was sent is taken back, and the delivery is as if it had not begun.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from batchxfer.errors import AttemptError
from batchxfer.growing import Growing
from batchxfer.model import Artifact
from batchxfer.spool import Stretch

WORTH_BYTES = 32 << 20
"""A smaller file is sent in no time."""
_GOODBYE_SECONDS = 5.0
"""How long a process that is asked to end waits for the partner to take away what was sent."""


class HeadStart:
    """A spool.Follower: once the file is large enough, `send` is called with it in a thread of its own.

    A context: left without `release`, the file is taken back. Whoever waits for `send` gets what it raised. It is None where
    nothing may be sent ahead.
    """

    def __init__(self, send: Callable[[Growing], None] | None) -> None:
        self._send = send
        self._growing = Growing()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def has_begun(self) -> bool:
        return self._thread is not None

    def grow(self, path: Path, stretch: Stretch) -> None:
        self._growing.grow(path, stretch)
        self._bytes += stretch.size
        if self._bytes >= WORTH_BYTES and self._send is not None and not self.has_begun:
            self._begin(self._send)

    def whole(self) -> None:
        self._growing.whole()

    def release(self, artifact: Artifact) -> None:
        """It may be published; returns when the delivery has ended."""
        self._growing.release(artifact)
        self._join()

    def take_back(self, error: AttemptError) -> None:
        """It is not to be published, because of `error`; returns when what was sent is gone."""
        self._growing.take_back(error)
        self._join()

    def _begin(self, send: Callable[[Growing], None]) -> None:
        # A daemon thread: what hangs in a driver must not keep the process from ending.
        thread = threading.Thread(target=self._run, args=(send,), name="send-ahead", daemon=True)
        # It is known before it starts: a signal may come in between.
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # This machine starts no more threads just now: the file is sent afterwards, as any other.
            self._thread = self._send = None

    def _run(self, send: Callable[[Growing], None]) -> None:
        try:
            send(self._growing)
        except BaseException as exc:
            self._error = exc

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> HeadStart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._growing.take_back(None)
            with contextlib.suppress(RuntimeError):  # it was about to start
                self._thread.join(_GOODBYE_SECONDS)
