"""A worker's claims: taken, kept alive by a heartbeat, given back."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from batchxfer.errors import BatchxferError, OwnershipLost
from batchxfer.model import Claim
from batchxfer.ports import RENEW_EVERY, Ledger

log = logging.getLogger("batchxfer")


class Worker:
    """Claims runs for one owner on one ledger."""

    def __init__(self, ledger: Ledger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner

    @contextlib.contextmanager
    def claimed(self, run: str) -> Iterator[Claim]:
        """The run is ours inside the context, and given back after it, however it ends.

        Raises BusyError where another owner holds it.
        """
        claim = self._ledger.claim(run, self._owner)
        ended = threading.Event()
        heartbeat = threading.Thread(target=self._beat, args=(claim, ended), name=f"heartbeat-{run}", daemon=True)
        heartbeat.start()
        try:
            yield claim
        finally:
            ended.set()
            heartbeat.join()
            with contextlib.suppress(OwnershipLost):
                self._ledger.let_go(claim)

    def _beat(self, claim: Claim, ended: threading.Event) -> None:
        """Renew the lease until the end. A beat that is missed is made up by the next; a lost run is found out by the
        next write, which the ledger refuses."""
        while not ended.wait(RENEW_EVERY.total_seconds()):
            try:
                self._ledger.renew(claim)
            except OwnershipLost:
                return
            except BatchxferError as error:
                log.warning("the lease of run %s could not be renewed: %s", claim.run, error.message)
