"""Open sessions, shared by the workers of one process: at most so many an endpoint, kept for the next file.

A session is used by one thread at a time; one that failed is never used again. Until a login at an endpoint has gone well,
one thread tries it, and the others take a refusal as their own: many jobs that are due at once must not lock an account.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import TracebackType

from batchxfer.errors import LoginRefused, NetworkError
from batchxfer.ports import Endpoint, Session

IDLE_SECONDS = 60.0


class Connections:
    """The sessions of one process. `limit` says how many an endpoint may have at a time."""

    def __init__(self, endpoint: Callable[[str], Endpoint], limit: Callable[[str], int] = lambda name: 1) -> None:
        self._endpoint = endpoint
        self._limit = limit
        self._changed = threading.Condition()
        self._idle: dict[str, list[tuple[Session, float]]] = defaultdict(list)
        self._busy: dict[str, set[Session]] = defaultdict(set)
        self._connecting: dict[str, int] = defaultdict(int)
        self._welcome: set[str] = set()
        self._refusals: dict[str, tuple[float, LoginRefused]] = {}
        self._closed = False

    @contextlib.contextmanager
    def session(self, name: str) -> Iterator[Session]:
        """A live session for one attempt, whose deadline begins here; waits while the endpoint has its limit.

        Raises what Endpoint.connect raises.
        """
        session = self._take(name)
        try:
            yield session
        except BaseException:
            self._give_back(name, session, keep=False)
            raise
        session.end_attempt()
        self._give_back(name, session, keep=session.alive)

    def _take(self, name: str) -> Session:
        session = self._reserve(name)
        if session is not None:
            session.begin_attempt()
            return session
        try:
            session = self._endpoint(name).connect()
        except BaseException as exc:
            self._connected(name, None, exc)
            raise
        self._connected(name, session)
        return session

    def _reserve(self, name: str) -> Session | None:
        """A session that was idle, or None and the right to make one."""
        asked_at = time.monotonic()
        with self._changed:
            while True:
                if self._closed:
                    raise NetworkError(f"endpoint {name!r}: this program is ending")
                while self._idle[name]:
                    session, _ = self._idle[name].pop()
                    if session.alive:
                        self._busy[name].add(session)
                        return session
                    session.close()
                self._share_refusal(name, asked_at)
                if self._has_room(name):
                    self._connecting[name] += 1
                    return None
                self._changed.wait()

    def _has_room(self, name: str) -> bool:
        if name not in self._welcome and self._connecting[name]:
            return False
        return len(self._busy[name]) + self._connecting[name] < self._limit(name)

    def _share_refusal(self, name: str, asked_at: float) -> None:
        """Raise the refusal of a login that another thread tried since then."""
        at, error = self._refusals.get(name, (asked_at, None))
        if error is not None and at > asked_at:
            raise LoginRefused(error.message, hint=error.hint)

    def _connected(self, name: str, session: Session | None, error: BaseException | None = None) -> None:
        with self._changed:
            self._connecting[name] -= 1
            if isinstance(error, LoginRefused):
                self._welcome.discard(name)
                self._refusals[name] = (time.monotonic(), error)
            if session is not None:
                self._welcome.add(name)
                self._busy[name].add(session)
            self._changed.notify_all()

    def _give_back(self, name: str, session: Session, *, keep: bool) -> None:
        with self._changed:
            self._busy[name].discard(session)
            keep = keep and not self._closed
            if keep:
                self._idle[name].append((session, time.monotonic()))
            self._changed.notify_all()
        if not keep:
            session.close()

    def close_idle(self, older_than_seconds: float = IDLE_SECONDS) -> None:
        """Close the sessions that nobody used for so long."""
        before = time.monotonic() - older_than_seconds
        with self._changed:
            old = [session for idle in self._idle.values() for session, since in idle if since <= before]
            for name, idle in self._idle.items():
                self._idle[name] = [(session, since) for session, since in idle if since > before]
        for session in old:
            session.close()

    def close(self) -> None:
        """Close every session; one that is in use fails its attempt."""
        with self._changed:
            self._closed = True
            busy = [session for sessions in self._busy.values() for session in sessions]
            self._changed.notify_all()
        self.close_idle(older_than_seconds=-1.0)
        for session in busy:
            session.close()

    def __enter__(self) -> Connections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
