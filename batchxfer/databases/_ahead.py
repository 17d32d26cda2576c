"""Fetches rows in one thread and makes batches of them in another, while the batches before are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

from batchxfer.beside import Beside

Made = TypeVar("Made")
Step = Callable[[], Made]
"""Makes the batch of rows that were fetched. It may be called in another thread while the next rows are fetched."""
Steps = Generator[Step[Made], None, None]
"""Fetches rows each time it is advanced; closing it ends the query."""

_AHEAD = 2


class StartAgain(Exception, Generic[Made]):
    """Raised by a step: nothing can be made of its rows, nor is of those fetched after them; `steps` begins with them."""

    def __init__(self, steps: Steps[Made]) -> None:
        self.steps = steps


class Ahead(Generic[Made]):
    """Two threads for one query; `close` waits for what they do."""

    def __init__(self) -> None:
        self._fetching = Beside("database")
        self._making = Beside("batches")

    def made(self, steps: Steps[Made]) -> Iterator[Made]:
        """What each of `steps` makes, in their order. Raises what they raise, and what advancing them raises."""
        again: Steps[Made] | None = steps
        while again is not None:
            again = yield from self._until_started_again(again)

    def close(self) -> None:
        self._fetching.end()
        self._making.end()

    def _until_started_again(self, steps: Steps[Made]) -> Generator[Made, None, Steps[Made] | None]:
        def fetch() -> Future[Made] | None:
            step = next(steps, None)
            return None if step is None else self._making.submit(step)

        coming = deque(self._fetching.submit(fetch) for _ in range(_AHEAD))
        while (making := coming.popleft().result()) is not None:
            coming.append(self._fetching.submit(fetch))
            try:
                made = making.result()
            except StartAgain as again:
                for each in coming:
                    each.cancel()
                return again.steps
            del making
            yield made
            del made
        return None
