"""Open sessions kept for the next file to the same endpoint. Used by one thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType

from batchxfer.ports import Endpoint, Session


class Connections:
    """At most one session an endpoint; a session that broke is not used again."""

    def __init__(self, endpoint: Callable[[str], Endpoint]) -> None:
        self._endpoint = endpoint
        self._sessions: dict[str, Session] = {}

    @contextlib.contextmanager
    def session(self, name: str) -> Iterator[Session]:
        """A live session for one attempt: its deadline begins here. Raises what Endpoint.connect raises."""
        session = self._sessions.get(name)
        if session is not None and session.alive:
            session.begin_attempt()
        else:
            self._drop(name)
            session = self._sessions[name] = self._endpoint(name).connect()
        try:
            yield session
        except BaseException:
            self._drop(name)
            raise
        session.end_attempt()

    def _drop(self, name: str) -> None:
        if (session := self._sessions.pop(name, None)) is not None:
            session.close()

    def close(self) -> None:
        for name in list(self._sessions):
            self._drop(name)

    def __enter__(self) -> Connections:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
