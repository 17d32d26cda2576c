"""A load that begins while its file is fetched, so that a large file is in its table soon after it has come.

Nothing is committed before the file was taken: until then the rows are in an open transaction, where nobody sees them. Whatever
goes wrong here is undone, and the file is loaded afterwards as any other, with all that is to be said of it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from batchxfer.errors import BatchxferError
from batchxfer.incoming import GivenUp, Incoming
from batchxfer.load import Loaded, Progress
from batchxfer.model import FetchedFile, FetchStatus, Run
from batchxfer.ports import EarlyLoading, EarlyTarget, Target
from batchxfer.shortages import shortages

log = logging.getLogger("batchxfer")

WORTH_BYTES = 16 << 20
"""A smaller file is fetched in no time."""
SOON_SECONDS = 10.0
"""The rest of a file must be expected within that time: no transaction is kept open for a slow line."""
TRIAL_BYTES = 1 << 20
"""How much must have come before anything is expected."""
AGAIN_SECONDS = 30.0
"""A load that failed within that time of its file's being here is made again at once. What comes later is told: nobody waits
twice for a server that does not answer."""
_GOODBYE_SECONDS = 1.0
_LAST_SECONDS = 5.0


class EarlyLoad:
    """The load of a run's only file, in a thread of its own. A context: left without `finish`, what was loaded is undone.

    `load` loads the file's `pieces`, by a target that was made `abandonable`; None where nothing is loaded early.
    """

    def __init__(self, load: Callable[[EarlyLoad, Run, FetchedFile], list[Loaded]] | None) -> None:
        self._load = load
        self._file: FetchedFile | None = None
        self._run: Run | None = None
        self._incoming = Incoming()
        self._thread: threading.Thread | None = None
        self._loading: EarlyLoading | None = None
        self._loaded: list[Loaded] | None = None
        self._error: BatchxferError | None = None
        self._first: tuple[float, int] | None = None
        self.rows = 0
        """How many were put into the table so far."""
        self.target: Target | None = None
        """What `abandonable` was given: it may have read a secret that can be read once."""

    # while the file is fetched

    def follow(self, run: Run, file: FetchedFile) -> EarlyLoad | None:
        """Who is told of the arrival of `file`: nobody where it is not worth it, or not the only one to be loaded."""
        to_load = [each.id for each in run.files if each.status in (FetchStatus.SEEN, FetchStatus.FETCHED)]
        if self._load is None or self._file is not None or to_load != [file.id] or file.size < WORTH_BYTES:
            return None
        self._run, self._file = run, file
        return self

    def came(self, descriptor: int, size: int) -> None:
        """The first `size` bytes of the file are in the open file `descriptor`."""
        if self._load is None:
            return
        self._incoming.came(descriptor, size)
        if self._thread is None and self._is_here_soon(size):
            self._begin()

    def began_anew(self) -> None:
        """What was here before is not the file's: it is fetched from its beginning."""
        self._first = None
        if self._thread is not None:
            self._give_up()

    def _is_here_soon(self, size: int) -> bool:
        now = time.monotonic()
        if self._first is None:
            self._first = now, size
        began_at, had = self._first
        left = self._file.size - size if self._file is not None else 0
        return size - had >= TRIAL_BYTES and left * (now - began_at) <= SOON_SECONDS * (size - had)

    def _begin(self) -> None:
        # A daemon thread: what hangs in a driver must not keep the process from ending.
        self._thread = threading.Thread(target=self._run_load, name="load-early", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # This machine starts no more threads just now: the file is loaded afterwards.
            self._thread = self._load = None

    # in the thread

    def pieces(self) -> Iterator[bytes]:
        """The file's bytes, as Incoming has them."""
        return self._incoming.pieces()

    @property
    def is_taken(self) -> bool:
        """Whether the file is here, and somebody waits for the end of its load."""
        return self._load is not None and self._incoming.is_taken

    @property
    def is_whole(self) -> bool:
        """Whether its pieces came to their end."""
        return self._incoming.is_whole

    def abandonable(self, target: Target) -> Target:
        """`target`, so that this thread need not be waited for. Raises GivenUp where it does not load early."""
        self.target = target
        if not isinstance(target, EarlyTarget):
            raise GivenUp
        return _Watched(target, self._watch)

    def _watch(self, loading: EarlyLoading) -> None:
        self._loading = loading
        if self._load is None:
            # Nobody may have seen what there is to be abandoned.
            raise GivenUp

    def _run_load(self) -> None:
        try:
            # What this machine is short of now it may have when the file is here.
            with shortages("it cannot be loaded"):
                if self._load is not None and self._run is not None and self._file is not None:
                    self._loaded = self._load(self, self._run, self._file)
        except GivenUp:
            pass
        except BatchxferError as error:
            self._error = error
            log.debug("it is loaded once it is here: %s", error.message)
        except Exception:
            log.warning("it is loaded once it is here, for an error that nobody foresaw", exc_info=True)
        finally:
            self._incoming.close()

    # afterwards

    def finish(self, files: Sequence[FetchedFile], tell: Progress) -> list[Loaded] | None:
        """Load the rest of `files`, which were taken, and commit; None where they are still to be loaded. `tell` is called with
        the rows so far. Raises what loading raises."""
        if self._thread is None or self._file is None or [file.id for file in files] != [self._file.id]:
            return None
        if files[0].sha256 is None:
            return None
        self._incoming.taken(files[0].sha256)
        since = time.monotonic()
        tell(self.rows)
        self._thread.join()
        if self._error is not None and time.monotonic() - since > AGAIN_SECONDS:
            raise self._error
        return self._loaded

    def _give_up(self) -> None:
        self._load = None
        self._incoming.give_up()
        thread, self._thread = self._thread, None
        if thread is None:
            self._incoming.close()
            return
        with contextlib.suppress(RuntimeError):  # it was about to start
            thread.join(_GOODBYE_SECONDS)
            if thread.is_alive() and self._loading is not None:
                # It waits for the server.
                self._loading.abandon()
                thread.join(_LAST_SECONDS)

    def __enter__(self) -> EarlyLoad:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_up()


class _Watched:
    """A Target of which the transaction that is open is known."""

    def __init__(self, target: EarlyTarget, watch: Callable[[EarlyLoading], None]) -> None:
        self._target = target
        self._watch = watch

    @contextmanager
    def begin(self) -> Iterator[EarlyLoading]:
        with self._target.begin_early() as loading:
            self._watch(loading)
            yield loading
